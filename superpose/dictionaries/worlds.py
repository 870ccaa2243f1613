"""Named worlds: activations whose features are known, each with a version and a hash of what it generates."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

from superpose import draws
from superpose.dictionaries._activations import Activations
from superpose.draws import stream
from superpose.features import Independent
from superpose.inputs import ArrayLike


class World:
    """What a name stands for, for good: where it changes so does `version`, and `hash` shows that it has."""

    def __init__(self, name: str, version: int, about: str, activations: Any):
        self.name, self.version, self.about, self.activations = name, version, about, activations

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of `content(activations)`."""
        return content(self.activations)


def named(name: str) -> World:
    """The world of this name. Raises ValueError for a name that is none of `names`.

    >>> world = named("independent")
    >>> world.activations.directions.shape, world.version, len(world.hash)
    ((64, 128), 1, 16)
    """
    if name not in _WORLDS:
        raise ValueError(f"there is no world {name!r}; there are {', '.join(_WORLDS)}")
    version, about, made = _WORLDS[name]
    return World(name, version, about, made())


def names() -> dict[str, str]:
    """What each world is, in one line."""
    return {name: about for name, (_, about, _) in _WORLDS.items()}


def content(activations: Any) -> str:
    """A hash of what is generated that no rounding of another machine changes.

    Of all shapes, of the signs of directions, of which features are active on the first samples of key 0, and of means
    and spreads of directions, features and activations to three digits.
    """
    x, h = (np.asarray(each) for each in activations.pairs(0, _HASHED))
    W = np.asarray(activations.directions)
    told = hashlib.sha256()
    for each in (W > 0, x != 0):
        told.update(f"{each.shape}".encode() + np.packbits(each).tobytes())
    for each in (W, x, h):
        told.update(f"{each.mean(dtype=float):.2e} {each.std(dtype=float):.2e} ".encode())
    return told.hexdigest()[:16]


_HASHED = 256
"""The samples whose content is hashed."""


def _random(n_hidden: int, n_features: int, key: int) -> ArrayLike:
    """Random directions of length 1."""
    W = draws.normal(stream(key, "directions"), (n_hidden, n_features))
    return W / jnp.linalg.norm(W, axis=0, keepdims=True)


def _independent() -> Any:
    return Activations(_random(64, 128, key=0), Independent(0.03, n_features=128))


_WORLDS: dict[str, tuple[int, str, Callable[[], Any]]] = {
    "independent": (
        1,
        "128 random directions in 64 dimensions, active at 0.03, uniform on [0, 1]",
        _independent,
    ),
}
