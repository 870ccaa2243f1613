"""Directions of features, given and not learned: columns of length 1, of shape (hidden, feature)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose import draws
from superpose.dictionaries._autoencoders import unit
from superpose.draws import AnyKey, stream
from superpose.inputs import number, whole


def random_directions(n_features: int, n_hidden: int, *, key: AnyKey) -> Float[Array, "hidden feature"]:
    """Directions drawn uniformly from the sphere.

    The cosine of two of them has mean 0 and standard deviation `1 / sqrt(n_hidden)`. Raises ValueError for sizes
    below 1.

    >>> jnp.abs(random_directions(3, 1, key=0)).tolist()
    [[1.0, 1.0, 1.0]]
    """
    _check(n_features, n_hidden)
    return unit(draws.normal(stream(key, "directions"), (n_hidden, n_features)))


def orthogonal_directions(n_features: int, n_hidden: int, *, key: AnyKey) -> Float[Array, "hidden feature"]:
    """Directions at right angles to each other, in a random rotation.

    Raises ValueError for more features than hidden dimensions.

    >>> W = orthogonal_directions(3, 4, key=0)
    >>> bool(jnp.allclose(W.T @ W, jnp.eye(3), atol=1e-6))
    True
    """
    _check(n_features, n_hidden)
    if n_features > n_hidden:
        raise ValueError(
            f"no more than {n_hidden} directions are orthogonal in {n_hidden} hidden dimensions, got {n_features=}"
        )
    Q, R = jnp.linalg.qr(draws.normal(stream(key, "directions"), (n_hidden, n_features)))
    return Q * jnp.sign(jnp.diag(R))[None]  # without the signs, the first direction would not be uniform


def coherent_directions(
    n_features: int, n_hidden: int, coherence: float, *, key: AnyKey
) -> Float[Array, "hidden feature"]:
    """Random directions about one that they share: two have, on average, a cosine of `coherence`.

    `W_i = sqrt(coherence) u + sqrt(1 - coherence) v_i`, with one `u` for all and `v_i` drawn uniformly at right angles
    to it. The cosine of two has a standard deviation of `(1 - coherence) / sqrt(n_hidden - 1)`: at 0 directions are as
    those of `random_directions` in one dimension less, at 1 all are `u`.

    Raises ValueError for a coherence outside [0, 1], and below 2 hidden dimensions.

    >>> W = coherent_directions(3, 5, coherence=1.0, key=0)
    >>> bool(jnp.allclose(W.T @ W, jnp.ones((3, 3)), atol=1e-5))
    True
    """
    _check(n_features, n_hidden)
    if n_hidden < 2:
        raise ValueError(f"coherent directions need at least 2 hidden dimensions, got {n_hidden}")
    if not 0 <= number(coherence, "coherence") <= 1:
        raise ValueError(f"coherence must be within [0, 1], got {coherence:g}")
    u = random_directions(1, n_hidden, key=stream(key, "shared"))
    v = draws.normal(stream(key, "directions"), (n_hidden, n_features))
    v = unit(v - u * (u.T @ v))
    return unit(coherence**0.5 * u + (1 - coherence) ** 0.5 * v)


def _check(n_features, n_hidden) -> None:
    if whole(n_features, "n_features") < 1 or whole(n_hidden, "n_hidden") < 1:
        raise ValueError(
            f"directions need at least one feature and one hidden dimension, got {n_features=}, {n_hidden=}"
        )
