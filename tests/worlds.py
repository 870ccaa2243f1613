"""Worlds and models of many kinds, for tests of exact and sampled losses: `VALUES`, `SETS`, `TARGETS`, `CASES`."""

from functools import partial
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import World, by_convolution, by_supports

from superpose.features import Anticorrelated, Correlated, Independent
from superpose.losses import Population, mean_error
from superpose.models import ReluOutput
from superpose.values import Binary, Exponential, Gaussian, Uniform

DENSITIES = (1.0, 0.3, 0.1, 0.01, 0.001)


VALUES = {
    "uniform": Uniform(),
    "signed": Uniform(-0.5, 1.0),
    "binary": Binary(),
    "exponential": Exponential(0.7),
    "gaussian": Gaussian(0.8),
}


SETS = ("independent", "correlated", "anticorrelated")


TARGETS = ("x", "abs")


# Every other case is quick: compiling takes the time.
CASES = list(product(VALUES, SETS, TARGETS))


EACH = [
    pytest.param(*case, marks=pytest.mark.slow if odd else ())
    for v, value in enumerate(VALUES)
    for s, sets in enumerate(SETS)
    for t, target in enumerate(TARGETS)
    for case, odd in [((value, sets, target), (v + s + t) % 2)]
]


def law(sets, density, n, value, importance=1.0):
    """Features of this kind. Sets, where there are any, have 2, 1, 2, 1, ... members."""
    if sets == "independent":
        return Independent(density, importance, value, n_features=n)
    sizes = (2, 1) * (n // 3) + {0: (), 1: (1,), 2: (2,)}[n % 3]
    return {"correlated": Correlated, "anticorrelated": Anticorrelated}[sets](
        density, sizes, importance, value
    )


def population(model, features):
    # Not jitted as a whole: jit would round the weights of these tests to float32 on their way in.
    return Population(features)(model)


def model_of(W, b, cls=ReluOutput, activation=None):
    W, b = (np.asarray(a) for a in (W, b))
    model = cls.init(W.shape[1], min(W.shape), key=jax.random.key(0), activation=activation)
    return eqx.tree_at(lambda m: (m.W, m.b), model, (jnp.asarray(W, W.dtype), jnp.asarray(b, b.dtype)))


def random_weights(n, seed, dtype=np.float64):
    """Random weights and biases, with `n // 2` hidden dimensions at most 10, at two scales."""
    rng = np.random.default_rng([n, seed])
    m = min(max(n // 2, 1), 10)
    W = rng.normal(size=(m, n)) * np.sqrt((0.5, 2.0)[seed % 2] / m)
    return W.astype(dtype), (0.2 * rng.normal(size=n)).astype(dtype)


def reference_loss(model, features, target="x"):
    W, b = np.asarray(model.W, np.float64), np.asarray(model.b, np.float64)
    value, together = features.value, not isinstance(features, Anticorrelated)
    kind = type(value).__name__.lower()
    numbers = {"uniform": ("low", "high"), "binary": ()}.get(kind, ("scale",))
    world = World(
        np.asarray(features.set_density),
        features.sizes,
        together,
        (kind, *(getattr(value, name) for name in numbers)),
        {"x": lambda x: x, "abs": np.abs}[target],
    )
    few = len(b) <= 5 and model.activation in ("relu", "identity", "abs")
    by = by_supports if kind in ("binary", "gaussian") or (kind == "uniform" and few) else by_convolution
    return by(W.T @ W, b, np.asarray(features.importance), world, model.activation)


def random_importance(n, seed):
    """Random; where the reference is slow, on one output only."""
    importance = np.random.default_rng([n, seed, 1]).uniform(0.1, 1, n)
    return importance if n <= 5 else np.where(np.arange(n) == seed % n, importance, 0.0)


@partial(jax.jit, static_argnums=3)
def per_sample(model, x, importance, target):
    """The loss of each sample."""
    return jax.vmap(lambda row: mean_error(model, row[None], importance.astype(x.dtype), target=target))(x)
