"""Members: their keys, their initial models, and one of them alone."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

Tree = TypeVar("Tree")


def member_keys(key: Key[Array, ""], members: int | Sequence[int] | np.ndarray) -> Key[Array, " member"]:
    """The members' own keys: `fold_in(key, i)` for each of `members`, a number or places.

    >>> key = jax.random.key(0)
    >>> bool(member_keys(key, 5)[3] == member_keys(key, [3])[0])
    True
    """
    places = np.arange(members) if isinstance(members, int) else np.asarray(members)
    if places.size < 1 or places.min() < 0:
        raise ValueError(f"an ensemble needs at least one member, at places from 0 on, got {members}")
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(places, jnp.uint32))


def ensemble(
    init: Callable[[Key[Array, ""]], Tree], *, members: int | Sequence[int] | np.ndarray, key: Key[Array, ""]
) -> Tree:
    """`init(key)` for each member's own key, stacked: every leaf gains a leading `member` axis.

    >>> from superpose.models import ReluOutput
    >>> models = ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=7, key=jax.random.key(0))
    >>> models.W.shape
    (7, 2, 5)
    """
    return jax.vmap(init)(member_keys(key, members))


def member(models: Tree, place) -> Tree:
    """The member at `place`, or the members at several places, of an ensemble or of its losses."""
    return jax.tree.map(lambda leaf: leaf[place], models)


def told(models, loss) -> str:
    """Models and their losses in a few words, for what trains them to show itself.

    >>> told({"W": np.zeros((3, 2))}, np.array([0.2, 0.1, 0.4]))
    '3 models, loss 0.1 at best, 0.2 in the middle'
    """
    leaves = jax.tree.leaves(models)
    kind = repr(models) if hasattr(models, "W") else f"{len(leaves[0])} models"
    try:
        loss = np.asarray(loss, float)
    except jax.errors.TracerArrayConversionError:
        return kind
    finite = loss[np.isfinite(loss)]
    if not finite.size:
        return f"{kind}, no finite loss"
    return f"{kind}, loss {finite.min():.4g} at best, {np.median(finite):.4g} in the middle"
