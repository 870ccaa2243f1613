import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from superpose.grid import over_models
from superpose.measures import (
    asymmetric_motifs,
    basis_alignment,
    cosines,
    decomposability,
    dimensionality,
    dimensions_per_feature,
    excess_features,
    gaps,
    gram,
    leverage,
    linearity,
    n_represented,
    norms,
    superposition,
)
from superpose.models import ReluHidden, ReluOutput


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


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_angles_between_neighbors(seed):
    random = np.random.default_rng(seed)
    turn = random.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    W = rotation @ _circle(5)[:, random.permutation(5)] * random.uniform(0.1, 2, 5)
    np.testing.assert_allclose(gaps(W), 72)
    assert gaps(_random(seed, m=2)).sum() == pytest.approx(360)


def test_gaps_are_of_two_finite_dimensions():
    for W in (np.eye(3), np.array([[np.nan], [1.0]])):
        with pytest.raises(ValueError, match="W must"):
            gaps(W)


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


@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_excess_features_are_the_columns_beyond_the_rank(rank):
    rng = np.random.default_rng(rank)
    W = rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 7))
    W[:, 5] *= 1e-3  # not represented, and its direction does not count
    for threshold in (0.5, 1.5):
        kept = W[:, np.linalg.norm(W, axis=0) > threshold]
        expected = kept.shape[1] - (np.linalg.matrix_rank(kept) if kept.size else 0)
        turned = np.linalg.qr(rng.normal(size=(4, 4)))[0] @ W[:, rng.permutation(7)]
        for weights in (W, -W, turned):
            found = excess_features(jnp.asarray(weights, jnp.float32), threshold)
            assert int(found) == expected


@pytest.mark.parametrize(("W", "share", "interference"), SHAPES, ids=IDS)
def test_known_shapes_have_more_features_than_dimensions_where_they_interfere(W, share, interference):
    found = int(excess_features(jnp.asarray(W, jnp.float32)))
    assert found == W.shape[1] - W.shape[0]
    assert (found > 0) == (interference > 0)


def test_alignment_with_neurons_has_its_bounds_and_its_invariances():
    W = _random(4)
    found = np.asarray(basis_alignment(W))
    assert (found >= 1 / 3).all()
    assert (found <= 1).all()
    signs = jnp.array([[1.0], [-1.0], [1.0]])
    for same in (30 * W, -W, W[jnp.array([2, 0, 1])], signs * W, W * jnp.arange(1.0, 9.0)[None]):
        np.testing.assert_allclose(basis_alignment(same), found, rtol=1e-5)
    np.testing.assert_allclose(basis_alignment(jnp.array([[1.0, 5, 0], [1, 0, 1e-8]])), [0.5, 1, 0])


def test_alignment_of_random_directions_in_the_plane_is_one_half_and_one_over_pi():
    # The larger of cos^2 and sin^2 is (1 + |cos(2 angle)|) / 2, and |cos| is 2 / pi on average.
    found = np.asarray(basis_alignment(_random(5, 2, 100_000)), np.float64)
    assert abs(found.mean() - 1 / 2 - 1 / np.pi) <= 5 * found.std() / np.sqrt(len(found))  # standard errors


def test_linear_hidden_layers_are_linear_and_decomposable():
    model = ReluOutput.init(5, 3, key=jax.random.key(0), hidden_bias=True)
    x = _random(6, 40, 5)
    for measure in (linearity, decomposability):
        assert float(measure(lambda x: model.encode(x) + 1, x)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_linearity_is_what_the_best_matrix_explains(seed):
    model = ReluHidden.init(4, 3, key=jax.random.key(seed), hidden_bias=True)
    x = _random(seed, 60, 4)
    effect = np.maximum(np.asarray(x, float) @ np.asarray(model.W, float).T, 0)
    left = np.linalg.lstsq(np.asarray(x, float), effect, rcond=None)[1].sum()
    found = float(linearity(model.encode, x))
    assert found == pytest.approx(1 - left / (effect**2).sum(), abs=1e-5)
    assert 0 < found < 0.95
    # What features are mixed from does not matter.
    mix = np.random.default_rng(seed).normal(size=(4, 4)) + 3 * np.eye(4)
    mixed = linearity(lambda x: model.encode(jnp.asarray(mix, jnp.float32) @ x), x @ jnp.linalg.inv(mix).T)
    assert float(mixed) == pytest.approx(found, abs=1e-4)


def test_a_relu_of_inputs_of_both_signs_is_half_linear_and_a_magnitude_not_at_all():
    # ReLU(x) = x / 2 + |x| / 2, and the two halves are of equal size and not correlated.
    x = _random(7, 50, 3)
    x = jnp.concatenate([x, -x])
    for encode, expected in [(jax.nn.relu, 0.5), (jnp.abs, 0.0), (lambda x: x + 2, 1.0)]:
        assert float(linearity(encode, x)) == pytest.approx(expected, abs=1e-5)
        assert float(decomposability(encode, x)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_decomposability_compares_with_the_features_one_by_one(seed):
    def encode(x):  # of NumPy and of JAX arrays
        return abs(x - x[::-1] + 0.3) * x + 1

    x = np.random.default_rng(seed).normal(size=(20, 3))
    left = size = 0.0
    for row in x:
        nothing = encode(np.zeros(3))
        parts = [encode(np.where(np.arange(3) == i, row, 0)) - nothing for i in range(3)]
        left += ((encode(row) - nothing - sum(parts)) ** 2).sum()
        size += ((encode(row) - nothing) ** 2).sum()
    found = float(decomposability(encode, jnp.asarray(x, jnp.float32)))
    assert found == pytest.approx(1 - left / size, abs=1e-4)


def test_decomposability_is_1_for_sums_0_for_products_and_negative_where_features_undo_each_other():
    x = jnp.abs(_random(8, 30, 2)) + 0.1
    for encode, expected in [
        (lambda x: jnp.sin(x[:1]) - x[1:] ** 2, 1.0),
        (lambda x: x[:1] * x[1:], 0.0),
    ]:
        assert float(decomposability(encode, x)) == pytest.approx(expected, abs=1e-5)
    # |x - y| for x = 1, y = 0.9 is 0.1, and alone they add up to 1.9.
    pair = jnp.array([[1.0, 0.9]])
    found = float(decomposability(lambda x: jnp.abs(x[:1] - x[1:]), pair))
    assert found == pytest.approx(1 - 1.8**2 / 0.1**2, rel=1e-4)


@pytest.mark.parametrize("measure", [linearity, decomposability])
def test_features_that_do_nothing_have_no_share_of_anything(measure):
    assert np.isnan(measure(lambda x: jnp.ones(2), jnp.ones((4, 3))))


def test_a_neuron_that_adds_as_much_to_a_as_to_b_is_no_asymmetric_motif():
    W, W_out = np.array([[2.0, -0.5], [1.0, 0.0]]), np.array([[1.0, 0.0], [2.0, -4.0]])
    assert len(asymmetric_motifs(W, W_out)) == 1
    W_out[0, 0] = 1.01
    assert len(asymmetric_motifs(W, W_out)) == 0


def test_a_measure_over_models_is_that_of_each():
    W = np.random.default_rng(0).normal(size=(3, 2, 2, 4)).astype(np.float32)
    names, densities = list("abcd"), [0.1, 0.2, 0.3]
    models = xr.DataArray(
        W,
        dims=("density", "member", "hidden", "feature"),
        coords={"density": densities, "feature": names, "hidden": [0, 1]},
    )
    for measure, dims in [
        (n_represented, ()),
        (dimensionality, ("feature",)),
        (gram, ("feature", "other")),
        (basis_alignment, ("feature",)),
    ]:
        found = over_models(measure, models, *dims)
        assert found.dims == ("density", "member", *dims)
        assert isinstance(found.values, np.ndarray)
        assert set(found.coords) == {"density", *dims} - {"other"}
        for d, density in enumerate(densities):
            for member in range(2):
                one = found.sel(density=density).isel(member=member)
                np.testing.assert_allclose(one, measure(jnp.asarray(W[d, member])), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(over_models(norms, models[0, 0], "feature"), norms(jnp.asarray(W[0, 0])))


@pytest.mark.parametrize("measure", [leverage, excess_features])
def test_half_precision_is_enough_to_decompose(measure):
    W = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float16)
    np.testing.assert_allclose(measure(W), measure(W.astype(np.float32)), atol=1e-3)


@pytest.mark.parametrize("measure", [norms, dimensionality, superposition, cosines])
def test_slopes_are_numbers_also_where_a_feature_is_ignored(measure):
    for W in (np.zeros((2, 3)), np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 0.0]])):
        slope = jax.grad(lambda W: measure(W).sum())(jnp.asarray(W))
        assert np.isfinite(slope).all()
        np.testing.assert_allclose(slope[:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e-10, 1e10, 1e25])
def test_no_scale_is_lost_to_squares(scale):
    W = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 3.0]])
    large = scale * W
    np.testing.assert_allclose(norms(large), scale * np.array([1, 1, 3]), rtol=1e-6)
    np.testing.assert_allclose(leverage(large), leverage(W), rtol=1e-5)
    if scale > 1:  # what is shorter than 1e-6 counts as ignored
        np.testing.assert_allclose(dimensionality(large), [0.5, 0.5, 1])
        np.testing.assert_allclose(cosines(large), cosines(W))
