"""Beginning a sweep, and going on with one."""

import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import nullcontext
from functools import partial
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from superpose import grid, memory
from superpose.inputs import whole
from superpose.progress import progress_bar, say
from superpose.provenance import library_hash, versions
from superpose.store import check_ours, faults_in_words
from superpose.sweep import _cells, _disk, _drive, _plan, _task
from superpose.sweep._axes import Values, as_axes
from superpose.sweep._look import failures, opened
from superpose.sweep._plan import Plan, Variable
from superpose.sweep._pool import Pool
from superpose.sweep._source import cell_of, packed, source_of

LEAST_CHUNKS, LEAST_SECONDS = 32, 0.5
"""A sweep has at least about as many chunks, so that many can work at once, unless they would be shorter than this."""
DEARER = 4
"""How many times what a call costs whatever its length the cells of a chunk take at least."""
MOST_BYTES = 64e6
"""How large the chunk of a variable is at most."""
TRIED = 8
"""How many cells are tried first, to see what they give and how long they take."""


class Sweep(NamedTuple):
    """What `run` and `resume` give."""

    data: xr.Dataset
    """The cells, read when they are looked at; NaN where one is not done, or failed. `done` says which are."""
    failed: dict[str, str]
    """Cells that failed, as their values on the axes, and why."""
    stopped: bool
    """Whether it was stopped before the end, so that `resume` has something to do."""

    def _repr_html_(self) -> str:
        failed = "".join(f"<li>{escape(cell)}: {escape(why)}</li>" for cell, why in self.failed.items())
        stopped = "<p>stopped before the end</p>" if self.stopped else ""
        return f"{stopped}{f'<p>failed:</p><ul>{failed}</ul>' if failed else ''}{self.data._repr_html_()}"


def run(
    cell: Callable,
    axes: Mapping[str, Any],
    store: str | Path,
    *,
    fixed: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    chunk: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Compute `cell` at every point of a grid, into the folder `store`.

    `cell` is a function with an argument for each of the `axes`: one before the star gets an array, with one number for
    each cell of a chunk, one after it one value for all of them, so that it may decide about shapes. It returns
    arrays by name with one entry for each cell, further axes named, as in `{"loss": loss, "norm": ("feature", norms)}`; a
    dataset along `cell`; or what `train.minimize` returns. `solved` and `fitted` make such functions. If it takes
    `seeds` and `key`, it gets how many initial weights to try and the key of `seed`. Other arguments are `fixed`.

    The variables are arrays of all axes, filled with NaN where shapes differ between the values of an axis: so any
    program that reads Zarr has one array for each, and reads no more of it than it needs.

    `executor` is any `concurrent.futures.Executor`, such as `Client(...).get_executor()` of Dask; without one, a `Pool`.
    `chunk` is the number of cells in one task; by a first try, about as many as take five seconds.

    A folder that holds the same sweep already is gone on with, as `resume` does.

    Raises ValueError or TypeError for axes, a function or settings that make no sense, or a folder with another
    sweep; OSError where it cannot be written; StoppedError where the executor breaks.
    """
    folder = Path(store)
    asked = _asked(cell, axes, fixed or {}, seeds, seed)
    if chunk is not None and whole(chunk, "chunk") < 1:
        raise ValueError(f"chunk must be at least 1 cell, got {chunk}")
    check_ours(folder, old=_disk.is_sweep(folder) or (folder.is_dir() and _disk.is_half_begun(folder)))
    sent = packed(cell)
    with nullcontext(executor) if executor else Pool() as executor:
        if _disk.is_sweep(folder):
            plan = _disk.plan_of(folder)
            _refuse(folder, plan, asked)
            _mended(folder, plan, list(plan.places()), False, progress)
        else:
            plan = _begun(folder, sent, asked, chunk, executor, progress)
        return _went_on(folder, plan, sent, plan.places(), executor, progress)


def gathered(
    cell: Callable,
    axes: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """The cells of a grid that is small enough for memory, computed at once and here: what `run` would store.

    Variables keep their types, and what the cell raises is raised. Raises ValueError and TypeError as `run` does.

    >>> gathered(lambda width: {"loss": width**2}, {"width": [1.0, 2.0]}).loss.values.tolist()
    [1.0, 4.0]
    """
    asked = _asked(cell, axes, fixed or {}, seeds, seed)
    axes, batched = asked["axes"], asked["batched"]
    many = {name: values for name, values in axes.items() if name in batched}
    others = [name for name in axes if name not in batched]
    numbers = dict(zip(many, grid.points(*many.values()), strict=True))
    setting = _cells.Setting(tuple(axes), asked["seeds"], seed)

    def group(values):
        arrays, same = _plan.expanded(
            numbers, batched, asked["fixed"] | dict(zip(others, values, strict=True))
        )
        data = _cells.called(cell, arrays, same, setting)
        return xr.Dataset(
            {
                name: (
                    (*many, *each.dims[1:]),
                    each.values.reshape(*map(len, many.values()), *each.shape[1:]),
                )
                for name, each in data.data_vars.items()
            },
            {name: np.asarray(each) for name, each in many.items()},
            data.attrs,
        )

    return _joined(group, {name: axes[name] for name in others}, ())


def _joined(group, others: Mapping[str, Values], values: tuple) -> xr.Dataset:
    """The groups of all values of the axes that decide about shapes, each axis a dimension."""
    if not others:
        return group(values)
    (name, own), rest = next(iter(others.items())), dict(list(others.items())[1:])
    return grid.stacked({value: _joined(group, rest, (*values, value)) for value in own}, name)


def resume(
    store: str | Path,
    cell: Callable | None = None,
    *,
    shard: tuple[int, int] = (1, 1),
    failed: bool = False,
    other_code: bool = False,
    trusting: bool = False,
    executor: Executor | None = None,
    progress: bool = True,
) -> Sweep:
    """Go on with a sweep: what is missing, or damaged, is made, and nothing else is touched.

    `cell` is read from the file that the sweep was begun with, unless it is given. With `shard` (3, 40) only the third
    of forty parts is done: any number of processes may work at the same time, on other parts or on the same. `failed`
    chunks with cells that raised or were NaN are tried again. All chunks are read first to see whether they are whole, unless
    `trusting`.

    Raises ValueError where the code, or a version, is another than before, unless `other_code`; else as `run` does.
    """
    folder = Path(store)
    plan = _disk.plan_of(folder)
    cell = cell or cell_of(plan)
    source = source_of(cell)
    different = _plan.differences(plan, {"source": source, "made": _made()})
    if different and not other_code:
        raise ValueError(
            f"{folder}: {'; '.join(different)}: its numbers may be others; go on all the same with other_code=True "
            "(--other-code), which is noted, or begin another sweep"
        )
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be (k, n) with k from 1 to n, got {shard}")
    places = [place for at, place in enumerate(plan.places()) if at % parts == part - 1]
    _mended(folder, plan, places, trusting, progress)
    if different:
        _disk.note_code(folder, different, source)
    if failed:
        for place in _disk.failures(folder):
            (folder / _disk.chunk_file(plan, plan.last, place)).unlink(missing_ok=True)
    with nullcontext(executor) if executor else Pool() as executor:
        return _went_on(folder, plan, packed(cell), places, executor, progress)


def _mended(folder, plan, places, trusting, progress) -> None:
    done = 0 if trusting else len(_disk.present(folder, plan) & set(places))
    with progress_bar("reading what is there", done, progress) as advanced:
        wrong = _disk.faults(folder, plan, [] if trusting else places, advanced)
    if wrong.files:
        say(f"superpose: {faults_in_words(folder, wrong.files)}; made again")
        _disk.mend(folder, plan, wrong)


def _went_on(folder, plan, sent, places, executor, progress) -> Sweep:
    places = list(places)
    there = _disk.present(folder, plan)
    todo = [place for place in places if place not in there]
    cells = sum(map(plan.cells, todo))
    with progress_bar("cells", cells, progress) as advanced, _drive.stopping() as stop:
        stopped = _drive.drive(folder, plan, sent, todo, executor, advanced=advanced, stop=stop)
    if len(_disk.present(folder, plan)) == plan.n_chunks:
        _disk.sweep_up(folder)
    return Sweep(opened(folder), failures(folder), stopped)


def _begun(folder, sent, asked, chunk, executor, progress) -> Plan:
    """The plan of a new sweep, by what some cells give, on disk; or that of another process which was earlier."""
    axes, batched = asked["axes"], asked["batched"]
    names = [name for name in axes if name not in batched]
    probed = _probed(sent, asked, names, chunk, executor, progress)
    variables = _together([each.variables for each in probed.values()])
    if both := {*variables} & {*axes}:
        raise ValueError(
            f"cell returns {', '.join(sorted(both))}, which is an axis, too; call one of them otherwise"
        )
    many = tuple(name in batched for name in axes)
    shape = tuple(map(len, axes.values()))
    if chunk is None:
        size = max(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables.values())
        chunk = min(_enough(each, math.prod(shape)) for each in probed.values())
        chunk = max(1, int(min(chunk, MOST_BYTES / max(1, size))))
    attrs = _shared({group: each.attrs for group, each in probed.items()}, names)
    plan = Plan(chunk=_plan.chunked(shape, many, chunk), variables=variables, attrs=attrs, **asked)
    return _disk.begun(folder, plan)


def _probed(sent, asked, names, chunk, executor, progress) -> dict[tuple, _task.Probed]:
    """What cells of each group of shapes say of themselves, by the values of the axes in `names`.

    Unless it is known how many cells a `chunk` has, some of the first and the last group, whose models are often the smallest and
    the largest, also say how long they take. A group of which none can be tried is told; raises what it raised where all are so.
    """
    axes, batched = asked["axes"], asked["batched"]
    groups = list(product(*(axes[name] for name in names)))
    numbers = {name: values for name, values in axes.items() if name in batched}
    sizes = tuple(map(len, numbers.values()))
    n_cells = math.prod(sizes)
    some = np.unique(np.linspace(0, n_cells - 1, min(TRIED, n_cells)).astype(int))
    setting = _cells.Setting(tuple(axes), asked["seeds"], asked["seed"])

    def probing(group: tuple, timed: bool, cells: np.ndarray) -> Future:
        places = np.unravel_index(cells, sizes) if sizes else ()
        values = {
            name: np.asarray(each)[place] for (name, each), place in zip(numbers.items(), places, strict=True)
        }
        same = asked["fixed"] | dict(zip(names, group, strict=True))
        arrays, others = _plan.expanded(values, batched, same)
        return executor.submit(_task.probe, sent, arrays, others, setting, n_cells if timed else 0)

    def tried(group: tuple, timed: bool, first: Future) -> _task.Probed:
        one = (np.array([at]) for at in (0, n_cells - 1, n_cells // 2))
        return _tried(first, [partial(probing, group, timed, cells) for cells in one])

    timed = {group: chunk is None and group in (groups[0], groups[-1]) for group in groups}
    begun = {group: probing(group, timed[group], some) for group in groups}
    probed: dict[tuple, _task.Probed] = {}
    refused: dict[tuple, Exception] = {}
    with progress_bar("trying some cells", len(groups), progress) as advanced:
        for group, first in begun.items():
            try:
                probed[group] = tried(group, timed[group], first)
            except (TypeError, ValueError, _drive.StoppedError) as why:
                refused[group] = why
            advanced(len(probed) + len(refused))
    if not probed:
        raise next(iter(refused.values()))
    # Their cells are computed with the others, and listed if they fail then.
    for group, said in refused.items():
        where = ", ".join(f"{name}={value}" for name, value in zip(names, group, strict=True))
        say(f"superpose: {where}: {said}; the others go on")
    if chunk is None and not any(timed[group] for group in probed):
        group = next(iter(probed))
        probed[group] = tried(group, True, probing(group, True, some))
    return probed


def _enough(probed: _task.Probed, n_cells: int) -> float:
    """How many cells a chunk has: long beside what a call costs anyhow, and no longer where many can work at once."""
    each = max(1e-9, probed.each)
    most = max(_task.SECONDS - probed.once, DEARER * probed.once) / each
    least = max(LEAST_SECONDS, DEARER * probed.once) / each
    return min(most, max(n_cells / LEAST_CHUNKS, least))


def _tried(future: Future, fewer: list[Callable[[], Future]]) -> _task.Probed:
    """What a first try says; where it takes too long, or dies, one of single cells."""
    try:
        return future.result()
    except (TypeError, ValueError):
        raise
    except BrokenExecutor as error:
        raise _drive.StoppedError(f"the executor broke ({_task.line(error)})") from error
    except Exception as error:
        if fewer:
            return _tried(fewer[0](), fewer[1:])
        late = isinstance(error, TimeoutError)
        why = "all took longer than the timeout" if late else f"the last one: {_task.line(error)}"
        raise _drive.StoppedError(f"no cell could be computed; {why}") from error


def _shared(each: Mapping[tuple, dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """What the groups say of themselves: once where they say the same, else for each of them."""
    first = next(iter(each.values()))
    same = {k: v for k, v in first.items() if all(attrs.get(k) == v for attrs in each.values())}
    own = {
        json.dumps(dict(zip(names, group, strict=True))): {k: v for k, v in attrs.items() if k not in same}
        for group, attrs in each.items()
    }
    return same | ({"each": own} if any(own.values()) else {})


def _together(each: list[dict[str, Variable]]) -> dict[str, Variable]:
    """The variables that hold those of all groups, loss last. Raises ValueError where groups have other ones."""
    first, found = each[0], {}
    for variables in each:
        if {name: v.dims for name, v in variables.items()} != {name: v.dims for name, v in first.items()}:
            raise ValueError(
                "cell must return the same variables, with the same axes, for all values of the axes; it returned "
                f"{', '.join(first)}, and {', '.join(variables)}"
            )
    for name in sorted(first, key=lambda name: name == "loss"):
        ours = [variables[name] for variables in each]
        shape = tuple(max(sizes) for sizes in zip(*(one.shape for one in ours), strict=True))
        found[name] = Variable(first[name].dims, shape, np.result_type(*(one.dtype for one in ours)).str)
    return found


def _asked(cell, axes, fixed, seeds, seed) -> dict[str, Any]:
    """What the arguments say of a plan. Raises ValueError or TypeError where they do not fit together."""
    takes, axes = _cells.signature(cell), as_axes(axes)
    known = (*takes.batched, *takes.fixed)
    for name in (*axes, *fixed):
        if name not in known:
            raise ValueError(f"cell has no argument {name}; it has {', '.join(known) or 'none'}")
    for name in known:
        if name not in axes and name not in fixed and name not in takes.defaults:
            raise ValueError(f"cell needs {name}: give it as an axis (--over {name}=VALUES), or as fixed")
    both = {*axes} & {*fixed}
    if both:
        raise ValueError(f"{', '.join(sorted(both))} cannot be an axis and fixed, too")
    for name in takes.batched:
        if isinstance(axes.get(name, (0,))[0], str):
            raise ValueError(
                f"{name} has numbers, for many cells at once, got {axes[name][0]!r}; words need an argument after the star"
            )
    if seeds is not None and "seeds" not in takes.given:
        raise ValueError("cell takes no seeds")
    seeds = seeds if seeds is not None else takes.defaults.get("seeds")
    if "seeds" in takes.given and (not isinstance(seeds, int) or seeds < 1):
        raise ValueError(f"seeds must be a whole number of at least 1, got {seeds}")
    n_cells = math.prod(map(len, axes.values()))
    memory.check(2.0 * n_cells, f"which of {n_cells:.3g} cells are done", "take fewer values")
    defaults = {name: takes.defaults[name] for name in known if name in takes.defaults}
    others = {name: value for name, value in {**defaults, **fixed}.items() if name not in axes}
    for name, value in others.items():
        if not isinstance(value, str | int | float | bool | type(None)):
            raise TypeError(f"{name} must be a number or a word, got {value!r:.40}")
    return {
        "axes": axes, "batched": takes.batched, "fixed": others, "seeds": seeds, "seed": int(seed),
        "source": source_of(cell), "made": _made(),
    }  # fmt: skip


def _made() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return versions() | {
        "code": library_hash(),
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores, {jax.default_backend()}",
    }


def _refuse(folder: Path, plan: Plan, asked: Mapping[str, Any]) -> None:
    different = _plan.differences(plan, asked)
    if different:
        code = {"source": asked["source"], "made": asked["made"]}
        way = (
            f", or go on with this one: superpose sweep resume {folder} --other-code"
            if different == _plan.differences(plan, code)
            else ""
        )
        raise ValueError(f"{folder} holds another sweep: {'; '.join(different)}; choose another place{way}")
