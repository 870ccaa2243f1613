"""Worlds made of others: side by side, or with features of other sizes."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose.draws import AnyKey, stream
from superpose.features._arguments import spread
from superpose.features._law import Law, check_law
from superpose.forests import Forest, joined
from superpose.inputs import ArrayLike


class Sum(Law):
    """The features of several laws, its `parts`, side by side, those of one independent of those of the others.

    Exact losses are known where they are for each of the laws and all have the same law of values. Raises TypeError for what
    is no law of features, and ValueError for none.

    >>> from superpose.features import Anticorrelated, Independent
    >>> world = Sum(Independent(0.5, n_features=2), Anticorrelated(1.0, sizes=(2,)))
    >>> world.density.tolist(), float(world.mean_active)
    ([0.5, 0.5, 0.5, 0.5], 2.0)
    """

    parts: tuple[Any, ...]

    def __init__(self, *parts: Any):
        if not parts:
            raise ValueError("Sum needs at least one law of features, got none")
        for part in parts:
            check_law(part)
        self.parts = parts

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return jnp.concatenate([part.density for part in self.parts], axis=-1)

    @property  # type: ignore[misc]
    def importance(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """How much the error of each feature counts."""
        return jnp.concatenate([part.importance for part in self.parts], axis=-1)

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        part_of = np.repeat(np.arange(len(self.parts)), [part.n_features for part in self.parts])
        joint = jnp.outer(self.density, self.density)
        for place, part in enumerate(self.parts):
            within = np.flatnonzero(part_of == place)
            joint = joint.at[within[:, None], within[None]].set(part.joint_density)
        return joint

    @property
    def value(self) -> Any:
        """The law of values of all parts."""
        return self.parts[0].value

    @property
    def forest(self) -> Forest:
        """The forests of all parts."""
        return joined([part.forest for part in self.parts])

    @property
    def inexact(self) -> str:
        """Why exact losses are not known; empty where they are."""
        for part in self.parts:
            why = getattr(part, "inexact", "")
            if why or not hasattr(part, "forest"):
                return why or f"they are not for its {type(part).__name__} features"
        same = all(type(part.value) is type(self.value) and part.value == self.value for part in self.parts)
        return "" if same else "its parts have values of different laws"

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        drawn = (part.sample(stream(key, f"part {place}"), n) for place, part in enumerate(self.parts))
        return jnp.concatenate(list(drawn), axis=1)


class Scaled(Law):
    """The features of another law, `features`, with the values of feature `i` multiplied by `scale[i]`.

    Exact losses are known where they are for that law, in models whose output is relu, abs or linear. Raises
    TypeError for what is no law of features, and ValueError for a scale that is not positive and finite.

    >>> from superpose.features import Independent
    >>> from superpose.values import Binary
    >>> Scaled(Independent(1.0, value=Binary(), n_features=2), [1.0, 3.0]).sample(key=0, n=1).tolist()
    [[1.0, 3.0]]
    """

    features: Any
    scale: Float[Array, " feature"]

    def __init__(self, features: Any, scale: ArrayLike):
        check_law(features)
        self.features = features
        right = lambda s: (s > 0) & np.isfinite(s)  # noqa: E731
        self.scale = spread(scale, features.n_features, "scale", "features", right, "positive and finite")

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return self.features.density

    @property  # type: ignore[misc]
    def importance(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """How much the error of each feature counts."""
        return self.features.importance

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        return self.features.joint_density

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        x = self.features.sample(key, n)
        return x * self.scale.astype(x.dtype)[None]
