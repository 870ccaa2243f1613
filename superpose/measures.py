"""Measures of one model, as pure functions of its weights `W` of shape `(hidden, feature)`.

Column `W[:, i]` is the direction of feature `i`, and `What_i` that column at length 1. For an
ensemble, `jax.vmap` them. Weights are anything that `numpy.asarray` takes; all else raises TypeError, and an array
of another shape ValueError. Where they are NaN so is the measure; one that cannot be NaN raises ValueError.
"""

from collections.abc import Callable
from functools import wraps
from itertools import product
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float, Int

from superpose.inputs import ArrayLike, array, finite, weights
from superpose.jit import program
from superpose.polytopes import nearest, parts

Encoder = Callable[[Float[Array, " feature"]], Float[Array, " hidden"]]
"""What computes the hidden layer of one sample, such as `model.encode`."""

_Measure = TypeVar("_Measure", bound=Callable)

# A column shorter than this has no direction to speak of: its What is 0.
_NO_LENGTH = 1e-6


def _of_weights(measure: _Measure) -> _Measure:
    """A measure of the weights of one model, of any type; one program where it is called by itself."""
    compiled = program(measure)

    @wraps(measure)
    def measured(W: ArrayLike, *args: Any, **settings: Any):
        return compiled(weights(W), *args, **settings)

    return measured  # type: ignore[return-value]


@_of_weights
def gram(W: ArrayLike) -> Float[Array, "feature feature"]:
    """`W^T W`: how much of feature `j` reaches output `i`. The identity where nothing interferes.

    >>> gram(jnp.array([[1.0, -1.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    return W.T @ W


@_of_weights
def norms(W: ArrayLike) -> Float[Array, " feature"]:
    """`|W_i|`: near 1 for a feature that the model represents, near 0 for one that it ignores.

    >>> norms(jnp.array([[3.0, 0.0], [4.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    # Each at its own scale: no square is too large or too small; and the slope of a column of 0 is 0, not NaN.
    largest = jnp.abs(W).max(axis=0, initial=0.0)
    there = ~(largest == 0) & ~jnp.isinf(largest)
    scale = stop_gradient(jnp.where(there, largest, 1.0))
    square = ((W / scale[None]) ** 2).sum(axis=0)
    return scale * jnp.where(there, jnp.sqrt(jnp.where(there, square, 1.0)), square)


@_of_weights
def n_represented(W: ArrayLike, threshold: float = 0.5) -> Float[Array, ""]:
    """The number of features with `|W_i| > threshold`, from 0 to the number of features.

    >>> float(n_represented(jnp.array([[1.0, -1.0, 0.1]])))
    2.0
    """
    length = norms(W)
    return _unless_nan((length > array(threshold, "threshold")).sum(dtype=length.dtype), length)


@_of_weights
def superposition(W: ArrayLike) -> Float[Array, " feature"]:
    """The interference that other features cause along the direction of each.

    `sum_{j != i} (What_i . W_j)^2`: 0 for a feature with a dimension to itself, and 1 or more
    where other features together can excite `W_i` as strongly as feature `i` does. It is 0 for
    an ignored feature (shorter than 1e-6). The length of `W_i` itself does not matter.

    Elhage et al. (2022), "Toy Models of Superposition", "Basic Results" (whose figure prints
    the sum without `j != i`).

    >>> superposition(jnp.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [1.0, 1.0, 0.0]
    """
    return (_along_each(W) ** 2).sum(axis=1) - jnp.where(_has_direction(W), norms(W) ** 2, 0.0)


@_of_weights
def dimensionality(W: ArrayLike) -> Float[Array, " feature"]:
    """The share of a hidden dimension that each feature has for itself.

    `D_i = |W_i|^2 / sum_j (What_i . W_j)^2`, in [0, 1]: 1 for a feature alone in its dimension,
    1/2 in an antipodal pair, 0 for one the model ignores (shorter than 1e-6). The shares sum to
    at most the number of hidden dimensions. The scale of `W` does not matter.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> dimensionality(jnp.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [0.5, 0.5, 1.0]
    """
    there, W = _has_direction(W), _at_scale(W)
    shared = ((_unit(W, there).T @ W) ** 2).sum(axis=1)
    return jnp.where(there, norms(W) ** 2 / jnp.where(there, shared, 1.0), 0.0)


@_of_weights
def dimensions_per_feature(W: ArrayLike) -> Float[Array, ""]:
    """`D* = m / |W|_F^2`: hidden dimensions for each represented feature.

    1 where each feature has a dimension, 1/2 where antipodal pairs share them, infinite for
    `W = 0`.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> float(dimensions_per_feature(jnp.array([[1.0, -1.0]])))
    0.5
    """
    return W.shape[0] / (W**2).sum()


@_of_weights
def cosines(W: ArrayLike) -> Float[Array, "feature feature"]:
    """`What_i . What_j`, from -1 (opposite) to 1 (the same direction); 0 for an ignored feature.

    >>> cosines(jnp.array([[2.0, -1.0], [0.0, 0.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    unit = _unit(W)
    return unit.T @ unit


@_of_weights
def leverage(W: ArrayLike) -> Float[Array, " feature"]:
    """How much of the hidden space hangs on each feature: `W_i^T (W W^T)^+ W_i`.

    From 0 to 1; it is 1 for a feature whose removal lowers the rank of `W` by one. The sum is the
    rank of `W`. `dimensionality` is nowhere larger than this, so its shares sum to no more than the rank, and
    to the rank itself only if all `W_i` are eigenvectors of `W W^T`. The scale of `W` does not matter.

    A comment by F. Zhang in Elhage et al. (2022), "Toy Models of Superposition".

    >>> np.asarray(leverage(jnp.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])), float).round(3).tolist()
    [0.1, 1.0, 0.9]
    """
    W = _at_scale(_for_algebra(W))
    share = (W * (jnp.linalg.pinv(W @ W.T, hermitian=True) @ W)).sum(axis=0)
    return _unless_nan(share, W)


def _for_algebra(W):
    """Half precision as float32, the lowest precision in which matrices are decomposed."""
    return W.astype(jnp.float32) if jnp.finfo(W.dtype).bits < 32 else W


def _at_scale(W):
    """`W` with a largest magnitude of 1, so that no square is lost; for measures that ignore its scale."""
    largest = jnp.abs(W).max(initial=0.0)
    return W / stop_gradient(jnp.where((largest == 0) | jnp.isinf(largest), 1.0, largest))


class Polytope(NamedTuple):
    """One of those that `polytopes` returns."""

    name: str
    """Such as "pentagon"; "dedicated" for a single feature, "unnamed" for one that is like no polytope."""
    features: tuple[int, ...]
    """Which features are its corners, in the order in which `superpose.polytopes.corners` has them."""
    rank: int
    """How many dimensions they span."""
    error: float
    """How far their cosines are from the polytope's, root mean square; NaN where it is unnamed."""


def polytopes(
    W: ArrayLike,
    *,
    represented: float = 0.5,
    link: float = 0.15,
    error: float = 0.15,
) -> list[Polytope]:
    """The polytopes at whose corners the features of a model point, by name.

    Features longer than `represented` are linked where their cosine is beyond `link` in size, and each
    connected part of this graph is compared with `superpose.polytopes.POLYTOPES` and the tegum products
    in `TEGUMS`: it gets the name of the one with the same number of corners whose cosines are nearest,
    if the root mean squared difference is at most `error`. So the parts of a tegum product are listed one by
    one, an octahedron for example as three digons, unless noise links them. Rotations of the hidden
    layer, the order of the features and their lengths make no difference.

    Raises ValueError for weights that are not finite.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".

    >>> [found[:3] for found in polytopes(np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.9, 0.1]]))]
    [('digon', (0, 1), 1), ('dedicated', (2,), 1)]
    """
    W = np.asarray(finite(W, "W", "hidden", "feature"), float)
    kept = np.flatnonzero(np.linalg.norm(W, axis=0) > represented)
    unit = W[:, kept] / np.linalg.norm(W[:, kept], axis=0)
    return [_polytope(unit[:, part], kept[part], error) for part in parts(np.abs(unit.T @ unit) > link)]


def _polytope(unit, features, tolerance) -> Polytope:
    stretch = np.linalg.svd(unit, compute_uv=False)
    rank = int((stretch > 0.2 * stretch[0]).sum())
    name, error, order = nearest(unit.T @ unit)
    if len(features) == 1:
        name, error = "dedicated", 0.0
    elif error > tolerance:
        name, error, order = "unnamed", np.nan, np.arange(len(features))
    return Polytope(name, tuple(features[order].tolist()), rank, error)


@_of_weights
def excess_features(W: ArrayLike, threshold: float = 0.5) -> Float[Array, ""]:
    """By how much the number of represented features exceeds that of the dimensions they span.

    `n_represented(W, threshold)` less the rank of those columns of `W`: 0 without superposition, where
    `W^T W` of the represented features is invertible, and else how far its rank falls short. It is
    from 0 to one less than the number of features. A direction counts as spanned where its singular value exceeds
    1e-4 of the largest.

    Elhage et al. (2022), "Toy Models of Superposition", "Definitions and Motivation".

    >>> float(excess_features(jnp.eye(2))), float(excess_features(jnp.array([[1.0, -1.0, 0.9]])))
    (0.0, 2.0)
    """
    W = _for_algebra(W)
    kept = jnp.where(norms(W) > array(threshold, "threshold"), W, 0.0)
    stretch = jnp.linalg.svd(kept, compute_uv=False)
    rank = (stretch > 1e-4 * stretch.max(initial=1e-12)).sum(dtype=stretch.dtype)
    return n_represented(W, threshold) - rank


@_of_weights
def basis_alignment(W: ArrayLike) -> Float[Array, " feature"]:
    """The share of each feature's length that lies along one neuron.

    `max_k W_ki^2 / |W_i|^2`: 1 where feature `i` is a single neuron, `1 / n_hidden` where it lies along all
    equally, and 0 for an ignored feature (shorter than 1e-6). Rotating the hidden layer changes it, so it
    says something only of a model whose neurons are singled out, by a hidden activation for example.

    Elhage et al. (2022), "Toy Models of Superposition", "Definitions and Motivation".

    >>> basis_alignment(jnp.array([[0.0, 1.0], [3.0, -1.0]])).round(3).tolist()
    [1.0, 0.5]
    """
    return (_unit(W) ** 2).max(axis=0, initial=0.0)


def linearity(encode: Encoder, x: ArrayLike) -> Float[Array, ""]:
    """How much of the features' effect on the hidden layer is explained by one direction for each feature.

    With `e(x) = encode(x) - encode(0)`, `1 - sum |e(x) - M x|^2 / sum |e(x)|^2` over the samples `x` for the best
    matrix `M`: from 0 to 1, and 1 where the hidden layer is `sum_i x_i W_i` plus a constant. `encode` takes
    one sample, such as `model.encode`. NaN where no sample has an effect. Raises ValueError without samples.

    Elhage et al. (2022), "Toy Models of Superposition", "Definitions and Motivation".

    >>> x = jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    >>> float(linearity(lambda x: x[:1] - x[1:] + 3, x)), bool(linearity(lambda x: x[:1] * x[1:], x) < 0.9)
    (1.0, True)
    """
    x = _samples(x)
    effect = _effect(encode, x)
    M = jnp.linalg.pinv(x) @ effect
    return 1 - ((effect - x @ M) ** 2).sum() / (effect**2).sum()


def decomposability(encode: Encoder, x: ArrayLike) -> Float[Array, ""]:
    """How much of the features' effect on the hidden layer each has whatever the others are.

    With `e(x) = encode(x) - encode(0)`, `1 - sum |e(x) - sum_i e(x_i)|^2 / sum |e(x)|^2` over the samples `x`, where
    `e(x_i)` is the effect of feature `i` alone: at most 1, reached where the features' contributions add up, so that each can be understood by itself;
    negative where they mostly undo each other. A feature's own contribution need not be linear,
    but where the hidden layer is linear this is 1. `encode` is as for `linearity`. Raises ValueError without samples.

    Elhage et al. (2022), "Toy Models of Superposition", "Definitions and Motivation".

    >>> x = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    >>> float(decomposability(lambda x: x**2, x)), float(decomposability(lambda x: jnp.maximum(x, x[::-1]), x))
    (1.0, 0.5)
    """
    x = _samples(x)
    effect = _effect(encode, x)
    alone = jax.vmap(lambda x: _effect(encode, jnp.diag(x)).sum(axis=0))(x)
    return 1 - ((effect - alone) ** 2).sum() / (effect**2).sum()


def _samples(x) -> Float[Array, "sample feature"]:
    x = jnp.asarray(array(x, "x", "sample", "feature"))
    if not len(x):
        raise ValueError(f"x must have at least one sample, got the shape {x.shape}")
    return x


def _effect(encode, x) -> Float[Array, "sample hidden"]:
    return jax.vmap(encode)(x) - encode(jnp.zeros_like(x[0]))[None]


@_of_weights
def participation(W: ArrayLike) -> Float[Array, " hidden"]:
    """How many features each hidden neuron responds to: `(sum_i |w_i|)^2 / sum_i w_i^2` of its weights `w`.

    From 1, a single feature, to the number of features, all with weights of one size; 0 for a neuron
    without weights. The scale of `w` does not matter.

    For the neurons of Elhage et al. (2022), "Toy Models of Superposition", "Computation in Superposition".

    >>> participation(jnp.array([[2.0, 0.0, 0.0], [1.0, -1.0, 0.0]])).tolist()
    [1.0, 2.0]
    """
    square = (W**2).sum(axis=1)
    there = ~(square <= _NO_LENGTH**2)
    return jnp.where(there, jnp.abs(W).sum(axis=1) ** 2 / jnp.where(there, square, 1.0), 0.0)


def monosemantic(W: ArrayLike, threshold: float = 0.3) -> Bool[Array, " hidden"]:
    """Whether each hidden neuron responds to one feature: to a single one with `|w| > threshold`.

    This depends on the scale of `W`. It is right for tied weights, where those that matter are near 1
    in size (or far below -1, where a feature switches a neuron off); for others, see `rescaled`.

    Raises ValueError for weights that are not finite, unless they are traced.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition in a Privileged Basis".

    >>> monosemantic(jnp.array([[1.0, 0.2, 0.0], [1.0, -0.5, 0.0], [0.0, 0.0, 0.0]])).tolist()
    [True, False, False]
    """
    W = weights(W)
    if not isinstance(W, jax.core.Tracer):
        finite(W, "W")
    return (jnp.abs(W) > array(threshold, "threshold")).sum(axis=1) == 1


def rescaled(
    W: ArrayLike, W_out: ArrayLike
) -> tuple[Float[Array, "hidden feature"], Float[Array, "feature hidden"]]:
    """The weights of the same function with each hidden unit's largest `|W|` equal to 1.

    Input weights are divided, and output weights multiplied, by the same number, which makes no difference
    where the hidden layer is of ReLUs without a bias. A unit without input weights, which does nothing, gets
    output weights of 0. Raises ValueError unless `W_out` has the shape `(feature, hidden)` where `W` has `(hidden, feature)`.

    Elhage et al. (2022), "Toy Models of Superposition", "Computation in Superposition", footnote 15.

    >>> W, W_out = rescaled(jnp.array([[4.0, -2.0]]), jnp.array([[1.0], [0.5]]))
    >>> W.tolist(), W_out.tolist()
    ([[1.0, -0.5]], [[4.0], [2.0]])
    """
    W, W_out = _both(W, W_out)
    largest = jnp.abs(W).max(axis=1, initial=0.0)
    there = largest != 0
    scale = jnp.where(there, largest, 1.0)[:, None]
    return jnp.asarray(W) / scale, jnp.asarray(W_out) * jnp.where(there, largest, 0.0)[None]


def asymmetric_motifs(
    W: ArrayLike,
    W_out: ArrayLike,
    ratio: float = 2.0,
    own: float = 0.3,
    inhibits: float = 0.5,
) -> Int[np.ndarray, "motif 4"]:
    """Neurons in asymmetric superposition with their inhibitors: rows (neuron, inhibitor, A, B).

    In a layer of ReLUs without a bias, unit `k` passes `W_out[o, k] |W[k, i]|` of feature `i` on to output
    `o`. Unit `k` and features A and B are a motif where

    - it responds to A and to B with opposite signs, to A `ratio` times as much or more, and it adds to both
      outputs, to B `ratio` times as much or more: A disturbs B far more than B disturbs A;
    - it does work for both: it passes `own` or more of A on to A and of B on to B;
    - another unit, the inhibitor, responds to A with the same sign and takes away again at least the share
      `inhibits` of what A pushes onto B. The strongest is named.

    Raises ValueError for weights that are not finite, or whose shapes do not fit each other.

    Elhage et al. (2022), "Toy Models of Superposition", "Computation in Superposition".

    >>> W = np.array([[2.0, -0.5], [1.0, 0.0]])
    >>> asymmetric_motifs(W, np.array([[0.5, 0.0], [2.0, -4.0]])).tolist()
    [[0, 1, 0, 1]]
    >>> asymmetric_motifs(W, np.array([[0.5, 0.0], [2.0, 0.0]])).tolist()
    []
    """
    W, W_out = (finite(each, name) for each, name in zip(_both(W, W_out), ("W", "W_out"), strict=True))
    motifs = []
    n_hidden, n_features = W.shape
    for k, a, b in product(range(n_hidden), range(n_features), range(n_features)):
        reads_a, reads_b = abs(W[k, a]), abs(W[k, b])
        adds_a, adds_b = W_out[a, k], W_out[b, k]
        opposite = W[k, a] * W[k, b] < 0 and min(adds_a, adds_b) > 0
        works = min(reads_a * adds_a, reads_b * adds_b) >= own
        if opposite and works and reads_a >= ratio * reads_b and adds_b >= ratio * adds_a:
            takes = -W_out[b] * np.maximum(W[:, a] * np.sign(W[k, a]), 0)
            inhibitor = int(takes.argmax())
            if takes[inhibitor] >= inhibits * reads_a * adds_b:
                motifs.append((k, inhibitor, a, b))
    return np.array(motifs, int).reshape(-1, 4)


def gaps(W: ArrayLike) -> Float[np.ndarray, " feature"]:
    """The angles from each feature to the next around the circle, in degrees, for 2 hidden dimensions.

    They are in the order of the features' directions, counterclockwise from the negative first axis, and
    sum to 360. The lengths of features do not matter.

    Raises ValueError for weights that are not finite, or not of 2 hidden dimensions.

    >>> gaps(np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])).tolist()
    [90.0, 45.0, 225.0]
    """
    W = finite(W, "W", "hidden", "feature")
    if len(W) != 2:
        raise ValueError(f"W must have 2 hidden dimensions, got {len(W)}")
    angle = np.sort(np.degrees(np.arctan2(W[1], W[0])))
    return np.diff(angle, append=angle[:1] + 360)


def _both(W, W_out):
    """Input and output weights of one model."""
    W, W_out = weights(W), array(W_out, "W_out", "feature", "hidden")
    if W.shape != W_out.shape[::-1]:
        raise ValueError(f"W_out must have the shape (feature, hidden) = {W.shape[::-1]}, got {W_out.shape}")
    return W, W_out


def _has_direction(W):
    return ~(norms(W) <= _NO_LENGTH)  # or NaN, which is to stay


def _unless_nan(value, of):
    return jnp.where(jnp.isnan(of).any(), jnp.nan, value)


def _unit(W, there=None):
    there = _has_direction(W) if there is None else there
    return jnp.where(there, W / jnp.where(there, norms(W), 1.0)[None], 0.0)


def _along_each(W) -> Float[Array, "feature feature"]:
    # Row i: how far each W_j reaches along What_i.
    return _unit(W).T @ W
