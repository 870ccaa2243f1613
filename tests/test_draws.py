"""One key may be given to everything: no two purposes share a stream, and no setting of JAX changes a draw."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from superpose import draws
from superpose.attacks import Attacked
from superpose.dictionaries import Autoencoder, Relu
from superpose.draws import key_of, stream
from superpose.features import Anticorrelated, Correlated, Empirical, Independent, _sets
from superpose.losses import Sampled
from superpose.models import Mixture, ReluOutput, Untied
from superpose.train import ensemble, fit, member_keys
from superpose.values import Binary, Exponential, Gaussian, Uniform

KEY = jax.random.key(3)
LAWS = {
    "independent": Independent([0.3, 0.9, 0.5], value=Uniform(-1, 1)),
    "exponential": Independent([0.3, 0.9, 0.5], value=Exponential()),
    "correlated": Correlated([0.3, 0.6], (2, 1), value=Gaussian()),
    "anticorrelated": Anticorrelated([0.3, 0.6], (2, 1), value=Binary()),
    "empirical": Empirical(np.arange(12.0).reshape(4, 3)),
}


def _words(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def _halves(key):
    """A key as four numbers that float32 can add up."""
    data = jax.random.key_data(key)
    return jnp.concatenate([data >> 16, data & 0xFFFF]).astype(jnp.float32)


def _from_halves(four):
    high, low = np.asarray(four, np.int64).reshape(2, 2)
    return tuple((high << 16 | low).tolist())


def _keys_of_training(members, steps):
    """The keys that a loss was called with, by member and step: the slope of the loss is its key."""
    trained = fit(
        jnp.zeros((members, 4)), lambda model, key: model @ _halves(key), steps=steps, key=KEY,
        optimizer=optax.sgd(1.0), snapshots=range(steps + 1), progress=False,
    )  # fmt: skip
    each = -np.diff(trained.snapshots, axis=0)
    return {(m, t): _from_halves(each[t, m]) for m in range(members) for t in range(steps)}


def _keys_of_weights(members):
    keys = ensemble(lambda key: _halves(key), members=members, key=KEY)
    return {m: _from_halves(keys[m]) for m in range(members)}


def test_ensemble_and_fit_take_the_same_key_and_draw_from_other_streams():
    weights, training = _keys_of_weights(4), _keys_of_training(4, 5)
    own = member_keys(KEY, 4)
    for m in range(4):
        assert weights[m] == _words(stream(own[m], "initial weights"))
        draw = stream(own[m], "draws of training")
        assert [training[m, t] for t in range(5)] == [_words(jax.random.fold_in(draw, t)) for t in range(5)]
    users = [_words(KEY), *map(_words, jax.random.split(KEY, 8)), *map(_words, own)]
    evaluations = [_words(stream(KEY, name)) for name in ("evaluation", "samples", "turn")]
    used = [*weights.values(), *training.values(), *evaluations]
    assert len({*used, *users}) == len(used) + len({*users})


def test_no_two_purposes_share_a_stream(monkeypatch):
    # Of all that is drawn with one key, each with the words it was drawn from.
    used, names, bits, sum_of = [], {}, draws.bits, draws.zlib.crc32
    monkeypatch.setattr(draws, "bits", lambda key, shape: used.append(key) or bits(key, shape))
    for module, name in ((draws, "uniform"), (draws, "normal"), (draws, "choice"), (_sets, "_drawn")):
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)  # all in one program
    monkeypatch.setattr(draws.zlib, "crc32", lambda name: names.setdefault(name, sum_of(name)))

    def drawn(make):
        def keys():
            used.clear()
            make()
            return [jax.random.key_data(key) for key in used]

        found = [tuple(key.tolist()) for key in jax.jit(keys)()]
        assert len(set(found)) == len(found), "one call draws twice from one stream"
        return set(found)

    model, world = ReluOutput.init(3, 2, key=KEY), LAWS["independent"]
    weights = drawn(lambda: Untied.init(3, 2, key=KEY)) | drawn(
        lambda: Autoencoder.init(2, 4, Relu(0.1), key=KEY)
    )
    assert drawn(lambda: Mixture.init(3, 2, experts=2, key=KEY)) < weights
    assert len(weights) == 3
    for law in LAWS.values():
        assert weights.isdisjoint(drawn(lambda: law.sample(KEY, 5)))  # noqa: B023
        if not isinstance(law, Empirical):
            assert weights.isdisjoint(drawn(lambda: law.sample_active(KEY, 5)))  # noqa: B023
    samples = drawn(lambda: Sampled(world, 5)(model, KEY))
    attacked = drawn(lambda: Attacked(world, 0.1, 5, "random")(model, KEY))
    assert samples < attacked
    assert len(attacked - weights) == len(samples) + 1
    assert len(set(names.values())) == len(names) > 5
    assert min(names.values()) > 2**20  # far beyond the places of members


SETTINGS = {
    "double precision": lambda: jax.enable_x64(True),
    "strict promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "other default keys": lambda: jax.default_prng_impl("rbg"),
    "threefry that cannot be split": lambda: jax.threefry_partitionable(False),
}


def _draws(key):
    """A little of everything that is drawn, as NumPy arrays."""

    def drawn():
        found = {
            name: (law.sample(key, 7), getattr(law, "sample_active", law.sample)(key, 7))
            for name, law in LAWS.items()
        }
        found["untied"] = Untied.init(3, 2, key=key, hidden_bias=True)
        found["mixture"] = Mixture.init(3, 2, experts=2, key=key)
        found["autoencoder"] = Autoencoder.init(2, 4, Relu(0.1), key=key)
        found["ensemble"] = ensemble(lambda key: ReluOutput.init(3, 2, key=key), members=2, key=key)
        found["stream"] = jax.random.key_data(stream(key, "evaluation"))
        return found

    return [np.asarray(leaf) for leaf in jax.tree.leaves(jax.jit(drawn)())]


@pytest.fixture(scope="module")
def plain():
    return _draws(KEY)


@pytest.mark.parametrize("setting", SETTINGS)
def test_draws_are_the_same_bits_whatever_the_settings(setting, plain):
    with SETTINGS[setting]():
        found = _draws(3)
    for a, b in zip(found, plain, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_keys_of_all_kinds_are_one():
    with jax.default_prng_impl("rbg"):
        assert _words(key_of(3)) == _words(KEY)
        assert _words(key_of(np.asarray(jax.random.key_data(KEY)))) == _words(KEY)
    rbg = jax.random.key(3, impl="rbg")
    assert _words(key_of(rbg)) == _words(key_of(jax.random.key_data(rbg))) == _words(rbg)
    many = key_of(jax.random.key_data(jax.random.split(KEY, 5)))
    assert many.shape == (5,)
    assert bool((many == jax.random.split(KEY, 5)).all())


def test_a_number_is_the_key_that_jax_makes_of_it():
    for number in (0, 7, np.int64(2**31 - 1), np.uint8(200), jnp.int32(5)):
        assert _words(key_of(number)) == _words(jax.random.key(int(number)))
    with jax.enable_x64(True):
        for number in (-1, 2**40 + 3):
            assert _words(key_of(number)) == _words(jax.random.key(number))
    assert _words(key_of(-1)) != _words(key_of(2**32 - 1))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (0.5, r"^key must be jax.random.key\(0\), .* or a whole number, got float, 0.5$"),
        (True, "got bool"),
        (None, "got NoneType"),
        ("0", "got str"),
        ([0, 1], "got list"),
        (np.array([0.0, 1.0]), r"got ndarray of shape \(2,\)"),
        (np.zeros(3, np.uint32), r"got ndarray of shape \(3,\)"),
    ],
)
def test_what_is_no_key_is_refused(key, said):
    for make in (
        lambda: key_of(key),
        lambda: stream(key, "x"),
        lambda: LAWS["correlated"].sample(key, 3),
        lambda: LAWS["independent"].sample_active(key, 3),
        lambda: LAWS["empirical"].sample(key, 3),
        lambda: Untied.init(3, 2, key=key),
        lambda: Mixture.init(3, 2, experts=2, key=key),
        lambda: Autoencoder.init(2, 4, Relu(0.1), key=key),
        lambda: Sampled(LAWS["independent"])(ReluOutput.init(3, 2, key=KEY), key),
        lambda: member_keys(key, 2),
        lambda: ensemble(lambda key: ReluOutput.init(3, 2, key=key), members=2, key=key),
        lambda: fit(jnp.zeros((2, 4)), lambda model, key: model.sum(), steps=1, key=key),
    ):
        with pytest.raises(TypeError, match=said):
            make()
    with pytest.raises(ValueError, match="key must fit into 64 bits"):
        key_of(2**64)


def test_normal_numbers_are_normal():
    x = np.asarray(draws.normal(jax.random.key(1), (1 << 18,)), np.float64)
    assert np.isfinite(x).all()
    assert scipy.stats.kstest(x, "norm").pvalue > 1e-6
    assert 4.2 < np.abs(x).max() < 5.5


@pytest.mark.parametrize("n", [1, 3, 10])
def test_choices_are_as_likely(n):
    chosen = np.asarray(draws.choice(jax.random.key(2), (1 << 16,), n))
    counts = np.bincount(chosen, minlength=n)
    assert len(counts) == n
    assert n == 1 or scipy.stats.chisquare(counts).pvalue > 1e-6
