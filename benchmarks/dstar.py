"""D* against density: 400 features in 30 dimensions, 40 densities, to the loss that the notebook's recipe reaches.

The recipe (10,000 AdamW steps at 1e-3) is run to its end in PyTorch at a few of the densities, and its time
is extrapolated. Ours trains all 40 with a larger learning rate that falls along a cosine, in fewer steps, from
initial weights as small as the recipe's. Both are judged on the same fresh samples. Prints a section of benchmarks/README.md:

    python benchmarks/dstar.py
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from peers import recipe

from superpose import grid, measures
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit, member

N, M, BATCH, STEPS, RECIPE_STEPS = 400, 30, 1024, 4000, 10_000
SCALE = 0.1  # of the initial weights: as small as the recipe's
DENSITIES = 1 / np.linspace(1, 10, 40)
FEW = np.array([3, 12, 22, 36])  # places of the densities that the recipe trains


def laws(density, batch):
    return grid.each(lambda p: Sampled(Independent(p, n_features=N), batch), density)


def judged(models, density):
    """Losses on 2^17 samples, the same for both sides."""
    keys = jax.random.split(jax.random.key(99), 16)
    one = jax.jit(lambda law, model: jax.lax.map(lambda key: law(model, key), keys).mean())
    return np.array([float(one(*member((laws(density, 8192), models), at))) for at in range(len(density))])


def main():
    key = jax.random.key(0)
    models = ensemble(
        lambda key: ReluOutput.init(N, M, key=key, scale=SCALE), members=len(DENSITIES), key=key
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
    began = time.perf_counter()
    ours = fit(
        models,
        laws(DENSITIES, BATCH),
        steps=STEPS,
        key=key,
        own_loss=True,
        optimizer=optimizer,
        progress=False,
    ).models
    seconds = time.perf_counter() - began

    run = recipe(len(FEW), N, M, "model first", BATCH, density=DENSITIES[FEW], importance=np.ones(N))
    theirs_seconds = run(RECIPE_STEPS) * RECIPE_STEPS
    W, b = run.weights()
    few = member(ours, FEW)
    theirs = eqx.tree_at(lambda q: (q.W, q.b), few, (jnp.asarray(W.swapaxes(1, 2)), jnp.asarray(b)))
    mine, other = judged(few, DENSITIES[FEW]), judged(theirs, DENSITIES[FEW])
    whole = theirs_seconds * len(DENSITIES) / len(FEW)
    print("## D* against density, 400 features in 30 dimensions, 40 densities\n")
    print(
        f"superpose {seconds:.0f} s, all of it, compilation included; the notebook's recipe {whole:.0f} s (from "
        f"{theirs_seconds:.0f} s for {len(FEW)} densities): **{whole / seconds:.1f} times as fast**, to these losses:\n"
    )
    print(
        "| 1 / (1 - S) | our loss | the recipe's | ours is lower by | D*, ours | D*, theirs |\n|---|---|---|---|---|---|"
    )
    stars = [jax.vmap(measures.dimensions_per_feature)(side.W) for side in (few, theirs)]
    for p, a, b, c, d in zip(DENSITIES[FEW], mine, other, *stars, strict=True):
        print(f"| {1 / p:.2f} | {a:.4f} | {b:.4f} | {1 - a / b:.3%} | {c:.3f} | {d:.3f} |")


if __name__ == "__main__":
    main()
