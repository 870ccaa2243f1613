"""The expected loss of models with a linear hidden layer, in ways that share nothing with `superpose`.

`by_supports` sums over all sets of active features, of which there must be few. Given the set, uniform
values are integrated by nested Gauss-Legendre quadrature, cut where the integrand has a kink, so that
each piece is exact; normal ones as the sum that they are, but for the output's own feature, which is
quadrature. Good to rounding, about 1e-13. `by_convolution` adds one feature after the other to an
output, on a grid, for uniform and exponential values and any number of features, and any activation:
good to about 1e-10 for a few features, 1e-8 for hundreds. Both are NumPy and slow.
"""

from collections.abc import Callable
from functools import reduce
from math import factorial, pi
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter
from scipy.special import gammainc, ndtr


class World(NamedTuple):
    """Sets of `sizes` features, active with `chance`: all members at once (`together`), or one of them."""

    chance: tuple[float, ...]
    sizes: tuple[int, ...]
    together: bool
    law: tuple  # ("uniform", low, high), ("binary",), ("exponential", scale) or ("gaussian", scale)
    target: Callable = lambda x: x


# f(z) = max(z, 0) + SIGN max(-z, 0), and for its square another sign.
SIGNS = {"relu": (0, 0), "identity": (-1, 1), "abs": (1, 1)}
ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "identity": lambda z: z, "abs": np.abs, "tanh": np.tanh}


class Family(NamedTuple):
    """Features that are active with `chance` where those at `parents` are (-1: always): of `exclusive` children, one."""

    chance: tuple[float, ...]
    parents: tuple[int, ...]
    exclusive: bool
    law: tuple
    target: Callable = lambda x: x


def by_supports(A, c, importance, world, activation="relu"):
    """`sum_i importance_i E[(t_i - f(A x + c)_i)^2]`."""
    given = {"uniform": _cubes, "binary": _points, "gaussian": _normals}[world.law[0]]
    chance, active = _of_family(world) if isinstance(world, Family) else _supports(world)
    errors = (
        chance @ given(np.asarray(A[i], float), c[i], i, active, world, activation) if importance[i] else 0.0
        for i in range(len(c))
    )
    return sum(w * error for w, error in zip(importance, errors, strict=True))


def _supports(world):
    chance, active = np.ones(1), np.zeros((1, 0), bool)
    for p, size in zip(world.chance, world.sizes, strict=True):
        rows = np.ones((1, size), bool) if world.together else np.eye(size, dtype=bool)
        chance = np.outer(chance, [1 - p] + [p / len(rows)] * len(rows)).ravel()
        rows = np.concatenate([np.zeros((1, size), bool), rows])
        active = np.hstack([np.repeat(active, len(rows), axis=0), np.tile(rows, (len(active), 1))])
        chance, active = chance[chance > 0], active[chance > 0]
    return chance, active


def _of_family(world):
    """Every choice of active features, with its chance: most have none."""
    p, parents = np.array(world.chance), np.array(world.parents)
    active = np.array(list(np.ndindex(*(2,) * len(p))), bool)
    there = np.hstack([active, np.ones((len(active), 1), bool)])[:, parents]
    chance = (active <= there).all(axis=1).astype(float)
    for parent in range(-1, len(p)):
        children = np.flatnonzero(parents == parent)
        on, given = active[:, children], there[:, children]
        if parent >= 0 and world.exclusive and len(children):
            one = np.where(on.any(axis=1), on @ p[children], 1 - p[children].sum()) * (on.sum(axis=1) <= 1)
            chance *= np.where(active[:, parent], one, 1.0)
        else:
            chance *= np.where(given, np.where(on, p[children], 1 - p[children]), 1.0).prod(axis=1)
    return chance[chance > 0], active[chance > 0]


def _points(gain, c, i, active, world, activation):
    return (world.target(1.0) * active[:, i] - ACTIVATIONS[activation](c + active @ gain)) ** 2


def _normals(gain, c, i, active, world, activation):
    u, weight = _nodes(world.law, -c / gain[i] if gain[i] else 0.0)
    t, z = world.target(u), c + gain[i] * u
    variance = world.law[1] ** 2 * (np.where(np.arange(len(gain)) == i, 0, active) @ gain**2)[:, None]
    errors = np.zeros(len(active))
    for some in np.array_split(np.arange(len(active)), 1 + len(active) // 1000):
        own, v = active[some, i], variance[some]
        plain, square = (_of_normal(z, v[own], k, activation) for k in (1, 2))
        errors[some[own]] = (t**2 - 2 * t * plain + square) @ weight
        errors[some[~own]] = _of_normal(np.array([c]), v[~own], 2, activation)[:, 0]
    return errors


def _of_normal(mean, variance, k, activation):
    """`E[f(z)^k]` for normal z."""
    s = np.sqrt(np.maximum(variance, 1e-300))
    if activation not in SIGNS:
        node, weight = np.polynomial.hermite_e.hermegauss(80)
        f = ACTIVATIONS[activation](mean[..., None] + s[..., None] * node)
        return f**k @ weight / np.sqrt(2 * pi)
    above, density = ndtr(mean / s), np.exp(-((mean / s) ** 2) / 2) / np.sqrt(2 * pi)
    whole = mean if k == 1 else mean**2 + s**2
    half = mean * above + s * density if k == 1 else whole * above + mean * s * density
    return half + SIGNS[activation][k - 1] * (-1) ** k * (whole - half)


def _cubes(gain, c, i, active, world, activation):
    f = ACTIVATIONS[activation]
    return np.array([_cube(gain, c, np.flatnonzero(row), i, world, f) for row in active])


def _cube(gain, c, order, i, world, f):
    # E over u in the unit cube of (t_i - f(c + sum_j gain_j x_j))^2, x = low + width u, one variable
    # after the other, with feature i last.
    low, width = world.law[1], world.law[2] - world.law[1]
    order = sorted(order, key=lambda j: j != i)
    corners = {j: [0.0, 1.0] for j in order}
    if i in corners and 0 < -low / width < 1:
        corners[i].append(-low / width)  # a kink of the target
    points, weights, own = np.array([c + low * gain[order].sum()]), np.ones(1), np.zeros(1)
    gain = width * gain
    for done, j in reversed(list(enumerate(order))):
        inner = np.zeros(1)
        for k in order[:done]:
            inner = np.add.outer(inner, gain[k] * np.array(corners[k])).ravel()
        kinks = np.clip(-(points[:, None] + inner) / gain[j], 0, 1) if gain[j] else np.zeros((len(points), 1))
        cuts = np.hstack([kinks, np.tile(corners[j], (len(points), 1))])
        cuts.sort(axis=1)
        left, span = cuts[:, :-1, None], np.diff(cuts, axis=1)[..., None]
        node, weight = np.polynomial.legendre.leggauss((done + 4) // 2)
        u = left + span * (node + 1) / 2
        new_weights = weights[:, None, None] * span * weight / 2
        points = (points[:, None, None] + gain[j] * u).ravel()
        own = world.target(low + width * u).ravel() if j == i else np.zeros(len(points))
        weights = new_weights.ravel()
    return weights @ (own - f(points)) ** 2


def _nodes(law, kink):
    """Points and weights of an integral over the law, finer where the integrand has a kink."""
    kind, *numbers = law
    low, high, unit, density = {
        "uniform": lambda low, high: (low, high, high - low, lambda u: np.full(u.shape, 1 / (high - low))),
        "exponential": lambda scale: (0, 50 * scale, 10 * scale, lambda u: np.exp(-u / scale) / scale),
        "gaussian": lambda scale: (
            -9 * scale,
            9 * scale,
            9 * scale,
            lambda u: np.exp(-((u / scale) ** 2) / 2) / (scale * np.sqrt(2 * pi)),
        ),
    }[kind](*numbers)
    near = unit * 2.0 ** -np.arange(24)
    cuts = np.concatenate([np.linspace(low, high, 65), kink - near, kink + near, [kink, 0.0]])
    cuts = np.unique(np.clip(cuts, low, high))
    node, weight = np.polynomial.legendre.leggauss(10)
    u = (cuts[:-1, None] + np.diff(cuts)[:, None] * (node + 1) / 2).ravel()
    return u, (np.diff(cuts)[:, None] * weight / 2).ravel() * density(u)


def by_convolution(A, c, importance, world, activation="relu", knots=2**16):
    """The same for uniform and exponential values; sums over the outputs with importance only."""
    outputs = [i for i in range(len(c)) if importance[i]]
    return sum(importance[i] * _output(np.array(A[i]), c[i], i, world, activation, knots) for i in outputs)


def _output(gain, c, i, world, activation, knots):
    # A function of z is `start` times the activation, which has a kink, plus what is on the grid; and
    # there are two of them, E[f] and E[f^2].
    z = _grid(gain, c, world, knots)

    def average(f, j):
        """`E f(z + gain_j x)`."""
        start, grid = f
        grid = _average(grid, z, gain[j], world.law)
        return 0.0, grid + start * _ramps(z, gain[j], world.law, activation) if start else grid

    def active(f, members):
        if world.together:
            return reduce(average, members, f)
        each = [average(f, j) for j in members]
        return tuple(sum(part) / len(each) for part in zip(*each, strict=True))

    def at(f, where):
        value = CubicSpline(z, f[1])(where)
        return (value + f[0] * _ramps(where, 0.0, world.law, activation) if f[0] else value).T

    f = 1.0, np.zeros((len(z), 2))
    if activation not in SIGNS:
        f = 0.0, np.stack([ACTIVATIONS[activation](z), ACTIVATIONS[activation](z) ** 2], axis=1)
    starts = np.cumsum((0, *world.sizes))
    for s, p in enumerate(world.chance):
        members = range(starts[s], starts[s + 1])
        if i in members:
            own, mates = p, [j for j in members if j != i]
        else:
            f = tuple((1 - p) * a + p * b for a, b in zip(f, active(f, members), strict=True))
    u, weight = _nodes(world.law, -c / gain[i] if gain[i] else 0.0)
    t = world.target(u)
    with_mates = active(f, mates) if mates else f
    plain, square = at(with_mates if world.together else f, c + gain[i] * u)
    error = weight @ (t**2 - 2 * t * plain + square)
    nothing, mate = (at(g, np.array([c]))[1, 0] for g in (f, with_mates))
    share = 1.0 if world.together else 1 / (1 + len(mates))
    return (1 - own) * nothing + own * (share * error + (1 - share) * mate)


def _grid(gain, c, world, knots):
    kind, *numbers = world.law
    size, g = max(map(abs, numbers)), np.abs(gain)
    p = np.repeat(world.chance if world.together else np.divide(world.chance, world.sizes), world.sizes)
    reach = size * (p @ g + np.sqrt(160 * p @ g**2) + 40 * g.max()) + 1e-3
    if kind == "uniform":
        reach = min(reach, size * g.sum() + 1e-3)
    return c + reach * np.arange(-knots, knots + 1, 2) / knots


def _ramps(z, g, law, activation):
    """`E f(z + g x)` for the activation and its square."""
    signs = SIGNS[activation]
    return np.stack([_ramp(z, g, k, law) + signs[k - 1] * _ramp(-z, -g, k, law) for k in (1, 2)], axis=1)


def _ramp(z, g, k, law):
    """`E max(z + g x, 0)^k`."""
    kind, *numbers = law
    if g == 0:
        return np.maximum(z, 0) ** k
    if kind == "uniform":
        low, high = (np.maximum(z + g * end, 0) ** (k + 1) for end in numbers)
        return (high - low) / ((k + 1) * g * (numbers[1] - numbers[0]))
    a = g * numbers[0]
    line = z + a if k == 1 else z**2 + 2 * z * a + 2 * a**2
    tail = factorial(k) * a**k * np.exp(-np.abs(z / a))
    return np.where(z < 0, tail, line) if a > 0 else np.where(z > 0, line - tail, 0.0)


def _average(f, z, g, law):
    """`E f(z + g x)` for cubic splines f, in closed form."""
    kind, *numbers = law
    if g == 0:
        return f
    spline = CubicSpline(z, f)
    if kind == "uniform":
        (low, high), integral = numbers, spline.antiderivative()
        return (integral(z + g * high) - integral(z + g * low)) / (g * (high - low))
    if g < 0:
        return _average(f[::-1], -z[::-1], -g, law)[::-1]
    # F(z) = int_0^oo f(z + a y) exp(-y) dy, from each knot to the one before.
    a = g * numbers[0]
    fall = (z[1] - z[0]) / a
    steps = sum(c * a**k * factorial(k) * gammainc(k + 1, fall) for k, c in enumerate(spline.c[::-1]))
    last = sum(spline(z[-1], k) * a**k for k in range(3))  # a parabola beyond the grid
    F, _ = lfilter([1.0], [1.0, -np.exp(-fall)], steps[::-1], axis=0, zi=np.exp(-fall) * last[None])
    return np.concatenate([F[::-1], last[None]])
