"""The exact error of one output: the expectation of `(t_i - activation(z_i))^2` over all samples.

An output sees one number, `z = c + sum_j gains_j x_j`, in which sets of features are active
independently of each other. `docs/exact.md` derives what is computed here.
"""

import math
from collections.abc import Callable
from functools import lru_cache, reduce
from itertools import combinations, product
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.scipy.special import erf
from jaxtyping import Array, Float

from superpose.models import activations
from superpose.values import Binary, Complex, Exponential, Gaussian, Uniform, Value, double, phases, times

METHODS = ("enumeration", "characteristic", "quadrature")


class World(NamedTuple):
    """What the errors depend on besides the model: static, but for `chance`."""

    chance: Array  # that a set is active
    value: Value
    sizes: tuple[int, ...]  # of the sets
    together: bool  # all members of an active set are active, or just one, each as likely
    target: str

    @property
    def set_of(self):
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)

    @property
    def parts(self):
        """The law of a feature as `(share, sign, law)`: with y of that law, x is `sign y` and the target y."""
        return self.value.halves if self.target == "abs" else ((1.0, 1, self.value),)


def closed_size(world: World) -> float:
    """Supports of how many active features have a closed form."""
    if isinstance(world.value, Uniform | Binary):
        return math.inf
    return math.inf if isinstance(world.value, Gaussian) and world.target == "x" else 1


def largest_support(world: World, count: int) -> int:
    """The most features that are active where `count` sets are."""
    return sum(sorted(world.sizes)[len(world.sizes) - count :]) if world.together else count


def work(world: World, count: int | None = None) -> float:
    """How many numbers an enumeration takes for each output: of all supports, or those of `count` active sets."""
    corners = 2 if isinstance(world.value, Uniform) else 1
    each = [corners**size if world.together else corners * size for size in world.sizes]
    if count is None:
        return math.prod(1 + numbers for numbers in each)
    sums = [1.0] + [0.0] * count  # elementary symmetric polynomials
    for numbers in each:
        sums = [1.0] + [a + numbers * b for a, b in zip(sums[1:], sums[:-1], strict=True)]
    return sums[count]


def method(world: World, activation: str) -> str:
    """The best method, by size."""
    if activation not in ("identity", "relu", "abs"):
        return "quadrature"
    closed = largest_support(world, len(world.sizes)) <= closed_size(world)
    most = 800 if isinstance(world.value, Uniform) else 4096
    return "enumeration" if closed and work(world) <= most else "characteristic"


def harmonics(world: World, method: str) -> int:
    """So many that the error is at most 1e-8 of the loss for up to 10 features and 1e-6 beyond."""
    few = sum(world.sizes) <= 10
    if isinstance(world.value, Gaussian) and method == "characteristic":
        return 4096 if few else 512
    return 512 if few or isinstance(world.value, Binary) else 384


# Supports: which sets are active, and which features that makes active.


class Supports(NamedTuple):
    """All supports with the same number of active features."""

    features: np.ndarray  # (support, active feature)
    sets: np.ndarray  # (support, active set)
    share: np.ndarray  # the chance of these features, given these sets


@lru_cache(maxsize=64)
def supports(sizes, together, count) -> tuple[Supports, ...]:
    """The supports of exactly `count` active sets, grouped by their number of features."""
    starts = np.cumsum((0, *sizes))
    found: dict[int, list] = {}
    for sets in combinations(range(len(sizes)), count):
        members = [range(starts[s], starts[s + 1]) for s in sets]
        if together:
            choices, share = [tuple(j for m in members for j in m)], 1.0
        else:
            choices, share = list(product(*members)), 1 / math.prod(sizes[s] for s in sets)
        for features in choices:
            found.setdefault(len(features), []).append((features, sets, share))
    return tuple(
        Supports(
            np.array([f for f, _, _ in group], np.int32).reshape(len(group), size),
            np.array([s for _, s, _ in group], np.int32).reshape(len(group), count),
            np.array([w for _, _, w in group]),
        )
        for size, group in found.items()
    )


def probability(world: World, group: Supports) -> Float[Array, " support"]:
    """The chance of each support."""
    active = np.zeros((len(group.sets), len(world.sizes)), bool)
    np.put_along_axis(active, group.sets, True, axis=1)
    return double(group.share) * jnp.where(active, world.chance, 1 - world.chance).prod(-1)


# Means over the values of the active features, in closed form. All are of `z |z| / 2`, from which
# the rest follows: `|z|` times a feature is its derivative by that feature's gain.


def half_signed_square(world, law, i, own, c, gains, group: Supports) -> Float[Array, " support"]:
    """`E[z |z|] / 2` given each support. Feature `i` has the gain `own` and the law `law`."""
    here = group.features == i
    g = jnp.where(here, own, gains[group.features])
    columns = [g[:, a] for a in range(g.shape[1])]
    if isinstance(world.value, Uniform | Binary):
        low, high = (
            jnp.where(here, double(a), b) for a, b in zip(law.bounds, world.value.bounds, strict=True)
        )
        c = c + (g * low).sum(-1)
        widths = [] if isinstance(world.value, Binary) else list(jnp.moveaxis(g * (high - low), 1, 0))
        return _cube_mean(c, _by_size(widths))
    if isinstance(world.value, Gaussian) and world.target == "x":
        return _gaussian_mean(c, world.value.scale**2 * (g**2).sum(-1))
    if not columns:
        return _signed_power(2, c) * jnp.ones(len(g))
    (g,) = columns
    if isinstance(world.value, Exponential):
        return _ray_mean(c, g, world.value)
    other = _gaussian_mean(c, (world.value.scale * g) ** 2)
    return jnp.where(here[:, 0], _ray_mean(c, g, law), other)


def _by_size(gains):
    # Largest magnitude first: a bubble sort, since there are few.
    for end in range(len(gains) - 1, 0, -1):
        for at in range(end):
            a, b = gains[at], gains[at + 1]
            right = jnp.abs(a) >= jnp.abs(b)
            gains[at], gains[at + 1] = jnp.where(right, a, b), jnp.where(right, b, a)
    return gains


def _cube_mean(c, gains):
    """The mean of `z |z| / 2` over u in the unit cube, with `z = c + gains . u`, the largest first.

    Let F_k be the k-th antiderivative of z|z|/2, `sgn(z)^(k+1) |z|^(k+2) / (k+2)!`. Where z has one
    sign the mean of F_k is a polynomial. Where it has both, the integral along the largest gain is
    a difference of means of F_(k+1), in one dimension less, divided by that gain. Since |z| is
    then at most a few times the gain, nothing is lost to rounding, however small the others are.
    """
    middles = [reduce(add, gains, 2 * c)[None] / 2]
    for g in gains:
        middles.append(jnp.concatenate([middles[-1] + g / 2, middles[-1] - g / 2]))
    mean = _signed_power(2 + len(gains), middles[-1])
    # E[exp(t (z - middle))] over the gains that are left, as a series in t^2: a product of
    # `sinh(g t / 2) / (g t / 2)`.
    series, reach = [jnp.ones_like(c)], jnp.zeros_like(c)
    for k in reversed(range(len(gains))):
        g, middle, degree = gains[k], middles[k], 2 + k
        factor = [jnp.ones_like(c)]
        for m in range(1, degree // 2 + 1):
            factor.append(factor[-1] * (g / 2) ** 2 / (2 * m * (2 * m + 1)))
        series = [
            reduce(add, (factor[a] * series[m - a] for a in range(m + 1) if m - a < len(series)))
            for m in range(degree // 2 + 1)
        ]
        reach = reach + jnp.abs(g) / 2
        powers = (
            part * middle ** (degree - 2 * m) / math.factorial(degree - 2 * m)
            for m, part in enumerate(series)
        )
        crossing = jnp.abs(middle) < reach
        above, below = jnp.split(mean, 2)
        across = (above - below) / jnp.where(crossing, g, 1.0)
        mean = jnp.where(crossing, across, jnp.sign(middle) * reduce(add, powers))
    return mean[0]


def _signed_power(degree, z):
    return jnp.sign(z) * z**degree / math.factorial(degree)


def _gaussian_mean(mean, variance):
    """`E[z |z|] / 2` for normal z."""
    spread = jnp.where(variance > 0, variance, 1.0)
    t = mean / jnp.sqrt(2 * spread)
    density = jnp.sqrt(spread / (2 * math.pi)) * jnp.exp(-(t**2))
    smooth = (mean**2 + spread) * erf(t) / 2 + mean * density
    return jnp.where(variance > 0, smooth, _signed_power(2, mean))


def _ray_mean(c, g, law):
    """`E[z |z|] / 2` for `z = c + g x`, x >= 0 of an unbounded law."""
    whole = c**2 + 2 * c * g * law.mean + g**2 * law.square
    crossing = (c * g < 0) & (jnp.abs(c) < 1000 * law.scale * jnp.abs(g))
    level = jnp.where(crossing, -c / jnp.where(crossing, g, 1.0), 0.0)
    side = jnp.where(c != 0, jnp.sign(c), jnp.sign(g))
    return jnp.where(crossing, jnp.sign(g) * (g**2 * law.beyond(level) - whole / 2), side * whole / 2)


# All supports.


def _moments(world, i, gains, c):
    """`E[t^2]`, `E[t]`, `E[t z]`, `E[z]` and `E[z^2]`."""
    value, sets, n_sets = world.value, world.set_of, len(world.sizes)
    mean, square = value.mean, value.square
    t_x, t_mean = _target_moments(world)
    sizes = double(world.sizes)
    total = jax.ops.segment_sum(gains, sets, n_sets)
    squares = jax.ops.segment_sum(gains**2, sets, n_sets)
    at = jnp.asarray(sets)[i]
    p = world.chance[at]
    if world.together:
        set_mean = world.chance * mean * total
        set_square = world.chance * ((square - mean**2) * squares + mean**2 * total**2)
        active, own = p, p * (t_x * gains[i] + t_mean * mean * (total[at] - gains[i]))
    else:
        set_mean = world.chance * mean * total / sizes
        set_square = world.chance * square * squares / sizes
        active = p / sizes[at]
        own = active * t_x * gains[i]
    z = c + set_mean.sum()
    zz = z**2 + (set_square - set_mean**2).sum()
    tz = own + active * t_mean * (z - set_mean[at])
    return active * square, active * t_mean, tz, z, zz


def _closed(world, i, gains, c, weighted, H=0.0):
    """Sums over supports of `z |z| / 2 - H z / 2` and `t |z| - H t / 2`.

    `weighted` has pairs of supports and their weights.
    """
    value = slope = 0.0
    for share, sign, law in world.parts:

        def mean(own, law=law):
            total = 0.0
            for group, weight in weighted:
                here = group.features == i
                z = c + jnp.where(here, own * law.mean, gains[group.features] * world.value.mean).sum(-1)
                total = total + weight @ (half_signed_square(world, law, i, own, c, gains, group) - H / 2 * z)
            return total

        a, b = jax.jvp(mean, (sign * gains[i],), (jnp.ones_like(c),))
        value, slope = value + share * a, slope + share * b
    return value, slope


def _moments_of(world, i, gains, c, weighted):
    """`E[t^2]`, `E[t z]` and `E[z^2]` over these supports."""
    value = world.value
    t_x, t_mean = _target_moments(world)
    tt = tz = zz = jnp.zeros_like(c)
    for group, weight in weighted:
        g, active = gains[group.features], (group.features == i).any(-1)
        z = c + value.mean * g.sum(-1)
        tt = tt + weight @ jnp.where(active, double(value.square), 0.0)
        tz = tz + weight @ jnp.where(active, t_x * gains[i] + t_mean * (z - value.mean * gains[i]), 0.0)
        zz = zz + weight @ (z**2 + (value.square - value.mean**2) * (g**2).sum(-1))
    return tt, tz, zz


def _target_moments(world):
    """`E[t x]` and `E[t]` of an active feature."""
    parts = world.parts
    return sum(w * sign * law.square for w, sign, law in parts), sum(w * law.mean for w, _, law in parts)


class _Spectrum(NamedTuple):
    """`E[exp(s z)]` at several points s is `rest + slope * own`, with `own` for feature i's own part of z."""

    rest: Complex
    slope: Complex

    def at(self, own: Complex) -> Complex:
        return tuple(map(add, self.rest, times(self.slope, own)))

    def less(self, share, few: "_Spectrum") -> "_Spectrum":
        return jax.tree.map(lambda a, b: a - share * b, self, few)


def _characteristic(world, i, gains, c, harmonics):
    """`E[z |z|] / 2` and `E[t |z|]` through the characteristic function of z.

    For |z| <= H, with k over the odd numbers,

        z |z| = H z - (8 H^2 / pi^3) sum_k sin(pi k z / H) / k^3,
          |z| = H / 2 - (4 H / pi^2) sum_k cos(pi k z / H) / k^2.

    No and one active set, whose part of the series converges slowly, are taken out of it and added
    in closed form.
    """
    H = _range(world, gains, c, 48 / harmonics)
    k = np.arange(1, 2 * harmonics, 2, dtype=np.int32)
    smooth = np.exp(-36 * (k / (2 * harmonics)) ** 16)
    psi = world.value.phase(jnp.pi * gains / H, k)
    one_closed = not world.together or max(world.sizes) <= closed_size(world)
    whole = _spectrum(world, i, psi, world.chance)
    none, odds, few, shift = _few(world, i, psi, gains, H, k, one_closed)
    spectrum = whole.less(none, few)
    own, t_own = _own_phase(world, gains[i], H, k)
    turn = phases(jnp.pi * c / H, k)
    phi, t_phi = times(turn, spectrum.at(own)), times(turn, times(spectrum.slope, t_own))
    _, t, _, z, _ = _moments(world, i, gains, c)
    value = H * z / 2 - 4 * H**2 / math.pi**3 * (phi[1] @ double(smooth / k**3.0))
    slope = H * t / 2 - 4 * H / math.pi**2 * (t_phi[0] @ double(smooth / k**2.0))
    weighted = [
        (group, none * double(group.share) * odds[group.sets].prod(-1))
        for count in range(1 + one_closed)
        for group in supports(world.sizes, world.together, count)
    ]
    few_value, few_slope = _closed(world, i, gains, c + shift, weighted, H)
    return value + few_value, slope + few_slope


def _in_sets(world, i, psi):
    """Each set's `E[exp(s z)]` while it is active, with feature i left out; and what i makes of its own.

    The latter is `q0 + q1 * own`.
    """
    at = jnp.asarray(world.set_of)[i]
    mine = (np.arange(len(world.set_of), dtype=np.int32) == i)[:, None]
    in_set = _of_sets(
        (jnp.where(mine, 1.0 if world.together else 0.0, psi[0]), jnp.where(mine, 0.0, psi[1])), world
    )
    part, nothing = tuple(a[at] for a in in_set), (0.0, 0.0)
    size = double(world.sizes)[at]
    q0, q1 = (nothing, part) if world.together else (part, (1 / size, 0.0))
    other = (np.arange(len(world.sizes), dtype=np.int32) != at)[:, None]
    return in_set, q0, q1, other, at


def _spectrum(world, i, psi, chance) -> _Spectrum:
    in_set, q0, q1, other, at = _in_sets(world, i, psi)
    p = jnp.where(other, chance[:, None], 0.0)
    rest = _product((1 - p + p * in_set[0], p * in_set[1]))
    p = chance[at]
    return _Spectrum(times(rest, (1 - p + p * q0[0], p * q0[1])), times(rest, (p * q1[0], p * q1[1])))


def _few(world, i, psi, gains, H, k, one):
    """The same for no active set and, with `one`, one: in units of `none`, with the odds of each set.

    Any weights of these supports will do, since the series takes up the difference. Sets other than i's
    whose gains are too small for the series to tell them from none count as inactive, and the chance to
    be inactive has a floor: so the series has little left that converges slowly. The last number is what
    the sets that do not count add to z on average. As a shift of c, it keeps the derivative by a gain of
    0 out of the series.
    """
    in_set, q0, q1, other, at = _in_sets(world, i, psi)
    seen = -jnp.expm1(-((jnp.pi * (len(k) / H) * gains) ** 2))
    seen = jax.ops.segment_max(seen, world.set_of, len(world.sizes))
    seen = stop_gradient(jnp.where(other[:, 0] | (not one), seen, 1.0))
    counted = stop_gradient(jnp.minimum(world.chance * seen, 1 - 1e-9))
    none, odds = jnp.prod(1 - counted), counted / (1 - counted)
    unseen = stop_gradient(world.chance) * (1 - seen) / (1 if world.together else double(world.sizes))
    shift = unseen[world.set_of] * world.value.mean @ gains
    flat = jnp.zeros_like(psi[0][0])
    few = _Spectrum((flat + 1, flat), (flat, flat))
    if one:
        sums = (jnp.where(other, odds[:, None] * part, 0.0).sum(0) for part in in_set)
        few = _Spectrum(
            tuple(a + b + odds[at] * q for a, b, q in zip(few.rest, sums, q0, strict=True)),
            tuple(a + odds[at] * q for a, q in zip(few.slope, q1, strict=True)),
        )
    turn = phases(jnp.pi * shift / H, k)
    return none, odds, _Spectrum(times(few.rest, turn), times(few.slope, turn)), shift


def _contour(world, i, gains, c, points):
    """`E[z |z|] / 2` and `E[t |z|]` for exponential values, from the moment generating function M.

    For c <= 0, with s along any path around the poles of positive real part, left of them,

        E[max(z, 0)^2] = 1 / (2 pi i) int 2 s^-3 M(s) ds,  E[t max(z, 0)] = 1 / (2 pi i) int s^-2 M_t(s) ds.

    The path is a hyperbola around the positive axis, along which exp(s c) falls, with points
    at equal distances in the logarithm of s: M is a rational function, smooth at
    every scale. For c > 0, z is replaced by -z.
    """
    flip = jnp.where(c > 0, -1.0, 1.0)
    gains, c = flip * gains, flip * c
    law, chance = world.value, world.chance
    # Where the path crosses the axis: near the saddle of the integrand, left of the first pole.
    fixed, level, p = stop_gradient((law.scale * gains, c, chance))
    top = fixed.max()
    pole = 1 / jnp.where(top > 0, top, jnp.maximum(jnp.abs(fixed).max() + jnp.abs(level), 1e-60))
    tries = 0.8 * double(2.0 ** -np.arange(0, 20, 0.5)) * pole
    flat = jnp.zeros((len(gains), len(tries)))
    whole = _spectrum(world, i, (1 / (1 - fixed[:, None] * tries), flat), p)
    height = whole.rest[0] + whole.slope[0] / (1 - fixed[i] * tries)
    height = jnp.log(height) + tries * level - 3 * jnp.log(tries)
    start = (jnp.where(height == height.min(), tries, 0.0)).max()
    width = jnp.minimum(start, pole - start)
    step = 36 / points
    v = step * np.arange(points)
    cosh, sinh = double(np.cosh(v)), double(np.sinh(v))
    s = start + width * (cosh - 1) / 2, width * sinh
    ds = width * sinh / 2, width * cosh

    def transform(g):
        re, im = 1 - law.scale * g[..., None] * s[0], law.scale * g[..., None] * s[1]
        size = re**2 + im**2
        return re / size, im / size

    spectrum = _spectrum(world, i, transform(gains), chance)
    own = transform(gains[i])
    grow = jnp.exp(c * s[0])
    turn = grow * jnp.cos(c * s[1]), grow * jnp.sin(c * s[1])
    phi = times(turn, spectrum.at(own))
    t_phi = times(turn, times(spectrum.slope, tuple(law.scale * part for part in times(own, own))))
    size = s[0] ** 2 + s[1] ** 2
    inverse = s[0] / size, -s[1] / size
    once = times(times(inverse, inverse), ds)
    weight = double(np.where(v == 0, 0.5, 1.0) * step / math.pi)
    square = weight @ times(phi, times(once, inverse))[1] * 2
    product = weight @ times(t_phi, once)[1]
    _, _, tz, _, zz = _moments(world, i, gains, c)
    return flip * (square - zz / 2), 2 * product - tz


def _of_sets(psi, world):
    """The characteristic function of each set that is active, from those of its features."""
    sizes = world.sizes
    if max(sizes) == 1:
        return psi
    widest, starts = max(sizes), np.cumsum((0, *sizes))
    place = np.full((widest, len(sizes)), len(world.set_of), np.int32)
    for s, size in enumerate(sizes):
        place[:size, s] = np.arange(starts[s], starts[s + 1])
    filler = 1.0 if world.together else 0.0
    padded = tuple(
        jnp.concatenate([part, jnp.full_like(part[:1], fill)])[place]
        for part, fill in zip(psi, (filler, 0.0), strict=True)
    )
    if world.together:
        return _product(padded)
    return tuple(part.sum(0) / double(sizes)[:, None] for part in padded)


def _product(factors):
    """The product of complex numbers over the first axis, in a tree: its gradient divides by nothing."""
    real, imag = factors
    while (n := len(real)) > 1:
        half = n // 2
        paired = times((real[:half], imag[:half]), (real[half : 2 * half], imag[half : 2 * half]))
        odd = slice(2 * half, None)
        real, imag = (jnp.concatenate([new, old[odd]]) for new, old in zip(paired, (real, imag), strict=True))
    return real[0], imag[0]


def _own_phase(world, gain, H, k):
    """`E[exp(i s)]` and `E[t exp(i s)]`, with `s = pi k gain x / H`, for feature i being active."""
    phase, t_phase = (0.0, 0.0), (0.0, 0.0)
    for share, sign, law in world.parts:
        angle = sign * jnp.pi * gain / H
        here, slope = jax.jvp(lambda a, law=law: law.phase(a, k), (angle,), (jnp.ones_like(angle),))
        phase = phase[0] + share * here[0], phase[1] + share * here[1]
        t_phase = t_phase[0] + share * slope[1] / k, t_phase[1] - share * slope[0] / k
    return phase, t_phase


def _range(world, gains, c, margin):
    """H such that |z| < H, with a margin, but for a chance that is lost in rounding.

    The series has a second kink at |z| = H, to be kept away from. No further than the largest
    possible |z|; less where Chernoff's bound shows that all but exp(-36) is nearer.
    """
    gains, c, chance = stop_gradient((gains, c, world.chance))
    sets, sizes = world.set_of, double(world.sizes)
    low, high = world.value.bounds
    largest = jnp.maximum(jnp.abs(gains).max(), 1e-300)
    scale = largest * math.sqrt(world.value.square)
    s = double(2.0 ** np.arange(-4, 7))[:, None] / scale
    ends = []
    for sign in (1, -1):
        a = sign * gains
        bound = _set_bound(a, low, high, world) if math.isfinite(high - low) else jnp.inf
        cumulant = world.value.cumulant(s * a)
        if world.together:
            active = jax.ops.segment_sum(cumulant.T, sets, len(sizes)).T
        else:
            top = jax.ops.segment_max(cumulant.T, sets, len(sizes)).T
            inside = jnp.exp(cumulant - jnp.where(jnp.isfinite(top), top, 0.0)[:, sets])
            active = top + jnp.log(jax.ops.segment_sum(inside.T, sets, len(sizes)).T / sizes)
        log = jnp.logaddexp(
            jnp.log1p(-jnp.minimum(chance, 1 - 1e-16)), jnp.log(jnp.maximum(chance, 1e-300)) + active
        )
        tail = ((log.sum(-1) + 36) / s[:, 0]).min()
        ends.append(sign * c + jnp.minimum(bound, tail))
    # Members of a set may cancel; H must not be so small that phases overflow.
    H = jnp.maximum(jnp.maximum(*ends), jnp.maximum(1e-3 * largest, 1e-300))
    return H * (1 + margin)


def _set_bound(a, low, high, world):
    """The largest value of `a . x`."""
    most = jnp.maximum(a * low, a * high)
    n_sets = len(world.sizes)
    if world.together:
        return jnp.maximum(jax.ops.segment_sum(most, world.set_of, n_sets), 0).sum()
    return jnp.maximum(jax.ops.segment_max(most, world.set_of, n_sets), 0).sum()


def _smooth(world, i, gains, c, activation, harmonics):
    """`E[f(z)^2]` and `E[t f(z)]` for any f: its Fourier series on [-H, H], times the characteristic function.

    A window takes f to 0 in the margin within H, so that its periodic continuation is smooth.
    """
    margin = 64 / harmonics
    H = _range(world, gains, c, margin)
    k = np.arange(1, 2 * harmonics, 2, dtype=np.int32)
    spectrum = _spectrum(world, i, world.value.phase(jnp.pi / 2 * gains / H, k), world.chance)
    own, t_own = _own_phase(world, gains[i], 2 * H, k)
    turn = phases(jnp.pi / 2 * c / H, k)
    phi, t_phi = times(turn, spectrum.at(own)), times(turn, times(spectrum.slope, t_own))
    u = (np.arange(8 * harmonics) + 0.5) / (4 * harmonics) - 1
    half = margin / (1 + margin) / 2
    window = double(np.vectorize(math.erfc)((np.abs(u) - (1 - half)) / half * 6) / 2)
    f = activations[activation](H * double(u))
    angle = np.pi / 2 * np.outer(u, k)
    cos, sin = double(np.cos(angle) / (4 * harmonics)), double(np.sin(angle) / (4 * harmonics))

    def expectation(g, phi):
        return (g * window) @ cos @ phi[0] + (g * window) @ sin @ phi[1]

    return expectation(f**2, phi), expectation(f, t_phi)


def output_errors(
    A: Float[Array, "output feature"],
    c: Float[Array, " output"],
    world: World,
    activation: str,
    method: str,
    harmonics: int,
) -> Float[Array, " output"]:
    """`E[(t_i - activation(z_i))^2]` for each output i, with `z = A x + c`; outputs may be the first few only."""

    def error(i, gains, c):
        tt, _, tz, _, zz = _moments(world, i, gains, c)
        if activation == "identity":
            return tt - 2 * tz + zz
        if method == "quadrature":
            ff, tf = _smooth(world, i, gains, c, activation, harmonics)
            return tt - 2 * tf + ff
        if method == "enumeration":
            value, slope = _closed(world, i, gains, c, _all_supports(world))
        elif isinstance(world.value, Exponential):
            value, slope = _contour(world, i, gains, c, harmonics)
        else:
            value, slope = _characteristic(world, i, gains, c, harmonics)
        return _error(activation, tt, tz, zz, value, slope)

    return _each_output(error, A, c)


def errors_given(
    A: Float[Array, "feature feature"],
    c: Float[Array, " feature"],
    world: World,
    activation: str,
    count: int,
) -> Float[Array, " feature"]:
    """The same, given that exactly `count` sets are active; 0 where that has no chance."""
    groups = [(group, probability(world, group)) for group in supports(world.sizes, world.together, count)]
    chance = reduce(add, [weight.sum() for _, weight in groups])
    weighted = [(group, weight / jnp.where(chance > 0, chance, 1.0)) for group, weight in groups]

    def error(i, gains, c):
        value, slope = _closed(world, i, gains, c, weighted)
        tt, tz, zz = _moments_of(world, i, gains, c, weighted)
        return _error(activation, tt, tz, zz, value, slope)

    return _each_output(error, A, c)


def _error(activation, tt, tz, zz, value, slope):
    if activation == "identity":
        return tt - 2 * tz + zz
    return tt - 2 * slope + zz if activation == "abs" else tt - tz + zz / 2 + value - slope


def _each_output(error: Callable, A, c):
    n = len(c)
    if n <= 64:
        return jax.vmap(error)(jnp.arange(n, dtype=jnp.int32), A, c)
    # A few at a time, computed anew for the gradient: memory.
    return jax.lax.map(
        jax.checkpoint(lambda row: error(*row)), (jnp.arange(n, dtype=jnp.int32), A, c), batch_size=16
    )


def _all_supports(world):
    groups = (
        g for count in range(len(world.sizes) + 1) for g in supports(world.sizes, world.together, count)
    )
    return [(group, probability(world, group)) for group in groups]
