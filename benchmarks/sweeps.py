"""What sweeps cost beside what they compute: a million models, overheads, and a hundred thousand empty chunks.

    python benchmarks/sweeps.py [million] [speedup] [overhead] [empty] [--small]

Each part prints its own table. Times are of an idle machine; ratios are measured side by side in one run.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from superpose import sweep
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput


def model(key):
    return ReluOutput.init(2, 1, key=key)


def loss(density, extra):
    return Population(Independent(density, jnp.ones(2, extra.dtype).at[1].set(extra)))


best = sweep.solved(model, loss)
every = sweep.solved(model, loss, keep="all")


def waiting(x, *, seconds=1.0):
    """A cell that keeps a core busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return {"b": x, "W": ("feature", np.zeros((len(x), 2))), "loss": x}


def empty(x, y):
    return {"loss": x + y}


class Peak:
    """The most memory that this process and its children have together, in bytes."""

    def __enter__(self):
        self.bytes, self.over = 0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()

    def _watch(self):
        while not self.over.wait(0.2):
            self.bytes = max(self.bytes, sum(map(_resident, [os.getpid(), *_below(os.getpid())])))


def _resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _below(pid):
    try:
        own = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [pid for each in own for pid in (each, *_below(each))]


def sizes(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files), len(files)


def million(root, small):
    side, seeds = (20, 20) if small else (100, 100)
    axes = {"density": np.geomspace(0.01, 1, side), "extra": np.geomspace(0.1, 10, side)}
    print(f"{side * side * seeds:,} models of 2 features in 1 dimension, exact, {os.cpu_count()} cores:\n")
    for name, cell in (("best of each cell", best), ("all kept", every)):
        folder = root / name
        with Peak() as peak:
            began = time.perf_counter()
            done = sweep.run(cell, axes, folder, seeds=seeds, progress=False)
            took = time.perf_counter() - began
        size, files = sizes(folder)
        assert bool(done.data.done.all())
        print(
            f"* {name}: {took:.0f} s, {peak.bytes / 1e9:.2f} GB, store {size / 1e6:.1f} MB in {files} files, "
            f"{sweep.plan_of(folder).n_chunks} chunks, {len(done.failed)} failed"
        )
    # The same cells, in the same chunks, by the function alone, all cores, without a store.
    plan = sweep.plan_of(root / "best of each cell")
    began = time.perf_counter()
    for place in plan.places():
        numbers, fixed = plan.arguments(place)
        best(**numbers, **fixed, seeds=seeds, key=0)
    print(f"* bare: {time.perf_counter() - began:.0f} s in one process, compiling included\n")


def speedup(root, small):
    """The same sweep by one worker, which may use all cores, by one that may use one, and by one for each core."""
    side = 24 if small else 60
    axes = {"density": np.geomspace(0.01, 1, side), "extra": np.geomspace(0.1, 10, side)}
    cores = sorted(os.sched_getaffinity(0))
    took = {}
    for name, workers, may in (
        ("one worker, one core", 1, cores[:1]),
        ("one worker, all cores", 1, cores),
        (f"{len(cores)} workers", len(cores), cores),
    ):
        os.sched_setaffinity(0, may)
        with sweep.Pool(workers) as pool:
            # Starts the workers, and compiles.
            for turn in ("first", "second"):
                began = time.perf_counter()
                sweep.run(
                    best,
                    axes,
                    root / name / turn,
                    seeds=50,
                    chunk=side * side // 16,
                    executor=pool,
                    progress=False,
                )
                took[name] = time.perf_counter() - began
        os.sched_setaffinity(0, cores)
    print(f"{side * side * 50:,} models in 16 chunks, workers and programs ready:\n")
    for name, seconds in took.items():
        print(
            f"* {name}: {seconds:.1f} s, {took['one worker, one core'] / seconds:.2f} times as fast as on one core"
        )


def overhead(root, small):
    from contextlib import nullcontext

    print("\nTime beyond the work itself, as a share of it; workers are there before:\n")
    print("| | chunks of 0.1 s | 1 s | 10 s |\n|---|---|---|---|")
    for kind in ("here", "pool", "dask"):
        with {"here": lambda: nullcontext(sweep.Here()), "pool": lambda: sweep.Pool(2), "dask": dask}[
            kind
        ]() as executor:
            workers = 1 if kind == "here" else 2
            shares = []
            for seconds in (0.1, 1.0) if small else (0.1, 1.0, 10.0):
                chunks = workers * max(2, round((5 if small else 20) / seconds))
                folder = root / f"{kind} {seconds}"
                sweep.run(
                    waiting,
                    {"x": range(chunks)},
                    folder,
                    chunk=1,
                    fixed={"seconds": 0.0},
                    executor=executor,
                    progress=False,
                )
                shutil.rmtree(folder)
                began = time.perf_counter()
                sweep.run(
                    waiting,
                    {"x": range(chunks)},
                    folder,
                    chunk=1,
                    fixed={"seconds": seconds},
                    executor=executor,
                    progress=False,
                )
                took = time.perf_counter() - began - 2 * seconds  # a first cell is tried twice
                ideal = chunks * seconds / workers
                shares.append(f"{took / ideal - 1:.1%}")
            print(f"| {kind}, {workers} worker{'s' * (workers > 1)} | {' | '.join(shares)} |", flush=True)


def dask():
    from distributed import Client

    class Executor:
        def __enter__(self):
            self.client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
            return self.client.get_executor(retries=0, pure=False)

        def __exit__(self, *_):
            self.client.shutdown()

    return Executor()


def many(root, small):
    side = 30 if small else 316
    with sweep.Pool(2) as pool:
        began, own = time.perf_counter(), time.process_time()
        sweep.run(
            empty,
            {"x": range(side), "y": range(side)},
            root / "empty",
            chunk=1,
            executor=pool,
            progress=False,
        )
        took, driver = time.perf_counter() - began, time.process_time() - own
    n = side * side
    print(
        f"\n{n:,} empty chunks: {took:.0f} s, {1e3 * took / n:.2f} ms a chunk, {1e3 * driver / n:.2f} of them the driver's"
    )
    size, files = sizes(root / "empty")
    print(f"\n* store: {size / 1e6:.1f} MB in {files:,} files")
    for what, call in (
        ("status", sweep.status),
        ("open", sweep.opened),
        ("resume, trusting", lambda folder: sweep.resume(folder, empty, trusting=True, progress=False)),
        ("resume", lambda folder: sweep.resume(folder, empty, progress=False)),
    ):
        began = time.perf_counter()
        call(root / "empty")
        print(f"* {what}: {time.perf_counter() - began:.2f} s")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["million", "speedup", "overhead", "empty"])
    parser.add_argument("--small", action="store_true", help="a minute instead of many")
    asked = parser.parse_args()
    parts = {"million": million, "speedup": speedup, "overhead": overhead, "empty": many}
    print("## Sweeps\n")
    for name in asked.parts:
        with tempfile.TemporaryDirectory() as root:
            parts[name](Path(root), asked.small)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
