"""Regular arrangements of unit vectors: the corners of polytopes, and which polytope an arrangement is.

Features that share dimensions point at the corners of regular polytopes. Corners are columns, as features
are in `W`: arrays have the shape `(hidden, feature)`. What is no array of numbers raises TypeError, and one of another
shape ValueError.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from superpose.inputs import ArrayLike, finite, weights, whole

Corners = Float[np.ndarray, "hidden feature"]
"""Unit vectors as columns."""


def _count(value, name, least) -> int:
    if (number := whole(value, name)) < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def polygon(k: int) -> Corners:
    """The corners of a regular polygon: `k` unit vectors in 2 dimensions, each with `2 / k` of a dimension.

    Raises ValueError for `k` below 1.

    >>> polygon(4).round(3).T.tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.0, -1.0]]
    """
    k = _count(k, "k", 1)
    turn = 2 * np.pi * np.arange(k) / k
    return np.array([np.cos(turn), np.sin(turn)])


def simplex(d: int) -> Corners:
    """The corners of a regular simplex: `d + 1` unit vectors in `d` dimensions, with cosines of `-1 / d`.

    They sum to 0, so that only one direction of the features is lost: of all ways to store one feature more
    than there are dimensions, this one has the least superposition. Raises ValueError for `d` below 1.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> (simplex(3).T @ simplex(3)).round(3)[0].tolist()
    [1.0, -0.333, -0.333, -0.333]
    """
    d = _count(d, "d", 1)
    # Row k tells feature k + 1 from the k + 1 before it: all rows are at right angles, also to (1, ..., 1).
    k, feature = np.arange(1, d + 1)[:, None], np.arange(d + 1)
    corners = np.where(feature < k, 1.0, np.where(feature == k, -k, 0.0)) / np.sqrt(k * (k + 1))
    return corners / np.linalg.norm(corners, axis=0)


def antiprism(k: int, height: float = 1 / np.sqrt(3)) -> Corners:
    """The corners of an antiprism: two regular polygons `height` above and below the middle, one turned.

    They are `2 k` unit vectors in 3 dimensions, those above first. At the height `1 / sqrt(3)` each
    has `3 / (2 k)` of a dimension, at any other height less. `height` is from 0, a polygon, to 1.
    Raises ValueError for any other, and for `k` below 1.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> antiprism(4).shape, np.linalg.norm(antiprism(4, height=0.5), axis=0).round(6).max()
    ((3, 8), np.float64(1.0))
    """
    k = _count(k, "k", 1)
    if not 0 <= height <= 1:
        raise ValueError(f"height must be from 0 to 1, got {height}")
    around = np.concatenate([np.arange(k), np.arange(k) + 0.5]) * 2 * np.pi / k
    flat = np.sqrt(1 - height**2) * np.array([np.cos(around), np.sin(around)])
    return np.vstack([flat, np.repeat([height, -height], k)])


def tegum(*parts: ArrayLike) -> Corners:
    """The tegum product: the `parts` side by side, each in dimensions of its own, at right angles to the others.

    Features of different parts do not interfere, so each keeps the share of a dimension it has in its part.
    Raises ValueError without parts.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> abs(tegum(simplex(1), simplex(1))).round(6).tolist()  # a square is two digons
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    if not parts:
        raise ValueError("parts must be at least one shape, got none")
    parts = tuple(np.asarray(weights(part, "parts")) for part in parts)
    dimensions, features = np.cumsum([(0, 0), *(part.shape for part in parts)], axis=0).T
    whole = np.zeros((dimensions[-1], features[-1]))
    for part, d, k in zip(parts, dimensions, features, strict=False):
        whole[d : d + part.shape[0], k : k + part.shape[1]] = part
    return whole


def _cube() -> Corners:
    return np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, 8) / np.sqrt(3)


def _icosahedron() -> Corners:
    golden = (1 + np.sqrt(5)) / 2
    quarter = np.array([(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)])
    corners = np.vstack([np.roll(quarter, turn, axis=1) for turn in range(3)]).T
    return corners / np.linalg.norm(corners, axis=0)


POLYTOPES: dict[str, Corners] = {
    "digon": simplex(1),
    "triangle": simplex(2),
    "tetrahedron": simplex(3),
    "4-simplex": simplex(4),
    "pentagon": polygon(5),
    "hexagon": polygon(6),
    "cube": _cube(),
    "square antiprism": antiprism(4),
    "icosahedron": _icosahedron(),
}
"""Polytopes that are not tegum products, by name. A digon is an antipodal pair."""

TEGUMS: dict[str, tuple[str, ...]] = {
    "square": ("digon", "digon"),
    "octahedron": ("digon", "digon", "digon"),
    "triangular bipyramid": ("triangle", "digon"),
    "pentagonal bipyramid": ("pentagon", "digon"),
}
"""Polytopes that are tegum products, with the names of their parts."""


def share(name: str) -> float:
    """The share of a dimension that each corner of a polytope in `POLYTOPES` or `TEGUMS` has: dimensions over corners.

    Raises KeyError for any other name.

    >>> share("digon"), share("tetrahedron"), share("pentagon")
    (0.5, 0.75, 0.4)
    """
    dimensions, features = corners(name).shape
    return dimensions / features


def corners(name: str) -> Corners:
    """The corners of a polytope in `POLYTOPES` or `TEGUMS`; raises KeyError for any other.

    >>> corners("triangular bipyramid").shape
    (3, 5)
    """
    if name not in POLYTOPES and name not in TEGUMS:
        raise KeyError(f"unknown polytope {name!r}; known are {', '.join((*POLYTOPES, *TEGUMS))}")
    return POLYTOPES[name] if name in POLYTOPES else tegum(*map(corners, TEGUMS[name]))


def parts(linked: ArrayLike) -> list[list[int]]:
    """The connected components of a graph: features `linked` to each other, directly or through others.

    They are in the order of their first features, and so are the features in each. Raises ValueError for a matrix that
    is not square.

    >>> parts(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool))
    [[0, 2], [1]]
    """
    linked = _square(linked, "linked")
    label = np.arange(len(linked))
    for i, j in np.argwhere(linked):
        label[label == label[j]] = label[i]
    return sorted(np.flatnonzero(label == kind).tolist() for kind in np.unique(label))


class Match(NamedTuple):
    """What `nearest` returns."""

    name: str
    """The polytope's name, or "" if none has that many corners."""
    error: float
    """The root of the mean squared difference of cosines, over all pairs of features; infinite without a name."""
    order: Int[np.ndarray, " feature"]
    """The feature at each of the polytope's corners."""


def nearest(cosines: ArrayLike) -> Match:
    """The polytope with as many corners whose angles are most like these, in any order of the features.

    `cosines` are those of the features with each other. An antiprism may have any height from 0.4 to 0.75. Up to 5 corners all orders are tried; beyond that,
    only the 256 that fit best so far are followed, and the error may be too large but never too small.
    Raises ValueError for a matrix that is not square.

    >>> square = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    >>> nearest(square.T @ square).name, nearest(np.eye(2)).error
    ('square', 1.0)
    """
    cosines = _square(cosines, "cosines")
    best = Match("", np.inf, np.arange(len(cosines)))
    for name in (*POLYTOPES, *TEGUMS):
        shape = corners(name)
        if shape.shape[1] == len(cosines) > 1:
            gram = shape.T @ shape
            order, error = _placed(cosines, gram)
            if name == "square antiprism":
                order, error = _placed(cosines, _fitted_antiprism(cosines[np.ix_(order, order)]))
            if error < best.error:
                best = Match(name, error, order)
    return best


def _square(value, name) -> np.ndarray:
    value = finite(value, name, "feature", "feature")
    if value.shape[0] != value.shape[1]:
        raise ValueError(f"{name} must have as many rows as columns, got shape {value.shape}")
    return value


def _placed(cosines, gram, most=256):
    """The order of features that makes their cosines most like `gram`, and the difference that is left."""
    k = len(gram)
    orders, costs = np.zeros((1, 0), int), np.zeros(1)
    for corner in range(k):
        # A row for each order so far, a column for each feature that could be next.
        more = ((cosines[orders] - gram[corner, :corner, None]) ** 2).sum(axis=1)
        total = costs[:, None] + more
        np.put_along_axis(total, orders, np.inf, axis=1)
        place = np.argsort(total, axis=None, kind="stable")[: min(most, np.isfinite(total).sum())]
        which, feature = np.unravel_index(place, total.shape)
        orders, costs = np.column_stack([orders[which], feature]), total[which, feature]
    return orders[0], float(np.sqrt(2 * costs[0] / (k * (k - 1))))


def _fitted_antiprism(cosines):
    # Cosines are linear in the square of the height.
    low, high = (antiprism(4, height).T @ antiprism(4, height) for height in (0.0, 1.0))
    slope = high - low
    square = np.clip(((cosines - low) * slope).sum() / (slope**2).sum(), 0.4**2, 0.75**2)
    return low + square * slope
