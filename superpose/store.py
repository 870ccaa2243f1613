"""Datasets and results to and from disk: whole or not at all, and read without executing code."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

MARK = "config.json"
"""Every result folder holds this file; a folder without it was not written by superpose."""


def save(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset as a Zarr store. Raises FileExistsError where something is there already."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already; choose another place or remove it")
    # Zarr's format knows text of any length, but not yet text of one length.
    texts = {name: v.astype(object) for name, v in dataset.variables.items() if v.dtype.kind == "U"}
    dataset.assign(texts).to_zarr(path, mode="w", consolidated=False)


def load(path: str | Path) -> xr.Dataset:
    """The dataset at `path`, a Zarr store, or in the result folder `path`, in memory.

    Raises FileNotFoundError where there is none.
    """
    path = Path(path)
    store = path / "data.zarr" if (path / "data.zarr").is_dir() else path
    if not (store / "zarr.json").is_file():
        raise FileNotFoundError(
            f"{path} holds no dataset of superpose; give a result folder or a .zarr folder"
        )
    with xr.open_zarr(store, consolidated=False) as dataset:
        return dataset.load()


def plain(value: Any) -> Any:
    """`value` as it would come back from JSON.

    >>> plain({"densities": (1.0, 0.1)})
    {'densities': [1.0, 0.1]}
    """
    return json.loads(json.dumps(value))


def write_json(value: Any, path: Path) -> None:
    """`value` as JSON, indented."""
    write_text(json.dumps(value, indent=2) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """A file with this text, whole or not at all: until it is, what was at `path` stays."""
    new = path.with_name(f".{path.name}-new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """What the JSON file holds; None where there is no such file, or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def check_replaceable(path: Path) -> None:
    """Raise OSError unless a result folder can be put at `path`: free, or a result already."""
    for above in (path, *path.parents):
        if above.exists() and not above.is_dir():
            raise NotADirectoryError(f"{above} is not a folder; choose another --out")
    if path.exists() and any(path.iterdir()) and not (path / MARK).is_file():
        raise FileExistsError(
            f"{path} holds something that superpose did not write; choose another --out, or move it away"
        )


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` when the block ends without an error.

    Until then what was at `path` stays; after an error nothing of the new folder is left.
    """
    check_replaceable(path)
    made = next((above for above in reversed((path, *path.parents)) if not above.exists()), None)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    old = new.with_name(f"{new.name}-old")
    try:
        yield new
        new.chmod(0o777 & ~_umask())
        if path.exists():
            path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        if made is not None and not path.exists():
            _remove_empty(made, path.parent)
        raise


def _remove_empty(top: Path, bottom: Path) -> None:
    for folder in (bottom, *bottom.parents):
        if not folder.is_relative_to(top):
            return
        try:
            folder.rmdir()
        except OSError:
            return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
