"""A fixed number of active features."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features._arguments import length, n_samples, value_law, weights
from superpose.features._law import Law
from superpose.inputs import ArrayLike, array, whole
from superpose.jit import program
from superpose.values import Uniform


class ExactlyK(Law):
    """Exactly `k` of all features are active, each choice of `k` as likely, with values of the law `value`.

    `importance` is one number, with `n_features`, or one for each feature. Exact losses are those of `losses.Active(Independent(0.5, n_features=n), k)`, for few features.
    Raises ValueError as `Independent` does, and for `k` outside 0..n.

    >>> (ExactlyK(2, n_features=5).sample(key=0, n=4) > 0).sum(axis=1).tolist()
    [2, 2, 2, 2]
    """

    importance: Float[Array, " feature"]
    value: Any
    k: int = eqx.field(static=True)

    inexact = "z is not a sum of independent parts where the number of active features is fixed"
    """Why exact losses are not known."""

    def __init__(
        self,
        k: int,
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
        *,
        n_features: int | None = None,
    ):
        importance = array(importance, "importance")
        self.importance = weights(importance, length(n_features, importance=importance))
        self.value = value_law(value)
        if not 0 <= whole(k, "k") <= self.n_features:
            raise ValueError(f"k must be within 0..{self.n_features}, got {k}")
        self.k = int(k)

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return jnp.full_like(self.importance, self.k / self.n_features)

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        n, density = self.n_features, self.density
        pairs = self.k * (self.k - 1) / max(n * (n - 1), 1)
        return jnp.where(jnp.eye(n, dtype=bool), density, jnp.asarray(pairs, density.dtype))

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        return _drawn(self, one_key(key), n_samples(n))


@program
def _drawn(law, key, n):
    # R. W. Floyd: for each place from n - k on, one of the features up to it, or itself where that is taken.
    first, every = law.n_features - law.k, jnp.arange(n, dtype=jnp.int32)
    last = jnp.arange(first, law.n_features, dtype=jnp.int32)
    chosen = draws.choice(stream(key, "features"), (law.k, n), last[:, None] + 1)

    def more(active, at):
        chosen, last = at
        place = jnp.where(active[chosen, every], last, chosen)
        return active.at[place, every].set(True), None

    active, _ = jax.lax.scan(more, jnp.zeros((law.n_features, n), bool), (chosen, last))
    values = law.value.quantile(draws.uniform(stream(key, "values"), active.shape))
    return jnp.where(active, values, 0.0).T
