import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import measures, polytopes, solutions, theory
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.polytopes import POLYTOPES, TEGUMS, antiprism, corners, nearest, parts, polygon, simplex, tegum

SHARES = {
    "digon": 1 / 2, "triangle": 2 / 3, "tetrahedron": 3 / 4, "4-simplex": 4 / 5, "pentagon": 2 / 5, "hexagon": 1 / 3,
    "cube": 3 / 8, "square antiprism": 3 / 8, "icosahedron": 1 / 4,
}  # fmt: skip


def _moved(shape, seed, noise=0.0):
    """The same arrangement, turned in more dimensions, in another order, and a little off."""
    rng = np.random.default_rng(seed)
    d, k = shape.shape
    turn = np.linalg.qr(rng.normal(size=(d + 2, d + 2)))[0][:, :d]
    return (turn @ shape)[:, rng.permutation(k)] + noise * rng.normal(size=(d + 2, k))


@pytest.mark.parametrize("name", [*POLYTOPES, *TEGUMS])
def test_corners_are_unit_vectors_that_fill_their_dimensions(name):
    shape = corners(name)
    np.testing.assert_allclose(np.linalg.norm(shape, axis=0), 1)
    np.testing.assert_allclose(shape.sum(axis=1), 0, atol=1e-12)
    assert np.linalg.matrix_rank(shape) == len(shape)
    assert float(measures.dimensionality(shape).sum()) == pytest.approx(len(shape), rel=1e-6)


def test_shares_of_all_polytopes():
    assert set(SHARES) == set(POLYTOPES)
    for name, share in SHARES.items():
        np.testing.assert_allclose(measures.dimensionality(corners(name)), share, rtol=1e-6)


def test_tegum_products_split_into_their_parts():
    for name, factors in TEGUMS.items():
        gram = corners(name).T @ corners(name)
        found = [nearest(gram[np.ix_(part, part)]).name for part in parts(np.abs(gram) > 1e-9)]
        assert found == list(factors)
    shares = np.asarray(measures.dimensionality(corners("triangular bipyramid")))
    np.testing.assert_allclose(shares, [2 / 3] * 3 + [1 / 2] * 2, rtol=1e-6)  # not 3/5
    shares = np.asarray(measures.dimensionality(corners("pentagonal bipyramid")))
    np.testing.assert_allclose(shares, [2 / 5] * 5 + [1 / 2] * 2, rtol=1e-6)  # not 3/7


@pytest.mark.parametrize("d", range(1, 8))
def test_simplex_is_what_is_orthogonal_to_the_sum_of_all(d):
    shape = simplex(d)
    np.testing.assert_allclose(shape.T @ shape, (np.eye(d + 1) * (d + 1) - 1) / d, atol=1e-12)
    np.testing.assert_allclose(measures.dimensionality(shape), d / (d + 1), rtol=1e-6)


def test_antiprism_has_most_of_a_dimension_at_one_height():
    def share(height):
        return float(measures.dimensionality(antiprism(4, height)).min())

    assert share(1 / np.sqrt(3)) == pytest.approx(3 / 8, rel=1e-6)
    assert share(0.5604) == pytest.approx(0.3744, abs=1e-4)  # that of 8 charges on a sphere
    assert max(share(height) for height in np.linspace(0, 1, 41)) < 3 / 8
    octahedron = antiprism(3)
    assert sorted(len(part) for part in parts(np.abs(octahedron.T @ octahedron) > 1e-9)) == [2, 2, 2]


def test_parts_are_the_connected_components():
    linked = np.zeros((6, 6), bool)
    linked[[0, 4, 3], [4, 2, 5]] = True
    assert parts(linked | linked.T) == [[0, 2, 4], [1], [3, 5]]
    assert parts(np.zeros((0, 0), bool)) == []


@pytest.mark.parametrize("name", [*POLYTOPES, *TEGUMS])
def test_every_polytope_is_named_turned_reordered_and_with_noise(name):
    for seed in range(3):
        W = 1.1 * _moved(corners(name), seed, noise=0.02)
        found = measures.polytopes(W)
        assert sorted(each.name for each in found) == sorted(TEGUMS.get(name, [name]))
        assert sorted(i for each in found for i in each.features) == list(range(W.shape[1]))
        assert sum(each.rank for each in found) == len(corners(name))
        assert all(each.error < 0.07 for each in found)


def test_the_order_of_features_is_that_of_the_corners():
    W = _moved(corners("pentagon"), 0)
    (found,) = measures.polytopes(W)
    at = list(found.features)
    np.testing.assert_allclose(W[:, at].T @ W[:, at], polygon(5).T @ polygon(5), atol=1e-9)
    assert found.error < 1e-9


def test_rotations_and_lengths_do_not_change_what_is_found():
    rng = np.random.default_rng(0)
    W = tegum(corners("pentagon"), corners("digon"), np.array([[1.0]]))
    told = [each[:3] for each in measures.polytopes(W)]
    assert [name for name, *_ in told] == ["pentagon", "digon", "dedicated"]
    for _ in range(3):
        turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        again = turn @ W * rng.uniform(0.6, 3, 8)
        assert sorted((each.name, sorted(each.features)) for each in measures.polytopes(again)) == sorted(
            (name, sorted(features)) for name, features, _ in told
        )


def test_antiprisms_of_other_heights_are_antiprisms():
    for height in (0.5, 0.5604, 0.62):
        (found,) = measures.polytopes(antiprism(4, height))
        assert found.name == "square antiprism"
        assert found.error < 1e-6
    assert measures.polytopes(antiprism(4, 0.0))[0].name == "unnamed"  # an octagon


def test_what_is_linked_by_noise_may_be_a_tegum_product():
    W = corners("square")
    W[1, 0] = 0.25
    assert [each.name for each in measures.polytopes(W)] == ["square"]


def test_arrangements_at_random_have_no_name():
    rng = np.random.default_rng(0)
    for _ in range(20):
        W = rng.normal(size=(3, 8))
        assert {each.name for each in measures.polytopes(W / np.linalg.norm(W, axis=0))} <= {"unnamed"}


def test_ignored_features_are_in_no_polytope():
    W = np.hstack([corners("triangle"), 0.3 * corners("digon").repeat(2, axis=0)])
    assert [sorted(each.features) for each in measures.polytopes(W)] == [[0, 1, 2]]
    assert measures.polytopes(0 * W) == []


@pytest.mark.parametrize("seed", range(5))
def test_leverage_sums_to_the_rank_and_bounds_the_shares(seed):
    rng = np.random.default_rng(seed)
    W = jnp.asarray(rng.normal(size=(4, 3)) @ rng.normal(size=(3, 9)), jnp.float32)
    leverage = np.asarray(measures.leverage(W))
    assert leverage.sum() == pytest.approx(3, abs=1e-3)
    assert (np.asarray(measures.dimensionality(W)) <= leverage + 1e-4).all()
    assert (leverage <= 1 + 1e-4).all()
    np.testing.assert_allclose(measures.leverage(7 * W), leverage, atol=1e-3)


def test_shares_are_the_leverage_where_features_are_packed_tightly():
    for name in POLYTOPES:
        W = corners(name)
        np.testing.assert_allclose(measures.leverage(W), measures.dimensionality(W), atol=1e-4)


def test_regular_is_the_exact_loss_of_its_model():
    names, density = ["digon", "square antiprism"], np.array([0.5, 0.1])
    found = solutions.regular(names, density)
    for at, name in enumerate(names):
        for law, p in enumerate(density):
            shape = antiprism(4, found.height[at, law]) if at else corners(name)
            k = shape.shape[1]
            with jax.enable_x64(True):
                model = ReluOutput(
                    jnp.asarray(shape * found.length[at, law]), jnp.full(k, found.bias[at, law]),
                )  # fmt: skip
                loss = float(Population(Independent(p, n_features=k), method="characteristic")(model))
            assert k * found.loss[at, law] == pytest.approx(loss, rel=1e-6)
            benefit = k * (theory.dropped_cost(p) - found.loss[at, law]) / len(shape)
            assert found.benefit[at, law] == pytest.approx(benefit)
    digon = found.loss[0] / (theory.antipodal_cost(density) / 2)  # of unit vectors without biases
    assert (digon < 1).all()
    assert digon[1] > 0.98
    assert np.isnan(found.height[0]).all()
    assert polytopes.POLYTOPES["digon"].shape == (1, 2)
