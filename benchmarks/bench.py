"""All benchmarks, one after the other, into benchmarks/README.md: `make bench`.

Each script of this folder prints its section. Run it on an idle machine; it takes about an hour and a quarter.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
SCRIPTS = ("diagrams", "sampled", "dstar", "scaling", "series", "compiling", "dictionaries", "sweeps")


def processor() -> str:
    told = Path("/proc/cpuinfo")
    names = (
        [line for line in told.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if told.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def main() -> None:
    sections = [
        "# Benchmarks\n",
        "Written by `make bench`. Both sides of a pair run by turns in one go, on all cores; a ratio is that of their "
        "medians or the median of the turns' ratios.\n",
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()}. Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("jax", "torch", "occhio"))
        + ".\n",
    ]
    for name in SCRIPTS:
        print(f"{name} ...", flush=True)
        # No compiled programs from before: what is timed includes compilation where it says so.
        told = subprocess.run(
            [sys.executable, FOLDER / f"{name}.py"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        print(told, flush=True)
        sections.append(told)
    (FOLDER / "README.md").write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
