"""Text and JSON files, in UTF-8 on every system, and the hash that a file's content is known by."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """`value` as it would come back from JSON.

    >>> plain({"densities": (1.0, 0.1)})
    {'densities': [1.0, 0.1]}
    """
    return json.loads(json.dumps(value))


def as_json(value: Any) -> str:
    """`value` as JSON, indented.

    >>> print(as_json({"seed": 0}), end="")
    {
      "seed": 0
    }
    """
    return json.dumps(value, indent=2) + "\n"


def write_json(value: Any, path: Path) -> None:
    """A file with `value` as JSON, indented.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_json({"seed": 0}, Path(folder) / "config.json")
    ...     read_json(Path(folder) / "config.json")
    {'seed': 0}
    """
    write_text(as_json(value), path)


def write_text(text: str, path: Path) -> None:
    """A file with this text, in UTF-8 and with the same line ends everywhere."""
    path.write_bytes(as_bytes(text))


def as_bytes(text: str) -> bytes:
    """Text in UTF-8; file names may hold what is not text, which becomes "?"."""
    return text.encode("utf-8", errors="replace")


def read_json(path: Path) -> Any:
    """What the JSON file holds; None where there is no such file, or it cannot be read, or is not JSON.

    >>> print(read_json(Path("no-such-file.json")))
    None
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


def is_file(path: Path) -> bool:
    """Whether this is a file itself: neither a link to one, nor something that blocks its readers."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Everything in a folder and in those below that is not itself a folder, in order; links are not followed."""
    with os.scandir(folder) as entries:
        is_folder = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    below = [(folder / name, is_folder[name]) for name in sorted(is_folder)]
    return [file for path, has_more in below for file in (files_below(path) if has_more else [path])]
