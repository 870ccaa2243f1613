"""Kills a driver before and after every file that it puts into place, and at moments in between; prints what became of it.

Each try is a process of its own, made by `fork` before anything that has threads is imported in earnest.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import xarray as xr

from superpose import sweep
from superpose.sweep import _source

AXES = {"x": range(4), "y": [0.5, 1.5], "n": [2, 3]}


def main(root: Path) -> None:
    cheap = _source.module_of(Path(__file__).parent / "cheap.py")
    xr.Variable("x", [0.0])  # what it imports for its first array takes a second, each time

    def run(folder):
        sweep.run(
            cheap.cell, AXES, folder, chunk=4, fixed={"slow": 0.002}, executor=sweep.Here(), progress=False
        )

    def resume(folder):
        try:
            sweep.resume(folder, cheap.cell, executor=sweep.Here(), progress=False)
        except FileNotFoundError:  # it ended before there was a plan
            run(folder)

    began = time.monotonic()
    in_child(run, root / "whole")
    took = time.monotonic() - began
    whole = content(root / "whole")
    puts = int(in_child(counting(run, root / "count"), root / "whole2"))
    result = {"puts": puts, "tried": 0, "lost": [], "begun again": 0}
    kinds = [("before", n) for n in range(puts)] + [("after", n) for n in range(puts)]
    rng = random.Random(0)
    kinds += [("at", rng.uniform(0.2 * took, took)) for _ in range(20)]
    for at, (kind, when) in enumerate(kinds):
        folder = root / f"{at}"
        killed(run, folder, kind, when)
        in_child(resume, folder)
        result["tried"] += 1
        if content(folder) != whole:
            result["lost"].append((kind, when))
    print(json.dumps(result))


def in_child(does, folder) -> str:
    """What it says on standard output; raises if it fails."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        try:
            does(folder)
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{does} failed in {folder}")
    return text


def counting(run, _):
    def does(folder):
        puts = []
        watched(lambda before: puts.append(before))
        run(folder)
        print(sum(puts))

    return does


def watched(heard) -> None:
    """Call `heard` before and after every file is put into its place."""
    for name in ("replace", "link"):
        real = getattr(os, name)

        def instead(*args, real=real, **kwargs):
            heard(True)
            done = real(*args, **kwargs)
            heard(False)
            return done

        setattr(os, name, instead)


def killed(run, folder, kind, when) -> None:
    pid = os.fork()
    if pid == 0:
        os.close(1)
        left = [when]

        def heard(before):
            if kind == ("before" if before else "after"):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

        if kind != "at":
            watched(heard)
        run(folder)
        os._exit(0)
    if kind == "at":
        time.sleep(when)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
