"""What a dictionary's latents do: what a toy model's outputs lose without one, against without the feature."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose.inputs import ArrayLike, array
from superpose.jit import program
from superpose.losses import Population
from superpose.models import Network, check_features

_AT_A_TIME = 2**22
"""How many outputs are computed at a time."""


class Causal(NamedTuple):
    """For each feature, what its latent does, and what each of them is worth to the model."""

    agreement: Float[np.ndarray, " feature"]
    """1 where removing the latent does what removing the feature does, 0 where it does nothing, or nothing of that."""
    error: Float[np.ndarray, " feature"]
    """The standard error of the agreement, over samples."""
    effect: Float[np.ndarray, " feature"]
    """The mean of `|E|^2` over samples: what the model's outputs lose without the feature, as a square."""
    feature_cost: Float[np.ndarray, " feature"]
    """By how much the model's loss rises without the feature, on these samples; exactly, it is `removal`."""
    latent_cost: Float[np.ndarray, " feature"]
    """By how much it rises without the latent."""


def causal(
    model: Network,
    x: ArrayLike,
    z: ArrayLike,
    directions: ArrayLike,
    latent: ArrayLike,
    importance: ArrayLike = 1.0,
) -> Causal:
    """Whether latents do in the model what their features do: what its outputs lose without each of the two.

    Without feature `i` the input `x_i` is 0; without its latent `j = latent[i]` the hidden layer is `h - z_j d_j`. With `E`
    and `F` what the outputs lose by this, for each sample and output, the agreement is

        `2 E . F / (|E|^2 + |F|^2)`, with `E . F = sum_k importance_k E_k F_k` over samples and outputs `k`.

    It is from -1 to 1: 1 exactly where `F = E`, as for the true directions with the true codes in a model with a linear
    hidden layer; 0 where the latent is dead, or missing (`latent[i] = -1`), or changes other samples or outputs than
    the feature; negative where it does the opposite. A latent that does `a` times what the feature does has
    `2 a / (1 + a^2)`. NaN for a feature without any effect on these samples. A latent may point along a feature and
    do nothing: its code may be 0, or of another scale, or fire elsewhere.

    `x` are samples and `z` the codes of `model.encode(x)` for columns `directions` of length 1. The answer is about
    these samples: it is exact where they are all there are. `importance` is one number, or one for each feature.

    Raises ValueError for shapes that do not fit together.

    >>> from superpose.models import Linear
    >>> model, x = Linear(np.eye(2), np.zeros(2)), [[1.0, 0.0], [0.0, 1.0]]
    >>> done = causal(model, x, z=[[0.5, 0.0], [0.0, 0.0]], directions=np.eye(2), latent=[0, 1])
    >>> done.agreement.tolist(), done.feature_cost.tolist(), done.latent_cost.tolist()
    ([0.8, 0.0], [0.5, 0.5], [0.125, 0.0])
    """
    x, z = (
        np.asarray(array(each, name, "sample", of))
        for each, name, of in ((x, "x", "feature"), (z, "z", "latent"))
    )
    D, latent = np.asarray(array(directions, "directions", "hidden", "latent")), np.asarray(latent)
    check_features(model, x.shape[1])
    n = x.shape[1]
    if len(x) != len(z) or not len(x):
        raise ValueError(f"z must have the codes of each of the {len(x)} samples, got {len(z)}")
    if D.shape != (model.W.shape[0], z.shape[1]):
        raise ValueError(
            f"directions must have the shape (hidden, latent), {(model.W.shape[0], z.shape[1])}, got {D.shape}"
        )
    if latent.shape != (n,) or latent.dtype.kind not in "iu" or (latent >= z.shape[1]).any():
        raise ValueError(f"latent must be the number of a latent, or -1, for each of the {n} features")
    weight = jnp.broadcast_to(jnp.asarray(array(importance, "importance"), jnp.float32), (n,))
    codes = np.where(latent < 0, 0.0, z[:, latent])
    # Where a feature is not active and its latent does not fire, nothing is lost: no work is done there.
    sample, feature = np.nonzero((x != 0) | (codes != 0))
    size = max(1, min(1 << len(sample).bit_length(), _AT_A_TIME // max(D.shape[0], n)))
    h, y = _passed(model, x)
    blocks = [np.zeros((5, 0))]
    for start in range(0, len(sample), size):  # of few sizes, each of which is compiled once
        s, i = (np.resize(pair[start : start + size], size) for pair in (sample, feature))
        lost = _lost(model, x[s], h[s], y[s], i, codes[s, i], D.T[latent[i]], weight)
        blocks.append(np.asarray(lost, float)[:, : len(sample) - start])
    inner, own, both, *costs = np.concatenate(blocks, axis=1)

    def each(values):
        return np.bincount(feature, values, minlength=n)

    with np.errstate(divide="ignore", invalid="ignore"):
        agreement = np.where(each(own) == 0, np.nan, 2 * each(inner) / each(both))
        error = np.sqrt(each((2 * inner - agreement[feature] * both) ** 2)) / each(both)
    return Causal(agreement, error, *(each(values) / len(x) for values in (own, *costs)))


@program
def _passed(model, x) -> tuple[Float[Array, "sample hidden"], Float[Array, "sample feature"]]:
    h = jax.vmap(model.encode)(x)
    return h, jax.vmap(model.decode)(h)


@program
def _lost(model, x, h, y, feature, code, direction, weight) -> Float[Array, "number pair"]:
    """For each pair `E . F`, `|E|^2`, `|E|^2 + |F|^2`, and by how much the losses without feature and latent exceed that with both."""

    def of_one(x, h, y, feature, code, direction):
        # Exactly nothing where there is nothing to remove: rounding depends on how many samples are multiplied at once.
        without = jnp.where(x[feature] == 0, y, model.decode(model.encode(x.at[feature].set(0))))
        ablated = jnp.where(code == 0, y, model.decode(h - code * direction))
        E, F = y - without, y - ablated
        loss, *more = (weight @ (x - each) ** 2 for each in (y, without, ablated))
        inner, own, other = weight @ (E * F), weight @ E**2, weight @ F**2
        return jnp.stack([inner, own, own + other, *(cost - loss for cost in more)])

    return jax.vmap(of_one, out_axes=1)(x, h, y, feature, code, direction)


def removal(model: Network, features: Any) -> Float[Array, " feature"]:
    """By how much the exact loss rises where the model does not see one feature, which stays in the target.

    `Population(features)` of the model whose column `W[:, i]` is 0, and whose readout is as it was, less that of the model
    itself. 0 for a feature that changes no output; negative for one that does more harm, as interference, than good.
    `causal` estimates it from samples. Raises ValueError where `Population` does.

    >>> from superpose.features import Independent
    >>> from superpose.models import Linear
    >>> cost = removal(Linear([[1, 0]], [0, 0]), Independent([0.5, 0.5]))
    >>> np.allclose(cost, [1 / 6, 0])  # E[x^2] / 2, and the model ignores the other
    True
    """
    loss = Population(features)
    check_features(model, features.n_features)
    W = jnp.asarray(model.W)

    def without(i):
        parts = W.at[:, i].set(0), model.readout
        return loss(eqx.tree_at(lambda m: (m.W, m.W_out), model, parts, is_leaf=lambda leaf: leaf is None))

    return jax.lax.map(without, jnp.arange(W.shape[1])) - loss(model)
