"""The exact error of one output: the expectation of `(t_i - activation(z_i))^2` over all samples.

An output sees one number, `z = c + sum_j gains_j x_j`, in which sets of features are active
independently of each other. `docs/exact.md` derives what is computed here.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from superpose.exact._sets import Sets
from superpose.exact._terms import along, by_law, harmonic, parts, summed, target_moments
from superpose.exact._trees import Trees
from superpose.models import Activation, activations
from superpose.values import double, signed_square

World = Sets | Trees
"""What the errors depend on besides the model."""
METHODS = ("enumeration", "characteristic", "quadrature")
"""How errors can be computed; `losses.Population` says what each is."""
# An error is a polynomial in moments, plus these multiples of `E[z |z|] / 2` and of `E[t |z|]`.
KINKS: dict[Activation, tuple[float, float]] = {"relu": (1.0, -1.0), "abs": (0.0, -2.0)}


def closed_size(world: World) -> float:
    """Up to how many active features supports have a closed form.

    >>> from superpose.values import Exponential, Uniform
    >>> sets = Sets(jnp.array([0.5, 0.5]), Uniform(), (1, 1), True, "x")
    >>> closed_size(sets), closed_size(sets._replace(value=Exponential()))
    (inf, 1)
    """
    return min(getattr(law, "closed", 0) for law in (world.value, *(law for _, _, law in parts(world))))


def method(world: World, activation: Activation) -> str:
    """The best of `METHODS`, by size.

    >>> from superpose.values import Uniform
    >>> few, many = (Sets(jnp.full(n, 0.1), Uniform(), (1,) * n, True, "x") for n in (5, 50))
    >>> method(few, "relu"), method(many, "relu"), method(few, "gelu")
    ('enumeration', 'characteristic', 'quadrature')
    """
    if activation not in ("identity", "relu", "abs"):
        return "quadrature"
    closed = world.largest_support() <= closed_size(world)
    most = 4096 if getattr(world.value, "corners", 1) == 1 else 800
    return "enumeration" if closed and world.work() <= most else "characteristic"


def harmonics(world: World, method: str) -> int:
    """How many harmonics keep the error within 1e-8 of the loss for up to 10 features, and within 1e-6 beyond.

    >>> from superpose.values import Uniform
    >>> harmonics(Sets(jnp.full(50, 0.1), Uniform(), (1,) * 50, True, "x"), "characteristic")
    384
    """
    few, law = world.n_features <= 10, world.value
    if method == "characteristic" and not math.isfinite(law.bounds[1]) and not hasattr(law, "pole"):
        return 4096 if few else 512
    return 384 if not few and getattr(law, "corners", 1) > 1 else 512


def _gains(gains, group):
    return jnp.concatenate([gains, jnp.zeros_like(gains[:1])])[group.features]


def _closed(world, i, gains, c, group, weight, kink, H=0.0):
    """The terms with a kink, summed over supports: `z |z| / 2 - H z / 2` and `t |z| - H t / 2`, times `kink`.

    The latter is the derivative of the former by the gain of feature i itself.
    """
    here, g, total = group.features == i, _gains(gains, group), 0.0
    for shares, signs, law in by_law(world):

        def mean(own, law=law):
            each = jnp.where(here, own, g)
            z = c + (each * jnp.where(here, double(law.mean), double(world.value.mean))).sum(-1)
            square = signed_square(c) + jnp.zeros_like(z)
            if each.size:
                square = world.value.signed_square(c, each, group.active, here, law)
            return weight @ (square - H / 2 * z)

        own = signs * gains[i]
        value, slope = jax.vmap(lambda own, mean=mean: jax.jvp(mean, (own,), (jnp.ones_like(own),)))(own)
        total = total + shares @ (kink[0] * value + kink[1] * slope)
    return total


def _moments_of(world, i, gains, c, group, weight):
    """`E[t^2]`, `E[t z]` and `E[z^2]` over these supports."""
    mean, square = double(world.value.mean), double(world.value.square)
    t_x, t_mean = target_moments(world)
    g, active = _gains(gains, group), (group.features == i).any(-1)
    z = c + mean * g.sum(-1)
    tt = jnp.where(active, square, 0.0)
    tz = jnp.where(active, t_x * gains[i] + t_mean * (z - mean * gains[i]), 0.0)
    zz = z**2 + (square - mean**2) * (g**2).sum(-1)
    return weight @ tt, weight @ tz, weight @ zz


def _characteristic(world, i, gains, c, kink, harmonics):
    """Terms with a kink, by the characteristic function of z: `E[z |z|] / 2` and `E[t |z|]`, times `kink`.

    For `|z| <= H`, with k over the odd numbers,

        `z |z| = H z - (8 H^2 / pi^3) sum_k sin(pi k z / H) / k^3`,
        `|z| = H / 2 - (4 H / pi^2) sum_k cos(pi k z / H) / k^2`.

    The supports of no and of one active set or branch, whose part of the series converges slowly, are taken out of
    it and added in closed form.
    """
    H = _range(world, gains, c, 48 / harmonics)
    k = np.arange(1, 2 * harmonics, 2, dtype=np.int32)
    smooth = np.exp(-36 * (k / (2 * harmonics)) ** 16)
    few, group, weight, shift = world.few(i, gains, jnp.pi * harmonics / H, closed_size(world))
    angle, odd, flat = jnp.pi / H, double(k), double(np.zeros(harmonics))
    # -Im M = Re i M.
    weights = (
        lax.complex(flat, kink[0] * 4 * H**2 / math.pi**3 * double(smooth / k**3.0)),
        lax.complex(-kink[1] * 4 * H / math.pi**2 * double(smooth / k**2.0), flat),
    )
    s = lax.complex(flat, angle * odd)
    series = summed(harmonic, world, i, (angle, odd), s, weights, gains, c, few, c + shift)
    _, t, _, z, _ = world.moments(i, gains, c)
    # Recomputed for the gradient, to save memory.
    closed = jax.checkpoint(lambda gains, c: _closed(world, i, gains, c, group, weight, kink, H))
    return H / 2 * (kink[0] * z + kink[1] * t) + series + closed(gains, c + shift)


def _contour(world, i, gains, c, kink, count):
    """The same from M, the moment generating function of z, where the law has one beyond the imaginary axis.

    For c <= 0, with s along any path that goes around the poles of positive real part, to their left,

        `E[max(z, 0)^2] = 1 / (2 pi i) int 2 s^-3 M(s) ds`,
        `E[t max(z, 0)] = 1 / (2 pi i) int s^-2 M_t(s) ds`.

    The path is a hyperbola around the positive axis, along which exp(s c) falls, with points
    at equal distances in the logarithm of s: M is a rational function, smooth at
    every scale. For c > 0, z is replaced by -z.
    """
    flip = jnp.where(c > 0, -1.0, 1.0)
    gains, c = flip * gains, flip * c
    # Where the path crosses the axis: near the saddle of the integrand, left of the first pole.
    fixed, level = stop_gradient((gains / world.value.pole, c))
    top = fixed.max()
    pole = 1 / jnp.where(top > 0, top, jnp.maximum(jnp.abs(fixed).max() + jnp.abs(level), 1e-60))
    tries = 0.8 * double(2.0 ** -np.arange(0, 20, 0.5)) * pole
    height = world.log_moment(stop_gradient(gains), tries[:, None]) + tries * level - 3 * jnp.log(tries)
    start = (jnp.where(height == height.min(), tries, 0.0)).max()
    width = jnp.minimum(start, pole - start)
    step = 36 / count
    v = step * np.arange(count)
    cosh, sinh = double(np.cosh(v)), double(np.sinh(v))
    s = lax.complex(start + width * (cosh - 1) / 2, width * sinh)
    ds = lax.complex(width * sinh / 2, width * cosh)
    # Im M = Re -i M.
    weight = lax.complex(double(0 * v), double(np.where(v == 0, -1.0, -2.0) * step / math.pi)) * ds / s**2
    weights = kink[0] * flip * weight / s, kink[1] * weight
    _, _, tz, _, zz = world.moments(i, gains, c)
    series = summed(along, world, i, s, s, weights, gains, c)
    return series - kink[0] * flip * zz / 2 - kink[1] * tz


def _range(world, gains, c, margin):
    """H such that `|z| < H`, with a margin, except for a chance that is lost in rounding.

    The series has a second kink at `|z| = H`, which z must stay away from. H is no larger than the
    largest possible `|z|`, and smaller where Chernoff's bound shows that all but exp(-36) is nearer.
    """
    gains, c = stop_gradient((gains, c))
    low, high = world.value.bounds
    largest = jnp.maximum(jnp.abs(gains).max(), 1e-100)
    s = double(2.0 ** np.arange(-4, 7))[:, None] / (largest * math.sqrt(world.value.square))
    ends = []
    for sign in (1, -1):
        bound = world.most(sign * gains, low, high) if math.isfinite(high - low) else jnp.inf
        tail = ((world.log_moment(sign * gains, s) + 36) / s[:, 0]).min()
        ends.append(sign * c + jnp.minimum(bound, tail))
    # Members of a set may cancel; H must not be so small that phases overflow.
    H = jnp.maximum(jnp.maximum(*ends), jnp.maximum(1e-3 * largest, 1e-100))
    return H * (1 + margin)


def _smooth(world, i, gains, c, activation, harmonics):
    """`E[f(z)^2] - 2 E[t f(z)]` for any f: its Fourier series on [-H, H], times the characteristic function.

    A window takes f to 0 in the margin within H, so that its periodic continuation is smooth.
    """
    margin = 64 / harmonics
    H = _range(world, gains, c, margin)
    k = np.arange(1, 2 * harmonics, 2, dtype=np.int32)
    u = (np.arange(8 * harmonics) + 0.5) / (4 * harmonics) - 1
    half = margin / (1 + margin) / 2
    window = double(np.vectorize(math.erfc)((np.abs(u) - (1 - half)) / half * 6) / 2)
    f = activations[activation](H * double(u))
    turns = np.pi / 2 * np.outer(u, k)
    cos, sin = double(np.cos(turns) / (4 * harmonics)), double(np.sin(turns) / (4 * harmonics))
    weights = tuple(lax.complex((g * window) @ cos, -(g * window) @ sin) for g in (f**2, -2 * f))
    angle, odd = jnp.pi / 2 / H, double(k)
    s = lax.complex(jnp.zeros_like(odd), angle * odd)
    return summed(harmonic, world, i, (angle, odd), s, weights, gains, c)


def output_errors(
    A: Float[Array, "output feature"],
    c: Float[Array, " output"],
    world: World,
    activation: Activation,
    method: str,
    harmonics: int,
) -> Float[Array, " output"]:
    """`E[(t_i - activation(z_i))^2]` for each output i, `z = A x + c`; `A` may have only the first few.

    >>> from superpose.values import Uniform
    >>> sets = Sets(double([0.5, 0.5]), Uniform(), (1, 1), True, "x")
    >>> A, c = double([[1, -1], [-1, 1]]), double([0, 0])
    >>> errors = output_errors(A, c, sets, "relu", "enumeration", 512)  # of an antipodal pair: density^2 / 6
    >>> [round(float(error), 6) for error in errors]
    [0.041667, 0.041667]
    """
    if method == "enumeration":
        group, weight = world.supports()

    def error(i, gains, c):
        tt, _, tz, _, zz = world.moments(i, gains, c)
        if activation == "identity":
            return tt - 2 * tz + zz
        if method == "quadrature":
            return tt + _smooth(world, i, gains, c, activation, harmonics)
        kink = KINKS[activation]
        if method == "enumeration":
            bent = _closed(world, i, gains, c, group, weight, kink)
        else:
            by = _contour if hasattr(world.value, "pole") else _characteristic
            bent = by(world, i, gains, c, kink, harmonics)
        return _error(activation, tt, tz, zz, bent, _silent(world, activation, gains, c))

    return _each_output(error, A, c, world.at_once)


def rounding(
    A: Float[Array, "output feature"], c: Float[Array, " output"], world: World, activation: Activation
) -> Float[Array, " output"]:
    """Roughly how much rounding may change each of `output_errors`, which are differences of moments.

    >>> from superpose.values import Uniform
    >>> sets = Sets(double([0.5, 0.5]), Uniform(), (1, 1), True, "x")
    >>> bool((rounding(double([[1, -1], [-1, 1]]), double([0, 0]), sets, "relu") < 1e-14).all())
    True
    """

    def each(i, gains, c):
        tt, _, _, _, zz = world.moments(i, gains, c)
        return 4e-15 * (tt + jnp.where(_silent(world, activation, gains, c), 0.0, zz))

    return _each_output(each, A, c, world.at_once)


def errors_given(
    A: Float[Array, "feature feature"],
    c: Float[Array, " feature"],
    world: Sets,
    activation: Activation,
    count: int,
) -> Float[Array, " feature"]:
    """`output_errors` given that exactly `count` sets are active; 0 where that has no chance.

    >>> from superpose.values import Uniform
    >>> sets = Sets(double([0.5, 0.5]), Uniform(), (1, 1), True, "x")
    >>> A, c = double([[1, -1], [-1, 1]]), double([0, 0])
    >>> [round(float(error), 6) for error in errors_given(A, c, sets, "relu", 2)]  # E[min(x, y)^2] = 1/6
    [0.166667, 0.166667]
    """
    group, weight = world.supports((count,))
    weight = weight / jnp.where(weight.sum() > 0, weight.sum(), 1.0)

    def error(i, gains, c):
        bent = 0.0
        if activation != "identity":
            bent = _closed(world, i, gains, c, group, weight, KINKS[activation])
        tt, tz, zz = _moments_of(world, i, gains, c, group, weight)
        return _error(activation, tt, tz, zz, bent, _silent(world, activation, gains, c))

    return _each_output(error, A, c, world.at_once)


def _error(activation, tt, tz, zz, bent, silent):
    """`E[(t - f(z))^2]` from moments and the terms with a kink (`KINKS`), for `f(z) = max(z, 0) = (z + |z|) / 2`, `|z|` and `z`."""
    error = {"relu": tt - tz + zz / 2, "abs": tt + zz, "identity": tt - 2 * tz + zz}[activation] + bent
    return jnp.where(silent, tt, error)


def _silent(world, activation, gains, c):
    """Whether z is never positive, so that its ReLU is 0: a large negative bias loses all else to rounding."""
    low, high = world.value.bounds
    return activation == "relu" and math.isfinite(high - low) and c + world.most(gains, low, high) <= 0


def _each_output(error: Callable, A, c, most):
    # A block at a time, to save memory; all blocks are of one size, so that they run one program.
    n = len(c)
    blocks = -(-n // most)
    width = -(-n // blocks)
    rows = np.minimum(np.arange(blocks * width, dtype=np.int32), n - 1).reshape(blocks, width)
    each = jax.vmap(error)
    if blocks == 1:
        return each(rows[0], A, c)
    return lax.map(lambda rows: each(rows, A[rows], c[rows]), rows).reshape(-1)[:n]
