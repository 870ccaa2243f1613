"""What a model's hidden layer computes from a world: what dictionaries are made for."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features import check_law
from superpose.inputs import array, check_each
from superpose.models import Linear

__all__ = ["Activations"]


def _network(model: Any) -> Any:
    """The model, or a linear one with given directions."""
    if isinstance(model, type) or not hasattr(model, "encode"):
        W = array(model, "model", "hidden", "feature")
        return Linear(W, jnp.zeros(W.shape[1], W.dtype))
    return model


def check_has(activations: Any, name: str) -> None:
    """Raise TypeError unless activations have `sample`, for what is fitted to them, or `directions` or `pairs`, the truth."""
    if isinstance(activations, type) or not hasattr(activations, name):
        such = ["Activations(model, law)", "worlds.named('zipf').activations"]
        raise TypeError(
            f"activations must have {name}{'' if name == 'directions' else '(key, n)'}, such as "
            f"{', '.join(such + ['features.Empirical(h)'] * (name == 'sample'))}, got {type(activations).__name__}"
        )


class Activations(eqx.Module):
    """A model's hidden layer as a law of its own: `h = model.encode(x) + noise * normal`, for x of `features`.

    With `active`, only samples with an active feature are drawn: the others would teach nothing. `model` is a network, or
    the directions of the features themselves, a matrix (hidden, feature). Whatever makes dictionaries draws from it with
    `sample`; what scores them compares with the truth, `pairs` and `directions`. A matrix of activations from elsewhere is
    `features.Empirical(h)`, which has `sample` alone.

    Raises ValueError for a model of another number of features than the law, for noise that is negative, and where
    `active` samples cannot be drawn from the law; TypeError for what is no law of features.

    >>> from superpose.features import Independent
    >>> activations = Activations(jnp.eye(2), Independent(density=[1.0, 0.0]))
    >>> x, h = activations.pairs(key=0, n=3)
    >>> bool((x == h).all()), h.shape
    (True, (3, 2))
    """

    model: Any = eqx.field(converter=_network)
    features: Any
    noise: Float[Array, ""] | None = eqx.field(
        converter=lambda value: None if value is None else jnp.asarray(array(value, "noise"), jnp.float32),
        default=None,
    )
    active: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_law(self.features)
        known, n = self.model.W.shape[-1], self.features.n_features
        if known != n:
            raise ValueError(f"the model has {known} features and the law {n}; they must be equal")
        if self.noise is not None:
            check_each(self.noise, lambda noise: noise >= 0, "noise must be 0 or more")
        if self.active and not hasattr(self.features, "sample_active"):
            raise ValueError(
                f"active needs a law that draws active samples, and {type(self.features).__name__} does not"
            )

    @property
    def directions(self) -> Float[Array | np.ndarray, "hidden feature"]:
        """The truth: column i is the direction of feature i, of the length that the model gives it."""
        return self.model.W

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return self.model.W.shape[-1]

    @property
    def n_hidden(self) -> int:
        """How many hidden dimensions there are."""
        return self.model.W.shape[-2]

    def hidden(self, x: Float[Array, "sample feature"], key: AnyKey) -> Float[Array, "sample hidden"]:
        """What the model computes from these samples, with noise drawn with `key`."""
        h = jax.vmap(self.model.encode)(x)
        if self.noise is None:
            return h
        return h + self.noise.astype(h.dtype) * draws.normal(stream(key, "noise"), h.shape[::-1]).T

    def pairs(
        self, key: AnyKey, n: int
    ) -> tuple[Float[Array, "sample feature"], Float[Array, "sample hidden"]]:
        """`n` samples of the features, and what the model computes from them."""
        key = one_key(key)
        x = self.features.sample_active(key, n) if self.active else self.features.sample(key, n)
        return x, self.hidden(x, key)

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample hidden"]:
        """What the model computes from `n` samples."""
        return self.pairs(key, n)[1]
