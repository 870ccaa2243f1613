"""Putting a folder where another one is: in one step, and without touching what is the user's.

The new result is made in a workshop, a hidden folder beside its place on which its process holds a lock. At the
end the user's own files are linked into it, old and new change places in one step, and of the old one only what
is proven to be superpose's, or is in the new one too, is removed. A process that dies leaves its workshop behind,
and the kernel releases the lock: the next process that starts beside it puts things right.
"""

import ctypes
import errno
import json
import os
import secrets
import shutil
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from superpose.store._files import files_below, read_json
from superpose.store._manifest import MANIFEST, is_old, listed, own, seal

SHOP, COMMIT = ".superpose-", ".superpose.lock"
ASIDE = "set-aside"
"""Where a user's file goes if the new result needs its name."""
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
PROBE = 1 << 16
"""The bytes that must fit on the disk for the work to begin."""


def check_replaceable(path: Path) -> None:
    """Raise OSError unless a result folder can be put at `path`: free, empty, or a result already.

    FileExistsError for a folder that holds something else, NotADirectoryError where `path` is, or lies below, a file, and
    FileNotFoundError where it lies below a link to nowhere.
    """
    check_folder(path)
    check_ours(path, is_old(path))


def check_ours(path: Path, old: bool) -> None:
    """Raise FileExistsError for a folder with something in it, unless its manifest, or `old`, says that the folder is ours."""
    if path.is_dir() and any(path.iterdir()) and listed(path) is None and not old:
        raise FileExistsError(
            f"{path} holds something that superpose did not write; choose another --out, or move it away"
        )


def check_folder(path: Path) -> None:
    """Raise OSError where `path` is, or lies below, something that is not a folder."""
    for above in (path, *path.parents):
        if above.is_symlink() and not above.exists():
            raise FileNotFoundError(
                f"{above} is a link to {os.readlink(above)}, which is not there; choose another --out"
            )
        if above.exists() and not above.is_dir():
            raise NotADirectoryError(f"{above} is not a folder; choose another --out")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` when the block ends without an error.

    Until then what was at `path` stays; after an error nothing of the new folder is left. What superpose did not
    write, or what has been changed since, is kept: at its place, or, where the new folder has something of that
    name, in the new one's folder `set-aside`, with a warning. Where `path` is a link, it is followed.

    Raises OSError before the block where nothing can be put at `path`, as `check_replaceable` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replaced(Path(folder) / "result") as new:
    ...         (new / "config.json").write_text("{}", encoding="utf-8")
    ...     sorted(path.name for path in (Path(folder) / "result").iterdir())
    2
    ['config.json', 'superpose.json']
    """
    check_replaceable(path)
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    with workshop(place) as shop:
        yield shop.new
        seal(shop.new)
        with locked(place.parent / COMMIT):
            aside = _carry(place, shop.new) if place.exists() else {}
            _exchange(shop)
    if aside:
        warnings.warn(
            f"{', '.join(aside)} in {path} is not known to be as superpose wrote it, so it is kept, in "
            f"{path / next(iter(aside.values()))}",
            stacklevel=3,
        )


def abandon(new: Path) -> None:
    """Remove the new folder of `replaced` at once, for a process that ends inside its block."""
    shop = _found(new.parent)
    if shop is not None:
        with suppress(OSError):
            _settle(shop)
            _close(shop)


def recover(folder: Path) -> None:
    """Put right what was left in a folder by processes that died while they replaced something in it."""
    if not folder.is_dir():
        return
    left = [folder / name for name in os.listdir(folder) if name.startswith(SHOP)]
    if not left and not (folder / COMMIT).exists():
        return
    with suppress(OSError), locked(folder / COMMIT):
        for path in left:
            with suppress(OSError):
                _recover(path)


def _recover(path: Path) -> None:
    try:
        lock = os.open(path / "lock", os.O_RDWR | NOFOLLOW)
    except FileNotFoundError:
        path.rmdir()  # its process died before there was anything; a living one makes another
        return
    try:
        if not _lock(lock, wait=False):
            return
        shop = _found(path)
        if shop is not None:
            _settle(shop)
            _close(shop)
        elif os.fstat(lock).st_size == 0:  # its process died before it could say what it was to make
            with suppress(FileNotFoundError):
                (path / "new").rmdir()
            (path / "lock").unlink()
            path.rmdir()
    finally:
        os.close(lock)


@dataclass(frozen=True)
class _Shop:
    """Where the folder for `place` is made: `lock`, `new`, and, for systems that cannot exchange, `old`."""

    path: Path
    place: Path
    inode: tuple[int, int]
    """That of the new folder: after the exchange, another folder has its name."""
    made: int
    """How many of the folders above it were made for it."""
    lock: int
    """The open file of its lock, in the process that made it."""

    @property
    def new(self) -> Path:
        return self.path / "new"

    @property
    def old(self) -> Path:
        return self.path / "old"


@contextmanager
def workshop(place: Path) -> Iterator[_Shop]:
    """A workshop for what is to be put at `place`, for as long as the block lasts."""
    shop = _opened(place)
    try:
        yield shop
    finally:
        if fcntl is None:
            os.close(shop.lock)  # where an open file cannot be removed
        with suppress(OSError):  # what is left is put right at the next start
            with locked(place.parent / COMMIT):
                _settle(shop)
            _close(shop)
        if fcntl is not None:
            os.close(shop.lock)


def _opened(place: Path) -> _Shop:
    """A workshop beside `place`, once it is certain that what is made in it can be put at `place`."""
    parent = place.parent
    recover(parent)
    made = sum(not above.exists() for above in place.parents)
    path, lock = None, None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path, lock = _lockable(parent)
        new = path / "new"
        new.mkdir()
        shop = _Shop(path, place, _inode(new), made, lock)
        os.write(lock, json.dumps({"place": place.name, "inode": shop.inode, "made": made}).encode())
        _try(shop)
    except BaseException as error:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        _remove_empty(parent, made)
        if isinstance(error, OSError) and error.errno is not None:
            inside = str(error.filename).startswith(f"{place}{os.sep}")
            named = str(error.filename if inside else place)  # not the hidden folder
            raise OSError(error.errno, os.strerror(error.errno), named) from error
        raise
    return shop


def _inode(path: Path) -> tuple[int, int]:
    at = path.lstat()
    return at.st_dev, at.st_ino


def _lockable(parent: Path) -> tuple[Path, int]:
    """A new folder and the lock in it."""
    while True:
        path = parent / f"{SHOP}{secrets.token_hex(4)}"
        path.mkdir(mode=0o700)
        try:
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            _lock(lock)
            if (path / "lock").exists():
                return path, lock
            os.close(lock)
        except FileNotFoundError:
            continue  # another process took it for what a dead process had left
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise


def _try(shop: _Shop) -> None:
    """Raise OSError where something stands in the way of a result at the place of the workshop."""
    probe = shop.path / "probe"
    try:
        probe.mkdir()
        with (probe / "probe").open("wb") as file:
            file.write(bytes(PROBE))
        for folder in (shop.new, shop.place):
            with suppress(FileNotFoundError):  # but a path that is too long is found out
                (folder / ("x" * 100) / ("x" * 100)).lstat()
        if shop.place.exists():
            _check_same_device(shop.place, shop.inode[0])
            try:  # may it be moved? It never is: the folder it would go to is not empty.
                shop.place.rename(probe)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _check_same_device(folder: Path, device: int) -> None:
    """Raise OSError where a folder cannot be read, or something else is mounted in it."""
    if folder.stat().st_dev != device:
        raise OSError(f"another file system is mounted at {folder}; choose another --out")
    with os.scandir(folder) as entries:
        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in below:
        _check_same_device(folder / name, device)


def _carry(place: Path, new: Path) -> dict[str, str]:
    """Link what is the user's at `place` into the new folder; returns where what was set aside is."""
    ours, aside = own(place), {}
    names = sorted(set(os.listdir(place)) - ours)
    taken = set(os.listdir(new))
    for name in names:
        if name not in taken:
            _link(place / name, new / name)
    for name in names:
        if name in taken:
            kept = set_aside(new, name)
            _link(place / name, kept)
            aside[name] = kept.parent.name
    shutil.copymode(place, new)
    return aside


def set_aside(folder: Path, name: str) -> Path:
    """Where in a folder to put what has to give way to something of the same name."""
    rooms = (folder / (ASIDE if i == 1 else f"{ASIDE}-{i}") for i in range(1, sys.maxsize))
    room = next(each for each in rooms if not os.path.lexists(each) or _has_room(each, name))
    room.mkdir(exist_ok=True)
    return room / name


def _has_room(folder: Path, name: str) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not os.path.lexists(folder / name)


UNLINKABLE = (errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def _link(old: Path, new: Path) -> None:
    """Link the files to another place; those that cannot be linked are moved there after the exchange."""
    if old.is_symlink() or not old.is_dir():
        try:
            os.link(old, new, follow_symlinks=not old.is_symlink())
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
        return
    new.mkdir()
    for name in os.listdir(old):
        _link(old / name, new / name)
    shutil.copystat(old, new)
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(new, old.stat().st_uid, old.stat().st_gid)


def _exchange(shop: _Shop) -> None:
    """Put the new folder at its place, and what was there into the workshop."""
    if not shop.place.exists():
        shop.new.rename(shop.place)
    elif not swap(shop.new, shop.place):
        shop.place.rename(shop.old)
        shop.new.rename(shop.place)


def swap(one: Path, other: Path) -> bool:
    """Exchange two files or folders in one step; False where the system or the disk cannot do that."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "linux":
            here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            failed = library.renameat2(here, names[0], here, names[1], exchange)
        else:
            failed = library.renamex_np(*names, 2)  # RENAME_SWAP, of macOS
    except AttributeError:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _settle(shop: _Shop) -> None:
    """Whatever happened: leave the old or the new folder at the place, and nothing of either elsewhere."""
    for left in (shop.old, shop.new):
        if not left.is_dir():
            continue
        if _inode(left) == shop.inode:
            shutil.rmtree(left)  # it never was at the place, where all that is the user's still is
        elif os.path.lexists(shop.place):
            _sweep(left, shop.place)
        else:
            left.rename(shop.place)


def _sweep(left: Path, place: Path) -> None:
    """Remove what is left of a folder that was replaced, and bring what is the user's back to its place."""
    ours = own(left)
    there = set(map(_inode, files_below(place)))
    written = {name.split("/")[0] for name in listed(place) or {}}
    for name in sorted(os.listdir(left), key=lambda name: name == MANIFEST):  # last, as it proves the rest
        path, to = left / name, None
        is_folder = path.is_dir() and not path.is_symlink()
        for file in files_below(path) if is_folder else [path]:
            _writable(file.parent)
            if name in ours or _inode(file) in there:
                file.unlink()
            else:
                to = to or (set_aside(place, name) if name in written else place / name)
                _bring(file, to / file.relative_to(path), place)
        if is_folder:
            _remove_folders(path)
    left.rmdir()


def _bring(file: Path, to: Path, place: Path) -> None:
    """Move a file to a free path, if need be to another than `to`."""
    if os.path.lexists(to) or not _makes_way(to.parent):
        to = set_aside(place, to.name)
    file.rename(to)


def _makes_way(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return True
    return False


def _writable(folder: Path) -> None:
    if not folder.stat().st_mode & stat.S_IWUSR:
        folder.chmod(0o700)


def _remove_folders(folder: Path) -> None:
    """Remove a folder in which there are only folders."""
    _writable(folder)
    for name in os.listdir(folder):
        _remove_folders(folder / name)
    folder.rmdir()


def _close(shop: _Shop) -> None:
    """Remove a workshop that is settled, and the folders that were made above it if nothing has been put into them."""
    shutil.rmtree(shop.path / "probe", ignore_errors=True)
    (shop.path / "lock").unlink()
    shop.path.rmdir()
    _remove_empty(shop.path.parent, shop.made)


def _remove_empty(folder: Path, n: int) -> None:
    """Remove `n` folders, this one and those above it, as far as they are empty."""
    with suppress(OSError):
        for each in (folder, *folder.parents)[:n]:
            each.rmdir()


def _found(path: Path) -> _Shop | None:
    """The workshop at `path`; None where it does not describe itself."""
    note = read_json(path / "lock")
    if not (isinstance(note, dict) and set(note) == {"place", "inode", "made"}):
        return None
    return _Shop(path, path.parent / note["place"], tuple(note["inode"]), note["made"], -1)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes that use this lock; the file is gone afterwards."""
    if fcntl is None:
        yield
        return
    lock = _alone(path)
    try:
        yield
    finally:
        try:
            path.unlink()
        finally:
            os.close(lock)


def _alone(path: Path) -> int:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o666)
        try:
            _lock(lock)
            if os.fstat(lock).st_ino == path.stat().st_ino:  # not one that was removed meanwhile
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _lock(lock: int, wait: bool = True) -> bool:
    """Whether this process has the lock now, which the kernel takes back when the process ends, however it ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (
        OSError,
        AttributeError,
    ):  # another process has it, or the system or disk has no locks: then leftovers stay
        return wait
    return True
