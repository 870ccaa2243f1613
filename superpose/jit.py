"""How functions of the library are compiled."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx

F = TypeVar("F", bound=Callable)


def program(function: F) -> F:
    """A function compiled as one program, not one for each operation; within another such function, as part of it.

    Arguments that are not arrays are static, as `equinox.filter_jit` has it.
    """
    return eqx.filter_jit(function, inline=True)  # type: ignore[call-overload, return-value]
