import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import measures, theory
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import Linear, ReluOutput
from superpose.train import ensemble, minimize


def _prototype(W, density):
    """The prototype as a model; a feature that is not represented has its best bias, the mean."""
    n = W.shape[1]
    model = ReluOutput.init(n, W.shape[0], key=jax.random.key(0))
    b = np.where((W == 0).all(axis=0), density / 2, 0.0)
    return eqx.tree_at(
        lambda m: (m.W, m.b), model, (jnp.asarray(W, jnp.float64), jnp.asarray(b, jnp.float64))
    )


@pytest.mark.parametrize("n", [2, 3])
def test_phase_losses_are_the_exact_losses_of_the_prototypes(n):
    for density in (1.0, 0.4, 0.03):
        for extra in (0.1, 1.0, 5.0):
            predicted = theory.phase_losses(n, density, extra)
            importance = np.array([1.0] * (n - 1) + [extra])
            for loss, W in zip(predicted, theory.PROTOTYPES[n], strict=True):
                exact = Population(Independent(density, importance))(_prototype(np.array(W, float), density))
                assert float(exact) == pytest.approx(float(loss), abs=1e-9)


def test_the_mean_is_the_best_bias_of_a_dropped_feature():
    density = 0.3
    costs = []
    for bias in density / 2 + np.array([-0.01, 0.0, 0.01]):
        model = _prototype(np.array([[1.0, 0.0]]), density)
        model = eqx.tree_at(lambda m: m.b, model, jnp.asarray([0.0, bias], jnp.float64))
        costs.append(float(Population(Independent(density, n_features=2))(model)))
    assert costs[1] == pytest.approx(theory.dropped_cost(density), rel=1e-12)
    assert costs[1] < min(costs[0], costs[2])


@pytest.mark.parametrize("n", [2, 3])
def test_phases_say_what_their_prototypes_show(n):
    for (norm, shared), W in zip(theory.PHASES[n].values(), theory.PROTOTYPES[n], strict=True):
        W = jnp.asarray(W, jnp.float32)
        assert float(measures.norms(W)[-1]) == norm
        assert float(measures.superposition(W)[-1]) == shared


@pytest.mark.parametrize("n", [2, 3])
def test_the_best_prototypes_with_and_without_superposition_cost_the_same_at_the_border(n):
    for r in (0.1, 0.5, 0.9, 1.0, 1.5, 10.0):
        border = theory.phase_boundary(n, r)
        losses = theory.phase_losses(n, border, r)
        shared = [(n == 2 and k == 2) or (n == 3 and k >= 2) for k in range(len(losses))]
        assert losses[shared].min() == pytest.approx(losses[~np.array(shared)].min(), rel=1e-12)
        below, above = (theory.phase_losses(n, border * factor, r).argmin() for factor in (0.99, 1.01))
        assert shared[below]
        assert not shared[above]


@pytest.mark.parametrize("n", [2, 3])
def test_all_phases_meet_at_four_sevenths(n):
    assert theory.phase_boundary(n, 1.0) == pytest.approx(4 / 7, rel=1e-14)
    losses = theory.phase_losses(n, 4 / 7, 1.0)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-14)


def test_theory_broadcasts():
    densities, extras = np.array([0.1, 0.5, 1.0])[:, None], np.array([0.2, 2.0])
    losses = theory.phase_losses(3, densities, extras)
    assert losses.shape == (4, 3, 2)
    np.testing.assert_array_equal(losses[:, 1, 0], theory.phase_losses(3, 0.5, 0.2))


def test_antipodal_cost_is_symmetric_and_adds_importance():
    assert theory.antipodal_cost(0.2, 3.0, 1.0) == theory.antipodal_cost(0.2, 1.0, 3.0)
    assert theory.antipodal_cost(0.2, 3.0, 1.0) == pytest.approx(4 * 0.04 / 6)


def test_linear_loss_keeps_the_features_that_would_cost_most():
    density, importance = np.array([1.0, 0.5, 0.5]), np.array([1.0, 1.0, 0.9])
    costs = importance * (density / 3 - density**2 / 4)
    assert costs.argmin() == 0  # dense, but it varies least
    assert theory.linear_loss(density, importance, 2) == pytest.approx(costs[0], rel=1e-14)
    assert theory.linear_loss(density, importance, 3) == 0
    # The linear model of those two features, with the best bias for the third, has that loss.
    model = Linear.init(3, 2, key=jax.random.key(0))
    W, b = np.array([[0.0, 1, 0], [0, 0, 1]]), np.array([0.5, 0, 0])
    model = eqx.tree_at(lambda m: (m.W, m.b), model, tuple(jnp.asarray(a, jnp.float64) for a in (W, b)))
    exact = float(Population(Independent(density, importance))(model))
    assert exact == pytest.approx(costs[0], rel=1e-12)


def _best(families, world):
    found = theory.optimized(families, world)
    return dict(zip(found.names, found.loss, strict=True)), found


@pytest.mark.parametrize(("n", "m"), [(3, 2), (5, 2), (8, 3), (4, 4), (6, 5)])
def test_every_family_fills_its_dimensions_with_unit_vectors(n, m):
    for name, family in theory.families(n, m).items():
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
        family = theory.families(n, m)[name]
        found = measures.dimensionality(family.directions + family.lift)
        np.testing.assert_allclose(found, share, atol=1e-4, err_msg=name)


def test_a_square_is_two_antipodal_pairs():
    names = list(theory.families(4, 2))
    assert "2 antipodal pair" in names
    assert not any("4-gon" in name or "square" in name for name in names)


def test_parts_can_be_assigned_to_features():
    family = theory.families(3, 2)["1 dedicated, 1 antipodal pair"]
    assert family.assigned((2, 0, 1)).directions.tolist() == [[0, 0, 1], [1, -1, 0]]
    pentagon = theory.families(5, 2)["1 pentagon"]
    assert len(theory.assignments(pentagon)) == 12  # cyclic orders, either way around
    assert len(theory.assignments(pentagon, (0, 0, 0, 0, 0))) == 1
    assert len(theory.assignments(theory.families(4, 2)["2 antipodal pair"])) == 3


def test_optimized_families_meet_the_closed_forms():
    density, importance = np.array([0.3, 0.3, 0.3]), np.array([1.0, 0.8, 0.5])
    loss, found = _best(theory.families(3, 2), Independent(density, importance))
    dropped = theory.dropped_cost(0.3, 0.5)
    assert loss["2 dedicated, 1 dropped"] == pytest.approx(dropped, rel=1e-9)
    np.testing.assert_allclose(found.models.W[0], [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    np.testing.assert_allclose(found.models.b[0], [0, 0, 0.15], atol=1e-4)
    # Lengths and biases that are free can only be better than lengths of 1 and no biases.
    pair = theory.antipodal_cost(0.3, 0.8, 0.5)
    assert 0.9 * pair < loss["1 dedicated, 1 antipodal pair"] < pair


def test_the_pentagon_is_that_of_the_paper():
    # Lengths, biases and loss of the exact optimum for five equal features of density 0.05.
    loss, found = _best(theory.families(5, 2), Independent(0.05, n_features=5))
    assert min(loss, key=loss.get) == "1 pentagon"
    assert loss["1 pentagon"] == pytest.approx(0.008904, abs=1e-6)
    at = found.names.index("1 pentagon")
    np.testing.assert_allclose(np.linalg.norm(found.models.W[at], axis=0), 1.135, atol=1e-3)
    np.testing.assert_allclose(found.models.b[at], -0.247, atol=1e-3)


@pytest.mark.parametrize(
    ("n", "m", "density", "name"), [(2, 1, 0.1, "1 antipodal pair"), (5, 2, 0.05, "1 pentagon")]
)
def test_the_best_model_is_the_best_family_where_features_are_equal(n, m, density, name):
    world = Independent(density, n_features=n)
    loss, _ = _best(theory.families(n, m), world)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=20, key=jax.random.key(0))
    least = minimize(models, Population(world)).loss.min()
    assert min(loss, key=loss.get) == name
    np.testing.assert_allclose(min(loss.values()), least, rtol=1e-6)


def test_each_law_has_its_own_best_models():
    with jax.enable_x64(True):
        laws = jax.vmap(lambda p: Independent(p, n_features=2))(np.array([0.9, 0.1]))
    found = theory.optimized(theory.families(2, 1), laws)
    assert found.loss.shape == (3, 2)
    assert found.models.W.shape == (3, 2, 1, 2)
    np.testing.assert_allclose(found.loss[0], [theory.dropped_cost(0.9), theory.dropped_cost(0.1)], rtol=1e-9)
    np.testing.assert_allclose(
        found.loss[:, 1], theory.optimized(theory.families(2, 1), Independent(0.1, n_features=2)).loss
    )
