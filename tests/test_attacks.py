import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose import measures
from superpose.attacks import Attacked, attacks
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import Linear, ReluHidden, ReluOutput, Untied


def _weights(n, seed):
    """Random weights in `n // 2` hidden dimensions, and biases."""
    rng = np.random.default_rng([n, seed])
    return rng.normal(size=(n // 2, n)) / np.sqrt(n), 0.2 * rng.normal(size=n)


@pytest.mark.parametrize("seed", range(3))
def test_no_direction_moves_an_output_more_than_its_attack(seed):
    model = ReluOutput(*_weights(6, seed))
    found = np.asarray(attacks(model))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    outputs = np.asarray(model.W.T @ model.W, float)
    moved = (outputs * found).sum(axis=1)
    others = np.random.default_rng(seed).normal(size=(6, 20_000))
    others = np.concatenate([others / np.linalg.norm(others, axis=0), found.T], axis=1)
    assert (moved >= (outputs @ others).max(axis=1) - 1e-6).all()
    assert (moved > 1.001 * outputs @ np.eye(6)).all()  # its own feature is not the best way in
    # By |W_i|^2 / sqrt(D_i).
    share = np.asarray(measures.dimensionality(model.W))
    np.testing.assert_allclose(moved, np.diag(outputs) / np.sqrt(share), rtol=1e-5)


def test_attacks_do_not_depend_on_rotation_or_scale_and_leave_ignored_features_alone():
    W, b = _weights(5, 1)
    W[:, 3] = 0
    turned = np.array([[0.6, -0.8], [0.8, 0.6]]) @ W
    found = np.asarray(attacks(ReluOutput(W, b)))
    assert not found[3].any()
    assert not found[:, 3].any()
    for same in (turned, 0.1 * W, -W):
        np.testing.assert_allclose(attacks(ReluOutput(same, b)), found, atol=1e-6)
    np.testing.assert_allclose(attacks(ReluOutput(np.eye(3), np.zeros(3))), np.eye(3), atol=1e-7)


def test_attacks_of_an_untied_model_are_those_of_what_it_computes():
    model = Untied.init(4, 2, key=jax.random.key(0), activation="identity")
    slopes = np.asarray(jax.jacobian(model)(jnp.zeros(4)))
    np.testing.assert_allclose(attacks(model), slopes / np.linalg.norm(slopes, axis=1)[:, None], rtol=1e-5)


WORLD = Independent(np.array([0.3, 0.5, 0.1, 0.8]), np.array([1.0, 0.5, 2.0, 1.0]))


@jax.jit  # to compile once
def _run(loss, model, key):
    return loss(model, key)


def _errors(model, key, budget, batch):
    """The error of each sample under each attack, one by one."""
    x = np.asarray(WORLD.sample(key, batch), float)
    changes = budget * np.linalg.norm(x, axis=1).mean() * np.asarray(attacks(model), float)
    importance, run = np.asarray(WORLD.importance), jax.jit(jax.vmap(model))
    moved = [np.asarray(run(jnp.asarray(x + change))) for change in (*changes, *-changes)]
    return (x - np.array(moved)) ** 2 @ importance


@pytest.mark.parametrize("cls", [Linear, ReluOutput, Untied])
def test_attacked_is_the_worst_of_all_attacks_one_by_one(cls):
    # No one attack is the worst for all samples of these models.
    model, key = cls.init(4, 2, key=jax.random.key(2), hidden_bias=True), jax.random.key(1)
    model = eqx.tree_at(lambda m: (m.b, m.hidden_bias), model, (jnp.full(4, 0.1), jnp.array([0.2, -0.1])))
    budget = 0.3
    errors = _errors(model, key, budget, 100)
    by = {
        choice: _run(Attacked(WORLD, budget, 100, choice), model, key)
        for choice in ("sample", "model", "random")
    }
    np.testing.assert_allclose(by["sample"], errors.max(axis=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(by["model"], errors.mean(axis=1).max(), rtol=1e-5)
    assert errors.min(axis=0).mean() < by["random"] < by["sample"]
    assert by["model"] < by["sample"]


def test_random_attacks_are_each_as_likely():
    model, key, n = ReluOutput.init(4, 2, key=jax.random.key(0)), jax.random.key(5), 20_000
    errors = _errors(model, key, 0.4, n)
    more = float(_run(Attacked(WORLD, 0.4, n, "random"), model, key)) - errors.mean()
    tolerance = 5 * np.sqrt(errors.var(axis=0).mean() / n)  # standard errors
    assert abs(more) <= tolerance
    assert tolerance < 0.1 * errors.mean(axis=1).std()  # another choice would be seen


@pytest.mark.parametrize("choice", ["sample", "model", "random"])
def test_an_attack_of_no_length_changes_nothing(choice):
    model, key = ReluOutput.init(4, 2, key=jax.random.key(0)), jax.random.key(1)
    found = _run(Attacked(WORLD, 0.0, 100, choice), model, key)
    np.testing.assert_allclose(found, _run(Sampled(WORLD, 100), model, key), rtol=1e-6)


@pytest.mark.parametrize("choice", ["sample", "model"])
def test_attacks_on_a_linear_model_do_more_harm_the_longer_they_are(choice):
    # Errors are convex in the change of the input, and an attack comes with its opposite.
    model, key = Linear.init(4, 2, key=jax.random.key(0)), jax.random.key(1)
    budgets = jnp.linspace(0.0, 1.0, 11)
    losses = jax.jit(jax.vmap(lambda budget: Attacked(WORLD, budget, 100, choice)(model, key)))(budgets)
    assert (np.diff(losses) > 0).all()
    assert losses[0] == pytest.approx(float(_run(Sampled(WORLD, 100), model, key)), rel=1e-6)


def test_attacks_on_features_with_dimensions_of_their_own_cost_the_square_of_their_length():
    # x' = x: a change by d in one feature is an error of d^2, whichever sample it is.
    world, key = Independent(0.5, n_features=3), jax.random.key(4)
    model = Linear(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    length = np.linalg.norm(np.asarray(world.sample(key, 200)), axis=1).mean()
    for choice in ("sample", "random"):
        found = _run(Attacked(world, 0.2, 200, choice), model, key)
        np.testing.assert_allclose(found, (0.2 * length) ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": -0.1}, r"^budget must not be negative, got -0\.1$"),
        ({"budget": 0.1, "batch": 0}, "^batch must be at least 1 sample, got 0$"),
        (
            {"budget": 0.1, "choice": "worst"},
            "^unknown choice 'worst' of an attack; known are sample, model and",
        ),
    ],
)
def test_attacks_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Attacked(WORLD, **settings)


def test_attacks_need_a_linear_hidden_layer_and_as_many_features():
    model, key = ReluHidden.init(4, 2, key=jax.random.key(0)), jax.random.key(1)
    for call in (attacks, lambda model: Attacked(WORLD, 0.1)(model, key)):
        with pytest.raises(ValueError, match=r"linear hidden layer.*relu"):
            call(model)
    with pytest.raises(ValueError, match="5 features and the data 4"):
        Attacked(WORLD, 0.1)(ReluOutput.init(5, 2, key=key), key)
