"""The ends of every scale: the true dictionary, above which nothing is, and random ones, which have found nothing."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from superpose.dictionaries._activations import check_has
from superpose.dictionaries._directions import random_directions
from superpose.dictionaries._inference import Dictionary
from superpose.draws import AnyKey, stream
from superpose.inputs import whole


def oracle(activations: Any, inference: Any) -> Dictionary:
    """The true dictionary: a latent for each feature, in their order, along its direction.

    The bias is what the model computes where no feature is active. A feature that the model ignores is a column of
    zeros. With an inference that fits, such as the best of `closest`, it is the ceiling for all methods.

    >>> from superpose.dictionaries import OMP, Activations
    >>> from superpose.features import Independent
    >>> activations = Activations(jnp.array([[2.0, 0.0], [0.0, 1.0]]), Independent(0.5, n_features=2))
    >>> oracle(activations, OMP(k=2)).encode(jnp.array([2.0, 0.0])).tolist()
    [2.0, 0.0]
    """
    check_has(activations, "directions")
    W = activations.directions
    return Dictionary(W, activations.model.encode(jnp.zeros(W.shape[1], W.dtype)), inference)


def closest(activations: Any, inferences: Sequence[Any], *, key: AnyKey, samples: int = 2000) -> Any:
    """Of several inferences, the one with which the oracle's codes have the least mean squared error.

    The true code of feature `i` is `|W_i| x_i`. Raises ValueError where there are none.

    >>> from superpose.dictionaries import OMP, Activations, ReluStep
    >>> from superpose.features import Independent
    >>> activations = Activations(jnp.eye(3), Independent(0.5, n_features=3))
    >>> type(closest(activations, [ReluStep(0.5), OMP(k=3)], key=0)).__name__
    'OMP'
    """
    if not inferences:
        raise ValueError("give at least one inference, such as OMP(k=4)")
    if whole(samples, "samples") < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    check_has(activations, "directions")
    x, h = activations.pairs(stream(key, "closest"), samples)
    truth = jnp.linalg.norm(activations.directions, axis=0)[None] * x

    def error(inference) -> float:
        codes = jax.lax.map(oracle(activations, inference).encode, h, batch_size=min(samples, 500))
        return float(((codes - truth) ** 2).sum(axis=1).mean())

    return min(inferences, key=error)


def random_dictionary(n_hidden: int, n_latents: int, inference: Any, *, key: AnyKey) -> Dictionary:
    """Directions drawn uniformly from the sphere, and a bias of 0: what any method must beat.

    >>> from superpose.dictionaries import OMP, Activations
    >>> random_dictionary(4, 6, OMP(k=2), key=0).directions.shape
    (4, 6)
    """
    return Dictionary(random_directions(n_latents, n_hidden, key=key), 0.0, inference)
