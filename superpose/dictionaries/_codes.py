"""The codes of many activations."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from superpose.inputs import ArrayLike, array
from superpose.jit import program

__all__ = ["codes"]

_AT_A_TIME = 256
"""How many samples are encoded at a time: what an inference needs for each may be much larger than its codes."""


def codes(dictionary: Any, h: ArrayLike) -> Float[Array, "sample latent"]:
    """What `dictionary.encode` gives for each activation `h` (sample, hidden), some at a time, so that memory is bounded.

    A dictionary that is a pytree of arrays is compiled once for all of its kind.

    Raises TypeError for what has no `encode`, and ValueError for activations that are no matrix.

    >>> import numpy as np
    >>> from superpose.dictionaries import Dictionary, LeastSquares
    >>> codes(Dictionary(np.eye(2), 0.0, LeastSquares()), np.array([[1.0, 2.0]])).round(4).tolist()
    [[1.0, 2.0]]
    """
    if not hasattr(dictionary, "encode"):
        raise TypeError(
            f"dictionary must have encode(h), such as Dictionary(directions, 0.0, OMP(k=4)), got {type(dictionary).__name__}"
        )
    h = array(h, "h", "sample", "hidden")
    return (_compiled if isinstance(dictionary, eqx.Module) else _mapped)(dictionary, h)


def _mapped(dictionary, h):
    return jax.lax.map(dictionary.encode, h, batch_size=min(_AT_A_TIME, len(h)))


_compiled = program(_mapped)
