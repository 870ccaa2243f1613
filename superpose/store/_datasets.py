"""Datasets as Zarr stores in which every lost or changed byte is noticed."""

import hashlib
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr

from superpose.store._files import as_json, read_json, write_text
from superpose.store._manifest import CONFIG, MANIFEST, PROVENANCE, is_hash_of, listed, settings

DATA = "data.zarr"
"""The dataset of a result."""
ROOT = "zarr.json"
SEAL, MARK = "superpose_sha256", "superpose:"
"""The name of the hash in a store's root, and how it begins: a store with neither was written without a hash."""


class DamagedError(ValueError):
    """What superpose wrote is no longer as it was written."""


def save(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset as a Zarr store. Raises FileExistsError where `path` exists already.

    Every chunk is written, with a checksum that Zarr verifies; the root holds the metadata of all arrays, and a
    hash of itself. Any program that reads Zarr can read the store.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save(xr.Dataset({"loss": ("member", [0.5, 0.25])}), Path(folder) / "data.zarr")
    ...     load(Path(folder) / "data.zarr").loss.values.tolist()
    [0.5, 0.25]
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import LocalStore

    path = Path(path)
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already; choose another place or remove it")
    # Zarr's format knows text of any length, but not yet text of one length.
    texts = {name: v.astype(object) for name, v in dataset.variables.items() if v.dtype.kind == "U"}
    codecs = [ZstdCodec(), Crc32cCodec()]
    dataset.assign(texts).to_zarr(
        LocalStore(path), mode="w-", consolidated=False, write_empty_chunks=True,
        encoding={name: {"compressors": codecs} for name in dataset.variables},
    )  # fmt: skip
    _seal(path)


def load(path: str | Path) -> xr.Dataset:
    """The dataset at `path`, a Zarr store, or in the result folder `path`, in memory.

    Raises FileNotFoundError where there is none, and DamagedError where a part of the data is missing or
    damaged. Warns where another file of the result is. Datasets of older versions have no checksums.

    >>> load("no-such-folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no-such-folder holds no dataset of superpose; give a result folder or a .zarr folder
    """
    path = Path(path)
    before = listed(path)
    try:
        dataset, wrong = _whole(path)
    except (DamagedError, FileNotFoundError):
        if listed(path) == before:
            raise
    else:
        if listed(path) == before:
            if wrong:
                warnings.warn(f"{faults_in_words(path, wrong)}; the data are whole", stacklevel=2)
            return dataset
    return load(path)  # another result has taken its place meanwhile


def _whole(path: Path) -> tuple[xr.Dataset, dict[str, str]]:
    """The dataset, and what else is missing or damaged there."""
    of_result = (path / DATA).is_dir() or CONFIG in (listed(path) or {})
    store = path / DATA if of_result else path
    if not of_result and not (store / ROOT).is_file():
        raise FileNotFoundError(
            f"{path} holds no dataset of superpose; give a result folder or a .zarr folder"
        )
    wrong = faults(path) if of_result else {}
    _check(path, {name: what for name, what in wrong.items() if name.startswith(DATA)})
    _check(store, store_faults(store))
    try:
        return _read(store), wrong
    except MemoryError:
        raise
    except Exception as error:  # Zarr and its codecs may raise anything
        at = store / (_damaged_chunk(store) or ROOT)
        raise DamagedError(f"{at} is damaged ({' '.join(str(error).split())}); {REMEDY}") from error


REMEDY = "run the experiment again"


def _check(path: Path, harm: dict[str, str]) -> None:
    if harm:
        raise DamagedError(f"{faults_in_words(path, harm)}; {REMEDY}")


def _read(store: Path) -> xr.Dataset:
    from zarr.storage import LocalStore

    whole = "consolidated_metadata" in read_json(store / ROOT)
    with xr.open_zarr(LocalStore(store, read_only=True), consolidated=whole, chunks=None) as dataset:
        return dataset.load()


def dataset_faults(store: Path) -> dict[str, str]:
    """The files of a Zarr store that are missing or damaged, found by reading all of it."""
    wrong = store_faults(store)
    if not wrong:
        try:
            _read(store)
        except MemoryError:
            raise
        except Exception:
            wrong = {_damaged_chunk(store) or ROOT: "damaged"}
    return wrong


def _seal(store: Path) -> None:
    """Put the metadata of all arrays into the root, and a hash of the root into it.

    Both stand where Zarr looks for consolidated metadata: readers open the store at once and silently.
    """
    root = read_json(store / ROOT)
    metadata = {path.parent.name: read_json(path) for path in sorted(store.glob(f"*/{ROOT}"))}
    inline = {"kind": "inline", "must_understand": False, "metadata": metadata}
    text = as_json(root | {"consolidated_metadata": inline | {SEAL: MARK}})
    write_text(text.replace(f'"{MARK}"', f'"{MARK}{_hash(text)}"'), store / ROOT)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_sealed(store: Path) -> bool:
    """Whether the store was written with checksums, even if its root has been damaged since."""
    try:
        raw = (store / ROOT).read_bytes()
    except OSError:
        return False
    return any(f'"{mark}'.encode() in raw for mark in (SEAL, MARK))


def store_faults(store: Path) -> dict[str, str]:
    """The files of a Zarr store that are missing or damaged; chunks are only counted: Zarr looks into them.

    For a store without checksums, only a root that is missing or not JSON.
    """
    root = read_json(store / ROOT)
    if not isinstance(root, dict):
        return {ROOT: "damaged" if (store / ROOT).exists() else "missing"}
    if not is_sealed(store):
        return {}
    try:
        inline = root["consolidated_metadata"]
        text = (store / ROOT).read_bytes().decode()
        unsealed = text.replace(inline[SEAL], MARK)
        if inline[SEAL] != MARK + _hash(unsealed):
            return {ROOT: "damaged"}
    except (KeyError, TypeError, ValueError):
        return {ROOT: "damaged"}
    wrong = {}
    for name, array in inline["metadata"].items():
        if not (store / name / ROOT).is_file():
            wrong[f"{name}/{ROOT}"] = "missing"
        elif read_json(store / name / ROOT) != array:
            wrong[f"{name}/{ROOT}"] = "damaged"
        wrong |= {
            f"{name}/{chunk}": "missing"
            for _, chunk in _chunks(array)
            if not (store / name / chunk).is_file()
        }
    return wrong


def faults(folder: Path) -> dict[str, str]:
    """What is missing or damaged in a result or a report, by file. In old results, as far as that can be known."""
    files = listed(folder)
    if files is None:
        return _faults_without_manifest(folder)
    wrong = {
        name: "damaged" if (folder / name).exists() else "missing"
        for name, hash in files.items()
        if not ((folder / name).is_file() and is_hash_of(folder / name, hash))
    }
    return wrong if listed(folder) == files else faults(folder)  # replaced meanwhile


def _faults_without_manifest(folder: Path) -> dict[str, str]:
    wrong = {f"{DATA}/{name}": what for name, what in dataset_faults(folder / DATA).items()}
    kinds = {CONFIG: dict, "claims.json": list, "notes.json": list}
    if (folder / DATA).is_dir() and settings(folder)[1] is None:
        kinds[PROVENANCE] = dict
    if not any((folder / name).exists() for name in (MANIFEST, *kinds)):
        return wrong  # a dataset that somebody put there
    if (folder / MANIFEST).exists():
        wrong[MANIFEST] = "damaged"
    elif is_sealed(folder / DATA):
        wrong[MANIFEST] = "missing"
    return wrong | {
        name: "damaged" if (folder / name).exists() else "missing"
        for name, kind in kinds.items()
        if not isinstance(read_json(folder / name), kind)
    }


def faults_in_words(folder: Path, wrong: dict[str, str], most: int = 3) -> str:
    """Faults in one line.

    >>> faults_in_words(Path("r"), {"a": "missing", "b": "damaged"})
    'r/a is missing, r/b is damaged'
    """
    lines = [f"{folder / name} is {what}" for name, what in list(wrong.items())[:most]]
    return ", ".join(lines) + (f", and {len(wrong) - most} more" if len(wrong) > most else "")


def _chunks(array: dict[str, Any]) -> Iterator[tuple[tuple[int, ...], str]]:
    """From an array's metadata: where each chunk is in the array, and its file."""
    sizes = array["chunk_grid"]["configuration"]["chunk_shape"]
    counts = [range(-(-n // size)) for n, size in zip(array["shape"], sizes, strict=True)]
    for at in product(*counts):
        yield at, "/".join(["c", *map(str, at)])


def _damaged_chunk(store: Path) -> str | None:
    """The first file of an array that Zarr cannot read."""
    import zarr

    for path in sorted(store.glob(f"*/{ROOT}")):
        name = path.parent.name
        try:
            array = zarr.open_array(zarr.storage.LocalStore(path.parent, read_only=True), mode="r")
            chunks = list(_chunks(read_json(path)))
        except Exception:
            return f"{name}/{ROOT}"
        for at, chunk in chunks:
            try:
                array.get_block_selection(at) if at else array[()]
            except Exception:
                return f"{name}/{chunk}"
    return None
