"""What the paper, or a short calculation, predicts; the counterpart of what training finds.

Features are independent, active with chance `density` and then uniform on [0, 1]. The functions
take NumPy or JAX arrays, or numbers, and broadcast.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from superpose.features import Features
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import minimize

Numbers = Float[Array, "..."] | Float[np.ndarray, "..."] | float


def dropped_cost(density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The loss of a feature that is not represented and has its best bias, `density / 2`.

    `importance * Var(x) = importance (p/3 - p^2/4)`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> dropped_cost(1.0) == 1 / 3 - 1 / 4
    True
    """
    return importance * (density / 3 - density**2 / 4)


def antipodal_cost(density: Numbers, importance: Numbers = 1.0, other: Numbers = 1.0) -> Numbers:
    """The loss of two features, of importance `importance` and `other`, as `W_a = -W_b` at length 1.

    With biases of 0 an output is wrong only where both are active, short by the smaller of the
    two values, and `E[min(x, y)^2] = 1/6`: `(importance + other) p^2 / 6`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> round(antipodal_cost(0.3), 6)
    0.03
    """
    return (importance + other) * density**2 / 6


def linear_loss(
    density: Float[np.ndarray, " feature"], importance: Float[np.ndarray, " feature"], n_hidden: int
) -> float:
    """The least loss of the linear model: the features that would cost most get a dimension each.

    The others cost `dropped_cost`; no superposition, at any density.

    Elhage et al. (2022), "Toy Models of Superposition", "Basic Results".

    >>> round(linear_loss(np.ones(3), np.array([1.0, 0.5, 0.12]), n_hidden=2), 6)
    0.01
    """
    return float(np.sort(dropped_cost(np.asarray(density), np.asarray(importance)))[::-1][n_hidden:].sum())


PHASES: dict[int, dict[str, tuple[float, float]]] = {
    2: {
        "extra not represented": (0.0, 0.0),
        "extra dedicated, other not represented": (1.0, 0.0),
        "extra and other antipodal": (1.0, 1.0),
    },
    3: {
        "extra not represented": (0.0, 0.0),
        "extra dedicated, one other not represented": (1.0, 0.0),
        "extra antipodal to one other": (1.0, 1.0),
        "extra dedicated, the others antipodal": (1.0, 0.0),
    },
}
"""The paper's prototypes for 2 features in 1 dimension and for 3 in 2, in a fixed order, each with
the norm and the superposition of the extra feature, which is the last."""

PROTOTYPES: dict[int, list[list[list[float]]]] = {
    2: [[[1, 0]], [[0, 1]], [[1, -1]]],
    3: [
        [[1, 0, 0], [0, 1, 0]],
        [[0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, -1]],
        [[1, -1, 0], [0, 0, 1]],
    ],
}
"""`W` of each prototype, in the order of `PHASES`."""


def phase_losses(n_features: int, density: Numbers, importance: Numbers) -> Float[np.ndarray, "phase ..."]:
    """The loss of each prototype in `PHASES[n_features]`, for an extra feature of this importance.

    The other features have importance 1. A dropped feature has its best bias.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition as a Phase Change".

    >>> phase_losses(2, 1.0, 0.5).argmin()  # dense, and less important: ignored
    np.int64(0)
    """
    losses = [dropped_cost(density, importance), dropped_cost(density), antipodal_cost(density, importance)]
    if n_features == 3:
        losses.append(antipodal_cost(density))
    return np.stack(np.broadcast_arrays(*losses))


def phase_boundary(n_features: int, importance: Numbers) -> Numbers:
    """The density below which the best prototype has superposition.

    For `importance <= 1`, `4 r / (2 + 5 r)`; above, `4 / (5 + 2 r)` for 2 features in 1
    dimension and 4/7 for 3 in 2, where the extra feature is dedicated and the others share.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition as a Phase Change".

    >>> round(float(phase_boundary(2, 1.0)), 3)
    0.571
    """
    r = np.asarray(importance)
    above = 4 / (5 + 2 * r) if n_features == 2 else np.full_like(r, 4 / 7, dtype=float)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), above)


class Family(eqx.Module):
    """Models whose features point in given directions; a length and a bias for each are free.

    A feature without a direction, a column of zeros, is dropped and has only a bias. `lift` is a
    second direction that features can be moved in together, as the two squares of an antiprism
    can be taken apart; most families have none.

    >>> families(3, 2)["1 dedicated, 1 antipodal pair"].directions.tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]
    """

    directions: Float[np.ndarray | Array, "hidden feature"]
    lift: Float[np.ndarray | Array, "hidden feature"]

    def model(self, length, bias, height=0.0) -> ReluOutput:
        W = self.directions * length + self.lift * height
        return ReluOutput(W, bias, None, None, "relu", "identity")

    def assigned(self, order) -> "Family":
        """The family in which feature `order[i]` plays the part of feature `i`."""
        place = np.argsort(np.asarray(order))
        return Family(self.directions[:, place], self.lift[:, place])


def families(n_features: int, n_hidden: int) -> dict[str, Family]:
    """The regular solutions of a model, by name: every way to share its hidden dimensions.

    One dimension holds one feature, an antipodal pair, or an aligned one (which wins where features
    are dense); two a regular polygon (a square is two pairs); three a square antiprism; `d >= 3` a simplex of `d + 1`. All other features are
    dropped. In each the features play their parts in turn: the dedicated ones come first, the
    dropped ones last.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> list(families(3, 2))
    ['2 dedicated, 1 dropped', '1 dedicated, 1 antipodal pair', '1 dedicated, 1 aligned pair', '1 triangle']
    """
    found = {}
    for shapes in _mixtures(_shapes(n_features, n_hidden), n_features, n_hidden):
        directions, lift = np.zeros((2, n_hidden, n_features))
        dimension = feature = 0
        for _, flat, upright in shapes:
            d, k = flat.shape
            block = np.s_[dimension : dimension + d, feature : feature + k]
            directions[block], lift[block] = flat, upright
            dimension, feature = dimension + d, feature + k
        names = [name for name, *_ in shapes] + ["dropped"] * (n_features - feature)
        told = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
        found[told] = Family(directions, lift)
    return found


def assignments(family: Family, alike: tuple[int, ...] | None = None) -> list[tuple[int, ...]]:
    """The orders, for `Family.assigned`, that lead to different models: who plays which part.

    `alike[i]` names the kind of feature `i`; exchanging two of one kind changes nothing. All
    are different unless it is given.

    >>> assignments(families(3, 2)["1 dedicated, 1 antipodal pair"])
    [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
    >>> assignments(families(3, 2)["1 dedicated, 1 antipodal pair"], alike=(0, 0, 1))
    [(0, 1, 2), (2, 0, 1)]
    """
    n = family.directions.shape[1]
    W = family.directions + family.lift
    gram = np.round(W.T @ W, 9) + 0.0
    alike = tuple(range(n)) if alike is None else tuple(alike)
    same = [p for p in permutations(range(n)) if tuple(alike[i] for i in p) == alike]
    found: dict[bytes, tuple[int, ...]] = {}
    for order in permutations(range(n)):
        place = np.argsort(order)
        grams = (gram[np.ix_(place[list(p)], place[list(p)])].tobytes() for p in same)
        found.setdefault(min(grams), order)
    return list(found.values())


class Candidates(NamedTuple):
    """What `optimized` returns, as NumPy arrays."""

    names: list[str]
    loss: Float[np.ndarray, "family *law"]
    models: ReluOutput
    """The best model of each family, with leading axes `family`, and `law` where `loss` has it."""


class _Free(eqx.Module):
    # The loss of a family's model as a function of the numbers that are free.
    family: Family
    loss: Population

    def __call__(self, free):
        return self.loss(self.family.model(*free))


def optimized(candidates: Mapping[str, Family], features: Features) -> Candidates:
    """Each family at its best: the lengths and biases of least exact loss, by `train.minimize`.

    There is one start for each, near unit lengths, so what is found is the local minimum next to it.
    The leaves of `features` may have a leading axis `law`: then each family is optimized for each.

    >>> from superpose.features import Independent
    >>> best = optimized(families(2, 1), Independent(0.1, n_features=2))
    >>> dict(zip(best.names, best.loss.round(4).tolist()))
    {'1 dedicated, 1 dropped': 0.0308, '1 antipodal pair': 0.0033, '1 aligned pair': 0.0333}
    """
    shape = np.asarray(features.density).shape[:-1]
    n_laws, n_families = int(np.prod(shape)), len(candidates)
    law, place = (at.ravel() for at in np.meshgrid(np.arange(n_laws), np.arange(n_families)))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *candidates.values())
    family = jax.tree.map(lambda leaf: leaf[place], stacked)
    with jax.enable_x64(True):
        laws = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(n_laws, -1)[law], features)
    # To begin with, biases take away most of the positive interference, and no two lengths are equal:
    # a symmetric start could only find symmetric solutions.
    W = stacked.directions + stacked.lift
    stored = (W != 0).any(axis=1)
    crowding = np.maximum(0, np.swapaxes(W, 1, 2) @ W * (1 - np.eye(W.shape[2]))).max(axis=2)
    bias = np.where(crowding < 0.9, -0.7 * crowding, 0.0)
    length = np.sqrt(1 - bias) * (1 - 0.1 * np.arange(W.shape[2]) / W.shape[2])
    bias = np.where(stored[place], bias[place], np.asarray(laws.density) / 2)
    free = length[place], bias, np.ones(len(place))
    solved = minimize(free, _Free(family, Population(laws)), own_loss=True)
    models = jax.vmap(Family.model)(family, *solved.models)

    def by_family(leaf):
        return np.asarray(leaf).reshape(n_families, *shape, *leaf.shape[1:])

    return Candidates(list(candidates), by_family(solved.loss), jax.tree.map(by_family, models))


Shape = tuple[str, Float[np.ndarray, "hidden feature"], Float[np.ndarray, "hidden feature"]]


def _shapes(n, m) -> list[Shape]:
    """The regular shapes of at most `n` features in at most `m` dimensions, with what lifts them."""
    flat = {
        "dedicated": np.array([[1.0]]),
        "antipodal pair": np.array([[1.0, -1.0]]),
        "aligned pair": np.array([[1.0, 0.4]]),
    }
    names = {3: "triangle", 5: "pentagon", 6: "hexagon"}
    for k in (3, *range(5, n + 1)):
        turn = 2 * np.pi * np.arange(k) / k
        flat[names.get(k, f"{k}-gon")] = np.array([np.cos(turn), np.sin(turn)])
    for d in range(3, m + 1):
        # The corners of a simplex: unit vectors less their mean, in a basis of what is left.
        corners = np.linalg.svd(np.eye(d + 1) - 1 / (d + 1))[0][:, :d].T
        flat["tetrahedron" if d == 3 else f"{d}-simplex"] = corners / np.linalg.norm(corners, axis=0)
    shapes = [(name, directions, np.zeros_like(directions)) for name, directions in flat.items()]
    # Two squares, one turned by 45 degrees, as far apart as 8 charges on a sphere have them.
    turn, side = np.pi / 4 * np.arange(8), (-1.0) ** np.arange(8)
    squares = np.array([np.cos(turn), np.sin(turn), 0 * turn]) * math.sqrt(1 - 0.5604**2)
    shapes.append(("square antiprism", squares, np.array([0 * turn, 0 * turn, 0.5604 * side])))
    return [shape for shape in shapes if shape[1].shape[0] <= m and shape[1].shape[1] <= n]


def _mixtures(shapes, n, m) -> Iterator[list[Shape]]:
    """All ways to fill `m` dimensions with shapes of no more than `n` features together."""
    if m == 0:
        yield []
    for place, shape in enumerate(shapes):
        d, k = shape[1].shape
        if d <= m and k <= n:
            for others in _mixtures(shapes[place:], n - k, m - d):
                yield [shape, *others]
