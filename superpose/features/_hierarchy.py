"""Hierarchies: features that are active only with their parents."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, one_key, stream
from superpose.features._arguments import length, n_samples, probability, value_law, weights
from superpose.features._copula import both_low, checked_loadings, low
from superpose.features._law import OfForest
from superpose.forests import Forest, levels
from superpose.inputs import ArrayLike, array, whole
from superpose.jit import program
from superpose.values import Uniform


class Hierarchy(OfForest):
    """A forest of features: a child is active only where its parent is.

    `parents[i]` is the parent of feature `i`, a feature before it, or -1 for a root. `chance[i]` is the chance that feature `i`
    is active given that its parent is; for a root, that it is active. Its `density` is the product of these up to
    its root; values are of the law `value`, and `importance` is one number, or one for each feature. Roots are independent, or correlated as in a `Copula` with `loadings`, a row for each root.

    - With `exclusive`, at most one child of a parent is active; without, children are independent, given their parent.
    - With `scaled`, the value of an active child is multiplied by its parent's: with values of mean 1, parents make their
      children larger or smaller.

    `regular_forest` makes parents, and `chances` the chances that go with densities. Exact losses are known for it without
    `scaled` and `loadings`. Raises ValueError as `Independent` does, for parents that are not before their
    children, and for exclusive children whose chances sum to more than 1.

    Chanin and Garriga-Alonso (2026), "SynthSAEBench".

    >>> family = Hierarchy([0.5, 0.5, 0.5], parents=(-1, 0, 0), exclusive=True)
    >>> family.density.tolist()
    [0.5, 0.25, 0.25]
    >>> x = family.sample(key=0, n=100) > 0
    >>> bool((x[:, 0] == (x[:, 1] ^ x[:, 2])).all())
    True
    """

    chance: Float[Array, " feature"]
    importance: Float[Array, " feature"]
    loadings: Float[Array, "root factor"] | None
    value: Any
    parents: tuple[int, ...] = eqx.field(static=True)
    exclusive: bool = eqx.field(static=True)
    scaled: bool = eqx.field(static=True)

    def __init__(
        self,
        chance: ArrayLike,
        parents: Sequence[int],
        importance: ArrayLike = 1.0,
        value: Any = Uniform(),
        *,
        exclusive: bool = False,
        scaled: bool = False,
        loadings: ArrayLike | None = None,
    ):
        chance, importance = array(chance, "chance"), array(importance, "importance")
        self.parents = _parents(parents)
        n = length(len(self.parents), chance=chance, importance=importance)
        self.chance = probability(chance, n, "chance")
        if exclusive:
            _check_exclusive(self.chance, self.parents)
        self.importance = weights(importance, n)
        self.loadings = (
            None if loadings is None else checked_loadings(loadings, self.parents.count(-1), "root")
        )
        self.value = value_law(value)
        self.exclusive, self.scaled = bool(exclusive), bool(scaled)

    @property
    def forest(self) -> Forest:
        """The features as nodes, with roots that are independent."""
        n = self.n_features
        return Forest(self.chance, self.parents, (self.exclusive,) * n, tuple(range(n)))

    @property  # type: ignore[misc]
    def density(self) -> Float[Array, " feature"]:  # type: ignore[override]
        """The chance that each feature is active."""
        return self.forest.density

    @property
    def joint_density(self) -> Float[Array, "feature other"]:
        """The chance that two features are active together; on the diagonal, the density."""
        joint = self.forest.joint_density
        if self.loadings is None:
            return joint
        root = _roots(self.parents)
        chance = self.chance[levels(self.parents)[0].nodes]
        more = (both_low(chance, self.loadings) - jnp.outer(chance, chance))[root[:, None], root[None]]
        certain = jnp.where(np.array(self.parents) < 0, 1.0, self.chance)
        given = eqx.tree_at(lambda forest: forest.chance, self.forest, certain).density
        return joint + jnp.where(root[:, None] == root, 0.0, jnp.outer(given, given) * more)

    @property
    def inexact(self) -> str:
        """Why exact losses are not known; empty where they are."""
        if self.loadings is not None:
            return "z is not a sum of independent parts where all roots are correlated"
        return "the values of parents multiply those of their children" if self.scaled else ""

    def sample(self, key: AnyKey, n: int) -> Float[Array, "sample feature"]:
        """`n` samples, the same for the same `key`."""
        return _drawn(self, one_key(key), n_samples(n))


@program
def _drawn(law, key, n):
    # Level by level, into one matrix: else XLA would make the parents again for each of their children.
    parents, tiers = np.array(law.parents), levels(law.parents)
    active, x = jnp.zeros((law.n_features, n), bool), jnp.zeros((law.n_features, n))
    for depth, level in enumerate(tiers):
        nodes, own = level.nodes, stream(key, f"level {depth}")
        above, chance = parents[nodes], law.chance[nodes]
        if depth == 0 and law.loadings is not None:
            on = low(own, chance, law.loadings, n)
        elif depth and law.exclusive:
            # One draw for all children of a parent: each has a piece of (0, 1], as long as its chance.
            family, place = np.unique(above, return_inverse=True)
            u, start = draws.uniform(own, (len(family), n))[place], _starts(chance, place)
            on = (_column(start) < u) & (u <= _column(start + chance))
        else:
            on = draws.uniform(own, (len(nodes), n)) <= _column(chance)
        value = law.value.quantile(draws.uniform(stream(own, "values"), (len(nodes), n)))
        if depth:
            on = on & active[above]
            value = value * x[above] if law.scaled else value
        at = slice(nodes[0], nodes[-1] + 1) if (np.diff(nodes) == 1).all() else nodes
        active, x = active.at[at].set(on), x.at[at].set(jnp.where(on, value, 0.0))
    return x.T


def _column(numbers) -> Float[Array, "feature 1"]:
    return numbers.astype(jnp.float32)[:, None]


def _starts(chance, family):
    """The sum of the chances of the members of each one's family before it."""
    order = np.argsort(family, kind="stable")
    ends = jnp.cumsum(chance[order]) - chance[order]
    first = np.searchsorted(family[order], family[order])
    return (ends - ends[first])[np.argsort(order)]


def regular_forest(roots: int, branching: int, depth: int) -> tuple[int, ...]:
    """The parents of a forest of equal trees, level by level: each node has `branching` children, `depth` times.

    There are `roots (1 + branching + ... + branching^depth)` features, of which the first are the roots. Raises
    ValueError for fewer than one root or child, and a negative depth.

    >>> regular_forest(roots=2, branching=1, depth=2)
    (-1, -1, 0, 1, 2, 3)
    """
    if whole(roots, "roots") < 1 or whole(branching, "branching") < 1 or whole(depth, "depth") < 0:
        raise ValueError(
            f"a forest needs roots and branching of at least 1 and a depth of at least 0, got {roots}, {branching}, {depth}"
        )
    parents, level = [-1] * int(roots), range(int(roots))
    for _ in range(int(depth)):
        parents += np.repeat(level, branching).tolist()
        level = range(len(parents) - len(level) * int(branching), len(parents))
    return tuple(parents)


def chances(
    density: ArrayLike, parents: Sequence[int], *, exclusive: bool = False
) -> Float[np.ndarray, " feature"]:
    """The chances, given their parents, with which the features of a `Hierarchy` have these densities.

    `density_i / density_parent`, of `density`, one number or one for each feature. A child cannot be more frequent than its parent, nor can exclusive children be
    together: then their chances are 1, or shares of 1, and the densities become less than asked for. Raises ValueError
    for a density outside [0, 1], and for parents that are not before their children.

    >>> chances([0.5, 0.25, 0.5], (-1, 0, 0)).tolist()
    [0.5, 0.5, 1.0]
    >>> chances([0.5, 0.25, 0.5], (-1, 0, 0), exclusive=True).round(3).tolist()
    [0.5, 0.333, 0.667]
    """
    parents = _parents(parents)
    wanted = np.array(probability(density, len(parents)))
    chance, density = wanted.copy(), wanted.copy()
    above = np.array(parents)
    for level in levels(parents)[1:]:
        nodes, parent = level.nodes, above[level.nodes]
        frequent = density[parent]
        ratio = np.where(frequent > 0, wanted[nodes] / np.where(frequent > 0, frequent, 1.0), 0.0)
        if exclusive:
            total = np.bincount(parent, ratio, len(parents))[parent]
            ratio = ratio / np.maximum(total, 1.0)
        chance[nodes] = np.minimum(ratio, 1.0)
        density[nodes] = chance[nodes] * frequent
    return chance


def _parents(parents) -> tuple[int, ...]:
    parents = tuple(whole(parent, "parents") for parent in np.ravel(np.asarray(parents)).tolist())
    for child, parent in enumerate(parents):
        if not -1 <= parent < child:
            raise ValueError(
                f"parents must be features before their children, or -1 for roots, got {parent} for feature {child}"
            )
    if not parents:
        raise ValueError("parents must name at least one root, as -1, got none")
    return parents


def _check_exclusive(chance, parents):
    if isinstance(chance, jax.core.Tracer):
        return
    above = np.array(parents)
    total = np.bincount(above[above >= 0], np.asarray(chance)[above >= 0], len(parents))
    if (total > 1 + 1e-9).any():
        parent = int(np.argmax(total))
        raise ValueError(
            f"the chances of exclusive children must sum to at most 1, got {total[parent]:g} for those of feature {parent}"
        )


def _roots(parents) -> np.ndarray:
    """For each feature the place of its root among the roots."""
    root, count = np.zeros(len(parents), int), 0
    for node, parent in enumerate(parents):
        root[node] = root[parent] if parent >= 0 else count
        count += parent < 0
    return root
