"""Numbers of one model, as pure functions of its weights `W` of shape `(hidden, feature)`.

Column `W[:, i]` is the direction of feature `i`, and `What_i` that column at length 1. For an
ensemble, `jax.vmap` them.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Weights = Float[Array | np.ndarray, "hidden feature"]

# A column shorter than this has no direction to speak of: its What is 0.
_NO_LENGTH = 1e-6


def gram(W: Weights) -> Float[Array, "feature feature"]:
    """`W^T W`: how much of feature `j` reaches output `i`. The identity where nothing interferes.

    >>> gram(jnp.array([[1.0, -1.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    return jnp.asarray(W.T @ W)


def norms(W: Weights) -> Float[Array, " feature"]:
    """`|W_i|`: near 1 for a feature that the model represents, near 0 for one that it ignores.

    >>> norms(jnp.array([[3.0, 0.0], [4.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    return jnp.sqrt((W**2).sum(axis=0))


def n_represented(W: Weights, threshold: float = 0.5) -> Int[Array, ""]:
    """The number of features with `|W_i| > threshold`, from 0 to the number of features.

    >>> int(n_represented(jnp.array([[1.0, -1.0, 0.1]])))
    2
    """
    return (norms(W) > threshold).sum()


def superposition(W: Weights) -> Float[Array, " feature"]:
    """The interference that other features cause along the direction of each.

    `sum_{j != i} (What_i . W_j)^2`: 0 for a feature with a dimension to itself, and 1 or more
    where other features together can excite `W_i` as strongly as feature `i` does. It is 0 for
    an ignored feature (shorter than 1e-6). The length of `W_i` itself does not matter.

    Elhage et al. (2022), "Toy Models of Superposition", "Basic Results" (whose figure prints
    the sum without `j != i`).

    >>> superposition(jnp.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [1.0, 1.0, 0.0]
    """
    return (_along_each(W) ** 2).sum(axis=1) - norms(W) ** 2 * _has_direction(W)


def dimensionality(W: Weights) -> Float[Array, " feature"]:
    """The share of a hidden dimension that each feature has for itself.

    `D_i = |W_i|^2 / sum_j (What_i . W_j)^2`, in [0, 1]: 1 for a feature alone in its dimension,
    1/2 in an antipodal pair, 0 for one the model ignores (shorter than 1e-6). The shares sum to
    at most the number of hidden dimensions. The scale of `W` does not matter.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> dimensionality(jnp.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [0.5, 0.5, 1.0]
    """
    there = _has_direction(W)
    shared = (_along_each(W) ** 2).sum(axis=1)
    return jnp.where(there, norms(W) ** 2 / jnp.where(there, shared, 1.0), 0.0)


def dimensions_per_feature(W: Weights) -> Float[Array, ""]:
    """`D* = m / |W|_F^2`: hidden dimensions for each represented feature.

    1 where each feature has a dimension, 1/2 where antipodal pairs share them, infinite for
    `W = 0`.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> float(dimensions_per_feature(jnp.array([[1.0, -1.0]])))
    0.5
    """
    return W.shape[0] / (W**2).sum()


def cosines(W: Weights) -> Float[Array, "feature feature"]:
    """`What_i . What_j`, from -1 (opposite) to 1 (the same direction); 0 for an ignored feature.

    >>> cosines(jnp.array([[2.0, -1.0], [0.0, 0.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    unit = _unit(W)
    return unit.T @ unit


def _has_direction(W):
    return norms(W) > _NO_LENGTH


def _unit(W):
    there = _has_direction(W)
    return jnp.where(there, W / jnp.where(there, norms(W), 1.0), 0.0)


def _along_each(W) -> Float[Array, "feature feature"]:
    # Row i: how far each W_j reaches along What_i.
    return _unit(W).T @ W
