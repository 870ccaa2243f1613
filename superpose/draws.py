"""Random streams, and what is drawn from them: the same bits whatever the settings of JAX.

A key is JAX's, of either kind, or a whole number. `stream` gives each purpose a stream of its own, so
one key can be given to everything that takes a key. What is drawn does not depend on double precision, on
the default kind of keys, or on how JAX splits them. Only `jax.disable_jit` may change the last bit of a
value, as it rounds products before they are summed.
"""

import math
import operator
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from superpose.jit import program

__all__ = ["bits", "choice", "key_of", "normal", "one_key", "stream", "uniform"]

AnyKey = Any
"""What `key_of` takes."""

_RAW = {2: "threefry2x32", 4: "rbg"}
"""The kinds of raw keys, by their numbers of words."""


def one_key(key: AnyKey) -> Key[Array, ""]:
    """Like `key_of`, and raises what it does, for functions that draw with one key only: ValueError for an array of keys.

    >>> one_key(7).shape
    ()
    """
    key = key_of(key)
    if key.ndim:
        raise ValueError(
            f"key must be one key, got an array of keys of shape {key.shape}; jax.vmap over them"
        )
    return key


def key_of(key: AnyKey, name: str = "key") -> Key[Array, "..."]:
    """JAX's key for what is given: a `jax.random.key`, a `jax.random.PRNGKey`, or a whole number.

    An array of keys, or of raw keys in rows, will do too. A number `n` is the key `jax.random.key(n)`, even
    where JAX's settings would make a different key of it. Raises TypeError or ValueError for anything else.

    >>> bool(key_of(7) == jax.random.key(7)), bool(key_of(jax.random.PRNGKey(7)) == key_of(7))
    (True, True)
    """
    if isinstance(key, jax.Array) and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if getattr(key, "dtype", None) == np.uint32 and key.ndim and key.shape[-1] in _RAW:
        return jax.random.wrap_key_data(jnp.asarray(key), impl=_RAW[key.shape[-1]])
    try:
        if isinstance(key, bool | np.bool_):
            raise TypeError
        number = operator.index(key)
    except TypeError:
        shape = f" of shape {np.shape(key)}" if hasattr(key, "shape") else f", {key!r:.40}"
        raise TypeError(
            f"{name} must be jax.random.key(0), jax.random.PRNGKey(0) or a whole number, "
            f"got {type(key).__name__}{shape}"
        ) from None
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"{name} must fit into 64 bits where it is a number, got {number}")
    words = np.array([number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF], np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl=_RAW[2])


def stream(key: AnyKey, purpose: str) -> Key[Array, ""]:
    """The key for one purpose, unrelated to the keys for other purposes and to those of members.

    Raises TypeError and ValueError as `one_key` does.

    >>> key = jax.random.key(0)
    >>> bool(stream(key, "evaluation") == stream(key, "evaluation")), bool(stream(key, "x") == stream(key, "y"))
    (True, False)
    """
    # Members are numbered from 0; the checksums of names are far larger.
    return jax.random.fold_in(one_key(key), np.uint32(zlib.crc32(purpose.encode())))


@program
def bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Random words: a hash of the key and of each word's position.

    Cheap arithmetic that XLA fuses with what uses the words, many times faster on a CPU than
    `jax.random.bits`; not cryptographic. `tests/test_random.py` tests it, and LOG.md names the
    batteries that it passes. The halves of the key are mixed first, as keys may differ in one bit;
    adding the position again between the halves makes equal words as frequent as they should be.

    >>> one, same = bits(jax.random.key(0), (2, 3)), bits(jax.random.key(0), (2, 3))
    >>> one.dtype, bool((one == same).all())
    (dtype('uint32'), True)
    """
    first, second = jax.random.key_data(key)[:2]
    second = _mixed(second, *_LONG)
    first = _mixed(first ^ second, *_LONG)
    place = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    mixed = _mixed(place ^ first, *_SHORT) + place * np.uint32(0x9E3779B9)
    return _mixed(mixed ^ second, *_LONG)


# Rounds of a shift and an odd factor that spread each bit over all, found by C. Wellons' search
# for hash functions with little bias ("hash-prospector").
_SHORT = (16, 0x21F0AAAD), (15, 0xD35A2D97), (15, 1)
_LONG = (17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB), (14, 1)


def _mixed(word, *rounds):
    for shift, factor in rounds:
        word = (word ^ (word >> np.uint32(shift))) * np.uint32(factor)
    return word


@program
def uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform on (0, 1], in float32.

    From 32 bits, not the 23 of `jax.random.uniform`: at density 0.001 those would leave an active feature only
    some eight thousand values.

    >>> u = uniform(jax.random.key(0), (1000,))
    >>> bool((u > 0).all()), bool((u <= 1).all())
    (True, True)
    """
    return (bits(key, shape).astype(jnp.float32) + 0.5) * 2.0**-32


@program
def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal with mean 0 and standard deviation 1, in float32; at most 5.4 in size.

    >>> bool(abs(normal(jax.random.key(0), (10_000,)).mean()) < 0.05)  # five standard errors
    True
    """
    signed = jax.lax.bitcast_convert_type(bits(key, shape), jnp.int32).astype(jnp.float32)
    within = jnp.clip((signed + 0.5) * 2.0**-31, -1 + 2.0**-24, 1 - 2.0**-24)
    return math.sqrt(2) * jax.lax.erf_inv(within)


@program
def choice(
    key: Key[Array, ""], shape: tuple[int, ...], n: int | Int[Array | np.ndarray, "..."]
) -> Int[Array, "..."]:
    """Each of `0, ..., n - 1` equally likely, to within a share `n / 2^32` of its chance.

    `n` is one number, or as many as broadcast to `shape`.

    >>> sorted(set(choice(jax.random.key(0), (100,), 3).tolist()))
    [0, 1, 2]
    """
    return (bits(key, shape) % jnp.asarray(n).astype(jnp.uint32)).astype(jnp.int32)
