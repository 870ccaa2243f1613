"""How functions of the library are compiled."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx

F = TypeVar("F", bound=Callable)


def program(function: F) -> F:
    """One program where it is called by itself, instead of one for each operation; within another, a part of it.

    Arguments that are no arrays are static, as `equinox.filter_jit` has it.
    """
    return eqx.filter_jit(function, inline=True)  # type: ignore[call-overload, return-value]
