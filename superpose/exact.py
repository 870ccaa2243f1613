"""The exact error of one output: the expectation of `(t_i - activation(z_i))^2` over all samples.

An output sees one number, `z = c + sum_j gains_j x_j`, in which sets of features are active
independently of each other. `docs/exact.md` derives what is computed here.
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial, reduce
from itertools import chain, combinations, product
from operator import mul
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.lax import stop_gradient
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from superpose.models import Activation, activations
from superpose.values import Binary, double, outer, signed_square

METHODS = ("enumeration", "characteristic", "quadrature")
# An error is a polynomial in moments, plus these multiples of `E[z |z|] / 2` and of `E[t |z|]`.
KINKS: dict[Activation, tuple[float, float]] = {"relu": (1.0, -1.0), "abs": (0.0, -2.0)}


class World(NamedTuple):
    """What the errors depend on besides the model: static, but for `set_density`."""

    set_density: Array  # the chance that each set is active
    value: Any  # a law, as superpose/values.py describes it
    sizes: tuple[int, ...]  # of the sets
    together: bool  # all members of an active set are active, or just one, each equally likely
    target: str

    @property
    def set_of(self):
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)

    @property
    def members(self):
        """The features of each set, in columns; where a set has fewer, the number of features."""
        starts = np.cumsum((0, *self.sizes))
        place = np.arange(max(self.sizes))
        return np.where(place < np.array(self.sizes)[:, None], starts[:-1, None] + place, starts[-1])

    def by_set(self, numbers, fill=0.0):
        """The last axis as (set, member), padded with `fill` where a set has fewer members than others."""
        if max(self.sizes) == 1:
            return numbers[..., None]
        rest = jnp.full_like(numbers[..., :1], fill)
        return jnp.concatenate([numbers, rest], axis=-1)[..., self.members]

    @property
    def parts(self):
        """The law of a feature as `(share, sign, law)`: for y of that law, x is `sign y`, the target y."""
        return self.value.halves if self.target == "abs" else ((1.0, 1, self.value),)

    @property
    def by_law(self):
        """The parts grouped by law, `(shares, signs, law)`: those of one law share one program."""
        parts = self.parts
        laws = dict.fromkeys(law for _, _, law in parts)
        return [
            (*map(double, zip(*[part[:2] for part in parts if part[2] == law], strict=True)), law)
            for law in laws
        ]


def closed_size(world: World) -> float:
    """Up to how many active features supports have a closed form."""
    return min(getattr(law, "closed", 0) for law in (world.value, *(law for _, _, law in world.parts)))


def largest_support(world: World, count: int) -> int:
    """The most features that are active where `count` sets are."""
    return sum(sorted(world.sizes)[len(world.sizes) - count :]) if world.together else count


def work(world: World, count: int | None = None) -> float:
    """How many numbers an enumeration takes per output: for all supports, or with `count` active sets."""
    corners = getattr(world.value, "corners", 1)
    each = [corners**size if world.together else corners * size for size in world.sizes]
    if count is None:
        return math.prod(1 + numbers for numbers in each)
    sums = [1.0] + [0.0] * count  # elementary symmetric polynomials
    for numbers in each:
        sums = [1.0] + [a + numbers * b for a, b in zip(sums[1:], sums[:-1], strict=True)]
    return sums[count]


def method(world: World, activation: Activation) -> str:
    """The best method, by size."""
    if activation not in ("identity", "relu", "abs"):
        return "quadrature"
    closed = largest_support(world, len(world.sizes)) <= closed_size(world)
    most = 4096 if getattr(world.value, "corners", 1) == 1 else 800
    return "enumeration" if closed and work(world) <= most else "characteristic"


def harmonics(world: World, method: str) -> int:
    """How many harmonics keep the error within 1e-8 of the loss for up to 10 features, and within 1e-6 beyond."""
    few, law = sum(world.sizes) <= 10, world.value
    if method == "characteristic" and not math.isfinite(law.bounds[1]) and not hasattr(law, "pole"):
        return 4096 if few else 512
    return 384 if not few and getattr(law, "corners", 1) > 1 else 512


# Supports: which sets are active, and which features that makes active.


class Supports(NamedTuple):
    """Supports, those with most active features first."""

    features: np.ndarray  # (support, active feature), padded with the number of features
    active: np.ndarray  # how many features are active
    sets: np.ndarray  # (support, set): whether it is active
    share: np.ndarray  # the chance of these features, given these sets


@lru_cache(maxsize=64)
def supports(sizes, together, counts) -> Supports:
    """The supports in which as many sets are active as one of `counts` says."""
    starts, rows = np.cumsum((0, *sizes)), []
    for sets in (sets for count in counts for sets in combinations(range(len(sizes)), count)):
        members = [range(starts[s], starts[s + 1]) for s in sets]
        choices = [tuple(chain(*members))] if together else list(product(*members))
        rows += [(features, sets, 1 / len(choices)) for features in choices]
    rows.sort(key=lambda support: -len(support[0]))
    features = np.full((len(rows), len(rows[0][0])), starts[-1], np.int32)
    active = np.zeros((len(rows), len(sizes)), bool)
    for row, (those, sets, _) in enumerate(rows):
        features[row, : len(those)] = those
        active[row, list(sets)] = True
    return Supports(
        features, np.array([len(f) for f, _, _ in rows]), active, np.array([w for _, _, w in rows])
    )


def probability(world: World, group: Supports) -> Float[Array, " support"]:
    """The chance of each support."""
    each = jnp.where(group.sets, world.set_density, 1 - world.set_density)
    # One by one: without x64 mode JAX cannot differentiate a product in float64.
    return double(group.share) * reduce(mul, (each[:, s] for s in range(len(world.sizes))))


def _gains(gains, group):
    return jnp.concatenate([gains, jnp.zeros_like(gains[:1])])[group.features]


def _closed(world, i, gains, c, group, weight, kink, H=0.0):
    """The terms with a kink, summed over supports: `z |z| / 2 - H z / 2` and `t |z| - H t / 2`, times `kink`.

    The latter is the derivative of the former by the gain of feature i itself.
    """
    here, g, total = group.features == i, _gains(gains, group), 0.0
    for shares, signs, law in world.by_law:

        def mean(own, law=law):
            each = jnp.where(here, own, g)
            z = c + (each * jnp.where(here, double(law.mean), double(world.value.mean))).sum(-1)
            square = signed_square(c) + jnp.zeros_like(z)
            if each.size:
                square = world.value.signed_square(c, each, group.active, here, law)
            return weight @ (square - H / 2 * z)

        own = signs * gains[i]
        value, slope = jax.vmap(lambda own, mean=mean: jax.jvp(mean, (own,), (jnp.ones_like(c),)))(own)
        total = total + shares @ (kink[0] * value + kink[1] * slope)
    return total


# Moments.


def _moments(world, i, gains, c):
    """`E[t^2]`, `E[t]`, `E[t z]`, `E[z]` and `E[z^2]`."""
    mean, square = double(world.value.mean), double(world.value.square)
    t_x, t_mean = _target_moments(world)
    sizes, at = double(world.sizes), jnp.asarray(world.set_of)[i]
    total, squares = (world.by_set(a).sum(-1) for a in (gains, gains**2))
    p = world.set_density[at]
    if world.together:
        set_mean = world.set_density * mean * total
        set_square = world.set_density * ((square - mean**2) * squares + mean**2 * total**2)
        active, own = p, p * (t_x * gains[i] + t_mean * mean * (total[at] - gains[i]))
    else:
        set_mean = world.set_density * mean * total / sizes
        set_square = world.set_density * square * squares / sizes
        active = p / sizes[at]
        own = active * t_x * gains[i]
    z = c + set_mean.sum()
    zz = z**2 + (set_square - set_mean**2).sum()
    tz = own + active * t_mean * (z - set_mean[at])
    return active * square, active * t_mean, tz, z, zz


def _moments_of(world, i, gains, c, group, weight):
    """`E[t^2]`, `E[t z]` and `E[z^2]` over these supports."""
    mean, square = double(world.value.mean), double(world.value.square)
    t_x, t_mean = _target_moments(world)
    g, active = _gains(gains, group), (group.features == i).any(-1)
    z = c + mean * g.sum(-1)
    tt = jnp.where(active, square, 0.0)
    tz = jnp.where(active, t_x * gains[i] + t_mean * (z - mean * gains[i]), 0.0)
    zz = z**2 + (square - mean**2) * (g**2).sum(-1)
    return weight @ tt, weight @ tz, weight @ zz


def _target_moments(world):
    """`E[t x]` and `E[t]` of an active feature."""
    parts = world.parts
    t_x = sum(share * sign * double(law.square) for share, sign, law in parts)
    return t_x, sum(share * double(law.mean) for share, _, law in parts)


# Sums over points s of terms with the moment generating function of z, `M(s) = E[exp(s z)]`, as a factor.


def _harmonic(law, gains, points):
    """`E[exp(s g x)]` for each gain g, at the points s = i angle k."""
    angle, k = points
    return law.characteristic(angle * gains, k)


def _along(law, gains, points):
    """`E[exp(s g x)]` for each gain g, at points s of the complex plane."""
    s = outer(gains, points)
    return law.generating((s.real, s.imag))


def _sum(transform, world, i, points, s, weights, gains, c, few=None, few_c=0.0):
    """`Re sum_s (a M(s) + b M_t(s))` with the two `weights`, `M = E[exp(s z)]` and `M_t = E[t exp(s z)]`.

    With `few`, the part of no and of one active set is subtracted: `few` has the weight of none and the odds
    of each, and `few_c` takes the place of c there. Slopes are by gains, c and chances; all else is constant.
    """
    constant = stop_gradient((i, points, s, weights, few))
    few_c = few_c + jnp.zeros_like(c)
    return _series(transform, world._replace(set_density=None), *constant, gains, c, few_c, world.set_density)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _series(transform, world, i, points, s, weights, few, gains, c, few_c, set_density):
    """M is a product over the sets; for the gradient, each factor is divided out of it.

    That costs no digits, since what is divided out is exactly what was multiplied in. One pass for the
    product and another for the gradient store nothing.
    """
    return _with_slopes(False, transform, world, i, points, s, weights, few, gains, c, few_c, set_density)[0]


@partial(_series.defjvp, symbolic_zeros=True)
def _series_jvp(transform, world, primals, tangents):
    changes = tangents[-4:]
    by_density = not isinstance(changes[-1], SymbolicZero)
    value, slopes = _with_slopes(by_density, transform, world, *primals)
    pairs = zip(slopes, changes, strict=True)
    change = sum((slope * change).sum() for slope, change in pairs if not isinstance(change, SymbolicZero))
    return value, change


def _with_slopes(by_density, transform, world, i, points, s, weights, few, gains, c, few_c, set_density):
    """The value, and its slopes by `gains`, `c`, `few_c` and, if asked for, `set_density`.

    Numbers are complex only in here: without x64 mode, JAX cannot transpose taking the real part.
    """
    (a, b), (none, odds) = weights, few or (0.0, jnp.zeros_like(set_density))
    sizes, at, one = double(world.sizes), jnp.asarray(world.set_of)[i], jnp.ones_like(s)
    other, mates = np.arange(len(sizes)) != at, np.arange(len(gains)) != i
    sets = world.by_set(gains), sizes, jnp.where(other, set_density, 0.0), jnp.where(other, odds, 0.0)

    def multiply(sums, each):
        gains, size, p, odd = each
        phi, _ = _of_set(lax.complex(*transform(world.value, gains, points)), size, world.together)
        return (sums[0] * _factor(p, phi), sums[1] + odd * phi if few else sums[1]), None

    (product, some), _ = lax.scan(multiply, (one, 0 * one), sets)

    # What feature i itself, and then its set, makes of a and b.
    mine = mine_slope = 0 * one
    for share, sign, law in world.parts:
        phi, slope, curve = _two_slopes(lambda g, law=law: transform(law, g, points), sign * gains[i])
        mine = mine + share * (a * phi + _divided(b * slope, s))
        mine_slope = mine_slope + share * sign * (a * slope + _divided(b * curve, s))
    if max(world.sizes) > 1:
        size, with_i = sizes[at], world.by_set(jnp.where(mates, gains, 0.0))[at]
        phi, slope, _ = _two_slopes(lambda g: transform(world.value, g, points), with_i)
        if world.together:
            phi = _apart_from_zero(phi)
            whole = reduce(mul, phi)
            mine, mine_slope, mates_slope = (
                mine * whole,
                mine_slope * whole,
                _divided((mine * whole)[None], phi) * slope,
            )
        else:
            mine = (mine + a * (phi.sum(0) - (len(phi) - size + 1))) / size
            mine_slope, mates_slope = mine_slope / size, a[None] * slope / size

    p, odd = set_density[at], odds[at]
    # c acts as the gain of a feature that is always 1.
    turn, few_turn = (lax.complex(*transform(Binary(), gain, points)) for gain in (c, few_c))
    turn, few_turn = turn * product, -none * few_turn
    total = turn * ((1 - p) * a + p * mine)
    without = few_turn * (a * (1 + some) + odd * mine)
    by_mine = p * turn + odd * few_turn

    def slopes(_, each):
        gains, size, p, odd = each
        at, slope = jax.jvp(lambda g: transform(world.value, g, points), (gains,), (jnp.ones_like(gains),))
        phi, part = _of_set(lax.complex(*at), size, world.together)
        others = _divided(total, _factor(p, phi))
        by_phi = p * others + odd * few_turn * a
        return None, (
            (by_phi[None] * part * lax.complex(*slope)).real.sum(-1),
            (others * (phi - 1)).real.sum() if by_density else None,
        )

    _, (by_gain, by_p) = lax.scan(slopes, None, sets)
    if max(world.sizes) > 1:
        by_gain = by_gain.at[at].add((by_mine[None] * mates_slope).real.sum(-1))
    by_gain = by_gain.reshape(-1)[np.flatnonzero(world.members.reshape(-1) < len(gains))]
    by_gain = jnp.where(mates, by_gain, (by_mine * mine_slope).real.sum())
    if by_density:
        by_p = jnp.where(other, by_p, (turn * (mine - a)).real.sum())
    by_c, by_few_c = (s * total).real.sum(), (s * without).real.sum()
    return (total + without).real.sum(), (by_gain, by_c, by_few_c, by_p)


def _two_slopes(f, x):
    """A function's value, slope and curvature, as complex numbers."""
    one = jnp.ones_like(x)
    (at, slope), (_, curve) = jax.jvp(lambda x: jax.jvp(f, (x,), (one,)), (x,), (one,))
    return tuple(lax.complex(*pair) for pair in (at, slope, curve))


def _of_set(phi, size, together):
    """`(phi of an active set, its derivative by each member's phi)`, from its members' `phi`.

    Where a set has fewer members than others, its padding has gains of 0: `phi = 1`.
    """
    n = len(phi)
    if not together:
        return (phi.sum(0) - (n - size)) / size, jnp.ones_like(phi) / size
    if n == 1:
        return phi[0], jnp.ones_like(phi)
    phi = _apart_from_zero(phi)
    whole = reduce(mul, phi)
    return whole, _divided(whole[None], phi)


def _factor(p, phi):
    return _apart_from_zero(1 - p + p * phi)


def _apart_from_zero(a):
    """`a`, but never 0, so that one factor of a product can be divided out of it."""
    tiny = a.real**2 + a.imag**2 < double(1e-100)
    return jnp.where(tiny, double(1e-50).astype(a.dtype), a)


def _divided(a, b):
    """`a / b`, without JAX's precautions against overflow."""
    return a * (b.conj() / (b.real**2 + b.imag**2))


def _characteristic(world, i, gains, c, kink, harmonics):
    """Terms with a kink, by the characteristic function of z: `E[z |z|] / 2` and `E[t |z|]`, times `kink`.

    For |z| <= H, with k over the odd numbers,

        z |z| = H z - (8 H^2 / pi^3) sum_k sin(pi k z / H) / k^3,
          |z| = H / 2 - (4 H / pi^2) sum_k cos(pi k z / H) / k^2.

    The supports of no and of one active set, whose part of the series converges slowly, are taken out of it
    and added in closed form.
    """
    H = _range(world, gains, c, 48 / harmonics)
    k = np.arange(1, 2 * harmonics, 2, dtype=np.int32)
    smooth = np.exp(-36 * (k / (2 * harmonics)) ** 16)
    one = (max(world.sizes) if world.together else 1) <= closed_size(world)
    none, odds, shift = _few(world, i, gains, jnp.pi * harmonics / H, one)
    angle, odd, flat = jnp.pi / H, double(k), double(np.zeros(harmonics))
    # -Im M = Re i M.
    weights = (
        lax.complex(flat, kink[0] * 4 * H**2 / math.pi**3 * double(smooth / k**3.0)),
        lax.complex(-kink[1] * 4 * H / math.pi**2 * double(smooth / k**2.0), flat),
    )
    s = lax.complex(flat, angle * odd)
    series = _sum(_harmonic, world, i, (angle, odd), s, weights, gains, c, (none, odds), c + shift)
    group = supports(world.sizes, world.together, tuple(range(1 + one)))
    weight = none * double(group.share) * jnp.where(group.sets, odds, 1.0).prod(-1)
    _, t, _, z, _ = _moments(world, i, gains, c)
    # Recomputed for the gradient, to save memory.
    closed = jax.checkpoint(lambda gains, c: _closed(world, i, gains, c, group, weight, kink, H))
    return H / 2 * (kink[0] * z + kink[1] * t) + series + closed(gains, c + shift)


def _few(world, i, gains, finest, one):
    """What is taken out of the series: the weight of no active set, the odds of each, and a shift of c.

    Any weights of these supports will do, since the series takes up the difference. Sets other than i's
    count as inactive where their gains are too small for the series to tell them from 0, and the chance of
    being inactive has a floor: so little that converges slowly is left in the series. The shift is what
    the sets that do not count add to z on average. It keeps the derivative by a gain of
    0 out of the series. Without `one`, no set counts.
    """
    seen = -jnp.expm1(-((finest * gains) ** 2))
    seen = world.by_set(seen).max(-1)
    other = np.arange(len(world.sizes)) != jnp.asarray(world.set_of)[i]
    seen = stop_gradient(jnp.where(other | (not one), seen, 1.0))
    counted = stop_gradient(jnp.minimum(world.set_density * seen, 1 - 1e-9))
    none, odds = jnp.prod(1 - counted), counted / (1 - counted) * one
    unseen = stop_gradient(world.set_density) * (1 - seen) / (1 if world.together else double(world.sizes))
    return none, odds, double(world.value.mean) * (unseen[world.set_of] @ gains)


def _contour(world, i, gains, c, kink, count):
    """The same from M, the moment generating function of z, where the law has one beyond the imaginary axis.

    For c <= 0, with s along any path that goes around the poles of positive real part, to their left,

        E[max(z, 0)^2] = 1 / (2 pi i) int 2 s^-3 M(s) ds,  E[t max(z, 0)] = 1 / (2 pi i) int s^-2 M_t(s) ds.

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
    height = _log_moment(world, stop_gradient(gains), tries[:, None]) + tries * level - 3 * jnp.log(tries)
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
    _, _, tz, _, zz = _moments(world, i, gains, c)
    series = _sum(_along, world, i, s, s, weights, gains, c)
    return series - kink[0] * flip * zz / 2 - kink[1] * tz


def _log_moment(world, gains, s):
    """`log E[exp(s z)]` without c, at real s, for each row of `s`."""
    cumulant = world.value.cumulant(s * gains[None])
    if world.together:
        active = world.by_set(cumulant).sum(-1)
    else:
        active = logsumexp(world.by_set(cumulant, -jnp.inf), axis=-1) - jnp.log(double(world.sizes))[None]
    p = jnp.minimum(stop_gradient(world.set_density), 1 - 1e-16)
    return jnp.where(active < 700, jnp.log1p(p[None] * jnp.expm1(jnp.minimum(active, 700))), jnp.inf).sum(-1)


def _range(world, gains, c, margin):
    """H such that |z| < H, with a margin, except for a chance that is lost in rounding.

    The series has a second kink at |z| = H, which z must stay away from. H is no larger than the
    largest possible |z|, and smaller where Chernoff's bound shows that all but exp(-36) is nearer.
    """
    gains, c = stop_gradient((gains, c))
    low, high = world.value.bounds
    largest = jnp.maximum(jnp.abs(gains).max(), 1e-100)
    s = double(2.0 ** np.arange(-4, 7))[:, None] / (largest * math.sqrt(world.value.square))
    ends = []
    for sign in (1, -1):
        bound = _set_bound(sign * gains, low, high, world) if math.isfinite(high - low) else jnp.inf
        tail = ((_log_moment(world, sign * gains, s) + 36) / s[:, 0]).min()
        ends.append(sign * c + jnp.minimum(bound, tail))
    # Members of a set may cancel; H must not be so small that phases overflow.
    H = jnp.maximum(jnp.maximum(*ends), jnp.maximum(1e-3 * largest, 1e-100))
    return H * (1 + margin)


def _set_bound(a, low, high, world):
    """The largest value of `a . x`."""
    most = world.by_set(jnp.maximum(a * low, a * high), 0.0 if world.together else -jnp.inf)
    most = most.sum(-1) if world.together else most.max(-1)
    return jnp.maximum(most, 0).sum()


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
    return _sum(_harmonic, world, i, (angle, odd), s, weights, gains, c)


def output_errors(
    A: Float[Array, "output feature"],
    c: Float[Array, " output"],
    world: World,
    activation: Activation,
    method: str,
    harmonics: int,
) -> Float[Array, " output"]:
    """`E[(t_i - activation(z_i))^2]` for each output i, `z = A x + c`; `A` may have only the first few."""
    if method == "enumeration":
        group = supports(world.sizes, world.together, tuple(range(len(world.sizes) + 1)))
        weight = probability(world, group)

    def error(i, gains, c):
        tt, _, tz, _, zz = _moments(world, i, gains, c)
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

    return _each_output(error, A, c)


def rounding(
    A: Float[Array, "output feature"], c: Float[Array, " output"], world: World, activation: Activation
) -> Float[Array, " output"]:
    """Roughly how much rounding may change each of `output_errors`, which are differences of moments."""

    def each(i, gains, c):
        tt, _, _, _, zz = _moments(world, i, gains, c)
        return 4e-15 * (tt + jnp.where(_silent(world, activation, gains, c), 0.0, zz))

    return _each_output(each, A, c)


def errors_given(
    A: Float[Array, "feature feature"],
    c: Float[Array, " feature"],
    world: World,
    activation: Activation,
    count: int,
) -> Float[Array, " feature"]:
    """`output_errors` given that exactly `count` sets are active; 0 where that has no chance."""
    group = supports(world.sizes, world.together, (count,))
    weight = probability(world, group)
    weight = weight / jnp.where(weight.sum() > 0, weight.sum(), 1.0)

    def error(i, gains, c):
        bent = 0.0
        if activation != "identity":
            bent = _closed(world, i, gains, c, group, weight, KINKS[activation])
        tt, tz, zz = _moments_of(world, i, gains, c, group, weight)
        return _error(activation, tt, tz, zz, bent, _silent(world, activation, gains, c))

    return _each_output(error, A, c)


def _error(activation, tt, tz, zz, bent, silent):
    """`E[(t - f(z))^2]` from moments and the terms with a kink (`KINKS`), for `f(z) = max(z, 0) = (z + |z|) / 2`, |z| and z."""
    error = {"relu": tt - tz + zz / 2, "abs": tt + zz, "identity": tt - 2 * tz + zz}[activation] + bent
    return jnp.where(silent, tt, error)


def _silent(world, activation, gains, c):
    """Whether z is never positive, so that its ReLU is 0: a large negative bias loses all else to rounding."""
    low, high = world.value.bounds
    return activation == "relu" and math.isfinite(high - low) and c + _set_bound(gains, low, high, world) <= 0


def _each_output(error: Callable, A, c):
    # A block at a time, to save memory; all blocks are of one size, so that they run one program.
    n = len(c)
    blocks = -(-n // 64)
    width = -(-n // blocks)
    rows = np.minimum(np.arange(blocks * width, dtype=np.int32), n - 1).reshape(blocks, width)
    each = jax.vmap(error)
    if blocks == 1:
        return each(rows[0], A, c)
    return lax.map(lambda rows: each(rows, A[rows], c[rows]), rows).reshape(-1)[:n]
