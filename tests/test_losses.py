from functools import partial
from itertools import pairwise, product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import World, by_convolution, by_supports
from scipy.integrate import quad
from scipy.special import erf

from superpose import exact, theory
from superpose.features import Anticorrelated, Correlated, Empirical, Independent
from superpose.losses import (
    Active,
    Population,
    SameSamples,
    Sampled,
    mean_activation,
    mean_error,
)
from superpose.models import Linear, ReluHidden, ReluOutput, Untied
from superpose.train import minimize
from superpose.values import MEMBERS, Binary, Exponential, Gaussian, Uniform, double, phases

DENSITIES = (1.0, 0.3, 0.1, 0.01, 0.001)
VALUES = {
    "uniform": Uniform(),
    "signed": Uniform(-0.5, 1.0),
    "binary": Binary(),
    "exponential": Exponential(0.7),
    "gaussian": Gaussian(0.8),
}
SETS = ("independent", "correlated", "anticorrelated")
TARGETS = ("x", "abs")
# Every other case is quick: compiling takes the time.
CASES = list(product(VALUES, SETS, TARGETS))
EACH = [
    pytest.param(*case, marks=pytest.mark.slow if odd else ())
    for v, value in enumerate(VALUES)
    for s, sets in enumerate(SETS)
    for t, target in enumerate(TARGETS)
    for case, odd in [((value, sets, target), (v + s + t) % 2)]
]


def law(sets, density, n, value, importance=1.0):
    """Features of this kind. Sets, where there are any, have 2, 1, 2, 1, ... members."""
    if sets == "independent":
        return Independent(density, importance, value, n_features=n)
    sizes = (2, 1) * (n // 3) + {0: (), 1: (1,), 2: (2,)}[n % 3]
    return {"correlated": Correlated, "anticorrelated": Anticorrelated}[sets](
        density, sizes, importance, value
    )


def population(model, features):
    # Not jitted as a whole: jit would round the weights of these tests to float32 on their way in.
    return Population(features)(model)


def _model(W, b, cls=ReluOutput, activation=None):
    W, b = (np.asarray(a) for a in (W, b))
    model = cls.init(W.shape[1], min(W.shape), key=jax.random.key(0), activation=activation)
    return eqx.tree_at(lambda m: (m.W, m.b), model, (jnp.asarray(W, W.dtype), jnp.asarray(b, b.dtype)))


def _weights(n, seed, dtype=np.float64):
    """Random weights and biases, with `n // 2` hidden dimensions at most 10, at two scales."""
    rng = np.random.default_rng([n, seed])
    m = min(max(n // 2, 1), 10)
    W = rng.normal(size=(m, n)) * np.sqrt((0.5, 2.0)[seed % 2] / m)
    return W.astype(dtype), (0.2 * rng.normal(size=n)).astype(dtype)


def _reference(model, features, target="x"):
    W, b = np.asarray(model.W, np.float64), np.asarray(model.b, np.float64)
    value, together = features.value, not isinstance(features, Anticorrelated)
    kind = type(value).__name__.lower()
    numbers = {"uniform": ("low", "high"), "binary": ()}.get(kind, ("scale",))
    world = World(
        np.asarray(features.set_density),
        features.sizes,
        together,
        (kind, *(getattr(value, name) for name in numbers)),
        {"x": lambda x: x, "abs": np.abs}[target],
    )
    few = len(b) <= 5 and model.activation in ("relu", "identity", "abs")
    by = by_supports if kind in ("binary", "gaussian") or (kind == "uniform" and few) else by_convolution
    return by(W.T @ W, b, np.asarray(features.importance), world, model.activation)


def _importance(n, seed):
    """Random; where the reference is slow, on one output only."""
    importance = np.random.default_rng([n, seed, 1]).uniform(0.1, 1, n)
    return importance if n <= 5 else np.where(np.arange(n) == seed % n, importance, 0.0)


SIZES = {2: 1e-12, 3: 1e-12, 5: 1e-12, 10: 1e-8, 20: 1e-6, 100: 1e-6}
REFERENCE = {(5, density) for density in DENSITIES} | {(2, 0.3), (3, 0.01), (10, 1.0), (20, 0.01), (100, 0.1)}


@pytest.mark.parametrize(
    ("n", "density"),
    [
        pytest.param(*case, marks=() if case in REFERENCE else pytest.mark.slow)
        for case in product(SIZES, DENSITIES)
    ],
)
def test_population_meets_an_independent_reference(n, density):
    for seed in range(2 if n < 100 else 1):
        model = _model(*_weights(n, seed))
        features = Independent(density, _importance(n, seed))
        exact = population(model, features)
        assert exact.dtype == np.float64
        np.testing.assert_allclose(exact, _reference(model, features), rtol=SIZES[n])


@pytest.mark.parametrize("n", [2, 5, 20])
def test_population_of_a_float32_model_is_that_of_its_own_weights(n):
    model, features = _model(*_weights(n, 0, np.float32)), Independent(0.1, _importance(n, 0))
    exact = population(model, features)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, _reference(model, features), rtol=1e-7)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_population_with_a_density_of_its_own_for_each_feature(n):
    rng = np.random.default_rng(n)
    density = 10 ** rng.uniform(-3, 0, n)
    density[:2] = 1.0, 0.0
    model, features = _model(*_weights(n, 1)), Independent(density, _importance(n, 2))
    np.testing.assert_allclose(population(model, features), _reference(model, features), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("n", [5, 20, 50, 100])
def test_population_meets_the_reference_for_many_models(n, density):
    for seed in range(4, 24):
        model, features = _model(*_weights(n, seed)), Independent(density, _importance(n, seed))
        np.testing.assert_allclose(population(model, features), _reference(model, features), rtol=1e-6)


@pytest.mark.parametrize("gains", [[[1, -1]], [[1, 1]], [[0, 0]], [[1, -1, 0]], [[1, 1e-9, -1]]])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.01])
def test_population_at_degenerate_weights(gains, density):
    n, gains = len(gains[0]), np.array(gains, float)
    for b in (np.zeros(n), np.full(n, 0.25)):
        model, features = _model(gains, b), Independent(density, n_features=n)
        np.testing.assert_allclose(population(model, features), _reference(model, features), rtol=1e-12)


def test_population_of_an_untied_model_with_a_hidden_bias():
    rng = np.random.default_rng(8)
    W, W_out, b, h = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2)
    model = Untied.init(3, 2, key=jax.random.key(0), hidden_bias=True)
    model = eqx.tree_at(lambda m: (m.W, m.W_out, m.b, m.hidden_bias), model, (W, W_out, b, h))
    exact = population(model, Independent(0.3, n_features=3))
    world = World((0.3,) * 3, (1,) * 3, True, ("uniform", 0, 1))
    expected = by_supports(W_out @ W, b + W_out @ h, np.ones(3), world)
    np.testing.assert_allclose(exact, expected, rtol=1e-12)


@pytest.mark.parametrize(("cls", "n"), [(ReluOutput, 5), (Linear, 5), (ReluOutput, 20)])
def test_population_is_the_mean_of_what_is_sampled(cls, n):
    # Within 5 standard errors.
    model = _model(*_weights(n, 0, np.float32), cls)
    features = Independent(0.2, np.random.default_rng(0).uniform(0.1, 1, n))
    keys = jax.random.split(jax.random.key(0), 64)
    batches = jax.lax.map(lambda key: Sampled(features, 4096)(model, key), keys)
    batches = np.asarray(batches, np.float64)
    assert abs(batches.mean() - population(model, features)) <= 5 * batches.std(ddof=1) / np.sqrt(64)


def test_linear_population_in_closed_form():
    # E[(x - A x - c)^2] from the mean p/2 and the variance p/3 - p^2/4.
    W, b = _weights(5, 3)
    p, importance = np.array([1.0, 0.5, 0.1, 0.01, 0.0]), np.arange(1.0, 6.0)
    B = np.eye(5) - W.T @ W
    expected = importance @ ((B @ (p / 2) - b) ** 2 + B**2 @ (p / 3 - p**2 / 4))
    exact = population(_model(W, b, Linear), Independent(p, importance))
    np.testing.assert_allclose(exact, expected, rtol=1e-12)


def test_antipodal_pair_costs_what_theory_says():
    exact = population(_model([[1.0, -1.0]], [0, 0]), Independent(0.1, [1.0, 0.5]))
    np.testing.assert_allclose(exact, theory.antipodal_cost(0.1, 1.0, 0.5), rtol=1e-14)


def test_population_is_linear_in_importance():
    W, b = _weights(5, 1)
    model = _model(W, b)
    each = [float(population(model, Independent(0.1, row))) for row in np.eye(5)]
    importance = np.array([3.0, 0.0, 0.5, 1.0, 20.0])
    np.testing.assert_allclose(population(model, Independent(0.1, importance)), importance @ each, rtol=1e-13)


@pytest.mark.slow
def test_population_does_not_depend_on_the_number_of_harmonics():
    for seed in range(4):
        model = _model(*_weights(20, seed))
        for density in DENSITIES:
            features = Independent(density, n_features=20)
            few, many = (
                float(Population(features, method="characteristic", harmonics=harmonics)(model))
                for harmonics in (128, 512)
            )
            assert abs(few - many) <= 1e-6 * many


gradient = jax.jit(jax.grad(lambda model, features: Population(features)(model)))
values_of = jax.jit(jax.vmap(lambda model, features: Population(features)(model), in_axes=(0, None)))


@pytest.mark.parametrize("density", [1.0, 0.1, 0.001, [1.0, 0.3, 0.0, 0.01]])
def test_population_gradient_is_the_finite_difference(density):
    for seed in range(2):
        W, b = _weights(4, seed)
        features = Independent(density, n_features=4)
        slope = gradient(_model(W, b), features)
        expected = _finite_difference(W, b, features)
        scale = np.abs(expected[0]).max()
        np.testing.assert_allclose(slope.W, expected[0], rtol=1e-5, atol=1e-5 * scale)
        np.testing.assert_allclose(slope.b, expected[1], rtol=1e-5, atol=1e-5 * scale)


def _finite_difference(W, b, features, step=1e-5):
    both = np.concatenate([W.ravel(), b])
    moved = both + step * np.concatenate([np.eye(len(both)), -np.eye(len(both))])
    moved = moved[:, : W.size].reshape(-1, *W.shape), moved[:, W.size :]
    moved = tuple(jnp.asarray(a, jnp.float64) for a in moved)
    models = eqx.tree_at(lambda m: (m.W, m.b), _model(W, b), moved)
    values = np.asarray(values_of(models, features))
    slopes = (values[: len(both)] - values[len(both) :]) / (2 * step)
    return slopes[: W.size].reshape(W.shape), slopes[W.size :]


@pytest.mark.parametrize("density", [1.0, 0.3, 0.0])
@pytest.mark.parametrize(
    "W",
    [
        np.zeros((2, 4)),
        np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]]),
        np.array([[1.0, 1, 0, 0.5], [0, 0, 1, 0.5]]),
    ],
    ids=["zero", "antipodal", "equal"],
)
def test_population_gradient_is_finite_at_degenerate_weights(W, density):
    for b in (np.zeros(4), np.full(4, 0.1)):
        features = Independent(density, n_features=4)
        slope = gradient(_model(W, b), features)
        assert np.isfinite(slope.W).all()
        assert np.isfinite(slope.b).all()
        if b.any():  # without a bias, the loss may have a kink there
            np.testing.assert_allclose(slope.W, _finite_difference(W, b, features)[0], atol=2e-5)
            np.testing.assert_allclose(slope.b, _finite_difference(W, b, features)[1], atol=2e-5)


gradient_of_the_series = jax.jit(
    jax.grad(lambda model, features: Population(features, method="characteristic")(model))
)


@pytest.mark.parametrize("density", [0.01, 0.5, 1.0])
@pytest.mark.parametrize(
    "W",
    [np.eye(3, 4), np.eye(3, 4) - np.eye(3, 4, 2), np.eye(3, 4) + 0.5 * np.eye(3, 4, 2)],
    ids=["dedicated", "antipodal", "some orthogonal"],
)
def test_the_series_has_the_right_gradient_where_gains_are_exactly_zero(W, density):
    model, features = _model(W, np.zeros(4)), Independent(density, n_features=4)
    closed, series = gradient(model, features), gradient_of_the_series(model, features)
    np.testing.assert_allclose(series.W, closed.W, atol=1e-9)
    np.testing.assert_allclose(series.b, closed.b, atol=1e-9)


def test_population_of_data_is_the_mean_over_rows():
    rng = np.random.default_rng(0)
    data = rng.uniform(size=(5000, 5)) * (rng.uniform(size=(5000, 5)) < 0.4)  # two blocks of 4096
    data = data.astype(np.float32)
    W, b = _weights(5, 0)
    importance = np.array([1.0, 0.5, 2.0, 0.0, 0.1])
    error = (data - np.maximum(data @ W.T @ W + b, 0)) ** 2
    exact = population(_model(W, b), Empirical(data, importance))
    np.testing.assert_allclose(exact, (error @ importance).mean(), rtol=1e-12)


def test_population_of_data_is_exact_for_any_model():
    data = np.random.default_rng(0).normal(size=(50, 3))
    model = ReluHidden.init(3, 5, key=jax.random.key(0), activation="gelu")
    x = data.astype(np.float32)
    expected = ((x - jax.vmap(model)(x)) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(population(model, Empirical(data)), expected, rtol=1e-5)


def test_mean_error_by_hand():
    model = _model(np.array([[1.0, -1.0]], np.float32), np.zeros(2, np.float32))
    x = jnp.array([[0.5, 0.0], [0.5, 0.25], [0.0, 1.0]])  # only the second row is wrong: 0.25 and 0.25 short
    assert float(mean_error(model, x)) == pytest.approx(2 * 0.25**2 / 3, rel=1e-6)
    assert float(mean_error(model, x, jnp.array([1.0, 3.0]))) == pytest.approx(4 * 0.25**2 / 3, rel=1e-6)
    weight = jnp.array([1.0, 6.0, 1.0])
    assert float(mean_error(model, x, 1.0, weight)) == pytest.approx(2 * 0.25**2 * 6 / 8, rel=1e-6)


def test_sampled_weight_counts_samples_in_proportion():
    model = _model(*_weights(5, 0, np.float32))
    features, key = Independent(0.5, n_features=5), jax.random.key(0)
    x = features.sample(key, 256)
    expected = mean_error(model, x, 1.0, x.sum(axis=1))
    np.testing.assert_allclose(Sampled(features, 256, jnp.sum)(model, key), expected, rtol=1e-5)


@pytest.mark.parametrize(("value", "sets", "target"), EACH)
def test_population_of_every_law_meets_the_reference(value, sets, target):
    model = _model(*_weights(3, 1))
    n_sets = len(law(sets, 0.1, 3, VALUES[value]).sizes)
    for density in (0.3, 0.001, (1.0, 0.0, 0.01)[:n_sets]):
        features = law(sets, density, 3, VALUES[value], _importance(3, 0))
        exact = Population(features, target)(model)
        assert exact.dtype == np.float64
        rtol = 2e-9 if value == "exponential" else 1e-12 if target == "x" or value != "gaussian" else 1e-9
        np.testing.assert_allclose(exact, _reference(model, features, target), rtol=rtol)


@pytest.mark.parametrize(("value", "sets", "target"), EACH)
def test_population_of_every_law_is_the_mean_of_what_is_sampled(value, sets, target):
    # Within 5 standard errors.
    model = _model(*_weights(3, 1, np.float32))
    features = law(sets, 0.3, 3, VALUES[value], _importance(3, 0))
    x = features.sample(jax.random.key(5), 200_000)
    errors = np.asarray(per_sample(model, x, features.importance, target), np.float64)
    exact = Population(features, target)(model)
    assert abs(errors.mean() - exact) <= 5 * errors.std(ddof=1) / np.sqrt(len(errors))
    np.testing.assert_allclose(
        Sampled(features, 200_000, target=target)(model, jax.random.key(5)), errors.mean(), rtol=1e-4
    )


@partial(jax.jit, static_argnums=3)
def per_sample(model, x, importance, target):
    return jax.vmap(lambda row: mean_error(model, row[None], importance.astype(x.dtype), target=target))(x)


@pytest.mark.parametrize(
    ("value", "sets", "target", "n"),
    [(*case, 12) for case in CASES[4::13]]
    + [pytest.param(*case, 12, marks=pytest.mark.slow) for case in CASES if case not in CASES[4::13]]
    + [pytest.param(*case, 20, marks=pytest.mark.slow) for case in CASES],
)
def test_population_of_many_features_of_every_law_meets_the_reference(value, sets, target, n):
    if n == 20 and sets == "independent" and value == "gaussian":
        n = 16  # as many supports as the reference can take
    for density in (1.0, 0.1, 0.001):
        model = _model(*_weights(n, 0))
        features = law(sets, density, n, VALUES[value], _importance(n, 3))
        exact = Population(features, target)(model)
        np.testing.assert_allclose(
            exact, _reference(model, features, target), rtol=2e-6 if value == "binary" else 1e-6
        )


@pytest.mark.parametrize(
    "activation", ["identity", *(pytest.param(f, marks=pytest.mark.slow) for f in ("abs", "tanh"))]
)
@pytest.mark.parametrize("value", VALUES)
def test_population_of_other_outputs_meets_the_reference(value, activation):
    if (value, activation) == ("gaussian", "tanh"):
        pytest.skip("takes gigabytes")
    for sets, target in (("independent", "x"), ("anticorrelated", "abs")):
        features = law(sets, 0.3, 4, VALUES[value], _importance(4, 0))
        model = _model(*_weights(4, 1), activation=activation)
        exact = Population(features, target)(model)
        np.testing.assert_allclose(exact, _reference(model, features, target), rtol=1e-8)


# Laws by themselves, by the midpoint rule over their quantiles.
MIDDLES = (np.arange(200_000) + 0.5) / 200_000


@pytest.mark.parametrize("value", VALUES)
def test_the_phases_of_a_law_are_its_characteristic_function(value):
    x, angle, k = np.asarray(VALUES[value].quantile(double(MIDDLES))), double([0.4, -1.1]), np.array([1, 3])
    cos, sin = VALUES[value].phase(angle, k)
    turns = np.asarray(angle)[:, None] * k
    np.testing.assert_allclose(cos, np.cos(turns[..., None] * x).mean(-1), atol=1e-4)
    np.testing.assert_allclose(sin, np.sin(turns[..., None] * x).mean(-1), atol=1e-4)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("value", VALUES)
def test_the_closed_form_of_a_law_with_one_active_feature_is_the_integral(value, own):
    law = VALUES[value]
    half = law.halves[0][2] if own else law
    x = np.asarray(law.quantile(double(MIDDLES)))
    if own:  # the feature's magnitude, where it is of the first half's sign
        x = x[x >= 0]
    for c, g in product((-1.0, -0.3, 0.3, 1.0), (-0.8, 0.8)):
        gains, active, here = double([[g]]), np.array([1]), np.array([[own]])
        found = jax.jit(lambda c, gains: law.signed_square(c, gains, active, here, half))(double(c), gains)  # noqa: B023
        z = c + g * x
        np.testing.assert_allclose(found[0], (z * abs(z) / 2).mean(), atol=2e-4)


@pytest.mark.parametrize("loss", [Population, Sampled])
def test_model_and_data_of_different_lengths_are_refused(loss):
    with pytest.raises(ValueError, match="the model has 4 features and the data 3; they must be equal"):
        loss(Independent(0.1, n_features=3))(ReluOutput.init(4, 2, key=jax.random.key(0)), jax.random.key(0))


def test_batch_below_one_is_refused():
    with pytest.raises(ValueError, match="batch must be at least 1 sample, got 0"):
        Sampled(Independent(0.1, n_features=3), batch=0)


WORLDS = [
    Independent(np.array([0.02, 0.3, 0.0]), [1.0, 0.5, 2.0]),
    Independent(np.array([0.001, 0.002, 0.001]), 1.0),
    Independent(np.array([0.5, 1.0, 0.2]), 1.0),
]


@pytest.mark.parametrize("world", WORLDS, ids=["mixed", "rare", "always"])
def test_stratified_samples_have_the_same_expected_loss_and_gradient(world):
    n = world.n_features
    model = _model(np.random.default_rng(0).normal(size=(2, n)), np.linspace(-0.2, 0.3, n))
    keys = jax.random.split(jax.random.key(0), 400)
    loss = jax.value_and_grad(lambda model, key: Sampled(world, 256, stratified=True)(model, key))
    values, slopes = jax.jit(jax.vmap(loss, in_axes=(None, 0)))(model, keys)
    exact, slope = jax.value_and_grad(Population(world))(model)
    drawn, true = (jax.tree.leaves(tree) for tree in ((values, slopes), (exact, slope)))
    for some, truth in zip(drawn, true, strict=True):
        some = np.asarray(some, np.float64)
        error = some.std(axis=0, ddof=1) / np.sqrt(len(some))
        assert (
            np.abs(some.mean(axis=0) - truth) <= 5 * error + 1e-6
        ).all()  # 5 standard errors, and rounding


def test_stratified_samples_have_less_variance():
    world, model = WORLDS[1], _model(np.ones((1, 3)), np.zeros(3))
    keys = jax.random.split(jax.random.key(0), 2000)
    deviations = [
        np.std(jax.jit(jax.vmap(lambda key, loss=loss: loss(model, key)))(keys))
        for loss in (Sampled(world, 256), Sampled(world, 256, stratified=True))
    ]
    # By the square root of the chance that any is active or more; within 10%, for 2000 draws.
    assert deviations[1] <= 1.1 * np.sqrt(float(world.any_active)) * deviations[0]


def test_stratified_features_that_are_never_active_give_the_loss_of_zeros():
    model = _model(np.ones((1, 3)), np.array([0.5, -1.0, 0.0]))
    value, slope = jax.value_and_grad(Sampled(Independent(0.0, n_features=3), 8, stratified=True))(
        model, jax.random.key(0)
    )
    assert value == 0.25
    assert np.isfinite(slope.W).all()


def test_stratified_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="stratified needs features with densities"):
        Sampled(Empirical(np.ones((2, 2))), stratified=True)
    with pytest.raises(ValueError, match="no weight"):
        Sampled(WORLDS[0], stratified=True, weight=lambda x: x.sum())


def _stack(items):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)


def _degenerate_models(n=5):
    """Zero, dead, antipodal and equal columns, with and without a bias; gains of several scales; random."""
    rng = np.random.default_rng(0)
    pair, zero = np.zeros((2, n)), np.zeros((2, n))
    pair[0, :2], pair[1, 2:4] = (1, -1), (1, -1)[: n - 2]
    dead = rng.normal(size=(2, n)) * (np.arange(n) > 1)
    weights = [
        (W, b)
        for W in (zero, pair, np.abs(pair), dead)
        for b in (np.zeros(n), np.full(n, 0.25), -np.full(n, 0.1))
    ]
    for _ in range(4):
        W = rng.normal(size=(2, n))
        weights += [
            (W, 0.2 * rng.normal(size=n)),
            (W * 10 ** rng.uniform(-4, 0, n), 0.2 * rng.normal(size=n)),
        ]
        weights += [(W * 10 ** rng.uniform(-4, 0, n), np.zeros(n))]
    return _stack([_model(W, b) for W, b in weights])


def _worlds(value, n=5, sets="independent"):
    n_sets = len(law(sets, 0.0, n, value).sizes)
    densities = (0.0, 1.0, 0.3, 0.001, (1.0, 0.0, 0.001, 0.3, 0.1)[:n_sets])
    return _stack([law(sets, density, n, value) for density in densities])


def _grid(function):
    """For each model and each of the worlds."""
    return jax.jit(jax.vmap(jax.vmap(function, in_axes=(None, 0)), in_axes=(0, None)))


def _direction(leaf):
    return np.random.default_rng(leaf.size).normal(size=leaf.shape)


def _slope_and_curvature(loss):
    """The loss, its gradient, and the gradient's derivative along `_direction`."""

    def function(model, features):
        along = jax.tree.map(lambda leaf: double(_direction(leaf)), model)
        value_and_slope = jax.value_and_grad(lambda m: loss(features)(m))
        (value, slope), (_, curvature) = jax.jvp(value_and_slope, (model,), (along,))
        return value, slope, curvature

    return function


CLOSED = [("uniform", "x"), ("signed", "abs"), ("binary", "x"), ("gaussian", "x")]


@pytest.mark.parametrize(
    ("value", "target", "sets"),
    [
        pytest.param(
            *case,
            sets,
            marks=() if sets == SETS[0] and case[0] in ("binary", "gaussian") else pytest.mark.slow,
        )
        for case in CLOSED
        for sets in SETS
    ],
)
def test_enumeration_is_the_characteristic_function(value, target, sets):
    n = 5
    models, worlds = _degenerate_models(n), _worlds(VALUES[value], n, sets)

    def by(method):
        return np.asarray(_grid(lambda m, f: Population(f, target, method=method)(m))(models, worlds))

    exact, series = by("enumeration"), by("characteristic")
    scaled = np.isin(np.arange(len(exact)), [at for at in range(12, 24) if at % 3])
    if value == "binary":  # supports of several features can have z = 0, where the series is slow
        np.testing.assert_allclose(series, exact, rtol=1e-3, atol=1e-14)
        np.testing.assert_allclose(series[12::3], exact[12::3], rtol=1e-6)
    else:
        np.testing.assert_allclose(series[~scaled], exact[~scaled], rtol=1e-8, atol=1e-14)
        # Gains of several scales, some of which the series does not resolve.
        np.testing.assert_allclose(series[scaled], exact[scaled], rtol=2e-7, atol=1e-14)


METHODS = [
    *((value, "enumeration", target) for value, target in CLOSED),
    *((value, "characteristic", "x") for value in VALUES),
    *((value, "characteristic", "abs") for value in ("signed", "gaussian")),
    *((value, "quadrature", "x") for value in ("uniform", "exponential")),
]
QUICK = [METHODS[3], METHODS[7]]


@pytest.mark.parametrize(
    ("value", "method", "target"),
    QUICK + [pytest.param(*case, marks=pytest.mark.slow) for case in METHODS if case not in QUICK],
)
def test_slope_and_curvature_are_finite_everywhere_and_the_finite_differences(value, method, target):
    n = 3
    loss = _grid(_slope_and_curvature(lambda features: Population(features, target, method=method)))
    worlds = _worlds(VALUES[value], n)
    activation, step = ("tanh" if method == "quadrature" else "relu"), 1e-5
    moved = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        W, b = rng.normal(size=(2, n)), 0.3 * rng.normal(size=n)
        for sign in (0, 1, -1):
            moved.append(_model(W + sign * step * _direction(W), b + sign * step * _direction(b)))
    models = jax.tree.map(lambda *a: jnp.concatenate(a), _degenerate_models(n), _stack(moved))
    models = eqx.tree_at(lambda m: (m.W, m.b), _model(W, b, activation=activation), (models.W, models.b))
    results = loss(models, worlds)
    for leaf in jax.tree.leaves(results):
        assert np.isfinite(leaf).all()

    for at in (-6, -3):
        value, slope, curvature = (
            jax.tree.map(lambda leaf: np.asarray(leaf[at : at + 3 or None]), part)  # noqa: B023
            for part in results
        )
        along = (slope.W[0] * _direction(W)).sum((-2, -1)) + (slope.b[0] * _direction(b)).sum(-1)
        np.testing.assert_allclose((value[1] - value[2]) / (2 * step), along, rtol=1e-5, atol=1e-7)
        for name in ("W", "b"):
            numbers, curved = getattr(slope, name), getattr(curvature, name)[0]
            np.testing.assert_allclose((numbers[1] - numbers[2]) / (2 * step), curved, rtol=1e-4, atol=1e-5)


SUMS = [("signed", "anticorrelated", "abs"), ("gaussian", "correlated", "x")]
SUMS += [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in (
        ("uniform", "independent", "x"),
        ("binary", "anticorrelated", "x"),
        ("uniform", "correlated", "x"),
    )
]


@pytest.mark.parametrize(("value", "sets", "target"), SUMS)
def test_the_terms_by_the_number_of_active_features_add_up(value, sets, target):
    model, n_sets = _model(*_weights(4, 1)), 4 if sets == "independent" else 3
    for density in (0.3, (1.0, 0.0, 0.001, 0.3)[:n_sets]):
        features = law(sets, density, 4, VALUES[value], _importance(4, 0))
        terms = [Active(features, count, target) for count in range(n_sets + 1)]
        np.testing.assert_allclose(sum(term.chance for term in terms), 1, rtol=1e-14)
        total = sum(float(term.chance) * float(term(model)) for term in terms)
        np.testing.assert_allclose(total, Population(features, target)(model), rtol=1e-12)


def test_one_active_feature_costs_what_the_paper_integrates():
    # L_1 = sum_i int I_i (x - ReLU(|W_i|^2 x + b_i))^2 dx + sum_{i != j} int I_j ReLU(W_j . W_i x + b_j)^2 dx,
    # here divided by the number of features, each as likely.
    W, b = _weights(5, 1)
    importance, A, total = _importance(5, 0), W.T @ W, 0.0
    for i in range(5):
        for j in range(5):
            kink = np.clip(-b[j] / A[j, i], 0, 1)
            for low, high in ((0, kink), (kink, 1)):
                total += (
                    importance[j]
                    * quad(
                        lambda x: ((i == j) * x - max(A[j, i] * x + b[j], 0)) ** 2,  # noqa: B023
                        low,
                        high,
                    )[0]
                )
    term = Active(Independent(1e-9, importance), 1)
    np.testing.assert_allclose(term(_model(W, b)), total / 5, rtol=1e-8)


def test_at_most_one_active_feature_is_all_that_is_left_as_density_goes_to_0():
    model, left = _model(*_weights(5, 0)), []
    for density in (1e-1, 1e-2, 1e-3, 1e-4):
        features = Independent(density, n_features=5)
        terms = [Active(features, count) for count in (0, 1)]
        few = sum(float(term.chance) * float(term(model)) for term in terms)
        left.append(1 - few / float(Population(features)(model)))
    assert left[-1] < 1e-3
    assert all(0 < later < 0.2 * earlier for earlier, later in pairwise(left))


@pytest.mark.slow
@pytest.mark.parametrize("value", ["uniform", "binary", "signed", "gaussian"])
def test_the_stated_error_is_about_the_true_one(value):
    fine = jax.jit(
        lambda model, features: Population(features, method="characteristic", harmonics=4096)(model)
    )
    for density in (1.0, 0.3, 0.01):
        features = Independent(density, n_features=8, value=VALUES[value])
        for seed in range(4):
            model = _model(*_weights(8, seed))
            rough = Population(features, method="characteristic", harmonics=64)
            exact, error = rough.with_error(model)
            assert abs(float(exact) - float(fine(model, features))) <= 2 * float(error)


def test_an_unknown_target_or_method_is_refused():
    features = Independent(0.1, n_features=3)
    for loss in (Population, Sampled, partial(Active, count=1)):
        with pytest.raises(ValueError, match=r"^unknown target 'sign'; known are x, abs$"):
            loss(features, target="sign")
    with pytest.raises(
        ValueError, match=r"^unknown method 'guess'; known are enumeration, characteristic, quadr"
    ):
        Population(features, method="guess")
    with pytest.raises(ValueError, match=r"^harmonics must be at least 32, got 31$"):
        Population(features, harmonics=31)


@pytest.mark.parametrize(
    ("loss", "activation", "message"),
    [
        (
            Population(Independent(0.1, n_features=3), method="enumeration"),
            "gelu",
            "enumeration needs a relu.*gelu",
        ),
        (
            Population(Independent(0.1, n_features=3), method="characteristic"),
            "gelu",
            "characteristic needs a relu",
        ),
        (
            Active(Independent(0.1, n_features=3), 1),
            "gelu",
            "enumeration needs a relu, identity or abs output",
        ),
        (
            Population(Independent(0.1, n_features=3, value=Exponential()), method="enumeration"),
            "relu",
            "supports of 3 active features with Exponential values and target 'x' have no closed form",
        ),
        (
            Active(Independent(0.1, n_features=3, value=Exponential()), 2),
            "relu",
            "supports of 2 active features with Exponential values",
        ),
        (
            Active(Correlated(0.1, (2, 1), value=Exponential()), 1),
            "relu",
            "supports of 2 active features with Exponential values",
        ),
        (
            Population(Independent(0.1, n_features=3, value=Gaussian()), "abs", method="enumeration"),
            "relu",
            "supports of 3 active features with Gaussian values and target 'abs' have no closed form",
        ),
        (
            Population(Independent(0.1, n_features=20), method="enumeration"),
            "relu",
            "an enumeration takes 3e.09 numbers for each output, more than 1e6",
        ),
        (Active(Independent(0.1, n_features=40), 10), "relu", "an enumeration takes .* more than 1e6"),
    ],
)
def test_what_a_method_cannot_do_is_refused_in_one_line(loss, activation, message):
    model = ReluOutput.init(loss.features.n_features, 2, key=jax.random.key(0), activation=activation)
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        loss(model)
    assert "use " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("activation", [jax.nn.softmax, lambda z: z.sum(), lambda z: z[::-1]])
def test_an_activation_that_is_not_entry_by_entry_is_refused(activation):
    model, loss = (
        ReluOutput.init(3, 2, key=0, activation=activation),
        Population(Independent(0.1, n_features=3)),
    )
    for call in (loss, jax.jit(lambda model: loss(model))):
        with pytest.raises(ValueError, match=r"^exact losses need an activation that .* entry by itself"):
            call(model)


@pytest.mark.parametrize(
    "loss", [Population(Independent(0.1, n_features=3)), Active(Independent(0.1, n_features=3), 1)]
)
def test_a_hidden_activation_is_refused(loss):
    with pytest.raises(ValueError, match=r"linear hidden layer.*relu.*losses\.Sampled"):
        loss(ReluHidden.init(3, 2, key=jax.random.key(0)))


@pytest.mark.parametrize("count", [-1, 4])
def test_a_count_of_active_features_out_of_range_is_refused(count):
    with pytest.raises(ValueError, match=rf"^count must be within 0\.\.3, got {count}$"):
        Active(Independent(0.1, n_features=3), count)
    with pytest.raises(ValueError, match=r"^count must be within 0\.\.2, got 3$"):
        Active(Correlated(0.1, (2, 1)), 3)


def test_a_loss_on_the_same_samples_is_that_on_some_and_has_a_minimum():
    model = ReluHidden.init(4, 2, key=jax.random.key(0))
    drawn = Sampled(Independent(0.5, n_features=4), batch=2**12)
    same, other = SameSamples(drawn, seed=1), SameSamples(drawn, seed=2)
    assert same(model) == same(model) != other(model)
    np.testing.assert_allclose(same(model), drawn(model, jax.random.key(3)), rtol=0.1)
    solved = minimize(jax.tree.map(lambda leaf: leaf[None], model), same, evaluations=200, progress=False)
    assert solved.loss[0] < same(model)
    np.testing.assert_allclose(
        solved.loss[0], same(jax.tree.map(lambda leaf: leaf[0], solved.models)), rtol=1e-4
    )


def test_penalty_adds_the_mean_magnitude_of_the_hidden_layer():
    world = Independent(np.array([0.3, 0.1, 0.8]), np.array([1.0, 0.5, 2.0]))
    for cls in (ReluOutput, ReluHidden):
        model, key = cls.init(3, 2, key=jax.random.key(0)), jax.random.key(1)
        h = np.asarray(jax.vmap(model.encode)(world.sample(key, 50)))
        expected = Sampled(world, 50)(model, key) + 0.3 * np.abs(h).sum(axis=1).mean()
        np.testing.assert_allclose(Sampled(world, 50, penalty=0.3)(model, key), expected, rtol=1e-5)
        np.testing.assert_allclose(
            Sampled(world, 50, penalty=0.0)(model, key), Sampled(world, 50)(model, key)
        )


def test_penalty_of_stratified_samples_has_the_same_expectation():
    model = ReluOutput.init(3, 2, key=jax.random.key(0), hidden_bias=True)
    model = eqx.tree_at(lambda model: model.hidden_bias, model, jnp.array([0.3, -0.2]))
    world = Independent(np.array([0.1, 0.02, 0.05]))
    draws = [
        jax.vmap(partial(Sampled(world, 2000, penalty=0.5, stratified=stratified), model))(
            jax.random.split(jax.random.key(2), 200)
        )
        for stratified in (False, True)
    ]
    (plain, spread), (sampled, less) = ((float(d.mean()), float(d.std()) / 200**0.5) for d in draws)
    assert abs(plain - sampled) <= 5 * np.hypot(spread, less)  # standard errors
    assert less < spread


def test_negative_penalties_are_refused():
    with pytest.raises(ValueError, match="penalty must be 0 or more, got -1"):
        Sampled(Independent(0.1, n_features=3), penalty=-1.0)


@pytest.mark.parametrize("cls", [ReluOutput, ReluHidden])
def test_mean_activation_is_the_mean_size_of_the_hidden_layer(cls):
    model = cls.init(4, 3, key=jax.random.key(0), hidden_bias=True)
    model = eqx.tree_at(lambda m: m.hidden_bias, model, jnp.array([0.1, -0.4, 0.2]))
    x = jax.random.normal(jax.random.key(1), (20, 4))
    size = np.abs([np.asarray(model.encode(row), float) for row in x]).sum(axis=1)
    np.testing.assert_allclose(mean_activation(model, x), size.mean(), rtol=1e-6)
    weight = np.random.default_rng(0).uniform(size=20)
    found = mean_activation(model, x, jnp.asarray(weight, jnp.float32))
    np.testing.assert_allclose(found, np.average(size, weights=weight), rtol=1e-6)
    first = mean_activation(model, x, jnp.asarray(np.arange(20) < 5, jnp.float32))
    np.testing.assert_allclose(first, mean_activation(model, x[:5]), rtol=1e-6)


@pytest.mark.parametrize(("cls", "share"), [(ReluOutput, 1), (ReluHidden, 1 / 2)])
def test_mean_activation_of_normal_features_is_the_length_of_the_rows(cls, share):
    # A hidden unit is normal with the standard deviation |row|; its magnitude is sqrt(2 / pi) of that.
    model = cls.init(6, 2, key=jax.random.key(2))
    x = jax.random.normal(jax.random.key(3), (400, 100, 6))
    means = np.asarray(jax.vmap(lambda x: mean_activation(model, x))(x), np.float64)
    expected = share * np.sqrt(2 / np.pi) * np.linalg.norm(np.asarray(model.W, float), axis=1).sum()
    assert abs(means.mean() - expected) <= 5 * means.std() / np.sqrt(400)  # standard errors


class HalfNormal(eqx.Module):
    """A law of one's own: what `superpose/values.py` lists, without a closed form."""

    bounds = (0.0, np.inf)
    mean = np.sqrt(2 / np.pi)
    square = 1.0

    def quantile(self, v):
        return jnp.sqrt(2.0) * jax.scipy.special.erfinv(jnp.minimum(v, 1 - 2.0**-24))

    def phase(self, angle, k):
        # By Gauss-Legendre quadrature of exp(i s x), which is smooth.
        x, weight = np.polynomial.legendre.leggauss(600)
        x, weight = 4.5 * (x + 1), 4.5 * weight * np.sqrt(2 / np.pi) * np.exp(-((4.5 * (x + 1)) ** 2) / 2)
        turn = (angle[..., None] * k)[..., None] * double(x)
        return jnp.cos(turn) @ double(weight), jnp.sin(turn) @ double(weight)

    def cumulant(self, s):
        return s**2 / 2 + jnp.log(jax.scipy.special.erfc(-s / np.sqrt(2)))

    @property
    def halves(self):
        return ((1.0, 1, self),)


def _half_normal_loss(W, b, p):
    """Of two features with equal densities and opposite signs of W: by quadrature over one, in closed form over the other."""
    A = np.outer(W, W)
    return sum(_half_normal_error(b[i], A[i, i], A[i, 1 - i], p) for i in range(2))


def _half_normal_error(c, own, other, p):
    kink = max(-c / own, 0.0)
    node, weight = np.polynomial.legendre.leggauss(200)
    ends = [(0.0, kink), (kink, 4.5), (4.5, 9.0)]
    x = np.concatenate([low + (high - low) * (node + 1) / 2 for low, high in ends])
    weight = np.concatenate([(high - low) / 2 * weight for low, high in ends])
    weight = np.sqrt(2 / np.pi) * weight * np.exp(-(x**2) / 2)

    def given(x):  # `z = a + other y` is positive for y up to k
        a = c + own * x
        k = np.maximum(a, 0) / -other
        tail = np.sqrt(2 / np.pi) * np.exp(-(k**2) / 2)
        none, one, two = erf(k / np.sqrt(2)), np.sqrt(2 / np.pi) - tail, erf(k / np.sqrt(2)) - k * tail
        return x**2 - 2 * x * (a * none + other * one) + a**2 * none + 2 * a * other * one + other**2 * two

    mine = weight @ (x - np.maximum(c + own * x, 0)) ** 2
    nothing = max(c, 0) ** 2
    return (1 - p) ** 2 * nothing + p * (1 - p) * (mine + given(0.0)) + p**2 * weight @ given(x)


def test_a_law_of_values_of_ones_own_has_the_right_loss():
    W, b, p = np.array([1.1, -0.7]), np.array([-0.1, 0.2]), 0.3
    model, features = _model(W[None], b), Independent(p, n_features=2, value=HalfNormal())
    loss = Population(features, harmonics=256)
    value, stated = map(float, loss.with_error(model))  # NumPy's numbers beside JAX's would be rounded
    expected = _half_normal_loss(W, b, p)
    assert abs(value - expected) <= max(2 * stated, 1e-11 * expected)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    x = features.sample(jax.random.key(0), 200_000)
    errors = np.asarray(
        per_sample(_model(*(a.astype(np.float32) for a in (W[None], b))), x, features.importance, "x")
    )
    assert abs(errors.mean() - value) <= 5 * errors.std() / np.sqrt(len(errors))
    with pytest.raises(
        ValueError, match=r"supports of 2 active features with HalfNormal values .* no closed form"
    ):
        Population(features, method="enumeration")(model)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_law_of_values_that_lacks_a_member_is_refused(member):
    lacking = type("Lacking", (), {name: np.sqrt for name in ("quantile", *MEMBERS) if name != member})()
    with pytest.raises(
        ValueError, match=f"^exact losses need a law of values with {member}, which Lacking lacks"
    ):
        Population(Independent(0.1, value=lacking, n_features=2))(_model(np.ones((1, 2)), np.zeros(2)))


class Pairs(eqx.Module):
    """A law of features of one's own, of which exact losses know what they ask for."""

    set_density: jax.Array
    importance: jax.Array
    value = Uniform()
    sizes = (2, 2)
    n_features = 4
    together = False


def test_features_of_ones_own_have_the_loss_of_what_they_say():
    model, like = _model(*_weights(4, 1)), Anticorrelated((0.3, 0.1), (2, 2))
    pairs = Pairs(like.set_density, like.importance)
    assert Population(pairs)(model) == Population(like)(model)
    assert Active(pairs, 1)(model) == Active(like, 1)(model)


@pytest.mark.parametrize("member", ["set_density", "sizes", "together", "value"])
def test_features_that_lack_a_member_are_refused(member):
    said = {
        "set_density": double([0.1]),
        "sizes": (2,),
        "together": True,
        "value": Uniform(),
        "n_features": 2,
    }
    lacking = type("Lacking", (), {name: what for name, what in said.items() if name != member})()
    with pytest.raises(
        ValueError, match=f"^exact losses are not known for Lacking features, which have no {member};"
    ):
        Population(lacking)(_model(np.ones((1, 2)), np.zeros(2)))


@pytest.mark.parametrize("cls", [Correlated, pytest.param(Anticorrelated, marks=pytest.mark.slow)])
def test_the_slope_by_a_density_is_what_the_set_adds(cls):
    # A loss is a line in each density.
    model, density = _model(*_weights(4, 1)), np.array([0.3, 0.1])
    series = jax.jit(jax.grad(lambda p: Population(cls(p, (2, 2)), method="characteristic")(model)))
    ends = [[np.where(np.arange(2) == s, p, density) for p in (1.0, 0.0)] for s in range(2)]
    added = [np.subtract(*(Population(cls(p, (2, 2)))(model) for p in pair)) for pair in ends]
    np.testing.assert_allclose(series(double(density)), added, rtol=1e-7)


@pytest.mark.parametrize("make", [Independent, lambda density: Correlated(density, (2, 1))])
def test_the_slope_of_an_enumeration_by_a_density_is_what_the_set_adds(make):
    model, density = _model(*_weights(3, 1)), np.array([0.3, 1.0, 0.0] if make is Independent else [0.3, 0.2])

    def loss(density):
        return Population(make(density))(model)

    for s in range(len(density)):
        one, none = (loss(np.where(np.arange(len(density)) == s, p, density)) for p in (1.0, 0.0))
        np.testing.assert_allclose(jax.grad(loss)(double(density))[s], float(one) - float(none), rtol=1e-10)


def test_a_factor_of_zero_can_be_divided_out():
    # At s = i pi a binary feature of gain 1 and density 1/2 has E[exp(s x)] = 0.
    world = exact.World(double([0.5, 0.4]), Binary(), (1, 1), True, "x")
    s = jax.lax.complex(double([0.0]), double([np.pi]))
    one = jnp.ones_like(s)

    def series(gains):
        return exact._sum(
            exact._harmonic,
            world,
            jnp.int32(1),
            (double(np.pi), double([1.0])),
            s,
            (one, one),
            gains,
            double(0.2),
        )

    def by_hand(gains):
        turn = np.exp(1j * np.pi * np.array([*gains, 0.2]))
        return (turn[2] * (0.5 + 0.5 * turn[0]) * (0.6 + 0.8 * turn[1])).real

    gains, step = np.array([1.0, 0.3]), 1e-6 * np.eye(2)
    np.testing.assert_allclose(series(double(gains)), by_hand(gains), atol=1e-15)
    expected = [(by_hand(gains + row) - by_hand(gains - row)) / 2e-6 for row in step]
    np.testing.assert_allclose(jax.jit(jax.grad(series))(double(gains)), expected, rtol=1e-8, atol=1e-12)


def test_phases_are_right_to_rounding():
    random = np.random.default_rng(0)
    angle = random.uniform(-1, 1, 1000) * 10.0 ** random.uniform(-8, 2, 1000)
    k = np.array([1.0, 2.0, 511.0, 8191.0])
    cos, sin = jax.jit(lambda: phases(double(angle), double(k)))()
    np.testing.assert_allclose(cos, np.cos(np.outer(angle, k)), atol=4e-16)
    np.testing.assert_allclose(sin, np.sin(np.outer(angle, k)), atol=4e-16)
    near = np.abs(np.outer(angle, k)) < 0.7
    np.testing.assert_allclose(np.asarray(sin)[near], np.sin(np.outer(angle, k))[near], rtol=4e-16)


@pytest.mark.parametrize(
    ("features", "most"),
    [
        (Independent(0.1, n_features=5), 3300),
        (Independent(0.1, n_features=100), 3600),
        (Correlated(0.1, (3, 3)), 3600),
    ],
    ids=["5", "100", "sets"],
)
def test_a_loss_with_its_gradient_is_a_small_program(features, most):
    # XLA takes 1 to 2 ms for each line: benchmarks/compiling.py.
    model = ReluOutput.init(features.n_features, 2, key=jax.random.key(0))
    loss = jax.jit(jax.value_and_grad(lambda model: Population(features)(model)))
    assert loss.lower(model).as_text().count("\n") <= most


@pytest.mark.parametrize(
    ("features", "bias"),
    [
        (Independent(0.1, n_features=3), -1e8),
        (Independent(0.1, n_features=15, value=Uniform(0, 1e-4)), -1e3),
        (Anticorrelated([1.0, 0.4], (4, 1), value=Uniform(0, 1e-6)), -3.0),
        (Correlated(0.3, (2, 2), value=Uniform(-1, 1)), -1e4),
    ],
)
def test_outputs_that_are_never_positive_cost_just_their_targets(features, bias):
    n = features.n_features
    model = _model(np.full((2, n), 0.1), np.full(n, bias))
    expected = (np.asarray(features.density) * features.value.square).sum()
    loss, error = Population(features).with_error(model)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    assert 0 < error < 1e-12 * expected
    if not isinstance(features, Anticorrelated):
        slope = jax.grad(lambda model: Population(features)(model))(model)
        assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("value", ["gaussian", "uniform"])
def test_the_stated_error_knows_of_rounding_where_large_biases_cancel(value):
    # The kink can be reached, if hardly ever, so that no output is certain to be 0.
    law, n = VALUES[value], 3
    for bias in (-1e3, -1e5):
        gain = -bias / (40 if value == "gaussian" else 1 - 1e-12)
        model = Untied(np.eye(3), np.full(n, bias), np.eye(n) * gain)
        loss, error = Population(Independent(0.1, n_features=n, value=law)).with_error(model)
        assert abs(float(loss) - 0.1 * n * law.square) <= float(error)


def test_sets_of_many_uniform_features_are_one_closed_form():
    # 13! and more are no 32-bit numbers.
    model, features = _model(*_weights(12, 0)), Correlated(0.3, (12,), _importance(12, 1))
    exact = Population(features)(model)
    np.testing.assert_allclose(exact, Population(features, method="characteristic")(model), rtol=1e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(exact, Population(features)(model), rtol=1e-12)
