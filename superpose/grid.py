"""Models at every point of a grid, as one labeled dataset: the one place where JAX arrays become NumPy's.

`fitted` and `solved` make them; `described` measures, of the best at each point, what every experiment asks. The
rest is what these are made of.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from superpose import measures
from superpose.draws import AnyKey, stream
from superpose.inputs import ArrayLike, array
from superpose.models import Mixture, Network, activation_name
from superpose.train import cosine_adam, ensemble, fit, minimize
from superpose.values import Binary, Uniform, double

Axes = Mapping[str, Any]
"""The axes of a grid by name, each with its values."""
SAID = ("activation", "hidden_activation", "features", "values", "target")
"""Attributes of a dataset that say in words what its models are, and what they were trained on."""


def fitted(
    init: Callable,
    loss: Callable,
    axes: Axes,
    *,
    members: int,
    key: AnyKey,
    steps: int,
    rate: float = 0.01,
    judged: Callable | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Models trained on samples at every point of a grid, `members` from different initial weights at each.

    `init(key)` makes a model, and `loss`, called with one number from each of the `axes`, the loss at a point. Adam's
    learning rate falls from `rate` to 0 along a cosine, unless `optimizer` is among the `settings`, which are those
    of `train.fit`. The dataset is that of `dataset`, its last axis `member`; member `i` starts from the same weights
    at all points. Its `loss` is the mean over the last window of steps, or the value, for the trained models,
    of the loss that `judged` makes for each point, all with the same key. Raises TypeError and ValueError as `train.fit`
    and `dataset` do.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population, Sampled
    >>> from superpose.models import ReluOutput
    >>> data = fitted(
    ...     lambda key: ReluOutput.init(5, 2, key=key),
    ...     lambda density: Sampled(Independent(density, n_features=5), batch=32),
    ...     {"density": [0.3, 0.1]}, members=2, key=0, steps=10,
    ...     judged=lambda density: Population(Independent(density, n_features=5)),
    ... )
    >>> data.W.dims, data.loss.shape
    (('density', 'member', 'hidden', 'feature'), (2, 2))
    """
    axes, values, models = _starts(init, axes, members, key)
    settings = {"optimizer": cosine_adam(rate, steps)} | settings
    if judged is not None:  # nothing is made of the history
        settings = {"window": steps} | settings
    losses = _losses(loss, values)
    trained = fit(models, steps=steps, key=key, **losses, **settings)
    last = trained.history[:, -1] if judged is None else evaluated(trained.models, judged, values, key)
    return dataset(trained.models, last, axes=axes).assign_attrs(task(losses["loss"]))


def solved(
    init: Callable, loss: Callable, axes: Axes, *, members: int, key: AnyKey, **settings: Any
) -> xr.Dataset:
    """Local minima of an exact loss at every point of a grid, from `members` different initial weights at each.

    Like `fitted`, but with `train.minimize`; the dataset also says which searches have `converged`. Raises TypeError and
    ValueError as `train.minimize` and `dataset` do.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> from superpose.models import ReluOutput
    >>> data = solved(
    ...     lambda key: ReluOutput.init(2, 1, key=key),
    ...     lambda density: Population(Independent(density, n_features=2)),
    ...     {"density": [1.0, 0.1]}, members=4, key=0, progress=False,
    ... )
    >>> best(data).loss.values.round(4).tolist()
    [0.0833, 0.0033]
    """
    axes, values, models = _starts(init, axes, members, key)
    losses = _losses(loss, values)
    minimum = minimize(models, **losses, **settings)
    data = dataset(minimum.models, minimum.loss, axes=axes, converged=minimum.converged)
    return data.assign_attrs(task(losses["loss"]))


def described(data: xr.Dataset) -> xr.Dataset:
    """The best member at each point of the grid, and what every experiment asks of it.

    Of each feature, `norm`, `represented` (whether that is above 1/2), `dimensionality` and `superposition`; of each
    pair, their `cosine`; `reach`, the share of members within 0.1% of its loss, and `members`, how many there are.
    Raises ValueError as `best` does, and TypeError without weights `W`.

    >>> W = xr.DataArray([[[1.0, -1.0]], [[1.0, 0.0]]], dims=("member", "hidden", "feature"))
    >>> found = described(xr.Dataset({"W": W, "loss": ("member", [0.1, 0.2])}))
    >>> found.dimensionality.values.tolist(), float(found.reach)
    ([0.5, 0.5], 0.5)
    """
    chosen = best(data)
    norm = over_models(measures.norms, chosen.W, "feature")
    return chosen.assign(
        norm=norm,
        represented=norm > 0.5,
        dimensionality=over_models(measures.dimensionality, chosen.W, "feature"),
        superposition=over_models(measures.superposition, chosen.W, "feature"),
        cosine=over_models(measures.cosines, chosen.W, "feature", "other"),
        reach=(data.loss <= chosen.loss * 1.001).mean("member"),
        members=data.sizes["member"],
    )


def evaluated(
    models: Any, loss: Callable, values: Sequence[ArrayLike], key: AnyKey
) -> Float[np.ndarray, " point"]:
    """The loss of each model at its point, whose number on each axis is in `values`, one model after the other.

    A sampled loss uses the same samples for all of them, so that small differences show. Raises ValueError for `values`
    of different lengths.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> from superpose.models import ReluOutput
    >>> pairs = ReluOutput(np.array([[[1.0, -1.0]]] * 2), np.zeros((2, 2)))
    >>> loss = lambda density: Population(Independent(density, n_features=2))
    >>> evaluated(pairs, loss, [[0.3, 0.6]], key=0).round(6).tolist()  # density^2 / 3
    [0.03, 0.12]
    """
    common = stream(key, "evaluation")
    if not values:
        each_of = partial(jax.lax.map, lambda model: loss()(model, common))
        return np.asarray(jax.jit(each_of)(models))
    each_of = partial(jax.lax.map, lambda pair: pair[1](pair[0], common))
    return np.asarray(jax.jit(each_of)((models, each(loss, *values))))


def _starts(init, axes, members, key):
    """The grid with its members, the numbers of each point, and the models there."""
    axes = {**axes, "member": range(members)}
    *values, member = points(*axes.values())
    return axes, values, ensemble(init, members=member, key=key)


def _losses(loss, values):
    return {"loss": each(loss, *values), "own_loss": True} if values else {"loss": loss()}


def task(loss: Any) -> dict[str, Any]:
    """What a dataset says of a loss: its law of features and its target, if it has them.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> task(Population(Independent(0.1, n_features=5)))
    {'target': 'x', 'features': 'independent', 'values': 'uniform'}
    """
    target = {"target": loss.target} if hasattr(loss, "target") else {}
    return target | (law(loss.features) if hasattr(loss, "features") else {})


def law(features: Any) -> dict[str, Any]:
    """What a dataset says of a law of features, but for density and importance, so that others can make the same.

    >>> from superpose.features import Correlated
    >>> law(Correlated(0.1, (2, 2)))
    {'features': 'correlated', 'values': 'uniform', 'sizes': [2, 2]}
    """
    known = {Uniform(): "uniform", Uniform(-1, 1): "signed", Binary(): "binary"}
    value = getattr(features, "value", None)
    values = next(
        (name for each, name in known.items() if type(each) is type(value) and each == value), repr(value)
    )
    said = {"features": type(features).__name__.lower(), "values": values}
    return said | (
        {"sizes": list(features.sizes)} if said["features"] in ("correlated", "anticorrelated") else {}
    )


def dataset(
    models: Network,
    loss: ArrayLike,
    *,
    axes: Axes,
    **more: Any,
) -> xr.Dataset:
    """The weights and losses of models trained at every point of a grid.

    `models` and `loss` have one leading axis, over the grid's points in C order; `axes` has
    the axes' names and values, such as `{"density": densities, "member": range(10)}`. The
    dataset has `W` (..., hidden, feature), `b` (..., feature), also `W_out` and `hidden_bias` where the
    models have them, and `loss` (...). `more` adds variables with one value per model. Its attributes say the
    models' `activation` and `hidden_activation`.

    Raises ValueError for another number of models or values than points, and TypeError for what are no networks.

    >>> from superpose.models import ReluOutput
    >>> pairs = ReluOutput(np.array([[[1.0, -1.0]]] * 2), np.zeros((2, 2)))
    >>> data = dataset(pairs, [0.03, 0.12], axes={"density": [0.3, 0.6]})
    >>> data.W.dims, data.loss.sel(density=0.6).item()
    (('density', 'hidden', 'feature'), 0.12)
    """
    if not hasattr(models, "W"):
        raise TypeError(f"models must be networks side by side, got {type(models).__name__}")
    dims = tuple(axes)
    shape = tuple(len(values) for values in axes.values())

    def on_grid(leaf, *own):
        leaf = np.asarray(leaf)
        if leaf.shape[:1] != (math.prod(shape),):
            raise ValueError(
                f"models, loss and more must have the {math.prod(shape)} points of the grid along their first axis, "
                f"got shape {leaf.shape}"
            )
        return (*dims, *own), leaf.reshape(*shape, *leaf.shape[1:])

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
    coords = {name: np.asarray(values) for name, values in axes.items()}
    return xr.Dataset(variables, coords, activations_of(models))


def activations_of(models: Network) -> dict[str, str]:
    """What a dataset says of its models: the names of their activations; a mixture's hidden layer is one of experts.

    >>> from superpose.models import ReluOutput
    >>> activations_of(ReluOutput([[1, -1]], [0, 0]))
    {'activation': 'relu', 'hidden_activation': 'identity'}
    """
    layer = "mixture of experts" if isinstance(models, Mixture) else activation_name(models.hidden_activation)
    return {"activation": activation_name(models.activation), "hidden_activation": layer}


def points(*axes: ArrayLike) -> tuple[Shaped[np.ndarray, " point"], ...]:
    """Each axis's value at every point of the grid that the `axes` span, in C order.

    >>> points([0.1, 0.2], range(2))
    (array([0.1, 0.1, 0.2, 0.2]), array([0, 1, 0, 1]))
    """
    return tuple(axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij"))


def each(make: Callable, *values: ArrayLike) -> Any:
    """One loss for each point: `make(value, ...)` with every leaf stacked along a leading axis.

    The `values` reach `make` in float64, all points at once, so that it cannot branch on them. Raises ValueError where
    they are not arrays of one length, and TypeError where `make` needs their numbers one by one.

    >>> from superpose.features import Independent
    >>> each(lambda density: Independent(density, n_features=2), [0.1, 0.5]).density.tolist()
    [[0.1, 0.1], [0.5, 0.5]]
    """
    numbers = [double(array(value, "values")) for value in values]
    if len({len(value) if value.ndim else 0 for value in numbers}) != 1 or numbers[0].ndim == 0:
        raise ValueError(
            f"values must be arrays of one length, got the shapes {[value.shape for value in numbers]}"
        )
    try:
        return jax.vmap(make)(*numbers)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise TypeError(
            "the numbers of all points come at once, as an array that JAX traces: without float(), int(), `if` or NumPy, "
            "but with jnp.where and jax.numpy; what decides about shapes is no such number"
        ) from error


def best(data: xr.Dataset) -> xr.Dataset:
    """The member of least loss at each point of the grid. Raises ValueError for data without a loss along `member`.

    >>> best(xr.Dataset({"loss": (("point", "member"), [[3.0, 1.0], [2.0, 5.0]])})).loss.values.tolist()
    [1.0, 2.0]
    """
    if "loss" not in data or "member" not in data.loss.dims:
        raise ValueError(f"data must have a loss along member, got {list(data)} along {list(data.dims)}")
    return data.isel(member=data.loss.argmin("member"))


def stacked(datasets: Mapping[Any, xr.Dataset], dim: str) -> xr.Dataset:
    """Datasets of models of different sizes in one, along `dim`, padded with NaN; `unstacked` takes them apart again.

    What their attributes say differently of models, law and target, becomes a variable along `dim`.

    >>> one, two = (xr.Dataset({"W": (("hidden", "feature"), np.ones((1, n)))}) for n in (2, 3))
    >>> both = stacked({2: one, 3: two}, "size")
    >>> both.W.values.tolist()
    [[[1.0, 1.0, nan]], [[1.0, 1.0, 1.0]]]
    """
    differ = [name for name in SAID if len({data.attrs.get(name, "") for data in datasets.values()}) > 1]
    sized = [
        data.assign({name: data.attrs.get(name, "") for name in differ}).assign_coords(
            {axis: np.arange(n) for axis, n in data.sizes.items() if axis not in data.coords}
        )
        for data in datasets.values()
    ]
    flags = [name for name, data in sized[0].variables.items() if data.dtype == bool]
    together = xr.concat(sized, dim, join="outer", coords="minimal", compat="override", fill_value=np.nan)
    for name in flags:  # NaN turned them into numbers
        together[name] = together[name] == 1
    for name in differ:
        together.attrs.pop(name, None)
    return together.assign_coords({dim: list(datasets)})


def unstacked(data: xr.Dataset, dim: str, label: Any) -> xr.Dataset:
    """The dataset that `stacked` put at `label`, without the padding.

    >>> one, two = (xr.Dataset({"W": (("hidden", "feature"), np.ones((1, n)))}) for n in (2, 3))
    >>> unstacked(stacked({2: one, 3: two}, "size"), "size", 2).W.shape
    (1, 2)
    """
    part = data.sel({dim: label}, drop=True)
    for axis in part.dims:
        absent = part.W.isnull().all([other for other in part.W.dims if other != axis])
        if axis in part.W.dims and bool(absent.any()):
            part = part.isel({axis: np.flatnonzero(~absent.values)})
    return part


def over_models(measure: Callable, W: xr.DataArray, *dims: str) -> xr.DataArray:
    """A measure of `W` for every model of a dataset; `dims` are those of one model's measure.

    Raises TypeError for what is no such DataArray, and ValueError unless its last axes are `hidden` and `feature`.

    >>> W = xr.DataArray([[[1.0, -1.0]], [[3.0, 0.0]]], dims=("member", "hidden", "feature"))
    >>> over_models(measures.norms, W, "feature").values.tolist()
    [[1.0, 1.0], [3.0, 0.0]]
    """
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
