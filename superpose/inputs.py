"""User input, as what the package computes with; one-line errors say what is wrong and how to fix it.

Values traced by JAX are taken as they are, so that no check gets in the way of `jit`, `vmap` and `grad`.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ArrayLike = Any
"""Lists, and the arrays of NumPy, JAX, pandas, xarray, PyTorch and others: all that `numpy.asarray` takes."""

__all__ = ["ArrayLike", "array", "check_each", "finite", "number", "numbers", "weights", "whole"]


def array(value: ArrayLike, name: str, *axes: str) -> Float[Array | np.ndarray, "..."]:
    """Real numbers as an array with these axes: JAX's arrays stay as they are, all else becomes NumPy's.

    `value` is what a user gave, and `name` what the errors call it. Whole numbers become float64, floats keep their precision. Without `axes`, any shape will do. Raises TypeError for
    anything but an array of real numbers, and ValueError for other axes.

    >>> array([[1, 2]], "W", "hidden", "feature").tolist()
    [[1.0, 2.0]]
    """
    dims = getattr(value, "dims", None)
    if not isinstance(value, jax.Array):
        value = _numpy(value, name)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        if not (jnp.issubdtype(value.dtype, jnp.integer) or value.dtype == bool):
            raise TypeError(f"{name} must be real numbers, got {value.dtype}")
        value = value.astype(jnp.float32 if isinstance(value, jax.Array) else np.float64)
    if axes and value.ndim != len(axes):
        raise ValueError(
            f"{name} must have the shape ({', '.join(axes)}), got {value.shape}{_hint(value, axes)}"
        )
    if axes and dims is not None and set(dims) == set(axes) and tuple(dims) != axes:
        raise ValueError(
            f"{name} must have the axes ({', '.join(axes)}), got ({', '.join(dims)}); transpose it"
        )
    return value


def _numpy(value, name) -> np.ndarray:
    try:
        if hasattr(value, "detach"):  # a tensor of PyTorch's that has a gradient, or is elsewhere
            value = value.detach().cpu()
            with suppress(BufferError, RuntimeError, TypeError):
                # PyTorch's own bridge is that of the NumPy it was built with.
                value = np.from_dlpack(value)
        made = np.asarray(value)
        if made.dtype != object:
            return made
        if not all(isinstance(each, Real) for each in made.flat):
            raise TypeError("not all of it is numbers")
        return made.astype(np.float64)
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}: {why}") from None


def _hint(value, axes) -> str:
    if value.ndim == len(axes) - 1 and axes[:1] == ("hidden",):
        return "; give one hidden dimension as [[...]]"
    if value.ndim == len(axes) + 1:
        return "; for several at once use jax.vmap"
    return ""


def weights(W: ArrayLike, name: str = "W") -> Float[Array | np.ndarray, "hidden feature"]:
    """The weights of one model: column `W[:, i]` is the direction of feature `i`.

    Raises TypeError and ValueError as `array` does; `name` is what they call the weights.

    >>> weights([[1, -1]]).shape
    (1, 2)
    """
    return array(W, name, "hidden", "feature")


def finite(value: ArrayLike, name: str, *axes: str) -> Float[np.ndarray, "..."]:
    """Like `array`, but NumPy's, for what can have no answer of NaN: raises ValueError for NaN and infinity.

    Raises TypeError for a `value` that JAX traces, which has no numbers yet.

    >>> finite([0.5, float("nan")], "density")
    Traceback (most recent call last):
    ...
    ValueError: density must be finite, got NaN or infinity
    """
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} must be known numbers here: outside of jax.jit, jax.vmap and jax.grad")
    known = np.asarray(array(value, name, *axes))
    if not np.isfinite(known).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return known


def numbers(**named: ArrayLike) -> Iterator[Any]:
    """Arguments of a formula, `named`: numbers stay as they are, all else becomes an array.

    Raises ValueError for a `density` outside [0, 1]; NaN stays.

    >>> [type(given).__name__ for given in numbers(density=0.5, importance=[1, 2])]
    ['float', 'ndarray']
    """
    for name, value in named.items():
        given = value if isinstance(value, int | float | np.floating) else array(value, name)
        if name == "density":
            check_each(given, lambda p: (p >= 0) & (p <= 1) | np.isnan(p), "density must be within [0, 1]")
        yield given


def check_each(value: ArrayLike, right: Callable[[Any], Any], said: str, unit: str = "") -> None:
    """Raise ValueError with `said`, the first number of `value` that is not `right` and, given a `unit`, its position.

    >>> check_each([0.5, 2.0], lambda p: p <= 1, "density must be at most 1", unit="feature")
    Traceback (most recent call last):
    ...
    ValueError: density must be at most 1, got 2 at feature 1
    """
    if isinstance(value, jax.core.Tracer):
        return
    each = np.atleast_1d(np.asarray(value))
    wrong = np.flatnonzero(~right(each))
    if wrong.size:
        place = f" at {unit} {wrong[0]}" if unit else ""
        raise ValueError(f"{said}, got {float(each.flat[wrong[0]]):g}{place}")


def number(value: Any, name: str) -> float:
    """One real number, of any type. Raises TypeError for anything else.

    >>> number(np.float32(0.5), "scale")
    0.5
    """
    single = array(value, name)
    if single.ndim:
        raise TypeError(f"{name} must be one number, got shape {single.shape}")
    return float(single)


def whole(value: Any, name: str) -> int:
    """A whole number, of any type. Raises TypeError for anything else, True and False included.

    >>> whole(np.int8(3), "steps")
    3
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r:.40}") from None
