"""Where trained models come from, for a page or a file of them: memory, a result's or a sweep's folder, other programs' files.

`found` gives a dataset of them and what else is known; `chosen` and `groups` take the dataset apart.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superpose import store
from superpose.papers import Experiment, experiments, meant

FIGURE = 300_000
"""How many bytes a figure may take."""
OWN = {
    "W": ("hidden", "feature"),
    "b": ("feature",),
    "hidden_bias": ("hidden",),
    "W_out": ("feature", "hidden"),
}
"""The weights of models, each with its own axes."""
WHOLE = OWN["W"]
KINDS = ("activation", "hidden_activation")
"""What data say by a variable, where their models differ in it, and else by an attribute."""
SWEPT = {"hidden": "hidden dimensions", "feature": "number of features"}
"""What a sweep's axis is called where models have one of its name."""
LONG = 80  # characters of a name; there may be thousands of names


def found(data: Any, features: Any = None) -> tuple[xr.Dataset, dict[str, Any]]:
    """The models as a dataset, and what else is known: title, experiment, settings, claims, notes, figure."""
    if isinstance(data, str | Path):
        return _read(Path(data))
    if hasattr(data, "experiment") and hasattr(data, "claims"):  # interactive.Run, which takes JAX to import
        return data.data, _of_run(data)
    models = data if isinstance(data, xr.Dataset) else _side_by_side(data)
    if features is not None:
        models = _in_world(models, features)
    return models, {"title": str(models.attrs.get("title", "Your models"))}


def _read(path: Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """The dataset at a path, and what is known about it."""
    from superpose import sweep  # which takes JAX to import

    if sweep.is_sweep(path):
        data = _swept(_whole(sweep.opened(path), path), sweep.plan_of(path))
        return data, {"title": path.name.removesuffix(".zip")}
    if (path / "data.zarr").is_dir() or "data.zarr/zarr.json" in (store.listed(path) or {}):
        return store.load(path), _of_folder(path)
    if (path / "zarr.json").is_file():
        return store.load(path), {"title": path.name}
    results = sorted(each.parent for each in [*path.glob("*/data.zarr"), *path.glob("results/*/data.zarr")])
    if len(results) == 1:
        return _read(results[0])
    if results:
        raise ValueError(
            f"{path} holds {len(results)} results; choose one, such as {results[0]}: "
            f"{', '.join(each.name for each in results)}"
        )
    if path.is_file() or (path / ".zgroup").is_file():
        return _foreign(path), {"title": path.name}
    what = "holds no result" if path.is_dir() else "is not there"
    raise FileNotFoundError(f"{path} {what}; give a result's or a sweep's folder, a .zarr or a .nc")


def _whole(data: xr.Dataset, path: Path) -> xr.Dataset:
    """The cells of a sweep, read. Raises DamagedError where a chunk is damaged, or its weights are missing."""
    way = f"`superpose sweep verify {path}` names the files, and `superpose sweep resume {path}` makes them again"
    try:
        data = data.load()
    except MemoryError:
        raise
    except Exception as error:  # Zarr and its codecs may raise anything
        raise store.DamagedError(f"{path} is damaged ({error}); {way}") from error
    if {"W", "loss"} <= {*data}:
        axes = {*data.done.dims}
        there = (
            data[name].notnull().any([dim for dim in data[name].dims if dim not in axes])
            for name in ("W", "loss")
        )
        lost = int((next(there) < next(there)).sum())
        if lost:
            raise store.DamagedError(f"{path} is damaged (no weights of {lost} cells that are done); {way}")
    return data


def _swept(data: xr.Dataset, plan: Any) -> xr.Dataset:
    """The models of a sweep, where axes of a model that are swept, too, have their own names again."""
    data = _each(data, plan)
    both = [str(dim).removeprefix("each_") for dim in data.dims if str(dim).startswith("each_")]
    data = data.rename({name: SWEPT.get(name, f"{name} swept") for name in both})
    settings = plan.fixed | {"cell": plan.source.name, "seeds": plan.seeds, "seed": plan.seed}
    made = {
        name: json.dumps(value) for name, value in (("config", settings), ("versions", _versions(plan.made)))
    }
    data = data.assign_attrs(made, code=json.dumps(plan.made.get("code", "")))
    return data.rename({f"each_{name}": name for name in both}).drop_vars("done")


def _versions(made: Mapping[str, str]) -> dict[str, str]:
    return {name: made[name] for name in ("superpose", "jax", "python") if name in made}


def _each(data: xr.Dataset, plan: Any) -> xr.Dataset:
    """The dataset with what its groups say differently of themselves as variables, as `grid.stacked` has it."""
    from superpose import grid  # which takes JAX to import

    each = data.attrs.pop("each", {})
    axes = [name for name in plan.axes if name not in plan.batched]
    if not each or not axes:
        return data
    shape = tuple(len(plan.axes[name]) for name in axes)
    # An axis of that name says it already.
    for name in ({key for own in each.values() for key in own} & {*grid.SAID}) - {*plan.axes}:
        values = [own.get(name, "") for own in each.values()]  # in C order, as the groups were begun
        data = data.assign({name: (axes, np.reshape(np.array(values, object), shape))})
    return data


def _foreign(path: Path) -> xr.Dataset:
    """A dataset that another program wrote."""
    if path.suffix == ".safetensors":
        raise ValueError(
            f"{path} has models without their data; superpose.load_model reads it, and what it gives can be shown"
        )
    try:
        opened = xr.open_zarr(path, chunks=None) if path.is_dir() else xr.open_dataset(path)
        with opened as dataset:
            return dataset.load()
    except MemoryError:
        raise
    except Exception as error:  # the readers may raise anything
        raise ValueError(
            f"{path} cannot be read as a .zarr or .nc dataset ({type(error).__name__})"
        ) from error


def _of_folder(folder: Path) -> dict[str, Any]:
    """What a result's files say, also where its experiment is no longer known."""
    claims, notes = (store.read_json(folder / f"{name}.json") for name in ("claims", "notes"))
    settings, _ = store.settings(folder)
    name = folder.resolve().name
    about = {
        "title": name,
        "experiment": name,
        "settings": settings if isinstance(settings, dict) else {},
        "claims": [_claim(each) for each in _list(claims) if isinstance(each, dict)],
        "notes": [str(each) for each in _list(notes)],
        "figure": _smaller(_bytes(folder / "figure.svg"), _bytes(folder / "figure.png")),
    }
    known = experiments()
    return about | (_of_experiment(known[name]) if name in known else {})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _of_run(run: Any) -> dict[str, Any]:
    """What the result of `superpose.run` says."""
    svg, png = io.BytesIO(), io.BytesIO()
    run.figure.savefig(svg, format="svg", metadata={"Date": None})
    run.figure.savefig(png, format="png")
    return _of_experiment(run.experiment) | {
        "settings": asdict(run.config),
        "claims": [_claim(each) for each in run.claims.as_dicts()],
        "notes": run.notes,
        "figure": _smaller(svg.getvalue(), png.getvalue()),
    }


def _of_experiment(experiment: Experiment) -> dict[str, Any]:
    paper = experiment.paper
    return {
        "title": experiment.name,
        "experiment": experiment.name,
        "summary": experiment.summary,
        "section": experiment.section,
        "paper": {name: getattr(paper, name) for name in ("title", "authors", "year", "link")},
    }


def _claim(claim: Mapping[str, Any]) -> dict[str, str]:
    """A claim as the page shows it; those of version 0.1 have other names for two of its parts."""
    old = {"section": claim.get("place", ""), "source": claim.get("basis", "")}
    names = ("id", "statement", "section", "what", "expected", "measured", "source", "status", "instead")
    return {name: str(claim.get(name, old.get(name, ""))) for name in names}


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _smaller(svg: bytes, png: bytes) -> str:
    """A figure as a data: URL: as lines where they are few, else as pixels, of which there are fewer if need be."""
    if 0 < len(svg) <= FIGURE / 2:
        return _url("svg+xml", svg)
    if not png:
        return ""
    from PIL import Image

    try:
        whole = Image.open(io.BytesIO(png)).convert("RGB")
    except Exception:  # a file that is no picture, or one of more pixels than fit
        return ""
    for width in (1600, 1200, 800):
        image, small = whole.copy(), io.BytesIO()
        image.thumbnail((width, 2 * width))
        image.save(small, "webp", quality=85)
        if small.tell() <= FIGURE:
            break
    return _url("webp", small.getvalue())


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# In memory.


def _side_by_side(data: Any) -> xr.Dataset:
    """Models, or what `minimize` or `fit` gave, as a dataset."""
    from superpose import grid

    models = getattr(data, "models", data)
    if not (hasattr(models, "W") and hasattr(models, "b")):
        raise TypeError(
            "data must be models, what minimize, fit or superpose.run gave, an xarray.Dataset or a result's folder, "
            f"got {type(data).__name__}"
        )
    lead = _axes_of(np.ndim(models.W) - 2)
    variables: dict[str, Any] = {
        name: ((*lead, *own), np.asarray(getattr(models, name)))
        for name, own in OWN.items()
        if getattr(models, name, None) is not None
    }
    if models is not data:
        loss = data.loss if hasattr(data, "loss") else data.history[..., -1]
        variables["loss"] = (lead, np.asarray(loss))
    return xr.Dataset(variables, attrs=grid.activations_of(models))


def _axes_of(n: int) -> list[str]:
    """Names of the axes along which models are side by side."""
    return [f"axis {i}" for i in range(n - 1)] + ["member"] * (n > 0)


def _in_world(data: xr.Dataset, features: Any) -> xr.Dataset:
    """The dataset with what a law of features says, or one for each model along their axes."""
    from superpose import grid
    from superpose.features import check_law

    check_law(features)
    lead, n = data.W.dims[:-2], data.sizes["feature"]
    if features.importance.shape[-1] != n:
        raise ValueError(f"features must be the law of the models' {n}, got {features.importance.shape[-1]}")

    def along(values, own):
        values = np.asarray(values)
        return xr.DataArray(values, dims=(*lead[: values.ndim - 1], own))

    sets = vars(features).get("set_density")
    sets = features.density if sets is None else sets  # each independent feature is a set
    said = {"set_density": along(sets, "set"), "importance": along(features.importance, "feature")}
    return data.assign(said).assign_attrs(grid.law(features))


# Choosing, and taking apart.


def checked(data: xr.Dataset) -> xr.Dataset:
    """The dataset, if its `W` can be models."""
    if "W" not in data:
        raise ValueError(
            f"data must have W (..., hidden, feature), got {', '.join(map(str, data)) or 'nothing'}"
        )
    if not {*WHOLE} <= {*data.W.dims}:
        raise ValueError(
            f"W must have the axes (..., hidden, feature), got ({', '.join(map(str, data.W.dims))})"
        )
    if data.W.dtype.kind not in "fiub":
        raise ValueError(f"W must be numbers, got {data.W.dtype}")
    if not data.W.size:
        raise ValueError(f"W must have a model in it, got the shape {data.W.shape}")
    return data


def lead(data: xr.Dataset) -> list[Any]:
    """The axes along which models are side by side."""
    return [dim for dim in data.W.dims if dim not in WHOLE]


def chosen(data: xr.Dataset, at: Mapping[str, Any]) -> xr.Dataset:
    """The models nearest to these values on the axes of these names."""
    for name, value in at.items():
        name = SWEPT.get(name, name) if SWEPT.get(name) in lead(data) else name
        if name not in lead(data):
            there = meant(name, [*map(str, lead(data))]) if lead(data) else "there is one model"
            raise ValueError(f"there is no axis {name!r}; {there}")
        data = data.isel({name: _nearest(name, data[name].values, value)})
    return _trimmed(data) if at else data


def _nearest(name: str, labels: np.ndarray, value: Any) -> int:
    """Where on an axis a value is, or the one nearest to it."""
    if labels.dtype.kind not in "fiub":
        texts = [str(label) for label in labels.tolist()]
        if str(value) not in texts:
            raise ValueError(f"{name} is not {str(value)!r} anywhere; {meant(str(value), texts, repr)}")
        return texts.index(str(value))
    try:
        far = np.abs(labels.astype(float) - float(value))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if np.isnan(far).all():
        raise ValueError(f"{name} must be a number, got {value!r}")
    return int(np.nanargmin(far))


def best(data: xr.Dataset) -> xr.Dataset:
    """The best member at each point, where there are members with losses."""
    if "member" in lead(data) and "loss" in data and {"member"} <= {*data.loss.dims} <= {*lead(data)}:
        return data.isel(member=data.loss.fillna(np.inf).argmin("member"))
    return data


def differing(data: xr.Dataset) -> Any:
    """An axis along which the models differ in size, in what they are, or in which weights they have; None where they do not."""
    for axis in lead(data):
        kinds = [data[name] for name in KINDS if name in data and axis in data[name].dims]
        if len(_sizes(data, axis)) > 1 or any(len({*each.values.ravel().tolist()}) > 1 for each in kinds):
            return axis
        there = _present(data.W, axis)
        owned = (
            _present(data[name], axis)[there] for name in OWN if name in data and axis in data[name].dims
        )
        if any(each.any() and not each.all() for each in owned):
            return axis
    return None


def _present(weights: xr.DataArray, axis: Any) -> np.ndarray:
    """Where along an axis there are any."""
    return weights.notnull().any([dim for dim in weights.dims if dim != axis]).values


def groups(name: str, data: xr.Dataset) -> dict[str, xr.Dataset]:
    """Models of one size and kind each, by name: what `grid.stacked` put together, along however many axes."""
    axis = differing(data)
    if axis is None:
        return {name: data}
    parts: dict[str, xr.Dataset] = {}
    for at, label in enumerate(labels(data, axis)):
        own = label if isinstance(label, str) else f"{axis} {label:g}"
        part = _trimmed(data.isel({axis: at}))
        if part.W.notnull().any():
            parts |= groups(f"{name}, {own}" if name else own, part)
    return parts


def _sizes(data: xr.Dataset, axis: Any) -> set[tuple[int, ...]]:
    """The sizes (hidden, feature) of the models along an axis, without the padding and where there are any."""
    there = data.W.notnull()
    counts = [
        there.any([dim for dim in there.dims if dim not in (axis, own)]).sum(own).values for own in WHOLE
    ]
    return {(int(m), int(n)) for m, n in zip(*counts, strict=True) if m}


def _trimmed(data: xr.Dataset) -> xr.Dataset:
    """The dataset without padding: what is missing in all of its models, such as weights that only others have."""
    there = data.W.notnull()
    if not there.any():
        return data
    own = data.isel(
        {axis: there.any([dim for dim in there.dims if dim != axis]).values for axis in there.dims}
    )
    return own.drop_vars([name for name in OWN if name in own and not own[name].notnull().any()])


def labels(data: xr.Dataset, axis: Any) -> list[Any]:
    """The values along an axis, as numbers, or as text where they are not all finite numbers."""
    values = data[axis].values.tolist()
    if data[axis].dtype.kind in "fiu" and all(map(math.isfinite, values)):
        return values
    if data[axis].dtype.kind in "mM":
        values = (
            np.datetime_as_string(data[axis].values) if data[axis].dtype.kind == "M" else data[axis].values
        )
    return [str(value)[:LONG] for value in values]


def said(data: xr.Dataset, name: str, usual: Any) -> Any:
    """What the data say by a variable, a word that is the same for all models, or by an attribute."""
    if name in data and (not data[name].dims or data[name].dtype.kind in "UOT"):
        values = {*data[name].values.ravel().tolist()}
        if len(values) == 1:
            return values.pop()
    return data.attrs.get(name, usual)


def plain(value: Any) -> Any:
    """As JSON has it; a number that is none becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
