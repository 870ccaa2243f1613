"""Models at every point of a grid: the same as one by one, and what is said of the best."""

import jax
import numpy as np
import optax
import pytest
import xarray as xr

from superpose import grid, measures
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit, minimize

DENSITIES, DECAYS = (0.3, 0.1), (1.0, 0.8, 0.5)
AXES = {"density": DENSITIES, "decay": DECAYS}


def _init(key):
    return ReluOutput.init(4, 2, key=key)


def _world(density, decay):
    return Independent(density, decay ** np.arange(4))


def _sampled(density, decay):
    return Sampled(_world(density, decay), 32)


def _exact(density, decay):
    return Population(_world(density, decay))


def test_fitted_models_are_those_of_fit_point_by_point():
    data = grid.fitted(_init, _sampled, AXES, members=2, key=3, steps=20)
    assert data.W.dims == ("density", "decay", "member", "hidden", "feature")
    assert data.W.shape == (2, 3, 2, 2, 4)
    density, decay, member = grid.points(DENSITIES, DECAYS, range(2))
    trained = fit(
        ensemble(_init, members=member, key=3), grid.each(_sampled, density, decay), own_loss=True, key=3,
        steps=20, optimizer=optax.adam(optax.cosine_decay_schedule(0.01, 20)),
    )  # fmt: skip
    np.testing.assert_array_equal(data.W, np.reshape(trained.models.W, data.W.shape))
    np.testing.assert_array_equal(data.loss, np.reshape(trained.history[:, -1], data.loss.shape))


def test_members_start_from_the_same_weights_at_all_points():
    data = grid.fitted(_init, _sampled, AXES, members=2, key=3, steps=1, rate=0.0)
    assert (data.W.isel(density=0, decay=0) == data.W).all()
    assert not (data.W.isel(member=0) == data.W.isel(member=1)).any()


def test_the_optimizer_can_be_another():
    data = grid.fitted(_init, _sampled, AXES, members=1, key=3, steps=20, optimizer=optax.sgd(0.0))
    np.testing.assert_array_equal(
        data.W.isel(density=0, decay=0, member=0), ensemble(_init, members=1, key=3).W[0]
    )


def test_judged_by_an_exact_loss_it_is_that_of_each_model():
    data = grid.fitted(_init, _sampled, AXES, members=2, key=3, steps=20, judged=_exact)
    one = data.isel(density=1, decay=2, member=1)
    expected = _exact(0.1, 0.5)(ReluOutput(one.W.values, one.b.values))
    np.testing.assert_allclose(one.loss, expected, rtol=1e-12)


def test_judged_on_samples_they_are_the_same_for_all():
    same = {"density": [0.3, 0.3]}
    make = {"init": _init, "axes": same, "members": 1, "key": 3, "steps": 1, "rate": 0.0}
    data = grid.fitted(loss=lambda p: _sampled(p, 1.0), judged=lambda p: _sampled(p, 1.0), **make)
    assert data.loss[0, 0] == data.loss[1, 0]


def test_a_grid_may_have_no_axes_but_members():
    data = grid.fitted(_init, lambda: _sampled(0.1, 1.0), {}, members=3, key=3, steps=5)
    assert data.loss.dims == ("member",)
    judged = grid.fitted(
        _init, lambda: _sampled(0.1, 1.0), {}, members=3, key=3, steps=5, judged=lambda: _exact(0.1, 1.0)
    )
    np.testing.assert_array_equal(judged.W, data.W)
    model = ReluOutput(data.W.values[2], data.b.values[2])
    np.testing.assert_allclose(judged.loss[2], _exact(0.1, 1.0)(model), rtol=1e-12)


def test_solved_models_are_those_of_minimize():
    data = grid.solved(_init, _exact, AXES, members=2, key=3, evaluations=50)
    density, decay, member = grid.points(DENSITIES, DECAYS, range(2))
    losses = grid.each(_exact, density, decay)
    found = minimize(ensemble(_init, members=member, key=3), losses, own_loss=True, evaluations=50)
    np.testing.assert_array_equal(data.W, found.models.W.reshape(data.W.shape))
    np.testing.assert_array_equal(data.converged, found.converged.reshape(2, 3, 2))


def test_the_best_member_is_described():
    pair, lone = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.3]]), np.eye(2, 3)
    data = xr.Dataset(
        {
            "W": (("point", "member", "hidden", "feature"), [[lone, pair, pair], [lone, lone, pair]]),
            "loss": (("point", "member"), [[2.0, 1.0, 1.0005], [1.0, 3.0, 2.0]]),
        }
    )
    best = grid.described(data)
    np.testing.assert_array_equal(best.W, [pair, lone])
    np.testing.assert_allclose(best.norm, [[1, 1, 0.3], [1, 1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(best.represented, [[True, True, False]] * 2)
    np.testing.assert_allclose(best.dimensionality, [[0.5, 0.5, 1], [1, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(best.superposition, [[1, 1, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(best.cosine[0], measures.cosines(pair))
    np.testing.assert_allclose(best.reach, [2 / 3, 1 / 3])


@pytest.mark.parametrize("members", [0, -1])
def test_a_grid_needs_members(members):
    with pytest.raises(ValueError, match="at least one member"):
        grid.solved(_init, _exact, AXES, members=members, key=jax.random.key(0))
