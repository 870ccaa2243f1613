"""What a sweep computes at its cells: a function of yours, or one made of a model and its loss."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import parent_process
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from superpose import grid, train
from superpose.draws import AnyKey, key_of
from superpose.sweep._axes import check_name

CELL = "cell"
"""The leading axis of what a cell function returns."""
GIVEN = ("seeds", "key")
"""Arguments that are no axes: how many initial weights are tried, and the key of the sweep's seed."""


class Signature(NamedTuple):
    """What a cell function takes."""

    batched: tuple[str, ...]
    """Arguments before the star: arrays, with one number for each cell of a chunk."""
    fixed: tuple[str, ...]
    """Arguments after it: one value for all cells of a chunk."""
    defaults: Mapping[str, Any]
    given: tuple[str, ...]
    """Those of `GIVEN` that it takes."""


def signature(cell: Callable) -> Signature:
    """Raises TypeError for a function whose arguments have no names."""
    try:
        parameters = inspect.signature(cell).parameters.values()
    except (TypeError, ValueError):
        raise TypeError(f"cell must be a function with named arguments, got {cell!r:.60}") from None
    batched, fixed, defaults, given = [], [], {}, []
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise TypeError(f"cell must name its arguments, one for each axis, got *{each.name}")
        if each.kind is each.POSITIONAL_ONLY:
            raise TypeError(f"cell gets its arguments by name; {each.name} is before a /, which hides it")
        if each.name in GIVEN:
            given.append(each.name)
        elif each.kind is each.KEYWORD_ONLY:
            fixed.append(each.name)
        else:
            batched.append(each.name)
        if each.default is not each.empty:
            defaults[each.name] = each.default
    return Signature(tuple(batched), tuple(fixed), defaults, tuple(given))


class Setting(NamedTuple):
    """What is the same for all cells of a sweep."""

    axes: tuple[str, ...]
    seeds: int | None
    seed: int


def called(
    cell: Callable, numbers: Mapping[str, np.ndarray], fixed: Mapping[str, Any], setting: Setting
) -> xr.Dataset:
    """What a cell function says of these cells, as a dataset along `cell`.

    An axis of one model that has the name of one of the sweep's is `each_...`: `each_hidden` where `hidden` is swept.
    Raises TypeError or ValueError for what is no such dataset.
    """
    takes = signature(cell).given
    given = {"seeds": setting.seeds, "key": key_of(setting.seed) if "key" in takes else None}
    n = len(next(iter(numbers.values()))) if numbers else 1
    made = cell(**numbers, **fixed, **{name: given[name] for name in takes if given[name] is not None})
    data = _as_dataset(made, n)
    return data.rename({name: f"each_{name}" for name in data.dims if name in setting.axes})


def _as_dataset(made, n) -> xr.Dataset:
    if hasattr(made, "models") and hasattr(made, "loss"):
        made = grid.dataset(made.models, made.loss, axes={CELL: range(n)})
    if isinstance(made, Mapping) and not isinstance(made, xr.Dataset):
        for name in made:
            check_name(name, "a variable")
        variables = {name: _variable(name, each) for name, each in made.items()}
        both = {*variables} & {dim for dims, _ in variables.values() for dim in dims}
        if both:
            raise ValueError(
                f"cell returned {', '.join(sorted(both))} as a variable and as an axis of one; call one of them otherwise"
            )
        made = xr.Dataset(variables)
    if not isinstance(made, xr.Dataset):
        raise TypeError(
            "cell must return arrays by name, such as {'loss': loss}, a dataset along `cell`, or what `minimize` "
            f"returns, got {type(made).__name__}"
        )
    made = made.drop_vars(CELL, errors="ignore")
    if not made.data_vars:
        raise ValueError("cell returned nothing; return at least {'loss': loss}")
    for name, each in made.data_vars.items():
        if each.dims[:1] != (CELL,) or each.shape[0] != n:
            raise ValueError(
                f"{name} must have one entry for each of the {n} cells along its first axis, got {dict(each.sizes)}"
            )
        if each.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be real numbers, got {each.dtype}")
    return made


def _variable(name, each) -> tuple[tuple[str, ...], np.ndarray]:
    dims, values = each if isinstance(each, tuple) and len(each) == 2 else ((), each)
    dims = (dims,) if isinstance(dims, str) else tuple(dims)
    for dim in dims:
        check_name(dim, f"an axis of {name}")
    values = np.asarray(values)
    if values.ndim != 1 + len(dims):
        raise ValueError(
            f"{name} has the shape {values.shape}: name its axes after the first, as in "
            f"{name}=(('hidden', 'feature'), values)"
        )
    return (CELL, *dims), values


def as_floats(data: xr.Dataset) -> xr.Dataset:
    """Numbers that can be NaN, which is what is not there yet."""
    kinds = {"b": "f4", "i": "f8", "u": "f8"}
    return data.map(lambda values: values.astype(kinds.get(values.dtype.kind, values.dtype)), keep_attrs=True)


def solved(init: Callable, loss: Callable, *, keep: str = "best", **settings: Any) -> Callable:
    """A cell function: local minima of an exact loss, from `seeds` different initial weights in each cell.

    `init(key)` makes a model and `loss(number, ...)` the loss at one point. Their arguments are the axes: those of `loss`
    before the star are numbers, for which many cells are solved in one program; those after the star, of both, decide
    about shapes. `settings` are those of `train.minimize`.

    Each cell has its `best` model and what `train.basins` says of how sure that is: `reached`, `distinct`, `gap`, `missed`;
    with `keep="all"` it has every model, along `member`, and which have `converged`, their `outcome` and which `minimum`
    each reached. Raises ValueError for another `keep`.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> from superpose.models import ReluOutput
    >>> cell = solved(
    ...     lambda key, *, n=2: ReluOutput.init(n, 1, key=key), lambda density, *, n=2: Population(Independent(density, n_features=n))
    ... )
    >>> inspect.signature(cell)
    <Signature (density, *, n=2, seeds=10, key)>
    """
    return _Trained(init, loss, {}, partial(_minima, keep=_kept(keep), settings=settings), train.filled)


def fitted(
    init: Callable, loss: Callable, *, steps: int, rate: float = 0.01, keep: str = "best", **settings: Any
) -> Callable:
    """A cell function like that of `solved`, for a loss on samples: `steps` of Adam, whose rate falls from `rate` to 0.

    `steps` and `rate` are arguments of it, too. Seed `i` starts from the same weights, and draws the same numbers, in all
    cells. `loss` is the mean over the last window of steps, as in `grid.fitted`; `settings` are those of `train.fit`.
    Raises ValueError for a `keep` other than "best" and "all".

    >>> from superpose.features import Independent
    >>> from superpose.losses import Sampled
    >>> from superpose.models import ReluOutput
    >>> cell = fitted(
    ...     lambda key: ReluOutput.init(2, 1, key=key),
    ...     lambda density: Sampled(Independent(density, n_features=2)),
    ...     steps=1000,
    ... )
    >>> inspect.signature(cell)
    <Signature (density, *, steps=1000, rate=0.01, seeds=10, key)>
    """
    return _Trained(
        init,
        loss,
        {"steps": steps, "rate": rate},
        partial(_fits, keep=_kept(keep), settings=settings),
        lambda model: 1,
    )


def _kept(keep: str) -> str:
    if keep not in ("best", "all"):
        raise ValueError(f"keep must be best or all, got {keep!r}")
    return keep


class _Trained:
    """A cell function made of a model and its loss. A class, so that it can be sent to workers."""

    def __init__(
        self, init: Callable, loss: Callable, more: Mapping[str, Any], trained: Callable, least: Callable
    ):
        self.parts, self.trained, self.more, self.least = (init, loss), trained, dict(more), least
        of_loss, of_init = (dict(inspect.signature(each).parameters) for each in (loss, init))
        keyword = inspect.Parameter.KEYWORD_ONLY
        fixed = {name: each for name, each in (of_loss | of_init).items() if each.kind is keyword}
        self.numbers = tuple(name for name, each in of_loss.items() if each.kind is not keyword)
        self.of_loss, self.of_init = ({*of} & {*fixed} for of in (of_loss, of_init))
        others = [inspect.Parameter(name, keyword, default=value) for name, value in more.items()]
        seeds = inspect.Parameter("seeds", keyword, default=10)
        self.__signature__ = inspect.Signature(
            [of_loss[name] for name in self.numbers]
            + [*fixed.values(), *others, seeds, inspect.Parameter("key", keyword)]
        )

    def __call__(self, *, seeds: int = 10, key: AnyKey, **given: Any) -> xr.Dataset:
        key = key_of(key)
        init, loss = (
            partial(each, **{name: given[name] for name in own if name in given})
            for each, own in zip(self.parts, (self.of_init, self.of_loss), strict=True)
        )
        more = {name: given.get(name, usual) for name, usual in self.more.items()}
        numbers = [np.asarray(given[name]) for name in self.numbers]
        n = len(numbers[0]) if numbers else 1
        # As many that bits do not depend on how many there are.
        many = max(n, -(-self.least(jax.eval_shape(init, key)) // seeds))
        places = np.minimum(np.arange(many), n - 1)
        models = train.ensemble(init, members=np.tile(np.arange(seeds), many), key=key)
        losses = grid.each(loss, *(np.repeat(each[places], seeds) for each in numbers)) if numbers else loss()
        axes = {CELL: range(many), "member": range(seeds)}
        data = self.trained(models, losses, bool(numbers), axes, key, **more)
        return (
            data.assign_attrs(grid.task(losses))
            .isel({CELL: slice(0, n)})
            .drop_vars("member", errors="ignore")
        )


def _watched() -> bool:
    """Whether there is somebody to see a bar: workers have none."""
    return parent_process() is None


def _minima(models, losses, own, axes, key, *, keep, settings) -> xr.Dataset:
    found = train.minimize(models, losses, own_loss=own, progress=_watched(), **settings)
    seen = train.basins(found, getattr(losses, "features", None), starts=len(axes["member"]))
    certificate = {
        name: (CELL, np.reshape(getattr(seen, name), -1)) for name in ("reached", "distinct", "gap", "missed")
    }
    ends = {"converged": found.converged, "outcome": found.outcome, "minimum": np.ravel(seen.label)}
    data = grid.dataset(found.models, found.loss, axes=axes, **ends).assign(certificate)
    if keep == "all":
        return data
    # A search that did not end may have a lower loss than the best minimum, and is none.
    ended = data.loss.where(data.converged).fillna(np.inf)
    best = data.isel(member=ended.argmin("member")).drop_vars(["outcome", "minimum"])
    return best.assign(converged=data.converged.mean("member"))


def _fits(models, losses, own, axes, key, *, steps, rate, keep, settings) -> xr.Dataset:
    settings = {"optimizer": train.cosine_adam(rate, steps)} | settings
    # A model's draws are those of its own seed, wherever its cell is.
    keys = train.member_keys(key, np.tile(axes["member"], len(axes[CELL])))
    trained = train.fit(models, losses, own_loss=own, steps=steps, key=keys, progress=_watched(), **settings)
    data = grid.dataset(trained.models, trained.history[:, -1], axes=axes)
    return grid.best(data) if keep == "best" else data
