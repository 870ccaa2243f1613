"""What every law of features has, and checks of what is given as one."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpose.forests import Forest
from superpose.inputs import whole


class Law(eqx.Module):
    """What follows from a law's `density` and `joint_density`: how many features are active, and with which others.

    All laws of this package are of this class; `docs/adding.md` shows how to write one.
    """

    density: eqx.AbstractVar[Float[Array, " feature"]]
    """The chance that each feature is active."""
    importance: eqx.AbstractVar[Float[Array, " feature"]]
    """How much the error of each feature counts."""

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return self.importance.shape[-1]

    @property
    @abstractmethod
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""

    @property
    def mean_active(self) -> Float[Array, ""]:
        """How many features are active in a sample, on average.

        >>> from superpose.features import Independent
        >>> float(Independent(0.25, n_features=8).mean_active)
        2.0
        """
        return self.density.sum(axis=-1)

    @property
    def correlations(self) -> Float[Array, "feature other"]:
        """The correlation, over samples, of one feature's being active with another's.

        `(P(i and j) - p_i p_j) / sqrt(p_i (1 - p_i) p_j (1 - p_j))`, with the densities p: 1 where both are always active
        together, 0 where neither tells of the other, and between different features also where one of them is never or
        always active. It is exact, and has as many numbers as there are pairs of features.

        >>> from superpose.features import Correlated
        >>> Correlated(0.5, sizes=(2, 1)).correlations.tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        p = self.density
        spread = jnp.sqrt(p * (1 - p))
        spread = jnp.outer(spread, spread)
        varies = (spread > 0) & ~jnp.eye(len(p), dtype=bool)
        covariance = self.joint_density - jnp.outer(p, p)
        return jnp.where(varies, covariance / jnp.where(varies, spread, 1.0), jnp.eye(len(p), dtype=p.dtype))


class OfForest(Law):
    """A law whose features are active as nodes of a `forest` are."""

    @property
    @abstractmethod
    def forest(self) -> Forest:
        """The nodes of which features are active, and which of them these are."""

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        nodes = jnp.array(self.forest.features)
        return self.forest.joint_density[nodes[:, None], nodes[None]]


def check_law(features: Any, has: str = "sample") -> None:
    """Raise TypeError unless `features` is a law of features with the attribute `has`.

    >>> check_law([0.1, 0.2])
    Traceback (most recent call last):
    ...
    TypeError: features must be a law that samples, such as Independent(0.1, n_features=5), got list; for data of your own give Empirical(data)
    """
    if isinstance(features, type) or not hasattr(features, has):
        kind = f"the class {features.__name__}" if isinstance(features, type) else type(features).__name__
        raise TypeError(
            f"features must be a law that samples, such as Independent(0.1, n_features=5), got {kind}; "
            "for data of your own give Empirical(data)"
        )


def check_sampled(features: Any, batch: int) -> None:
    """Raise TypeError or ValueError unless `features` can be sampled and `batch` is a number of samples.

    >>> from superpose.features import Independent
    >>> check_sampled(Independent(0.1, n_features=5), 0)
    Traceback (most recent call last):
    ...
    ValueError: batch must be at least 1 sample, got 0
    """
    check_law(features)
    if whole(batch, "batch") < 1:
        raise ValueError(f"batch must be at least 1 sample, got {batch}")
