"""The codes of many activations."""

from typing import Any

import equinox as eqx
import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from superpose.jit import program

__all__ = ["codes"]

_AT_A_TIME = 256
"""How many samples are encoded at a time: what an inference needs for each may be much larger than its codes."""


def codes(dictionary: Any, h: Float[ArrayLike, "sample hidden"]) -> Float[Array, "sample latent"]:
    """What `dictionary.encode` gives for each activation, some at a time, so that memory is bounded.

    A dictionary that is a pytree of arrays is compiled once for all of its kind.

    >>> import numpy as np
    >>> from superpose.dictionaries import Dictionary, LeastSquares
    >>> codes(Dictionary(np.eye(2), 0.0, LeastSquares()), np.array([[1.0, 2.0]])).round(4).tolist()
    [[1.0, 2.0]]
    """
    return (_compiled if isinstance(dictionary, eqx.Module) else _mapped)(dictionary, h)


def _mapped(dictionary, h):
    return jax.lax.map(dictionary.encode, h, batch_size=min(_AT_A_TIME, len(h)))


_compiled = program(_mapped)
