"""Small changes of the input that change the output a lot, and the loss under them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features import check_sampled
from superpose.inputs import ArrayLike, array
from superpose.models import Network, activations, check_features
from superpose.values import double

__all__ = ["Attacked", "attacks"]


def attacks(model: Network) -> Float[Array, "attack feature"]:
    """For each output, the change of the input of length 1 that moves that output most.

    Row `i` is `(W^T W)_i / |(W^T W)_i|`, and 0 where the model ignores feature `i`. It moves output `i` by
    `|(W^T W)_i|` before the activation: by 1 for a feature of unit length alone in its dimension, and
    in general by `|W_i|^2 / sqrt(D_i)`, with its dimensionality `D_i`. Superposition gives attacks a way in.

    Raises ValueError for a model with a hidden activation, and TypeError for what is no model.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition and Adversarial Robustness".

    >>> from superpose.models import ReluOutput
    >>> pair = ReluOutput.init(2, 1, key=jax.random.key(0))
    >>> pair = eqx.tree_at(lambda m: m.W, pair, jnp.array([[1.0, -1.0]]))
    >>> [[round(float(part), 3) for part in row] for row in attacks(pair)]
    [[0.707, -0.707], [-0.707, 0.707]]
    """
    if not hasattr(model, "preactivation"):
        raise TypeError(f"model must be a network, such as ReluOutput(W, ...), got {type(model).__name__}")
    A, _ = model.preactivation()
    square = (A**2).sum(axis=1, keepdims=True)
    there = square > 1e-12
    return jnp.where(there, A / jnp.sqrt(jnp.where(there, square, 1.0)), 0.0)


class Attacked(eqx.Module):
    """The loss on `batch` samples of `features` under attack: what a small change of each input can do to it.

    The changes are those of `attacks` and their opposites, as long as `budget` times the mean length of
    the inputs. With `choice` "sample" each sample meets the one that harms it most, with "model" all
    meet the one that harms the model most, and with "random" each meets a random one, for training
    that makes a model robust. The output is compared with the sample as it was. It draws the same samples as
    `losses.Sampled`, so the difference between the two is the effect of the attack. `budget` is an array, over
    which `vmap` can map.

    Raises ValueError for a negative budget, an unknown choice, a batch below 1, and a model with a
    hidden activation, and TypeError for what is no law of features.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition and Adversarial Robustness".

    >>> from superpose.features import Independent
    >>> from superpose.losses import Sampled
    >>> from superpose.models import ReluOutput
    >>> world, key = Independent(0.1, n_features=5), jax.random.key(0)
    >>> model = ReluOutput.init(5, 2, key=key)
    >>> bool(Attacked(world, 0.1)(model, key) > Sampled(world)(model, key))
    True
    """

    features: Any
    budget: Float[Array, ""]
    batch: int = eqx.field(static=True)
    choice: str = eqx.field(static=True)

    def __init__(self, features: Any, budget: ArrayLike, batch: int = 1024, choice: str = "sample"):
        if choice not in ("sample", "model", "random"):
            raise ValueError(f"unknown choice {choice!r} of an attack; known are sample, model and random")
        check_sampled(features, batch)
        self.features, self.batch, self.choice = features, batch, choice
        self.budget = double(array(budget, "budget"))
        if self.budget.ndim:
            raise ValueError(f"budget must be one number, got shape {self.budget.shape}")
        if not isinstance(self.budget, jax.core.Tracer) and not self.budget >= 0:
            raise ValueError(f"budget must not be negative, got {float(self.budget)}")

    def __call__(self, model: Network, key: AnyKey) -> Float[Array, ""]:
        """The loss of `model` on samples, and under attacks, drawn with `key`."""
        check_features(model, self.features.n_features)
        key = one_key(key)
        A, c = model.preactivation()
        x = self.features.sample(key, self.batch).T
        importance = self.features.importance.astype(x.dtype)
        z = A @ x + c[:, None]
        length = self.budget.astype(x.dtype) * jnp.linalg.norm(x, axis=0).mean()
        ahead = length * attacks(model) @ A.T  # how each moves the outputs
        moves = jnp.concatenate([ahead, -ahead])

        def harmed(move):
            return importance @ (x - activations[model.activation](z + move)) ** 2

        if self.choice == "random":
            chosen = draws.choice(stream(key, "attacks"), (self.batch,), len(moves))
            return harmed(moves[chosen].T).mean()

        def worse(worst, move):
            errors = harmed(move[:, None])
            return jnp.maximum(worst, errors if self.choice == "sample" else errors.mean()), None

        none = jnp.zeros(self.batch if self.choice == "sample" else (), z.dtype)
        return jax.lax.scan(worse, none, moves)[0].mean()
