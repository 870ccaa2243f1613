"""The expected loss of ReLU models, computed in ways that share nothing with `superpose.losses`.

`by_enumeration` sums over supports and integrates over the cube of active features by nested
Gauss-Legendre quadrature, cut where the integrand has a kink, so that each piece is exact.
`by_convolution` adds one feature after the other to the distribution of an output, on a fine
grid; it serves for any number of features. Both are NumPy and slow.
"""

from itertools import combinations

import numpy as np
from scipy.interpolate import CubicSpline


def by_enumeration(A, c, density, importance):
    """`sum_i importance_i E[(x_i - ReLU(A x + c)_i)^2]` for at most about 5 features."""
    n = len(c)
    total = 0.0
    for size in range(n + 1):
        for support in combinations(range(n), size):
            chance = np.prod([density[j] if j in support else 1 - density[j] for j in range(n)])
            for i in range(n):
                if chance and importance[i]:
                    order = sorted(support, key=lambda j: j != i)
                    total += chance * importance[i] * _cube(A[i], c[i], order, i)
    return total


def _cube(gain, c, order, i):
    # E over u of (u_i [i active] - relu(c + sum_j gain_j u_j))^2, one variable after the other.
    points, weights, own = np.array([c], float), np.ones(1), np.zeros(1)
    for done, j in reversed(list(enumerate(order))):
        inner = [0.0]
        for k in order[:done]:
            inner += [v + gain[k] for v in inner]
        cuts = np.zeros((len(points), len(inner) + 2))
        cuts[:, -1] = 1.0
        if gain[j] != 0:
            cuts[:, 1:-1] = np.clip(-(points[:, None] + np.array(inner)) / gain[j], 0, 1)
        cuts.sort(axis=1)
        low, span = cuts[:, :-1, None], np.diff(cuts, axis=1)[..., None]
        node, weight = np.polynomial.legendre.leggauss((done + 4) // 2)
        u = low + span * (node + 1) / 2
        new_weights = weights[:, None, None] * span * weight / 2
        points = (points[:, None, None] + gain[j] * u).ravel()
        own = (np.broadcast_to(own[:, None, None], u.shape) if j != i else u).ravel()
        weights = new_weights.ravel()
    return weights @ (own - np.maximum(points, 0)) ** 2


def by_convolution(A, c, density, importance, knots=2**15):
    """The same for any number of features; sums over the outputs with importance only."""
    return sum(importance[i] * _output(A[i], c[i], density, i, knots) for i in range(len(c)) if importance[i])


def _output(gain, c, density, i, knots):
    reach = np.abs(gain).sum() + 1e-3
    half = knots // 2
    grid = c + reach * np.arange(-half, half + 1) / half
    others = [j for j in range(len(gain)) if j != i and gain[j] != 0]
    square, plain = np.maximum(grid, 0) ** 2, np.maximum(grid, 0)
    for j in others:
        square, plain = (_averaged(f, grid, gain[j], density[j]) for f in (square, plain))
    # Feature i itself, last: inactive, or u uniform on [0, 1].
    node, weight = np.polynomial.legendre.leggauss(8)
    u = ((np.arange(250)[:, None] + (node + 1) / 2) / 250).ravel()
    weight = np.tile(weight / 500, 250)
    square, plain = CubicSpline(grid, square), CubicSpline(grid, plain)
    active = weight @ (u**2 - 2 * u * plain(c + gain[i] * u) + square(c + gain[i] * u))
    return (1 - density[i]) * square(c) + density[i] * active


def _averaged(f, grid, g, p):
    # z -> (1 - p) f(z) + p E[f(z + g u)].
    integral = CubicSpline(grid, f).antiderivative()
    return (1 - p) * f + p * (integral(grid + g) - integral(grid)) / g
