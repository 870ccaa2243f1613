"""Matrices in files: `.npy` and `.safetensors` mapped into memory, `.npz` one array at a time. No pickle."""

import json
import math
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from superpose import memory
from superpose.dictionaries._files import PICKLED, TYPES
from superpose.dictionaries._understood import DIRECTIONS

GUESS, COLUMNS, ROWS = "guess", "columns", "rows"
_MOST_NAMED = 12
_HEADER = 100_000_000
"""The most bytes that a header of safetensors has."""


class Tensor(NamedTuple):
    """One array of a file, which is not read before `array` is called."""

    shape: tuple[int, ...]
    type: str
    array: Callable[[], np.ndarray]


class Matrix(NamedTuple):
    """What `matrix` returns."""

    W: Shaped[np.ndarray, "hidden feature"]
    """A vector in each column, of the file's own type."""
    tensor: str
    """Its name; "" in a file that holds one array and no name."""
    type: str
    layout: str
    said: str
    """How it was understood, in one line."""


def matrix(path: str | Path, tensor: str = "", layout: str = GUESS) -> Matrix:
    """A matrix of a file, with a vector in each column.

    Raises ValueError, in one line, for what cannot be read, and where there are several matrices and no `tensor` is named.
    """
    if layout not in (GUESS, COLUMNS, ROWS):
        raise ValueError(f"layout must be {GUESS}, {COLUMNS} or {ROWS}, got {layout!r}")
    there = tensors(path)
    name = _chosen(path, there, tensor)
    shape = there[name].shape
    own, why = _layout(name, shape, layout)
    try:
        values = there[name].array()
    except MemoryError as error:
        raise ValueError(memory.why(error)) from None
    except Exception as error:
        raise ValueError(f"cannot read {path}: {_why(error)}") from None
    hidden, n = shape if own == COLUMNS else shape[::-1]
    said = f"{_many(n, 'vector')} in {_many(hidden, 'dimension')}, the {own} of {_shown(name)} ({there[name].type}){why}"
    return Matrix(values if own == COLUMNS else values.T, name, there[name].type, own, said)


def tensors(path: str | Path) -> dict[str, Tensor]:
    """The arrays of a file by name, in its order.

    Raises ValueError, in one line, for a file that is not there or cannot be read.
    """
    path = Path(path)
    if path.suffix in PICKLED:
        raise ValueError(
            f"{path} may run code where it is read, so it is not; save its tensors by safetensors.torch.save_file"
        )
    read: dict[str, Callable[[Path], dict[str, Tensor]]]
    read = {".npz": _npz, ".npy": _npy, ".safetensors": _safetensors}
    if path.suffix not in read:
        raise ValueError(f"{path} must end in .safetensors, .npz or .npy")
    try:
        return read[path.suffix](path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise ValueError(f"cannot read {path}: {_why(error)}") from None


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _shown(name: str) -> str:
    """The name of a tensor, without what would do something to a terminal."""
    return "".join(each if each.isprintable() else "?" for each in name) or "the array"


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _chosen(path, there, tensor) -> str:
    flat = {name: each for name, each in there.items() if len(each.shape) == 2}
    theirs = f"its matrices are {_named(flat)}" if flat else "it has no matrix"
    if tensor and tensor not in there:
        raise ValueError(f"{path} has no tensor {tensor!r}; {theirs}")
    if tensor and tensor not in flat:
        raise ValueError(
            f"{_shown(tensor)} in {path} has the shape {there[tensor].shape}, which is no matrix; {theirs}"
        )
    directions = [name for name in flat if _rows(name) is not None]
    if not tensor and len(directions) == 1:  # of a sparse autoencoder
        return directions[0]
    if tensor or len(flat) == 1:
        return tensor or next(iter(flat))
    if not flat:
        raise ValueError(f"{path} has no matrix; it has {_named(there)}")
    raise ValueError(f"{path} has {len(flat)} matrices; choose by --tensor NAME: {_named(flat)}")


def _named(tensors) -> str:
    """The largest of these, with their shapes."""
    largest = sorted(tensors, key=lambda name: -math.prod(tensors[name].shape))
    told = ", ".join(f"{_shown(name)} {tensors[name].shape}" for name in largest[:_MOST_NAMED])
    more = len(largest) - _MOST_NAMED
    return (told or "nothing") + (f", and {more} more" if more > 0 else "")


def _layout(name, shape, layout) -> tuple[str, str]:
    """Whether columns or rows are vectors, and how that is known: as told, by the name, or as more vectors than dimensions."""
    if layout != GUESS:
        return layout, ""
    rows = _rows(name)
    own = ROWS if (shape[0] >= shape[1] if rows is None else rows) else COLUMNS
    why = (
        "by the name"
        if rows is not None
        else f"more than the {_other(own)}"
        if shape[0] != shape[1]
        else "as a rule"
    )
    return own, f"; {why}: else --layout {_other(own)}"


def _rows(name: str) -> bool | None:
    """Whether the vectors of an autoencoder's decoder are rows; None for a name of anything else.

    decoder.weight as the whole name only: a language model's head may end so, and has the vectors of its words in rows.
    """
    return DIRECTIONS.get(name, DIRECTIONS.get(name.rpartition(".")[2]))


def _other(layout) -> str:
    return COLUMNS if layout == ROWS else ROWS


def _checked(dtype: np.dtype, name: str) -> str:
    """The name of a type of real numbers."""
    if dtype.hasobject:
        raise ValueError(f"{name or 'it'} holds Python objects, which may run code; save arrays of numbers")
    return dtype.name


def _npy(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        shape, dtype = _header(file)
    return {"": Tensor(shape, _checked(dtype, ""), lambda: np.load(path, mmap_mode="r", allow_pickle=False))}


def _header(file) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"its format {version} is not read")
    shape, _, dtype = read[version](file)
    return shape, dtype


def _npz(path: Path) -> dict[str, Tensor]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, dtype = _header(file)
            if dtype.kind == "U":  # what files say of themselves
                continue
            size = math.prod(shape) * dtype.itemsize
            found[name] = Tensor(shape, _checked(dtype, name), partial(_of, path, name, size))
    return found


def _of(path: Path, name: str, size: int) -> np.ndarray:
    memory.check(
        size, f"reading {name} of {path}", "save it as .npy or .safetensors, which are read in blocks"
    )
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def _safetensors(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER):
            raise ValueError("its header is cut off, or it is no such file")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    return {name: _tensor(path, name, each, 8 + length, size) for name, each in header.items()}


def _tensor(path: Path, name: str, told: Any, start: int, size: int) -> Tensor:
    try:
        shape, kind, (begin, end) = (
            tuple(map(int, told["shape"])),
            told["dtype"],
            map(int, told["data_offsets"]),
        )
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"its header does not say where {name} is") from None
    dtype = np.dtype(TYPES[kind]) if kind in TYPES else None
    if dtype is None:

        def refused():
            raise ValueError(f"{name} has the type {kind}, which is not read")

        return Tensor(shape, kind, refused)
    if (
        min(shape, default=0) < 0
        or end - begin != math.prod(shape) * dtype.itemsize
        or not 0 <= begin <= end <= size - start
    ):
        raise ValueError(f"its header and its size do not fit together at {name}")

    def mapped() -> np.ndarray:
        whole = np.memmap(path, np.uint8, mode="r")
        return np.ndarray(shape, dtype, buffer=whole, offset=start + begin)

    return Tensor(shape, dtype.name, mapped)
