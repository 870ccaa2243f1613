"""Taking features back out of what a model computes: sparse autoencoders, and how much they recover."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose import draws, measures
from superpose.draws import AnyKey, one_key, stream
from superpose.features import Empirical
from superpose.inputs import ArrayLike, array, weights, whole
from superpose.values import double

__all__ = ["Reconstruction", "SparseAutoencoder", "firing", "recovered"]


def _weights(name):
    return lambda value: jnp.asarray(array(value, name))


class SparseAutoencoder(eqx.Module):
    """`z = ReLU(W_enc (h - b_dec) + b_enc)`, then `h' = directions z + b_dec`.

    `h` is a model's hidden layer. Each column of `directions` is what one latent writes: a column of `W_dec`,
    scaled to length 1, so that `z` cannot be made small by making columns long. The autoencoder is trained
    with `train.fit` on `Reconstruction`.

    Sharkey, Braun and Millidge (2022), "Taking features out of superposition with sparse autoencoders".

    >>> sae = SparseAutoencoder.init(n_hidden=10, n_latents=40, key=jax.random.key(0))
    >>> sae.encode(jnp.ones(10)).shape, sae(jnp.ones(10)).shape
    ((40,), (10,))
    """

    W_enc: Float[Array, "latent hidden"] = eqx.field(converter=_weights("W_enc"))
    b_enc: Float[Array, " latent"] = eqx.field(converter=_weights("b_enc"))
    W_dec: Float[Array, "hidden latent"] = eqx.field(converter=_weights("W_dec"))
    b_dec: Float[Array, " hidden"] = eqx.field(converter=_weights("b_dec"))

    @classmethod
    def init(cls, n_hidden: int, n_latents: int, *, key: AnyKey) -> "SparseAutoencoder":
        """Random directions, each latent reading along the direction that it writes; biases of 0.

        Raises ValueError for sizes below 1.
        """
        n_hidden, n_latents = whole(n_hidden, "n_hidden"), whole(n_latents, "n_latents")
        if n_hidden < 1 or n_latents < 1:
            raise ValueError(
                "an autoencoder needs at least one hidden dimension and one latent, "
                f"got {n_hidden=}, {n_latents=}"
            )
        D = draws.normal(stream(key, "W_dec"), (n_hidden, n_latents))
        D = D / jnp.linalg.norm(D, axis=0, keepdims=True)
        none = jnp.zeros(n_latents, D.dtype), jnp.zeros(n_hidden, D.dtype)
        return cls(W_enc=D.T, b_enc=none[0], W_dec=D, b_dec=none[1])

    @property
    def directions(self) -> Float[Array, "hidden latent"]:
        """The dictionary: a column of length 1 for each latent."""
        return self.W_dec / jnp.sqrt((self.W_dec**2).sum(axis=0, keepdims=True) + 1e-12)

    def encode(self, h: ArrayLike) -> Float[Array, " latent"]:
        h, n = jnp.asarray(array(h, "h", "hidden")), self.W_enc.shape[-1]
        if h.shape != (n,):
            raise ValueError(f"h must have the {n} hidden dimensions of the autoencoder, got {len(h)}")
        return jax.nn.relu(self.W_enc @ (h - self.b_dec) + self.b_enc)

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, " hidden"]:
        return self.directions @ z + self.b_dec

    def __call__(self, h: ArrayLike) -> Float[Array, " hidden"]:
        return self.decode(self.encode(h))


class Reconstruction(eqx.Module):
    """`|h - h'|^2 + penalty * sum(z)`, averaged over what `model` computes from samples with active features.

    Samples without any active feature would teach nothing, so none are drawn. Because the hidden layers of
    toy models have lengths near 1, penalties of 0.01 to 0.3 are useful.

    Raises ValueError for a batch below 1 and for a negative penalty.

    >>> from superpose.features import Independent
    >>> from superpose.models import ReluOutput
    >>> model = ReluOutput.init(20, 10, key=jax.random.key(0))
    >>> loss = Reconstruction(model, Independent(0.05, n_features=20), penalty=0.05)
    >>> loss(SparseAutoencoder.init(10, 40, key=jax.random.key(1)), jax.random.key(2)).shape
    ()
    """

    model: Any
    features: Any
    penalty: Float[Array, ""] = eqx.field(converter=lambda value: double(array(value, "penalty")))
    batch: int = eqx.field(static=True, default=512)

    def __check_init__(self):
        if not hasattr(self.model, "encode"):
            raise TypeError(
                f"model must be a network whose hidden layer is looked into, got {type(self.model).__name__}"
            )
        if not hasattr(self.features, "sample"):
            raise TypeError(f"features must be a law that samples, got {type(self.features).__name__}")
        if whole(self.batch, "batch") < 1:
            raise ValueError(f"batch must be at least 1 sample, got {self.batch}")
        if not isinstance(self.penalty, jax.core.Tracer) and not float(self.penalty) >= 0:
            raise ValueError(f"penalty must be 0 or more, got {float(self.penalty):g}")

    def activations(self, key: AnyKey, n: int) -> Float[Array, "sample hidden"]:
        """What the model computes from `n` samples."""
        key = one_key(key)
        if isinstance(self.features, Empirical):
            x = self.features.sample(key, n)
        else:
            x = self.features.sample_active(key, n)
        return jax.vmap(self.model.encode)(x)

    def __call__(self, sae: SparseAutoencoder, key: AnyKey) -> Float[Array, ""]:
        # The sample is the last, contiguous axis, as in `losses.mean_error`, for speed.
        h = self.activations(key, self.batch).T
        z = jax.nn.relu(sae.W_enc @ (h - sae.b_dec[:, None]) + sae.b_enc[:, None])
        error = ((h - sae.directions @ z - sae.b_dec[:, None]) ** 2).sum(axis=0)
        return (error + self.penalty.astype(h.dtype) * z.sum(axis=0)).mean()


def firing(sae: SparseAutoencoder, h: ArrayLike) -> Float[Array, " latent"]:
    """The share of samples on which each latent is above 0; a latent at 0 is dead.

    >>> sae = SparseAutoencoder(jnp.array([[1.0], [-1.0]]), jnp.zeros(2), jnp.array([[1.0, -1.0]]), jnp.zeros(1))
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
