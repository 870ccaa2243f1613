"""What papers, or a short calculation, predict, to compare with what training finds.

Features are independent, active with chance `density` and then uniform on [0, 1]. The functions
take NumPy or JAX arrays, or numbers, and broadcast. All else raises TypeError, and a density outside [0, 1] ValueError.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import entr, log_ndtr

from superpose.inputs import ArrayLike, array, check_each, numbers, weights, whole
from superpose.values import double

Numbers = ArrayLike
"""Numbers, lists and arrays, which broadcast."""


def dropped_cost(density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The loss of a feature that is not represented and has its best bias, `p / 2` at density `p`.

    `importance * Var(x) = importance (p/3 - p^2/4)`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> dropped_cost(1.0) == 1 / 3 - 1 / 4
    True
    """
    density, importance = numbers(density=density, importance=importance)
    return importance * (density / 3 - density**2 / 4)


def antipodal_cost(density: Numbers, importance: Numbers = 1.0, other: Numbers = 1.0) -> Numbers:
    """The loss of two features, of importance `importance` and `other`, stored as `W_a = -W_b` at length 1.

    With biases of 0 an output is wrong only where both are active, short by the smaller of the
    two values, and `E[min(x, y)^2] = 1/6`: `(importance + other) p^2 / 6`, at density `p`.

    Elhage et al. (2022), theory notebook to "Superposition as a Phase Change".

    >>> round(antipodal_cost(0.3), 6)
    0.03
    """
    density, importance, other = numbers(density=density, importance=importance, other=other)
    return (importance + other) * density**2 / 6


def linear_loss(density: Numbers, importance: Numbers, n_hidden: int) -> float:
    """The least loss of the linear model: the features that would cost most get a dimension each.

    The others cost `dropped_cost`; no superposition, at any density. `density` and `importance` have one number for each
    feature, or one for all where the other has several. Raises ValueError for a negative `n_hidden`.

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
    """What is missing from the benefit of each feature, `I_i (1 - |W_i|^2)^2`: 0 at length 1."""
    interference: Float[Array, " feature"]
    """What the other features add to each output, `I_i sum_{j != i} (W_i . W_j)^2`."""


def linear_terms(
    W: ArrayLike,
    importance: ArrayLike,
) -> LinearTerms:
    """The loss of `x' = W^T W x` as two sums, for independent features of mean 0 and variance 1.

    It is `sum_i I_i |e_i - W^T W_i|^2`, the squared length of `diag(sqrt(I)) (Id - W^T W)`, and at least
    the sum of all importances but the `n_hidden` largest: features at right angles have no
    interference, and what more features could add to the benefit costs at least as much interference.
    Raises ValueError unless `importance` is a number or one for each feature.

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
    """The loss of `ReLU(W^T W x + b)` where only one feature is active, for each feature in turn.

    For feature `i` it is `I_i int (x - ReLU(|W_i|^2 x + b_i))^2 dx + sum_{j != i} I_j int ReLU(W_j . W_i x
    + b_j)^2 dx`, from 0 to 1. Their sum is the paper's `L_1`, and their mean is
    `losses.Active(Independent(...), 1)` for equal densities. Negative interference costs nothing.
    Raises ValueError unless `b` and `importance` are numbers or one for each feature.

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
    expected = np.asarray(importance) @ (silent + integral(gram - asked, b, low, high))
    return np.where(np.isnan(gram + b).any(), np.nan, expected)


def _of_features(W, value, name) -> Any:
    """One number for each feature of `W`; a single number applies to all."""
    n, value = weights(W).shape[1], array(value, name)
    if value.shape not in ((), (n,)):
        raise ValueError(
            f"{name} must be a number or {n} numbers, one for each feature, got shape {value.shape}"
        )
    return (jnp if isinstance(value, jax.Array) else np).broadcast_to(value, (n,))


def thomson_energy(
    W: ArrayLike,
) -> Float[Array, ""]:
    """`sum_{i != j} ReLU(W_i . W_j)^2`, which is 0 for features at right angles or further apart.

    For unit weights, equal importances of 1 and no bias, a third of it is the sum of `one_active_loss`:
    the models are points on a sphere that repel each other, as in Thomson's problem. In `m`
    dimensions at most `2 m` of them, in antipodal pairs, have an energy of 0.

    Elhage et al. (2022), "Toy Models of Superposition", "Mathematical Understanding".

    >>> float(thomson_energy(np.array([[1.0, -1.0]]))), float(thomson_energy(np.array([[1.0, 1.0]])))
    (0.0, 2.0)
    """
    W = double(weights(W))
    gram = W.T @ W
    return (jnp.maximum(gram, 0) ** 2).sum() - (jnp.diagonal(gram) ** 2).sum()


def pair_loss(w1: Numbers, w2: Numbers, density: Numbers, importance: Numbers = 1.0) -> Numbers:
    """The exact loss of two features in one dimension, `W = [w1, w2]`, without biases.

    The first feature has importance 1, the second `importance`, and both the same density. Each of the events "only the first
    is active", "only the second", "both" has a closed form; in the last one, for negative `w1 w2`, only
    what lies on one side of a line through the origin gets through a ReLU.

    Elhage et al. (2022), "Toy Models of Superposition", T. McGrath's comment.

    >>> round(float(pair_loss(1.0, -1.0, 0.3)), 6) == round(antipodal_cost(0.3), 6)
    True
    >>> round(float(pair_loss(0.0, 0.0, 0.3)), 6)  # both dropped, without a bias: E[x^2] of each
    0.2
    """
    given = map(double, numbers(w1=w1, w2=w2, density=density, importance=importance))
    return _pair_loss(*jnp.broadcast_arrays(*given))


@jax.jit  # for precision too: outside of jit, JAX rounds 1 / 3 to float32
def _pair_loss(w1, w2, density, importance):
    c = w1 * w2
    both_there = abs(c) > 0
    # |w2 / w1|, and its inverse; arbitrary where one of them is 0, as c is then not negative
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

    A map from `n` features, of which about `n p` are active, to `m` dimensions can be undone only if `m` is
    of the order of `-n p log p` or more. So the number of features grows in proportion to `m`, which is `n_hidden`, and,
    below a density of 1/e, rises as they get sparser; but it is never more than `n_features`. The logarithm is
    natural.

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
    `importance (p/3 - p^2/4) (1 - w^2)^2 + penalty p w / 2`. The minimum at `w > 0` moves to smaller `w`
    as the penalty grows, and is no better than `w = 0` from `w^2 = 2/3` on, where the penalty is
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
    compute; for `width = 0` it is a jump. Raises ValueError for fewer levels than 1, and a negative width.

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
    """Two numbers in [0, 1) recovered from one, `t = (staircase(x) + y) / levels`, by a second staircase.

    `x` comes back as the middle of its level, `y` as what is left of `t` beyond that level. With jumps the mean
    squared error of the two is `1 / (24 levels^2)`; the best that one linear dimension can do, which is to
    keep either one or their mean, is 1/24. Raises ValueError as `staircase` does.

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


def recoverable(undersampling: Numbers, signed: bool = False) -> Numbers:
    """How many active features L1 minimization finds from linear measurements, divided by the number of measurements.

    `undersampling` is that of measurements over features, m / n, within (0, 1]. With fewer active features than this share
    of m, nearly all random directions let the least `sum(|z|)` with `D z = h` find `z`, as n grows, whatever its values; with
    more, nearly none do. Positive codes, unless `signed`, which are harder. Along a curve with the parameter t,

        `share = 1 - t Q(t) / phi(t)`, `undersampling = c phi / (t + c (phi - t Q))`,

    with the normal density phi and its upper tail Q, c = 1 for positive codes and 2 for signed ones. Raises ValueError for
    an `undersampling` outside (0, 1].

    Donoho and Tanner (2009), "Observed universality of phase transitions"; Donoho, Maleki and Montanari (2009).

    >>> recoverable(0.5).round(3), recoverable(0.5, signed=True).round(3)
    (np.float64(0.558), np.float64(0.386))
    """
    share = np.asarray(array(undersampling, "undersampling"))
    check_each(share, lambda u: (u > 0) & (u <= 1), "undersampling must be above 0 and at most 1")
    t = np.concatenate([np.linspace(0, 1, 2001)[:-1], np.geomspace(1, 30, 4000)])
    phi, c = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi), 2.0 if signed else 1.0
    found = 1 - t * np.exp(log_ndtr(-t) + t**2 / 2) * math.sqrt(2 * math.pi)  # Q / phi, also where both are 0
    known = c * phi / (t + c * phi * found)
    return np.interp(share, known[::-1], found[::-1])


def phase_losses(n_features: int, density: Numbers, importance: Numbers) -> Float[np.ndarray, "phase ..."]:
    """The loss of each prototype in `PHASES[n_features]`, for an extra feature of this `importance`.

    The other features have importance 1, and all the same density. A dropped feature has its best bias. Raises ValueError
    unless `n_features` is 2 or 3.

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
    dimension and 4/7 for 3 in 2, where the extra feature is dedicated and the others share. `r` is `importance`, that of the
    extra feature over that of the others. Raises ValueError unless `n_features` is 2 or 3.

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
        raise ValueError(f"n_features must be 2 or 3, whose phases have prototypes, got {n_features}")
