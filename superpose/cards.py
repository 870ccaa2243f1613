"""Trained models in one `.safetensors` file each, with a card that says what they are: no pickle, and no code is run.

The card is JSON, in the file's metadata and, to be read, in a `.json` beside it; docs/pytorch.md has its schema.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import superpose
from superpose import files, grid, sources, store
from superpose.dictionaries import _files
from superpose.inputs import array, whole
from superpose.models import (
    KINDS,
    Mixture,
    Network,
    activation_name,
    activations,
    name_in_activations,
    standard_kind,
)
from superpose.progress import say

__all__ = ["Saved", "export", "load_model", "save_model"]

FORMAT = 1
"""Grows when older programs cannot read what is written."""
QUANTITIES = {"loss": (), "density": ("feature",), "set_density": ("set",), "importance": ("feature",)}
"""What a file may have beside the weights, each with the axes it may have of its own."""


class Saved(NamedTuple):
    """What `load_model` gives."""

    model: Network
    """The model; several have leading axes, which the card's `axes` name."""
    card: dict[str, Any]
    """What is said of it; docs/pytorch.md has the keys."""


def save_model(model: Any, path: str | Path, **card: Any) -> Path:
    """Write a model, or several side by side, to a `.safetensors` file, and its card beside it; returns where the file is.

    What is given by name goes into the card: `loss`, `features` (a law, or words), `experiment`, `config`, `notes`, whatever JSON can
    have. `axes={"density": densities}` names the leading axes of several models, with a value for each, in order; unless given it is
    `member`. The file has all of it, its card too, and is written whole or not at all; the card beside it is a copy to be read. Only files
    that this wrote before are replaced.

    Raises TypeError for a class of one's own that computes otherwise than those of `superpose.models`, and for weights of bfloat16; ValueError for an activation without a
    name there, for a name that the card says itself, and for a path that does not end in .safetensors; FileExistsError where another file is;
    OSError where none can be written.

    >>> import tempfile
    >>> from superpose.models import ReluOutput
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_model(ReluOutput([[1, -1]], [0, 0]), f"{folder}/pair.safetensors", loss=0.25)
    ...     model, card = load_model(file)
    >>> model, card["loss"]
    (ReluOutput(2 features, 1 hidden), 0.25)
    """
    kind = standard_kind(model)
    lead = model.W.shape[:-2]
    axes = _axes(card.pop("axes", None), lead)
    said = {name: _named(getattr(model, name), name) for name in sources.KINDS}
    said |= {name: getattr(model, name) for name in ("experts", "active") if kind is Mixture}
    arrays = {name: np.asarray(each) for name in sources.OWN if (each := getattr(model, name)) is not None}
    odd = next((name for name, each in arrays.items() if each.dtype.kind not in "fiub"), None)
    if odd is not None:
        raise TypeError(f"{odd} is of {arrays[odd].dtype}, which a file does not keep: make it float32 first")
    variables = {name: ((*axes, *sources.OWN[name]), each) for name, each in arrays.items()}
    if (loss := card.pop("loss", None)) is not None:
        loss = np.asarray(array(loss, "loss"))
        if loss.shape != lead:
            raise ValueError(f"loss must be one number for each model, of shape {lead}, got {loss.shape}")
        variables["loss"] = (tuple(axes), loss)
    return _write(
        path, xr.Dataset(variables, axes), kind, said, {name: _told(each) for name, each in card.items()}
    )


def load_model(path: str | Path) -> Saved:
    """The model that `save_model` or `superpose export` wrote, of its own class, and its card.

    Weights have the precision that they had. Nothing in the file is run: activations are those of `superpose.models.activations` by
    name, and one of your own must be put there first.

    Raises ValueError, in one line, for a file that cannot be read, has no such card, or needs what is not there.

    >>> import tempfile
    >>> from superpose.models import Linear
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_model(save_model(Linear([[1, -1]], [0, 0]), f"{folder}/pair.safetensors")).model.W.tolist()
    [[1.0, -1.0]]
    """
    found = _files.content(path)
    if "card" not in found.config:
        raise ValueError(
            f"{path} has no card of superpose; superpose.torch.model(path) understands weights without one"
        )
    try:
        card = json.loads(found.config["card"])
        model = _model(card, found.arrays)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: its card is damaged ({type(error).__name__}: {error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Saved(model, card)


def _model(card: Any, arrays: Mapping[str, np.ndarray]) -> Network:
    """The model that a card describes, of these arrays. Raises ValueError where they do not fit together."""
    form = card["format"]
    if not isinstance(form, int) or form < 1:
        raise ValueError(f"its card is damaged: format {form}")
    if form > FORMAT:
        raise ValueError(
            f"it is of format {form}, which a newer superpose wrote; this one knows up to {FORMAT}"
        )
    if {*arrays} != {*card["arrays"]}:
        raise ValueError(
            f"its tensors are {', '.join(sorted(arrays))}, and its card says {', '.join(sorted(card['arrays']))}"
        )
    for name, each in card["arrays"].items():
        values = arrays[name]
        if [*values.shape] != each["shape"] or str(values.dtype) != each["dtype"]:
            raise ValueError(
                f"{name} is {values.dtype} {values.shape}, and should be {each['dtype']} {tuple(each['shape'])}"
            )
    for name in sources.KINDS:
        if card[name] not in activations:
            raise ValueError(
                f"it needs the {name} {card[name]!r}, which is not among superpose.models.activations; "
                f"put it there first: activations[{card[name]!r}] = ..."
            )
    if card["class"] not in KINDS:
        raise ValueError(f"there is no class {card['class']!r} of models; there are {', '.join(KINDS)}")
    weights: dict[str, Any] = {name: arrays[name] for name in sources.OWN if name in arrays}
    if not {"W", "b"} <= {*weights}:
        raise ValueError(
            f"a model has W (..., hidden, feature) and b (..., feature), and here are {', '.join(weights)}"
        )
    settings = {name: card[name] for name in sources.KINDS}
    settings |= {name: whole(card[name], name) for name in ("experts", "active") if name in card}
    return KINDS[card["class"]](**weights, **settings)


def export(
    data: Any,
    path: str | Path,
    *,
    at: Mapping[str, Any] | None = None,
    every: bool = False,
    features: Any = None,
) -> Path:
    """Write the trained models of a result, or of what `superpose.explorer.page` takes, to a file for `load_model`.

    That is the member of least loss at each point, or `every` member. `at` chooses among the points, by the nearest value on an axis:
    `at={"density": 0.1}`. The card says what the result says: settings, versions, code, law, losses, claims.

    Raises ValueError or TypeError for a result without weights, and for models of several sizes or kinds, of which one must be chosen;
    OSError where nothing can be read; else as `save_model` does.

    >>> import tempfile
    >>> from superpose.models import ReluOutput
    >>> several = ReluOutput([[[1, -1]], [[1, 0]]], [[0, 0], [0, 0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_model(export(several, f"{folder}/two.safetensors")).card["axes"]
    {'member': [0, 1]}
    """
    models, about = sources.found(data, features)
    if "W" not in models and about.get("experiment"):
        raise ValueError(f"{about['experiment']} keeps no weights, so that there is no model to export")
    models = sources.chosen(sources.checked(models), at or {})
    _check_one_kind(models)
    chosen = models if every else sources.best(models)
    absent = chosen.W.isnull().any(sources.WHOLE)
    if absent.all():
        raise ValueError("all of these models are NaN: not done, or failed")
    if absent.any():
        say(f"superpose: {int(absent.sum())} of {absent.size} models are NaN: not done, or failed")
    said = {name: str(sources.said(chosen, name, usual)) for name, usual in _USUAL.items()}
    return _write(path, chosen, _kind(said, "W_out" in chosen), said, _card(chosen, about, models))


def _check_one_kind(models: xr.Dataset) -> None:
    """Raise ValueError where one file cannot have all of these models."""
    axis = sources.differing(models)
    if axis is not None:
        some = sources.labels(models, axis)
        several = "; ".join(map(str, some[:8])) + "; ..." * (len(some) > 8)
        raise ValueError(
            f"the models differ in kind or size along {axis}, and a file has those of one: choose one, "
            f"such as --at {shlex.quote(f'{axis}={some[0]}')} (of {several})"
        )
    if "b" not in models:
        raise ValueError(
            "data must have b (..., feature) beside W (some results keep directions only); zeros do for models without biases"
        )


def _card(chosen: xr.Dataset, about: Mapping[str, Any], models: xr.Dataset) -> dict[str, Any]:
    """What is known of models that were chosen among others."""
    best_of = "member" in sources.lead(models) and "member" not in sources.lead(chosen)
    how = (
        f"the best of {models.sizes['member']} members at each point, by loss" if best_of else "as they were"
    )
    return {
        "chosen": "all members" if "member" in sources.lead(chosen) else how,
        "at": {str(name): each.item() for name, each in chosen.coords.items() if not each.dims},
        "features": _law(chosen),
        "trained": _trained(chosen, about),
        "claims": [{name: each.get(name, "") for name in _CLAIM} for each in about.get("claims", [])],
        "versions": _parsed(chosen.attrs.get("versions")) or {},
    }


_USUAL = {"activation": "relu", "hidden_activation": "identity"}
_CLAIM = ("id", "statement", "section", "expected", "measured", "status")


def _kind(said: Mapping[str, str], untied: bool) -> type[Network]:
    """The class of models of which a dataset says no more than activations."""
    if said["hidden_activation"] == "mixture of experts":
        raise ValueError(
            "the models are mixtures of experts, and data do not say of how many; use save_model"
        )
    if untied:
        return KINDS["Untied"]
    match said["activation"], said["hidden_activation"]:
        case "identity", "identity":
            return KINDS["Linear"]
        case _, "identity":
            return KINDS["ReluOutput"]
        case _, "relu":
            return KINDS["ReluHidden"]
    return KINDS["Network"]


def _law(data: xr.Dataset) -> dict[str, Any]:
    """What the models were trained on, in words; density and importance are arrays, or an axis."""
    names = {"law": "features", "values": "values", "sizes": "sizes", "target": "target"}
    found = {ours: sources.said(data, theirs, None) for ours, theirs in names.items()}
    return {name: each for name, each in found.items() if each is not None}


def _trained(data: xr.Dataset, about: Mapping[str, Any]) -> dict[str, Any]:
    """How: by which experiment, with which settings and which code."""
    config = about.get("settings") or _parsed(data.attrs.get("config")) or {}
    paper = about.get("paper")
    found = {
        "experiment": about.get("experiment") or config.get("cell") or about["title"],
        "paper": paper["title"] if paper else None,
        "config": config,
        "seed": config.get("seed"),
        "code": _parsed(data.attrs.get("code")),
    }
    return {name: each for name, each in found.items() if each is not None}


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _named(activation: Any, name: str) -> str:
    found = name_in_activations(activation)
    if found is None:
        own = activation_name(activation)
        raise ValueError(
            f"{name} {own} has no name that a file could say; put it among superpose.models.activations: "
            "activations['mine'] = ..., here and where the file is read"
        )
    return found


def _axes(given: Any, lead: tuple[int, ...]) -> dict[str, Any]:
    """The leading axes by name, each with its values."""
    if given is None:
        names = [f"axis {i}" for i in range(len(lead) - 1)] + ["member"] * bool(lead)
        return {name: np.arange(n) for name, n in zip(names, lead, strict=True)}
    try:
        axes = {str(name): np.atleast_1d(np.asarray(values)) for name, values in dict(given).items()}
    except (TypeError, ValueError):
        raise TypeError(
            f"axes must be values by name, such as {{'density': [0.1, 0.01]}}, got {given!r:.60}"
        ) from None
    lengths = tuple(len(values) for values in axes.values())
    if lengths != lead or {*axes} & {"hidden", "feature"}:
        raise ValueError(
            f"axes must name the leading axes of W, of lengths {lead}, with a value for each, got lengths {lengths} of {list(axes)}"
        )
    return axes


def _told(value: Any) -> Any:
    """What was given for a card, as JSON has it; a law of features in words and numbers."""
    if hasattr(value, "density") and hasattr(value, "importance"):
        said = grid.law(value)
        said = {"law": said.pop("features")} | said
        return sources.plain(
            said | {name: np.asarray(getattr(value, name)) for name in ("density", "importance")}
        )
    try:
        return sources.plain(value)
    except RecursionError:
        raise ValueError("what is given for the card contains itself") from None


def _write(
    path: str | Path, data: xr.Dataset, kind: type[Network], said: Mapping[str, Any], more: Mapping[str, Any]
) -> Path:
    """The file and its card, both whole or neither."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} must end in .safetensors")
    lead = sources.lead(data)
    found = dict(_arrays(data, lead))
    hidden, n = found["W"][1].shape[-2:]
    count = int(np.prod([data.sizes[axis] for axis in lead], dtype=int))
    out = "W_out" if "W_out" in found else "W^T"
    inner = "W x + hidden_bias" if "hidden_bias" in found else "W x"
    card = {
        "what": f"{count} trained toy model{'s' * (count != 1)} of superposition: {n} features, {hidden} hidden dimensions",
        "superpose": superpose.__version__,
        "format": FORMAT,
        "class": kind.__name__,
        **said,
        "formula": f"h = {said['hidden_activation']}({inner}), x' = {said['activation']}({out} h + b)",
        "sizes": {"feature": n, "hidden": hidden},
        "axes": {str(axis): sources.labels(data, axis) for axis in lead},
        "arrays": {
            name: {
                "axes": [str(axis) for axis in axes],
                "shape": list(values.shape),
                "dtype": str(values.dtype),
            }
            for name, (axes, values) in found.items()
        },
    }
    if "loss" in found:
        card["loss"] = _summary(found["loss"][1])
    both = {*card} & {*more}
    if both:
        raise ValueError(f"the card says {', '.join(sorted(both))} itself; call yours otherwise")
    card = sources.plain(card | dict(more))
    arrays = {name: values for name, (_, values) in found.items()}
    _model(card, arrays)  # before anything is written: that it can be read again
    told = {"superpose": superpose.__version__, "card": json.dumps(card)}
    with files.replaced(path.with_suffix(".json"), _is_card) as beside:
        store.write_json(card, beside)
        _files.write(path, arrays, told)
    return path


def _arrays(data: xr.Dataset, lead: list[Any]):
    """Each array of a file, by name: its axes and its numbers."""
    sizes = dict(data.sizes)
    for name, own in {**sources.OWN, **QUANTITIES}.items():
        if name not in data or name in data.coords or data[name].dtype.kind not in "fiub":
            continue
        dims = {*data[name].dims}
        if name in sources.OWN:
            axes = (*lead, *own)
            if dims <= {*axes}:
                yield name, (axes, data[name].variable.set_dims({axis: sizes[axis] for axis in axes}).values)
        elif dims <= {*lead, *own}:
            axes = tuple(axis for axis in (*lead, *own) if axis in dims)
            yield name, (axes, data[name].transpose(*axes).values)


def _summary(loss: np.ndarray) -> Any:
    """A loss, or the least and the greatest of several."""
    if not loss.ndim:
        return float(loss)
    known = loss[np.isfinite(loss)]
    return {"least": float(known.min()), "greatest": float(known.max())} if known.size else None


def _is_card(place: Path) -> bool:
    read = store.read_json(place)
    return isinstance(read, dict) and {"superpose", "format", "class", "arrays"} <= set(read)
