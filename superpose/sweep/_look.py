"""What is known of a sweep on disk: its cells as a dataset, how far it is, what failed, whether it is whole."""

import json
import math
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from zarr.abc.store import Store
from zarr.storage import LocalStore, ZipStore

from superpose import files
from superpose.models import Network
from superpose.progress import progress_bar
from superpose.store import DamagedError
from superpose.sweep import _disk, _plan
from superpose.sweep._plan import Place, Plan


def opened(store: str | Path) -> xr.Dataset:
    """The cells of a sweep, also while it grows: NaN where one is not done, or failed; `done` says which are.

    `store` is its folder, or a file that `zipped` made.

    Nothing is read before it is looked at, and none of its code is run. Raises FileNotFoundError where there is no sweep,
    and DamagedError where what describes it is damaged.
    """
    return _opened(Path(store))[1]


def plan_of(store: str | Path) -> Plan:
    """What a sweep is, but for its numbers, in a folder or in a file that `zipped` made.

    Raises FileNotFoundError where there is none, and DamagedError where what describes it is damaged.
    """
    path = Path(store)
    return _zipped_plan(path)[0] if _is_zipped(path) else _disk.plan_of(path)


def is_sweep(store: str | Path) -> bool:
    """Whether there is a sweep in this folder, or in this file that `zipped` made."""
    path = Path(store)
    return _is_zipped(path) if path.is_file() else _disk.is_sweep(path)


def _opened(path: Path) -> tuple[Plan, xr.Dataset]:
    """The plan and the cells of a sweep, in a folder or in a zip file."""
    if path.is_file():
        plan, names = _zipped_plan(path)
        there = {place for place in plan.places() if _disk.chunk_file(plan, plan.last, place) in names}
        return plan, _read(ZipStore(path, mode="r"), plan, there, path)
    plan = _disk.plan_of(path)
    return plan, _read(LocalStore(path, read_only=True), plan, _disk.present(path, plan), path)


def _zipped_plan(file: Path) -> tuple[Plan, set[str]]:
    """The plan in a zip file, and the files in it."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _plan.read(archive.read(_disk.PLAN).decode()), set(archive.namelist())
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise FileNotFoundError(f"{file} holds no sweep ({error})") from None


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
    if path.is_dir() and (other := _disk.other_code(path)):
        data.attrs["other_code"] = other
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


def select(store: str | Path, **at: Any) -> Network:
    """The models at some point of a sweep, ready to use: `select("sweeps/first", density=0.1, hidden=3)`.

    Axes that decide about shapes must be named, unless they have one value. Those that are not named, and `member`, stay
    as leading axes of the weights. Raises ValueError for a value that an axis does not have, and where there are no models,
    FileNotFoundError where there is no sweep, and DamagedError where what describes it is damaged.
    """
    plan, data = _opened(Path(store))
    if not {"W", "b"} <= {*plan.variables}:
        raise ValueError(f"{store} has no models, only {', '.join(plan.variables)}")
    for name, value in at.items():
        if name not in plan.axes:
            raise ValueError(f"{store} has no axis {name}; it has {', '.join(plan.axes)}")
        data = data.isel({name: _place(name, plan.axes[name], value)})
    group = {}
    for name, values in plan.axes.items():
        if name not in plan.batched:
            if name not in at and len(values) > 1:
                raise ValueError(f"say which {name}, of {_plan.few(values)}: models differ in shape")
            group[name] = values[_place(name, values, at.get(name, values[0]))]
            data = data.squeeze(name) if name in data.dims else data
    if not bool(data.done.all()):
        raise ValueError(f"{store}: what was asked for is not done yet")
    m, n = (_there(data.W, data.W.dims[axis]) for axis in (-2, -1))
    weights = {
        "W": data.W.values[..., :m, :n],
        "b": data.b.values[..., :n],
        "W_out": data.W_out.values[..., :n, :m] if "W_out" in data else None,
        "hidden_bias": data.hidden_bias.values[..., :m] if "hidden_bias" in data else None,
    }
    attrs = plan.attrs | plan.attrs.get("each", {}).get(json.dumps(group), {})
    named = {name: attrs[name] for name in ("activation", "hidden_activation") if name in attrs}
    return Network(**weights, **named)


def _place(name: str, values: tuple, value: Any) -> int:
    """Where a value is on an axis, but for rounding."""
    if value in values:
        return values.index(value)
    if isinstance(values[0], str) or not isinstance(value, int | float):
        raise ValueError(f"{name} has no {value!r}; it has {_plan.few(values)}")
    nearest = min(range(len(values)), key=lambda at: abs(values[at] - value))
    if not math.isclose(values[nearest], value, rel_tol=1e-6):
        raise ValueError(f"{name} has no {value:g}; the nearest is {values[nearest]:g}")
    return nearest


def _there(W: xr.DataArray, axis: Any) -> int:
    """How many of an axis are no padding."""
    return int(W.notnull().any([other for other in W.dims if other != axis]).values.sum())


class Status(NamedTuple):
    """How far a sweep is."""

    plan: Plan
    """What the sweep is to be."""
    chunks: int
    """Chunks that are done."""
    cells: int
    """Cells that are done."""
    rate: float
    """Cells a second, by the times at which the last hundred chunks were written; NaN before there are two."""
    since: float
    """Seconds since the last chunk was written, or since the sweep was begun where there is none."""
    failed: dict[str, str]
    """What `failures` gives."""
    other_code: list[str]
    """How the code that made some of the chunks differs, where `resume` was told to go on with it."""

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
    begun = [path.stat().st_mtime for path in (folder / _disk.PLAN, folder) if path.exists()]
    since = max(0.0, time.time() - (written[-1][0] if written else begun[0]))
    cells = sum(map(plan.cells, there))
    return Status(plan, len(there), cells, rate, since, failures(folder), _disk.other_code(folder))


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
    if not place.is_file() or not zipfile.is_zipfile(place):
        return False
    with zipfile.ZipFile(place) as archive:
        return _disk.PLAN in archive.namelist()
