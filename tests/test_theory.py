import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import World, by_supports
from scipy.special import ndtr

from superpose import measures, solutions, theory
from superpose.features import Independent
from superpose.losses import Active, Population, Sampled
from superpose.models import Linear, ReluOutput
from superpose.values import Gaussian


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


def _drawn(seed, m=2, n=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n)) / np.sqrt(m), 0.3 * rng.normal(size=n), rng.uniform(0.1, 2, n)


def _turned(W, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(len(W), len(W))))[0] @ W


def _least(loss_and_slope, start):
    with jax.enable_x64(True):
        return scipy.optimize.minimize(lambda at: tuple(map(np.asarray, loss_and_slope(at))), start, jac=True)


def _set(model, W, b):
    return eqx.tree_at(lambda m: (m.W, m.b), model, tuple(jnp.asarray(a, jnp.float64) for a in (W, b)))


@pytest.mark.parametrize("seed", range(3))
def test_linear_terms_add_up_to_the_loss_of_the_linear_model(seed):
    W, _, importance = _drawn(seed)
    model = _set(Linear.init(5, 2, key=jax.random.key(0)), W, np.zeros(5))
    exact = float(Population(Independent(1.0, importance, Gaussian()))(model))
    terms = theory.linear_terms(W, importance)
    assert float(sum(terms.benefit) + sum(terms.interference)) == pytest.approx(exact, rel=1e-12)
    # Interference is what is left where only the other features have weights.
    for i in range(5):
        others = sum((W[:, i] @ W[:, j]) ** 2 for j in range(5) if j != i)
        assert float(terms.interference[i]) == pytest.approx(importance[i] * others, rel=1e-12)
    turned = theory.linear_terms(_turned(W), importance)
    np.testing.assert_allclose(turned, terms, rtol=1e-10)


def test_linear_terms_are_least_where_the_most_important_features_have_a_dimension_each():
    importance = np.array([0.3, 2.0, 0.7, 1.0])
    bound = 0.3 + 0.7

    @jax.jit
    @jax.value_and_grad
    def loss(W):
        return sum(term.sum() for term in theory.linear_terms(W.reshape(2, 4), importance))

    for seed in range(5):
        start = np.random.default_rng(seed).normal(size=8)
        assert float(loss(start)[0]) > bound
        found = _least(loss, start)
        assert found.fun == pytest.approx(bound, abs=1e-6)
        np.testing.assert_allclose(np.square(found.x).reshape(2, 4).sum(axis=0), [0, 1, 0, 1], atol=1e-3)


ONE_ACTIVE = [_drawn(0), _drawn(1), (np.array([[1.0, -1.0, 0.0]]), np.array([0.2, -0.1, -0.3]), np.ones(3))]
ONE_ACTIVE += [(np.ones((1, 2)), np.array([-2.0, 1.0]), np.ones(2)), (np.eye(2), np.zeros(2), np.ones(2))]


@pytest.mark.parametrize(("W", "b", "importance"), ONE_ACTIVE)
def test_one_active_loss_is_the_integral_over_the_one_value(W, b, importance):
    found = theory.one_active_loss(W, b, importance)
    x = (np.arange(100_000) + 0.5) / 100_000
    for i in range(len(b)):
        asked = np.zeros((len(b), len(x)))
        asked[i] = x
        error = (asked - np.maximum(W.T @ W @ asked + b[:, None], 0)) ** 2
        assert found[i] == pytest.approx(importance @ error.mean(axis=1), rel=1e-7, abs=1e-9)
    model = _set(ReluOutput.init(len(b), len(W), key=jax.random.key(0)), W, b)
    exact = float(Active(Independent(0.1, importance), 1)(model))
    assert found.mean() == pytest.approx(exact, rel=1e-10, abs=1e-15)


def test_thomson_energy_is_three_times_the_loss_of_one_active_feature():
    W = _drawn(2, 3, 7)[0]
    W /= np.linalg.norm(W, axis=0)
    energy = float(theory.thomson_energy(W))
    assert energy > 0.1
    assert theory.one_active_loss(W, np.zeros(7), np.ones(7)).sum() == pytest.approx(energy / 3, rel=1e-12)
    assert float(theory.thomson_energy(_turned(W)[:, ::-1])) == pytest.approx(energy, rel=1e-12)
    assert float(theory.thomson_energy(2 * W)) == pytest.approx(2**4 * energy, rel=1e-12)


@pytest.mark.parametrize(
    ("n", "energy"), [(3, 0), (4, 0), (5, 10 * np.cos(2 * np.pi / 5) ** 2), (6, 12 / 4), (8, 16 / 2)]
)
def test_thomson_energy_of_regular_polygons(n, energy):
    angles = 2 * np.pi * np.arange(n) / n
    polygon = np.array([np.cos(angles), np.sin(angles)])
    assert float(theory.thomson_energy(polygon)) == pytest.approx(energy, abs=1e-12)


@pytest.mark.parametrize(("n", "least"), [(4, 0.0), (5, 10 * np.cos(2 * np.pi / 5) ** 2)])
def test_no_more_features_than_antipodal_pairs_have_no_energy(n, least):
    @jax.jit
    @jax.value_and_grad
    def energy(angles):
        return theory.thomson_energy(jnp.array([jnp.cos(angles), jnp.sin(angles)]))

    starts = np.random.default_rng(0).uniform(0, 2 * np.pi, (10, n))
    found = [_least(energy, start).fun for start in starts]
    assert min(found) == pytest.approx(least, abs=1e-6)


PAIRS = [(0.9, -0.7), (0.4, -1.3), (1.2, -0.3), (0.8, 0.5), (-0.8, -1.1), (1.0, -1.0), (0.0, 0.7), (1.0, 0.0)]


@pytest.mark.parametrize("density", [1.0, 0.3, 0.02])
def test_pair_loss_is_that_of_all_supports(density):
    w1, w2 = np.array(PAIRS).T
    found = theory.pair_loss(w1, w2, density, 0.6)
    world = World((density,) * 2, (1, 1), True, ("uniform", 0, 1))
    for loss, pair in zip(found, PAIRS, strict=True):
        expected = by_supports(np.outer(pair, pair), np.zeros(2), np.array([1, 0.6]), world)
        assert float(loss) == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_pair_loss_exchanges_its_features_with_their_importance():
    w1, w2 = np.array(PAIRS).T
    np.testing.assert_allclose(
        theory.pair_loss(w1, w2, 0.3, 0.5), 0.5 * theory.pair_loss(w2, w1, 0.3, 2.0), rtol=1e-12
    )
    np.testing.assert_allclose(theory.pair_loss(-w1, -w2, 0.3), theory.pair_loss(w1, w2, 0.3), rtol=1e-15)


def test_learned_features_bound_grows_with_dimensions_and_sparsity_up_to_all_features():
    p, m = 10.0 ** -np.arange(1, 6), np.arange(1.0, 50)
    assert (np.diff(theory.learned_features_bound(10**9, 10, p)) > 0).all()
    learned = theory.learned_features_bound(10**9, m, 0.01)
    np.testing.assert_allclose(learned, m * learned[0], rtol=1e-12)
    # The sparsest features of which n fit: m = -n p log p, solved for p below 1 / e.
    limit = scipy.optimize.brentq(lambda p: -100 * p * np.log(p) - 10, 1e-9, np.exp(-1))
    assert theory.learned_features_bound(100, 10, 1.01 * limit) == pytest.approx(100, rel=0.01)
    assert theory.learned_features_bound(100, 10, 1.01 * limit) < 100
    assert theory.learned_features_bound(100, 10, 0.99 * limit) == 100
    assert theory.learned_features_bound(100, 10, 1.0) == 100


@pytest.mark.parametrize(("density", "importance"), [(0.001, 1.0), (0.3, 0.5), (1.0, 2.0)])
def test_above_the_penalty_limit_a_feature_alone_is_better_dropped(density, importance):
    x = (np.arange(500) + 0.5) / 500
    values, chance = np.append(x, 0.0), np.append(density / 500 * np.ones(500), 1 - density)

    def cost(free, penalty):
        w, b = free
        error = (values - np.maximum(w**2 * values + b, 0)) ** 2
        return (chance @ (importance * error + penalty * abs(w) * values)) / density

    limit = theory.penalty_limit(density, importance)
    dropped = theory.dropped_cost(density, importance) / density
    for share in (0.9, 1.0, 1.1):
        kept = scipy.optimize.minimize(
            cost, (0.9, 0.0), (share * limit,), "Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12}
        )
        assert kept.x[0] > 0.7
        if share == 1:
            assert kept.fun == pytest.approx(dropped, rel=1e-4)
            assert kept.x[0] ** 2 == pytest.approx(2 / 3, rel=1e-3)
            assert kept.x[1] == pytest.approx(density * (1 - kept.x[0] ** 2) / 2, rel=1e-2)
        else:
            assert (kept.fun < dropped) == (share < 1)


def test_the_penalty_limit_is_where_the_penalized_loss_of_a_sample_is_that_of_dropping():
    density, limit = 0.4, theory.penalty_limit(0.4)
    w, key = np.sqrt(2 / 3), jax.random.key(0)
    model = ReluOutput.init(1, 1, key=key)
    kept = _set(model, [[w]], [density * (1 - w**2) / 2])
    dropped = _set(model, [[0.0]], [density / 2])
    loss = Sampled(Independent(density, n_features=1), 1000, penalty=limit)
    keys = jax.random.split(key, 500)
    more = np.asarray(jax.jit(jax.vmap(lambda key: loss(kept, key) - loss(dropped, key)))(keys))
    assert abs(more.mean()) <= 5 * more.std() / np.sqrt(500)  # standard errors
    assert more.std() / np.sqrt(500) < 0.01 * theory.dropped_cost(density)


@pytest.mark.parametrize("width", [0.0, 0.02, 0.1])
def test_a_staircase_is_the_floor_but_for_its_steep_lines(width):
    x, levels = np.random.default_rng(0).uniform(size=10_000), 5
    found = theory.staircase(x, levels, width)
    away = np.abs(x[:, None] - np.arange(1, levels) / levels).min(axis=1) > width / 2
    np.testing.assert_allclose(found[away], np.floor(levels * x[away]), atol=1e-12)
    assert (np.diff(found[np.argsort(x)]) >= 0).all()
    assert (theory.staircase(np.array([-0.5, 1.5]), levels, width) == [0, levels - 1]).all()
    if width:
        ahead = x - np.arange(1, levels)[:, None] / levels + width / 2
        neurons = np.maximum(ahead, 0) - np.maximum(ahead - width, 0)
        np.testing.assert_allclose(found, neurons.sum(axis=0) / width, atol=1e-10)
        assert (np.abs(found - np.floor(levels * x))[~away] > 0).mean() > 0.99


@pytest.mark.parametrize("levels", [1, 2, 7])
def test_a_pair_compressed_by_jumps_is_off_by_the_position_in_its_level(levels):
    x, y = np.random.default_rng(levels).uniform(size=(2, 100_000))
    back, rest = theory.compressed_pair(x, y, levels, 0.0)
    np.testing.assert_allclose(back, (np.floor(levels * x) + 0.5) / levels, atol=1e-12)
    np.testing.assert_allclose(rest, y, atol=1e-9)
    error = ((back - x) ** 2 + (rest - y) ** 2) / 2
    assert abs(error.mean() - 1 / (24 * levels**2)) <= 5 * error.std() / np.sqrt(len(x))  # standard errors


def test_a_pair_compressed_by_steep_lines_comes_back_wrong_only_near_them():
    levels, width = 4, 0.01
    x, y = np.random.default_rng(0).uniform(size=(2, 20_000))
    exact, found = (np.array(theory.compressed_pair(x, y, levels, w)) for w in (0.0, width))
    # Near a step of `x`, and where `t`, with its slope of 1 / levels in `y`, is near a step.
    t = (np.floor(levels * x) + y) / levels
    steps = np.arange(1, levels)[:, None] / levels
    near = np.abs(np.array([x, t])[:, None] - steps).min(axis=1) <= width / 2
    wrong = np.abs(found - exact).max(axis=0)
    assert wrong[~near.any(axis=0)].max() < 1e-9
    for steep in near:
        assert (wrong[steep] > 1e-9).mean() > 0.99


@pytest.mark.parametrize("density", [-0.1, 1.5, [0.5, 2.0]])
@pytest.mark.parametrize(
    "formula",
    [
        theory.dropped_cost,
        theory.antipodal_cost,
        theory.penalty_limit,
        lambda density: theory.linear_loss(density, np.ones(2), 1),
        lambda density: theory.pair_loss(1.0, -1.0, density),
        lambda density: theory.learned_features_bound(20, 10, density),
        lambda density: theory.phase_losses(2, density, 0.5),
        lambda density: solutions.regular(["digon"], np.atleast_1d(density)),
    ],
)
def test_densities_that_are_none_are_refused(formula, density):
    with pytest.raises(ValueError, match=r"density must be within \[0, 1\], got "):
        formula(density)


def test_what_l1_minimization_recovers_is_the_state_evolution_of_message_passing():
    # Donoho, Maleki and Montanari (2009), equation 5, for positive and for signed codes; and values that were published.
    z = np.linspace(1e-3, 8, 200_000)
    phi, tail = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), ndtr(-z)
    G = (1 + z**2) * tail - z * phi
    for signed, c, known in ((False, 1, {0.19: 0.318, 0.5: 0.558}), (True, 2, {0.19: 0.238, 0.5: 0.386})):
        for share in (0.02, 0.1, 0.5, 0.9):
            expected = ((1 - c / share * G) / (1 + z**2 - c * G)).max()
            np.testing.assert_allclose(theory.recoverable(share, signed), expected, rtol=1e-4)
        for share, value in known.items():
            np.testing.assert_allclose(theory.recoverable(share, signed), value, atol=5e-4)
    np.testing.assert_allclose(theory.recoverable(1.0), 1, atol=1e-3)
    with pytest.raises(ValueError, match="undersampling must be above 0 and at most 1, got 0"):
        theory.recoverable(0.0)
