"""Codes given a dictionary, dictionaries by alternation and by scikit-learn, and the two ends of their scale."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from superpose import dictionaries
from superpose.dictionaries import (
    FISTA,
    ICA,
    KSVD,
    MOD,
    NMF,
    NNLS,
    OMP,
    PCA,
    Activations,
    Dictionary,
    DictionaryLearning,
    LeastSquares,
    ReluStep,
    best_threshold,
    closest,
    codes,
    coherent_directions,
    oracle,
    orthogonal_directions,
    random_dictionary,
    random_directions,
    scores,
)
from superpose.dictionaries._classical import _restarted
from superpose.dictionaries._inference import _nonnegative
from superpose.features import Empirical, Independent
from superpose.models import Network, ReluOutput

KEY = jax.random.key(0)
INFERENCES = {
    "OMP": OMP(3),
    "signed OMP": OMP(3, nonnegative=False),
    "FISTA": FISTA(0.05),
    "signed FISTA": FISTA(0.05, nonnegative=False),
    "NNLS": NNLS(),
    "least squares": LeastSquares(),
    "ReLU": ReluStep(0.1),
    "negative threshold": ReluStep(-0.1),
}
every_inference = pytest.mark.parametrize("inference", INFERENCES.values(), ids=INFERENCES)


def _directions(n_latents=12, n_hidden=8, seed=0):
    return random_directions(n_latents, n_hidden, key=seed)


def _h(n=20, n_hidden=8, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, n_hidden)), jnp.float32)


_compiled = jax.jit(jax.vmap(lambda inference, D, h: inference(D, h), in_axes=(None, None, 0)))


def _codes(inference, D, h):
    return np.asarray(_compiled(inference, D, h))


@every_inference
def test_many_at_once_are_as_one_by_one_and_compiled_as_not(inference):
    D, h = _directions(), _h(6)
    many = _codes(inference, D, h)
    for one, z in zip(h, many, strict=True):
        np.testing.assert_allclose(inference(D, one), z, atol=2e-4)
        np.testing.assert_allclose(_compiled(inference, D, one[None])[0], z, atol=2e-4)


@every_inference
def test_codes_are_signed_where_it_is_said(inference):
    assert (_codes(inference, _directions(), _h()) < 0).any() == inference.signed
    assert Dictionary(_directions(), 0.0, inference).signed == inference.signed


@every_inference
def test_a_column_of_zeros_has_no_code_and_does_not_matter(inference):
    D, h = _directions(), _h()
    with_zeros = jnp.insert(D, jnp.array([0, 5]), 0.0, axis=1)
    found = _codes(inference, with_zeros, h)
    assert (found[:, [0, 6]] == 0).all()
    np.testing.assert_allclose(np.delete(found, [0, 6], axis=1), _codes(inference, D, h), atol=2e-4)
    assert (_codes(inference, jnp.zeros((8, 3)), h) == 0).all()


@every_inference
def test_what_is_no_number_stays_none(inference):
    h = _h(4).at[1, 2].set(jnp.nan)
    assert np.isnan(_codes(inference, _directions(), h)).all(axis=1).tolist() == [False, True, False, False]
    assert np.isnan(_codes(inference, _directions().at[0, 0].set(jnp.nan), h)).any(axis=1).all()


@pytest.mark.parametrize("name", ["OMP", "signed OMP", "FISTA", "signed FISTA", "NNLS", "least squares"])
def test_a_duplicate_explains_no_more(name):
    D, h = _directions(6), _h()
    twice = jnp.concatenate([D, D], axis=1)
    once, both = (_codes(INFERENCES[name], columns, h) for columns in (D, twice))
    np.testing.assert_allclose(both @ twice.T, once @ D.T, atol=1e-3)


@every_inference
def test_no_activation_has_no_codes(inference):
    if not (isinstance(inference, ReluStep) and inference.threshold < 0):
        assert (inference(_directions(), jnp.zeros(8)) == 0).all()


@pytest.mark.parametrize("nonnegative", [True, False])
def test_omp_finds_four_active_latents_of_two_bases_in_64_dimensions(nonnegative):
    # Spikes and Walsh functions have cosines of at most 1/8, so that k < (1 + 8) / 2 is always right: Tropp (2004),
    # "Greed is good", theorem 3.5 and corollary 3.6.
    D = np.concatenate([np.eye(64), scipy.linalg.hadamard(64) / 8], axis=1)
    rng = np.random.default_rng(0)
    z = np.zeros((500, 128))
    for row in z:
        row[rng.choice(128, 4, replace=False)] = rng.uniform(0.1, 1, 4) * (
            1 if nonnegative else rng.choice([-1, 1], 4)
        )
    h = jnp.asarray(z @ D.T, jnp.float32)
    for k in (4, 7):  # more steps than are needed find nothing more
        found = _codes(OMP(k, nonnegative), jnp.asarray(D, jnp.float32), h)
        np.testing.assert_allclose(found, z, atol=1e-5)
        assert ((found != 0).sum(axis=1) == 4).all()


@pytest.mark.parametrize("nonnegative", [True, False])
def test_what_omp_leaves_is_orthogonal_to_the_directions_taken(nonnegative):
    D, h = _directions(40, 16), _h(200, 16)
    z = _codes(OMP(6, nonnegative), D, h)
    left = (h - z @ D.T) @ D
    assert ((z != 0).sum(axis=1) <= 6).all()
    assert ((z != 0).sum(axis=1) >= 5).mean() > 0.9
    np.testing.assert_allclose(np.where(z != 0, left, 0), 0, atol=2e-5)


def test_each_step_of_omp_takes_the_largest_product_and_k_may_be_traced():
    D, h = _directions(), _h(30)
    by_k = jax.vmap(lambda k: jax.vmap(OMP(k, False, largest=3), in_axes=(None, 0))(D, h))(jnp.arange(1, 4))
    z = np.zeros((30, 12))
    for k, found in enumerate(by_k, start=1):
        product = np.abs((h - z @ D.T) @ D)
        z = _codes(OMP(k, nonnegative=False, largest=3), D, h)
        assert (z[np.arange(30), product.argmax(axis=1)] != 0).all()
        np.testing.assert_allclose(found, z, atol=1e-4)


def test_nonnegative_omp_solves_nonnegative_least_squares_among_the_taken():
    rng = np.random.default_rng(2)
    A, h = rng.normal(size=(100, 12, 8)), rng.normal(size=(100, 12))
    G, b = (jnp.asarray(a, jnp.float32) for a in (A.mT @ A, (A.mT @ h[..., None])[..., 0]))
    among = jnp.asarray(rng.random((100, 8)) < 0.8)
    found = np.asarray(jax.vmap(_nonnegative)(G, b, among, jnp.full(100, 1e-5)))
    expected = [scipy.optimize.nnls(a * m, y)[0] for a, y, m in zip(A, h, np.asarray(among), strict=True)]
    assert (np.asarray(expected) == 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("penalty", [0.01, 0.3])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_fista_meets_the_conditions_of_the_minimum(penalty, nonnegative):
    D, h = _directions(30, 16), _h(100, 16)
    z = _codes(FISTA(penalty, 5000, nonnegative), D, h)
    product = np.asarray((h - z @ D.T) @ D)  # minus the gradient of |h - D z|^2 / 2
    near = 5e-5 * np.linalg.norm(h, axis=1, keepdims=True)
    assert (np.abs(product - penalty * np.sign(z)) <= near)[z != 0].all()
    assert ((product if nonnegative else np.abs(product)) <= penalty + near).all()
    assert (z == 0).any(axis=1).all()
    assert (z != 0).any(axis=1).mean() > 0.9


def test_penalties_can_be_vmapped():
    D, h = _directions(), _h(1)[0]
    penalties = jnp.array([0.05, 0.5, 100.0])
    found = jax.vmap(lambda penalty: FISTA(penalty)(D, h))(penalties)
    for penalty, z in zip(penalties, found, strict=True):
        np.testing.assert_allclose(FISTA(penalty)(D, h), z, atol=2e-4)
    assert (found[2] == 0).all()


def test_nnls_is_scipys():
    D, h = _directions(12, 20), _h(50, 20)
    expected = [scipy.optimize.nnls(np.asarray(D, float), np.asarray(one, float))[0] for one in h]
    np.testing.assert_allclose(_codes(NNLS(20_000, tolerance=1e-6), D, h), expected, atol=5e-4)


def test_nnls_explains_all_where_directions_surround_the_origin():
    turn = 2 * np.pi * np.arange(5) / 5
    D, h = jnp.asarray(np.array([np.cos(turn), np.sin(turn)]), jnp.float32), _h(50, 2)
    np.testing.assert_allclose(_codes(NNLS(), D, h) @ D.T, h, atol=1e-4)


def test_least_squares_is_scipys():
    for n_latents in (5, 12):
        D, h = _directions(n_latents), _h()
        expected = np.asarray(h) @ scipy.linalg.pinv(np.asarray(D, float)).T
        np.testing.assert_allclose(_codes(LeastSquares(), D, h), expected, atol=1e-4)


def test_no_threshold_is_better_than_the_best():
    rng = np.random.default_rng(3)
    D = _directions()
    x = np.where(rng.random((300, 12)) < 0.1, rng.random((300, 12)), 0)
    h = jnp.asarray(x, jnp.float32) @ D.T

    def score(threshold):
        said = _codes(ReluStep(threshold), D, h) > 0
        return 2 * (said & (x > 0)).sum() / (said.sum() + (x > 0).sum())

    best = score(best_threshold(3 * D, x, h))
    tried = [score(threshold) for threshold in np.linspace(-1, 2, 301)]
    assert max(tried) - 0.01 < best < 1
    assert best >= max(tried)


def test_one_step_is_worse_than_search_with_the_same_directions():
    world = Activations(_directions(64, 32), Independent(0.03, n_features=64))
    x, h = world.pairs(KEY, 1000)
    threshold = best_threshold(world.directions, x, h)

    def score(inference):
        z = _codes(inference, world.directions, h) > 0.05
        return 2 * (z & (x > 0.05)).sum() / (z.sum() + (x > 0.05).sum())

    assert score(OMP(8)) > 0.98
    assert score(FISTA(0.002)) > 0.97
    assert score(ReluStep(threshold - 0.05)) < 0.85
    assert isinstance(closest(world, [ReluStep(threshold), OMP(8)], key=0), OMP)


def test_a_dictionary_takes_its_bias_away_and_adds_it_again():
    D, bias, h = 3 * _directions(5).at[:, 2].set(0), jnp.arange(8.0), _h(1)[0]
    dictionary = Dictionary(D, bias, OMP(2))
    lengths = jnp.linalg.norm(dictionary.directions, axis=0)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1, 1], atol=1e-6)
    z = OMP(2)(dictionary.directions, h - bias)
    np.testing.assert_allclose(dictionary.encode(h), z, atol=1e-6)
    np.testing.assert_allclose(dictionary(h), dictionary.directions @ z + bias, atol=1e-5)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(dictionary))


WORLD = Activations(random_directions(16, 8, key=3), Independent(0.06, n_features=16))


@pytest.mark.parametrize("method", [MOD, KSVD])
def test_alternation_finds_random_directions(method):
    found = method(OMP(2), samples=4000, iterations=30).fit(WORLD, 16, key=KEY)
    null = random_dictionary(8, 16, OMP(2), key=KEY)
    assert scores.recovery(found.directions, WORLD.directions).mean() > 0.98
    assert scores.recovery(null.directions, WORLD.directions).mean() < 0.75
    again = method(OMP(2), samples=4000, iterations=30).fit(WORLD, 16, key=KEY)
    np.testing.assert_array_equal(found.directions, again.directions)


def test_many_settings_are_fitted_in_one_call():
    def fitted(k):
        return MOD(OMP(k, largest=3), samples=500, iterations=3).fit(WORLD, 10, key=KEY).directions

    for k, found in enumerate(jax.vmap(fitted)(jnp.arange(1, 4)), start=1):
        alone = MOD(OMP(k, largest=3), samples=500, iterations=3).fit(WORLD, 10, key=KEY).directions
        np.testing.assert_allclose(found, alone, atol=2e-3)


@pytest.mark.parametrize("method", [MOD, KSVD])
def test_alternation_works_with_more_latents_than_samples_and_with_equal_samples(method):
    for data in (_h(3), jnp.ones((4, 8)), jnp.zeros((4, 8))):
        D = method(OMP(2), samples=5, iterations=3).fit(Empirical(data), 9, key=KEY).directions
        lengths = np.linalg.norm(D, axis=0)
        assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()


def test_a_latent_that_stands_for_two_features_is_divided():
    H = jnp.tile(jnp.eye(2), (5, 1))
    between = jnp.full(2, 0.5**0.5)
    D = jnp.array([between, [0.0, 0.0]]).T
    Z = (H @ D).at[:, 1].set(0)
    found = _restarted(D, H, Z, KEY)
    np.testing.assert_array_equal(found[:, 0], between)
    assert sorted(found[:, 1].tolist()) == pytest.approx([0, 1], abs=1e-6)


def test_twins_and_hardly_used_latents_start_again_and_others_stay():
    D = jnp.array([[1.0, 0.0, 0.0], [1.0, 1e-3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).T
    Z = jnp.ones((40, 4)).at[1:, 3].set(0)
    H = Z @ D.T + 0.1 * _h(40, 3)
    changed = (_restarted(D, H, Z, KEY) != D).any(axis=0)
    assert changed.tolist() == [False, True, False, True]


def test_pca_is_numpys():
    data = np.asarray(_h(200, 4)) * [3, 2, 1, 0.5] + [1, 2, 3, 4]
    drawn = Empirical(data).sample(dictionaries._classical.stream(KEY, "samples"), 1000)
    _, vectors = np.linalg.eigh(np.cov(np.asarray(drawn, float).T))
    found = PCA(samples=1000).fit(Empirical(data), 6, key=KEY)
    np.testing.assert_allclose(np.abs(vectors[:, ::-1].T @ found.directions)[:, :4], np.eye(4), atol=1e-3)
    assert (found.directions[:, 4:] == 0).all()
    assert (found.encode(data[0])[4:] == 0).all()
    np.testing.assert_allclose(found.bias, drawn.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found(data[0]), data[0], atol=1e-4)
    assert PCA(samples=1000).fit(Empirical(data), 2, key=KEY).directions.shape == (4, 2)


def test_ica_finds_features_that_are_not_in_superposition():
    pytest.importorskip("sklearn")
    W = random_directions(4, 5, key=1)
    found = ICA(samples=5000).fit(Activations(W, Independent(0.1, n_features=4)), 4, key=KEY)
    np.testing.assert_allclose(np.abs(W.T @ found.directions).max(axis=1), 1, atol=0.01)
    more = ICA(samples=500).fit(Activations(_directions(5, 3), Independent(0.3, n_features=5)), 7, key=KEY)
    assert (jnp.linalg.norm(more.directions, axis=0) > 0.99).tolist() == [True] * 3 + [False] * 4


def test_nmf_finds_parts_and_refuses_negative_activations():
    pytest.importorskip("sklearn")
    W = jnp.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = NMF(samples=2000, iterations=2000).fit(Activations(W, Independent(0.2, n_features=3)), 3, key=KEY)
    assert scores.recovery(found.directions, W).min() > 0.99
    assert (found.directions >= 0).all()
    with pytest.raises(ValueError, match="NMF needs activations of 0 or more, such as behind a ReLU, got -"):
        NMF(samples=100).fit(WORLD, 3, key=KEY)


def test_dictionary_learning_finds_random_directions():
    pytest.importorskip("sklearn")
    found = DictionaryLearning(0.05, samples=4000).fit(WORLD, 16, key=KEY)
    assert scores.recovery(found.directions, WORLD.directions).mean() > 0.9
    assert not found.signed


@pytest.mark.parametrize("method", [ICA(), NMF(), DictionaryLearning()])
def test_without_scikit_learn_methods_say_what_to_install(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(ImportError, match=rf"{type(method).__name__} needs .* 'superpose\[classical\]'"):
        method.fit(Empirical(jnp.ones((3, 2))), 2, key=KEY)


@pytest.mark.parametrize("coherence", [None, 0.0, 0.3])
def test_cosines_of_random_directions(coherence):
    n, m, c = 60, 50, coherence or 0.0
    if coherence is None:
        W = np.asarray(random_directions(n, m, key=1), float)
    else:
        W = np.asarray(coherent_directions(n, m, c, key=1), float)
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1, rtol=1e-5)
    cosines = (W.T @ W)[np.triu_indices(n, 1)]
    spread = (1 - c) / np.sqrt(m - (coherence is not None))
    # Cosines of pairs are uncorrelated, also where they share a direction; five standard errors.
    assert abs(cosines.mean() - c) < 5 * spread / np.sqrt(len(cosines))
    assert cosines.std() == pytest.approx(spread, rel=5 / np.sqrt(2 * len(cosines)))


def test_orthogonal_directions_are_orthogonal():
    W = orthogonal_directions(5, 7, key=2)
    np.testing.assert_allclose(W.T @ W, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(jnp.abs(orthogonal_directions(1, 1, key=0)), 1)
    first = np.array([orthogonal_directions(2, 2, key=seed)[0, 0] > 0 for seed in range(60)])
    assert abs(first.mean() - 0.5) < 5 * 0.5 / np.sqrt(60)  # uniform, in sign too


def test_the_oracle_has_every_feature_in_its_place():
    W = _directions(5).at[:, 3].set(0)
    world = Activations(2 * W, Independent(0.2, n_features=5))
    found = oracle(world, OMP(5))
    np.testing.assert_allclose(found.directions, W, atol=1e-6)
    x, h = world.pairs(KEY, 200)
    np.testing.assert_allclose(jax.vmap(found.encode)(h), (2 * x).at[:, 3].set(0), atol=1e-4)


def test_the_oracles_bias_is_what_is_computed_from_nothing():
    shift = jnp.array([1.0, -2.0])
    model = Network(jnp.eye(2), jnp.zeros(2), None, shift, "identity", "identity")
    world = Activations(model, Independent(0.5, n_features=2))
    x, h = world.pairs(KEY, 20)
    np.testing.assert_array_equal(oracle(world, OMP(2)).bias, shift)
    np.testing.assert_allclose(jax.vmap(oracle(world, OMP(2)).encode)(h), x, atol=1e-5)
    assert (
        oracle(Activations(ReluOutput.init(3, 2, key=KEY), Independent(0.5, n_features=3)), OMP(1)).bias == 0
    ).all()


def test_matching_pursuit_takes_no_more_latents_than_there_are_dimensions():
    D, h = _directions(9), _h(20)
    few, many = (OMP(k, nonnegative=False) for k in (len(D), 10**6))
    np.testing.assert_array_equal(_codes(few, D, h), _codes(many, D, h))


def test_components_of_activations_that_do_not_vary_are_refused():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="ICA needs activations that vary"):
        ICA(samples=50).fit(Empirical(jnp.ones((9, 3))), 2, key=0)


def test_settings_that_make_no_sense_are_refused():
    def refused(kind, match, make):
        with pytest.raises(kind, match=match):
            make()

    refused(ValueError, "k must be at least 1, got 0", lambda: OMP(0))
    refused(ValueError, "k must be at least 1, and at most largest, 2, got 3", lambda: OMP(3, largest=2))
    refused(ValueError, "give largest", lambda: jax.vmap(OMP)(jnp.arange(3)))
    refused(TypeError, "k must be a whole number", lambda: OMP(1.5))
    refused(ValueError, "penalty must be 0 or more, got -1", lambda: FISTA(-1.0))
    refused(ValueError, "steps must be at least 1", lambda: FISTA(0.1, 0))
    refused(ValueError, "penalty must be 0 or more, got nan", lambda: FISTA(np.nan))
    refused(ValueError, "steps must be at least 1", lambda: NNLS(steps=0))
    refused(ValueError, "tolerance must be 0 or more", lambda: NNLS(tolerance=-1))
    refused(
        ValueError, "threshold must be one number", lambda: ReluStep(jnp.ones(3))(jnp.eye(2), jnp.ones(2))
    )
    refused(ValueError, "bias must be one number", lambda: Dictionary(jnp.eye(2), jnp.ones(3), OMP(1)))
    refused(TypeError, "inference must be such as OMP", lambda: Dictionary(jnp.eye(2), 0.0, OMP))
    refused(ValueError, "h must have the 2 hidden", lambda: Dictionary(jnp.eye(2), 0.0, OMP(1))(jnp.ones(3)))
    refused(ValueError, "n_latents must be at least 1", lambda: MOD().fit(WORLD, 0, key=KEY))
    refused(ValueError, "iterations must be at least 1", lambda: MOD(iterations=0).fit(WORLD, 2, key=KEY))
    refused(ValueError, "samples must be at least 1", lambda: PCA(samples=0))
    refused(TypeError, "inference must be such as OMP", lambda: MOD("omp"))
    refused(ValueError, "passes must be at least 1", lambda: DictionaryLearning(passes=0))
    refused(ValueError, "penalty must be 0 or more, and finite", lambda: NMF(penalty=-1))
    refused(ValueError, "penalty must be 0 or more, and finite", lambda: DictionaryLearning(np.inf))
    refused(TypeError, "activations must have directions", lambda: oracle(Empirical(jnp.eye(2)), OMP(1)))
    refused(ValueError, "samples must be at least 1", lambda: closest(WORLD, [OMP(1)], key=0, samples=0))
    refused(TypeError, "dictionary must have encode", lambda: codes(jnp.eye(2), jnp.eye(2)))
    refused(
        ValueError, "h must have the shape", lambda: codes(Dictionary(jnp.eye(2), 0.0, OMP(1)), jnp.ones(2))
    )
    refused(TypeError, "activations must have sample", lambda: PCA().fit(jnp.eye(3), 2, key=KEY))
    refused(
        ValueError, "no more than 3 directions are orthogonal", lambda: orthogonal_directions(4, 3, key=0)
    )
    refused(ValueError, "coherence must be within", lambda: coherent_directions(4, 3, 1.5, key=0))
    refused(ValueError, "at least 2 hidden", lambda: coherent_directions(4, 1, 0.5, key=0))
    refused(ValueError, "at least one feature", lambda: random_directions(0, 3, key=0))
    refused(
        ValueError,
        "x must be the truth",
        lambda: best_threshold(jnp.eye(2), jnp.ones((3, 1)), jnp.ones((3, 2))),
    )
    refused(ValueError, "at least one inference", lambda: closest(WORLD, [], key=0))
