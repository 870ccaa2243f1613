"""From models to one labeled dataset: the one place where JAX arrays become NumPy's."""

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import jax
import numpy as np
import xarray as xr

import superpose
from superpose import memory
from superpose.inputs import array
from superpose.models import Network
from superpose.values import double


def dataset(
    models: Network,
    loss,
    *,
    grid: Mapping[str, Any],
    **more: Any,
) -> xr.Dataset:
    """The weights and losses of models trained at every point of a grid.

    `models` and `loss` have one leading axis, over the grid's points in C order; `grid` gives
    the axes with their values, such as `{"density": densities, "member": range(10)}`. The
    dataset has `W` (..., hidden, feature), `b` (..., feature), where the models have them also
    `W_out` and `hidden_bias`, and `loss` (...). `more` adds variables with
    one value a model.
    """
    if not hasattr(models, "W"):
        raise TypeError(f"models must be networks side by side, got {type(models).__name__}")
    dims = tuple(grid)
    shape = tuple(len(values) for values in grid.values())

    def on_grid(leaf, *axes):
        leaf = np.asarray(leaf)
        if leaf.shape[:1] != (math.prod(shape),):
            raise ValueError(
                f"models, loss and more must have the {math.prod(shape)} points of the grid along their first axis, "
                f"got shape {leaf.shape}"
            )
        return (*dims, *axes), leaf.reshape(*shape, *leaf.shape[1:])

    variables = {
        "W": on_grid(models.W, "hidden", "feature"),
        "b": on_grid(models.b, "feature"),
        "loss": on_grid(loss),
    }
    if models.W_out is not None:
        variables["W_out"] = on_grid(models.W_out, "feature", "hidden")
    if models.hidden_bias is not None:
        variables["hidden_bias"] = on_grid(models.hidden_bias, "hidden")
    variables |= {name: on_grid(values) for name, values in more.items()}
    return xr.Dataset(variables, coords={name: np.asarray(values) for name, values in grid.items()})


def points(*axes) -> tuple[np.ndarray, ...]:
    """Each axis' value at every point of the grid that they span, in C order.

    >>> points([0.1, 0.2], range(2))
    (array([0.1, 0.1, 0.2, 0.2]), array([0, 1, 0, 1]))
    """
    return tuple(axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij"))


def each(make, *values):
    """One loss for each point: `make(value, ...)` with every leaf stacked along a leading axis.

    The values reach `make` in float64.
    """
    numbers = [double(array(value, "values")) for value in values]
    if len({len(value) if value.ndim else 0 for value in numbers}) != 1 or numbers[0].ndim == 0:
        raise ValueError(
            f"values must be arrays of one length, got the shapes {[value.shape for value in numbers]}"
        )
    return jax.vmap(make)(*numbers)


def best(data: xr.Dataset) -> xr.Dataset:
    """The member of least loss at each point of the grid.

    >>> best(xr.Dataset({"loss": (("point", "member"), [[3.0, 1.0], [2.0, 5.0]])})).loss.values.tolist()
    [1.0, 2.0]
    """
    if "loss" not in data or "member" not in data.loss.dims:
        raise ValueError(f"data must have a loss along member, got {list(data)} along {list(data.dims)}")
    return data.isel(member=data.loss.argmin("member"))


def stacked(datasets: Mapping[Any, xr.Dataset], dim: str) -> xr.Dataset:
    """Datasets of models of different sizes in one, along `dim`, filled up with NaN; see `one`."""
    sized = [
        data.assign_coords({axis: np.arange(n) for axis, n in data.sizes.items() if axis not in data.coords})
        for data in datasets.values()
    ]
    flags = [name for name, data in sized[0].variables.items() if data.dtype == bool]
    together = xr.concat(sized, dim, join="outer", coords="minimal", compat="override", fill_value=np.nan)
    for name in flags:  # NaN made numbers of them
        together[name] = together[name] == 1
    return together.assign_coords({dim: list(datasets)})


def one(data: xr.Dataset, dim: str, label) -> xr.Dataset:
    """The dataset that `stacked` put at `label`, without what it was filled up with."""
    part = data.sel({dim: label}, drop=True)
    for axis in part.dims:
        absent = part.W.isnull().all([other for other in part.W.dims if other != axis])
        if axis in part.W.dims and bool(absent.any()):
            part = part.isel({axis: np.flatnonzero(~absent.values)})
    return part


def over_models(measure, W: xr.DataArray, *dims: str) -> xr.DataArray:
    """A measure of `W` for every model of a dataset; `dims` are those of one model's measure."""
    if not isinstance(W, xr.DataArray) or W.ndim < 2:
        raise TypeError(f"W must be a DataArray (..., hidden, feature), got {type(W).__name__}")
    if {"hidden", "feature"} <= set(W.dims) and W.dims[-2:] != ("hidden", "feature"):
        raise ValueError(f"W must have hidden and feature as its last axes, in this order, got {W.dims}")
    lead = W.dims[:-2]
    flat = W.values.reshape(-1, *W.shape[-2:])
    values = np.asarray(jax.vmap(measure)(flat))
    values = values.reshape(*W.shape[:-2], *values.shape[1:])
    kept = {name: coord for name, coord in W.coords.items() if set(coord.dims) <= {*lead, *dims}}
    return xr.DataArray(values, dims=(*lead, *dims), coords=kept)


def check_least(config, **least: int) -> None:
    """Raise ValueError unless each of these settings of an experiment is at least so much."""
    for name, low in least.items():
        if not getattr(config, name) >= low:
            raise ValueError(f"{_option(name)} must be at least {low}, got {getattr(config, name)}")


def check_shares(config, *names: str) -> None:
    """Raise ValueError unless these settings, or each of what they name, are above 0 and at most 1."""
    for name in names:
        value = getattr(config, name)
        each = value if isinstance(value, tuple) else (value,)
        if not each:
            raise ValueError(f"{_option(name)} must be one number or more, such as 0.2 0.1")
        if not all(0 < share <= 1 for share in each):
            raise ValueError(
                f"{_option(name)} must be above 0 and at most 1, got {', '.join(map(str, each))}"
            )


def _option(name) -> str:
    return name.replace("_", "-")


def settings(config) -> dict[str, Any]:
    """What a result is made from, as plain values: the config, and the versions."""
    return {
        "config": asdict(config),
        "versions": {
            "superpose": superpose.__version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }


@dataclass(frozen=True)
class Cost:
    """What some work takes, about: `seconds` on two cores, and `numbers` held at once, of 8 bytes each."""

    seconds: float
    numbers: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.numbers + other.numbers)


def training(models: float, features: float, weights: float, steps: float, batch: float) -> Cost:
    """What it takes to `train.fit` so many models of so many features and weights.

    From steps measured at 2 to 400 features, LOG.md.
    """
    step = 1e-6 + 0.5e-9 * batch * (0.2 * weights + 1.2 * features)
    return Cost(
        models * steps * step, models * (8 * weights + steps / 50) + steps / 10 + 20 * batch * features
    )


def minimizing(models: float, weights: float) -> Cost:
    """What it takes to `train.minimize` so many models of so many weights on an exact loss."""
    return Cost(models * 5e-5 * weights**2, models * (16 * weights + 40))


def evaluating(times: float, numbers: float, held: float = 0) -> Cost:
    """What it takes to compute something of so many numbers so many times, and to keep `held` of each."""
    return Cost(1e-9 * times * numbers, 10 * numbers + 3 * times * held)


def check_room(config) -> None:
    """Raise MemoryError, in one line that names the setting, unless what a run of it holds fits into memory."""
    if not hasattr(config, "cost"):
        return
    needed = 8 * config.cost.numbers
    default = type(config)()

    def less(name):
        """What it would be with this setting at its default."""
        try:
            return 8 * replace(config, **{name: getattr(default, name)}).cost.numbers
        except ValueError:
            return needed

    names = [each.name for each in fields(config)]
    changed = [name for name in names if getattr(config, name) != getattr(default, name)]
    most = min(changed, key=less, default="")
    remedy = f"give a lower --{_option(most)}" if most else "use a machine with more memory"
    memory.check(needed, f"a run with {_option(most)} {_setting(config, most)}" if most else "a run", remedy)


def _setting(config, name) -> str:
    value = getattr(config, name)
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
