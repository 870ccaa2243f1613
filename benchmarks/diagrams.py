"""Phase diagrams: exact minimization against the notebook's recipe in PyTorch and against `occhio`.

The exact side is all of `superpose.papers.elhage2022.phase_diagram`'s minimization at 100 x 100 cells, best
of 10, in a new process with no compiled programs kept. The recipe (10,000 AdamW steps, batch 1024, best of 10)
is run to its end in a few cells drawn at random, and its time is extrapolated to all cells. Both are
judged by the exact loss. `occhio` trains the same grid with the same steps and batch as `train.fit`.
Prints a section of benchmarks/README.md:

    python benchmarks/diagrams.py
"""

import json
import statistics
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from peers import LAYOUTS, recipe
from peers import grid as occhio_grid

from superpose import grid
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.papers.elhage2022 import phase_diagram
from superpose.train import ensemble, fit, minimize

CELLS, STARTS, STEPS, BATCH, SAMPLE = 100, 10, 10_000, 1024, 16
SIDE, GRID_STEPS, REPEATS = 20, 100, 5


def laws(n, cells):
    """The loss of each cell, `cells` a side."""
    density, extra = grid.points(np.logspace(-2, 0, cells), np.logspace(-1, 1, cells))
    importance = np.ones((len(density), n))
    importance[:, -1] = extra
    return density, importance


def exact(size):
    """Minimize all cells in this process; prints the seconds and the best loss of each cell."""
    began = time.perf_counter()
    n, m = phase_diagram.SIZES[size]
    density, importance = (np.repeat(values, STARTS, axis=0) for values in laws(n, CELLS))
    losses = grid.each(lambda p, i: Population(Independent(p, i)), density, importance)
    members = np.tile(np.arange(STARTS), CELLS**2)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=members, key=jax.random.key(0))
    solved = minimize(models, losses, own_loss=True, progress=False)
    seconds = time.perf_counter() - began
    best = solved.loss.reshape(-1, STARTS).min(axis=1)
    print(json.dumps({"seconds": seconds, "best": best.tolist()}))


def recipe_losses(n, m, density, importance):
    """The exact losses of the recipe's models, best of STARTS for each cell, and the seconds that they took in the faster layout."""
    p, i = (np.repeat(values, STARTS, axis=0) for values in (density, importance))
    runs = [recipe(len(p), n, m, layout, BATCH, density=p, importance=i) for layout in LAYOUTS]
    run = min(runs, key=lambda run: min(run(50) for _ in range(3)))  # the faster layout
    seconds = run(STEPS) * STEPS
    W, b = run.weights()
    model = ReluOutput.init(n, m, key=jax.random.key(0))
    models = eqx.tree_at(lambda q: (q.W, q.b), model, (jnp.asarray(W.swapaxes(1, 2)), jnp.asarray(b)))
    losses = grid.each(lambda p, i: Population(Independent(p, i)), p, i)
    ends = jax.jit(jax.vmap(lambda loss, model: loss(model)))(losses, models)
    return np.asarray(ends).reshape(-1, STARTS).min(axis=1), seconds


def against_recipe(size):
    n, m = phase_diagram.SIZES[size]
    told = subprocess.run([sys.executable, __file__, size], check=True, capture_output=True, text=True).stdout
    ours = json.loads(told.splitlines()[-1])
    at = np.random.default_rng(0).choice(CELLS**2, SAMPLE, replace=False)
    density, importance = laws(n, CELLS)
    theirs, seconds = recipe_losses(n, m, density[at], importance[at])
    whole = seconds * CELLS**2 / SAMPLE
    best = np.array(ours["best"])[at]
    excess = theirs / best - 1
    print(
        f"| {size}, {CELLS} x {CELLS} cells, best of {STARTS} | {ours['seconds']:.1f} s | {whole / 3600:.1f} h "
        f"(from {seconds:.0f} s for {SAMPLE} cells) | **{whole / ours['seconds']:,.0f}** | "
        f"{(best <= theirs * (1 + 1e-9)).mean():.0%} | {np.median(excess):.2%}, {excess.max():.1%} |",
        flush=True,
    )


def against_occhio():
    n, m = 2, 1
    density, importance = laws(n, SIDE)
    losses = grid.each(lambda p, i: Sampled(Independent(p, i), BATCH), density, importance)
    key = jax.random.key(0)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=SIDE**2, key=key)

    def ours(steps):
        began = time.perf_counter()
        jax.block_until_ready(fit(models, losses, steps=steps, key=key, own_loss=True, progress=False))
        return (time.perf_counter() - began) / steps / SIDE**2

    ours(1)  # compiles
    pairs = [(ours(GRID_STEPS * 5), occhio_grid(SIDE, GRID_STEPS, BATCH)) for _ in range(REPEATS)]
    mine, other = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    print(
        f"| {SIDE} x {SIDE} cells, sampled, batch {BATCH}, per step and model | {mine:.1f} us | {other:.1f} us (occhio) | "
        f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) | | |",
        flush=True,
    )


def main():
    if sys.argv[1:]:
        return exact(sys.argv[1])
    print("## Phase diagrams\n")
    print(
        "| work | superpose | peer | ratio | cells where our best loss is as low or lower | "
        "their loss above ours: median, largest |\n|---|---|---|---|---|---|"
    )
    for size in phase_diagram.SIZES:
        against_recipe(size)
    against_occhio()
    return None


if __name__ == "__main__":
    main()
