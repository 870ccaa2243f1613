"""What vectors in random directions have: `n` of them in `m` dimensions, each uniform on the sphere and independent of the others.

For one vector, the squares of its cosines with the others are independent, each from Beta(1/2, (m - 1)/2); so the first moments are exact.
Cosines of different pairs are independent two by two, but not all together: so variances are exact, and maxima over all pairs nearly so.

Where lengths differ, `norms` are those of all vectors. Sizes below 1, lengths that are not finite and chances outside of 0 to 1 raise ValueError; what is no number raises TypeError.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from superpose.inputs import ArrayLike, finite, number, whole
from superpose.progress import progress_bar

BINS = 1000
"""The bins of cosines, from -1 to 1."""


def frame_potential(n: Any, m: Any) -> float:
    """The mean of `sum_ij c_ij^2`, `c` the cosines of all ordered pairs of `n` random vectors in `m` dimensions: `n + n (n - 1) / m`.

    It exceeds the least that is possible, `least_potential`, by less than `m`: random vectors are nearly tight where `n` is far above `m`.

    Benedetto and Fickus (2003), "Finite Normalized Tight Frames", has the potential.

    >>> frame_potential(5, 2), frame_potential(1, 7)
    (15.0, 1.0)
    """
    n, m = _sizes(n, m)
    return n + n * (n - 1) / m


def frame_potential_std(n: Any, m: Any) -> float:
    """The standard deviation of `frame_potential`: `sqrt(2 n (n - 1) v)` with `v = 2 (m - 1) / (m^2 (m + 2))`, the variance of `cos^2`.

    0 in one dimension, where all squares are 1.

    >>> round(frame_potential_std(2, 2), 4), frame_potential_std(9, 1)
    (0.7071, 0.0)
    """
    n, m = _sizes(n, m)
    return float(np.sqrt(2.0 * n * (n - 1) * _variance(m)))


def least_potential(n: Any, m: Any) -> float:
    """The least `sum_ij c_ij^2`, of cosines `c`, that `n` vectors in `m` dimensions can have: `n^2 / m`, or `n` where there are no more vectors than dimensions.

    It is reached by tight frames, such as the corners of a regular polygon, and by vectors at right angles.

    Welch (1974), "Lower Bounds on the Maximum Cross Correlation of Signals"; Benedetto and Fickus (2003), "Finite Normalized Tight Frames",
    who show that nothing but these reaches it.

    >>> least_potential(5, 2), least_potential(2, 5)
    (12.5, 2.0)
    """
    n, m = _sizes(n, m)
    return max(float(n), n**2 / m)


def least_coherence(n: Any, m: Any) -> float:
    """The least that the largest `|cos|` of `n` vectors in `m` dimensions can be: `sqrt((n - m) / (m (n - 1)))`; 0 where `n <= m`.

    Reached where all pairs have one `|cos|`, as in a simplex; beyond `n = m^2` it is out of reach.

    Welch (1974), "Lower Bounds on the Maximum Cross Correlation of Signals".

    >>> least_coherence(3, 2), least_coherence(2, 2)
    (0.5, 0.0)
    """
    n, m = _sizes(n, m)
    return float(np.sqrt((n - m) / (m * (n - 1)))) if n > m else 0.0


def beyond(cosine: Any, m: Any) -> float:
    """The chance that two random vectors in `m` dimensions have a larger `|cos|` than this.

    `cos^2` is from Beta(1/2, (m - 1)/2): uniform `|cos|` in three dimensions, and always 1 in one.

    >>> round(beyond(0.25, 3), 6), beyond(0.25, 1)
    (0.75, 1.0)
    """
    (m,) = _sizes(m)
    cosine = number(cosine, "cosine")
    return (
        float(cosine < 1)
        if m == 1
        else float(stats.beta.sf(min(max(cosine, 0.0), 1.0) ** 2, 0.5, (m - 1) / 2))
    )


def nearest(n: Any, m: Any, q: Any = 0.5) -> float:
    """The `q`-quantile, by default the median, of a vector's largest `|cos|` with `n - 1` random others in `m` dimensions.

    Exact: the others' cosines are independent. NaN for a vector alone.

    >>> round(nearest(2, 3), 3), nearest(1, 3)
    (0.5, nan)
    """
    n, m = _sizes(n, m)
    return _largest(n - 1, m, q)


def coherence(n: Any, m: Any, q: Any = 0.5) -> float:
    """The `q`-quantile, by default the median, of the largest `|cos|` among all pairs of `n` random vectors in `m` dimensions.

    As if all pairs were independent, which is exact for two vectors, and right for many: see Cai, Fan and Jiang (2013),
    "Distributions of Angles in Random Packing on Spheres". NaN for a vector alone.

    >>> round(coherence(2, 3), 3)
    0.5
    """
    n, m = _sizes(n, m)
    return _largest(n * (n - 1) // 2, m, q)


def _largest(pairs, m, q) -> float:
    if not pairs:
        return float("nan")
    tail = -np.expm1(np.log(number(q, "q")) / pairs)  # the chance of one pair to be beyond
    return 1.0 if m == 1 else float(np.sqrt(stats.beta.isf(tail, 0.5, (m - 1) / 2)))


def cosine_density(cosine: ArrayLike, m: Any) -> Float[np.ndarray, "..."]:
    """The density at `cosine` of the cosine of two random vectors in `m` dimensions: proportional to `(1 - cos^2)^((m - 3) / 2)`.

    Raises ValueError for fewer than 2 dimensions, where it has none.

    >>> cosine_density([-0.5, 0.9], 3).round(6).tolist()
    [0.5, 0.5]
    """
    (m,) = _sizes(m)
    if m < 2:
        raise ValueError(f"m must be at least 2 for cosines to have a density, got {m}")
    return stats.beta.pdf((finite(cosine, "cosine") + 1) / 2, (m - 1) / 2, (m - 1) / 2) / 2


def interference(norms: ArrayLike, m: Any) -> Float[np.ndarray, " feature"]:
    """The mean of `measures.superposition` of vectors of these lengths in random directions: `sum_{j != i} |W_j|^2 / m`.

    >>> interference([1.0, 1.0, 2.0], 2).tolist()
    [2.5, 2.5, 1.0]
    """
    (m,) = _sizes(m)
    square = _relative(norms) ** 2
    longest = float(np.max(norms, initial=0.0))
    with np.errstate(over="ignore"):
        return (square.sum() - square) / m * longest * longest


def dimensionality(norms: ArrayLike, m: Any) -> Float[np.ndarray, " feature"]:
    """`measures.dimensionality` of vectors of these lengths in random directions: `|W_i|^2 / (|W_i|^2 + sum_{j != i} |W_j|^2 / m)`.

    That is `m / (n + m - 1)` where all have one length. It is `1 / E[1 / D_i]`, exactly; the mean of `D_i` itself is larger: by a share of less
    than `2 / n` at one length, and by far where a few others are much longer (see `excess`). 0 for a vector of zeros.

    >>> dimensionality([2.0, 2.0, 2.0], 2).tolist()
    [0.5, 0.5, 0.5]
    """
    norms = _relative(norms)
    square, others = norms**2, interference(norms, m)
    return np.divide(square, square + others, out=np.zeros_like(square), where=square > 0)


def excess(norms: ArrayLike, m: Any) -> Float[np.ndarray, " feature"]:
    """About the share by which the mean of `D_i` is larger than `dimensionality`: `Var(1 / D_i) / E[1 / D_i]^2`, to the leading order.

    The variance is that of a sum of squared cosines, `sum_{j != i} |W_j|^4 2 (m - 1) / (m^2 (m + 2))`, over `|W_i|^4`. 0 for a vector of zeros.

    >>> excess([1.0, 1.0], 2).tolist(), excess([1.0, 1.0], 1).tolist()
    ([0.05555555555555555, 0.05555555555555555], [0.0, 0.0])
    """
    (m,) = _sizes(m)
    fourth, share = _relative(norms) ** 4, dimensionality(norms, m)
    variance = _variance(m) * (fourth.sum() - fourth)
    return np.divide(variance * share**2, fourth, out=np.zeros_like(fourth), where=fourth > 0)


def participation(norms: ArrayLike, m: Any) -> float:
    """The participation ratio of the spectrum of vectors of these lengths in random directions: `(sum |W_i|^2)^2 / E sum_ij (W_i . W_j)^2`.

    `n m / (n + m - 1)` where all have one length: near `m` for many vectors. NaN where all are zeros.

    >>> participation([3.0, 3.0, 3.0], 2)
    1.5
    """
    square = _relative(norms) ** 2
    total = (square * (square + (square.sum() - square) / _sizes(m)[0])).sum()
    return float(square.sum() ** 2 / total) if total > 0 else float("nan")


class Sample(NamedTuple):
    """What `sample` returns, for those of the random vectors that were compared with all others."""

    dimensionality: Float[np.ndarray, " probe"]
    """As of `measures.dimensionality`."""
    interference: Float[np.ndarray, " probe"]
    """Relative to the longest vector's square."""
    potential: Float[np.ndarray, " probe"]
    """The sum of `cos^2` with all vectors, itself included."""
    nearest: Float[np.ndarray, " probe"]
    """The largest `|cos|` with another."""
    cosines: Int[np.ndarray, " bin"]
    """How many cosines are in each of the bins of `Measured.cosines`."""
    spectrum: Float[np.ndarray, " dimension"]
    """Eigenvalues of the second moments, largest first, of a smaller set with the same `n / m`, of at most 256; their mean is 1."""


def sample(
    norms: ArrayLike, m: Any, *, probes: int = 256, seed: int = 0, block: int = 2048, progress: bool = True
) -> Sample:
    """Vectors of these lengths in random directions, drawn and measured: `probes` of them against all.

    A bar shows how far it is. All are drawn, block by block, and none is kept but the probes, of which each has the middle length of as many vectors, in order of size.

    >>> found = sample(np.ones(400), 10, probes=100)
    >>> len(found.nearest), bool(abs(found.potential.mean() - frame_potential(400, 10) / 400) < 2)
    (100, True)
    """
    norms, (m,) = _relative(norms), _sizes(m)
    n = len(norms)
    probes = min(whole(probes, "probes"), n)
    rng = np.random.default_rng(seed)
    middle = (np.arange(probes) + 0.5) * (n / max(probes, 1))
    first = np.argsort(norms, kind="stable")[middle.astype(int)]
    rest = np.setdiff1d(np.arange(n), first)
    directions = _directions(rng, len(first), m)
    sums, largest = np.zeros((len(first), 2)), np.zeros(len(first))
    counts, done = np.zeros(BINS, np.int64), 0
    with progress_bar("drawing random vectors", n, shown=progress) as advance:
        for part in (first, *(rest[at : at + block] for at in range(0, len(rest), block))):
            own = part is first
            cosines = directions @ (directions if own else _directions(rng, len(part), m)).T
            np.clip(cosines, -1, 1, out=cosines)
            counts += histogram(cosines[~np.eye(len(part), dtype=bool)] if own else cosines)
            if own:
                np.fill_diagonal(cosines, 0)
            sums += (cosines**2) @ np.stack([np.ones(len(part)), norms[part] ** 2], axis=1)
            largest = np.maximum(largest, np.abs(cosines).max(axis=1, initial=0.0))
            done += len(part)
            advance(done)
    square = norms[first] ** 2
    share = np.divide(square, square + sums[:, 1], out=np.zeros_like(square), where=square > 0)
    return Sample(share, sums[:, 1], 1 + sums[:, 0], largest, counts, _spectrum(rng, norms, m))


def histogram(cosines: Float[np.ndarray, "..."]) -> Int[np.ndarray, " bin"]:
    """How many cosines are in each of `BINS` equal bins from -1 to 1.

    >>> histogram(np.array([-1.0, 0.0001, 1.0])).nonzero()[0].tolist()
    [0, 500, 999]
    """
    return np.histogram(cosines, BINS, (-1, 1))[0]


def _relative(norms) -> Float[np.ndarray, " feature"]:
    """Lengths over the longest, so that no square is too large or too small."""
    norms = finite(norms, "norms", "feature")
    return norms / (norms.max(initial=0.0) or 1.0)


def _directions(rng, n, m) -> Float[np.ndarray, "feature hidden"]:
    made = rng.standard_normal((n, m), np.float32)
    length = np.linalg.norm(made, axis=1, keepdims=True)
    return made / np.where(length > 0, length, 1)


def _spectrum(rng, norms, m, short=256, most=2**22):
    n = len(norms)
    scale = min(1.0, short / max(min(n, m), 1), (most / max(n * m, 1)) ** 0.5)
    n_small, m_small = max(round(n * scale), 1), max(round(m * scale), 1)
    # Each has the mean square of as many vectors, in order of size: so that a few long ones keep their share.
    squares = np.array_split(np.sort(norms) ** 2, n_small)
    lengths = np.sqrt([part.mean() if n else 0.0 for part in squares])
    drawn = _directions(rng, n_small, m_small) * lengths[:, None]
    drawn = drawn if n_small > m_small else drawn.T
    found = np.linalg.eigvalsh((drawn.T @ drawn).astype(float))[::-1]
    return found / (found.mean() or 1.0)


def _variance(m):
    return 2 * (m - 1) / (m**2 * (m + 2))


def _sizes(*sizes) -> tuple[int, ...]:
    """Numbers of vectors and dimensions, the latter at least 1."""
    counts = tuple(whole(size, "n and m") for size in sizes)
    if counts[-1] < 1 or counts[0] < 0:
        raise ValueError(f"n and m must be at least 0 and 1, got {' and '.join(map(str, counts))}")
    return counts
