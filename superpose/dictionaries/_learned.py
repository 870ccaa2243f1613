"""The toy model of the world `toy-model`, whose weights are a file, so that they are the same on every machine.

`python -m superpose.dictionaries._learned` trains it again and writes the file; rounding differs from machine to
machine, so the world's hash then changes, and with it the version must.
"""

from functools import cache
from pathlib import Path

import jax
import numpy as np

from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import cosine_adam, ensemble, fit, member

FILE = Path(__file__).with_name("toy-model.npz")


def features() -> Independent:
    """The features that it was trained on."""
    return Independent(0.03, n_features=128)


@cache
def model() -> ReluOutput:
    """The model in the file."""
    with np.load(FILE, allow_pickle=False) as weights:
        return ReluOutput(weights["W"], weights["b"])


def trained(steps: int = 20_000) -> ReluOutput:
    """The same made anew: 128 features in 40 dimensions, on 1,024 samples a step, from the seed 0."""
    key = jax.random.key(0)
    models = ensemble(lambda key: ReluOutput.init(128, 40, key=key), members=1, key=key)
    optimizer = cosine_adam(0.003, steps)
    return member(fit(models, Sampled(features(), 1024), steps=steps, key=key, optimizer=optimizer).models, 0)


if __name__ == "__main__":
    made = trained()
    np.savez_compressed(FILE, W=np.asarray(made.W, np.float32), b=np.asarray(made.b, np.float32))
