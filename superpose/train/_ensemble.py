"""Members: their keys and initial models, one of them by itself, and several as an ensemble."""

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Real
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from superpose.draws import AnyKey, key_of, stream
from superpose.features import Empirical
from superpose.inputs import ArrayLike, array

Tree = TypeVar("Tree")

INIT, DRAWS = "initial weights", "draws of training"
"""The streams of a member's own key."""


def member_keys(key: AnyKey, members: ArrayLike) -> Key[Array, " member"]:
    """The members' own keys: `fold_in(key, i)` for each of `members`, a number of them or their places.

    Raises ValueError for several keys, or no members, and TypeError for what is neither.

    >>> key = jax.random.key(0)
    >>> bool(member_keys(key, 5)[3] == member_keys(key, [3])[0])
    True
    """
    key, places = key_of(key), _places(members)
    if key.ndim:
        raise ValueError(
            f"key must be a single key, from which each member gets its own, got shape {key.shape}"
        )
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(places, jnp.uint32))


def _places(members) -> np.ndarray:
    try:
        places = np.arange(operator.index(members))
    except TypeError:
        places = np.asarray(members)
    if places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
        raise TypeError(f"members must be a whole number, or the places of some, got {members}")
    if places.size < 1 or places.min() < 0:
        raise ValueError(f"an ensemble needs at least one member, at places from 0 on, got {members}")
    return places


def ensemble(init: Callable[[Key[Array, ""]], Tree], *, members: ArrayLike, key: AnyKey) -> Tree:
    """`init(key)` for each member, stacked: every leaf gains a leading `member` axis.

    `init` gets the key `draws.stream(own_key, "initial weights")`. Training draws from other streams, so it can be
    given the same `key`. Raises TypeError for an `init` that is no function, and as `member_keys` does for `members`;
    ValueError for no members.

    >>> from superpose.models import ReluOutput
    >>> models = ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=7, key=jax.random.key(0))
    >>> models.W.shape
    (7, 2, 5)
    """
    model = any(map(eqx.is_array, jax.tree.leaves(init)))
    if not callable(init) or isinstance(init, type) or model:
        raise TypeError(
            "init must be a function of a key, such as lambda key: ReluOutput.init(5, 2, key=key), "
            f"got {init.__name__ if isinstance(init, type) else type(init).__name__}"
        )
    return jax.vmap(lambda own: init(stream(own, INIT)))(member_keys(key, members))


def member(models: Tree, index: Any) -> Tree:
    """The member at `index`, or the members at several indices, of an ensemble or of its losses.

    Raises IndexError for an index that does not exist, which JAX's arrays would take for the last, TypeError for what is
    no index, and ValueError where arrays have different numbers of members.

    >>> models = {"W": np.arange(6.0).reshape(3, 2)}
    >>> member(models, 1)["W"].tolist(), member(models, [0, 2])["W"].shape
    ([2.0, 3.0], (2, 2))
    """
    if not isinstance(index, slice | jax.core.Tracer):
        index = np.asarray(index)
        if index.dtype.kind not in "iub":
            raise TypeError(f"index must be the number of a member, or several, got {index.dtype}")
        members = count(models)
        if index.dtype != bool and index.size and not (-members <= index.min() and index.max() < members):
            raise IndexError(f"index must be within 0..{members - 1}, got {index.tolist()}")
    return jax.tree.map(lambda leaf: leaf[index], models)


def stack(models: Sequence[Tree]) -> Tree:
    """Models, laws of features or losses of one kind as an ensemble: `member` takes it apart again.

    Every leaf gains a leading `member` axis. `Empirical` laws may have different numbers of rows: they are
    padded with rows that are never drawn.

    Raises ValueError where sizes or choices differ, and where there are none, and TypeError for one in place of several.

    >>> laws = stack([Empirical(np.eye(2)), Empirical(np.ones((3, 2)))])
    >>> laws.density.tolist(), laws.n_rows.tolist()
    ([[0.5, 0.5], [1.0, 1.0]], [2, 3])
    """
    if not isinstance(models, Iterable):
        raise TypeError(
            f"stack takes several models, laws or losses, as [a, b], got one {type(models).__name__}"
        )
    models = list(models)
    if not models:
        raise ValueError("stack needs at least one model, law or loss, got none")

    def one(*parts):
        if not isinstance(parts[0], Empirical):
            return _stacked(*parts)
        if not all(isinstance(part, Empirical) for part in parts):
            raise ValueError("some laws are Empirical and others are not")
        size = np.max([part.size for part in parts], axis=0).tolist()
        return jax.tree.map(_stacked, *(part.filled(*size) for part in parts))

    try:
        return jax.tree.map(one, *models, is_leaf=lambda part: isinstance(part, Empirical))
    except ValueError as error:
        kinds = ", ".join(dict.fromkeys(type(model).__name__ for model in models))
        raise ValueError(
            f"models, laws or losses must be of one kind and one size to stack, got {kinds}: "
            + str(error).partition("\n")[0]
        ) from None


def _stacked(*leaves):
    # NumPy arrays, float64 ones too, as they are.
    return (jnp if any(isinstance(leaf, jax.Array) for leaf in leaves) else np).stack(leaves)


def count(models, name: str = "models") -> int:
    """How many members there are: all arrays of `models` have them along their first axis.

    Raises TypeError or ValueError, in one line, where they do not.
    """
    shapes = {
        jax.tree_util.keystr(at): np.shape(leaf) for at, leaf in jax.tree_util.tree_leaves_with_path(models)
    }
    listed = ", ".join(f"{at or 'one'} {shape}" for at, shape in list(shapes.items())[:4])
    if not shapes:
        raise TypeError(
            f"{name} must have arrays with a leading member axis, got {type(models).__name__} without any"
        )
    lengths = {shape[0] if shape else -1 for shape in shapes.values()}
    if len(lengths) > 1 or -1 in lengths:
        raise ValueError(
            f"{name} must have the members along the first axis of every array (see ensemble), got the shapes {listed}"
        )
    if 0 in lengths:
        raise ValueError(f"{name} must have at least one member, got the shapes {listed}")
    return lengths.pop()


def check_own(losses, members) -> None:
    """Raise ValueError unless there is a loss for each member."""
    if (losses_of := count(eqx.filter(losses, eqx.is_array), "with own_loss, loss")) != members:
        raise ValueError(f"own_loss needs one loss for each of the {members} members, got {losses_of}")


@contextmanager
def shared(loss, members) -> Iterator[None]:
    """For what calls a loss that all members share: a better error where there is one for each of them."""
    try:
        yield
    except (TypeError, ValueError) as error:
        leaves = [*filter(eqx.is_array, jax.tree.leaves(loss))]
        importance = getattr(getattr(loss, "features", None), "importance", None)
        # One law may have as many features as there are members.
        one = importance is not None and np.ndim(importance) < 2
        if one or not leaves or any(leaf.shape[:1] != (members,) for leaf in leaves):
            raise
        raise ValueError(
            f"loss has numbers for each of the {members} members, one loss each: say own_loss=True"
        ) from error


def parameters(models: Tree, dtype=None) -> Tree:
    """What is to be trained: every leaf an array of floats."""

    def one(at, leaf):
        leaf = array(leaf, f"models{jax.tree_util.keystr(at)}")
        return leaf if dtype is None else np.asarray(leaf, dtype)

    return jax.tree_util.tree_map_with_path(one, models)


def called(loss, with_key: bool) -> Callable:
    """`loss` as a function of a model and a key, whether it takes a key or not."""
    try:
        signature = inspect.signature(loss)
    except TypeError:
        raise TypeError(f"loss must be called with a model and a key, got {type(loss).__name__}") from None
    except ValueError:  # for what is not written in Python
        return loss if with_key else lambda model, key: loss(model)
    takes = [_binds(signature, *("model", "key")[:some]) for some in (1, 2)]
    if with_key and takes[1]:
        return loss
    if takes[0]:
        return lambda model, key: loss(model)
    if takes[1]:
        raise TypeError(
            f"minimize needs a loss of the model alone, and {_name(loss)} draws with a key: use fit, "
            "or the same draw each time, lambda model: loss(model, key)"
        )
    raise TypeError(f"loss must take a model and a key, or a model, got {_name(loss)}{signature}")


def number(value) -> Float[Array, ""]:
    """What a loss returned, if it is one number."""
    if not hasattr(value, "dtype") and not isinstance(value, Real):
        raise TypeError(f"loss must return one real number, got {type(value).__name__}")
    if np.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(
            f"loss must return one real number, got {jnp.result_type(value)} of shape {np.shape(value)}"
        )
    return jnp.asarray(value)


def _binds(signature, *arguments) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _name(loss) -> str:
    return getattr(loss, "__name__", type(loss).__name__)


def in_words(models, loss) -> str:
    """Models and their losses in a few words, for the `repr` of training results.

    >>> in_words({"W": np.zeros((3, 2))}, np.array([0.2, 0.1, 0.4]))
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
