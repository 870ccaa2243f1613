"""What losses are made of: samples and strata, data, penalties, activations; and what is refused."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import model_of, population, random_weights

from superpose import theory
from superpose.features import Anticorrelated, Correlated, Empirical, Independent
from superpose.losses import (
    Active,
    Population,
    SameSamples,
    Sampled,
    mean_activation,
    mean_error,
)
from superpose.models import Linear, ReluHidden, ReluOutput
from superpose.train import minimize
from superpose.values import Exponential, Gaussian, Uniform, double


def test_linear_population_in_closed_form():
    # E[(x - A x - c)^2] from the mean p/2 and the variance p/3 - p^2/4.
    W, b = random_weights(5, 3)
    p, importance = np.array([1.0, 0.5, 0.1, 0.01, 0.0]), np.arange(1.0, 6.0)
    B = np.eye(5) - W.T @ W
    expected = importance @ ((B @ (p / 2) - b) ** 2 + B**2 @ (p / 3 - p**2 / 4))
    exact = population(model_of(W, b, Linear), Independent(p, importance))
    np.testing.assert_allclose(exact, expected, rtol=1e-12)


def test_antipodal_pair_costs_what_theory_says():
    exact = population(model_of([[1.0, -1.0]], [0, 0]), Independent(0.1, [1.0, 0.5]))
    np.testing.assert_allclose(exact, theory.antipodal_cost(0.1, 1.0, 0.5), rtol=1e-14)


def test_population_is_linear_in_importance():
    W, b = random_weights(5, 1)
    model = model_of(W, b)
    each = [float(population(model, Independent(0.1, row))) for row in np.eye(5)]
    importance = np.array([3.0, 0.0, 0.5, 1.0, 20.0])
    np.testing.assert_allclose(population(model, Independent(0.1, importance)), importance @ each, rtol=1e-13)


def test_population_of_data_is_the_mean_over_rows():
    rng = np.random.default_rng(0)
    data = rng.uniform(size=(5000, 5)) * (rng.uniform(size=(5000, 5)) < 0.4)  # two blocks of 4096
    data = data.astype(np.float32)
    W, b = random_weights(5, 0)
    importance = np.array([1.0, 0.5, 2.0, 0.0, 0.1])
    error = (data - np.maximum(data @ W.T @ W + b, 0)) ** 2
    exact = population(model_of(W, b), Empirical(data, importance))
    np.testing.assert_allclose(exact, (error @ importance).mean(), rtol=1e-12)


def test_population_of_data_is_exact_for_any_model():
    data = np.random.default_rng(0).normal(size=(50, 3))
    model = ReluHidden.init(3, 5, key=jax.random.key(0), activation="gelu")
    x = data.astype(np.float32)
    expected = ((x - jax.vmap(model)(x)) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(population(model, Empirical(data)), expected, rtol=1e-5)


def test_mean_error_by_hand():
    model = model_of(np.array([[1.0, -1.0]], np.float32), np.zeros(2, np.float32))
    x = jnp.array([[0.5, 0.0], [0.5, 0.25], [0.0, 1.0]])  # only the second row is wrong: 0.25 and 0.25 short
    assert float(mean_error(model, x)) == pytest.approx(2 * 0.25**2 / 3, rel=1e-6)
    assert float(mean_error(model, x, jnp.array([1.0, 3.0]))) == pytest.approx(4 * 0.25**2 / 3, rel=1e-6)
    weight = jnp.array([1.0, 6.0, 1.0])
    assert float(mean_error(model, x, 1.0, weight)) == pytest.approx(2 * 0.25**2 * 6 / 8, rel=1e-6)


def test_sampled_weight_counts_samples_in_proportion():
    model = model_of(*random_weights(5, 0, np.float32))
    features, key = Independent(0.5, n_features=5), jax.random.key(0)
    x = features.sample(key, 256)
    expected = mean_error(model, x, 1.0, x.sum(axis=1))
    np.testing.assert_allclose(Sampled(features, 256, jnp.sum)(model, key), expected, rtol=1e-5)


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
    model = model_of(np.random.default_rng(0).normal(size=(2, n)), np.linspace(-0.2, 0.3, n))
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
    world, model = WORLDS[1], model_of(np.ones((1, 3)), np.zeros(3))
    keys = jax.random.split(jax.random.key(0), 2000)
    deviations = [
        np.std(jax.jit(jax.vmap(lambda key, loss=loss: loss(model, key)))(keys))
        for loss in (Sampled(world, 256), Sampled(world, 256, stratified=True))
    ]
    # By the square root of the chance that any is active or more; within 10%, for 2000 draws.
    assert deviations[1] <= 1.1 * np.sqrt(float(world.any_active)) * deviations[0]


def test_stratified_features_that_are_never_active_give_the_loss_of_zeros():
    model = model_of(np.ones((1, 3)), np.array([0.5, -1.0, 0.0]))
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


class Pairs(eqx.Module):
    """A law of features of one's own, of which exact losses know what they ask for."""

    set_density: jax.Array
    importance: jax.Array
    value = Uniform()
    sizes = (2, 2)
    n_features = 4
    together = False


def test_features_of_ones_own_have_the_loss_of_what_they_say():
    model, like = model_of(*random_weights(4, 1)), Anticorrelated((0.3, 0.1), (2, 2))
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
        Population(lacking)(model_of(np.ones((1, 2)), np.zeros(2)))


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
