"""How much of the truth a dictionary has: in its directions and in its codes; `causal` is about what they do.

`directions` has a column for each latent and `truth` one for each feature; their lengths do not matter. A column
shorter than 1e-6 has no direction and matches nothing, but counts. Codes `z` and features `x` have a row for each sample.
`live` says which latents can be matched: `live(z)`, so that one that never fires cannot, or all where it is None.
With `signed`, for methods whose codes may be negative, such as PCA and ICA, a direction counts up to its sign.

What is no array of numbers raises TypeError, and what is no matrix, or is of sizes that do not fit, ValueError.
A NaN anywhere that matters makes the score NaN. `matching`, `mcc`, `consistency` and `subspace` are computed by
SciPy or NumPy, outside of `jax.jit`; the others can be compiled and mapped.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from superpose import measures, memory
from superpose.dictionaries._causal import Causal, causal, removal
from superpose.inputs import ArrayLike, array, number
from superpose.jit import program

__all__ = [
    "Causal",
    "Matching",
    "Support",
    "absorption",
    "causal",
    "columns",
    "consistency",
    "dead",
    "explained_variance",
    "l0",
    "live",
    "matching",
    "mcc",
    "nearest",
    "recovery",
    "removal",
    "shrinkage",
    "subspace",
    "support",
    "uniqueness",
]

_NO_LENGTH = 1e-6
_BLOCK = 2**24
"""How many cosines are computed at a time."""


def recovery(
    directions: ArrayLike, truth: ArrayLike, *, live: ArrayLike | None = None, signed: bool = False
) -> Float[Array, " feature"]:
    """For each feature the largest cosine to a live latent; the mean is known as MMCS.

    From -1 to 1: 1 where some latent points exactly along the feature; 0 for a feature without a direction, and where
    there is no live latent. It is never 0 by chance: the best of many random directions has a cosine well above that,
    so read it beside that of random directions. One latent may be the best for several features, which `mcc` does not
    allow. Another latent never lowers it.

    Sharkey, Braun and Millidge (2022), "Taking features out of superposition with sparse autoencoders".

    >>> recovery([[1, 1], [0, 0]], [[2, 0], [0, 1]]).tolist()  # both latents are feature 0
    [1.0, 0.0]
    >>> recovery([[1, 0], [0, -1]], np.eye(2)).tolist(), recovery([[1, 0], [0, -1]], np.eye(2), signed=True).tolist()
    ([1.0, 0.0], [1.0, 1.0])
    """
    D, T, live = _both(directions, truth, live)
    return _largest(T, D, live, signed)[0]


def nearest(
    directions: ArrayLike, truth: ArrayLike, *, live: ArrayLike | None = None, signed: bool = False
) -> Int[Array, " latent"]:
    """The feature that each latent is most like, the first of equal ones; -1 where all cosines are 0 or negative.

    A latent that is not live, or has no direction, has -1 too.

    >>> nearest([[1, 3, -1], [0, 4, 0]], [[1, 0], [0, 1]]).tolist()
    [0, 1, -1]
    """
    D, T, live = _both(directions, truth, live)
    return _nearest(D, T, live, signed)[1]


def uniqueness(
    directions: ArrayLike, truth: ArrayLike, *, live: ArrayLike | None = None, signed: bool = False
) -> Float[Array, ""]:
    """How many different features are `nearest` to some latent, divided by the number of latents.

    From 0 to 1, and to n / M where there are more latents M than features n: 1 where no two latents are most like the
    same feature, 1 / M where all are, 0 where none is live. It says nothing of how near they are: random
    directions have about 0.6. After a one-to-one matching it would be 1 whatever the dictionary.

    >>> float(uniqueness([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.eye(3)))
    0.75
    """
    D, T, live = _both(directions, truth, live)
    best, feature = _nearest(D, T, live, signed)
    found = jnp.zeros(T.shape[1], best.dtype)
    found = found.at[jnp.where(feature < 0, len(found), feature)].set(jnp.ones((), best.dtype), mode="drop")
    return jnp.where(jnp.isnan(best).any(), jnp.nan, found.sum() / max(1, len(feature)))


class Matching(NamedTuple):
    """Which latent stands for which feature, one to one, and what this makes of the whole dictionary."""

    latent: Int[np.ndarray, " feature"]
    """The latent of each feature; -1 where it has none."""
    cosine: Float[np.ndarray, " feature"]
    """Its cosine to the feature; 0 where there is none."""
    n_latents: int
    """How many latents there are, matched or not."""

    @property
    def mcc(self) -> float:
        """The mean cosine over all features."""
        return float(self.cosine.mean())

    @property
    def precision(self) -> float:
        """The sum of cosines over the number of latents: dead latents and duplicates lower it."""
        return float(self.cosine.sum() / self.n_latents)

    @property
    def recall(self) -> float:
        """The sum of cosines over the number of features: the `mcc`, by its other name."""
        return self.mcc

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, `2 sum / (latents + features)`."""
        return float(2 * self.cosine.sum() / (self.n_latents + len(self.cosine)))


def matching(
    directions: ArrayLike, truth: ArrayLike, *, live: ArrayLike | None = None, signed: bool = False
) -> Matching:
    """The one-to-one assignment of latents to features with the largest sum of cosines.

    Negative cosines are no matches. Where anything is NaN there are none, and all cosines are NaN. It is optimal, by
    SciPy's Hungarian algorithm, where greedy matching is not. It takes 8 bytes for each pair of a latent and a feature;
    16,384 features and 4,096 latents take 2 s, but minutes where all latents are nearly the same direction.

    Raises MemoryError where the pairs do not fit.

    >>> found = matching([[0.9, 0.8], [0.8, 0.0], [0.1, 0.6]], [[1, 0], [0, 1], [0, 0]])
    >>> found.latent.tolist()  # latent 0 is nearest to both features: it goes where this costs least
    [1, 0]
    >>> collapsed = matching(np.eye(4)[:, [0, 0, 0, 0]], np.eye(4))
    >>> collapsed.latent.tolist(), collapsed.mcc, collapsed.precision, collapsed.f1
    ([0, -1, -1, -1], 0.25, 0.25, 0.25)
    """
    D, T, live = (np.asarray(each) for each in _both(directions, truth, live))
    M, n = D.shape[1], T.shape[1]
    D = np.where(live[None], D, 0.0).astype(D.dtype)
    latent, cosine = np.full(n, -1), np.zeros(n)
    if np.isnan(D).any() or np.isnan(T).any():
        return Matching(latent, np.full(n, np.nan), M)
    memory.check(8.0 * M * n, f"a matching of {M} latents to {n} features", "give fewer of them")
    few, many = (D, T) if n >= M else (T, D)
    size = np.empty((few.shape[1], many.shape[1]))  # as SciPy has it, which so makes no copy
    for block in _blocks(*size.shape):
        size[block] = few[:, block].T @ many
    np.abs(size, out=size) if signed else np.maximum(size, 0, out=size)
    rows, places = linear_sum_assignment(np.negative(size, out=size))
    value = np.minimum(-size[rows, places], 1.0)
    which, of = (rows, places) if n >= M else (places, rows)
    latent[of], cosine[of] = np.where(value > 0, which, -1), value
    return Matching(latent, cosine, M)


def mcc(
    directions: ArrayLike, truth: ArrayLike, *, live: ArrayLike | None = None, signed: bool = False
) -> float:
    """The mean cosine of features with their latents in the best one-to-one `matching`.

    From 0 to 1: 1 where each feature has a latent of its own along it. The mean is over all features, and one without
    a latent counts 0: two features found of eight give 1/4, where a mean over the matched pairs would give 1. More
    latents never lower it, but `matching(...).precision` and `f1`. Random directions have more than 0.

    >>> mcc(np.eye(8)[:, :2], np.eye(8)), mcc(np.eye(8), np.eye(8)), mcc(-np.eye(8), np.eye(8))
    (0.25, 1.0, 0.0)
    """
    return matching(directions, truth, live=live, signed=signed).mcc


def consistency(dictionaries: Sequence[ArrayLike], *, signed: bool = False) -> float:
    """How far dictionaries of different seeds agree: the mean over pairs of the `f1` of one against the other.

    From 0 to 1: 1 where all have the same directions in any order. For dictionaries of one width it is the pairwise
    mean MCC (PW-MCC). It needs no truth, and is no proof of it: seeds can agree on what is wrong, such as the
    principal components.

    Raises ValueError for fewer than two dictionaries.

    Song et al. (2025), arXiv 2505.20254.

    >>> consistency([np.eye(4), np.eye(4)[:, ::-1], np.eye(4)[:, [0, 1, 0, 1]]])  # pairs: 1, 1/2, 1/2
    0.6666666666666666
    """
    if len(dictionaries) < 2:
        raise ValueError(f"consistency needs two dictionaries or more, got {len(dictionaries)}")
    pairs = combinations(dictionaries, 2)
    return float(np.mean([matching(one, other, signed=signed).f1 for one, other in pairs]))


def subspace(directions: ArrayLike, truth: ArrayLike) -> Float[np.ndarray, " angle"]:
    """The cosines of the principal angles between what the latents and what the features span, the largest first.

    One for each dimension that the features span, from 0 to 1: all 1 where the latents' span has all of the
    features'. The mean of their squares is the share of the features' span that is found; for a random span of `k`
    out of `m` dimensions it is `k / m`. So compare small groups: a whole dictionary spans everything.

    >>> subspace([[1, 1], [1, -1], [0, 0]], [[1, 0], [0, 0], [0, 1]]).round(6).tolist()
    [1.0, 0.0]
    """
    D, T, _ = (np.asarray(each) for each in _both(directions, truth, None))
    if np.isnan(D).any() or np.isnan(T).any():
        return np.full(min(T.shape), np.nan)
    D, T = _basis(D), _basis(T)
    cosine = np.linalg.svd(D.T @ T, compute_uv=False)
    return np.minimum(np.pad(cosine, (0, T.shape[1] - len(cosine))), 1.0)


def live(z: ArrayLike) -> Bool[Array, " latent"]:
    """Which latents fire on any of the samples, that is, have a code other than 0.

    >>> live([[0.0, 0.5], [0.0, 0.0]]).tolist()
    [False, True]
    """
    return (jnp.asarray(array(z, "z", "sample", "latent")) != 0).any(axis=0)


def dead(z: ArrayLike) -> Float[Array, ""]:
    """The share of latents that fire on none of the samples; more samples can only lower it.

    From 0 to 1. A latent may have a direction of any length and be dead.

    >>> float(dead([[0.0, 0.5], [0.0, 0.0]]))
    0.5
    """
    z = jnp.asarray(array(z, "z", "sample", "latent"))
    return _unless_nan(1 - live(z).mean(dtype=z.dtype), z, None)


def l0(z: ArrayLike) -> Float[Array, ""]:
    """How many latents fire on a sample, on average: from 0 to the number of latents; compare `l0(x)`.

    Codes of optimizers such as FISTA have many that are almost 0, all of which count.

    >>> float(l0([[0.0, 0.5, 0.1], [0.0, 0.0, 2.0]]))
    1.5
    """
    z = jnp.asarray(array(z, "z", "sample", "latent"))
    return _unless_nan((z != 0).sum(axis=1, dtype=z.dtype).mean(), z, None)


class Support(NamedTuple):
    """How well codes tell when features are active; NaN where a code is NaN."""

    precision: Float[Array, " pair"]
    """Of the samples on which the latent is on, the share with the feature on; 0 for a latent that is never on."""
    recall: Float[Array, " pair"]
    """Of the samples on which the feature is on, the share with the latent on; 0 for a feature that is never on."""
    f1: Float[Array, " pair"]
    """Their harmonic mean; 0 where either is 0."""


def support(z: ArrayLike, x: ArrayLike, threshold: float = 0.0) -> Support:
    """When latents fire, against when features are active: column `k` of `z` is to be column `k` of `x`.

    From 0 to 1, and 1 where both are on for the same samples: on is above `threshold` in size, for both. Take pairs both
    ways. `support(columns(z, matching(...).latent), x)` has one for each feature, and shows what is missed;
    `support(z, columns(x, nearest(...)))` one for each latent, and shows what is made up: a mean over it alone hides the
    features that no latent stands for. Raises ValueError for `z` and `x` of different shapes.

    >>> z, x = [[0.9], [0.5], [0.0], [0.0]], [[1.0], [0.0], [1.0], [0.0]]
    >>> [each.tolist() for each in support(z, x)], [each.tolist() for each in support(z, x, threshold=0.6)[:2]]
    ([[0.5], [0.5], [0.5]], [[1.0], [0.5]])
    """
    z, x = _samples("z", z), _samples("x", x)
    if z.shape != x.shape:
        raise ValueError(f"x must have the shape of z, {z.shape}, got {x.shape}; pair them by `columns`")
    return Support(*_support(z, x, number(threshold, "threshold")))


def columns(values: ArrayLike, which: ArrayLike) -> Float[Array, "sample pair"]:
    """The columns `which` of the `values` of codes or features, and columns of 0 for -1, which is no column.

    >>> columns([[1.0, 2.0]], [1, -1, 0]).tolist()
    [[2.0, 0.0, 1.0]]
    """
    values, which = _samples("values", values), jnp.asarray(which)
    if not values.shape[1]:
        return jnp.zeros((len(values), len(which)), values.dtype)
    return jnp.where((which < 0)[None], jnp.zeros((), values.dtype), values[:, which])


def absorption(
    z: ArrayLike, parent: ArrayLike, child: ArrayLike, threshold: float = 0.0
) -> Float[Array, " edge"]:
    """How much less often the parent's latent fires where the child is active too.

    `z`, the codes of the parents' latents, and `parent` and `child`, the features, have a column for each edge. The latent's recall of the parent over samples without the child, minus that over samples with it. From -1 to 1: 0
    where the child makes no difference, 1 where the child's latent has taken over the parent wherever both are
    active. It may be negative. A latent that never fires has 0: see its recall. NaN where one of the two cases has no
    sample, as it then is unknown. Raises ValueError for shapes that differ.

    Chanin et al. (2024), "A is for Absorption".

    >>> parent, child = [[1.0]] * 4, [[0.0], [0.0], [1.0], [1.0]]
    >>> absorption([[0.8], [0.9], [0.0], [0.7]], parent, child).tolist()
    [0.5]
    """
    z, parent, child = _samples("z", z), _samples("parent", parent), _samples("child", child)
    if not z.shape == parent.shape == child.shape:
        raise ValueError(
            f"parent and child must have the shape of z, {z.shape}, got {parent.shape}, {child.shape}"
        )
    return _absorption(z, parent, child, number(threshold, "threshold"))


def explained_variance(h: ArrayLike, reconstruction: ArrayLike) -> Float[Array, ""]:
    """`1 - sum |h - h'|^2 / sum |h - m|^2`, over samples and dimensions: `h'` is the `reconstruction`, `m` the mean of `h`.

    At most 1, where `h' = h`; 0 for the mean as reconstruction, negative for worse. NaN where `h` does not vary. Dense
    codes explain all of it with any directions that span the space: alone it says nothing of the truth.

    >>> float(explained_variance([[1.0], [3.0]], [[1.0], [2.5]]))
    0.875
    """
    h, found = _activations(h, reconstruction)
    varies = ((h - h.mean(axis=0, keepdims=True)) ** 2).sum()
    return jnp.where(varies == 0, jnp.nan, 1 - ((h - found) ** 2).sum() / varies)


def shrinkage(h: ArrayLike, reconstruction: ArrayLike) -> Float[Array, ""]:
    """The mean length of reconstructions over that of activations, `sum |h'| / sum |h|`, with `h'` the `reconstruction`.

    0 or more: 1 where lengths are kept, below 1 where a penalty on codes has made them smaller. It may be 1
    where each reconstruction is wrong.

    >>> float(shrinkage([[3.0, 4.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 0.0]]))
    0.5
    """
    h, found = _activations(h, reconstruction)
    return measures.norms(found.T).sum() / measures.norms(h.T).sum()


@program
def _support(z, x, threshold):
    z_on, x_on = jnp.abs(z) > threshold, jnp.abs(x) > threshold
    both, z_on, x_on = ((z_on & x_on).sum(axis=0), z_on.sum(axis=0), x_on.sum(axis=0))
    shares = _share(both, z_on), _share(both, x_on), _share(2 * both, z_on + x_on)
    return [_unless_nan(_unless_nan(each, z, 0), x, 0) for each in shares]


@program
def _absorption(z, parent, child, threshold):
    z_on, parent_on, child_on = (jnp.abs(each) > threshold for each in (z, parent, child))
    without, within = parent_on & ~child_on, parent_on & child_on
    gap = _recall(z_on, without) - _recall(z_on, within)
    for each in (z, parent, child):
        gap = _unless_nan(gap, each, 0)
    return gap


def _recall(on, there):
    n = there.sum(axis=0)
    return jnp.where(n > 0, _share((on & there).sum(axis=0), n), jnp.nan)


def _share(part, whole):
    return part.astype(jnp.float32) / jnp.maximum(whole, 1).astype(jnp.float32)


def _unless_nan(score, values, axis):
    return jnp.where(jnp.isnan(values).any(axis=axis), jnp.nan, score)


def _samples(name, values):
    return jnp.asarray(array(values, name, "sample", "pair"))


def _activations(h, reconstruction):
    h, found = (jnp.asarray(array(each, name, "sample", "hidden")) for each, name in ((h, "h"), (reconstruction, "reconstruction")))  # fmt: skip
    if h.shape != found.shape:
        raise ValueError(f"reconstruction must have the shape of h, {h.shape}, got {found.shape}")
    return h, found


def _both(directions, truth, live):
    """Dictionary and truth with columns of length 1, or 0, and which latents are live."""
    D, T = array(directions, "directions", "hidden", "latent"), array(truth, "truth", "hidden", "feature")
    if len(D) != len(T):
        raise ValueError(f"directions must be columns of {len(T)} numbers, as truth has, got {D.shape}")
    if not D.shape[1] or not T.shape[1]:
        raise ValueError(f"there must be a latent and a feature, got {D.shape[1]} and {T.shape[1]}")
    live = jnp.ones(D.shape[1], bool) if live is None else jnp.asarray(array(live, "live", "latent")) != 0
    if live.shape != D.shape[1:]:
        raise ValueError(f"live must be one for each of the {D.shape[1]} latents, got {live.shape}")
    return _unit(D), _unit(T), live


def _unit(D):
    D = jnp.asarray(D)
    D = D.astype(jnp.float32) if jnp.finfo(D.dtype).bits < 32 else D
    length = measures.norms(D)
    there = ~(length < _NO_LENGTH)
    return jnp.where(there[None], D / jnp.where(there, length, 1.0)[None], jnp.zeros((), D.dtype))


def _nearest(D, T, live, signed):
    """The largest cosine of each latent, and the feature that has it."""
    cosine, feature = _largest(D, T, jnp.ones(T.shape[1], bool), signed)
    cosine = jnp.where(live, cosine, jnp.zeros((), cosine.dtype))
    return cosine, jnp.where(cosine > 0, feature, -1)


@program
def _largest(of, among, there, signed):
    """The largest cosine of each column with one that is `there` and has a direction, and where it is."""
    there = there & (among != 0).any(axis=0)
    values, places = [], []
    for block in _blocks(of.shape[1], among.shape[1]):
        cosine = of[:, block].T @ among
        cosine = jnp.where(there[None], jnp.abs(cosine) if signed else cosine, -jnp.inf)
        values.append(cosine.max(axis=1))
        places.append(cosine.argmax(axis=1))
    value = jnp.concatenate(values)
    return jnp.where(there.any(), jnp.clip(value, -1, 1), jnp.zeros((), value.dtype)), jnp.concatenate(places)


def _blocks(rows, columns):
    """Slices of rows, with few enough of them for a block of cosines."""
    size = max(1, _BLOCK // columns)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _basis(D):
    U, stretch, _ = np.linalg.svd(D, full_matrices=False)
    return U[:, stretch > 1e-4 * max(stretch.max(initial=0.0), 1e-12)]
