"""The exact loss meets independent references, its own samples, other methods and finite differences."""

from itertools import pairwise, product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import Family, World, by_supports
from scipy.integrate import quad
from worlds import (
    CASES,
    DENSITIES,
    EACH,
    SETS,
    VALUES,
    law,
    model_of,
    per_sample,
    population,
    random_importance,
    random_weights,
    reference_loss,
)

from superpose import exact
from superpose.exact._terms import harmonic, summed
from superpose.features import (
    Anticorrelated,
    Copula,
    Correlated,
    ExactlyK,
    Hierarchy,
    Independent,
    Scaled,
    Sum,
)
from superpose.losses import (
    Active,
    Population,
    Sampled,
)
from superpose.models import Linear, ReluOutput, Untied
from superpose.values import Binary, Uniform, double

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
        model = model_of(*random_weights(n, seed))
        features = Independent(density, random_importance(n, seed))
        exact = population(model, features)
        assert exact.dtype == np.float64
        np.testing.assert_allclose(exact, reference_loss(model, features), rtol=SIZES[n])


@pytest.mark.parametrize("n", [2, 5, 20])
def test_population_of_a_float32_model_is_that_of_its_own_weights(n):
    model, features = model_of(*random_weights(n, 0, np.float32)), Independent(0.1, random_importance(n, 0))
    exact = population(model, features)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, reference_loss(model, features), rtol=1e-7)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_population_with_a_density_of_its_own_for_each_feature(n):
    rng = np.random.default_rng(n)
    density = 10 ** rng.uniform(-3, 0, n)
    density[:2] = 1.0, 0.0
    model, features = model_of(*random_weights(n, 1)), Independent(density, random_importance(n, 2))
    np.testing.assert_allclose(population(model, features), reference_loss(model, features), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("n", [5, 20, 50, 100])
def test_population_meets_the_reference_for_many_models(n, density):
    for seed in range(4, 24):
        model, features = model_of(*random_weights(n, seed)), Independent(density, random_importance(n, seed))
        np.testing.assert_allclose(population(model, features), reference_loss(model, features), rtol=1e-6)


@pytest.mark.parametrize("gains", [[[1, -1]], [[1, 1]], [[0, 0]], [[1, -1, 0]], [[1, 1e-9, -1]]])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.01])
def test_population_at_degenerate_weights(gains, density):
    n, gains = len(gains[0]), np.array(gains, float)
    for b in (np.zeros(n), np.full(n, 0.25)):
        model, features = model_of(gains, b), Independent(density, n_features=n)
        np.testing.assert_allclose(population(model, features), reference_loss(model, features), rtol=1e-12)


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
    model = model_of(*random_weights(n, 0, np.float32), cls)
    features = Independent(0.2, np.random.default_rng(0).uniform(0.1, 1, n))
    keys = jax.random.split(jax.random.key(0), 64)
    batches = jax.lax.map(lambda key: Sampled(features, 4096)(model, key), keys)
    batches = np.asarray(batches, np.float64)
    assert abs(batches.mean() - population(model, features)) <= 5 * batches.std(ddof=1) / np.sqrt(64)


@pytest.mark.slow
def test_population_does_not_depend_on_the_number_of_harmonics():
    for seed in range(4):
        model = model_of(*random_weights(20, seed))
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
        W, b = random_weights(4, seed)
        features = Independent(density, n_features=4)
        slope = gradient(model_of(W, b), features)
        expected = _finite_difference(W, b, features)
        scale = np.abs(expected[0]).max()
        np.testing.assert_allclose(slope.W, expected[0], rtol=1e-5, atol=1e-5 * scale)
        np.testing.assert_allclose(slope.b, expected[1], rtol=1e-5, atol=1e-5 * scale)


def _finite_difference(W, b, features, step=1e-5):
    both = np.concatenate([W.ravel(), b])
    moved = both + step * np.concatenate([np.eye(len(both)), -np.eye(len(both))])
    moved = moved[:, : W.size].reshape(-1, *W.shape), moved[:, W.size :]
    moved = tuple(jnp.asarray(a, jnp.float64) for a in moved)
    models = eqx.tree_at(lambda m: (m.W, m.b), model_of(W, b), moved)
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
        slope = gradient(model_of(W, b), features)
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
    model, features = model_of(W, np.zeros(4)), Independent(density, n_features=4)
    closed, series = gradient(model, features), gradient_of_the_series(model, features)
    np.testing.assert_allclose(series.W, closed.W, atol=1e-9)
    np.testing.assert_allclose(series.b, closed.b, atol=1e-9)


@pytest.mark.parametrize(("value", "sets", "target"), EACH)
def test_population_of_every_law_meets_the_reference(value, sets, target):
    model = model_of(*random_weights(3, 1))
    n_sets = len(law(sets, 0.1, 3, VALUES[value]).sizes)
    for density in (0.3, 0.001, (1.0, 0.0, 0.01)[:n_sets]):
        features = law(sets, density, 3, VALUES[value], random_importance(3, 0))
        exact = Population(features, target)(model)
        assert exact.dtype == np.float64
        rtol = 2e-9 if value == "exponential" else 1e-12 if target == "x" or value != "gaussian" else 1e-9
        np.testing.assert_allclose(exact, reference_loss(model, features, target), rtol=rtol)


@pytest.mark.parametrize(("value", "sets", "target"), EACH)
def test_population_of_every_law_is_the_mean_of_what_is_sampled(value, sets, target):
    # Within 5 standard errors.
    model = model_of(*random_weights(3, 1, np.float32))
    features = law(sets, 0.3, 3, VALUES[value], random_importance(3, 0))
    x = features.sample(jax.random.key(5), 200_000)
    errors = np.asarray(per_sample(model, x, features.importance, target), np.float64)
    exact = Population(features, target)(model)
    assert abs(errors.mean() - exact) <= 5 * errors.std(ddof=1) / np.sqrt(len(errors))
    np.testing.assert_allclose(
        Sampled(features, 200_000, target=target)(model, jax.random.key(5)), errors.mean(), rtol=1e-4
    )


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
        model = model_of(*random_weights(n, 0))
        features = law(sets, density, n, VALUES[value], random_importance(n, 3))
        exact = Population(features, target)(model)
        np.testing.assert_allclose(
            exact, reference_loss(model, features, target), rtol=2e-6 if value == "binary" else 1e-6
        )


@pytest.mark.parametrize(
    "activation", ["identity", *(pytest.param(f, marks=pytest.mark.slow) for f in ("abs", "tanh"))]
)
@pytest.mark.parametrize("value", VALUES)
def test_population_of_other_outputs_meets_the_reference(value, activation):
    if (value, activation) == ("gaussian", "tanh"):
        pytest.skip("takes gigabytes")
    for sets, target in (("independent", "x"), ("anticorrelated", "abs")):
        features = law(sets, 0.3, 4, VALUES[value], random_importance(4, 0))
        model = model_of(*random_weights(4, 1), activation=activation)
        exact = Population(features, target)(model)
        np.testing.assert_allclose(exact, reference_loss(model, features, target), rtol=1e-8)


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
    return _stack([model_of(W, b) for W, b in weights])


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
            moved.append(model_of(W + sign * step * _direction(W), b + sign * step * _direction(b)))
    models = jax.tree.map(lambda *a: jnp.concatenate(a), _degenerate_models(n), _stack(moved))
    models = eqx.tree_at(lambda m: (m.W, m.b), model_of(W, b, activation=activation), (models.W, models.b))
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


@pytest.mark.parametrize(("value", "sets", "target"), SUMS)
def test_the_terms_by_the_number_of_active_features_add_up(value, sets, target):
    model, n_sets = model_of(*random_weights(4, 1)), 4 if sets == "independent" else 3
    for density in (0.3, (1.0, 0.0, 0.001, 0.3)[:n_sets]):
        features = law(sets, density, 4, VALUES[value], random_importance(4, 0))
        terms = [Active(features, count, target) for count in range(n_sets + 1)]
        np.testing.assert_allclose(sum(term.chance for term in terms), 1, rtol=1e-14)
        total = sum(float(term.chance) * float(term(model)) for term in terms)
        np.testing.assert_allclose(total, Population(features, target)(model), rtol=1e-12)


def test_one_active_feature_costs_what_the_paper_integrates():
    # L_1 = sum_i int I_i (x - ReLU(|W_i|^2 x + b_i))^2 dx + sum_{i != j} int I_j ReLU(W_j . W_i x + b_j)^2 dx,
    # here divided by the number of features, each as likely.
    W, b = random_weights(5, 1)
    importance, A, total = random_importance(5, 0), W.T @ W, 0.0
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
    np.testing.assert_allclose(term(model_of(W, b)), total / 5, rtol=1e-8)


def test_at_most_one_active_feature_is_all_that_is_left_as_density_goes_to_0():
    model, left = model_of(*random_weights(5, 0)), []
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
            model = model_of(*random_weights(8, seed))
            rough = Population(features, method="characteristic", harmonics=64)
            exact, error = rough.with_error(model)
            assert abs(float(exact) - float(fine(model, features))) <= 2 * float(error)


@pytest.mark.parametrize("cls", [Correlated, pytest.param(Anticorrelated, marks=pytest.mark.slow)])
def test_the_slope_by_a_density_is_what_the_set_adds(cls):
    # A loss is a line in each density.
    model, density = model_of(*random_weights(4, 1)), np.array([0.3, 0.1])
    series = jax.jit(jax.grad(lambda p: Population(cls(p, (2, 2)), method="characteristic")(model)))
    ends = [[np.where(np.arange(2) == s, p, density) for p in (1.0, 0.0)] for s in range(2)]
    added = [np.subtract(*(Population(cls(p, (2, 2)))(model) for p in pair)) for pair in ends]
    np.testing.assert_allclose(series(double(density)), added, rtol=1e-7)


@pytest.mark.parametrize("make", [Independent, lambda density: Correlated(density, (2, 1))])
def test_the_slope_of_an_enumeration_by_a_density_is_what_the_set_adds(make):
    model, density = (
        model_of(*random_weights(3, 1)),
        np.array([0.3, 1.0, 0.0] if make is Independent else [0.3, 0.2]),
    )

    def loss(density):
        return Population(make(density))(model)

    for s in range(len(density)):
        one, none = (loss(np.where(np.arange(len(density)) == s, p, density)) for p in (1.0, 0.0))
        np.testing.assert_allclose(jax.grad(loss)(double(density))[s], float(one) - float(none), rtol=1e-10)


def test_a_factor_of_zero_can_be_divided_out():
    # At s = i pi a binary feature of gain 1 and density 1/2 has E[exp(s x)] = 0.
    world = exact.Sets(double([0.5, 0.4]), Binary(), (1, 1), True, "x")
    s = jax.lax.complex(double([0.0]), double([np.pi]))
    one = jnp.ones_like(s)

    def series(gains):
        return summed(
            harmonic,
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
    model = model_of(np.full((2, n), 0.1), np.full(n, bias))
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


FAMILY = (-1, 0, 0, 1, -1, 4)
CHANCE = np.array([0.5, 0.3, 0.6, 0.4, 0.2, 0.7])


@pytest.mark.parametrize("method", ["enumeration", "characteristic"])
@pytest.mark.parametrize(("exclusive", "value"), [(False, "uniform"), (True, "gaussian")])
def test_the_loss_of_a_hierarchy_meets_an_independent_reference(exclusive, value, method):
    n = {"uniform": 4, "gaussian": 6}[value]
    model, chance, family = model_of(*random_weights(n, 1)), CHANCE[:n], FAMILY[:n]
    features = Hierarchy(chance, family, random_importance(n, 1), VALUES[value], exclusive=exclusive)
    world = Family(
        tuple(chance), family, exclusive, {"uniform": ("uniform", 0, 1), "gaussian": ("gaussian", 0.8)}[value]
    )
    W, b = np.asarray(model.W), np.asarray(model.b)
    expected = by_supports(W.T @ W, b, np.asarray(features.importance), world)
    np.testing.assert_allclose(Population(features, method=method)(model), expected, rtol=1e-9)


@pytest.mark.parametrize("exclusive", [False, True])
def test_slopes_of_a_hierarchy_are_differences_also_where_features_are_ignored(exclusive):
    W, b = random_weights(6, 0)
    W[:, [0, 5]] = 0.0
    model, features = model_of(W, b), Hierarchy(CHANCE, FAMILY, exclusive=exclusive)
    turn = np.random.default_rng(1).normal(size=W.shape)

    def loss(step, chance, method):
        law = eqx.tree_at(lambda law: law.chance, features, chance)
        moved = eqx.tree_at(lambda m: m.W, model, double(W) + step * double(turn))
        return Population(law, method=method)(moved)

    both = {}
    for method in ("enumeration", "characteristic"):
        slopes = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
        both[method] = slopes(double(0.0), features.chance, method)
    ahead, behind = (float(loss(double(step), features.chance, "enumeration")) for step in (1e-6, -1e-6))
    assert (ahead - behind) / 2e-6 == pytest.approx(float(both["enumeration"][0]), rel=1e-7)
    for one, other in zip(both["enumeration"], both["characteristic"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_sets_as_trees_have_the_loss_of_sets():
    model = model_of(*random_weights(5, 1))
    for sets in (Correlated([0.3, 0.5], (2, 3)), Anticorrelated([0.3, 0.5], (2, 3))):
        np.testing.assert_allclose(Population(Sum(sets))(model), Population(sets)(model), rtol=1e-9)


def test_the_loss_of_a_sum_of_worlds_is_the_mean_of_what_is_sampled():
    # Within 5 standard errors.
    W, b = random_weights(16, 0, np.float32)
    family = Hierarchy(
        np.tile(CHANCE, 2), (*FAMILY, *(p + 6 if p >= 0 else p for p in FAMILY)), exclusive=True
    )
    features = Scaled(Sum(Independent(0.2, n_features=4), family), np.linspace(1, 2, 16))
    model = model_of(W, b)
    errors = np.asarray(per_sample(model, features.sample(0, 100_000), features.importance, "x"))
    loss, error = map(float, Population(features).with_error(model))
    assert abs(errors.mean() - loss) <= 5 * errors.std() / np.sqrt(len(errors))
    assert error < 1e-7 * loss


def test_laws_without_an_exact_loss_say_why():
    model = model_of(*random_weights(3, 0))
    for features, why in (
        (Copula(0.1, [[0.5]] * 3), "all features are correlated"),
        (ExactlyK(1, n_features=3), "the number of active features is fixed"),
        (Hierarchy([0.5] * 3, (-1, 0, 0), scaled=True), "values of parents multiply those of their children"),
        (Hierarchy([0.5] * 3, (-1, 0, 0), loadings=[[0.5]]), "all roots are correlated"),
        (
            Sum(Independent(0.1, n_features=2), Independent(0.1, value=Binary(), n_features=1)),
            "values of different laws",
        ),
    ):
        with pytest.raises(
            ValueError,
            match=f"^exact losses are not known for {type(features).__name__} features: .*{why}.*; use losses.Sampled$",
        ):
            Population(features)(model)
    with pytest.raises(ValueError, match="Scaled features need a relu, identity or abs output"):
        Population(Scaled(Independent(0.1, n_features=3), 2.0))(
            model_of(*random_weights(3, 0), activation="tanh")
        )
