"""Single files, written whole or not at all, in the place of nothing but files of ours."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from superpose.interrupts import leaving_at_once


@contextmanager
def replaced(path: str | Path, ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A new file beside `path`, which takes its place when the block ends without an error.

    `ours` says of a file that is there whether we wrote it; that it cannot be read means that we did not. Raises
    FileExistsError where we did not, IsADirectoryError for a folder, and OSError, with the name of `path`, where the file cannot be
    written.
    """
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file")
    if place.exists():
        known = False
        with suppress(ValueError, OSError):
            known = place.is_file() and ours(place)
        if not known:
            raise FileExistsError(
                f"{path} is there already, and superpose did not write it; give another file, or move it away"
            )
    new = place.with_name(f".{secrets.token_hex(8)}{place.suffix}")
    with leaving_at_once(partial(new.unlink, missing_ok=True)):
        try:
            yield new
            new.replace(place)
        except OSError as error:
            # What is said of another file stays as it is said.
            if error.errno is not None and error.filename in (None, str(new), new):
                error.filename = str(path)
            raise
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)
