"""Where a page's models come from: memory, a result's folder, or a file that another program wrote."""

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superpose import store
from superpose.papers import Experiment, experiments

FIGURE = 300_000
"""How many bytes a figure may take."""
OWN = {
    "W": ("hidden", "feature"),
    "b": ("feature",),
    "hidden_bias": ("hidden",),
    "W_out": ("feature", "hidden"),
}
"""The weights of models, each with its own axes."""


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
        return _swept(sweep.opened(path).load()), {"title": path.name.removesuffix(".zip")}
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


def _swept(data: xr.Dataset) -> xr.Dataset:
    """The models of a sweep, where axes of a model that are swept, too, have their own names again."""
    both = [str(dim).removeprefix("each_") for dim in data.dims if str(dim).startswith("each_")]
    named = {"hidden": "hidden dimensions", "feature": "number of features"}
    data = data.rename({name: named.get(name, f"{name} swept") for name in both})
    return data.rename({f"each_{name}": name for name in both}).drop_vars("done")


def _foreign(path: Path) -> xr.Dataset:
    """A dataset that another program wrote."""
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


def _side_by_side(data: Any) -> xr.Dataset:
    """Models, or what `minimize` or `fit` gave, as a dataset."""
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
    return xr.Dataset(variables, attrs=_activations(models))


def _axes_of(n: int) -> list[str]:
    """Names of the axes along which models are side by side."""
    return [f"axis {i}" for i in range(n - 1)] + ["member"] * (n > 0)


def _activations(models: Any) -> dict[str, str]:
    from superpose.models import Mixture, activation_name

    layer = "mixture of experts" if isinstance(models, Mixture) else activation_name(models.hidden_activation)
    return {"activation": activation_name(models.activation), "hidden_activation": layer}


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
