"""Beginning a sweep, going on with one, and what is known of it."""

import importlib.util
import inspect
import math
import os
import platform
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from zarr.abc.store import Store
from zarr.storage import LocalStore, ZipStore

import superpose
from superpose import files, grid
from superpose.progress import progress_bar, say
from superpose.provenance import library_hash
from superpose.store import DamagedError, check_ours
from superpose.sweep import _cells, _disk, _drive, _plan, _task
from superpose.sweep._axes import Values, as_axes
from superpose.sweep._plan import Place, Plan, Source, Variable
from superpose.sweep._pool import Pool

SECONDS = 5.0
"""How long a chunk should take: long beside what starting and writing it costs, short beside what a lost one does."""
LEAST_CHUNKS, LEAST_SECONDS = 32, 0.5
"""A sweep has at least about as many chunks, so that many can work at once, unless they would be shorter than this."""
MOST_BYTES = 64e6
"""How large the chunk of a variable is at most."""
TRIED = 64
"""How many cells are tried first, to see what they give and how long they take."""


class Sweep(NamedTuple):
    """What `run` and `resume` give."""

    data: xr.Dataset
    """The cells, read when they are looked at; NaN where one is not done, or failed. `done` says which are."""
    failed: dict[str, str]
    """Cells that failed, as their values on the axes, and why."""
    stopped: bool
    """Whether it was stopped before the end, so that `resume` has something to do."""


def run(
    cell: Callable,
    axes: Mapping[str, Any],
    store: str | Path,
    *,
    fixed: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    workers: int | None = None,
    chunk: int | None = None,
    timeout: float | None = None,
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

    `executor` is any `concurrent.futures.Executor`, such as `Client(...).get_executor()` of Dask; without one, a `Pool` of
    `workers` processes. `chunk` is the number of cells in one task; by a first try, about as many as take five
    seconds. A chunk that takes more than `timeout` seconds is given up.

    A folder that holds the same sweep already is gone on with, as `resume` does.

    Raises ValueError or TypeError for axes, a function or settings that make no sense, or a folder with another
    sweep; OSError where it cannot be written; StoppedError where the executor breaks.
    """
    folder = Path(store)
    asked = _asked(cell, axes, fixed or {}, seeds, seed)
    check_ours(folder, old=_disk.is_sweep(folder) or (folder.is_dir() and _disk.is_half_begun(folder)))
    packed = _task.packed(cell)
    with ExitStack() as open_until:
        executor = executor or open_until.enter_context(Pool(workers, timeout))
        if _disk.is_sweep(folder):
            plan = _disk.plan_of(folder)
            _refuse(folder, plan, asked)
            _mended(folder, plan, list(plan.places()), False, progress)
        else:
            plan = _begun(folder, packed, asked, chunk, executor)
        return _went_on(folder, plan, packed, plan.places(), executor, timeout, progress)


def gathered(
    cell: Callable,
    axes: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """The cells of a grid that is small enough for memory, computed at once and here: what `run` would store.

    Variables keep their types, and what the cell raises is raised.
    """
    asked = _asked(cell, axes, fixed or {}, seeds, seed)
    axes, batched = asked["axes"], asked["batched"]
    many = {name: values for name, values in axes.items() if name in batched}
    others = [name for name in axes if name not in batched]
    numbers = dict(zip(many, np.meshgrid(*map(np.asarray, many.values()), indexing="ij"), strict=True))
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
    workers: int | None = None,
    timeout: float | None = None,
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
    theirs = {"source": _source(cell), "made": _made()}
    different = _plan.differences(plan, theirs)
    if different and not other_code:
        raise ValueError(
            f"{folder}: {'; '.join(different)}: its numbers may be others; go on all the same with other_code=True, "
            "or begin another sweep"
        )
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be (k, n) with k from 1 to n, got {shard}")
    places = [place for at, place in enumerate(plan.places()) if at % parts == part - 1]
    _mended(folder, plan, places, trusting, progress)
    if failed:
        for place in _disk.failures(folder):
            (folder / _disk.chunk_file(plan, plan.last, place)).unlink(missing_ok=True)
    with ExitStack() as open_until:
        executor = executor or open_until.enter_context(Pool(workers, timeout))
        return _went_on(folder, plan, _task.packed(cell), places, executor, timeout, progress)


def _mended(folder, plan, places, trusting, progress) -> None:
    done = 0 if trusting else len(_disk.present(folder, plan) & set(places))
    with progress_bar("reading what is there", done, progress) as advanced:
        wrong = _disk.faults(folder, plan, [] if trusting else places, advanced)
    if wrong.files:
        say(f"superpose: {told(folder, wrong.files)}; made again")
        _disk.mend(folder, plan, wrong)


def told(folder: Path, files: Mapping[str, str], most: int = 3) -> str:
    """Faults in one line."""
    some = [f"{folder / name} is {what}" for name, what in list(files.items())[:most]]
    return ", ".join(some) + (f", and {len(files) - most} more" if len(files) > most else "")


def _went_on(folder, plan, packed, places, executor, timeout, progress) -> Sweep:
    places = list(places)
    there = _disk.present(folder, plan)
    todo = [place for place in places if place not in there]
    cells = sum(map(plan.cells, todo))
    with progress_bar("cells", cells, progress) as advanced, _drive.stopping() as stop:
        outcome = _drive.drive(
            folder, plan, packed, todo, executor, timeout=timeout, advanced=advanced, stop=stop
        )
    if len(_disk.present(folder, plan)) == plan.n_chunks:
        _disk.sweep_up(folder)
    return Sweep(opened(folder), failures(folder), outcome.stopped)


def _begun(folder, packed, asked, chunk, executor) -> Plan:
    """The plan of a new sweep, by what some cells give, on disk; or that of another process which was earlier."""
    axes, batched, fixed = asked["axes"], asked["batched"], asked["fixed"]
    groups = list(product(*(values for name, values in axes.items() if name not in batched)))
    numbers = np.meshgrid(*(np.asarray(axes[name]) for name in axes if name in batched), indexing="ij")
    n_cells = math.prod(each.size for each in numbers[:1])
    tried = min(TRIED, chunk or TRIED, n_cells)
    some = np.unique(np.linspace(0, n_cells - 1, tried).astype(int))
    values = {
        name: each.ravel()[some]
        for name, each in zip([n for n in axes if n in batched], numbers, strict=True)
    }
    names = [name for name in axes if name not in batched]
    tries = []
    for group in groups:
        arrays, others = _plan.expanded(values, batched, fixed | dict(zip(names, group, strict=True)))
        setting = _cells.Setting(tuple(axes), asked["seeds"], asked["seed"])
        tries.append(executor.submit(_task.probe, packed, arrays, others, setting))
    probed = [each.result() for each in tries]
    variables = _together([each.variables for each in probed])
    many = tuple(name in batched for name in axes)
    shape = tuple(map(len, axes.values()))
    if chunk is None:
        each = max(1e-9, max(each.seconds for each in probed))
        size = max(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables.values())
        many_at_once = max(math.prod(shape) / LEAST_CHUNKS, LEAST_SECONDS / each)
        most = min(SECONDS / each, many_at_once, MOST_BYTES / max(1, size))
        chunk = max(1, int(most))
    same = {k: v for k, v in probed[0].attrs.items() if all(each.attrs.get(k) == v for each in probed)}
    plan = Plan(chunk=_plan.chunked(shape, many, chunk), variables=variables, attrs=same, **asked)
    return _disk.begun(folder, plan)


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
            raise ValueError(f"cell needs {name}: give it as an axis, or as fixed")
    both = {*axes} & {*fixed}
    if both:
        raise ValueError(f"{', '.join(sorted(both))} cannot be an axis and fixed, too")
    for name in takes.batched:
        if isinstance(axes.get(name, (0,))[0], str):
            raise ValueError(f"{name} has numbers for many cells at once; put it after the star for words")
    if seeds is not None and "seeds" not in takes.given:
        raise ValueError("cell takes no seeds")
    seeds = seeds if seeds is not None else takes.defaults.get("seeds")
    if "seeds" in takes.given and (not isinstance(seeds, int) or seeds < 1):
        raise ValueError(f"seeds must be a whole number of at least 1, got {seeds}")
    defaults = {name: takes.defaults[name] for name in known if name in takes.defaults}
    others = {name: value for name, value in {**defaults, **fixed}.items() if name not in axes}
    for name, value in others.items():
        if not isinstance(value, str | int | float | bool | type(None)):
            raise TypeError(f"{name} must be a number or a word, got {value!r:.40}")
    return {
        "axes": axes, "batched": takes.batched, "fixed": others, "seeds": seeds, "seed": int(seed),
        "source": _source(cell), "made": _made(),
    }  # fmt: skip


def _made() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "superpose": superpose.__version__,
        "code": library_hash(),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores, {jax.default_backend()}",
    }


def _source(cell: Callable) -> Source:
    """The file that a cell function is from, or where there is none the text of what it is made of."""
    parts = getattr(cell, "parts", (cell,))
    module = sys.modules.get(getattr(parts[0], "__module__", ""))
    file = getattr(module, "__file__", None)
    names = [name for name, each in vars(module).items() if each is cell] if module else []
    name = names[0] if names else getattr(cell, "__name__", "cell")
    texts = []
    for part in parts:
        try:
            texts.append(inspect.getsource(part))
        except (OSError, TypeError):
            code = getattr(part, "__code__", None)
            texts.append(repr((code.co_code, code.co_consts, code.co_names)) if code else repr(part))
    if file and Path(file).is_file() and names:
        texts = [Path(file).read_text(encoding="utf-8")]
    text = "\n".join(texts)
    return Source(name, str(Path(file).resolve()) if file and names else "", text, _plan.hash_of(text))


def cell_of(plan: Plan) -> Callable:
    """The cell function of a sweep, from the file that it was begun with. Raises ValueError where that is gone."""
    source = plan.source
    if not source.file or not Path(source.file).is_file():
        where = f"{source.file} is gone" if source.file else "the sweep was begun from a session"
        raise ValueError(f"{where}; give the cell {source.name!r} that it was begun with")
    return loaded(source.file, source.name)


def loaded(file: str | Path, name: str = "cell") -> Any:
    """What a file of Python calls `name`. Raises ValueError where it has no such thing, or cannot be read."""
    module = module_of(file)
    if not hasattr(module, name):
        raise ValueError(f"{file} has no {name}")
    return getattr(module, name)


def module_of(file: str | Path) -> ModuleType:
    """A file of Python as a module, whose functions workers get by value, wherever they are."""
    import cloudpickle

    path = Path(file).resolve()
    package = Path(superpose.__file__).parent
    if package in path.parents:
        return importlib.import_module(
            ".".join(["superpose", *path.relative_to(package).with_suffix("").parts])
        )
    try:
        name = f"superpose_sweep_{path.stem}_{_plan.hash_of(path.read_text(encoding='utf-8'))[:8]}"
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    cloudpickle.register_pickle_by_value(module)
    return module


def _refuse(folder: Path, plan: Plan, asked: Mapping[str, Any]) -> None:
    different = _plan.differences(plan, asked)
    if different:
        raise ValueError(f"{folder} holds another sweep: {'; '.join(different)}; choose another place")


def opened(store: str | Path) -> xr.Dataset:
    """The cells of a sweep, also while it grows: NaN where one is not done, or failed; `done` says which are.

    `store` is its folder, or a file that `zipped` made.

    Nothing is read before it is looked at, and none of its code is run. Raises FileNotFoundError where there is no sweep,
    and DamagedError where what describes it is damaged.
    """
    path = Path(store)
    if path.is_file():
        return _unzipped(path)
    plan = _disk.plan_of(path)
    return _read(LocalStore(path, read_only=True), plan, _disk.present(path, plan), path)


def _unzipped(file: Path) -> xr.Dataset:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            plan = _plan.read(archive.read(_disk.PLAN).decode())
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise FileNotFoundError(f"{file} holds no sweep ({error})") from None
    there = {place for place in plan.places() if _disk.chunk_file(plan, plan.last, place) in names}
    return _read(ZipStore(file, mode="r"), plan, there, file)


def _read(store: Store, plan: Plan, there: Iterable[Place], path: Path) -> xr.Dataset:
    try:
        data = xr.open_zarr(store, group=_disk.DATA, consolidated=False, chunks=None)
    except Exception as error:  # Zarr may raise anything
        raise DamagedError(
            f"{path} is damaged ({error}); `superpose sweep resume {path}` mends it"
        ) from error
    done = np.zeros(plan.shape, bool)
    for place in there:
        done[plan.region(place)] = True
    data.attrs.pop(_disk.ATTRIBUTE, None)
    return data.assign(done=(tuple(plan.axes), done))


def failures(store: str | Path) -> dict[str, str]:
    """Cells that failed, as their values on the axes, and why; those of a chunk that could not be computed as one."""
    folder = Path(store)
    plan, found = _disk.plan_of(folder), {}
    for place, cells in _disk.failures(folder).items():
        region = plan.region(place)
        shape = tuple(each.stop - each.start for each in region)
        for at, why in cells.items():
            if at == "chunk":
                parts = [
                    _plan.few(values[part]) for values, part in zip(plan.axes.values(), region, strict=True)
                ]
            else:
                index = np.unravel_index(int(at), shape)
                parts = [
                    _plan.few((values[part.start + int(i)],))
                    for values, part, i in zip(plan.axes.values(), region, index, strict=True)
                ]
            found[", ".join(f"{axis}={part}" for axis, part in zip(plan.axes, parts, strict=True))] = why
    return found


class Status(NamedTuple):
    """How far a sweep is."""

    plan: Plan
    chunks: int
    cells: int
    """Cells that are done."""
    rate: float
    """Cells a second, by the times at which the last hundred chunks were written; NaN before there are two."""
    since: float
    """Seconds since the last chunk was written."""
    failed: dict[str, str]

    @property
    def left(self) -> float:
        """Seconds that the rest takes at this rate."""
        return (self.plan.n_cells - self.cells) / self.rate if self.rate else math.nan


def status(store: str | Path) -> Status:
    """How far a sweep is, as its files say; any process may ask."""
    folder = Path(store)
    plan = _disk.plan_of(folder)
    there = _disk.present(folder, plan)
    written = sorted(
        ((folder / _disk.chunk_file(plan, plan.last, place)).stat().st_mtime, plan.cells(place))
        for place in there
    )[-100:]
    took = written[-1][0] - written[0][0] if written else 0.0
    rate = sum(cells for _, cells in written[1:]) / took if took > 0 else math.nan
    since = max(0.0, time.time() - written[-1][0]) if written else math.nan
    return Status(plan, len(there), sum(map(plan.cells, there)), rate, since, failures(folder))


def verified(store: str | Path, progress: bool = True) -> dict[str, str]:
    """Files of a sweep that are missing or damaged, found by reading all chunks that are done."""
    folder = Path(store)
    plan = _disk.plan_of(folder)
    with progress_bar("reading", len(_disk.present(folder, plan)), progress) as advanced:
        return _disk.faults(folder, plan, None, advanced).files


def zipped(store: str | Path, file: str | Path) -> None:
    """All of a sweep in one zip file, which `opened` reads, too. Raises FileExistsError for a file that is no such thing."""
    folder = Path(store)
    _disk.plan_of(folder)
    with (
        files.replaced(file, _is_zipped) as new,
        zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != _disk.PARTIAL:
                archive.write(path, path.relative_to(folder))


def _is_zipped(place: Path) -> bool:
    return zipfile.is_zipfile(place) and _disk.PLAN in zipfile.ZipFile(place).namelist()


@contextmanager
def on_dask(address: str) -> Iterator[Executor]:
    """The executor of a Dask cluster. Raises ValueError where there is none, or Dask is not installed."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("clusters need Dask: pip install 'superpose[cluster]'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no Dask scheduler at {address} ({error})") from None
    with client:
        yield client.get_executor(retries=0, pure=False)
