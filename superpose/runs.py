"""Running experiments: one of them into a folder, or those of whole papers, with a page about each paper."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from superpose import costs, report, store
from superpose.interrupts import leaving_at_once
from superpose.jit import keep_compiled
from superpose.papers import Experiment, experiments
from superpose.progress import duration, progress_bar, say
from superpose.provenance import library_hash, versions


def run(experiment: Experiment, config: Any, folder: Path, *, announced: bool = False) -> report.Result:
    """Run one experiment, and put data, figure, claims and settings at `folder`, whole or not at all.

    Raises OSError where nothing can be put there, before the work if that can be known then, and MemoryError as
    `computed` does.
    """
    with store.replaced(folder) as new:
        keep_compiled()
        with leaving_at_once(partial(store.abandon, new)):
            data, seconds = computed(experiment, config, announced=announced)
            result = write(experiment, made(experiment, config) | {"seconds": seconds}, data, new)
    return replace(result, folder=folder)


def computed(experiment: Experiment, config: Any, *, announced: bool = False) -> tuple[xr.Dataset, float]:
    """What the experiment gives with these settings, including what it was made from, and the seconds that it took.

    With `announced`, one line says beforehand how long it will take. Raises MemoryError, before the work, where the
    work does not fit into memory.
    """
    costs.check_room(config)
    if announced:
        say(f"{experiment.name}: about {duration(experiment.expected(config))} on two cores")
    began = time.monotonic()
    data = experiment.module().run(config)
    seconds = round(time.monotonic() - began, 1)
    made_from = {name: json.dumps(value) for name, value in made(experiment, config).items()}
    return data.assign_attrs(made_from), seconds


def reproduce(
    folder: Path,
    *,
    papers: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    force: bool = False,
    seed: int = 0,
) -> report.Report:
    """Run all experiments, or those of some papers, or `only` some, and write pages about all results in `folder`.

    An experiment that was run before with the same settings, code and versions is kept, unless `force`;
    so a second call goes on where an interrupted one stopped. An experiment that fails does not stop the others.

    Raises OSError where `folder` cannot be written to.
    """
    known = experiments()
    chosen = [
        name for name, each in known.items()
        if name in (only or known) and (not papers or each.paper.name in papers)
    ]  # fmt: skip
    folders = {name: folder / "results" / name for name in known}
    for place in (folder, folder / "results"):
        store.recover(place)
    report.check_writable(
        folder, {each.paper.name for name, each in known.items() if name in chosen or folders[name].exists()}
    )
    configs, results = {}, {}
    for name, each in known.items():
        try:
            configs[name] = _config(each, quick, seed)
        except Exception as error:
            if name in chosen:
                results[name] = report.failed(each, None, _why(error))
                say(f"{name}: {results[name].line}")
    chosen = [name for name in chosen if name in configs]
    states = {name: _state(known[name], configs[name], folders[name]) for name in configs}
    others = [
        name
        for name, state in states.items()
        if state == "to run" and name not in chosen and folders[name].exists()
    ]
    if others:
        say(
            f"{', '.join(others)}: of other settings, code or versions; kept in {folder / 'results'}, but not on the pages"
        )
    if force:
        states |= dict.fromkeys(chosen, "to run")
    todo = [name for name in states if states[name] == "to draw again"]
    todo += [name for name in chosen if states[name] == "to run"]
    for name in todo:
        store.check_replaceable(folders[name])
    report.start(folder)
    keep_compiled()
    results |= {name: report.read(known[name], folders[name]) for name in states if states[name] == "kept"}
    counts = [(sum(states[name] == state for name in chosen), state) for state in _STATES]
    plan = [f"{n} {state}" for n, state in counts if n or state != "to draw again"]
    times = {name: known[name].expected(configs[name]) if states[name] == "to run" else 1.0 for name in todo}
    plan += [f"about {duration(sum(times.values()))} on two cores"] * bool(todo)
    say(f"{len(chosen)} experiment{'s' * (len(chosen) != 1)}: {', '.join(plan)}")
    with progress_bar("reproducing", sum(times.values()), after=0) as advanced:
        done = 0.0
        advanced(done)
        for name in todo:
            make = run if states[name] == "to run" else _redrawn
            results[name] = _attempt(make, known[name], configs[name], folders[name])
            if make is run:
                say(f"{name}: {results[name].line}")
                forget_compiled()
            done += times[name]
            advanced(done)
    ordered = [results[name] for name in known if name in results]
    left_out = [each for name, each in known.items() if name not in results]
    whole = report.Report(ordered, left_out, quick, seed)
    report.write(whole, folder)
    return whole


def _config(experiment: Experiment, quick, seed):
    config = experiment.module().Config(**(experiment.quick if quick else {}))
    return replace(config, seed=seed)


def made(experiment: Experiment, config: Any) -> dict[str, Any]:
    """What a result is made from, as plain values: config, versions, and a hash of the code."""
    return {
        "config": asdict(config),
        "versions": versions(),
        "code": library_hash(experiment.path, *sorted(experiment.path.parent.glob("_[!_]*.py"))),
    }


def _drawn_by() -> str:
    return library_hash(drawing=True)


_STATES = ("kept", "to draw again", "to run")
"""The state of a result: it is whole, or only its data are, or not even those."""


def _state(experiment: Experiment, config, folder: Path) -> str:
    """The state of the result in `folder`: to be kept, it must be of exactly these settings, code and versions."""
    if not folder.exists():
        return "to run"
    faults = store.faults(folder)
    whole_data = not any(name.startswith("data.zarr") for name in faults)
    before = _made_from(folder, faults) if whole_data else {}
    same = store.plain(made(experiment, config)).items() <= before.items()
    sealed = store.listed(folder) is not None
    drawn = same and sealed and before["drawn_by"] == _drawn_by()
    state = "kept" if drawn and not faults else "to draw again" if same else "to run"
    if faults and sealed:
        say(
            f"{experiment.name}: {store.faults_in_words(folder, faults)}; {state}{' again' * (state == 'to run')}"
        )
    return state


def _made_from(folder: Path, faults) -> dict[str, Any]:
    """What the result in `folder`, which has these faults, was made from; its data say most of it too."""
    config, made_by = store.settings(folder)
    if isinstance(made_by, dict) and not {store.CONFIG, store.PROVENANCE} & set(faults):
        said = made_by | {"config": config}
    else:
        attrs = store.load(folder / "data.zarr").attrs
        said = {"seconds": 0.0} | {name: _parsed(attrs.get(name)) for name in ("config", "versions", "code")}
    return {"drawn_by": ""} | said


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _redrawn(experiment, config, folder) -> report.Result:
    """The result in `folder` with its figure and claims made again, from its data."""
    before = _made_from(folder, store.faults(folder))
    data = store.load(folder / "data.zarr")
    with store.replaced(folder) as new, leaving_at_once(partial(store.abandon, new)):
        result = write(experiment, before, data, new)
    return replace(result, folder=folder)


def write(experiment: Experiment, made_from: dict[str, Any], data: xr.Dataset, folder: Path) -> report.Result:
    """Data, settings, and what is measured, drawn and claimed from them, as files of a folder; returns them as a result."""
    from superpose import plot
    from superpose.claims import Claims

    module, provenance = experiment.module(), dict(store.plain(made_from))
    config = provenance.pop("config")
    store.save(data, folder / "data.zarr")
    measured = experiment.measured(data)
    if measured is not data:
        store.save(measured, folder / "measured.zarr")
    claims = Claims(module.claims(measured), is_small(experiment, config)).as_dicts()
    notes = module.notes(measured)
    with plot.style():
        fig = module.figure(measured)
        fig.savefig(folder / "figure.png")
        fig.savefig(folder / "figure.svg", metadata={"Date": None})
        if hasattr(module, "animation"):
            module.animation(measured).save(folder / "animation.gif", writer="pillow", dpi=80)
    store.write_json(claims, folder / "claims.json")
    store.write_json(notes, folder / "notes.json")
    store.write_json(config, folder / store.CONFIG)
    store.write_json(provenance | {"drawn_by": _drawn_by()}, folder / store.PROVENANCE)
    return report.Result(
        experiment, config, provenance["versions"], provenance["seconds"], store.plain(claims), notes, folder
    )


def is_small(experiment: Experiment, config: dict[str, Any]) -> bool:
    """Whether these settings are those of the experiment's small version.

    >>> intro = experiments()["intro"]
    >>> is_small(intro, asdict(intro.module().Config()))
    False
    """
    quick = store.plain(experiment.quick)
    return bool(quick) and quick.items() <= store.plain(config).items()


def _attempt(make, experiment, config, folder) -> report.Result:
    """The result of an experiment that `make` runs or draws, or why there is none."""
    try:
        return make(experiment, config, folder)
    except OSError:
        raise
    except Exception as error:
        return report.failed(experiment, config, _why(error))


def _why(error: Exception) -> str:
    """An error in one line, with the place in the code."""
    import traceback

    said = f"{type(error).__name__}: {error}".splitlines()[0]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{said} ({Path(where.filename).name}, line {where.lineno})"


def forget_compiled() -> None:
    """Let an experiment's programs go: those of all experiments together exhaust the memory maps of a process."""
    jax.clear_caches()
