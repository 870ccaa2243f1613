"""What many starts found: which minima are the same, how often each is reached, and how certain the best is."""

from functools import reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from superpose.features import Anticorrelated, Correlated, Law
from superpose.inputs import whole
from superpose.train._minimize import Minimum

# Measured on all pairs of starts in 1,600 cells of 2 in 1 and 900 of 3 in 2: those that reached the same
# minimum differ by less than 1e-6 and 6e-4, others of close losses by more than 1e-5 or 3e-3.
SAME_LOSS = 1e-5
"""Losses that differ by no more than this share are equal."""
SAME_WEIGHTS = 1e-3
"""Preactivations whose `A` and `c` differ by no more than this are equal."""


class Basins(NamedTuple):
    """What `basins` returns: NumPy arrays, with an entry for each group of starts."""

    label: Int[np.ndarray, "*group start"]
    """The minimum that each start reached: 0 is the best, 1 the next; -1 means not converged."""
    best: Float[np.ndarray, "*group"]
    """The least loss; NaN where no start converged."""
    reached: Float[np.ndarray, "*group"]
    """The share of all starts that reached the least loss."""
    distinct: Int[np.ndarray, "*group"]
    """How many different minima were reached."""
    gap: Float[np.ndarray, "*group"]
    """How far the next higher loss lies above the best, as a share of it; NaN where there is none."""
    missed: Float[np.ndarray, "*group"]
    """With 95% confidence, a better minimum was missed only if a start reaches it with a chance below this."""
    converged: Float[np.ndarray, "*group"]
    """The share of starts that converged; the others count as no minimum."""

    def __repr__(self) -> str:
        *groups, starts = np.shape(self.label)
        if groups:
            many = " × ".join(map(str, groups))
            minima = "–".join(map(str, np.unique([np.min(self.distinct), np.max(self.distinct)])))
            summary = f"{many} groups of {starts} starts, minima in each: {minima}"
        else:
            gap = f", the next {100 * self.gap:.2g}% above" if np.isfinite(self.gap) else ""
            summary = f"{starts} starts, minima: {self.distinct}, the best {self.best:.4g}{gap}"
        reached, missed = np.mean(self.reached), np.max(self.missed)
        return (
            f"Basins({summary}, reached by {reached:.0%}, a better one missed if its chance < {missed:.2g})"
        )


def basins(solved: Minimum, features: Any = None, *, starts: int | None = None) -> Basins:
    """Sort the solutions of many starts into different minima, for each group of `starts` in a row.

    Two solutions are the same where their losses agree, to `SAME_LOSS`, and their preactivations
    `A x + c` do, to `SAME_WEIGHTS`, but for a permutation of equivalent features. As `A` is
    `W^T W`, rotations and reflections of the hidden layer make no difference. Features that
    have the same density and importance in `features`, which has one law for all or one for each
    member, are equivalent, if they are independent or in sets; without it, and in other laws, none are. Without `starts`,
    all are one group and the results have no axis for it.

    Permutations are not tried out. What is compared is, for each class of equivalent features
    and each pair of classes, the sorted entries of `c`, of the diagonal of `A` and of the entries
    off it, and the sorted sums of squares of its rows: they change continuously with the weights, and
    different minima that share all of them and their loss have not been seen. A ReLU output that is
    never positive counts as 0, whatever its weights. In a valley of one loss, as in the linear model
    of equal features, each point counts as another minimum in `distinct`, but `reached` and
    `gap` go by the loss alone.

    With `N` starts that converged, `missed` is `1 - 0.05^(1/N)`: a better minimum that a start
    reaches with that chance or more would have been seen with 95% confidence.

    Raises TypeError for what `minimize` did not return, or of models that are no networks, and ValueError for `starts` that
    do not divide the members, a law of another number of features, and laws that differ within a group.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> from superpose.models import ReluOutput
    >>> from superpose.train import ensemble, minimize
    >>> world = Independent(0.1, n_features=2)
    >>> models = ensemble(lambda key: ReluOutput.init(2, 1, key=key), members=50, key=jax.random.key(0))
    >>> found = basins(minimize(models, Population(world)), world)
    >>> int(found.distinct)  # an antipodal pair, or one of two equivalent features
    2
    >>> round(float(found.missed), 3)
    0.058
    """
    if not isinstance(solved, Minimum) or not hasattr(solved.models, "preactivation"):
        raise TypeError(f"solved must be what minimize returns for networks, got {type(solved).__name__}")
    starts = None if starts is None else whole(starts, "starts")
    n, known = solved.models.b.shape[-1], getattr(features, "n_features", None)
    if features is not None and known != n:
        raise ValueError(f"features must be the law of the models' {n} features, got one of {known}")
    members = len(solved.loss)
    n_starts = members if starts is None else starts
    if n_starts < 1 or members % n_starts:
        raise ValueError(f"starts must divide the number of members, {members}, got {starts}")
    _check_alike(features, n_starts)
    loss = np.where(solved.converged, solved.loss, np.inf).reshape(-1, n_starts)
    label = _labels(loss, _invariants(solved.models, features).reshape(*loss.shape, -1))
    best, count = loss.min(axis=1), np.isfinite(loss).sum(axis=1)
    lowest = np.isfinite(loss) & (loss <= best[:, None] * (1 + SAME_LOSS))
    second = np.where(lowest, np.inf, loss).min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = Basins(
            label,
            best=np.where(count, best, np.nan),
            reached=lowest.mean(axis=1),
            distinct=label.max(axis=1) + 1,
            gap=np.where(np.isfinite(second), second / best - 1, np.nan),
            missed=1 - 0.05 ** (1 / count),
            converged=count / n_starts,
        )
    return result if starts is not None else Basins(*(values[0] for values in result))


def _check_alike(features, starts) -> None:
    """Raise ValueError where the starts of a group have different laws."""
    if getattr(getattr(features, "importance", None), "ndim", 1) < 2:  # one law for all
        return
    for leaf in filter(eqx.is_array, jax.tree.leaves(features)):
        groups = np.reshape(leaf, (-1, starts, *np.shape(leaf)[1:]))
        if not np.array_equal(groups, np.broadcast_to(groups[:, :1], groups.shape), equal_nan=True):
            raise ValueError(
                f"features differ within {starts} members, which are no starts of one problem; say starts=N, "
                "where each N members in a row have the same"
            )


def _invariants(models, features) -> Float[np.ndarray, "member number"]:
    """Numbers that are the same for models that differ only by a rotation or by an exchange of equivalent features."""
    with jax.enable_x64(True):
        A, c = (np.asarray(part) for part in jax.vmap(lambda model: model.preactivation())(models))
    n = c.shape[1]
    low, high = features.value.bounds if hasattr(features, "value") else (0.0, 1.0)
    if isinstance(features, Law) and (
        bool(getattr(features, "inexact", "")) or not hasattr(features, "value")
    ):
        low, high = -np.inf, np.inf  # values of other sizes
    if models.activation == "relu" and np.isfinite([low, high]).all():
        never = c + np.maximum(np.maximum(A * low, A * high), 0).sum(axis=2) <= 0
        A, c = np.where(never[..., None], 0.0, A), np.where(never, 0.0, c)
    kinds = np.broadcast_to(_kinds(features, n), c.shape)
    moments = np.empty((len(c), n * n + 2 * n))
    for kind in np.unique(kinds, axis=0):
        here = (kinds == kind).all(axis=1)
        entries = A[here].reshape(-1, n * n)
        squares = (A[here] ** 2).sum(axis=2)
        moments[here] = np.concatenate(
            [_sorted(c[here], kind), _sorted(squares, kind), _sorted(entries, _pairs(kind, features))], axis=1
        )
    return moments


def _sorted(values, kinds) -> np.ndarray:
    """Each row's values in rising order, those of each kind by themselves."""
    return np.concatenate([np.sort(values[:, kinds == kind], axis=1) for kind in np.unique(kinds)], axis=1)


def _kinds(features, n) -> Int[np.ndarray, "... feature"]:
    """For each feature the first that is equivalent to it."""
    if not hasattr(features, "sizes"):  # of other laws, these numbers do not say it all
        return np.arange(n)

    def own(law):
        return law.density, law.importance

    with jax.enable_x64(True):
        numbers = [*map(np.asarray, (jax.vmap(own) if features.importance.ndim > 1 else own)(features))]
    if isinstance(features, Correlated | Anticorrelated):
        numbers.append(np.repeat(features.sizes, features.sizes))
    # One law for all has numbers of features, one for each member numbers of members and features.
    same = (np.isclose(of[..., :, None], of[..., None, :], rtol=1e-9, atol=0) for of in numbers)
    return reduce(np.logical_and, same).argmax(axis=-1)


def _pairs(kind, features) -> Int[np.ndarray, " pair"]:
    """For each entry of `A`, its kind: those of its output and input, and whether these are one feature or in one set."""
    n = len(kind)
    sets = np.arange(n)
    if isinstance(features, Correlated | Anticorrelated):
        sets = np.repeat(np.arange(len(features.sizes)), features.sizes)
    near = np.eye(n, dtype=int) + (sets[:, None] == sets)
    return ((kind[:, None] * n + kind) * 3 + near).ravel()


def _labels(loss, numbers) -> Int[np.ndarray, "group start"]:
    """The best start that has no label yet gives one to all starts that are like it, until all have one."""
    label = np.full(loss.shape, -1)
    left = np.isfinite(loss)
    for place in range(loss.shape[1]):
        groups = np.flatnonzero(left.any(axis=1))
        if not len(groups):
            break
        open_, losses = left[groups], loss[groups]
        first = np.where(open_, losses, np.inf).argmin(axis=1)[:, None]
        close = losses <= np.take_along_axis(losses, first, 1) * (1 + SAME_LOSS)
        other = np.take_along_axis(numbers[groups], first[..., None], 1)
        close &= (np.abs(numbers[groups] - other) <= SAME_WEIGHTS).all(axis=2)
        label[groups] = np.where(open_ & close, place, label[groups])
        left[groups] = open_ & ~close
    return label
