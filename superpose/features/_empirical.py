"""A user's own data."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from superpose import draws
from superpose.draws import AnyKey, one_key
from superpose.features._arguments import n_samples, probability, weights
from superpose.features._law import Law
from superpose.inputs import ArrayLike, array
from superpose.values import double


class Empirical(Law):
    """Rows drawn, with replacement, from a user's own matrix.

    `data` is a dense array or a SciPy sparse matrix of shape `(sample, feature)`. A sparse matrix of more
    than 4 million entries stays sparse: only the entries of the rows drawn become dense. `density` is the
    share of rows in which a feature is not 0; `importance` is one number, or one for each feature.

    Laws of matrices of the same shape have leaves of the same shape, whatever the entries, and stack; for
    other matrices, and for large sparse ones, see `train.stack`.

    Raises ValueError for data that are not a finite matrix with at least one row and column.

    >>> world = Empirical(np.array([[0.0, 2.0], [1.0, 2.0]]))
    >>> world.density.tolist()
    [0.5, 1.0]
    >>> world.rows(jnp.array([1])).tolist()
    [[1.0, 2.0]]
    """

    dense: Float[Array, "row feature"] | None
    """The rows; None where they stay sparse."""
    index: Int[Array, "row entry"] | None
    """For each row the columns that are not 0, padded with `n_features`, a column that no row has."""
    entry: Float[Array, "row entry"] | None
    """The values in those columns."""
    n_rows: Int[Array, ""]
    """How many rows there are; any beyond these are padding and never drawn."""
    density: Float[Array, " feature"]
    importance: Float[Array, " feature"]

    def __init__(self, data: ArrayLike, importance: ArrayLike = 1.0):
        sparse = hasattr(data, "tocoo")
        if not sparse:
            data = np.asarray(array(data, "data"))
        if data.ndim != 2 or 0 in data.shape:
            raise ValueError(
                f"data must be a matrix (sample, feature) with rows and columns, got shape {data.shape}"
            )
        n_rows, n = data.shape
        if sparse and n_rows * n <= _DENSE:
            sparse, data = False, data.toarray()
        largest = np.finfo(np.float32).max  # the data are kept as float32
        if not (np.abs(data.tocoo().data if sparse else data) <= largest).all():
            raise ValueError(
                f"data must be finite, and at most {largest:.2g} in size; replace or drop the rows with other numbers"
            )
        self.dense = self.index = self.entry = None
        if sparse:
            row, column, entry = _entries(data)
            index, entry = _by_row(row, column, entry, data.shape)
            self.index, self.entry = jnp.asarray(index), jnp.asarray(entry)
            count = np.bincount(column, minlength=n)
        else:
            self.dense = jnp.asarray(data, jnp.float32)
            count = (data != 0).sum(axis=0)
        self.n_rows = jnp.asarray(n_rows, jnp.int32)
        self.density = probability(count / n_rows, n)
        self.importance = weights(importance, n)

    @property
    def size(self) -> tuple[int, int]:
        """The number of rows, padding included, and of stored entries in each."""
        stored: Any = self.entry if self.dense is None else self.dense
        return stored.shape[-2:]

    def filled(self, rows: int, entries: int) -> "Empirical":
        """The same law with its arrays padded to this many rows, and entries in each."""
        (old_rows, old_entries), n = self.size, self.n_features

        def fill(array, value):
            lead = [(0, 0)] * (array.ndim - 2)
            more = [*lead, (0, rows - old_rows), (0, entries - old_entries)]
            return jnp.pad(array, more, constant_values=value)

        if self.dense is not None:
            return eqx.tree_at(lambda law: law.dense, self, fill(self.dense, 0.0))
        arrays = fill(self.index, n), fill(self.entry, 0.0)
        return eqx.tree_at(lambda law: (law.index, law.entry), self, arrays)

    def rows(self, which: Int[Array, " sample"]) -> Float[Array, "sample feature"]:
        """The rows of the data with these indices, dense."""
        if self.dense is not None:
            return self.dense[which]
        index, entry = (of[which] for of in (self.index, self.entry) if of is not None)
        sample = jnp.arange(which.shape[0])[:, None]
        empty = jnp.zeros((which.shape[0], self.n_features), entry.dtype)
        return empty.at[sample, index].set(entry, mode="drop")

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The share of rows in which two features are not 0 together; on the diagonal, the density."""
        rows, block = self.size[0], 1024
        both = np.zeros((self.n_features, self.n_features))
        for start in range(0, rows, block):
            active = np.asarray(self.rows(jnp.arange(start, min(start + block, rows)))) != 0
            both += active.T.astype(np.float32) @ active.astype(np.float32)
        return double(both) / self.n_rows

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        return self.rows(draws.choice(one_key(key), (n_samples(n),), self.n_rows))


_DENSE = 2**22
"""A matrix of this many entries takes 16 MB: no smaller one is worth keeping sparse."""


def _entries(data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the entries of a sparse matrix that are not 0, row by row."""
    coo = data.tocoo(copy=True)
    coo.sum_duplicates()
    order = np.lexsort((coo.col, coo.row))
    order = order[coo.data[order] != 0]
    return coo.row[order], coo.col[order], coo.data[order]


def _by_row(row, column, entry, shape) -> tuple[np.ndarray, np.ndarray]:
    """The columns and values of each row, in arrays as wide as the fullest one."""
    n_rows, n = shape
    count = np.bincount(row, minlength=n_rows)
    width = max(1, int(count.max(initial=0)))
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    index = np.full((n_rows, width), n, np.int32)
    index[row, place] = column
    filled = np.zeros((n_rows, width), np.float32)
    filled[row, place] = entry
    return index, filled
