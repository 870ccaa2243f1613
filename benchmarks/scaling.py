"""How cost grows: with members, with features, memory, compilation, devices.

Draws benchmarks/scaling.png and prints a section of benchmarks/README.md:

    python benchmarks/scaling.py
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from superpose import grid, plot
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit, minimize

BATCH = 1024
COMMAND = "import sys; from superpose.cli import main; sys.exit(main())"
MEMBERS = [1, 10, 100, 1_000, 10_000, 100_000]
FEATURES = [2, 5, 10, 20, 50, 100, 200, 500, 1000]
PICTURE = Path(__file__).with_name("scaling.png")


def losses(kind, members, n):
    """One law for each member, densities from 0.01 to 1."""
    return grid.each(lambda p: kind(Independent(p, n_features=n)), np.logspace(-2, 0, members))


def networks(members, n, m):
    return ensemble(lambda key: ReluOutput.init(n, m, key=key), members=members, key=jax.random.key(0))


def seconds(work, repeats=3):
    """The median of several runs, after one that compiles; and the first run's."""
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(work())
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:]), taken[0]


def solve(members, n=2, m=1):
    return minimize(networks(members, n, m), losses(Population, members, n), own_loss=True, progress=False)


def sampled(members, n, m, steps):
    models, law = networks(members, n, m), losses(Sampled, members, n)
    return fit(models, law, steps=steps, key=jax.random.key(0), own_loss=True, progress=False)


def step_seconds(members, n, m):
    """Of one sampled step: a long run less a short one, which leaves out what each call costs."""
    steps = min(2000, max(20, int(1e9 / (members * n * (m + 5) * BATCH))))
    short, _ = seconds(lambda: sampled(members, n, m, 1))
    long, _ = seconds(lambda: sampled(members, n, m, 1 + steps))
    return max(long - short, 1e-9) / steps


def exact_seconds(n):
    """Of one exact loss and its gradient."""
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), networks(1, n, max(1, n // 5)))
    loss = Population(Independent(0.1, n_features=n))
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda model: loss(model))))
    return seconds(lambda: both(model), 3 if n <= 200 else 1)


def slope(x, y, last=3):
    return np.polyfit(np.log(x[-last:]), np.log(y[-last:]), 1)[0]


def growth():
    # Each in turn, compiled programs dropped in between: they hold memory.
    curves = {}
    curves["members", "exact: minimize 2 in 1, s"] = (
        MEMBERS,
        [seconds(lambda m=m: solve(m))[0] for m in MEMBERS],
    )
    curves["members", "sampled: a step of 2 in 1, s"] = MEMBERS, [step_seconds(m, 2, 1) for m in MEMBERS]
    exact = []
    for n in FEATURES:
        exact.append(exact_seconds(n)[0])
        jax.clear_caches()
    curves["features", "exact: one loss and gradient, s"] = FEATURES, exact
    curves["features", "sampled: one step, s"] = (
        FEATURES,
        [step_seconds(1, n, max(1, n // 5)) for n in FEATURES],
    )
    return curves


def draw(curves):
    fig = plot.figure(9, 3.6)
    axes = dict(zip(("members", "features"), fig.subplots(1, 2), strict=True))
    marks = {"exact": ("o", plot.BLUE), "sampled": ("s", plot.RED)}
    for (along, name), (x, y) in curves.items():
        mark, color = marks[name.split(":")[0]]
        axes[along].loglog(x, y, mark + "-", color=color, ms=4, label=f"{name} (slope {slope(x, y):.2f})")
    for along, ax in axes.items():
        ax.set(xlabel=f"number of {along}", ylabel="seconds")
        ax.legend(fontsize=8)
    fig.savefig(PICTURE, dpi=150)


def compilation():
    """Seconds that the first call takes beyond a second one, by work and size."""
    for n, m in ((2, 1), (3, 2), (5, 2), (20, 5)):
        for name, work in (
            ("minimize", lambda n=n, m=m: solve(8, n, m)),
            ("fit", lambda n=n, m=m: sampled(8, n, m, 1)),
        ):
            again, first = seconds(work, 1)
            yield f"{name} {n} in {m} {first - again:.1f}"
            jax.clear_caches()


def peak():
    """Minimize and train 100,000 members in this process; prints the peak of memory in GB."""
    solve(100_000) if sys.argv[2] == "minimize" else sampled(100_000, 2, 1, 5)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def on_devices():
    """Seconds of training and of minimizing on the devices of this process."""
    fit_seconds, _ = seconds(lambda: sampled(10, 20, 5, 500))
    solve_seconds, _ = seconds(lambda: solve(20_000))
    print(json.dumps([fit_seconds, solve_seconds]))


def alone(*args, **environment):
    told = subprocess.run(
        [sys.executable, __file__, *args],
        check=True, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    return json.loads(told.stdout.splitlines()[-1])


def command(cache):
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [sys.executable, "-c", COMMAND, "run", "phase-diagram", "--quick", "--out", out],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"XDG_CACHE_HOME": cache},
        )  # fmt: skip
    return time.perf_counter() - began


def main():
    if sys.argv[1:] == ["devices"]:
        return on_devices()
    if sys.argv[1:2] == ["peak"]:
        return peak()
    print("## How cost grows\n\n![cost against members and features](scaling.png)\n")
    curves = growth()
    draw(curves)
    for (along, name), (x, y) in curves.items():
        points = ", ".join(f"{n:,}: {s:.2g}" for n, s in zip(x, y, strict=True))
        print(f"* {name}, against {along}: {points}; slope at the end {slope(x, y):.2f}", flush=True)
    for work in ("minimize", "fit"):
        print(f"* peak memory of `{work}` with 100,000 members: {alone('peak', work):.2f} GB", flush=True)
    print(f"* compilation, s: {', '.join(compilation())}", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        first, second = command(cache), command(cache)
    print(
        f"* `superpose run phase-diagram --quick`: {first:.1f} s with an empty compile cache, {second:.1f} s the second time",
    )
    turns = [
        (alone("devices"), alone("devices", XLA_FLAGS="--xla_force_host_platform_device_count=2"))
        for _ in range(3)
    ]
    for place, work in enumerate(("fit, 10 x 20 in 5", "minimize, 20,000 x 2 in 1")):
        ratios = [one[place] / two[place] for one, two in turns]
        print(
            f"* two virtual CPU devices against one, {work}: {statistics.median(ratios):.2f} times as fast "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
