"""How functions of the library are compiled."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import equinox as eqx
import jax

F = TypeVar("F", bound=Callable)


def program(function: F) -> F:
    """A function compiled as one program, not one for each operation; within another such function, as part of it.

    Arguments that are not arrays are static, as `equinox.filter_jit` has it.
    """
    return eqx.filter_jit(function, inline=True)  # type: ignore[call-overload, return-value]


def keep_compiled() -> None:
    """Keep what JAX compiles from now on in the user's cache folder, so that a later process need not compile it again.

    The commands and `superpose.run` do so; in a script or a notebook it saves most of the seconds before a first
    `minimize` or `fit`. The folder is that of JAX's `jax_compilation_cache_dir`, where that is set, else `superpose` in
    `$XDG_CACHE_HOME`, `~/.cache` without it; deleting it costs only time.

    >>> import superpose
    >>> superpose.keep_compiled()
    """
    # A cache that cannot be read or written only costs time.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*")
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superpose"
    except RuntimeError:  # a user without a home
        return
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones add up
