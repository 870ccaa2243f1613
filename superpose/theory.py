"""What the paper, or a short calculation, predicts; the counterpart of what training finds.

Features are independent, active with chance `density` and then uniform on [0, 1]. The functions
take NumPy or JAX arrays, or numbers, and broadcast.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import entr

from superpose import polytopes
from superpose.exact import World, output_errors
from superpose.inputs import ArrayLike, array, numbers, weights, whole
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import minimize
from superpose.values import Uniform, double

Numbers = ArrayLike
"""Numbers, lists and arrays, which broadcast."""


def dropped_cost(density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The loss of a feature that is not represented and has its best bias, `density / 2`.

    `importance * Var(x) = importance (p/3 - p^2/4)`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> dropped_cost(1.0) == 1 / 3 - 1 / 4
    True
    """
    density, importance = numbers(density=density, importance=importance)
    return importance * (density / 3 - density**2 / 4)


def antipodal_cost(density: Numbers, importance: Numbers = 1.0, other: Numbers = 1.0) -> Numbers:
    """The loss of two features, of importance `importance` and `other`, as `W_a = -W_b` at length 1.

    With biases of 0 an output is wrong only where both are active, short by the smaller of the
    two values, and `E[min(x, y)^2] = 1/6`: `(importance + other) p^2 / 6`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> round(antipodal_cost(0.3), 6)
    0.03
    """
    density, importance, other = numbers(density=density, importance=importance, other=other)
    return (importance + other) * density**2 / 6


def linear_loss(density: Numbers, importance: Numbers, n_hidden: int) -> float:
    """The least loss of the linear model: the features that would cost most get a dimension each.

    The others cost `dropped_cost`; no superposition, at any density.

    Elhage et al. (2022), "Toy Models of Superposition", "Basic Results".

    >>> round(linear_loss(np.ones(3), np.array([1.0, 0.5, 0.12]), n_hidden=2), 6)
    0.01
    """
    if (n_hidden := whole(n_hidden, "n_hidden")) < 0:
        raise ValueError(f"n_hidden must not be negative, got {n_hidden}")
    cost = np.atleast_1d(dropped_cost(density, importance))
    return float(np.where(np.isnan(cost).any(), np.nan, np.sort(cost)[::-1][n_hidden:].sum()))


class LinearTerms(NamedTuple):
    """What `linear_terms` returns; the sum of all its numbers is the loss."""

    benefit: Float[Array, " feature"]
    """What is missing of the benefit of each feature, `I_i (1 - |W_i|^2)^2`: 0 at length 1."""
    interference: Float[Array, " feature"]
    """What the other features add to each output, `I_i sum_{j != i} (W_i . W_j)^2`."""


def linear_terms(
    W: ArrayLike,
    importance: ArrayLike,
) -> LinearTerms:
    """The loss of `x' = W^T W x` as two sums, for independent features of mean 0 and variance 1.

    It is `sum_i I_i |e_i - W^T W_i|^2`, the squared length of `diag(sqrt(I)) (Id - W^T W)`, and at least
    the sum of all importances but the `n_hidden` largest: features at right angles have no
    interference, and what more features could add to the benefit costs at least as much of it.

    Elhage et al. (2022), "Toy Models of Superposition", "Mathematical Understanding", after A. Saxe,
    J. McClelland, S. Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning".

    >>> benefit, interference = linear_terms(np.array([[1.0, -1.0, 0.0]]), np.array([1.0, 0.5, 0.25]))
    >>> benefit.tolist(), interference.tolist()
    ([0.0, 0.0, 0.25], [1.0, 0.5, 0.0])
    """
    W, importance = double(weights(W)), double(_of_features(W, importance, "importance"))
    gram = W.T @ W
    own = jnp.diagonal(gram)
    return LinearTerms(importance * (1 - own) ** 2, importance * ((gram**2).sum(axis=1) - own**2))


def one_active_loss(
    W: ArrayLike,
    b: ArrayLike,
    importance: ArrayLike,
) -> Float[np.ndarray, " feature"]:
    """The loss of `ReLU(W^T W x + b)` where one feature alone is active, for each that it can be.

    For feature `i` it is `I_i int (x - ReLU(|W_i|^2 x + b_i))^2 dx + sum_{j != i} I_j int ReLU(W_j . W_i x
    + b_j)^2 dx`, from 0 to 1. Their sum is the paper's `L_1`, and their mean that of
    `losses.Active(Independent(...), 1)` for equal densities. Negative interference costs nothing.

    Elhage et al. (2022), "Toy Models of Superposition", "Mathematical Understanding".

    >>> one_active_loss(np.array([[1.0, -1.0]]), np.zeros(2), np.ones(2)).tolist()
    [0.0, 0.0]
    """
    importance, b = _of_features(W, importance, "importance"), _of_features(W, b, "b")
    W = np.asarray(weights(W))
    gram, b, asked = np.asarray(W.T @ W, float), np.asarray(b, float)[:, None], np.eye(len(b))
    # Row j is output j, which is positive for x from `low` to `high`.
    at_0, at_1 = b > 0, gram + b > 0
    zero = np.divide(-b, gram, out=np.ones_like(gram), where=at_0 != at_1)
    low = np.where(at_0, 0.0, np.where(at_1, zero, 1.0))
    high = np.where(at_0 & ~at_1, zero, 1.0)

    def integral(a, c, low, high):  # of (a x + c)^2
        return a**2 * (high**3 - low**3) / 3 + a * c * (high**2 - low**2) + c**2 * (high - low)

    silent = integral(asked, 0.0, 0.0, low) + integral(asked, 0.0, high, 1.0)
    found = np.asarray(importance) @ (silent + integral(gram - asked, b, low, high))
    return np.where(np.isnan(gram + b).any(), np.nan, found)


def _of_features(W, value, name) -> Any:
    """One number for each feature of `W`; a single number is that of all."""
    n, value = weights(W).shape[1], array(value, name)
    if value.shape not in ((), (n,)):
        raise ValueError(
            f"{name} must be a number or {n} numbers, one for each feature, got shape {value.shape}"
        )
    return (jnp if isinstance(value, jax.Array) else np).broadcast_to(value, (n,))


def thomson_energy(
    W: ArrayLike,
) -> Float[Array, ""]:
    """`sum_{i != j} ReLU(W_i . W_j)^2`, which features at right angles or further apart make 0.

    For unit weights, equal importances of 1 and no bias, a third of it is `one_active_loss`, summed:
    the models are points on a sphere that repel each other, as in Thomson's problem. In `m`
    dimensions `2 m` of them, in antipodal pairs, and no more have no energy.

    Elhage et al. (2022), "Toy Models of Superposition", "Mathematical Understanding".

    >>> float(thomson_energy(np.array([[1.0, -1.0]]))), float(thomson_energy(np.array([[1.0, 1.0]])))
    (0.0, 2.0)
    """
    W = double(weights(W))
    gram = W.T @ W
    return (jnp.maximum(gram, 0) ** 2).sum() - (jnp.diagonal(gram) ** 2).sum()


def pair_loss(w1: Numbers, w2: Numbers, density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The exact loss of two features in one dimension, `W = [w1, w2]`, without biases.

    The first feature has importance 1, the second `importance`. Each of the events "only the first
    is active", "only the second", "both" has a closed form; in the last one, of negative `w1 w2`, only
    what lies on one side of a line through the origin gets through a ReLU.

    Elhage et al. (2022), "Toy Models of Superposition", T. McGrath's comment.

    >>> round(float(pair_loss(1.0, -1.0, 0.3)), 6) == round(antipodal_cost(0.3), 6)
    True
    >>> round(float(pair_loss(0.0, 0.0, 0.3)), 6)  # both dropped, without a bias: E[x^2] of each
    0.2
    """
    return _pair_loss(*map(double, numbers(w1=w1, w2=w2, density=density, importance=importance)))


@jax.jit  # for precision too: outside of jit, JAX rounds 1 / 3 to float32
def _pair_loss(w1, w2, density, importance):
    c = w1 * w2
    both_there = abs(c) > 0
    # |w2 / w1|, and its inverse; anything where one of them is 0, as then c is not negative
    ratio = jnp.where(both_there, abs(w2) / jnp.where(both_there, abs(w1), 1.0), 1.0)
    first = (1 - w1**2) ** 2 / 3 + importance * jnp.maximum(c, 0) ** 2 / 3
    second = importance * (1 - w2**2) ** 2 / 3 + jnp.maximum(c, 0) ** 2 / 3
    both = _both(w1**2, c, ratio) + importance * _both(w2**2, c, 1 / ratio)
    return density * (1 - density) * (first + second) + density**2 * both


def _both(a, c, k):
    """`E[(x - ReLU(a x + c y))^2]` for uniform `x` and `y`; for negative `c`, `k = -c / a`."""
    near, far = jnp.minimum(k, 1.0), jnp.maximum(k, 1.0)
    S1 = jnp.where(k <= 1, 1 / 3 - near / 4 + near**3 / 24, 1 / (8 * far))
    # (1 - (1 - k)^4) / (12 k), multiplied out
    S2 = jnp.where(k <= 1, (4 - 6 * near + 4 * near**2 - near**3) / 12, 1 / (12 * far))
    helped = (1 - a) ** 2 / 3 - (1 - a) * c / 2 + c**2 / 3
    return jnp.where(c >= 0, helped, 1 / 3 - 2 * a * S1 + a**2 * S2)


def learned_features_bound(n_features: int, n_hidden: Numbers, density: Numbers) -> Numbers:
    """How many features compressed sensing lets a model learn, up to a constant: `m / (-p log p)`.

    What maps `n` features, of which about `n p` are active, to `m` dimensions can be undone only if `m` is
    of the order of `-n p log p` or more. So they grow in proportion to `m`, and below a density of 1/e
    are the more the sparser they are; but never more than `n_features`. The logarithm is natural.

    Elhage et al. (2022), "Toy Models of Superposition", the appendix on compressed sensing.

    >>> round(float(learned_features_bound(1000, 10, np.exp(-1.0))), 2)
    27.18
    >>> learned_features_bound(20, 10, np.array([0.001, 0.0])).tolist()
    [20.0, 20.0]
    """
    n_hidden, density = numbers(n_hidden=n_hidden, density=density)
    with np.errstate(divide="ignore"):
        return np.minimum(n_features, n_hidden / np.abs(entr(np.asarray(density, float))))


def penalty_limit(density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The L1 penalty above which a feature with a hidden unit to itself is better dropped.

    With a weight `w` and the best bias, `p (1 - w^2) / 2`, the loss and the penalty on `|h|` are
    `importance (p/3 - p^2/4) (1 - w^2)^2 + penalty p w / 2`. Its minimum at `w > 0` gets shorter as the penalty grows,
    and is no better than `w = 0` from `w^2 = 2/3` on, where the penalty is
    `(8/3) sqrt(2/3) importance (1/3 - p/4)`: 0.726 for a rare feature of importance 1.

    A short calculation of ours; the penalty is that of "The Strategic Picture of Superposition" in
    Elhage et al. (2022), "Toy Models of Superposition".

    >>> round(penalty_limit(0.0), 3), round(penalty_limit(1.0), 3)
    (0.726, 0.181)
    """
    density, importance = numbers(density=density, importance=importance)
    return 8 / 3 * math.sqrt(2 / 3) * importance * (1 / 3 - density / 4)


def staircase(x: Numbers, levels: int, width: float) -> Numbers:
    """`floor(levels x)` for `x` in [0, 1), with each step a steep line of this width instead of a jump.

    A step is `(ReLU(x - a) - ReLU(x - a - width)) / width` around `k / levels`, which two neurons can
    compute; for `width = 0` it is a jump.

    Elhage et al. (2022), "Toy Models of Superposition", the appendix on non-linear compression.

    >>> staircase(np.array([0.2, 0.5, 0.9]), levels=2, width=0.1).tolist()
    [0.0, 0.5, 1.0]
    """
    if whole(levels, "levels") < 1 or not width >= 0:
        raise ValueError(f"levels must be at least 1 and width not negative, got {levels=}, {width=}")
    steps = np.arange(1, levels) / levels
    x = np.asarray(array(x, "x"), float)
    ahead = x[..., None] - steps
    risen = (np.clip(ahead / width + 0.5, 0, 1) if width else (ahead >= 0).astype(float)).sum(axis=-1)
    return np.where(np.isnan(x), np.nan, risen)[()]


def compressed_pair(x: Numbers, y: Numbers, levels: int, width: float) -> tuple[Numbers, Numbers]:
    """Two numbers in [0, 1) back from one, `t = (staircase(x) + y) / levels`, and a staircase again.

    `x` comes back as the middle of its level, `y` as what `t` has beyond it. With jumps the mean squared
    error of the two is `1 / (24 levels^2)`; the best that one linear dimension can do, which is to keep either one
    or their mean, is 1/24.

    Elhage et al. (2022), "Toy Models of Superposition", the appendix on non-linear compression.

    >>> x, y = compressed_pair(0.3, 0.8, levels=2, width=0.0)
    >>> round(float(x), 6), round(float(y), 6)
    (0.25, 0.8)
    """
    x, y = numbers(x=x, y=y)
    t = (staircase(x, levels, width) + y) / levels
    level = staircase(t, levels, width)
    return (level + 0.5) / levels, levels * t - level


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
    _known_size(n_features)
    density, importance = numbers(density=density, importance=importance)
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
    _known_size(n_features)
    r = np.asarray(array(importance, "importance"))
    above = 4 / (5 + 2 * r) if n_features == 2 else np.full_like(r, 4 / 7, dtype=float)
    return np.where(r <= 1, 4 * r / (2 + 5 * r), above)


def _known_size(n_features):
    if n_features not in PHASES:
        raise ValueError(f"n_features must be 2 or 3, whose phases the paper shows, got {n_features}")


class Family(eqx.Module):
    """Models whose features point in given directions; a length and a bias for each are free.

    A feature without a direction, a column of zeros, is dropped and has only a bias. `lift` is a
    second direction that features can be moved in together, as the two squares of an antiprism
    can be taken apart; most families have none.

    >>> families(3, 2)["1 dedicated, 1 antipodal pair"].directions.tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]
    """

    directions: Float[np.ndarray | Array, "*batch hidden feature"]
    lift: Float[np.ndarray | Array, "*batch hidden feature"]

    def model(self, length, bias, height=0.0) -> ReluOutput:
        W = self.directions * length + self.lift * height
        return ReluOutput(W, bias)

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
    n_features, n_hidden = whole(n_features, "n_features"), whole(n_hidden, "n_hidden")
    if not 1 <= n_hidden <= n_features:
        raise ValueError(f"n_hidden must be within 1..n_features, got {n_hidden=}, {n_features=}")
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


class Regular(NamedTuple):
    """What `regular` returns, as NumPy arrays: each polytope at its best."""

    loss: Float[np.ndarray, "polytope density"]
    """That of one feature."""
    benefit: Float[np.ndarray, "polytope density"]
    """What each dimension wins against dropping the features that share it."""
    length: Float[np.ndarray, "polytope density"]
    """The features' common length."""
    bias: Float[np.ndarray, "polytope density"]
    """The features' common bias."""
    height: Float[np.ndarray, "polytope density"]
    """Of an antiprism, as a share of the length; NaN for the others."""


class _Corner(eqx.Module):
    # The exact error of one corner's output; by symmetry the others' are the same.
    shape: Family
    density: Float[Array | np.ndarray, "*batch"]

    def __call__(self, free):
        length, bias, height = free
        k = self.shape.directions.shape[1]
        A, c = map(jnp.asarray, self.shape.model(length, jnp.full(k, bias), height).preactivation())
        world = World(jnp.full(k, self.density), Uniform(), (1,) * k, True, "x")
        return output_errors(A[:1], c[:1], world, "relu", "characteristic", 128)[0]


def regular(names: Sequence[str], density: ArrayLike) -> Regular:
    """Features at the corners of polytopes, all of the length and with the bias that are best.

    `names` are those of `polytopes.POLYTOPES`. All features have this density and importance 1. By
    symmetry two numbers are free, and the height of an antiprism; the exact loss is that
    of one feature times the number `k` of corners. In `d` dimensions the benefit for each is
    `k (p/3 - p^2/4 - loss) / d`. In a large model, where many features compete for few dimensions,
    the polytope that has most of it wins. A tegum product has what its parts have.

    The start is near unit length, so what is found is the local minimum next to it. Losses are right
    to 1e-6.

    Raises KeyError for a name that is not there.

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
    for place, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        raised = np.arange(d[place]) == 2 if "antiprism" in name else np.zeros(d[place], bool)
        flat[place, : d[place], : k[place]] = np.where(raised[:, None], 0, shape)
        lift[place, : d[place], : k[place]] = np.where(raised[:, None], shape, 0)
    place, law = (at.ravel() for at in np.mgrid[: len(names), : len(density)])
    crowding = np.array([max(0.0, np.sort((shape.T @ shape)[0])[-2]) for shape in shapes])[place]
    bias = -0.7 * crowding
    free = np.sqrt(1 - bias), bias, np.sqrt(1 - bias)
    corner = _Corner(Family(flat[place], lift[place]), np.asarray(density, float)[law])
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
    loss: Float[np.ndarray, "family *law"]
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

    There is one start for each, near unit lengths, so what is found is the local minimum next to it.
    The leaves of `features` may have a leading axis `law`: then each family is optimized for each.

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
