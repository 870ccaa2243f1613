import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from superpose import theory
from superpose.draws import stream
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import Linear, ReluOutput
from superpose.train import OUTCOMES, ensemble, fit, member, member_keys, minimize
from superpose.train._fit import _ON_ONE_CORE
from superpose.train._minimize import _rounds

ROOT = Path(__file__).parent.parent
KEY, STEPS = jax.random.key(0), 300
SAMPLED = Sampled(Independent(0.1, n_features=5), batch=64)


def _models(members, n=5, m=2, cls=ReluOutput):
    return ensemble(lambda key: cls.init(n, m, key=key), members=members, key=KEY)


def _fit(members, **choices):
    """The members at these places, trained with their own keys."""
    choices = {"steps": STEPS, **choices}
    return fit(_models(members), SAMPLED, key=member_keys(KEY, members), **choices)


def _draw(own, step):
    """The key that a member draws with at a step."""
    return jax.random.fold_in(stream(own, "draws of training"), step)


@pytest.fixture(scope="module")
def seven():
    return _fit(7)


def _assert_same_models(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_member_alone_starts_as_in_any_ensemble(place):
    alone = member(_models([place]), 0)
    for size in (7, 1000):
        _assert_same_models(member(_models(size), place), alone)


@pytest.mark.parametrize("size", [2, 7, 1000])
def test_a_member_alone_trains_as_in_any_ensemble(size):
    place = min(3, size - 1)
    alone = _fit([place])
    together = _fit(size)
    _assert_same_models(member(together.models, place), member(alone.models, 0))
    np.testing.assert_allclose(together.history[place], alone.history[0], rtol=1e-6)


def test_members_differ(seven):
    assert len(np.unique(np.asarray(seven.models.W)[:, 0, 0])) == 7


def test_one_key_gives_each_member_its_own(seven):
    together = fit(_models(7), SAMPLED, steps=STEPS, key=KEY)
    _assert_same_models(together.models, seven.models)


def test_the_result_does_not_depend_on_window_or_snapshots(seven):
    other = _fit(7, window=70, snapshots=(0, 33, 300))
    _assert_same_models(other.models, seven.models)


def test_history_is_the_mean_loss_of_windows_that_end_at_steps(seven):
    assert seven.steps.tolist() == [100, 200, 300]
    assert seven.history.shape == (7, 3)
    fine = _fit(7, window=70)
    assert fine.steps.tolist() == [70, 140, 210, 280, 300]
    lengths = np.diff([0, *fine.steps])
    np.testing.assert_allclose(fine.history @ lengths, seven.history.sum(axis=1) * 100, rtol=1e-5)
    assert seven.history[:, -1].mean() < 0.9 * seven.history[:, 0].mean()


def test_first_loss_is_that_of_the_initial_model():
    result = _fit([2], window=1, steps=2)
    model, own = member(_models([2]), 0), member_keys(KEY, [2])[0]
    np.testing.assert_allclose(result.history[0, 0], SAMPLED(model, _draw(own, 0)), rtol=1e-5)


def test_snapshots_are_the_models_after_those_steps(seven):
    result = _fit(7, snapshots=(120, 0, 300))
    taken = result.snapshots
    assert taken.W.shape == (3, 7, 2, 5)
    _assert_same_models(member(taken, 0), _models(7))
    _assert_same_models(member(taken, 1), _fit(7, steps=120).models)
    _assert_same_models(member(taken, 2), seven.models)
    assert seven.snapshots is None


def test_own_loss_gives_each_member_its_own():
    densities = jnp.asarray(np.array([0.05, 0.5]), jnp.float64)  # a list would be rounded to float32
    losses = jax.vmap(lambda p: Sampled(Independent(p, n_features=5), batch=64))(densities)
    both = fit(_models(2), losses, steps=100, key=KEY, own_loss=True)
    for place, density in enumerate(densities):
        loss = Sampled(Independent(density, n_features=5), batch=64)
        alone = fit(_models([place]), loss, steps=100, key=member_keys(KEY, [place]))
        _assert_same_models(member(both.models, place), member(alone.models, 0))


def test_the_callers_models_survive():
    models = _models(2)
    before = np.array(models.W)
    fit(models, SAMPLED, steps=2, key=KEY)
    assert not models.W.is_deleted()
    np.testing.assert_array_equal(models.W, before)


def test_the_optimizer_is_the_one_given():
    # One step of gradient descent, by hand.
    models, key = _models([0]), member_keys(KEY, [0])
    moved = fit(models, SAMPLED, steps=1, key=key, optimizer=optax.sgd(0.5)).models
    slope = jax.grad(lambda model: SAMPLED(model, _draw(key[0], 0)))(member(models, 0))
    np.testing.assert_allclose(moved.W[0], models.W[0] - 0.5 * slope.W, rtol=1e-4, atol=1e-6)


def test_a_second_fit_finds_the_first_ones_program():
    _fit(3)
    before = _ON_ONE_CORE._cache_size()
    _fit(19, steps=120, window=50)
    assert _ON_ONE_CORE._cache_size() == before


@pytest.mark.parametrize("devices", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_result_does_not_depend_on_the_number_of_devices(seven, devices, tmp_path):
    # 300 members fill more than one row of 64, so that devices share them.
    code = (
        "import sys; sys.path.insert(0, 'tests'); import jax, numpy as np, test_train; "
        "from superpose import runs; runs.keep_compiled(); "
        "fitted, solved = test_train._fit(7).models, test_train.many_pairs(); "
        "np.savez(sys.argv[1], devices=len(jax.devices()), fitted_W=fitted.W, fitted_b=fitted.b, "
        "W=solved.models.W, b=solved.models.b, loss=solved.loss)"
    )
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    file = tmp_path / "there.npz"
    subprocess.run(
        [sys.executable, "-c", code, file], cwd=ROOT, env=os.environ | flags, check=True, timeout=300
    )
    there, fitted, solved = np.load(file), seven.models, many_pairs()
    here = {"devices": devices, "fitted_W": fitted.W, "fitted_b": fitted.b, "loss": solved.loss}
    here |= {"W": solved.models.W, "b": solved.models.b}
    for name in there.files:
        np.testing.assert_array_equal(there[name], here[name])


def many_pairs():
    return minimize(_models(300, 2, 1), Population(Independent(0.1, n_features=2)))


@pytest.fixture(scope="module")
def pairs():
    return minimize(_models(20, 2, 1), Population(Independent(0.1, n_features=2)))


def test_fit_approaches_the_exact_minimum(pairs):
    world = Independent(0.1, n_features=2)
    models = _models(20, 2, 1)
    trained = fit(models, Sampled(world), steps=2000, key=KEY, optimizer=optax.adam(1e-2)).models
    losses = [float(Population(world)(member(trained, i))) for i in range(20)]
    assert pairs.loss.min() <= min(losses) <= 1.05 * pairs.loss.min()


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"steps": 0}, "steps and window must be at least 1, got steps=0"),
        ({"window": 0}, "steps and window must be at least 1.*window=0"),
        ({"snapshots": (301,)}, r"snapshots must be within 0\.\.300, got \[301\]"),
        ({"snapshots": (-1,)}, r"snapshots must be within 0\.\.300, got \[-1\]"),
    ],
)
def test_bad_choices_are_refused(choices, said):
    with pytest.raises(ValueError, match=said):
        _fit(2, **choices)


@pytest.mark.parametrize("members", [0, [], [-1], -3])
def test_an_empty_ensemble_is_refused(members):
    with pytest.raises(ValueError, match="an ensemble needs at least one member"):
        _models(members)


THREE = Population(Independent(0.1, [1.0, 0.9, 0.8]))


@pytest.fixture(scope="module")
def minima():
    return minimize(_models(7, 3, 2), THREE)


def test_a_member_alone_reaches_the_minimum_that_it_reaches_in_an_ensemble(minima):
    alone = minimize(_models([3], 3, 2), THREE)
    np.testing.assert_allclose(alone.models.W[0], minima.models.W[3], atol=1e-10)
    np.testing.assert_allclose(alone.models.b[0], minima.models.b[3], atol=1e-10)
    np.testing.assert_allclose(alone.loss[0], minima.loss[3], rtol=1e-10)


def test_more_members_than_slots_are_minimized_in_turn(pairs):
    many = minimize(_models(4500, 2, 1), Population(Independent(0.1, n_features=2)))
    assert many.converged.mean() > 0.99
    np.testing.assert_allclose(many.loss[:20], pairs.loss, rtol=1e-9)


def test_a_second_minimization_compiles_nothing(minima):
    before = _rounds._cached._cache_size()
    minimize(_models(7, 3, 2), Population(Independent(0.2, [1.0, 0.5, 0.8])))
    assert _rounds._cached._cache_size() == before


def test_minimize_takes_any_parameters():
    # A paraboloid around (1, -2), and a valley that bends.
    starts = {"x": np.array([0.0, 5.0]), "y": {"z": np.array([[1.0], [-3.0]])}}
    solved = minimize(starts, lambda at: (at["x"] - 1) ** 2 + 3 * (at["y"]["z"][0] + 2) ** 2 + 1)
    assert solved.converged.all()
    np.testing.assert_allclose(solved.models["x"], 1, atol=1e-5)
    np.testing.assert_allclose(solved.models["y"]["z"], -2, atol=1e-5)
    np.testing.assert_allclose(solved.loss, 1)
    bent = minimize(
        np.array([[-1.2, 1.0]]), lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2, eigenvalues=2
    )
    np.testing.assert_allclose(bent.models, 1, atol=1e-5)
    # The Hessian of Rosenbrock's function at its minimum is [[802, -400], [-400, 200]].
    np.testing.assert_allclose(bent.eigenvalues, [[0.39936, 1001.60064]], rtol=1e-4)


def test_a_search_says_why_it_ended():
    def ended(start, loss, **choices):
        return OUTCOMES[minimize(np.array([start]), loss, **choices).outcome[0]]

    assert ended(1.0, lambda x: 1 + x**2) == "converged"
    assert ended(1.0, lambda x: 1 + x**2, evaluations=2) == "evaluations used up"
    assert ended(1.0, lambda x: 1 + jnp.abs(x - 0.3)).startswith("rounding")
    assert ended(-1.0, lambda x: jnp.log(x) ** 2) == "not finite"
    # A step into what is not finite is taken back.
    assert ended(0.05, lambda x: 1 + jnp.log(x) ** 2) == "converged"


def test_a_saddle_has_a_negative_eigenvalue():
    solved = minimize(np.zeros((1, 2)), lambda x: 1 + x[0] ** 2 - 3 * x[1] ** 2, eigenvalues=1)
    assert solved.converged.all()
    np.testing.assert_allclose(solved.eigenvalues, [[-6.0]])


def test_turning_two_hidden_dimensions_costs_nothing():
    starts = np.random.default_rng(0).normal(size=(3, 2, 2))
    target = np.diag([2.0, 1.0])
    solved = minimize(starts, lambda W: 1 + ((W.T @ W - target) ** 2).sum(), eigenvalues=2)
    assert solved.converged.all()
    assert solved.eigenvalues.shape == (3, 2)
    np.testing.assert_allclose(solved.eigenvalues[:, 0], 0, atol=1e-4)
    assert (solved.eigenvalues[:, 1] > 0.1).all()


def test_minima_are_float64_and_flat(minima):
    assert minima.eigenvalues is None
    assert minima.models.W.dtype == minima.loss.dtype == np.float64
    assert minima.converged.all()
    assert (minima.gradient <= 1e-6).all()
    assert (minima.evaluations > 5).all()
    slope = jax.jit(jax.grad(THREE))(
        jax.tree.map(lambda leaf: jnp.asarray(leaf[0], jnp.float64), minima.models)
    )
    assert np.abs(slope.W).max() <= 1e-6
    np.testing.assert_allclose(THREE(member(minima.models, 0)), minima.loss[0], rtol=1e-12)


def test_no_evaluations_left_is_not_converged():
    stopped = minimize(_models(7, 3, 2), THREE, evaluations=5)
    assert not stopped.converged.any()
    assert (stopped.outcome == OUTCOMES.index("evaluations used up")).all()
    assert (stopped.evaluations == 5).all()


def test_the_gradient_is_told_as_a_share_of_the_loss_at_the_start():
    starts = np.array([[3.0, -1.0], [0.5, 0.1]])
    stopped = minimize(starts, lambda x: 1e-3 * (x**2).sum(), evaluations=1, progress=False)
    np.testing.assert_allclose(stopped.gradient, 2 * np.abs(starts).max(1) / (starts**2).sum(1), rtol=1e-12)


def test_two_features_reach_the_antipodal_pair_or_better(pairs):
    pair = 2 * 0.1**2 / 6
    assert 0.9 * pair <= pairs.loss.min() <= pair


def test_the_linear_model_reaches_its_least_loss():
    density, importance = np.array([0.5, 1.0, 0.2, 0.1]), np.array([1.0, 0.7, 0.9, 0.1])
    result = minimize(_models(5, 4, 2, Linear), Population(Independent(density, importance)))
    least = theory.linear_loss(density, importance, 2)
    np.testing.assert_allclose(result.loss.min(), least, rtol=1e-6)


def test_minimize_takes_own_losses(pairs):
    densities = jnp.asarray(np.array([0.1, 0.3]), jnp.float64)  # a list would be rounded to float32
    losses = jax.vmap(lambda p: Population(Independent(p, n_features=2)))(densities)
    both = minimize(_models([4, 4], 2, 1), losses, own_loss=True)
    np.testing.assert_allclose(both.loss[0], pairs.loss[4], rtol=1e-10)
    model = member(both.models, 1)
    np.testing.assert_allclose(both.loss[1], Population(Independent(0.3, n_features=2))(model), rtol=1e-12)
    assert both.loss[1] > 2 * both.loss[0]


def test_any_activation_can_be_minimized_before_it_was_ever_called():
    @jax.custom_jvp
    def rectified(z):
        return jnp.maximum(z, 0)

    rectified.defjvp(lambda z, slope: (rectified(z[0]), jnp.where(z[0] > 0, slope[0], 0)))
    loss, found = Population(Independent(0.1, n_features=2)), {}
    for activation in ("relu", jax.nn.relu, rectified):
        init = lambda key: ReluOutput.init(2, 1, key=key, activation=activation)  # noqa: B023, E731
        found[activation] = minimize(ensemble(init, members=2, key=KEY), loss, progress=False).loss
    np.testing.assert_array_equal(found["relu"], found[jax.nn.relu])  # which is known by its name
    np.testing.assert_allclose(found["relu"], found[rectified], rtol=1e-6)


def test_a_loss_is_not_taken_for_one_of_each_member_by_its_size():
    init = lambda key: ReluOutput.init(4, 2, key=key, activation=jax.nn.softmax)  # noqa: E731
    models = ensemble(init, members=4, key=KEY)  # as many as features
    with pytest.raises(ValueError, match="an activation that changes each entry by itself"):
        minimize(models, Population(Independent(0.1, n_features=4)), progress=False)
