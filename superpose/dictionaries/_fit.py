"""Many dictionaries in one call: autoencoders of one kind and size train side by side."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from superpose import train
from superpose.dictionaries._activations import check_has
from superpose.dictionaries._autoencoders import Autoencoder, Reconstruction, _Method
from superpose.draws import AnyKey, key_of, stream
from superpose.inputs import whole
from superpose.progress import progress_bar

__all__ = ["fit_each"]


def fit_each(
    methods: Iterable[Any],
    activations: Any,
    n_latents: Any,
    *,
    key: AnyKey,
    along: ArrayLike | None = None,
    progress: bool = True,
) -> list[Any]:
    """A dictionary for each of `methods`: the same as `method.fit(activations, n_latents, key=key)`, many at once.

    `activations`, `n_latents` and `key` may be one for all, or one for each (a list; an array of keys). Autoencoders
    that differ in their knobs, keys and activations only train side by side, as many as there are, in one compiled
    program; each is the same, bit for bit, as if it were trained alone. Latents of autoencoders write and read along
    random directions at first, or `along` the columns of a matrix (hidden, latent).

    Raises ValueError where lengths, or the shape of `along`, do not fit, or for `along` with a method that is no
    autoencoder's, and TypeError for methods that are none.

    >>> import jax
    >>> from superpose.dictionaries import Activations, TopK
    >>> from superpose.draws import normal
    >>> from superpose.features import Independent
    >>> activations = Activations(normal(jax.random.key(0), (4, 8)), Independent(0.1, n_features=8))
    >>> methods = [TopK(k=k, steps=10, batch=32) for k in (1, 2)]
    >>> [sae.directions.shape for sae in fit_each(methods, activations, 8, key=0)]
    [(4, 8), (4, 8)]
    """
    if isinstance(methods, Mapping | str) or not hasattr(methods, "__iter__"):
        raise TypeError(f"methods must be a list of methods such as [TopK(k=4)], got {methods!r:.60}")
    methods = list(methods)
    for method in methods:
        if isinstance(method, type) or not hasattr(method, "fit"):
            raise TypeError(
                f"a method must have fit(activations, n_latents, key=key), such as TopK(k=4), got {method!r:.60}"
            )
    n = len(methods)
    laws = _one_each(activations, n, "activations")
    sizes = [whole(size, "n_latents") for size in _one_each(n_latents, n, "n_latents")]
    for law in laws:
        check_has(law, "sample")
    for method, size in zip(methods, sizes, strict=True):
        if isinstance(method, _Method):
            method.check(size)
    given = key_of(key)
    keys = [given] * n if given.ndim == 0 else list(given)
    if len(keys) != n:
        raise ValueError(f"key must be one key, or one for each of the {n} methods, got {len(keys)}")
    if along is not None and not all(isinstance(method, _Method) for method in methods):
        raise ValueError("along is where autoencoders start; other methods start by themselves")
    groups: dict[Any, list[int]] = {}
    for place, (method, law, size) in enumerate(zip(methods, laws, sizes, strict=True)):
        alike = isinstance(method, _Method)
        groups.setdefault((_kind(method), _kind(law), size) if alike else place, []).append(place)
    made: list[Any] = [None] * n
    with progress_bar("dictionaries", len(groups), progress and len(groups) > 1) as advanced:
        for done, places in enumerate(groups.values(), 1):
            first = places[0]
            if isinstance(methods[first], _Method):
                own_methods, own_laws, own_keys = (
                    [of[place] for place in places] for of in (methods, laws, keys)
                )
                inner = progress and len(groups) == 1
                saes = _side_by_side(own_methods, own_laws, own_keys, sizes[first], along, inner)
                for place, sae in zip(places, saes, strict=True):
                    made[place] = sae
            else:
                made[first] = methods[first].fit(laws[first], sizes[first], key=keys[first])
            advanced(done)
    return made


def _one_each(given, n, name) -> list[Any]:
    each = list(given) if isinstance(given, list | tuple | np.ndarray) else [given] * n
    if len(each) != n:
        raise ValueError(f"{name} must be one for all, or one for each of the {n} methods, got {len(each)}")
    return each


def _kind(tree) -> Any:
    """What pytrees that can be stacked have in common."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)


def _side_by_side(methods, laws, keys, n_latents, along, progress) -> list[Autoencoder]:
    method, own = methods[0], any(law is not laws[0] for law in laws[1:])
    n_hidden = _n_hidden(laws[0])
    keys = jax.numpy.stack(keys)

    def start(method, key):
        sae = Autoencoder.init(n_hidden, n_latents, method, key=stream(key, train.INIT))
        return sae if along is None else sae.along(along)

    saes = jax.vmap(start)(train.stack(methods), keys)
    loss = [Reconstruction(law, method.batch) for law in (laws if own else laws[:1])]
    trained = train.fit(
        saes,
        train.stack(loss) if own else loss[0],
        steps=method.steps,
        key=keys,
        own_loss=own,
        optimizer=_optimizer(method.rate, method.steps),
        window=max(1, method.steps // 20),
        progress=progress,
    )
    return [train.member(trained.models, place) for place in range(len(methods))]


def _n_hidden(law) -> int:
    return jax.eval_shape(lambda: law.sample(0, 1)).shape[-1]


@lru_cache
def _optimizer(rate, steps):
    """One object for each rate, so that a second call finds the first one's program."""
    return train.cosine_adam(rate, steps)
