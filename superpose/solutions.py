"""Regular solutions, each with its best lengths and biases: dedicated features, antipodal pairs, polytopes.

What training finds can be judged against them: `families` for few features, `regular` for polytopes of
equal features.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import polytopes
from superpose.exact import Sets, output_errors
from superpose.inputs import ArrayLike, array, numbers, whole
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.theory import dropped_cost
from superpose.train import minimize
from superpose.values import Uniform


class Family(eqx.Module):
    """Models whose features point in given `directions`; the length and the bias of each are free.

    A feature without a direction, a column of zeros, is dropped and has only a bias. `lift` is a
    second direction in which features can be moved together, as the two squares of an antiprism
    can be moved apart; most families have none.

    >>> families(3, 2)["1 dedicated, 1 antipodal pair"].directions.tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]
    """

    directions: Float[np.ndarray | Array, "*batch hidden feature"]
    lift: Float[np.ndarray | Array, "*batch hidden feature"]

    def model(
        self,
        length: Float[Array | np.ndarray, "*batch feature"] | Float[Array, ""] | float,
        bias: Float[Array | np.ndarray, "*batch feature"],
        height: Float[Array | np.ndarray, "*batch"] | float = 0.0,
    ) -> ReluOutput:
        """The model with these lengths and biases, and features moved along `lift` by `height`."""
        each: Any = length
        W = self.directions * (each if np.ndim(each) == 0 else each[..., None, :]) + self.lift * height
        return ReluOutput(W, bias)

    def assigned(self, order: Sequence[int]) -> "Family":
        """The family in which feature `order[i]` plays the part of feature `i`."""
        inverse = np.argsort(np.asarray(order))
        return Family(self.directions[:, inverse], self.lift[:, inverse])


def families(n_features: int, n_hidden: int) -> dict[str, Family]:
    """The regular solutions of a model, by name: every way to share its hidden dimensions.

    One dimension holds one feature, an antipodal pair, or an aligned one (which wins where features
    are dense); two a regular polygon (a square is two pairs); three a square antiprism;
    `d >= 3` a simplex of `d + 1`. All other features are dropped. In each the features play these
    parts in order: the dedicated ones come first, the dropped ones last. Raises ValueError unless
    `1 <= n_hidden <= n_features`.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> list(families(3, 2))
    ['2 dedicated, 1 dropped', '1 dedicated, 1 antipodal pair', '1 dedicated, 1 aligned pair', '1 triangle']
    """
    n_features, n_hidden = whole(n_features, "n_features"), whole(n_hidden, "n_hidden")
    if not 1 <= n_hidden <= n_features:
        raise ValueError(f"n_hidden must be within 1..n_features, got {n_hidden=}, {n_features=}")
    families = {}
    for shapes in _mixtures(_shapes(n_features, n_hidden), n_features, n_hidden):
        directions, lift = np.zeros((2, n_hidden, n_features))
        dimension = feature = 0
        for _, flat, upright in shapes:
            d, k = flat.shape
            block = np.s_[dimension : dimension + d, feature : feature + k]
            directions[block], lift[block] = flat, upright
            dimension, feature = dimension + d, feature + k
        names = [name for name, *_ in shapes] + ["dropped"] * (n_features - feature)
        parts = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
        families[parts] = Family(directions, lift)
    return families


def assignments(family: Family, alike: tuple[int, ...] | None = None) -> list[tuple[int, ...]]:
    """The orders, for `Family.assigned`, that lead to different models: who plays which part.

    `alike[i]` names the kind of feature `i`; exchanging two of one kind changes nothing. Without
    it, all features are different.

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
    orders: dict[bytes, tuple[int, ...]] = {}
    for order in permutations(range(n)):
        inverse = np.argsort(order)
        grams = (gram[np.ix_(inverse[list(p)], inverse[list(p)])].tobytes() for p in same)
        orders.setdefault(min(grams), order)
    return list(orders.values())


class Regular(NamedTuple):
    """What `regular` returns, as NumPy arrays: each polytope at its best."""

    loss: Float[np.ndarray, "polytope density"]
    """The loss of one feature."""
    benefit: Float[np.ndarray, "polytope density"]
    """What each dimension gains over dropping the features that share it."""
    length: Float[np.ndarray, "polytope density"]
    """The features' common length."""
    bias: Float[np.ndarray, "polytope density"]
    """The features' common bias."""
    height: Float[np.ndarray, "polytope density"]
    """The height of an antiprism, as a share of the length; NaN for other polytopes."""


class _Corner(eqx.Module):
    # The exact error of one corner's output; by symmetry the others have the same error.
    shape: Family
    density: Float[Array | np.ndarray, "*batch"]

    def __call__(self, free):
        length, bias, height = free
        k = self.shape.directions.shape[1]
        A, c = map(jnp.asarray, self.shape.model(length, jnp.full(k, bias), height).preactivation())
        world = Sets(jnp.full(k, self.density), Uniform(), (1,) * k, True, "x")
        return output_errors(A[:1], c[:1], world, "relu", "characteristic", 128)[0]


def regular(names: Sequence[str], density: ArrayLike) -> Regular:
    """Features at the corners of polytopes, all with the length and the bias that are best.

    `names` are those of `polytopes.POLYTOPES`. All features have this density and importance 1. By
    symmetry only two numbers are free, and the height of an antiprism; the exact loss is that
    of one feature times the number `k` of corners. In `d` dimensions the benefit for each dimension is
    `k (p/3 - p^2/4 - loss) / d`. In a large model, where many features compete for few dimensions,
    the polytope with the largest benefit wins. A tegum product has the benefit of its parts.

    The search starts near unit length and finds the local minimum next to it. Losses are accurate
    to 1e-6.

    Raises KeyError for an unknown name, and ValueError for a `density` outside [0, 1].

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> found = regular(["digon", "pentagon"], np.array([0.5, 0.1]))
    >>> found.benefit.argmax(axis=0).tolist()
    [0, 1]
    """
    for name in names:
        if name not in polytopes.POLYTOPES:
            raise KeyError(f"unknown polytope {name!r}; known are {', '.join(polytopes.POLYTOPES)}")
    shapes = [polytopes.POLYTOPES[name] for name in names]
    (density,) = numbers(density=np.asarray(array(density, "density", "density"), float))
    d, k = np.array([shape.shape for shape in shapes]).T
    flat, lift = np.zeros((2, len(names), d.max(), k.max()))
    for which, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        raised = np.arange(d[which]) == 2 if "antiprism" in name else np.zeros(d[which], bool)
        flat[which, : d[which], : k[which]] = np.where(raised[:, None], 0, shape)
        lift[which, : d[which], : k[which]] = np.where(raised[:, None], shape, 0)
    which, law = (at.ravel() for at in np.mgrid[: len(names), : len(density)])
    crowding = np.array([max(0.0, np.sort((shape.T @ shape)[0])[-2]) for shape in shapes])[which]
    bias = -0.7 * crowding
    free = np.sqrt(1 - bias), bias, np.sqrt(1 - bias)
    corner = _Corner(Family(flat[which], lift[which]), np.asarray(density, float)[law])
    solved = minimize(free, corner, own_loss=True, tolerance=1e-8, progress=False)
    length, bias, height = (np.reshape(values, (len(names), -1)) for values in solved.models)
    loss = solved.loss.reshape(length.shape)
    benefit = (dropped_cost(density) - loss) * (k / d)[:, None]
    part, rise = (
        np.linalg.norm(flat[:, :, 0], axis=1)[:, None],
        np.linalg.norm(lift[:, :, 0], axis=1)[:, None],
    )
    whole = np.hypot(part * length, rise * height)
    height = np.where(rise > 0, rise * height / whole, np.nan)
    return Regular(loss, benefit, whole, bias, height)


class Candidates(NamedTuple):
    """What `optimized` returns, as NumPy arrays."""

    names: list[str]
    """The families, in the order of the candidates."""
    loss: Float[np.ndarray, "family *law"]
    """The least exact loss of each."""
    models: ReluOutput
    """The best model of each family, with leading axes `family`, and `law` where `loss` has it."""


class _Free(eqx.Module):
    # The loss of a family's model as a function of the numbers that are free.
    family: Family
    loss: Population

    def __call__(self, free):
        return self.loss(self.family.model(*free))


def optimized(candidates: Mapping[str, Family], features: Any) -> Candidates:
    """Each family at its best: the lengths and biases of least exact loss, by `train.minimize`.

    The search starts once for each, near unit lengths, and finds the local minimum next to that.
    The leaves of `features` may have a leading axis `law`: then each family is optimized for each law.
    Raises ValueError without candidates, and for a law of another number of features.

    >>> from superpose.features import Independent
    >>> best = optimized(families(2, 1), Independent(0.1, n_features=2))
    >>> dict(zip(best.names, best.loss.round(4).tolist()))
    {'1 dedicated, 1 dropped': 0.0308, '1 antipodal pair': 0.0033, '1 aligned pair': 0.0333}
    """
    if not candidates:
        raise ValueError("candidates must be at least one family, got none")
    n, known = next(iter(candidates.values())).directions.shape[-1], getattr(features, "n_features", None)
    if n != known:
        raise ValueError(f"features must be a law of the {n} features of the candidates, got one of {known}")
    shape = np.asarray(features.density).shape[:-1]
    n_laws, n_families = int(np.prod(shape)), len(candidates)
    law, which = (at.ravel() for at in np.meshgrid(np.arange(n_laws), np.arange(n_families)))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *candidates.values())
    family = jax.tree.map(lambda leaf: leaf[which], stacked)
    with jax.enable_x64(True):
        laws = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(n_laws, -1)[law], features)
    # To begin with, biases take away most of the positive interference, and no two lengths are equal:
    # a symmetric start could only find symmetric solutions.
    W = stacked.directions + stacked.lift
    stored = (W != 0).any(axis=1)
    crowding = np.maximum(0, np.swapaxes(W, 1, 2) @ W * (1 - np.eye(W.shape[2]))).max(axis=2)
    bias = np.where(crowding < 0.9, -0.7 * crowding, 0.0)
    length = np.sqrt(1 - bias) * (1 - 0.1 * np.arange(W.shape[2]) / W.shape[2])
    bias = np.where(stored[which], bias[which], np.asarray(laws.density) / 2)
    free = length[which], bias, np.ones(len(which))
    solved = minimize(free, _Free(family, Population(laws)), own_loss=True)
    models = jax.vmap(Family.model)(family, *solved.models)

    def by_family(leaf):
        return np.asarray(leaf).reshape(n_families, *shape, *leaf.shape[1:])

    return Candidates(list(candidates), by_family(solved.loss), jax.tree.map(by_family, models))


_Shape = tuple[str, Float[np.ndarray, "hidden feature"], Float[np.ndarray, "hidden feature"]]


def _shapes(n, m) -> list[_Shape]:
    """The regular shapes of at most `n` features in at most `m` dimensions, with their lifts."""
    flat = {
        "dedicated": np.array([[1.0]]),
        "antipodal pair": np.array([[1.0, -1.0]]),
        "aligned pair": np.array([[1.0, 0.4]]),
    }
    names = {3: "triangle", 5: "pentagon", 6: "hexagon"}
    flat |= {names.get(k, f"{k}-gon"): polytopes.polygon(k) for k in (3, *range(5, n + 1))}
    flat |= {"tetrahedron" if d == 3 else f"{d}-simplex": polytopes.simplex(d) for d in range(3, m + 1)}
    shapes = [(name, directions, np.zeros_like(directions)) for name, directions in flat.items()]
    # The two squares are as far apart as those that 8 charges on a sphere form.
    antiprism, height = polytopes.antiprism(4, height=0.5604), np.array([[0.0], [0.0], [1.0]])
    shapes.append(("square antiprism", antiprism * (1 - height), antiprism * height))
    return [shape for shape in shapes if shape[1].shape[0] <= m and shape[1].shape[1] <= n]


def _mixtures(shapes, n, m) -> Iterator[list[_Shape]]:
    """All ways to fill `m` dimensions with shapes of no more than `n` features in total."""
    if m == 0:
        yield []
    for first, shape in enumerate(shapes):
        d, k = shape[1].shape
        if d <= m and k <= n:
            for others in _mixtures(shapes[first:], n - k, m - d):
                yield [shape, *others]
