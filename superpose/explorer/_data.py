"""What the page is told of a result: models on named axes, the world they were trained in, figure and claims."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from superpose import sources
from superpose.sources import LONG, OWN, found

MOST = 4_000_000
"""How many numbers of models a page holds."""


def described(data: Any, *, at: Mapping[str, Any] | None = None, features: Any = None) -> dict[str, Any]:
    """Models, a dataset of them, what `superpose.run` gave, or a result on disk, as plain values for the page.

    A dataset has `W` (..., hidden, feature), and may have `b`, `loss`, `hidden_bias` and `W_out`, on the same named
    axes; `at` has the value wanted on some of these, of which the nearest is taken. The world that it was trained in
    is said by its variables `density` (or `set_density`) and `importance`, along any of these axes and `feature` (or
    `set`), and by variables or attributes of these names:

    - `features`: "independent", unless it says "correlated" or "anticorrelated", with the `sizes` of the sets;
    - `values`: "uniform", unless it says "signed" or "binary";
    - `activation` and `hidden_activation` of the models: "relu" and "identity", unless they say otherwise.

    `features` is the law of one or of all models, where they say nothing of it themselves. A result of more than
    `MOST` numbers is reduced to the best member at each point.

    Raises ValueError or TypeError, in one line, for what cannot be shown, and OSError where nothing can be read.

    What it returns, in the page's words (`packed` makes a `Packed`)::

        @typedef {{dtype: "float32"|"float64", shape: number[], data: string}} Packed  base64, little-endian, C order
        @typedef {{axes: string[], array: Packed}} Quantity  along axes of the group, then maybe "feature" or "set"
        @typedef {{name: string, values: (number|string)[]}} Axis  numbers, unless one of them is text, NaN or infinite
        @typedef {{kind: "independent"|"correlated"|"anticorrelated", sizes: number[], values: "uniform"|"signed"|"binary",
          density: Quantity, importance: Quantity, assumed: string[]}} OwnWorld  `density` of each set; `assumed`: what
          the data do not say, of "importance", "features", "values"
        @typedef {{name: string, axes: Axis[], hidden: number, feature: number, features: string[], W: Packed,
          b?: Packed, loss?: Packed, hidden_bias?: Packed, W_out?: Packed, output: string, layer: string,
          world: OwnWorld|null, why: string}} Group  models of one size. `W` is (...axes, hidden, feature), `b`
          (...axes, feature), `loss` (...axes); `features` their names, or []; `output` and `layer` are "relu",
          "linear" or another activation's name; `why` says why the page cannot go on training where `world` is null
        @typedef {{statement: string, section: string, what: string, expected: string, measured: string, source: string,
          status: "holds"|"differs"|"fails"|"open", instead: string, id: string}} OwnClaim
        @typedef {{version: 1, title: string, experiment: string, summary: string, section: string,
          paper: {title: string, authors: string, year: number, link: string}|null, settings: Object<string, any>,
          claims: OwnClaim[], notes: string[], figure: string, shown: string, groups: Group[]}} Own  `figure` is a data:
          URL, or ""; `shown` says what was left out, or ""; `groups` is [] in a result that keeps no weights
    """
    said = {
        "version": 1, "title": "", "experiment": "", "summary": "", "section": "", "paper": None, "settings": {},
        "claims": [], "notes": [], "figure": "", "shown": "", "groups": [],
    }  # fmt: skip
    models, about = found(data, features)
    said |= about
    if said["experiment"] and "W" not in models:
        said["shown"] = "This result keeps no weights: its figure and its claims are all there is to show."
        return sources.plain(said)
    groups = sources.groups("", sources.chosen(sources.checked(models), at or {}))
    if _size(groups) > MOST:
        groups, said["shown"] = _best(groups)
    if _size(groups) > MOST:
        raise ValueError(_too_many(groups))
    said["groups"] = [_group(name, group) for name, group in groups.items()]
    return sources.plain(said)


def packed(values: Any) -> dict[str, Any]:
    """Numbers as text: NaN and infinite ones are kept as they are.

    >>> packed(np.float32([1, 2]))
    {'dtype': 'float32', 'shape': [2], 'data': 'AACAPwAAAEA='}
    """
    values = np.asarray(values)
    kind = "float32" if values.dtype.kind == "f" and values.dtype.itemsize <= 4 else "float64"
    data = values.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return {"dtype": kind, "shape": list(values.shape), "data": base64.b64encode(data).decode()}


# Choosing, and taking apart.


def _size(groups: Mapping[str, xr.Dataset]) -> int:
    return sum(data[name].size for data in groups.values() for name in (*OWN, "loss") if name in data)


def _best(groups: Mapping[str, xr.Dataset]) -> tuple[dict[str, xr.Dataset], str]:
    """The best member at each point, where there are members with losses; and what was done, in a sentence."""
    best, said = {}, ""
    for name, data in groups.items():
        best[name] = sources.best(data)
        if "member" not in best[name].dims and "member" in data.dims:
            said = f"All members are too much for a page: shown is the best of {data.sizes['member']} at each point."
    return best, said


def _too_many(groups: Mapping[str, xr.Dataset]) -> str:
    most = max(groups.values(), key=lambda data: data.W.size)
    said = f"the models have {_size(groups):,} numbers, and a page holds {MOST:,}"
    axes = {axis: n for axis in sources.lead(most) if (n := most.sizes[axis]) > 1}
    if not axes:
        return said
    first = next(iter(axes))
    several = ", ".join(f"{axis} ({n} values)" for axis, n in axes.items())
    return f"{said}; choose some of {several}, such as --at {first}={sources.labels(most, first)[0]}"


# What the page is told.


def _group(name: str, data: xr.Dataset) -> dict[str, Any]:
    """Models of one size."""
    lead = sources.lead(data)
    sizes = {axis: data.sizes[axis] for axis in data.W.dims}
    arrays = {}
    for variable, own in {**OWN, "loss": ()}.items():
        dims = (*lead, *own)
        if (
            variable in data
            and {*own} <= {*data[variable].dims} <= {*dims}
            and data[variable].dtype.kind in "fiub"
        ):
            arrays[variable] = packed(data[variable].variable.set_dims({dim: sizes[dim] for dim in dims}))
    linear = {"identity": "linear"}
    group = {
        "name": name,
        "axes": [{"name": str(axis), "values": sources.labels(data, axis)} for axis in lead],
        "hidden": sizes["hidden"],
        "feature": sizes["feature"],
        "features": _names(data),
        "output": linear.get(kind := sources.said(data, "activation", "relu"), kind),
        "layer": linear.get(kind := sources.said(data, "hidden_activation", "identity"), kind),
    }
    world, why = _world(data, group | arrays)
    return group | arrays | {"world": world, "why": why}


def _names(data: xr.Dataset) -> list[str]:
    """The features' names, if a text is along that axis."""
    for each in data.variables.values():
        if each.dims == ("feature",) and each.dtype.kind in "UOT":
            return [str(name)[:LONG] for name in each.values.tolist()]
    return []


def _world(data: xr.Dataset, group: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The world of the models, or why the page cannot go on training them."""
    kind, values = sources.said(data, "features", "independent"), sources.said(data, "values", "uniform")
    n, target = data.sizes["feature"], sources.said(data, "target", "x")
    sizes = [1] * n if kind == "independent" else _sets(sources.said(data, "sizes", []), n)
    density = _quantity(data, "set_density", "set", len(sizes)) or _quantity(
        data, "density", "feature", len(sizes)
    )
    importance = _quantity(data, "importance", "feature", n)
    reasons = {
        "it has no biases": "b" not in group,
        "its output weights are its own": "W_out" in group,
        "it has a hidden bias": "hidden_bias" in group,
        f"its output is {group['output']}": group["output"] not in ("relu", "linear"),
        f"its hidden layer is {group['layer']}": group["layer"] not in ("relu", "linear"),
        f"what it should give is {target}": target != "x",
        f"its features are {kind}": kind not in ("independent", "correlated", "anticorrelated"),
        f"its features' values are {values}": values not in ("uniform", "signed", "binary"),
        "nothing says which features are in which set": not sizes,
        "nothing says how dense its features are; show(models, features=world) does": density is None,
    }
    why = next((reason for reason, so in reasons.items() if so), "")
    if why:
        return None, why
    known = {*data.variables, *data.attrs}
    return {
        "kind": kind,
        "sizes": sizes,
        "values": values,
        "density": density,
        "importance": importance or {"axes": [], "array": packed(1.0)},
        "assumed": [name for name in ("importance", "features", "values") if name not in known],
    }, ""


def _sets(sizes: Any, n: int) -> list[int]:
    """The sets that the first `n` features make up; [] if they make up none."""
    ends = np.cumsum(np.atleast_1d(np.asarray(sizes, int))).tolist()
    return np.diff([0, *ends[: ends.index(n) + 1]]).tolist() if n in ends else []


def _quantity(data: xr.Dataset, name: str, own: str, n: int) -> dict[str, Any] | None:
    """A number, or one for each of `n` of its own, at each point, along the axes on which it differs."""
    if name not in data or data[name].dtype.kind not in "fiu":
        return None
    dims = [dim for dim in (*sources.lead(data), own) if dim in data[name].dims]
    if {*dims} != {*data[name].dims} or data[name].sizes.get(own, n) != n:
        return None
    return {"axes": [str(dim) for dim in dims], "array": packed(data[name].transpose(*dims))}
