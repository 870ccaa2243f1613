import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose.measures import (
    cosines,
    dimensionality,
    dimensions_per_feature,
    gram,
    n_represented,
    norms,
    superposition,
)


def _circle(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)])


def _antiprism():
    """Two squares, one turned by 45 degrees, of unit vectors; for 3/8, W W^T is a multiple of 1."""
    around = np.concatenate([np.arange(4) * np.pi / 2, np.arange(4) * np.pi / 2 + np.pi / 4])
    height = np.repeat([1.0, -1.0], 4) / np.sqrt(3)
    flat = np.sqrt(2 / 3)
    return np.stack([flat * np.cos(around), flat * np.sin(around), height])


SHAPES = [  # W, each feature's share of a dimension, and what the others cause along it
    (np.array([[1.0, -1.0]]), 1 / 2, 1.0),
    (np.eye(3), 1.0, 0.0),
    (_circle(3), 2 / 3, 1 / 2),
    (_circle(4), 1 / 2, 1.0),
    (_circle(5), 2 / 5, 3 / 2),
    (np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / np.sqrt(3), 3 / 4, 1 / 3),
    (_antiprism(), 3 / 8, 5 / 3),
]
IDS = ["antipodal", "dedicated", "triangle", "square", "pentagon", "tetrahedron", "antiprism"]


def _random(seed, m=3, n=8):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(m, n)), jnp.float32)


@pytest.mark.parametrize(("W", "share", "interference"), SHAPES, ids=IDS)
def test_known_shapes(W, share, interference):
    W = jnp.asarray(W, jnp.float32)
    np.testing.assert_allclose(norms(W), 1.0, rtol=1e-6)
    np.testing.assert_allclose(dimensionality(W), share, rtol=1e-6)
    np.testing.assert_allclose(superposition(W), interference, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dimensions_per_feature(W), W.shape[0] / W.shape[1], rtol=1e-6)
    assert int(n_represented(W)) == W.shape[1]


def test_tegum_products_keep_the_shares_of_their_parts():
    W = np.zeros((3, 5))
    W[:2, :3], W[2, 3:] = _circle(3), [0.7, -0.7]
    expected = [2 / 3] * 3 + [1 / 2] * 2
    np.testing.assert_allclose(dimensionality(jnp.asarray(W, jnp.float32)), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_rotation_of_the_hidden_layer_changes_no_measure(seed):
    W = _random(seed)
    turn = np.linalg.qr(np.random.default_rng(seed + 10).normal(size=(3, 3)))[0]
    turned = jnp.asarray(turn, jnp.float32) @ W
    for measure in (
        gram,
        norms,
        superposition,
        dimensionality,
        dimensions_per_feature,
        cosines,
        n_represented,
    ):
        np.testing.assert_allclose(measure(turned), measure(W), rtol=1e-4, atol=1e-5)


def test_dimensionality_and_cosines_do_not_depend_on_scale():
    W = _random(0)
    for scale in (1e-2, 30.0, -1.0):
        np.testing.assert_allclose(dimensionality(scale * W), dimensionality(W), rtol=1e-5)
        np.testing.assert_allclose(cosines(scale * W), cosines(W), atol=1e-6)


def test_superposition_does_not_depend_on_the_features_own_length():
    W = _random(1)
    longer = W.at[:, 2].multiply(7.0)
    np.testing.assert_allclose(superposition(longer)[2], superposition(W)[2], rtol=1e-4)
    assert superposition(longer)[0] > 1.5 * superposition(W)[0]  # that of the others it does


def test_shares_lie_in_0_1_and_sum_to_at_most_the_hidden_dimensions():
    W = jnp.stack([_random(seed) for seed in range(200)])
    shares = np.asarray(jax.vmap(dimensionality)(W))
    assert (shares > 0).all()
    assert (shares <= 1 + 1e-6).all()
    assert (shares.sum(axis=1) <= 3 + 1e-5).all()
    assert (shares.sum(axis=1) > 1.5).all()


def test_ignored_feature_has_no_dimension_and_no_direction():
    for length in (0.0, 1e-8):
        W = _random(2).at[:, 4].set(length)
        assert dimensionality(W)[4] == 0
        assert superposition(W)[4] == 0
        assert not cosines(W)[4].any()
        others = np.delete(np.arange(8), 4)
        np.testing.assert_allclose(dimensionality(W)[others], dimensionality(W[:, others]), rtol=1e-5)


def test_no_weights_at_all_give_no_nan():
    W = jnp.zeros((2, 3))
    for measure in (gram, norms, superposition, dimensionality, cosines, n_represented):
        assert not np.asarray(measure(W)).any()
    assert dimensions_per_feature(W) == np.inf


def test_formulas_on_random_weights():
    W = np.asarray(_random(3), np.float64)
    G = W.T @ W
    length = np.sqrt(np.diag(G))
    along = (G / length[:, None]) ** 2
    at = jnp.asarray(W, jnp.float32)
    np.testing.assert_allclose(gram(at), G, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norms(at), length, rtol=1e-5)
    np.testing.assert_allclose(cosines(at), G / np.outer(length, length), atol=1e-5)
    np.testing.assert_allclose(superposition(at), along.sum(axis=1) - length**2, rtol=1e-3)
    np.testing.assert_allclose(dimensionality(at), length**2 / along.sum(axis=1), rtol=1e-4)


def test_represented_features_are_those_above_the_threshold():
    W = jnp.array([[0.4, 0.6, 0.0], [0.0, 0.0, -2.0]])
    assert int(n_represented(W)) == 2
    assert int(n_represented(W, threshold=0.3)) == 3
    assert int(n_represented(W, threshold=0.7)) == 1
