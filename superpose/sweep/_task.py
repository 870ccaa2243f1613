"""What a worker does: the cells of one chunk, computed and written. It keeps nothing, and may be done twice."""

import math
import pickle
import time
import traceback
from collections.abc import Callable
from functools import lru_cache, wraps
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import xarray as xr

from superpose.jit import keep_compiled
from superpose.sweep import _cells, _disk, _source
from superpose.sweep._plan import Place, Plan, Variable

F = TypeVar("F", bound=Callable)


@lru_cache(maxsize=8)
def _unpacked(cell: bytes) -> Callable:
    # One object for each, so that what JAX compiled for it is found again; and workers find what others compiled.
    if parent_process() is not None:
        keep_compiled()
    return _source.unpacked(cell)


@lru_cache(maxsize=8)
def _plan_at(folder: str, hash: str) -> Plan:
    plan = _disk.plan_of(Path(folder))
    if plan.hash != hash:
        raise RuntimeError(f"{folder} holds another sweep by now")
    return plan


def _sent(task: F) -> F:
    """A task whose errors reach the driver: one that cannot be pickled, such as JAX's, would break the pool instead."""

    @wraps(task)
    def sent(*arguments):
        try:
            return task(*arguments)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                kind = next(
                    (kind for kind in (TypeError, ValueError) if isinstance(error, kind)), RuntimeError
                )
                raise kind(line(error)) from None
            raise

    return sent  # type: ignore[return-value]


@_sent
def work(folder: str, hash: str, cell: bytes, place: Place) -> None:
    """Compute the cells of a chunk and write them, unless they are there already."""
    plan, at = _plan_at(folder, hash), Path(folder)
    if not (at / _disk.chunk_file(plan, plan.last, place)).is_file():
        _disk.write(at, plan, place, *computed(plan, _unpacked(cell), place))


def computed(plan: Plan, cell: Callable, place: Place) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All variables of a chunk, and which cells failed, and why; these are NaN."""
    numbers, fixed = plan.arguments(place)
    n = plan.cells(place)
    most = math.prod(plan.chunk)
    found = {name: np.full((n, *each.shape), np.nan, each.dtype) for name, each in plan.variables.items()}
    failed: dict[str, str] = {}

    def filled(start: int, stop: int) -> None:
        # As many cells as a chunk has, whatever is asked for: one program does for all of them.
        places = np.minimum(np.arange(start, start + most), stop - 1)
        try:
            data = _cells.called(cell, _at(numbers, places), fixed, plan.setting)
            data = _cells.as_floats(data)
            part = data.isel({_cells.CELL: slice(0, stop - start)}) if numbers else data
            check(part, plan.variables)
        except (Exception, SystemExit) as error:
            if stop - start == 1:
                failed[str(start)] = line(error, cell)
                return
            middle = (start + stop) // 2
            filled(start, middle)
            filled(middle, stop)
            return
        for name in plan.variables:
            values = part[name].values
            found[name][(slice(start, stop), *(slice(0, k) for k in values.shape[1:]))] = values

    filled(0, n)
    last = found[plan.last].reshape(n, -1)
    for at in np.flatnonzero(~np.isfinite(last).all(axis=1)):
        failed.setdefault(str(at), f"{plan.last} is {'NaN' if np.isnan(last[at]).any() else 'infinite'}")
    region = plan.region(place)
    shape = tuple(each.stop - each.start for each in region)
    return {name: each.reshape(*shape, *each.shape[1:]) for name, each in found.items()}, failed


def check(data: xr.Dataset, variables: dict[str, Variable]) -> None:
    """Raise ValueError unless a cell's variables are those that the sweep has, or fit into them."""
    if set(data.data_vars) != set(variables):
        raise ValueError(
            f"cell returned {sorted(map(str, data.data_vars))} here, and {sorted(variables)} elsewhere"
        )
    for name, each in variables.items():
        dims, shape = data[name].dims[1:], data[name].shape[1:]
        if dims != each.dims or any(n > most for n, most in zip(shape, each.shape, strict=True)):
            raise ValueError(
                f"{name} has {dict(zip(dims, shape, strict=True))} here, and {dict(zip(each.dims, each.shape, strict=True))} elsewhere"
            )


class Probed(NamedTuple):
    """What a first try of some cells says."""

    variables: dict[str, Variable]
    attrs: dict[str, Any]
    once: float
    """Seconds that a call takes, however many cells it has, without compiling."""
    each: float
    """Seconds that each cell takes beyond that."""


SECONDS = 5.0
"""How long a chunk should take: long beside what starting and writing it costs, short beside what a lost one does."""
LONG = 1.0
"""Seconds of a call beyond which it is asked how much of them are for each cell, which takes another program, unless all fit into a chunk."""


@_sent
def probe(
    cell: bytes, numbers: dict[str, np.ndarray], fixed: dict[str, Any], setting: _cells.Setting, rest: int
) -> Probed:
    """What these cells give and, for the sake of the `rest` of so many, how long they take, the second time.

    Where some of them raise, those that do not. Without a `rest`, the first of them that does not raise.

    Raises ValueError where the function raises for all of them.
    """
    function, n = _unpacked(cell), max((len(each) for each in numbers.values()), default=1)

    def called(places: np.ndarray) -> tuple[xr.Dataset, float]:
        began = time.monotonic()
        data = _cells.called(function, _at(numbers, places), fixed, setting)
        return _cells.as_floats(data), time.monotonic() - began

    first = None
    together = [np.arange(n)] if rest else []
    for places in (*together, *(np.full(n if rest else 1, at) for at in range(n))):
        try:
            data, _ = called(places)
            break
        except (Exception, SystemExit) as error:
            first = first or error
    else:
        assert first is not None
        if not _place(first, function):
            raise first  # not the function's own, but about what it takes or returns
        which = "the cell that was tried" if n == 1 else f"all {n} cells that were tried, first"
        raise ValueError(f"cell raised for {which}: {line(first, function)}")
    all_of_them = called(places)[1] if rest else 0.0
    once, each = 0.0, all_of_them / n
    if all_of_them > LONG and n > 1 and each * rest > SECONDS:
        called(places[:1])
        alone = called(places[:1])[1]
        each = max(0.0, all_of_them - alone) / (n - 1)
        once = max(0.0, alone - each)
    variables = {
        str(name): Variable(tuple(map(str, each.dims[1:])), each.shape[1:], each.dtype.str)
        for name, each in data.data_vars.items()
    }
    return Probed(variables, dict(data.attrs), once, each)


def _at(numbers: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[places] for name, values in numbers.items()}


def line(error: BaseException, cell: Callable | None = None) -> str:
    """An error in one line, and where in the user's code it is from."""
    said = str(error).strip()
    told = f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__
    place = _place(error, cell) if cell else ""
    return f"{told} ({place})" if place else told


def _place(error: BaseException, cell: Callable) -> str:
    """The line of the innermost call in the file that a cell is from, whose name workers do not know."""
    codes = [getattr(part, "__code__", None) for part in (cell, *getattr(cell, "parts", ()))]
    files = {code.co_filename for code in codes if code}
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename in files]
    return f"line {frames[-1].lineno}, in {frames[-1].name}" if frames else ""
