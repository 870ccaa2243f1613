"""Taking features back out of what a model computes, and saying how well: dictionaries with ground truth.

A law of features and a model make `Activations`; a method, such as `TopK(k=4)`, makes a dictionary of them with
`method.fit(activations, n_latents, key=key)`, and `fit_each` many side by side. A dictionary has `directions`, a
column for each latent, and `encode(h)`, the codes of one activation.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose import measures
from superpose.dictionaries._activations import Activations
from superpose.dictionaries._autoencoders import (
    Autoencoder,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    Reconstruction,
    Relu,
    TopK,
)
from superpose.dictionaries._fit import fit_each
from superpose.dictionaries._score import score
from superpose.inputs import ArrayLike, array, weights

__all__ = [
    "Activations",
    "Autoencoder",
    "BatchTopK",
    "Gated",
    "JumpReLU",
    "Matryoshka",
    "Reconstruction",
    "Relu",
    "TopK",
    "firing",
    "fit_each",
    "recovered",
    "score",
]


def firing(sae: Autoencoder, h: ArrayLike) -> Float[Array, " latent"]:
    """The share of samples on which each latent is above 0; a latent at 0 is dead.

    >>> import equinox as eqx
    >>> sae = Autoencoder.init(1, 2, Relu(0.1), key=0)
    >>> sae = eqx.tree_at(lambda sae: (sae.W_enc, sae.W_dec), sae, (jnp.array([[1.0], [-1.0]]), jnp.array([[1.0, -1.0]])))
    >>> firing(sae, jnp.array([[2.0], [1.0], [-3.0], [0.5]])).tolist()
    [0.75, 0.25]
    """
    z = jax.vmap(sae.encode)(jnp.asarray(array(h, "h", "sample", "hidden")))
    return jnp.where(jnp.isnan(z).any(axis=0), jnp.nan, (z > 0).mean(axis=0))


def recovered(W: ArrayLike, directions: ArrayLike) -> Float[Array, " feature"]:
    """For each feature, the largest cosine between its direction and a column of a dictionary.

    From -1 to 1: 1 where some column points exactly along `W_i`. It is 0 for a feature that `W` ignores
    (shorter than 1e-6). Lengths do not matter, but signs do. With one dictionary as `W`, the mean says how far
    another has the same columns: this is Sharkey, Braun and Millidge's mean max cosine similarity.

    >>> recovered(jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.0, -1.0]])).tolist()
    [1.0, 0.0]
    """
    W, directions = weights(W), array(directions, "directions", "hidden", "latent")
    n = W.shape[1]
    if not directions.shape[1] or len(directions) != len(W):
        raise ValueError(f"directions must be columns of {len(W)} numbers, as W has, got {directions.shape}")
    return measures.cosines(jnp.concatenate([W, directions], axis=1))[:n, n:].max(axis=1)
