"""Manifests: what superpose wrote into a folder, by name and hash. Only that is its own."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import superpose
from superpose.store._files import files_below, is_file, read_json, sha256, write_json

MANIFEST = "superpose.json"
"""What superpose wrote into a folder: the names and hashes of its files."""
CONFIG, PROVENANCE = "config.json", "provenance.json"
"""Files of a result: its settings; and the versions, the code and the seconds that made it."""
_SAID = (
    "Written by superpose, with the SHA-256 of each file; a file that is not as it says here is the user's."
)


def manifest(files: Mapping[str, str]) -> dict[str, object]:
    """The manifest of files with these hashes, including a hash of itself."""
    return {
        "what": _SAID, "superpose": superpose.__version__, "format": 1,
        "files": dict(files), "sha256": _hash(files),
    }  # fmt: skip


def _hash(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def seal(folder: Path) -> None:
    """Write the manifest of all files in a folder that superpose made."""
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in files_below(folder)}
    write_json(manifest(files), folder / MANIFEST)


def listed(folder: Path) -> dict[str, str] | None:
    """The files that superpose wrote into a folder, with their SHA-256; None without an intact manifest.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "notes.txt").write_text("mine", encoding="utf-8")
    ...     print(listed(Path(folder)))
    4
    None
    """
    read = read_json(folder / MANIFEST) if is_file(folder / MANIFEST) else None
    if not isinstance(read, dict) or set(read) != set(manifest({})):
        return None
    files = read["files"]
    named = isinstance(files, dict) and all(isinstance(value, str) for value in files.values())
    return files if named and read["sha256"] == _hash(files) else None


def settings(folder: Path) -> tuple[Any, Any]:
    """A result's settings and how it was made: `versions`, `code`, `seconds` and `drawn_by`."""
    config = read_json(folder / CONFIG)
    if isinstance(config, dict) and set(config) - {"drawn_by"} == {"config", "versions", "code", "seconds"}:
        return config["config"], config  # version 0.1 had one file for both
    return config, read_json(folder / PROVENANCE)


def is_old(folder: Path) -> bool:
    """Whether the folder is a result without a manifest, as version 0.1 wrote them: its keys are exactly ours."""
    config, made = settings(folder)
    return (
        isinstance(config, dict)
        and isinstance(made, dict)
        and set(made) - {"config", "drawn_by"} == {"versions", "code", "seconds"}
        and isinstance(made["versions"], dict)
        and {"superpose", "jax", "python"} <= set(made["versions"])
    )


def own(folder: Path) -> set[str]:
    """The names in a folder whose whole content is proven to be as superpose wrote it."""
    files = listed(folder)
    if files is None:
        return set()
    return {MANIFEST} | {
        name
        for name in {path.split("/")[0] for path in files}
        if all(is_as_listed(path, folder, files) for path in _all_of(folder / name))
    }


def _all_of(path: Path) -> list[Path]:
    return files_below(path) if path.is_dir() and not path.is_symlink() else [path]


def is_as_listed(path: Path, folder: Path, files: Mapping[str, str]) -> bool:
    """Whether the file itself, and no link to it, is one of those that a manifest of the folder lists."""
    name = path.relative_to(folder).as_posix()
    return name in files and is_file(path) and is_hash_of(path, files[name])


def is_hash_of(path: Path, hashes: str) -> bool:
    """Whether the file has this hash, or one of these: while files are replaced, old and new ones are right.

    A file that cannot be read does not.
    """
    try:
        return sha256(path) in hashes.split()
    except OSError:
        return False
