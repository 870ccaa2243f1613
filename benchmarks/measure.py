"""`superpose measure` on random vectors in a file: seconds, peak memory, and its numbers beside theory.

Entries are normal with variance 1 / m, so that lengths are near 1. The file, and no more, takes `4 n m` bytes of disk:

    python benchmarks/measure.py            # 50,000 vectors in 4,096 dimensions, 0.8 GB
    python benchmarks/measure.py 5000 512
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

RUN = "import sys; from superpose.cli import main; sys.exit(main(sys.argv[1:]))"


def write(path, n, m, rows=2048):
    """Random vectors in rows, drawn and written block by block."""
    rng = np.random.default_rng(0)
    made = np.lib.format.open_memmap(path, "w+", np.float32, (n, m))
    for at in range(0, n, rows):
        block = made[at : at + rows]
        block[:] = rng.standard_normal(block.shape, np.float32) / np.float32(m**0.5)
    made.flush()


def main(n=50_000, m=4096):
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "random.npy", Path(folder) / "measured.json"
        write(path, n, m)
        command = [sys.executable, "-c", RUN, "measure", str(path), "--layout", "rows", "--out", str(out)]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        numbers = json.loads(out.read_text(encoding="utf-8"))["numbers"]
    print(f"{n:,} vectors in {m:,} dimensions: {seconds:.0f} s, peak memory {peak / 1e9:.2f} GB")
    error = (2 / (n * m)) ** 0.5
    star = numbers["dimensions_per_feature"]["here"] * n / m
    print(f"D* over m / n: {star:.6f}, by theory 1 with a standard deviation of {error:.6f}")
    for name in ("coherence", "tightness", "dimensionality_mean", "nearest_median", "participation"):
        number = numbers[name]
        between = " to ".join(f"{each:.6g}" for each in number["between"] or [])
        print(
            f"{name}: {number['here']:.6g}, by theory {number['random']:.6g}{f' ({between})' if between else ''}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
