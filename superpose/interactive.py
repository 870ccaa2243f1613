"""Experiments from Python: run one, and look at what it gave."""

import operator
import os
import reprlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import xarray as xr
from matplotlib.figure import Figure

from superpose import plot, runs, store
from superpose.claims import Claims
from superpose.jit import keep_compiled
from superpose.papers import Experiment, check_seed, experiments, meant


@dataclass(frozen=True, repr=False)
class Run:
    """What an experiment gave. In a notebook it shows itself: the figure, the claims and the notes."""

    experiment: Experiment
    """Which one it was."""
    config: Any
    """The settings."""
    data: xr.Dataset
    """Every model's weights and loss, and what else was computed."""

    @cached_property
    def measured(self) -> xr.Dataset:
        """What figure, claims and notes are about."""
        return self.experiment.measured(self.data)

    @cached_property
    def figure(self) -> Figure:
        """The experiment's figure."""
        return self.experiment.module().figure(self.measured)

    @cached_property
    def claims(self) -> Claims:
        """What the paper says, what was measured, and whether it holds."""
        small = runs.is_small(self.experiment, asdict(self.config))
        return Claims(self.experiment.module().claims(self.measured), small)

    @cached_property
    def notes(self) -> list[str]:
        """What was chosen where the paper is silent."""
        return self.experiment.module().notes(self.measured)

    def __repr__(self) -> str:
        return f"{self.experiment.name}: {self.claims!r}"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        figure = plot.html(self.figure, alt=self.experiment.summary)
        return f"{figure}{self.claims._repr_html_()}<ul>{notes}</ul>"


def run(name: str, *, quick: bool = False, out: str | Path | None = None, **settings: Any) -> Run:
    """Run an experiment: `superpose.run("intro", densities=(0.3, 0.1))`.

    The settings are those of the command, with `_` for `-`; `quick` starts from those of the small version. Nothing
    is written, unless `out` is given: then the result also goes to `out`/`name`, as from `superpose run`.

    Raises ValueError for an unknown experiment or setting, or for a value that a setting cannot have, MemoryError for
    settings that take more memory than there is, and OSError where `out` cannot be written to.
    """
    known = experiments()
    name = str(name).replace("_", "-")
    if name not in known:
        raise ValueError(f"there is no experiment {name!r}; {meant(name, known, repr)}")
    experiment = known[name]
    config = _config(experiment, (experiment.quick if quick else {}) | settings)
    keep_compiled()
    if out is None:
        data, _ = runs.computed(experiment, config)
    else:
        with store.replaced(Path(out) / name) as new:
            data, seconds = runs.computed(experiment, config)
            runs.write(experiment, runs.made(experiment, config) | {"seconds": seconds}, data, new)
    return Run(experiment, config, data)


def _config(experiment, settings):
    """The experiment's `Config` with these settings."""
    config = experiment.module().Config
    kinds = {
        name: kind for name, kind in get_type_hints(config).items() if name in config.__dataclass_fields__
    }
    for name in settings:
        if name not in kinds:
            raise ValueError(f"{experiment.name} has no setting {name!r}; {meant(name, kinds, repr)}")
    made = config(**{name: _setting(name, value, kinds[name]) for name, value in settings.items()})
    check_seed(made.seed)
    return made


def _setting(name, value, kind):
    """The value as a Config has it: a single value may stand for a tuple, and arrays and their numbers are taken too."""
    if get_origin(kind) is tuple:
        several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) > 0
        return tuple(_setting(name, one, get_args(kind)[0]) for one in (value if several else [value]))
    if get_origin(kind) is Literal:
        kind_of, made = " or ".join(map(repr, get_args(kind))), value if value in get_args(kind) else None
    elif kind is str:
        kind_of, made = "text", os.fspath(value) if isinstance(value, str | os.PathLike) else None
    elif kind is bool:
        kind_of, made = "True or False", value if isinstance(value, bool) else None
    else:
        kind_of, made = "a whole number" if kind is int else "a number", _number(value, kind)
    if made is None:
        raise ValueError(f"{name} must be {kind_of}, got {reprlib.repr(value)}")
    return made


def _number(value, kind) -> float | int | None:
    if isinstance(value, bool | str):
        return None
    try:
        return float(value) if kind is float else operator.index(value)
    except (TypeError, ValueError):
        whole = isinstance(value, Real) and float(value).is_integer()  # such as 1e4 steps
        return int(value) if whole and kind is int else None
