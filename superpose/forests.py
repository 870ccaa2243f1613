"""Forests: trees of nodes, each of which is active only with its parent.

What is asked of a forest, such as the characteristic function of a sum over its nodes, is found from the leaves
to the roots, one level of all trees at a time: what a node brings follows from what its children bring.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Forest", "Level", "joined", "levels", "product"]


class Forest(eqx.Module):
    """Node `i` is active with the chance `chance[i]` where its parent is, and never where its parent is not.

    `parents[i]` is the parent of node `i`, which comes before it, or -1 for a root. The children of a node with
    `exclusive[i]` are active one at a time: their chances sum to at most 1. All other nodes are active independently
    of each other, given their parents. `features[j]` is the node of feature `j`: some nodes may be no feature.

    >>> pair = Forest(jnp.array([0.5, 0.25]), (-1, 0), (False, False), (0, 1))
    >>> pair.density.tolist(), pair.joint_density.tolist()
    ([0.5, 0.125], [[0.5, 0.125], [0.125, 0.125]])
    """

    chance: Float[Array, "*group node"]
    parents: tuple[int, ...] = eqx.field(static=True)
    exclusive: tuple[bool, ...] = eqx.field(static=True)
    features: tuple[int, ...] = eqx.field(static=True)

    @property
    def density(self) -> Float[Array, "*group node"]:
        """The chance that each node is active."""
        density, parents = self.chance, np.array(self.parents)
        for level in levels(self.parents)[1:]:
            chance = self.chance[..., level.nodes] * density[..., parents[level.nodes]]
            density = density.at[..., level.nodes].set(chance)
        return density

    @property
    def joint_density(self) -> Float[Array, "node other"]:
        """The chance that two nodes are active together; on the diagonal, that one is."""
        # Given its parent, a node is active with its chance, whatever nodes that are not below it do: but for
        # siblings that exclude it.
        parents, density = np.array(self.parents), self.density
        joint = jnp.zeros((len(parents), len(parents)), density.dtype)
        for level in levels(self.parents):
            at, above = level.nodes, parents[level.nodes]
            chance, roots = self.chance[at][:, None], above[0] < 0
            if not roots:
                joint = joint.at[at].set(chance * joint[above])
                joint = joint.at[:, at].set(joint[at].T)
            here = chance * (density[at][None] if roots else joint[above[:, None], at[None]])
            barred = (above[:, None] == above) & np.array(self.exclusive)[above] & (not roots)
            here = jnp.where(barred, 0.0, here)
            here = jnp.where(np.eye(len(at), dtype=bool), density[at], here)
            joint = joint.at[at[:, None], at[None]].set(here)
        return joint

    def climb(
        self, brings: Callable, beside: Callable, instead: Callable, leaf: float | Array = 0.0
    ) -> Array:
        """What the roots bring together, from what every node brings: numbers along a first axis.

        `brings(nodes, below)` is what nodes bring, given what their children bring together. That is `beside(each)` where
        these are independent, and `instead(each)` where they exclude each other, of what each of them brings
        along axis 1, padded with 0; and `leaf` where there are none.
        """
        below, tiers = leaf, levels(self.parents)
        for depth in reversed(range(len(tiers))):
            each = brings(tiers[depth].nodes, below)
            if depth:
                parents = tiers[depth - 1]
                padded = jnp.concatenate([each, jnp.zeros_like(each[:1])])[parents.children]
                alone = np.array(self.exclusive)[parents.nodes]
                if alone.all() or not alone.any():
                    below = instead(padded) if alone.all() else beside(padded)
                else:
                    alone = alone.reshape(-1, *(1,) * (each.ndim - 1))
                    below = jnp.where(alone, instead(padded), beside(padded))
        return beside(each[None])[0]


class Level(NamedTuple):
    """The nodes at one depth."""

    nodes: np.ndarray
    children: np.ndarray
    """The places of each node's children in the next level's `nodes`, padded with the number of those."""


@lru_cache(maxsize=64)
def levels(parents: tuple[int, ...]) -> tuple[Level, ...]:
    """The nodes by depth, from the roots on.

    >>> [level.nodes.tolist() for level in levels((-1, 0, -1, 1))]
    [[0, 2], [1], [3]]
    """
    depth = np.zeros(len(parents), int)
    for node, parent in enumerate(parents):
        depth[node] = depth[parent] + 1 if parent >= 0 else 0
    tiers = [np.flatnonzero(depth == d).astype(np.int32) for d in range(depth.max() + 1)]
    above, found = np.array(parents), []
    for nodes, below in zip(tiers, [*tiers[1:], np.zeros(0, np.int32)], strict=True):
        count = np.bincount(above[below], minlength=len(parents))
        children = np.full((len(nodes), count.max(initial=0)), len(below), np.int32)
        order = np.argsort(above[below], kind="stable")
        ranked = above[below][order]
        rank = np.arange(len(below)) - np.searchsorted(ranked, ranked)
        children[np.searchsorted(nodes, ranked), rank] = order
        found.append(Level(nodes, children))
    return tuple(found)


def joined(forests: Sequence[Forest]) -> Forest:
    """Forests side by side, independent of each other."""
    starts = np.cumsum([0, *(len(forest.parents) for forest in forests)]).tolist()

    def moved(nodes, start):
        return tuple(node + start if node >= 0 else node for node in nodes)

    return Forest(
        jnp.concatenate([forest.chance for forest in forests], axis=-1),
        sum((moved(forest.parents, at) for forest, at in zip(forests, starts, strict=False)), ()),
        sum((forest.exclusive for forest in forests), ()),
        sum((moved(forest.features, at) for forest, at in zip(forests, starts, strict=False)), ()),
    )


def product(each: Array) -> Array:
    """The product along axis 1, by halves: JAX has no slope of its own product in float64 without x64 mode."""
    while (n := each.shape[1]) > 1:
        # By index: nor is there, without x64 mode, a slope of the slope of a slice.
        first, second, rest = np.arange(n // 2), np.arange(n // 2, n - n % 2), np.arange(n - n % 2, n)
        halves = each[:, first] * each[:, second]
        each = jnp.concatenate([halves, each[:, rest]], axis=1) if n % 2 else halves
    return each[:, np.zeros(1, int)].sum(1)
