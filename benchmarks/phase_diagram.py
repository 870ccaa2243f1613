"""The phase diagrams by exact minimization, against the notebook's recipe, in one run.

The recipe trains each model for 10,000 AdamW steps on batches of 1024 samples. Part of it is
timed, in this package's own sampled code, and extrapolated in proportion to steps and models;
the exact side is the work of `superpose run phase-diagram`, measured whole, compilation included.
Run it on an idle machine:

    python benchmarks/phase_diagram.py
"""

import platform
import statistics
import time

import jax
import numpy as np
import optax

from superpose import sweep
from superpose.experiments import phase_diagram
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

STEPS, MODELS, REPEATS = 200, 500, 3
RECIPE_STEPS, BATCH = 10_000, 1024


def sampled_seconds(n_features: int, n_hidden: int) -> float:
    """Seconds for STEPS steps of MODELS models, compilation left out: the median of REPEATS."""
    density = np.logspace(-2, 0, MODELS)
    losses = sweep.each(lambda p: Sampled(Independent(p, n_features=n_features), BATCH), density)
    key = jax.random.key(0)
    models = ensemble(lambda key: ReluOutput.init(n_features, n_hidden, key=key), members=MODELS, key=key)
    seconds = []

    def run(steps):
        began = time.perf_counter()
        done = fit(
            models, losses, steps=steps, key=key, own_loss=True, optimizer=optax.adamw(1e-3), window=10
        )
        jax.block_until_ready(done.history)
        return time.perf_counter() - began

    for _ in range(REPEATS):  # the difference of a long and a short run leaves compilation out
        seconds.append(run(STEPS + 10) - run(10))
    return statistics.median(seconds)


def main() -> None:
    config = phase_diagram.Config()
    began = time.perf_counter()
    phase_diagram.run(config)
    exact = time.perf_counter() - began
    print(f"{platform.processor() or platform.machine()}, {jax.devices()}")
    print(f"exact: both diagrams, {config.cells} x {config.cells} cells, {exact:.1f} s")
    recipe = 0.0
    for (n, m), members in zip(phase_diagram.SIZES.values(), (config.members, config.members_3), strict=True):
        part = sampled_seconds(n, m)
        whole = part * (RECIPE_STEPS / STEPS) * (config.cells**2 * members / MODELS)
        recipe += whole
        print(
            f"recipe, {n} in {m}: {STEPS} steps of {MODELS} models took {part:.2f} s; all of it {whole / 3600:.1f} h"
        )
    print(f"ratio: {recipe / exact:.0f}")


if __name__ == "__main__":
    main()
