"""The words that samples are made of, as independent fair bits; each test states its standard errors.

LOG.md names the batteries of tests, on gigabytes, that the same words have passed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from superpose.draws import bits, uniform

STEPS, SHAPE = 256, (8, 1024)
FAR = 1e-6  # a p-value that no test below should fall under


def _raw(first, second):
    return jax.random.wrap_key_data(jnp.stack([first, second]).astype(jnp.uint32))


KEYS = {  # keys that may come one after the other
    "fold_in": lambda t: jax.random.fold_in(jax.random.key(0), t),
    "seeds": lambda t: _raw(0 * t, t),
    "first half": lambda t: _raw(t, 0 * t),
    "high bits": lambda t: _raw(t << 24, 0 * t),
}


@pytest.fixture(scope="module", params=KEYS, ids=str)
def words(request):
    """One row for each key."""
    keys = jax.vmap(KEYS[request.param])(jnp.arange(STEPS, dtype=jnp.uint32))
    return np.asarray(jax.jit(jax.vmap(lambda key: bits(key, SHAPE)))(keys)).reshape(STEPS, -1)


def _assert_uniform(counts):
    assert FAR < scipy.stats.chisquare(counts).pvalue < 1 - FAR


def _ones(words):
    return np.unpackbits(words.view(np.uint8)).sum(dtype=np.int64)


def _assert_fair(words):
    """As many ones as zeros, within 5 standard errors."""
    n = words.size * 32
    assert abs(_ones(words) - n / 2) <= 5 * np.sqrt(n) / 2


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_bytes_are_uniform(words, shift):
    _assert_uniform(np.bincount(((words >> shift) & 255).ravel(), minlength=256))


def test_every_bit_is_one_half_of_the_time(words):
    n = words.size
    ones = [int(((words >> bit) & 1).sum()) for bit in range(32)]
    assert (np.abs(np.array(ones) - n / 2) <= 5 * np.sqrt(n) / 2).all()  # 5 standard errors


def test_bits_at_two_places_of_a_word_agree_half_of_the_time(words):
    signs = 2.0 * ((words[::8].reshape(-1, 1) >> np.arange(32, dtype=np.uint32)) & 1) - 1
    together = signs.T @ signs / np.sqrt(len(signs))
    assert np.abs(together[~np.eye(32, dtype=bool)]).max() <= 5.5  # standard errors, of 496 pairs


@pytest.mark.parametrize("lag", [1, 2, 8, 1024])
def test_words_are_unlike_those_at_other_places(words, lag):
    _assert_fair(words[:, lag:] ^ words[:, :-lag])


@pytest.mark.parametrize("lag", [1, 2, 16])
def test_words_are_unlike_those_of_other_keys(words, lag):
    _assert_fair(words[lag:] ^ words[:-lag])


@pytest.mark.parametrize("lag", [1, 1024])
def test_pairs_fill_the_square(words, lag):
    a, b = words[:, :-lag] >> 27, words[:, lag:] >> 27
    _assert_uniform(np.bincount((32 * a + b).ravel(), minlength=1024))


def test_pairs_of_neighboring_keys_fill_the_square(words):
    _assert_uniform(np.bincount((32 * (words[1:] >> 27) + (words[:-1] >> 27)).ravel(), minlength=1024))


def test_gaps_between_rare_words_are_geometric(words):
    rare = np.flatnonzero((words < 2**32 // 16).ravel())
    gaps = np.minimum(np.diff(rare), 65) - 1
    chances = (1 / 16) * (15 / 16) ** np.arange(64)
    expected = np.append(chances, 1 - chances.sum()) * len(gaps)
    observed = np.bincount(gaps, minlength=65)
    assert FAR < scipy.stats.chisquare(observed, expected).pvalue < 1 - FAR


def test_runs_up_have_their_lengths(words):
    flat = words.ravel()
    falls = np.diff(np.flatnonzero(flat[1:] < flat[:-1]))  # lengths of runs up, which depend on each other
    # A run has length k with chance 1/k! - 1/(k+1)! for the first; their mean is 2 in the long run.
    assert abs(falls.mean() - 2) <= 5 * 2 * np.sqrt(1 / 3 / flat.size) * 2  # the variance of falls is n/12


def test_words_repeat_as_often_as_they_should(words):
    # Birthdays: of n words, about n^2 / 2^33 pairs are equal, a Poisson number. With one key too.
    alone = np.asarray(jax.jit(lambda key: bits(key, (1 << 21,)))(jax.random.key(5)))
    for some in (words.ravel(), alone):
        expected = some.size**2 / 2**33
        repeats = some.size - len(np.unique(some))
        assert abs(repeats - expected) <= 5 * np.sqrt(expected)


def test_each_bit_of_the_key_changes_half_of_thebits():
    base = np.array([0x12345678, 0x9ABCDEF0], np.uint32)
    draw = jax.jit(lambda data: bits(jax.random.wrap_key_data(data), (4096,)))
    words = np.asarray(draw(base))
    for bit in range(64):
        other = base.copy()
        other[bit // 32] ^= np.uint32(1 << (bit % 32))
        _assert_fair(words ^ np.asarray(draw(other)))


def test_the_words_depend_on_the_key_alone():
    keys = jax.random.split(jax.random.key(3), 5)
    together = jax.vmap(lambda key: bits(key, (3, 7)))(keys)
    for key, words in zip(keys, together, strict=True):
        np.testing.assert_array_equal(words, bits(key, (3, 7)))


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_every_kind_of_key_will_do(kind):
    keys = jax.random.split(jax.random.key(0, impl=kind), 2)
    a, b = (np.asarray(bits(key, (4096,))) for key in keys)
    _assert_fair(a)
    _assert_fair(a ^ b)


def test_uniform_numbers_are_uniform(words):
    u = np.asarray(uniform(jax.random.key(2), (1 << 18,)), np.float64)
    assert 0 < u.min() <= u.max() <= 1
    assert scipy.stats.kstest(u, "uniform").pvalue > FAR
