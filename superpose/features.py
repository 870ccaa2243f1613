"""What the world contains: how sparse features are drawn, and how often each is active.

Every law of features is a pytree with `density` and `importance` (one number per feature),
`n_features`, and `sample(key, n)`. Densities are kept in float64, because exact losses
are computed in float64; samples have JAX's default precision. Draws are made as
`(feature, sample)` matrices, the sample as the last, contiguous axis, as the losses read them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.inputs import array, check_each, whole
from superpose.jit import program
from superpose.values import Uniform, double


class _Sets(eqx.Module):
    """Features in sets that are active independently of each other, with chances `set_density`."""

    set_density: eqx.AbstractVar[Float[Array, " set"]]
    together: ClassVar[bool] = True  # all features of an active set are active, or one of them

    @abstractmethod
    def _drawn(self, key, n, density) -> Float[Array, "sample feature"]:
        """Samples in which each set is active with its chance in `density`: one for all samples or one each."""

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        return _drawn(self, one_key(key), _size(n))

    @property
    def any_active(self) -> Float[Array, ""]:
        """The chance that at least one feature is active."""
        return _any(self.set_density)[-1]

    def sample_active(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """Samples given that at least one feature is active; zeros where none ever is.

        >>> rare = Independent(0.001, n_features=2)
        >>> bool((rare.sample_active(key=0, n=100) > 0).any(axis=1).all())
        True
        """
        return _drawn(self, one_key(key), _size(n), given_any=True)


@program
def _drawn(law, key, n, given_any=False):
    density = _density_given_any(key, law.set_density, n) if given_any else _as_sampled(law.set_density)
    return law._drawn(key, n, density)


class Independent(_Sets):
    """Each feature is active by itself, with probability `density[i]`.

    An active feature is drawn from the law `value`; an inactive one is 0. Below a density of 1e-10 a feature
    is never active in samples, which are float32, though exact losses count it. `density` and
    `importance` are scalars or arrays of length `n_features`, which is read off them; give
    `n_features` where both are scalars.

    Raises ValueError for a density outside [0, 1], an importance that is negative or not
    finite, lengths that differ, or no features.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".

    >>> world = Independent(density=jnp.array([1.0, 0.0]))
    >>> (world.sample(key=0, n=3) > 0).tolist()
    [[True, False], [True, False], [True, False]]
    """

    density: Float[Array, " feature"]
    importance: Float[Array, " feature"]
    value: Any

    def __init__(self, density, importance=1.0, value: Any = Uniform(), *, n_features=None):
        density, importance = array(density, "density"), array(importance, "importance")
        n = _length(n_features, density=density, importance=importance)
        self.density = _probability(density, n)
        self.importance = _importance(importance, n)
        self.value = _law(value)

    @property
    def n_features(self) -> int:
        return self.density.shape[-1]

    @property  # type: ignore[misc]
    def set_density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """Each feature is a set of its own."""
        return self.density

    @property
    def sizes(self) -> tuple[int, ...]:
        return (1,) * self.n_features

    def _drawn(self, key, n, density):
        # One draw says both whether a feature is active (u <= density) and, if so, which value it
        # has: given that, u / density is uniform again.
        u = draws.uniform(key, (self.n_features, n))
        safe = jnp.where(density > 0, density, 1.0)
        return jnp.where(u <= density, self.value.quantile(jnp.minimum(u / safe, 1.0)), 0.0).T


class Correlated(_Sets):
    """Sets of features that are active together or not at all.

    Set `s` has `sizes[s]` features and is active with probability `set_density[s]`; then each
    member has a value of its own. Features are ordered set by set. A feature's `density` is
    that of its set.

    Raises ValueError as `Independent` does, and for a set without features.

    Elhage et al. (2022), "Toy Models of Superposition", "Correlated and Anticorrelated
    Features".

    >>> pairs = Correlated(0.5, sizes=(2, 2))
    >>> x = pairs.sample(key=0, n=100) > 0
    >>> bool((x[:, 0] == x[:, 1]).all()), bool((x[:, 1] == x[:, 2]).all())
    (True, False)
    """

    set_density: Float[Array, " set"]
    importance: Float[Array, " feature"]
    value: Any
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, set_density, sizes: Sequence[int], importance=1.0, value: Any = Uniform()):
        self.sizes = _sizes(sizes)
        self.set_density = _probability(set_density, len(self.sizes), "set_density", "sets")
        self.importance = _importance(importance, sum(self.sizes))
        self.value = _law(value)

    @property
    def n_features(self) -> int:
        return sum(self.sizes)

    @property
    def density(self) -> Float[Array, " feature"]:
        return self.set_density[_set_of(self.sizes)]

    def _drawn(self, key, n, density):
        active = draws.uniform(stream(key, "sets"), (len(self.sizes), n)) <= density
        values = self.value.quantile(draws.uniform(stream(key, "values"), (self.n_features, n)))
        return jnp.where(active[_set_of(self.sizes)], values, 0.0).T


class Anticorrelated(_Sets):
    """Sets of features of which at most one is active at a time.

    Set `s` has `sizes[s]` features and is active with probability `set_density[s]`; then
    exactly one member, each equally likely, has a value. Features are ordered set by set. A
    feature's `density` is its set's, divided by the size of the set.

    Raises ValueError as `Independent` does, and for a set without features.

    Elhage et al. (2022), "Toy Models of Superposition", "Correlated and Anticorrelated
    Features".

    >>> pair = Anticorrelated(1.0, sizes=(2,))
    >>> (pair.sample(key=0, n=100) > 0).sum(axis=1).tolist() == [1] * 100
    True
    """

    set_density: Float[Array, " set"]
    importance: Float[Array, " feature"]
    value: Any
    sizes: tuple[int, ...] = eqx.field(static=True)
    together: ClassVar[bool] = False

    def __init__(self, set_density, sizes: Sequence[int], importance=1.0, value: Any = Uniform()):
        self.sizes = _sizes(sizes)
        self.set_density = _probability(set_density, len(self.sizes), "set_density", "sets")
        self.importance = _importance(importance, sum(self.sizes))
        self.value = _law(value)

    @property
    def n_features(self) -> int:
        return sum(self.sizes)

    @property
    def density(self) -> Float[Array, " feature"]:
        return (self.set_density / double(self.sizes))[_set_of(self.sizes)]

    def _drawn(self, key, n, density):
        set_of, sizes = _set_of(self.sizes), np.array(self.sizes)
        place = np.arange(self.n_features) - np.searchsorted(set_of, set_of)
        chosen = draws.choice(stream(key, "members"), (len(sizes), n), sizes[:, None])
        active = draws.uniform(stream(key, "sets"), (len(sizes), n)) <= density
        values = self.value.quantile(draws.uniform(stream(key, "values"), (len(sizes), n)))
        here = active[set_of] & (chosen[set_of] == place[:, None].astype(np.int32))
        return jnp.where(here, values[set_of], 0.0).T


class Empirical(eqx.Module):
    """Rows drawn, with replacement, from a user's own matrix.

    `data` is a dense array or a SciPy sparse matrix of shape `(sample, feature)`. A sparse matrix of more
    than 4 million entries stays sparse: only the entries of the rows drawn become dense. `density` is the
    share of rows in which a feature is not 0.

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

    def __init__(self, data, importance=1.0):
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
        self.density = _probability(count / n_rows, n)
        self.importance = _importance(importance, n)

    @property
    def n_features(self) -> int:
        return self.density.shape[-1]

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

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        return self.rows(draws.choice(one_key(key), (_size(n),), self.n_rows))


def check_law(features: Any, has: str = "sample") -> None:
    """Raise TypeError unless `features` is a law of features with the attribute `has`."""
    if isinstance(features, type) or not hasattr(features, has):
        kind = f"the class {features.__name__}" if isinstance(features, type) else type(features).__name__
        raise TypeError(
            f"features must be a law that samples, such as Independent(0.1, n_features=5), got {kind}; "
            "for data of your own give Empirical(data)"
        )


def check_sampled(features: Any, batch: int) -> None:
    """Raise TypeError or ValueError unless `features` can be sampled and `batch` is a number of samples."""
    check_law(features)
    if whole(batch, "batch") < 1:
        raise ValueError(f"batch must be at least 1 sample, got {batch}")


Features = Independent | Correlated | Anticorrelated | Empirical


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


def _as_sampled(density) -> Float[Array, " feature 1"]:
    return density.astype(jnp.float32)[:, None]


def _any(density) -> Float[Array, " feature"]:
    # The chance that any of the features up to this one is active.
    return -jnp.expm1(jnp.cumsum(jnp.log1p(-density)))


def _density_given_any(key, density, n) -> Float[Array, "feature sample"]:
    """Chances, for each sample, given its first active feature: 0 for those before it, 1 for itself.

    The first active feature is drawn from its law, given that there is one.
    """
    chance = _any(density)
    chance = (chance / jnp.where(chance[-1] > 0, chance[-1], 1.0)).astype(jnp.float32)
    later = chance[:, None] < draws.uniform(stream(key, "first active"), (1, n))  # than this feature
    reached = jnp.concatenate([jnp.ones_like(later[:1]), later[:-1]])
    return jnp.where(later, 0.0, jnp.where(reached, 1.0, _as_sampled(density)))


def _size(n) -> int:
    if whole(n, "n") < 0:
        raise ValueError(f"n must be the number of samples, got {n}")
    return int(n)


def _law(value) -> Any:
    if not hasattr(value, "quantile") or isinstance(value, type):
        raise TypeError(f"value must be a law of values, such as Uniform(), got {value!r:.60}")
    return value


def _set_of(sizes) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def _sizes(sizes) -> tuple[int, ...]:
    sizes = tuple(whole(size, "sizes") for size in np.ravel(np.asarray(sizes)).tolist())
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes must name at least one set, each of at least one feature, got {sizes}")
    return sizes


def _length(n_features, **values) -> int:
    lengths = {name: np.shape(value)[-1] for name, value in values.items() if np.ndim(value) > 0}
    if n_features is not None:
        lengths["n_features"] = whole(n_features, "n_features")
    if not lengths:
        raise ValueError("how many features? Give n_features, or an array with one entry a feature")
    if len(set(lengths.values())) > 1:
        lengths_of = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise ValueError(f"lengths must be equal, one entry a feature, got {lengths_of}")
    (n,) = set(lengths.values())
    if n < 1:
        raise ValueError("there must be at least one feature, got zero")
    return n


def _spread(value, n, name, unit, right, said) -> Float[Array, " feature"]:
    """A number for each of `n` features or sets, in float64, from one number or `n`, all of them `right`."""
    numbers = array(value, name)
    if numbers.shape not in ((), (1,), (n,)):
        raise ValueError(
            f"{name} must be a number or {n} numbers, one for each of the {unit}, got shape {numbers.shape}"
        )
    check_each(numbers, right, f"{name} must be {said}", unit.removesuffix("s"))
    return jnp.broadcast_to(double(numbers), (n,))


def _probability(value, n, name="density", unit="features") -> Float[Array, " feature"]:
    return _spread(value, n, name, unit, lambda p: (p >= 0) & (p <= 1), "within [0, 1]")


def _importance(value, n) -> Float[Array, " feature"]:
    return _spread(value, n, "importance", "features", weighs, "finite and not negative")


def weighs(importance):
    """Whether each number can be an importance."""
    return (importance >= 0) & np.isfinite(importance)
