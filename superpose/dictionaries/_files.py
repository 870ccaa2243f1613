"""Dictionaries, truths and activations in files: `.npz`, `.npy` and `.safetensors`, and folders of SAELens. No pickle."""

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from superpose import files, memory
from superpose.dictionaries._understood import Understood, numbers, understood

PICKLED = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib")
TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "BOOL": np.bool_,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip


class Content(NamedTuple):
    """What a file holds."""

    arrays: dict[str, np.ndarray]
    config: dict[str, Any]
    """What is said about the arrays: SAELens' cfg.json, or the metadata of a file."""


def dictionary(
    path: str | Path, n_hidden: int, *, layout: str = "guess", center: str = "guess"
) -> Understood:
    """The dictionary in a file, or in a folder of SAELens, for activations of `n_hidden` dimensions.

    How its arrays are named and laid out is guessed, and `said`; see `understood`. Raises ValueError, in one line, for
    what cannot be read or is not understood.
    """
    arrays, config = content(path)
    with _named(path):
        return understood(arrays, config, n_hidden, layout=layout, center=center)


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Errors begin with the file."""
    try:
        yield
    except (TypeError, ValueError) as error:
        said = str(error)
        raise ValueError(f"{path}{'' if said.startswith(('has ', 'says ')) else ':'} {said}") from None


class Recorded(NamedTuple):
    """Truth from a file: directions, and samples of features and activations where there are any."""

    directions: np.ndarray
    x: np.ndarray | None
    h: np.ndarray | None

    def pairs(self, key: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `n` samples of the file: they are drawn already."""
        if self.x is None or self.h is None:
            raise ValueError("the truth has no samples, x and h")
        return self.x[:n], self.h[:n]


def truth(path: str | Path) -> Recorded:
    """The truth in a file: `directions` (hidden, feature) and, for scores of codes, `x` (sample, feature) and `h`.

    Raises ValueError, in one line, for what cannot be read, does not fit together, or is not finite.
    """
    arrays = content(path).arrays
    if len(arrays) == 1 and "directions" not in arrays:
        arrays = {"directions": next(iter(arrays.values()))}
    if "directions" not in arrays:
        raise ValueError(f"{path} has no directions (hidden, feature), only {', '.join(arrays) or 'nothing'}")
    with _named(path):
        W, x, h = (numbers(arrays, name) if name in arrays else None for name in ("directions", "x", "h"))
        for name, values in (("directions", W), ("x", x), ("h", h)):
            if values is not None and (values.ndim != 2 or 0 in values.shape):
                raise ValueError(
                    f"has {name} of shape {values.shape}, which must be a matrix with rows and columns"
                )
        assert W is not None
        if (x is None) != (h is None):
            raise ValueError(
                f"has {'x without h' if h is None else 'h without x'}; scores of codes need both"
            )
        if x is not None and h is not None and (len(x) != len(h) or (h.shape[1], x.shape[1]) != W.shape):
            raise ValueError(
                f"has directions of shape {W.shape}, which must be (hidden, feature), x of {x.shape}, (sample, feature), "
                f"and h of {h.shape}, (sample, hidden)"
            )
    return Recorded(W, x, h)


def content(path: str | Path) -> Content:
    """The arrays of a file, and what is said about them.

    Raises ValueError, in one line, for a file that is not there, cannot be read or is too large.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix in PICKLED:
        raise ValueError(
            f"{path} may run code where it is read, so it is not; save its tensors by safetensors.torch.save_file"
        )
    read: dict[str, Callable[[Path], Content]] = {".npz": _npz, ".npy": _npy, ".safetensors": _safetensors}
    if path.suffix not in read:
        raise ValueError(f"{path} must end in .npz, .npy or .safetensors, or be a folder of SAELens")
    try:
        memory.check(3 * path.stat().st_size, f"reading {path}", "give a smaller file")
        found = read[path.suffix](path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError as error:
        raise ValueError(memory.why(error)) from None
    except Exception as error:
        why = str(error).partition("\n")[0]
        if "allow_pickle" in why:
            why = "it holds Python objects, which may run code; save arrays of numbers"
        raise ValueError(f"cannot read {path}: {why or type(error).__name__}") from None
    return found


def _of_folder(folder: Path) -> Content:
    weights = folder / "sae_weights.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} is no folder of SAELens: it has no sae_weights.safetensors")
    try:
        config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {folder / 'cfg.json'}: {error}") from None
    return Content(content(weights).arrays, config)


def _npy(path: Path) -> Content:
    return Content({"the array": np.load(path, allow_pickle=False)}, {})


def _npz(path: Path) -> Content:
    with zipfile.ZipFile(path) as file:
        memory.check(
            sum(each.file_size for each in file.infolist()), f"reading {path}", "give a smaller file"
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    texts = {name: str(value) for name, value in arrays.items() if value.dtype.kind == "U" and not value.ndim}
    return Content({name: value for name, value in arrays.items() if name not in texts}, texts)


def _safetensors(path: Path) -> Content:
    from safetensors import deserialize

    data = path.read_bytes()
    tensors = dict(deserialize(data))
    arrays = {}
    for name, tensor in tensors.items():
        if tensor["dtype"] not in TYPES:
            raise ValueError(f"{name} has the type {tensor['dtype']}, which is not read")
        values = np.frombuffer(tensor["data"], TYPES[tensor["dtype"]]).reshape(tensor["shape"])
        arrays[name] = values if values.dtype.kind in "fiub" else values.astype(np.float32)
    (length,) = struct.unpack_from("<Q", data)
    return Content(arrays, json.loads(data[8 : 8 + length]).get("__metadata__") or {})


def write(path: str | Path, arrays: Mapping[str, np.ndarray], told: Mapping[str, str]) -> None:
    """A file `.npz` or `.safetensors` with these arrays and texts, whole or not at all.

    Raises ValueError for another kind of file, FileExistsError for a file that is there and not such a one, and
    OSError where it cannot be written.
    """
    suffix = Path(path).suffix
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{path} must end in .npz or .safetensors")
    with files.replaced(path, lambda place: "superpose" in content(place).config) as new:
        if suffix == ".npz":
            with new.open("wb") as file:
                np.savez(file, **arrays, **{name: np.array(text) for name, text in told.items()})  # type: ignore[arg-type]
        else:
            from safetensors.numpy import save

            # Its save_file makes a file that nobody else may read.
            new.write_bytes(
                save({name: np.asarray(values, order="C") for name, values in arrays.items()}, dict(told))
            )
