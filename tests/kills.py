"""Kills a process before every file-system call of a save, one after the other, and looks at what is left.

Run by tests/test_store.py in a process of its own, which has no JAX, so that forking it is safe and quick:
`python tests/kills.py FOLDER SCENARIO ...` prints how many processes were killed, or met an error.
"""

import errno
import gc
import io
import os
import resource
import shutil
import signal
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import xarray as xr

from superpose import store
from superpose.store import _replace

CALLS = {
    "ctypes.dlsym", "fcntl.flock", "open", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename",
    "os.rmdir", "os.symlink", "os.utime",
}  # fmt: skip
"""What Python tells its audit hooks before it changes something on disk; the exchange is found by `dlsym`."""


def save(place, number, data=False):
    with store.replaced(place) as new:
        if data:
            store.save(xr.Dataset({"x": ("point", np.full(3, float(number)))}), new / "data.zarr")
        (new / "config.json").write_text(str(number))
        (new / "figure.png").write_text(f"figure {number}")


def dies_at(n, act) -> bool:
    """Whether `act`, in a process that is killed before its n-th call, gets so far."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    return in_child(lambda: at_call(n, die, act)) == -signal.SIGKILL


def fails_at(n, act, error) -> bool:
    """Whether `act`, of which the n-th call fails, gets so far. Nothing but this error may come of that."""
    failed = []

    def fail():
        failed.append(n)
        raise error

    def attempt():
        with suppress(type(error)):
            at_call(n, fail, act)
        os._exit(3 if failed else 0)

    return in_child(attempt) == 3


def in_child(act) -> int:
    """How a process ended that does `act`: its exit status, or minus the signal that killed it."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status != 1, "an error where there should be none"
    return status


def at_call(n, do, act):
    """`act`, and before its n-th call that changes something on disk `do`."""
    left, lock = n, threading.Lock()

    def count():
        nonlocal left
        with lock:
            left -= 1
        if left == 0:
            do()

    def watch(event, _):
        if event in CALLS:
            count()

    def opened(*args, real=io.open, **settings):
        file = real(*args, **settings)
        count()  # there is an empty file now
        return file

    def written(*args, real=os.write):
        count()
        return real(*args)

    io.open, os.write = opened, written
    sys.addaudithook(watch)
    act()


MINE = {"notes.txt": "what I thought of it", "mine/deep/a": "a"}
"""The user's own files in the result."""


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "data.zarr" not in path.parts and path.name != store.MANIFEST
    }


OLD = MINE | {"config.json": "1", "figure.png": "annotated"}
NEW = MINE | {"config.json": "2", "figure.png": "figure 2", "set-aside/figure.png": "annotated"}


def prepared(folder, data=False):
    """A result with files of the user's own, and a figure that was edited."""
    made = folder.parent / f"with-data-{data}"
    if not made.exists():
        save(made / "r", 1, data)
        for name, text in MINE.items():
            (made / "r" / name).parent.mkdir(parents=True, exist_ok=True)
            (made / "r" / name).write_text(text)
        (made / "r" / "figure.png").write_text("annotated")
    shutil.copytree(made, folder)


def start_again(work):
    store.recover(work)
    assert os.listdir(work) in ([], ["r"]), os.listdir(work)


def is_old_or_new(place, besides=()):
    found = {name: text for name, text in contents(place).items() if name not in besides}
    new = found["config.json"] == "2"
    assert found == (NEW if new else OLD), found
    assert store.faults(place) == ({} if new else {"figure.png": "damaged"})
    if (place / "data.zarr").exists():
        assert store.load(place).x.values.tolist() == [1 + new] * 3


def first(folder, n):
    """A first result: none, or a whole one."""
    folder.mkdir()
    died = dies_at(n, lambda: save(folder / "a" / "r", 1))
    if (folder / "a" / "r").exists():
        assert not store.faults(folder / "a" / "r")
    if (folder / "a").exists():
        start_again(folder / "a")
    return died


def second(folder, n):
    """A second result: the old or the new one, whole and at once, with all that is the user's."""
    prepared(folder, data=True)
    died = dies_at(n, lambda: save(folder / "r", 2, data=True))
    is_old_or_new(folder / "r")
    start_again(folder)
    is_old_or_new(folder / "r")
    return died


def without_exchange(folder, n):
    """The same where the system cannot exchange: what is missing comes back at the next start."""
    with patch.object(_replace, "swap", lambda one, other: False):
        return _in_the_end(folder, n)


def without_links(folder, n):
    """The same where the disk has no links: what is the user's is at its place again after the next start."""
    with patch.object(os, "link", side_effect=PermissionError(errno.EPERM, "no links")):
        return _in_the_end(folder, n)


def _in_the_end(folder, n):
    prepared(folder)
    died = dies_at(n, lambda: save(folder / "r", 2))
    start_again(folder)
    is_old_or_new(folder / "r")
    return died


def recovering(folder, n):
    """The process that puts things right is killed too, at whatever was left by the first."""
    prepared(folder)

    def save_and_stop():
        _replace._settle = lambda shop: os.kill(os.getpid(), signal.SIGKILL)
        save(folder / "r", 2)

    assert dies_at(10**6, save_and_stop)
    died = dies_at(n, lambda: store.recover(folder))
    is_old_or_new(folder / "r")
    start_again(folder)
    assert contents(folder / "r") == NEW
    return died


def pages(folder, n):
    """Pages of a report, of which one was edited."""
    folder.mkdir()
    store.put({"index.html": "page 1", "report.json": "1"}, folder)
    (folder / "report.json").write_text("edited")
    died = dies_at(n, lambda: store.put({"index.html": "page 2", "report.json": "2"}, folder))
    assert (folder / "index.html").read_text() in ("page 1", "page 2")
    store.put({"index.html": "page 3", "report.json": "3"}, folder)
    assert contents(folder) == {"index.html": "page 3", "report.json": "3", "set-aside/report.json": "edited"}
    return died


def failing(folder, n, error=OSError(errno.ENOSPC, "the disk is full")):
    """A call fails, once: after that too there is the old or the new result."""
    prepared(folder)
    failed = fails_at(n, lambda: save(folder / "r", 2), error)
    unread = ["set-aside/config.json"]  # what could not be read is not proven to be superpose's
    is_old_or_new(folder / "r", unread)
    start_again(folder)
    is_old_or_new(folder / "r", unread)
    return failed


def interrupted(folder, n):
    """Ctrl-C before a call."""
    return failing(folder, n, KeyboardInterrupt())


SIZES = (0, 1, 2, 50, 100, 200, 300, 400, 800, 65535, 65536)


def full(folder, n):
    """No file may have more than so many bytes, as on a disk with a quota."""
    if n > len(SIZES):
        return False
    prepared(folder, data=True)

    def save_within():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZES[n - 1], resource.RLIM_INFINITY))
        try:
            save(folder / "r", 2, data=True)
        except OSError:
            os._exit(3)

    told = in_child(save_within)
    assert os.listdir(folder) == ["r"]
    is_old_or_new(folder / "r")
    assert contents(folder / "r") == (OLD if SIZES[n - 1] < 65536 else NEW)
    assert told == (3 if SIZES[n - 1] < 65536 else 0)
    return True


def together(folder, n):
    """Two processes save to one place, and a third reads."""
    if n > 3:
        return False
    save(folder / "r", 1, data=True)
    (folder / "r" / "notes.txt").write_text("mine")
    writers = []
    for number in (1, 2):
        child = os.fork()
        if not child:
            with suppress(BaseException):
                for _ in range(4):
                    save(folder / "r", number, data=True)
                os._exit(0)
            os._exit(1)
        writers.append(child)
    while writers:
        values = store.load(folder / "r").x.values.tolist()
        assert values in ([1.0] * 3, [2.0] * 3), values
        assert (folder / "r" / "notes.txt").read_text() == "mine"
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended:
            assert status == 0
            writers.remove(ended)
    start_again(folder)
    assert set(os.listdir(folder / "r")) == {
        "config.json",
        "data.zarr",
        "figure.png",
        "notes.txt",
        store.MANIFEST,
    }
    assert not store.faults(folder / "r")
    return True


SCENARIOS = {
    f.__name__: f
    for f in (
        first,
        second,
        without_exchange,
        without_links,
        recovering,
        pages,
        failing,
        interrupted,
        full,
        together,
    )
}


def main(folder, *scenarios):
    """Say of each scenario how many kills there were until its process came to its end."""
    warnings.simplefilter("ignore")
    prepared(folder / "warm", data=True)  # so that children import nothing
    gc.freeze()
    for name in scenarios:
        n = 1
        while SCENARIOS[name](folder / f"{name}-{n}", n):
            shutil.rmtree(folder / f"{name}-{n}")
            n += 1
        print(name, n - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
