"""Features in sets that are active independently of each other."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features._arguments import length, n_samples, probability, value_law, weights
from superpose.features._law import OfForest
from superpose.forests import Forest
from superpose.inputs import ArrayLike, array, whole
from superpose.jit import program
from superpose.values import Uniform, double


class _Sets(OfForest):
    """Features in sets that are active independently of each other, with chances `set_density`."""

    set_density: eqx.AbstractVar[Float[Array, " set"]]
    sizes: eqx.AbstractVar[tuple[int, ...]]
    together: ClassVar[bool] = True
    """Whether all features of an active set are active, or one of them."""

    @property
    def forest(self) -> Forest:
        """The sets as roots, with their members as children."""
        n_sets, set_of = len(self.sizes), _set_of(self.sizes)
        member = jnp.ones_like(self.importance) if self.together else 1 / double(self.sizes)[set_of]
        return Forest(
            jnp.concatenate([self.set_density, member]),
            (*(-1,) * n_sets, *set_of.tolist()),
            (*(not self.together,) * n_sets, *(False,) * len(set_of)),
            tuple(range(n_sets, n_sets + len(set_of))),
        )

    @abstractmethod
    def _drawn(self, key, n, density) -> Float[Array, "sample feature"]:
        """Samples in which each set is active with its chance in `density`: one for all samples or one each."""

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        return _drawn(self, one_key(key), n_samples(n))

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
        return _drawn(self, one_key(key), n_samples(n), given_any=True)


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

    def __init__(
        self,
        density: ArrayLike,
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
        *,
        n_features: int | None = None,
    ):
        density, importance = array(density, "density"), array(importance, "importance")
        n = length(n_features, density=density, importance=importance)
        self.density = probability(density, n)
        self.importance = weights(importance, n)
        self.value = value_law(value)

    @property  # type: ignore[misc]
    def set_density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """Each feature is a set of its own."""
        return self.density

    @property  # type: ignore[misc]
    def sizes(self) -> tuple[int, ...]:  # type: ignore[override]
        """All sets are of one feature."""
        return (1,) * self.n_features

    @property
    def forest(self) -> Forest:
        """Roots without children."""
        n = self.n_features
        return Forest(self.density, (-1,) * n, (False,) * n, tuple(range(n)))

    def _drawn(self, key, n, density):
        # One draw says both whether a feature is active (u <= density) and, if so, which value it
        # has: given that, u / density is uniform again.
        u = draws.uniform(key, (self.n_features, n))
        safe = jnp.where(density > 0, density, 1.0)
        return jnp.where(u <= density, self.value.quantile(jnp.minimum(u / safe, 1.0)), 0.0).T


class Correlated(_Sets):
    """Sets of features that are active together or not at all.

    Set `s` has `sizes[s]` features and is active with probability `set_density[s]`; then each
    member has a value of its own, drawn from the law `value`. Features are ordered set by set. A feature's `density` is
    that of its set; `importance` is one number, or one for each feature.

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

    def __init__(
        self,
        set_density: ArrayLike,
        sizes: Sequence[int],
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
    ):
        self.sizes = _sizes(sizes)
        self.set_density = probability(set_density, len(self.sizes), "set_density", "sets")
        self.importance = weights(importance, sum(self.sizes))
        self.value = value_law(value)

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return self.set_density[_set_of(self.sizes)]

    def _drawn(self, key, n, density):
        active = draws.uniform(stream(key, "sets"), (len(self.sizes), n)) <= density
        values = self.value.quantile(draws.uniform(stream(key, "values"), (self.n_features, n)))
        return jnp.where(active[_set_of(self.sizes)], values, 0.0).T


class Anticorrelated(_Sets):
    """Sets of features of which at most one is active at a time.

    Set `s` has `sizes[s]` features and is active with probability `set_density[s]`; then
    exactly one member, each equally likely, has a value, drawn from the law `value`. Features are ordered set by set. A
    feature's `density` is its set's, divided by the size of the set; `importance` is one number, or one for each feature.

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
    """Of an active set one feature is active."""

    def __init__(
        self,
        set_density: ArrayLike,
        sizes: Sequence[int],
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
    ):
        self.sizes = _sizes(sizes)
        self.set_density = probability(set_density, len(self.sizes), "set_density", "sets")
        self.importance = weights(importance, sum(self.sizes))
        self.value = value_law(value)

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return (self.set_density / double(self.sizes))[_set_of(self.sizes)]

    def _drawn(self, key, n, density):
        set_of, sizes = _set_of(self.sizes), np.array(self.sizes)
        place = np.arange(self.n_features) - np.searchsorted(set_of, set_of)
        chosen = draws.choice(stream(key, "members"), (len(sizes), n), sizes[:, None])
        active = draws.uniform(stream(key, "sets"), (len(sizes), n)) <= density
        values = self.value.quantile(draws.uniform(stream(key, "values"), (len(sizes), n)))
        here = active[set_of] & (chosen[set_of] == place[:, None].astype(np.int32))
        return jnp.where(here, values[set_of], 0.0).T


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


def _set_of(sizes) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def _sizes(sizes) -> tuple[int, ...]:
    sizes = tuple(whole(size, "sizes") for size in np.ravel(np.asarray(sizes)).tolist())
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes must name at least one set, each of at least one feature, got {sizes}")
    return sizes
