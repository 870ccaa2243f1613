"""How the arrays of a dictionary made by another library are understood: by their names, their shapes, and what is said."""

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from superpose.dictionaries._loaded import OF_KIND, Loaded

DIRECTIONS = {
    "directions": False, "decoder.weight": False, "dictionary": False,
    "W_dec": True, "components_": True, "components": True,
}  # fmt: skip
"""The names under which directions are kept, and whether they are rows (SAELens, scikit-learn), not columns (PyTorch)."""
ENCODERS = {"encoder.weight": True, "W_enc": False}
"""The same for encoders: whether what a latent reads is a row (PyTorch), not a column (SAELens)."""
NAMES = {
    "b_dec": ("b_dec", "bias", "decoder.bias", "decoder_bias", "pre_bias"),
    "b_enc": ("b_enc", "encoder.bias", "b_gate", "gate_bias", "latent_bias"),
    "b_mag": ("b_mag", "mag_bias"),
    "r_mag": ("r_mag",),
    "threshold": ("threshold", "topk_threshold"),
    "k": ("k",),
}
LAYOUTS, CENTERS, GUESS = ("columns", "rows"), ("bias", "none"), "guess"


class Understood(NamedTuple):
    """What a file's arrays are taken for."""

    directions: Float[np.ndarray, "hidden latent"]
    bias: Float[np.ndarray, " hidden"]
    autoencoder: Loaded | None
    """None where there is no encoder, or none that is understood."""
    said: str
    """How the arrays were understood, in one line."""


def understood(
    arrays: Mapping[str, Any],
    config: Mapping[str, Any],
    n_hidden: int,
    *,
    layout: str = "guess",
    center: str = "guess",
) -> Understood:
    """The dictionary in these arrays, for activations of `n_hidden` dimensions.

    By name and shape: the axis of `n_hidden` numbers is the hidden one; where both are, the name decides, or `layout`:
    whether the "columns" or the "rows" are directions, where it is no "guess". `center` says what is taken off the input, the decoder's "bias"
    or "none". `config` is what SAELens writes beside its arrays, of which only what changes codes is read. Arrays that
    are not used are named in `said`.

    Raises ValueError where there are no directions of `n_hidden` numbers, or where what is used is not finite, or does not
    fit together.
    """
    _check_choice("layout", layout, LAYOUTS)
    _check_choice("center", center, CENTERS)
    arrays = _without_prefix(arrays)
    settings = _settings(config)
    name = next((name for name in DIRECTIONS if name in arrays), None)
    if name is None and len(arrays) == 1 and np.ndim(next(iter(arrays.values()))) == 2:
        name = next(iter(arrays))
    if name is None:
        raise ValueError(
            f"has no directions: none of {', '.join(DIRECTIONS)} is among {', '.join(arrays) or 'nothing'}"
        )
    D, own = _oriented(arrays, name, DIRECTIONS.get(name, False), n_hidden, layout)
    unsure = layout == GUESS and len(D) == D.shape[1]
    said = [
        f"{D.shape[1]} directions, the {own} of {name}"
        + (f" (it is square: else --layout {_other(own)})" if unsure else "")
    ]
    named = {field: next((each for each in names if each in arrays), None) for field, names in NAMES.items()}
    used = [name, named["b_dec"]]
    bias = _each(arrays, named["b_dec"], n_hidden, np.zeros(n_hidden, np.float32))
    encoder = next((name for name in ENCODERS if name in arrays), None)
    kind, why_not = _kind(arrays, named, settings)
    autoencoder = None
    if encoder is None:
        said.append("no encoder")
    elif kind is None:
        said.append(f"its encoder is not understood: {why_not}")
    else:
        used += [encoder, named["b_enc"], *(named[field] for field in OF_KIND[kind])]
        # Whoever has directions the other way around than their name says has encoders so, too.
        turned = (own == "rows") != DIRECTIONS.get(name, False)
        E, lies = _oriented(arrays, encoder, ENCODERS[encoder] != turned, n_hidden)
        if E.shape != D.shape:
            raise ValueError(f"has {E.shape[1]} latents in {encoder} and {D.shape[1]} in {name}")
        autoencoder, how = _autoencoder(kind, D, bias, E.T, arrays, named, settings, center)
        said.append(f"codes by its encoder, the {lies} of {encoder}: {how}")
    left = [each for each in arrays if each not in used]
    if left:
        said.append(f"not used: {', '.join(left)}")
    return Understood(D, bias, autoencoder, "; ".join(said))


def _check_choice(name, given, choices) -> None:
    if given not in (GUESS, *choices):
        raise ValueError(f"{name} must be {GUESS}, {' or '.join(choices)}, got {given!r}")


def _without_prefix(arrays):
    """The arrays without what all names begin with, such as `module.`, where that hides the directions."""
    while arrays and not any(name in DIRECTIONS for name in arrays):
        first = {name.partition(".")[0] for name in arrays}
        if len(first) > 1 or not all("." in name for name in arrays):
            break
        arrays = {name.partition(".")[2]: values for name, values in arrays.items()}
    return arrays


def numbers(arrays: Mapping[str, Any], name: str) -> Float[np.ndarray, "..."]:
    """One of the arrays, in single precision; raises ValueError unless it is of real numbers that are finite in it."""
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "biuf":
        raise ValueError(f"has {name} of type {values.dtype}, which must be real numbers")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        large = np.isfinite(values.astype(float)).all()
        raise ValueError(
            f"has {'numbers too large for single precision' if large else 'NaN or infinity'} in {name}, which must be finite"
        )
    return single


def _other(layout) -> str:
    return LAYOUTS[1 - LAYOUTS.index(layout)]


def _oriented(arrays, name, rows, n_hidden, asked=GUESS):
    """A matrix as (hidden, latent), and how it was given: directions as its rows or its columns."""
    matrix = numbers(arrays, name)
    if matrix.ndim != 2:
        raise ValueError(f"has {name} of shape {matrix.shape}, which must be a matrix (hidden, latent)")
    # The axis along which a direction lies, of its two.
    axis = {"columns": 0, "rows": 1}
    usual = asked if asked != GUESS else "rows" if rows else "columns"
    fits = [each for each in (usual, _other(usual)) if matrix.shape[axis[each]] == n_hidden]
    if fits and asked not in (GUESS, fits[0]):
        raise ValueError(
            f"has {name} of shape {matrix.shape}, whose {fits[0]} have the {n_hidden} dimensions of activations: "
            f"ask for layout {fits[0]}"
        )
    if not fits:
        raise ValueError(f"has {name} of shape {matrix.shape}, and activations have {n_hidden} dimensions")
    if 0 in matrix.shape:
        raise ValueError(f"has {name} of shape {matrix.shape}, which has no latents")
    return matrix.T if fits[0] == "rows" else matrix, fits[0]


def _each(arrays, name, length, usual=None):
    """An array with one number for each of `length`, or one for all; `usual` where there is none."""
    if name is None:
        return usual
    values = numbers(arrays, name)
    if values.size != 1 and values.shape != (length,):
        raise ValueError(f"has {name} of shape {values.shape}, which must be {length} numbers, or one")
    return np.broadcast_to(values.reshape(-1) if values.size == 1 else values, (length,))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is said that changes codes; all else, such as where a file was made, does not."""
    found = {}
    for name, read in _READ.items():
        value = config.get(name)
        if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none", "null")):
            continue
        try:
            found[name] = read(value)
        except (TypeError, ValueError, SyntaxError) as error:
            raise ValueError(f"says {name} is {value!r:.60}, {error}") from None
    inner = found.pop("activation_fn_kwargs", {})
    return {name: value for name, value in inner.items() if name == "k" and value is not None} | found


def _switch(value) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if str(value).strip().lower() not in known:
        raise ValueError("which must be true or false")
    return known[str(value).strip().lower()]


def _whole(value) -> int:
    try:
        number = float(np.asarray(value, float).reshape(()))
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise ValueError("which must be a whole number")
    return int(number)


def _mapping(value) -> dict:
    try:
        found = ast.literal_eval(value.replace("null", "None")) if isinstance(value, str) else value
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("which must be an object such as {'k': 4}")
    return found if found.get("k") is None else {"k": _whole(found["k"])}


_READ: dict[str, Callable[[Any], Any]] = {
    "architecture": str, "activation_fn": str, "activation_fn_str": str, "activation_fn_kwargs": _mapping, "k": _whole,
    "normalize_activations": str, "apply_b_dec_to_input": _switch, "rescale_acts_by_decoder_norm": _switch,
}  # fmt: skip


def _kind(arrays, named, settings) -> tuple[str | None, str]:
    """How codes are made, or None and why that is not known."""
    normalized = settings.get("normalize_activations")
    if normalized:
        return None, f"it normalizes activations ({normalized}); fold that into its weights"
    architecture = settings.get("architecture")
    activation = settings.get("activation_fn", settings.get("activation_fn_str", ""))
    if architecture in (None, "standard") and "topk" in activation.lower():
        return "topk", ""
    if architecture is not None:
        kinds = {"standard": "relu", "batchtopk": "jumprelu", "matryoshka_batchtopk": "jumprelu"}
        kind = kinds.get(architecture, architecture)
        return (kind, "") if kind in OF_KIND else (None, f"architecture {architecture}")
    if named["r_mag"]:
        return "gated", ""
    # A k may have a threshold beside it, which then is for other uses than the usual one.
    if named["k"] or "k" in settings:
        return "topk", ""
    return ("jumprelu" if named["threshold"] else "relu"), ""


def _autoencoder(kind, D, bias, W_enc, arrays, named, settings, center) -> tuple[Loaded, str]:
    latent = D.shape[1]
    k = None
    if kind == "topk":
        k = settings.get("k")
        if k is None and named["k"]:
            try:
                k = _whole(numbers(arrays, named["k"]))
            except ValueError:
                raise ValueError(
                    f"has k {np.asarray(arrays[named['k']])}, which must be a whole number"
                ) from None
    # A JumpReLU with nothing said beside it takes nothing off its input (Gemma Scope, dictionary_learning), and neither
    # does a layer of PyTorch, whose bias is `decoder.bias`.
    usual = named["b_dec"] != "decoder.bias" and (bool(settings) or kind != "jumprelu")
    taken = center == "bias" if center != GUESS else settings.get("apply_b_dec_to_input", usual)
    b_enc = _each(arrays, named["b_enc"], latent, np.zeros(latent, np.float32))
    if settings.get("rescale_acts_by_decoder_norm"):
        length = np.linalg.norm(D, axis=0)
        W_enc, b_enc, D = W_enc * length[:, None], b_enc * length, D / np.where(length > 0, length, 1)
    more = {field: _each(arrays, named[field], latent) for field in OF_KIND[kind] if field != "k"}
    made = Loaded(kind, D, bias, W_enc, b_enc, bias if taken else np.zeros_like(bias), k=k, **more)
    less = "the decoder's bias is taken off the input" if taken else "nothing is taken off the input"
    return made, f"{kind}{f', k = {k}' if k else ''}" + (f", {less}" if named["b_dec"] else "")
