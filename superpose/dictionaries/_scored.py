"""What `superpose score` and `superpose world` do: scores of a dictionary in a file, samples of a world into one."""

import json
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from superpose import files, memory
from superpose.dictionaries import _files, worlds
from superpose.dictionaries._nulls import random_directions
from superpose.dictionaries._score import score
from superpose.draws import stream


def scored(
    path: str,
    *,
    world: str = "",
    truth: str = "",
    samples: int = 10_000,
    seed: int = 0,
    inference: str = "",
    threshold: float = 0.0,
    layout: str = "guess",
    center: str = "guess",
    out: str = "",
) -> tuple[str, dict[str, Any]]:
    """How a dictionary's file was understood, and its scores, which are written to `out` where it is given.

    Raises ValueError and OSError, in one line, for what is wrong.
    """
    if out and Path(out).suffix != ".json":
        raise ValueError(f"--out takes a .json file, got {out}")
    if not samples >= 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be 0 or more, got {threshold}")
    chosen, edges = _inference(inference), []
    if world:
        known = worlds.named(world)
        activations, told = (
            known.activations,
            {"world": known.name, "version": known.version, "hash": known.hash},
        )
        edges = known.edges
        hidden, n = activations.directions.shape
        _check_room(samples, hidden, n)
    else:
        activations, told = _files.truth(truth), {"truth": truth}
        hidden = len(activations.directions)
    try:
        found = _files.dictionary(path, hidden, layout=layout, center=center)
    except ValueError as error:
        if not truth:
            raise
        raise ValueError(
            f"{error} (by the directions of {truth}, {activations.directions.shape}, which are (hidden, feature))"
        ) from None
    codes, said = (chosen(found), f"; codes by {inference}") if chosen else (found.autoencoder, "")
    if not world and activations.h is None:
        codes, said = None, "; no codes, as the truth has no samples"
    made = found.directions if codes is None else codes
    if not world and codes is not None:
        samples = min(samples, len(activations.h))
    scores = score(made, activations, key=seed, samples=samples, threshold=threshold, edges=edges)
    if codes is None:
        scores["samples"] = 0
    # From a stream of its own: with the seed itself, they would be the directions of some worlds.
    null = random_directions(found.directions.shape[1], hidden, key=stream(seed, "null"))
    null_scores = score(null, activations, key=seed, samples=samples, edges=edges)
    result = {
        "superpose": version("superpose"),
        "dictionary": path,
        "read": found.said + said,
        **told,
        "seed": seed,
        **scores,
        **{f"{_RANDOM}{name}": value for name, value in null_scores.items() if name in _OF_DIRECTIONS},
    }
    if out:
        with files.replaced(out, _is_scores) as new:
            new.write_text(as_json(result), encoding="utf-8")
    return found.said + said, result


def _inference(asked: str) -> Callable[[_files.Understood], Any] | None:
    """How to make a dictionary that infers codes so, for what was read from a file."""
    if not asked:
        return None
    from superpose import dictionaries

    name, given, text = asked.partition("=")
    made = {
        "omp": (dictionaries.OMP, int, "a whole number of 1 or more", "4"),
        "fista": (dictionaries.FISTA, float, "a number of 0 or more", "0.1"),
        "nnls": (dictionaries.NNLS, None, "", ""),
        "relu": (dictionaries.ReluStep, float, "a number of 0 or more", "0.2"),
    }
    if name not in made:
        raise ValueError(
            f"there is no inference {name!r}; there are omp=K, fista=PENALTY, nnls and relu=THRESHOLD"
        )
    kind, number, needed, such = made[name]
    if number is None:
        if given:
            raise ValueError(f"--inference {name} takes no number")
        inference = kind()
    else:
        try:
            knob = number(text)
        except ValueError:
            knob = -1
        if not (number is int) <= knob < math.inf:
            raise ValueError(f"--inference {name} needs {needed}, such as {name}={such}, got {text!r}")
        inference = kind(knob)

    return lambda found: dictionaries.Dictionary(found.directions, found.bias, inference)


def as_json(found: dict[str, Any]) -> str:
    """Scores as JSON, which has no NaN and no infinity: they are null there."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in found.items()
    }
    return json.dumps(plain, indent=2) + "\n"


def _is_scores(path: Path) -> bool:
    return "mcc" in json.loads(path.read_text(encoding="utf-8"))


def table(found: dict[str, Any]) -> str:
    """A line for each score that is known, of four digits, and beside it that of as many random directions."""
    shown = {
        name: f"{value:.4f}" if isinstance(value, float) else str(value)
        for name, value in found.items()
        if value is not None and name not in _SAID
    }
    own = {name: value for name, value in shown.items() if not name.startswith(_RANDOM)}
    width, wide = (max(map(len, each)) for each in (own, own.values()))
    lines = [
        f"  {name:<{width}}  {value:<{wide}}  {shown.get(f'{_RANDOM}{name}', '')}".rstrip()
        for name, value in own.items()
    ]
    at = list(own).index("mcc")
    return "\n".join([*lines[:at], f"  {'':<{width}}  {'':<{wide}}  random", *lines[at:]]) + "\n"


_OF_DIRECTIONS = ("mcc", "precision", "recall", "f1", "recovery", "found", "uniqueness")
_RANDOM = "random_"
_SAID = ("superpose", "dictionary", "read")
"""What is not in the table, as it is said before it."""


def written(name: str, *, samples: int, seed: int, out: str) -> dict[str, str]:
    """Write samples of a world into a file: `h`, `x` and `directions`; returns what the file says of them.

    They are other samples than those of the same seed that dictionaries are scored on.
    """
    if not samples >= 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    world = worlds.named(name)
    hidden, n = world.activations.directions.shape
    _check_room(samples, hidden, n)
    told = {
        "superpose": version("superpose"),
        "world": world.name,
        "version": str(world.version),
        "hash": world.hash,
        "seed": str(seed),
    }
    x, h = world.activations.pairs(stream(seed, "training"), samples)
    arrays = {"h": h, "x": x, "directions": world.activations.directions}
    _files.write(out, {each: np.asarray(values) for each, values in arrays.items()}, told)
    return told


def _check_room(samples: int, hidden: int, n: int) -> None:
    memory.check(16.0 * samples * (hidden + n), f"{samples} samples of {n} features", "give fewer --samples")
