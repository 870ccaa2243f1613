import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose.models import Linear, Mixture, ReluHidden, ReluOutput, Untied, activations
from superpose.train import ensemble

MODELS = (Linear, ReluOutput, ReluHidden, Untied)


def _random(cls, key, **choices):
    """A 6-in-3 model with biases that are not 0, and a sample."""
    model_key, bias_key, x_key = jax.random.split(key, 3)
    model = cls.init(6, 3, key=model_key, **choices)
    model = eqx.tree_at(lambda m: m.b, model, 0.3 * jax.random.normal(bias_key, (6,)))
    return model, jax.random.uniform(x_key, (6,))


@pytest.mark.parametrize("cls", MODELS)
def test_one_sample_in_one_sample_out(cls):
    model = cls.init(6, 3, key=jax.random.key(0))
    assert model.W.shape == (3, 6)
    assert model.b.shape == (6,)
    assert model.encode(jnp.ones(6)).shape == (3,)
    assert model(jnp.ones(6)).shape == (6,)


@pytest.mark.parametrize("cls", MODELS)
def test_biases_start_at_zero(cls):
    model = cls.init(6, 3, key=jax.random.key(0), hidden_bias=True)
    assert not model.b.any()
    assert not model.hidden_bias.any()


@pytest.mark.parametrize("cls", [Linear, ReluOutput, ReluHidden])
def test_tied_models_read_out_with_the_transpose(cls):
    model = cls.init(6, 3, key=jax.random.key(0))
    assert model.W_out is None
    assert np.array_equal(model.readout, model.W.T)


def test_untied_model_has_output_weights_of_its_own():
    model = Untied.init(6, 3, key=jax.random.key(0))
    assert model.W_out.shape == (6, 3)
    assert np.array_equal(model.readout, model.W_out)
    assert np.abs(model.W_out - model.W.T).min() > 1e-6  # not a copy: all entries differ


def test_outputs_follow_the_formulas():
    key = jax.random.key(1)
    for cls, hidden, output in (
        (Linear, lambda z: z, lambda z: z),
        (ReluOutput, lambda z: z, lambda z: np.maximum(z, 0)),
        (ReluHidden, lambda z: np.maximum(z, 0), lambda z: np.maximum(z, 0)),
        (Untied, lambda z: z, lambda z: np.maximum(z, 0)),
    ):
        model, x = _random(cls, key)
        expected = output(np.asarray(model.readout) @ hidden(np.asarray(model.W) @ np.asarray(x)) + model.b)
        np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_hidden_bias_shifts_the_hidden_layer():
    model, x = _random(ReluOutput, jax.random.key(2), hidden_bias=True)
    shifted = eqx.tree_at(lambda m: m.hidden_bias, model, jnp.array([1.0, -2.0, 3.0]))
    np.testing.assert_allclose(shifted.encode(x) - model.encode(x), [1.0, -2.0, 3.0], rtol=1e-5)
    assert ReluOutput.init(6, 3, key=jax.random.key(0)).hidden_bias is None


@pytest.mark.parametrize(
    ("name", "at_minus_one", "at_two"),
    [
        ("identity", -1.0, 2.0),
        ("relu", 0.0, 2.0),
        ("gelu", -0.158808, 1.954598),  # the tanh form
        ("silu", -0.268941, 1.761594),
        ("elu", -0.632121, 2.0),
        ("softplus", 0.313262, 2.126928),
        ("sigmoid", 0.268941, 0.880797),
        ("tanh", -0.761594, 0.964028),
        ("abs", 1.0, 2.0),
    ],
)
def test_activation_by_name(name, at_minus_one, at_two):
    model = ReluOutput.init(2, 1, key=jax.random.key(0), activation=name, hidden_activation="tanh")
    model = eqx.tree_at(lambda m: (m.W, m.b), model, (jnp.zeros((1, 2)), jnp.array([-1.0, 2.0])))
    np.testing.assert_allclose(model(jnp.ones(2)), [at_minus_one, at_two], atol=1e-5)


def test_every_activation_has_a_known_value():
    (mark,) = test_activation_by_name.pytestmark
    assert {case[0] for case in mark.args[1]} == set(activations)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"unknown activation 'rleu'; known are identity, relu"):
        ReluOutput.init(5, 2, key=jax.random.key(0), activation="rleu")
    with pytest.raises(ValueError, match="unknown activation 'x'"):
        ReluOutput.init(5, 2, key=jax.random.key(0), hidden_activation="x")


@pytest.mark.parametrize("cls", [Linear, ReluOutput, Untied])
def test_more_linear_hidden_dimensions_than_features_are_refused(cls):
    with pytest.raises(ValueError, match=r"5 linear hidden dimensions for 2 features"):
        cls.init(2, 5, key=jax.random.key(0))
    assert cls.init(2, 2, key=jax.random.key(0)).W.shape == (2, 2)


def test_more_hidden_units_than_features_are_allowed():
    assert ReluHidden.init(2, 5, key=jax.random.key(0)).W.shape == (5, 2)
    assert Untied.init(2, 5, key=jax.random.key(0), hidden_activation="relu").W.shape == (5, 2)


@pytest.mark.parametrize("sizes", [(0, 1), (5, 0), (-1, 1)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="at least one feature and one hidden dimension"):
        ReluOutput.init(*sizes, key=jax.random.key(0))


@pytest.mark.parametrize("members", [1, 4000])
@pytest.mark.parametrize(("n", "m", "scale"), [(5, 2, 1.0), (20, 4, 0.5)])
def test_initial_std_is_that_of_one_model(members, n, m, scale):
    # Mean within 5 standard errors of 0, std within 5 of scale * sqrt(2 / (n + m)).
    if members == 1:
        n, m = 20 * n, 20 * m  # enough weights in one model to tell
    models = ensemble(
        lambda key: Untied.init(n, m, key=key, scale=scale), members=members, key=jax.random.key(3)
    )
    std = scale * np.sqrt(2 / (n + m))
    for weights in (models.W, models.W_out):
        weights = np.asarray(weights, np.float64)
        assert abs(weights.mean()) <= 5 * std / np.sqrt(weights.size)
        assert abs(weights.std() - std) <= 5 * std / np.sqrt(2 * weights.size)


def test_input_and_output_weights_are_drawn_independently():
    models = ensemble(lambda key: Untied.init(5, 2, key=key), members=2000, key=jax.random.key(4))
    a, b = np.asarray(models.W).swapaxes(1, 2).ravel(), np.asarray(models.W_out).ravel()
    assert abs(np.corrcoef(a, b)[0, 1]) <= 5 / np.sqrt(a.size)  # 5 standard errors


@pytest.mark.parametrize("cls", [Linear, ReluOutput, Untied])
def test_preactivation_gives_the_same_output(cls):
    model, x = _random(cls, jax.random.key(5), hidden_bias=True)
    model = eqx.tree_at(lambda m: m.hidden_bias, model, jnp.array([0.5, -0.2, 0.1]))
    A, c = model.preactivation()
    np.testing.assert_allclose(activations[model.activation](A @ x + c), model(x), rtol=1e-5, atol=1e-6)


def test_preactivation_of_a_hidden_relu_is_refused():
    with pytest.raises(ValueError, match=r"linear hidden layer.*relu.*losses\.Sampled"):
        ReluHidden.init(6, 3, key=jax.random.key(0)).preactivation()


@pytest.mark.parametrize("cls", [Linear, ReluOutput])
def test_rotating_a_linear_hidden_layer_changes_nothing(cls):
    model, x = _random(cls, jax.random.key(6))
    turned = eqx.tree_at(lambda m: m.W, model, jnp.asarray(_orthogonal(7), jnp.float32) @ model.W)
    np.testing.assert_allclose(turned(x), model(x), rtol=1e-5, atol=1e-6)


def test_rotating_a_hidden_relu_layer_changes_the_output():
    model, x = _random(ReluHidden, jax.random.key(6))
    turned = eqx.tree_at(lambda m: m.W, model, jnp.asarray(_orthogonal(7), jnp.float32) @ model.W)
    assert np.abs(turned(x) - model(x)).max() > 0.05


def _mixture(experts, active, n_hidden=2, n_features=6):
    return Mixture.init(n_features, n_hidden, experts=experts, active=active, key=jax.random.key(7))


def test_a_mixture_uses_the_experts_that_respond_most():
    model, x = _mixture(experts=5, active=2, n_hidden=6), jax.random.uniform(jax.random.key(8), (6,))
    parts = np.asarray(model.W @ x).reshape(5, 3)
    kept = np.argsort(-np.linalg.norm(parts, axis=1))[:2]
    expected = np.where(np.isin(np.arange(5), kept)[:, None], parts, 0).ravel()
    np.testing.assert_allclose(model.encode(x), expected, rtol=1e-5)
    np.testing.assert_allclose(model(x), np.maximum(model.W.T @ expected + model.b, 0), rtol=1e-5, atol=1e-6)
    assert model.W.shape == (15, 6)


def test_a_mixture_of_which_all_experts_are_active_is_a_relu_output_model():
    mixture, x = _mixture(experts=3, active=3, n_hidden=3), jnp.arange(6.0)
    same = ReluOutput.init(6, 3, key=jax.random.key(0))
    same = eqx.tree_at(lambda model: model.W, same, mixture.W)
    np.testing.assert_allclose(mixture(x), same(x), rtol=1e-6)
    np.testing.assert_allclose(mixture.preactivation()[0], same.preactivation()[0])


def test_experts_with_a_feature_each_make_no_error_as_long_as_enough_of_them_are_active():
    model = eqx.tree_at(lambda model: model.W, _mixture(experts=6, active=2), jnp.eye(6))
    x = jnp.array([0.0, 0.5, 0.0, 0.0, 0.9, 0.0])
    np.testing.assert_allclose(model(x), x)
    np.testing.assert_allclose(model(x.at[0].set(0.1)), x)  # a third one is lost, the smallest


def test_turning_an_expert_changes_nothing_and_turning_all_together_does():
    model, x = _mixture(experts=2, active=1, n_hidden=3), jax.random.uniform(jax.random.key(9), (6,))
    own = np.kron(np.eye(2), _orthogonal(7))
    turned = eqx.tree_at(lambda model: model.W, model, jnp.asarray(own, jnp.float32) @ model.W)
    np.testing.assert_allclose(turned(x), model(x), rtol=1e-5, atol=1e-6)
    mixed = np.linalg.qr(np.random.default_rng(8).normal(size=(6, 6)))[0]
    turned = eqx.tree_at(lambda model: model.W, model, jnp.asarray(mixed, jnp.float32) @ model.W)
    assert np.abs(turned(x) - model(x)).max() > 0.01


@pytest.mark.parametrize(
    ("experts", "active", "n_hidden"), [(0, 1, 2), (2, 3, 6), (3, 2, 3), (2, 0, 2), (2, 1, 0)]
)
def test_mixtures_that_cannot_be_are_refused(experts, active, n_hidden):
    with pytest.raises(ValueError, match="a mixture needs at least one"):
        _mixture(experts, active, n_hidden)


def test_preactivation_of_a_mixture_is_refused():
    with pytest.raises(ValueError, match=r"linear hidden layer.*mixture.*losses\.Sampled"):
        _mixture(experts=2, active=1).preactivation()


def _orthogonal(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
