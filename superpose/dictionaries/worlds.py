"""Named worlds: activations whose features are known, each with a version and a hash of what it generates."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

from superpose.dictionaries import _learned
from superpose.dictionaries._activations import Activations
from superpose.dictionaries._directions import random_directions
from superpose.draws import stream
from superpose.features import (
    Copula,
    Hierarchy,
    Independent,
    Scaled,
    Sum,
    chances,
    equal_loadings,
    random_loadings,
    regular_forest,
    zipf,
)
from superpose.models import Linear
from superpose.values import Gaussian


class World:
    """What a `name` stands for, for good: where it changes so does `version`, and `hash` shows that it has.

    `activations` are those of the world, and `about` says in a line what it is.
    """

    def __init__(self, name: str, version: int, about: str, activations: Any):
        self.name, self.version, self.about, self.activations = name, version, about, activations

    def __repr__(self) -> str:
        return f"World({self.name}, version {self.version}: {self.about})"

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs of a parent and a child, in worlds that have them."""
        return _edges(self.activations.features)

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of `content(activations)`."""
        return content(self.activations)


def named(name: str) -> World:
    """The world of this name. Raises ValueError for a name that is none of `names`.

    >>> world = named("independent")
    >>> world
    World(independent, version 1: 128 random directions in 64 dimensions, active at 0.03, uniform on [0, 1])
    >>> len(world.hash)
    16
    """
    if name not in _WORLDS:
        raise ValueError(f"there is no world {name!r}; there are {', '.join(_WORLDS)}")
    version, about, made = _WORLDS[name]
    return World(name, version, about, made())


def names() -> dict[str, str]:
    """What each world is, in one line.

    >>> names()["zipf"]
    'the same directions, feature i active at 0.5 / i'
    """
    return {name: about for name, (_, about, _) in _WORLDS.items()}


def content(activations: Any) -> str:
    """A hash of what is generated that no rounding of another machine changes.

    Of all shapes, of the signs of directions, of which features are active on the first samples of key 0, and of means
    and spreads of directions, features and activations to three digits.

    >>> world = named("independent")
    >>> world.hash == content(world.activations)
    True
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


def _edges(features: Any, first: int = 0) -> list[tuple[int, int]]:
    """Each feature that has a parent, behind its parent; `first` is the number of the law's first feature."""
    if isinstance(features, Scaled):
        return _edges(features.features, first)
    if isinstance(features, Sum):
        ends = np.cumsum([first] + [part.n_features for part in features.parts])
        return [
            edge
            for part, start in zip(features.parts, ends, strict=False)
            for edge in _edges(part, int(start))
        ]
    parents = enumerate(getattr(features, "parents", ()))
    return [(first + parent, first + child) for child, parent in parents if parent >= 0]


_N, _M = 128, 64
"""Features and dimensions of the small worlds, which differ in their laws only: all have the same directions."""


def _independent() -> Any:
    return _along(Independent(0.03, n_features=_N))


def _correlated() -> Any:
    return _along(Copula(0.03, equal_loadings(_N, 0.2)))


def _hierarchical() -> Any:
    roots, children = _N // 4, 3
    chance = [0.06] * roots + [0.3] * (roots * children)
    return _along(Hierarchy(chance, regular_forest(roots, children, depth=1), exclusive=True))


def _zipf() -> Any:
    return _along(Independent(zipf(_N, most=0.5)))


def _along(features) -> Any:
    return Activations(random_directions(_N, _M, key=0), features)


def _synth_sae_bench(roots: int, n_hidden: int, most: float, rank: int, largest: float) -> Any:
    """SynthSAEBench with 128 features for each root."""
    n, parents = 128 * roots, regular_forest(roots, branching=4, depth=3)
    density, inside = zipf(n, 0.5, most, least=5e-4), len(parents)
    loadings = random_loadings(n, rank, 0.1, key=stream(0, "correlations"))
    value = Gaussian(0.13, mean=1.0)
    trees = Hierarchy(
        chances(density[:inside], parents, exclusive=True), parents, value=value, exclusive=True, scaled=True,
        loadings=loadings[:roots],
    )  # fmt: skip
    others = Copula(density[inside:], loadings[inside:], value=value)
    features = Scaled(Sum(trees, others), largest * np.linspace(1.0, 0.8, n))
    bias = 0.1 * largest * random_directions(1, n_hidden, key=stream(0, "bias"))[:, 0]
    W = random_directions(n, n_hidden, key=0)
    return Activations(Linear(W, jnp.zeros(n), hidden_bias=bias), features)


def _toy_model() -> Any:
    return Activations(_learned.model(), _learned.features())


_WORLDS: dict[str, tuple[int, str, Callable[[], Any]]] = {
    "independent": (
        1,
        "128 random directions in 64 dimensions, active at 0.03, uniform on [0, 1]",
        _independent,
    ),
    "correlated": (
        1,
        "the same, with correlated activity (a Gaussian copula of 0.2 for all pairs)",
        _correlated,
    ),
    "hierarchical": (
        1,
        "the same directions: 32 parents, active at 0.06, each with 3 children, of which one is active 9 times in 10",
        _hierarchical,
    ),
    "zipf": (1, "the same directions, feature i active at 0.5 / i", _zipf),
    "synth-sae-bench-small": (
        1,
        "SynthSAEBench at 1/16: 1,024 random directions in 48 dimensions, 8 trees of 85 features, Zipf, correlated",
        lambda: _synth_sae_bench(roots=8, n_hidden=48, most=0.1, rank=5, largest=1.0),
    ),
    "synth-sae-bench": (
        1,
        "SynthSAEBench: 16,384 random directions in 768 dimensions, 128 trees of 85 features, Zipf, correlated",
        lambda: _synth_sae_bench(roots=128, n_hidden=768, most=0.4, rank=25, largest=5.0),
    ),
    "toy-model": (
        1,
        "what a toy model learned: 128 features in 40 dimensions, active at 0.03, uniform on [0, 1]",
        _toy_model,
    ),
}
