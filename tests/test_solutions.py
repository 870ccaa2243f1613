import jax
import numpy as np
import pytest

from superpose import measures, solutions, theory
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize


def _best(families, world):
    found = solutions.optimized(families, world)
    return dict(zip(found.names, found.loss, strict=True)), found


@pytest.mark.parametrize(("n", "m"), [(3, 2), (5, 2), (8, 3), (4, 4), (6, 5)])
def test_every_family_fills_its_dimensions_with_unit_vectors(n, m):
    for name, family in solutions.families(n, m).items():
        W = family.directions + family.lift
        lengths = np.linalg.norm(W, axis=0)
        dropped = int(name.split(" dropped")[0].split(", ")[-1]) if "dropped" in name else 0
        assert (lengths == 0).sum() == dropped, name
        assert np.linalg.matrix_rank(W) == m, name
        if "aligned" not in name:
            np.testing.assert_allclose(lengths[lengths > 0], 1, err_msg=name)


def test_regular_shapes_have_the_dimensionality_of_the_paper():
    for n, m, name, share in [
        (3, 2, "1 triangle", 2 / 3), (5, 2, "1 pentagon", 2 / 5), (4, 3, "1 tetrahedron", 3 / 4),
        (8, 3, "1 square antiprism", 0.3744), (5, 4, "1 4-simplex", 4 / 5),
    ]:  # fmt: skip
        family = solutions.families(n, m)[name]
        found = measures.dimensionality(family.directions + family.lift)
        np.testing.assert_allclose(found, share, atol=1e-4, err_msg=name)


def test_a_square_is_two_antipodal_pairs():
    names = list(solutions.families(4, 2))
    assert "2 antipodal pair" in names
    assert not any("4-gon" in name or "square" in name for name in names)


def test_parts_can_be_assigned_to_features():
    family = solutions.families(3, 2)["1 dedicated, 1 antipodal pair"]
    assert family.assigned((2, 0, 1)).directions.tolist() == [[0, 0, 1], [1, -1, 0]]
    pentagon = solutions.families(5, 2)["1 pentagon"]
    assert len(solutions.assignments(pentagon)) == 12  # cyclic orders, either way around
    assert len(solutions.assignments(pentagon, (0, 0, 0, 0, 0))) == 1
    assert len(solutions.assignments(solutions.families(4, 2)["2 antipodal pair"])) == 3


def test_optimized_families_meet_the_closed_forms():
    density, importance = np.array([0.3, 0.3, 0.3]), np.array([1.0, 0.8, 0.5])
    loss, found = _best(solutions.families(3, 2), Independent(density, importance))
    dropped = theory.dropped_cost(0.3, 0.5)
    assert loss["2 dedicated, 1 dropped"] == pytest.approx(dropped, rel=1e-9)
    np.testing.assert_allclose(found.models.W[0], [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    np.testing.assert_allclose(found.models.b[0], [0, 0, 0.15], atol=1e-4)
    # Lengths and biases that are free can only be better than lengths of 1 and no biases.
    pair = theory.antipodal_cost(0.3, 0.8, 0.5)
    assert 0.9 * pair < loss["1 dedicated, 1 antipodal pair"] < pair


def test_the_pentagon_is_that_of_the_paper():
    # Lengths, biases and loss of the exact optimum for five equal features of density 0.05.
    loss, found = _best(solutions.families(5, 2), Independent(0.05, n_features=5))
    assert min(loss, key=loss.get) == "1 pentagon"
    assert loss["1 pentagon"] == pytest.approx(0.008904, abs=1e-6)
    at = found.names.index("1 pentagon")
    np.testing.assert_allclose(np.linalg.norm(found.models.W[at], axis=0), 1.135, atol=1e-3)
    np.testing.assert_allclose(found.models.b[at], -0.247, atol=1e-3)


@pytest.mark.parametrize(
    ("n", "m", "density", "name"),
    [(2, 1, 0.1, "1 antipodal pair"), pytest.param(5, 2, 0.05, "1 pentagon", marks=pytest.mark.slow)],
)
def test_the_best_model_is_the_best_family_where_features_are_equal(n, m, density, name):
    world = Independent(density, n_features=n)
    loss, _ = _best(solutions.families(n, m), world)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=20, key=jax.random.key(0))
    least = minimize(models, Population(world)).loss.min()
    assert min(loss, key=loss.get) == name
    np.testing.assert_allclose(min(loss.values()), least, rtol=1e-6)


def test_each_law_has_its_own_best_models():
    with jax.enable_x64(True):
        laws = jax.vmap(lambda p: Independent(p, n_features=2))(np.array([0.9, 0.1]))
    found = solutions.optimized(solutions.families(2, 1), laws)
    assert found.loss.shape == (3, 2)
    assert found.models.W.shape == (3, 2, 1, 2)
    np.testing.assert_allclose(found.loss[0], [theory.dropped_cost(0.9), theory.dropped_cost(0.1)], rtol=1e-9)
    np.testing.assert_allclose(
        found.loss[:, 1], solutions.optimized(solutions.families(2, 1), Independent(0.1, n_features=2)).loss
    )


def test_a_family_is_lifted_as_high_as_asked():
    directions, lift = (
        np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]),
        np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 1.0]]),
    )
    family = solutions.Family(directions, lift)
    np.testing.assert_array_equal(family.model(2.0, np.zeros(3)).W, 2 * directions)
    raised = family.model(np.array([1.0, 1.0, 3.0]), np.zeros(3), 0.5).W
    np.testing.assert_allclose(raised, [[1, 0, -3], [0.5, -0.5, 0.5]])
