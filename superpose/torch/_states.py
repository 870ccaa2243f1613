"""Weights of toy models by the names, and along the axes, that the authors' notebook and ARENA give them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from superpose.models import Network, ReluOutput, Untied

NAMES = {
    "W": ("W", "W1"),
    "b": ("b_final", "b"),
    "W_out": ("W_out", "W2"),
    "hidden_bias": ("hidden_bias",),
}
"""What each of a model's weights may be called."""
LAYOUTS = {"notebook": ("feature", "hidden"), "arena": ("hidden", "feature")}
"""The axes of `W`; `W_out` has them the other way around."""
GUESS = "guess"


def check_layout(layout: str, *more: str) -> None:
    if layout not in (*LAYOUTS, *more):
        raise ValueError(f"layout must be {' or '.join([*more, *LAYOUTS])}, got {layout!r}")


def network(
    arrays: Mapping[str, Any], kind: type[Network] | None, layout: str, given: Mapping[str, Any]
) -> tuple[Network, str]:
    """The network with these weights, and in one line how they were understood, where that was not said."""
    check_layout(layout, GUESS)
    arrays = _without_prefix(arrays)
    named = {own: next((name for name in names if name in arrays), None) for own, names in NAMES.items()}
    if named["W"] is None:
        raise ValueError(
            f"there is no W or W1 among {', '.join(arrays) or 'nothing'}; name them as one of the layouts does: "
            'model({"W": ..., "b_final": ...})'
        )
    found = {own: np.asarray(arrays[name]) for own, name in named.items() if name is not None}
    name, shape = named["W"], found["W"].shape
    if len(shape) < 2:
        raise ValueError(f"{name} must be (..., feature, hidden) or (..., hidden, feature), got {shape}")
    known = _guessed(name, shape, found.get("b")) if layout == GUESS else layout
    if known == "notebook":
        found |= {own: np.swapaxes(each, -1, -2) for own, each in found.items() if own in ("W", "W_out")}
    if "b" not in found:
        W = found["W"]
        found["b"] = np.zeros((*W.shape[:-2], W.shape[-1]), W.dtype)
    if kind is None:
        kind = Untied if "W_out" in found else ReluOutput
        given = ({"hidden_activation": "relu"} if named["W_out"] == "W2" else {}) | dict(given)
    if kind.tied == ("W_out" in found):
        raise ValueError(
            f"{kind.__name__} has {'no ' * kind.tied}output weights of its own, and the arrays are {', '.join(arrays)}"
        )
    weights: dict[str, Any] = {own: np.ascontiguousarray(each) for own, each in found.items()}
    made = kind(**weights, **given)
    unused = [each for each in arrays if each not in named.values()]
    if layout != GUESS and not unused:
        return made, ""
    said = [f"{made!r}: {name} {shape} is (..., {', '.join(LAYOUTS[known])}), the layout {known}"]
    said += ["no biases"] * (named["b"] is None) + [f"not used: {', '.join(unused)}"] * bool(unused)
    return made, "; ".join(said)


def _without_prefix(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays without what all names begin with, such as `module.`, which wrappers put there."""
    while (
        arrays
        and all("." in name for name in arrays)
        and len({name.partition(".")[0] for name in arrays}) == 1
    ):
        arrays = {name.partition(".")[2]: each for name, each in arrays.items()}
    return dict(arrays)


def _guessed(name: str, shape: tuple[int, ...], b: np.ndarray | None) -> str:
    """The layout of `W`, by its shape and by how many biases there are."""
    one, other = shape[-2:]
    if one == other:
        raise ValueError(
            f"{name} {shape} has as many hidden dimensions as features, so that its layout cannot be guessed: give "
            "layout='notebook' for (feature, hidden), 'arena' for (hidden, feature)"
        )
    n = b.shape[-1] if b is not None and b.ndim else max(one, other)
    if n not in (one, other):
        raise ValueError(f"the biases of {n} features do not fit {name} {shape}")
    return "notebook" if n == one else "arena"


def state(model: Network, layout: str) -> dict[str, np.ndarray]:
    """The weights of a model by the names and along the axes of a layout; one model is one instance."""
    check_layout(layout)
    own = {"W": "W", "b": "b_final", "W_out": "W_out", "hidden_bias": "hidden_bias"}
    if layout == "arena" and model.W_out is not None:
        own |= {"W": "W1", "W_out": "W2"}
    found = {
        theirs: np.asarray(each) for ours, theirs in own.items() if (each := getattr(model, ours)) is not None
    }
    if model.W.ndim == 2:
        found = {name: each[None] for name, each in found.items()}
    turned = {own["W"], own["W_out"]} if layout == "notebook" else set()
    return {name: np.swapaxes(each, -1, -2) if name in turned else each for name, each in found.items()}
