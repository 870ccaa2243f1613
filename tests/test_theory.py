import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import measures, theory
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import Linear, ReluOutput


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
