"""Files in a folder that also holds the user's: each is replaced in one step, and only if superpose wrote it."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from superpose.store._files import as_bytes, as_json, is_file
from superpose.store._manifest import MANIFEST, is_as_listed, listed, manifest
from superpose.store._replace import COMMIT, UNLINKABLE, check_folder, locked, set_aside, workshop


def _nothing(path: Path) -> bool:
    return False


def check_puttable(names: Iterable[str], folder: Path, is_ours: Callable[[Path], bool] = _nothing) -> None:
    """Raise OSError where one of these files in the folder is not what superpose wrote there: FileExistsError.

    `is_ours` says which files without a manifest superpose wrote. Where the folder itself cannot be one, it is the
    NotADirectoryError or FileNotFoundError of `check_replaceable`.
    """
    check_folder(folder)
    files = listed(folder)
    if files is None and os.path.lexists(folder / MANIFEST):
        raise FileExistsError(f"{folder / MANIFEST} is damaged, or not superpose's; move it away")
    for name in names:
        path = folder / name
        if os.path.lexists(path) and name not in (files or {}) and not (is_file(path) and is_ours(path)):
            raise FileExistsError(
                f"{path} was not written by superpose; choose another --out, or move it away"
            )


def put(texts: Mapping[str, str], folder: Path, is_ours: Callable[[Path], bool] = _nothing) -> None:
    """Write these files into the folder, each whole or not at all, and a manifest that says whose they are.

    A file of superpose's that has been changed since is kept in `set-aside`. Raises OSError as `check_puttable` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     put({"index.html": "<p>one</p>"}, Path(folder))
    ...     put({"index.html": "<p>two</p>"}, Path(folder))
    ...     (Path(folder) / "index.html").read_text(encoding="utf-8")
    '<p>two</p>'
    """
    check_puttable(texts, folder, is_ours)
    with workshop(folder / "pages") as shop:
        hashes = {}
        for name, text in texts.items():
            (shop.new / name).write_bytes(as_bytes(text))
            hashes[name] = hashlib.sha256(as_bytes(text)).hexdigest()
        with locked(folder / COMMIT):
            check_puttable(texts, folder, is_ours)
            before = listed(folder) or {}
            # While files change, the old and the new ones are superpose's.
            either = {name: f"{before.get(name, '')} {hash}".strip() for name, hash in hashes.items()}
            _put_manifest(before | either, shop.new, folder)
            aside = [_put(shop.new / name, folder / name, before) for name in texts]
            _put_manifest(before | hashes, shop.new, folder)
    for path in filter(None, aside):
        warnings.warn(
            f"{path.name} in {folder} is not known to be as superpose wrote it, so it is kept, at {path}",
            stacklevel=2,
        )


def _put_manifest(files: Mapping[str, str], new: Path, folder: Path) -> None:
    (new / MANIFEST).write_bytes(as_bytes(as_json(manifest(files))))
    (new / MANIFEST).replace(folder / MANIFEST)


def _put(new: Path, place: Path, before: Mapping[str, str]) -> Path | None:
    """Put a file at its place; returns where the user's file that was there is now, if there was one."""
    if not os.path.lexists(place):
        try:
            os.link(new, place)  # fails where a file appears now
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            new.replace(place)
        return None
    kept = None
    if not is_as_listed(place, place.parent, before):
        kept = set_aside(place.parent, place.name)
        place.rename(kept)
    new.replace(place)
    return kept
