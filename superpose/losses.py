"""What a model is trained to make small: `loss(model, key) -> scalar`, sampled or exact.

Every loss here is the paper's: `sum_i importance_i (x_i - x'_i)^2`, averaged over samples.
"""

import math
from collections.abc import Callable
from functools import partial, reduce
from itertools import combinations
from operator import add

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Float, Key

from superpose import exact
from superpose.features import Anticorrelated, Empirical, Features, Independent
from superpose.models import Network

__all__ = ["Population", "Sampled", "mean_error"]


def mean_error(
    model: Network,
    x: Float[Array, "sample feature"],
    importance: Float[Array, " feature"] | float = 1.0,
    weight: Float[Array, " sample"] | None = None,
) -> Float[Array, ""]:
    """`sum_i importance_i (x_i - x'_i)^2`, averaged over the samples `x`.

    With `weight`, sample `s` counts `weight[s] / sum(weight)`.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".
    """
    # The batch is the last, contiguous axis: with it XLA's small matrix products on a CPU are
    # several times faster than with the batch first.
    x = x.T
    error = (x - jax.vmap(model, in_axes=1, out_axes=1)(x)) ** 2
    per_sample = jnp.broadcast_to(jnp.asarray(importance, error.dtype), len(error)) @ error
    if weight is None:
        return per_sample.mean()
    return weight @ per_sample / weight.sum()


class Sampled(eqx.Module):
    """The loss on `batch` samples, drawn afresh with each key.

    `weight`, a function of one sample, makes a sample count in proportion to it.

    >>> from superpose.models import ReluOutput
    >>> model = ReluOutput.init(5, 2, key=jax.random.key(0))
    >>> Sampled(Independent(0.1, n_features=5))(model, jax.random.key(1)).shape
    ()
    """

    features: Features
    batch: int = eqx.field(static=True, default=1024)
    weight: Callable[[Array], Array] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1 sample, got {self.batch}")

    def __call__(self, model: Network, key: Key[Array, ""]) -> Float[Array, ""]:
        _same_length(model, self.features)
        x = self.features.sample(key, self.batch)
        importance = self.features.importance.astype(x.dtype)
        weight = None if self.weight is None else jax.vmap(self.weight)(x)
        return mean_error(model, x, importance, weight)


class Population(eqx.Module):
    """XX"""

    features: Features
    target: str = eqx.field(static=True, default="x")
    method: str | None = eqx.field(static=True, default=None)
    harmonics: int | None = eqx.field(static=True, default=None)
    largest: int | None = eqx.field(static=True, default=None)

    def __call__(self, model: Network, key: Key[Array, ""] | None = None) -> Float[Array, ""]:
        _same_length(model, self.features)
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model)
        if isinstance(self.features, Empirical):
            return _mean_over_rows(model, self.features)
        A, c = model.preactivation()
        return _expected(A, c, self.features, model.activation, self.target, self.method, self.harmonics, self.largest)


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def _expected(A, c, features, activation, target, method, harmonics, largest):
    together = not isinstance(features, Anticorrelated)
    world = exact.World(features.set_density, features.value, features.sizes, together, target)
    errors = exact.output_errors(A, c, world, activation, method or "characteristic", harmonics or 256)
    return features.importance @ errors


def _same_length(model, features):
    if model.W.shape[-1] != features.n_features:
        raise ValueError(
            f"the model has {model.W.shape[-1]} features and the data {features.n_features}; they must be equal"
        )


def _mean_over_rows(model, features, block=4096):
    def block_sum(start):
        rows = start + jnp.arange(block)
        x = features.rows(jnp.minimum(rows, features.n_rows - 1)).astype(jnp.float64)
        here = (rows < features.n_rows).astype(jnp.float64)
        return mean_error(model, x, features.importance, here) * here.sum()

    block = min(block, features.n_rows)
    starts = jnp.arange(0, features.n_rows, block)
    return jax.lax.map(jax.checkpoint(block_sum), starts).sum() / features.n_rows


