"""What laws of features take: checked, and as arrays in float64."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose.inputs import ArrayLike, array, check_each, whole
from superpose.values import double


def n_samples(n) -> int:
    if whole(n, "n") < 0:
        raise ValueError(f"n must be the number of samples, got {n}")
    return int(n)


def value_law(value) -> Any:
    if not hasattr(value, "quantile") or isinstance(value, type):
        raise TypeError(f"value must be a law of values, such as Uniform(), got {value!r:.60}")
    return value


def length(n_features, **values) -> int:
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


def spread(value, n, name, unit, right, said) -> Float[Array, " feature"]:
    """A number for each of `n` features or sets, in float64, from one number or `n`, all of them `right`."""
    numbers = array(value, name)
    if numbers.shape not in ((), (1,), (n,)):
        raise ValueError(
            f"{name} must be a number or {n} numbers, one for each of the {unit}, got shape {numbers.shape}"
        )
    check_each(numbers, right, f"{name} must be {said}", unit.removesuffix("s"))
    return jnp.broadcast_to(double(numbers), (n,))


def probability(value, n, name="density", unit="features") -> Float[Array, " feature"]:
    return spread(value, n, name, unit, lambda p: (p >= 0) & (p <= 1), "within [0, 1]")


def weights(value, n) -> Float[Array, " feature"]:
    return spread(value, n, "importance", "features", weighs, "finite and not negative")


def weighs(importance: ArrayLike) -> Any:
    """Whether each number can be an `importance`: those of 0 or more, and finite.

    >>> weighs(np.array([0.0, 2.0, -1.0, np.inf])).tolist()
    [True, True, False, False]
    """
    return (importance >= 0) & np.isfinite(importance)
