"""Sweeps whose processes are killed, whose disks are full, and whose files are damaged: nothing is lost, nothing differs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from superpose import sweep
from superpose.sweep import _disk, _source

HERE = Path(__file__).parent / "sweeps"
cheap = _source.module_of(HERE / "cheap.py")
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from superpose.cli import main; sys.exit(main(sys.argv[1:]))",
    "sweep",
]
SLOW = """
import time

import numpy as np

AXES = {"x": range(24), "y": [0.5, 1.5]}


def cell(x, y):
    time.sleep(0.05 * len(x))
    return {"W": ("feature", np.sin(x[:, None] * np.arange(1, 4))), "loss": x + y}
"""


def content(folder):
    """Every file of a sweep but its plan, and the copy of it, which say where the code was."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _disk.PLAN and path != folder / "data.zarr" / "zarr.json"
    }


@pytest.fixture
def slow(tmp_path):
    """A file with cells that take a twentieth of a second each, and what a sweep of them is when nothing happens."""
    (tmp_path / "cells.py").write_text(SLOW)
    module = _source.module_of(tmp_path / "cells.py")
    sweep.run(module.cell, module.AXES, tmp_path / "whole", chunk=4, executor=sweep.Here(), progress=False)
    return tmp_path


def begun(folder, *more, **kwargs):
    """The command at work on `cells.py`; as a group of its own, so that Ctrl-C can be sent to all of it."""
    command = [*COMMAND, "cells.py", "--out", "s", "--chunk", "4", "--workers", "2", *more]
    return subprocess.Popen(
        command,
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **kwargs,
    )


def until(n, folder, process=None):
    """Wait until `n` chunks are done."""
    for _ in range(1200):
        try:
            there = len(_disk.present(folder, _disk.plan_of(folder)))
        except FileNotFoundError:
            there = 0
        if there >= n:
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate())
        time.sleep(0.05)
    raise AssertionError("it takes too long")


def resumed(folder):
    done = sweep.resume(folder / "s", executor=sweep.Here(), progress=False)
    assert done.data.done.all()
    assert content(folder / "s") == content(folder / "whole")


def test_a_driver_killed_at_any_moment_loses_nothing(tmp_path):
    command = [sys.executable, str(HERE / "kills.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    told = json.loads(done.stdout)
    assert told["tried"] == 2 * told["puts"] + 20
    assert told["lost"] == []


@pytest.mark.parametrize(
    "signals", [[signal.SIGKILL], [signal.SIGTERM], [signal.SIGINT], [signal.SIGINT] * 2]
)
def test_a_pool_ends_with_its_driver(slow, signals):
    process = begun(slow)
    until(2, slow / "s", process)
    before = len(_disk.present(slow / "s", _disk.plan_of(slow / "s")))
    for each in signals:
        process.send_signal(each)
        time.sleep(0.1)
    asked = time.monotonic()
    out, err = process.communicate(timeout=60)
    if signals == [signal.SIGTERM]:
        assert time.monotonic() - asked < 5  # as much as clusters give
    expected = {signal.SIGKILL: -9, signal.SIGTERM: -15, signal.SIGINT: 130}[signals[0]]
    assert process.returncode == expected
    if signals == [signal.SIGINT]:
        assert "the chunks at work are being finished" in err
        assert "go on with superpose sweep resume s" in out
        assert len(_disk.present(slow / "s", _disk.plan_of(slow / "s"))) >= before + 1
    time.sleep(0.5)
    workers = [
        pid
        for pid in os.listdir("/proc")
        if pid.isdigit() and f"{slow}" in _environ(pid) and "spawn_main" in _command(pid)
    ]
    assert workers == []
    resumed(slow)


def _environ(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_worker_that_dies_is_replaced_and_its_chunk_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_MARKER", str(tmp_path / "marker"))
    axes = {"x": range(6), "y": [1.0, 2.0]}
    with sweep.Pool(2) as pool:
        done = sweep.run(cheap.dying_once, axes, tmp_path / "s", chunk=2, executor=pool, progress=False)
    assert (tmp_path / "marker").exists()
    assert done.failed == {}
    np.testing.assert_array_equal(done.data.loss, np.outer(range(6), [1.0, 2.0]))


def test_a_chunk_whose_workers_always_die_is_recorded_and_the_rest_goes_on(tmp_path):
    axes = {"x": range(6), "y": [1.0, 2.0]}
    with sweep.Pool(2) as pool:
        done = sweep.run(cheap.dying, axes, tmp_path / "s", chunk=2, executor=pool, progress=False)
    assert list(done.failed) == ["x=2, y=1, 2"] or len(done.failed) == 1
    assert "it died 4 times" in next(iter(done.failed.values()))
    assert int(done.data.done.sum()) == 10


def test_a_cell_that_hangs_is_given_up(tmp_path):
    axes = {"x": range(6), "y": [1.0]}
    with sweep.Pool(2, timeout=3) as pool:
        done = sweep.run(cheap.hanging, axes, tmp_path / "s", chunk=1, executor=pool, progress=False)
    assert done.failed == {"x=2, y=1": "it took longer than 3 s"}
    assert int(done.data.done.sum()) == 5


def test_a_cell_that_hangs_when_it_is_tried_first_is_no_end(tmp_path):
    with sweep.Pool(1, timeout=2) as pool:
        done = sweep.run(
            cheap.hanging,
            {"x": [2, 1, 0], "y": [1.0]},
            tmp_path / "s",
            chunk=1,
            executor=pool,
            progress=False,
        )
    assert done.failed == {"x=2, y=1": "it took longer than 2 s"}
    assert done.data.done.values.ravel().tolist() == [False, True, True]


def test_a_cell_that_takes_all_memory_fails_alone(tmp_path):
    axes = {"x": range(6), "y": [1.0]}
    with sweep.Pool(2) as pool:
        done = sweep.run(cheap.huge, axes, tmp_path / "s", chunk=3, executor=pool, progress=False)
    assert list(done.failed) == ["x=2, y=1"]
    assert "MemoryError" in done.failed["x=2, y=1"]
    assert int(done.data.loss.notnull().sum()) == 5


def test_two_drivers_and_four_shards_on_one_store_are_one_sweep(slow):
    first = begun(slow)
    until(1, slow / "s", first)
    others = [begun(slow)] + [
        subprocess.Popen(
            [*COMMAND, "resume", "s", "--shard", f"{k}/4", "--workers", "1"],
            cwd=slow,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in (1, 2, 3, 4)
    ]
    for process in (first, *others):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
    assert content(slow / "s") == content(slow / "whole")


@contextmanager
def small_disk(at, size):
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def fill(file):
    """Take all the room of a disk."""
    to = os.open(file, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(to, b"x" * 1024)
    with suppress(OSError):
        os.close(to)


def test_a_full_disk_is_said_and_gone_on_after(slow):
    with small_disk(slow / "disk", "1m") as disk:
        (slow / "s").symlink_to(disk)
        process = begun(slow)
        until(2, disk, process)
        filler = disk / "filler"
        fill(filler)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2, (out, err)
        assert "no room to write the sweep" in err
        assert "Traceback" not in err
        filler.unlink()
        resumed(slow)


def test_a_store_on_a_read_only_disk_opens(slow):
    with small_disk(slow / "disk", "4m") as disk:
        subprocess.run(["cp", "-r", f"{slow}/whole/.", str(disk)], check=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert sweep.opened(disk).load().identical(sweep.opened(slow / "whole").load())
        assert sweep.status(disk).cells == 48
        assert sweep.verified(disk, progress=False) == {}


def test_a_clock_that_was_set_back_disturbs_nothing(slow):
    (slow / "s").mkdir()
    subprocess.run(["cp", "-r", f"{slow}/whole/.", str(slow / "s")], check=True)
    plan = _disk.plan_of(slow / "s")
    files = [slow / "s" / _disk.chunk_file(plan, plan.last, place) for place in plan.places()]
    for file in files[:3]:
        os.utime(file, (4e9, 4e9))  # from the future
    files[3].unlink()
    now = sweep.status(slow / "s")
    assert now.since == 0
    assert now.rate > 0
    resumed(slow)


def test_an_executor_of_the_standard_library_that_breaks_is_said(tmp_path):
    axes = {"x": range(6), "y": [1.0]}
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        pytest.raises(sweep.StoppedError, match="the executor"),
    ):
        sweep.run(cheap.dying, axes, tmp_path / "s", chunk=2, executor=pool, progress=False)
    assert sweep.resume(tmp_path / "s", cheap.dying, other_code=True, failed=True) is not None


@contextmanager
def cluster(at, workers=2):
    """A scheduler, and workers each with a nanny, as processes of their own; yields the address and the processes."""
    file = at / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": at}
    scheduler = subprocess.Popen(
        [
            *dask[:2],
            "distributed.cli.dask_scheduler",
            "--scheduler-file",
            str(file),
            "--port",
            "0",
            "--no-dashboard",
        ],
        **quiet,
    )
    for _ in range(600):
        if file.exists():
            break
        time.sleep(0.05)
    nodes = [
        subprocess.Popen(
            [
                *dask[:2],
                "distributed.cli.dask_worker",
                "--scheduler-file",
                str(file),
                "--nthreads",
                "1",
                "--no-dashboard",
            ],
            start_new_session=True,
            **quiet,
        )
        for _ in range(workers)
    ]
    try:
        yield json.loads(file.read_text())["address"], scheduler, nodes
    finally:
        for process in (scheduler, *nodes):
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if process in nodes else process.kill()
            process.wait()


def children(pid):
    """The processes that a process started, and theirs."""
    own = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(each) for each in own.read_text().split()] if own.exists() else []
    return [pid for each in found for pid in (each, *children(each))]


def test_dask_gives_the_same_bytes_whatever_dies(slow):
    pytest.importorskip("distributed")
    with cluster(slow) as (address, scheduler, nodes):

        def at_work(n):
            command = [*COMMAND, "cells.py", "--out", "s", "--chunk", "4", "--on", address]
            process = subprocess.Popen(
                command, cwd=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            until(n, slow / "s", process)
            return process

        # A worker, whose nanny starts another, and then a whole node.
        process = at_work(2)
        for pid in children(nodes[0].pid):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until(5, slow / "s", process)
        os.killpg(nodes[1].pid, signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, ""), out
        assert content(slow / "s") == content(slow / "whole")
        shutil.rmtree(slow / "s")
        # The scheduler.
        process = at_work(2)
        scheduler.kill()
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2, (out, err)
        assert err.startswith("superpose: the executor")
        assert err.count("\n") == 1
    resumed(slow)
