"""The numbers of many vectors, from blocks of their Gram matrix that are never kept."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from superpose import measures, memory
from superpose.frames.chance import BINS, histogram
from superpose.inputs import ArrayLike, array, number, weights, whole
from superpose.progress import progress_bar

NO_LENGTH = 1e-6
"""A vector shorter than this share of the longest has no direction to speak of."""
MOST_SPECTRUM = 16_384
"""More eigenvalues than these take too long."""
MOST_CORNERS = 12
"""No polytope with a name has more corners."""
MOST_TRIED = 1000
"""How many clusters are compared with polytopes."""


class Measured(NamedTuple):
    """What `measured` returns."""

    hidden: int
    """How many dimensions the vectors have."""
    centered: bool
    """Whether their mean was subtracted first."""
    norms: Float[np.ndarray, " feature"]
    """`|W_i|`, as `measures.norms`."""
    interference: Float[np.ndarray, " feature"]
    """`sum_{j != i} (What_i . W_j)^2`, as `measures.superposition`; 0 for a vector without a direction."""
    dimensionality: Float[np.ndarray, " feature"]
    """`D_i`, as `measures.dimensionality`; 0 for a vector without a direction."""
    nearest: Int[np.ndarray, " feature"]
    """The other vector with the largest `|cos|`; -1 where there is none."""
    cosine: Float[np.ndarray, " feature"]
    """The cosine with that one; NaN where there is none."""
    cosines: Int[np.ndarray, " bin"]
    """How many pairs have a cosine in each of 1,000 equal bins from -1 to 1."""
    mean_cosine: float
    """The mean over all pairs; NaN without pairs."""
    frame_potential: float
    """`sum_ij c_ij^2`, with the cosines `c` of all ordered pairs, those of a vector with itself included."""
    mean_share: float
    """The share of `sum_i |W_i|^2` that is the mean vector's, and that centering takes away: `n |mean|^2 / sum_i |W_i|^2`."""
    singular: Float[np.ndarray, " dimension"] | None
    """Singular values of `W`, largest first; None where there would be more than 16,384."""
    link: float
    """The `|cos|` beyond which two vectors are linked."""
    links: int
    """How many pairs are linked."""
    cluster: Int[np.ndarray, " feature"]
    """Connected parts of the graph of links, the largest first: 0, 1, ...; -1 for a vector without links."""
    polytopes: list[measures.Polytope]
    """What each of the clusters of 2 to 12 vectors is, as `measures.polytopes` says; of the first 1,000 of these."""

    @property
    def directed(self) -> int:
        """How many vectors have a direction: are longer than 1e-6 of the longest, before centering."""
        return int((self.dimensionality > 0).sum())

    @property
    def dimensions_per_feature(self) -> float:
        """`D* = m / |W|_F^2`, as `measures.dimensions_per_feature`: it is about lengths near 1."""
        with np.errstate(over="ignore", divide="ignore"):
            return float(self.hidden / np.square(self.norms).sum())

    @property
    def coherence(self) -> float:
        """The largest `|cos|` of two vectors; NaN where there are no two."""
        return float(np.nanmax(np.abs(self.cosine))) if np.isfinite(self.cosine).any() else float("nan")

    @property
    def participation(self) -> float:
        """The participation ratio of the spectrum: `(sum_k s_k^2)^2 / sum_k s_k^4` of the singular values `s`.

        From 1, all vectors on a line, to the number of dimensions, as much in each. NaN where it is not known.
        """
        share = self._shares(2)
        return float(1 / np.square(share).sum()) if share.size else float("nan")

    @property
    def effective_rank(self) -> float:
        """`exp(-sum_k p_k log p_k)` with `p_k = s_k / sum s` of the singular values `s`, from 1 to the number of dimensions.

        Roy and Vetterli (2007), "The Effective Rank".
        """
        share = self._shares(1)
        share = share[share > 0]
        return float(np.exp(-(share * np.log(share)).sum())) if share.size else float("nan")

    @property
    def first_share(self) -> float:
        """The share of `sum_i |W_i|^2` along the first principal direction: `s_1^2 / sum_k s_k^2`."""
        share = self._shares(2)
        return float(share[0]) if share.size else float("nan")

    def _shares(self, power) -> Float[np.ndarray, " dimension"]:
        if self.singular is None or not self.singular.size or not self.singular[0] > 0:
            return np.zeros(0)
        relative = (self.singular / self.singular[0]) ** power
        return relative / relative.sum()


def measured(
    W: ArrayLike, *, center: bool = False, link: float = 0.5, block: int | None = None, progress: bool = True
) -> Measured:
    """Numbers of the columns of `W` (hidden, feature), however many: no more than a few blocks of `block` vectors are in memory.

    Products are in single precision, or double where `W` is; spectra always in double. Vectors that are shorter than 1e-6 of
    the longest have no direction, and no cosines. Scale does not matter, from 1e-300 to 1e300. `center` subtracts the mean of the vectors first.
    A matrix that is mapped into memory, such as `numpy.load(file, mmap_mode="r").T`, is never read as a whole. A bar shows how far it is.

    Raises ValueError for NaN and infinity, and TypeError for what is no matrix of real numbers.

    Elhage et al. (2022), "Toy Models of Superposition", and Benedetto and Fickus (2003), "Finite Normalized Tight Frames".

    >>> found = measured([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> found.dimensionality.tolist(), found.frame_potential, found.coherence
    ([0.5, 0.5, 1.0], 5.0, 1.0)
    """
    if not 0 < (link := number(link, "link")) < 1:
        raise ValueError(f"link must be between 0 and 1, got {link}")
    vectors = _Vectors(W, block)
    with progress_bar("measuring", vectors.work, shown=progress) as advance:
        tell = _Sum(advance)
        vectors.read(center, tell)
        singular = vectors.singular(tell)
        pairs = _Pairs(vectors, link)
        for a, b, left, right in vectors.pairs():
            pairs.add(a, b, left, right)
            tell(float(left.size) * len(right))
    n, there, scale = vectors.n, vectors.there, vectors.scale
    square = np.where(there, vectors.length**2, 0.0)
    directed, total = int(there.sum()), (vectors.length**2).sum()
    other = pairs.sum @ pairs.sum - directed
    cluster = _by_size(pairs.label, pairs.linked)
    with np.errstate(over="ignore"):
        interference = pairs.weighted * scale * scale
    return Measured(
        hidden=vectors.hidden,
        centered=bool(center),
        norms=vectors.length * scale,
        interference=interference,
        dimensionality=np.divide(square, square + pairs.weighted, out=np.zeros(n), where=there),
        nearest=pairs.nearest,
        cosine=np.where(there & (pairs.nearest < 0) & (directed > 1), 0.0, pairs.cosine),
        cosines=pairs.counts,
        mean_cosine=_over(other, directed * (directed - 1)),
        frame_potential=float(directed + pairs.square.sum()),
        mean_share=_over(n * (vectors.middle @ vectors.middle), total),
        singular=None if singular is None else singular * scale,
        link=link,
        links=pairs.links,
        cluster=cluster,
        polytopes=_polytopes(vectors, cluster, link),
    )


def _over(a, b) -> float:
    return float(a / b) if b > 0 else float("nan")


class _Sum:
    """Tells a progress bar how much is done, from how much more each step has done."""

    def __init__(self, advance):
        self.advance, self.done = advance, 0.0

    def __call__(self, more: float) -> None:
        self.done += more
        self.advance(self.done)


class _Vectors:
    """The columns of a matrix, block by block, relative to its largest number."""

    def __init__(self, W, block):
        if not isinstance(W, np.ndarray):
            W = np.asarray(weights(W))
        if W.ndim != 2:
            weights(W)  # says what it must be
        array(W[:0], "W")
        self.W, (self.hidden, self.n) = W, W.shape
        if not self.hidden or not self.n:
            raise ValueError(f"W must have vectors and dimensions, got the shape {W.shape}")
        wide = W.dtype == np.float64 or (W.dtype.kind in "iu" and W.dtype.itemsize > 2)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        size = _block(self.hidden) if block is None else whole(block, "block")
        if size < 1:
            raise ValueError(f"block must be at least 1, got {block}")
        self.parts = [slice(at, min(at + size, self.n)) for at in range(0, self.n, size)]
        self.scale, self.mean = 1.0, np.zeros(self.hidden)
        pairs = sum((a.stop - a.start) * (self.n - a.start) for a in self.parts)
        self.work = float(self.hidden) * (pairs + 2 * self.n * min(self.n, self.hidden))

    def read(self, center: bool, tell: _Sum) -> None:
        """Find their scale, mean and lengths, and which have a direction."""
        self.scale = self._largest()
        mean = sum(self._rows(part, np.float64).sum(axis=0) for part in self.parts) / self.n
        self.length = self._lengths()
        longest = self.length.max()
        if center:
            self.mean, mean = mean, np.zeros(self.hidden)
            self.length = self._lengths()
        self.middle = mean
        self.there = self.length > NO_LENGTH * longest
        tell(0)

    def _largest(self) -> float:
        largest = 0.0
        for part in self.parts:
            each = np.abs(self._rows(part, self.dtype)).max(axis=1)
            if not np.isfinite(each).all():
                wrong = part.start + int(np.flatnonzero(~np.isfinite(each))[0])
                raise ValueError(f"W must be finite, got NaN or infinity in vector {wrong}")
            largest = max(largest, float(each.max()))
        return largest or 1.0

    def _lengths(self) -> Float[np.ndarray, " feature"]:
        return np.concatenate([np.linalg.norm(self._rows(part, np.float64), axis=1) for part in self.parts])

    def _rows(self, part: Any, dtype: Any) -> Float[np.ndarray, "feature hidden"]:
        return self._scaled(self.W[:, part].T.astype(dtype, order="C"), self.mean)

    def _scaled(self, values, mean):
        values /= values.dtype.type(self.scale)
        if mean.any():
            values -= mean.astype(values.dtype)[None]
        return values

    def unit(self, part: Any) -> Float[np.ndarray, "feature hidden"]:
        """The vectors of a block, in rows and at length 1; zeros where they have no direction."""
        there = self.there[part]
        inverse = np.divide(1.0, self.length[part], out=np.zeros(len(there)), where=there)
        rows = self._rows(part, self.dtype)
        rows *= inverse.astype(self.dtype)[:, None]
        return rows

    def pairs(self) -> Iterator[tuple[slice, slice, Any, Any]]:
        """Each pair of blocks once, with their vectors at length 1."""
        for i, a in enumerate(self.parts):
            left = self.unit(a)
            for b in self.parts[i:]:
                yield a, b, left, left if a == b else self.unit(b)

    def singular(self, tell: _Sum) -> Float[np.ndarray, " dimension"] | None:
        """Singular values, from the second moments of the shorter side, in double precision."""
        k = min(self.n, self.hidden)
        if k > MOST_SPECTRUM:
            tell(2.0 * self.n * self.hidden * k)
            return None
        memory.check(3 * 8 * k**2, f"the spectrum of {k} dimensions", "give fewer vectors")
        second = np.zeros((k, k))
        if self.n >= self.hidden:
            for part in self.parts:
                rows = self._rows(part, np.float64)
                second += rows.T @ rows
                tell(2.0 * rows.size * k)
        else:
            size = _block(self.n)
            for at in range(0, self.hidden, size):
                some = slice(at, at + size)
                rows = self._scaled(self.W[some].T.astype(np.float64, order="C"), self.mean[some])
                second += rows @ rows.T
                tell(2.0 * rows.size * k)
        value = np.linalg.eigvalsh(second)[::-1]
        floor = k * np.finfo(float).eps * max(value[0], 0.0)
        return np.sqrt(np.where(value > floor, value, 0.0))


def _block(length) -> int:
    """How many vectors of this length make a block: 32 MB in single precision, and 2,048 at most."""
    return int(np.clip(2**23 // length, 64, 2048))


class _Pairs:
    """What is known of all pairs, as block after block of cosines is added."""

    def __init__(self, vectors: _Vectors, link: float):
        n = vectors.n
        self.there, self.energy, self.link = vectors.there, vectors.length**2, link
        self.square, self.weighted = np.zeros(n), np.zeros(n)
        self.largest, self.nearest, self.cosine = np.zeros(n), np.full(n, -1), np.full(n, np.nan)
        self.counts, self.sum = np.zeros(BINS, np.int64), np.zeros(vectors.hidden)
        self.links, self.linked, self.label = 0, np.zeros(n, bool), np.arange(n)

    def add(self, a: slice, b: slice, left: Any, right: Any) -> None:
        """Take in the cosines of two blocks, or of one with itself."""
        cosines = left @ right.T
        np.clip(cosines, -1, 1, out=cosines)
        own = a == b
        if own:
            self.sum += left.sum(axis=0, dtype=np.float64)
            np.fill_diagonal(cosines, 0)
        size = np.abs(cosines)
        self._count(a, b, cosines)
        self._nearest(a, b, cosines, size)
        if not own:
            self._nearest(b, a, cosines.T, size.T)
        self._join(a, b, size > self.link)
        size *= size
        self._add_up(a, b, size)
        if not own:
            self._add_up(b, a, size.T)

    def _count(self, a, b, cosines) -> None:
        if not (self.there[a].all() and self.there[b].all()):
            cosines = cosines[np.ix_(self.there[a], self.there[b])]
        self.counts += histogram(cosines[np.triu_indices(len(cosines), 1)] if a == b else cosines)

    def _nearest(self, a, b, cosines, size) -> None:
        largest = size.max(axis=1)
        better = np.flatnonzero(largest > self.largest[a])
        which = size[better].argmax(axis=1)
        at = a.start + better
        self.largest[at], self.nearest[at] = largest[better], b.start + which
        self.cosine[at] = cosines[better, which]

    def _join(self, a, b, linked) -> None:
        links = int(np.count_nonzero(linked))
        self.links += links // 2 if a == b else links
        if links:
            self.linked[a] |= linked.any(axis=1)
            self.linked[b] |= linked.any(axis=0)
            of_a, of_b = self.label[a], self.label[b]
            i, j = np.nonzero(linked & (of_a[:, None] != of_b[None, :]))
            if len(i):
                edges = coo_array((np.ones(len(i), bool), (of_a[i], of_b[j])), (len(self.label),) * 2)
                self.label = connected_components(edges, directed=False)[1][self.label]

    def _add_up(self, a, b, square) -> None:
        self.square[a] += square @ self.there[b].astype(square.dtype)
        self.weighted[a] += square @ self.energy[b].astype(square.dtype)


def _by_size(label, linked) -> Int[np.ndarray, " feature"]:
    """Clusters by their sizes, and of those of one size by their first members."""
    found, first, of, size = np.unique(
        label[linked], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(found), int)
    rank[np.lexsort([first, -size])] = np.arange(len(found))
    cluster = np.full(len(label), -1)
    cluster[linked] = rank[of]
    return cluster


def _polytopes(vectors, cluster, link) -> list[measures.Polytope]:
    order = np.argsort(cluster, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1)
    small = [each for each in members if cluster[each[0]] >= 0 and len(each) <= MOST_CORNERS]
    found = []
    for each in small[:MOST_TRIED]:
        for part in measures.polytopes(vectors.unit(each).T, link=link):
            features = tuple(each[list(part.features)].tolist())
            found.append(part._replace(features=features))
    return found
