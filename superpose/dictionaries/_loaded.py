"""An autoencoder made by another library."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import measures
from superpose.inputs import ArrayLike, array

OF_KIND = {"relu": (), "topk": ("k",), "jumprelu": ("threshold",), "gated": ("r_mag", "b_mag")}
"""What encoders of each kind need beyond weights and biases."""


class Loaded(eqx.Module):
    """An autoencoder made elsewhere: codes by its own encoder, in units of directions of length 1.

    With `p = W_enc (h - center) + b_enc` a latent's code is `|W_dec_j|` times, by `kind`,

    - "relu": `ReLU(p)`;
    - "topk": `ReLU(p)` of the `k` largest `p`, else 0;
    - "jumprelu": `ReLU(p)` where `p > threshold`, else 0;
    - "gated": `ReLU(exp(r_mag) (p - b_enc) + b_mag)` where `p > 0`, else 0.

    `center` is what is taken off the input: `bias`, or 0. Lengths of decoder columns so make no difference to
    `h' = directions z + bias`.

    >>> sae = Loaded("relu", [[2.0], [0.0]], [0.0, 0.0], [[1.0, 0.0]], [-0.5], [0.0, 0.0])
    >>> sae.directions.tolist(), sae.encode([1.5, 9.0]).tolist(), sae([1.5, 9.0]).tolist()
    ([[1.0], [0.0]], [2.0], [2.0, 0.0])
    """

    W_dec: Float[Array, "hidden latent"]
    bias: Float[Array, " hidden"]
    W_enc: Float[Array, "latent hidden"]
    b_enc: Float[Array, " latent"]
    center: Float[Array, " hidden"]
    threshold: Float[Array, " latent"] | None
    r_mag: Float[Array, " latent"] | None
    b_mag: Float[Array, " latent"] | None
    kind: str = eqx.field(static=True)
    k: int | None = eqx.field(static=True)
    signed: ClassVar[bool] = False

    def __init__(
        self, kind, W_dec, bias, W_enc, b_enc, center, *, threshold=None, r_mag=None, b_mag=None, k=None
    ):
        made = {"W_dec": W_dec, "bias": bias, "W_enc": W_enc, "b_enc": b_enc, "center": center,
                "threshold": threshold, "r_mag": r_mag, "b_mag": b_mag}  # fmt: skip
        hidden, latent = np.shape(W_dec)
        shapes = {
            "W_dec": (hidden, latent),
            "W_enc": (latent, hidden),
            "bias": (hidden,),
            "center": (hidden,),
        }
        for name, value in made.items():
            value = None if value is None else jnp.asarray(array(value, name), jnp.float32)
            if value is not None and value.shape != shapes.get(name, (latent,)):
                raise ValueError(
                    f"{name} must have the shape {shapes.get(name, (latent,))} where there are {latent} directions of "
                    f"{hidden} numbers, got {value.shape}"
                )
            setattr(self, name, value)
        if kind not in OF_KIND:
            raise ValueError(f"unknown kind {kind!r}; known are {', '.join(OF_KIND)}")
        missing = [name for name in OF_KIND[kind] if (k if name == "k" else made[name]) is None]
        if missing:
            raise ValueError(f"{kind} needs {' and '.join(missing)}")
        if k is not None and not 1 <= k <= latent:
            raise ValueError(f"k must be from 1 to the {latent} latents, got {k}")
        self.kind, self.k = kind, k

    @property
    def directions(self) -> Float[Array, "hidden latent"]:
        """Columns of length 1; 0 for a latent that writes nothing."""
        length = measures.norms(self.W_dec)[None]
        return jnp.where(length > 0, self.W_dec / jnp.where(length > 0, length, 1.0), 0.0)

    def encode(self, h: ArrayLike) -> Float[Array, " latent"]:
        h, n = jnp.asarray(array(h, "h", "hidden"), jnp.float32), self.W_enc.shape[1]
        if h.shape != (n,):
            raise ValueError(f"h must have the {n} hidden dimensions of the dictionary, got {len(h)}")
        read = self.W_enc @ (h - self.center)
        p = read + self.b_enc
        match self.kind:
            case "topk":
                largest, place = jax.lax.top_k(p, self.k or 1)
                z = jnp.zeros_like(p).at[place].set(jax.nn.relu(largest))
            case "jumprelu":
                z = jnp.where(p > self.threshold, jax.nn.relu(p), 0.0)
            case "gated":
                z = jnp.where(p > 0, jax.nn.relu(jnp.exp(jnp.asarray(self.r_mag)) * read + self.b_mag), 0.0)
            case _:
                z = jax.nn.relu(p)
        return z * measures.norms(self.W_dec)

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, " hidden"]:
        return self.directions @ z + self.bias

    def __call__(self, h: ArrayLike) -> Float[Array, " hidden"]:
        return self.decode(self.encode(h))
