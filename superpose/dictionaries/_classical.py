"""Dictionaries by methods older than autoencoders: MOD and K-SVD here, others by scikit-learn.

Each is called as `method.fit(activations, n_latents, key=key)`, with activations that have `sample(key, n)`. Those of
scikit-learn need the extra `superpose[classical]`.
"""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from superpose import draws
from superpose.dictionaries._inference import FISTA, NNLS, OMP, Dictionary, LeastSquares, _unit
from superpose.draws import AnyKey, one_key, stream
from superpose.inputs import array, whole
from superpose.jit import program


class MOD(eqx.Module):
    """The method of optimal directions: codes by `inference`, directions by least squares, in turn.

    Directions `D` become `H^T Z (Z^T Z)^-1` for activations `H` and their codes `Z`, then of length 1. It starts from
    activations drawn. A latent without codes, and the second of two whose directions have a cosine above 0.99, starts
    again from one of the activations that are explained worst.

    `H` is one draw of `samples`; the `bias` is 0. Where `inference` is of several settings, such as OMP(k) for `k`
    traced by `jax.vmap`, many are fitted in one call.

    Engan, Aase and Husøy (1999), "Method of optimal directions for frame design".

    >>> from superpose.features import Independent
    >>> world = Independent(0.2, n_features=3)
    >>> D = MOD(OMP(k=2), samples=500, iterations=20).fit(world, 3, key=jax.random.key(0)).directions
    >>> D.shape, bool((D.max(axis=1) > 0.999).all())
    ((3, 3), True)
    """

    inference: Any = eqx.field(default_factory=lambda: OMP(4))
    samples: int = eqx.field(static=True, default=20_000)
    iterations: int = eqx.field(static=True, default=50)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        return _in_turn(_optimal_directions, self, activations, n_latents, key)


class KSVD(eqx.Module):
    """K-SVD: codes by `inference`, then each direction and its codes together, one latent after another; in turn.

    A latent's direction becomes what is left, without that latent, of the activations that it has codes for, weighted
    with these codes: one step of the power method toward the singular vector, in the approximate form of Rubinstein,
    Zibulevsky and Elad (2008), "Efficient implementation of the K-SVD algorithm". All else is as in `MOD`.

    Aharon, Elad and Bruckstein (2006), "K-SVD: an algorithm for designing overcomplete dictionaries".

    >>> from superpose.features import Independent
    >>> world = Independent(0.2, n_features=3)
    >>> D = KSVD(OMP(k=2), samples=500, iterations=20).fit(world, 3, key=jax.random.key(0)).directions
    >>> D.shape, bool((D.max(axis=1) > 0.999).all())
    ((3, 3), True)
    """

    inference: Any = eqx.field(default_factory=lambda: OMP(4))
    samples: int = eqx.field(static=True, default=20_000)
    iterations: int = eqx.field(static=True, default=50)

    def fit(self, activations: Any, n_latents: int, *, key: AnyKey) -> Dictionary:
        return _in_turn(_one_by_one, self, activations, n_latents, key)


def _in_turn(update, method, activations, n_latents, key) -> Dictionary:
    if whole(method.iterations, "iterations") < 1:
        raise ValueError(f"iterations must be at least 1, got {method.iterations}")
    H = _sample(activations, method.samples, key)
    first = draws.choice(stream(key, "directions"), (_count(n_latents),), len(H))
    D = _alternated(update, method.inference, method.iterations, H, _unit(H[first].T))
    return Dictionary(D, 0.0, method.inference)


@program
def _alternated(update, inference, iterations, H, D):
    def turn(_, D):
        # In blocks, which the caches of a CPU hold.
        Z = jax.lax.map(lambda h: inference(D, h), H, batch_size=min(len(H), 500))
        return _restarted(update(H, D, Z), H, Z, H - Z @ D.T)

    return jax.lax.fori_loop(0, iterations, turn, D)


def _optimal_directions(H, D, Z):
    products = Z.T @ Z
    # Next to nothing for latents with codes; without it the others, without codes, would have no solution.
    ridge = 1e-6 * products.trace() / len(products) * jnp.eye(len(products), dtype=Z.dtype)
    return _unit(jnp.linalg.solve(products + ridge, Z.T @ H).T)


def _one_by_one(H, D, Z):
    def update(state, j):
        D, Z, left = state
        d, z = D[:, j], Z[:, j]
        own = left + z[:, None] * d
        new = own.T @ z
        length = jnp.linalg.norm(new)
        new = new / jnp.where(length == 0, 1, length)
        codes = jnp.where(z != 0, own @ new, 0)
        return (D.at[:, j].set(new), Z.at[:, j].set(codes), own - codes[:, None] * new), None

    return jax.lax.scan(update, (D, Z, H - Z @ D.T), jnp.arange(Z.shape[1]))[0][0]


def _restarted(
    D: Float[Array, "hidden latent"],
    H: Float[Array, "sample hidden"],
    Z: Float[Array, "sample latent"],
    left: Float[Array, "sample hidden"],
) -> Float[Array, "hidden latent"]:
    """Latents without codes, or nearly equal to an earlier one, start again at the activations explained worst."""
    twin = (jnp.triu(D.T @ D, 1) > 0.99).any(axis=0)
    again = twin | ~(Z != 0).any(axis=0)
    worst = jax.lax.top_k((left**2).sum(axis=1), min(len(H), D.shape[1]))[1]
    return jnp.where(again, _unit(H[worst[(jnp.cumsum(again) - 1) % len(worst)]].T), D)


def _sample(activations, samples, key) -> Float[Array, "sample hidden"]:
    if isinstance(activations, type) or not hasattr(activations, "sample"):
        raise TypeError(
            f"activations must have sample(key, n), such as features.Empirical(h), got {type(activations).__name__}"
        )
    if whole(samples, "samples") < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    return jnp.asarray(array(activations.sample(stream(key, "samples"), samples), "activations", "sample", "hidden"))


def _count(n_latents) -> int:
    if whole(n_latents, "n_latents") < 1:
        raise ValueError(f"n_latents must be at least 1, got {n_latents}")
    return n_latents
