"""Sparse autoencoders of SAELens and dictionary_learning: what is said beside their arrays, and their folders."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from superpose.dictionaries._loaded import Loaded
from superpose.dictionaries._understood import DIRECTIONS, NAMES, understood
from superpose.dictionaries._written import CLASSES, LaidOut
from superpose.store import read_json, replaced, write_json

WEIGHTS, CONFIG = "ae.pt", "config.json"
"""The files of dictionary_learning's folders."""
ARCHITECTURES = {name: kind for kind, name in CLASSES.items()} | {
    "AutoEncoderNew": "standard",
    "BatchTopKSAE": "batchtopk",
    "MatryoshkaBatchTopKSAE": "matryoshka_batchtopk",
}
"""dictionary_learning's classes, as SAELens calls what they do."""


def autoencoder(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], layout: str, center: str
) -> tuple[Loaded, str]:
    """The autoencoder in these arrays, and in one line how they were understood."""
    found = understood(arrays, config, _n_hidden(arrays), layout=layout, center=center)
    if found.autoencoder is None:
        raise ValueError(f"has no encoder that codes could be made by: {found.said}")
    return found.autoencoder, found.said


def _n_hidden(arrays: Mapping[str, np.ndarray]) -> int:
    """How many numbers a direction has: as many as the decoder's bias, or else by the name of the directions."""
    last = {name.rpartition(".")[2]: name for name in arrays} | {name: name for name in arrays}
    for name in NAMES["b_dec"]:
        if name in last and np.size(arrays[last[name]]) > 1:
            return np.size(arrays[last[name]])
    for name, rows in DIRECTIONS.items():
        if name in last and np.ndim(arrays[last[name]]) == 2:
            return np.shape(arrays[last[name]])[1 if rows else 0]
    raise ValueError(
        f"has no directions: none of {', '.join(DIRECTIONS)} is among {', '.join(arrays) or 'nothing'}"
    )


def config_of(module: Any) -> dict[str, Any]:
    """What a module of SAELens or dictionary_learning says beside its arrays."""
    to_dict = getattr(getattr(module, "cfg", None), "to_dict", None)
    if to_dict is not None:
        return dict(to_dict())
    return _of_class(type(module).__name__, getattr(module, "apply_b_dec_to_input", False))


def config_in(folder: Path) -> dict[str, Any]:
    """What `config.json` in a folder of dictionary_learning says, where there is one.

    Raises ValueError where it cannot be read, or is of a class that is not known: its codes may be others than one would guess.
    """
    if not (folder / CONFIG).exists():
        return {}
    said = read_json(folder / CONFIG)
    trainer = said.get("trainer") if isinstance(said, dict) else None
    trainer = trainer if isinstance(trainer, dict) else {}
    name = str(trainer.get("dict_class"))
    if name not in ARCHITECTURES:
        raise ValueError(
            f"{folder / CONFIG} names none of {', '.join(ARCHITECTURES)} as trainer.dict_class; "
            f"without it, {WEIGHTS} is understood by its arrays alone"
        )
    return _of_class(name, False) | {"k": trainer.get("k")}


def _of_class(name: str, taken: bool) -> dict[str, Any]:
    """What a class of dictionary_learning does that its arrays do not say."""
    if name not in ARCHITECTURES:
        return {}
    kind = ARCHITECTURES[name]
    return {"architecture": kind} | ({"apply_b_dec_to_input": taken} if kind == "jumprelu" else {})


def write(folder: Path, made: LaidOut, save: Callable | None) -> None:
    """A folder of dictionary_learning, whose `ae.pt` is written by `save`; without that, one of SAELens."""
    with replaced(folder) as new:
        if save is not None:
            save(made.arrays, new / WEIGHTS)
            write_json(made.config, new / CONFIG)
            return
        from safetensors.numpy import save as serialized

        (new / "sae_weights.safetensors").write_bytes(serialized(made.arrays))
        write_json(made.config, new / "cfg.json")
