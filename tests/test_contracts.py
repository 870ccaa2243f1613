"""Every model with every law of features and every loss goes through the same checks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose.features import (
    Anticorrelated,
    Copula,
    Correlated,
    Empirical,
    ExactlyK,
    Hierarchy,
    Independent,
    Scaled,
    Sum,
)
from superpose.losses import Active, Population, Sampled
from superpose.models import Linear, Mixture, ReluHidden, ReluOutput, Untied
from superpose.train import ensemble, member
from superpose.values import Exponential, Gaussian

MODELS = [Linear, ReluOutput, ReluHidden, Untied, Mixture]
IMPORTANCE = np.array([1.0, 0.0, 2.0])
FEATURES = [
    Independent(np.array([0.3, 0.1, 1.0]), IMPORTANCE),
    Correlated([0.3, 0.6], (2, 1), IMPORTANCE),
    Anticorrelated([0.3, 0.6], (2, 1), IMPORTANCE),
    Empirical(np.random.default_rng(0).normal(size=(20, 3)), IMPORTANCE),
    Hierarchy([0.6, 0.5, 0.7], (-1, 0, 0), IMPORTANCE, exclusive=False),
    Copula([0.3, 0.1, 0.8], [[0.5], [0.2], [-0.4]], IMPORTANCE),
    ExactlyK(2, IMPORTANCE),
]
LOSSES = [Sampled(features, 32) for features in FEATURES] + [
    Sampled(FEATURES[0], 32, penalty=0.3),
    Population(Independent(np.array([0.3, 0.1, 0.8]), IMPORTANCE)),
    Population(Correlated([0.3, 0.6], (2, 1), IMPORTANCE, Gaussian())),
    Population(Anticorrelated([0.3, 0.6], (2, 1), IMPORTANCE, Exponential()), "abs"),
    Population(FEATURES[3]),
    Population(FEATURES[4]),
    Population(Scaled(Sum(Independent(0.3, [1.0, 2.0]), Hierarchy([0.4], (-1,))), [1.0, 2.0, 0.5])),
    Active(FEATURES[2], 1),
]
KEY = jax.random.key(7)


def _needs_linear(loss):
    return not isinstance(loss, Sampled) and not isinstance(loss.features, Empirical)


def _twice(cls, loss):
    """Exact losses see of an untied model what they see of a tied one: the slow tests have all of them."""
    return cls is Untied and _needs_linear(loss) and not isinstance(loss.features, Correlated)


CASES = [
    pytest.param(
        cls,
        loss,
        marks=pytest.mark.slow if _twice(cls, loss) else (),
        id=f"{cls.__name__}-{type(loss).__name__}-{type(loss.features).__name__}",
    )
    for cls in MODELS
    for loss in LOSSES
    if not (cls in (ReluHidden, Mixture) and _needs_linear(loss))
]

both = jax.jit(jax.value_and_grad(lambda model, loss, key: loss(model, key)))
each = jax.jit(jax.vmap(lambda loss, model, key: loss(model, key), in_axes=(None, 0, None)))


def evaluate(loss, model, key):
    return both(model, loss, key)[0]


def _models(cls):
    """Two members, with biases that are not 0, in float64."""
    more = {"experts": 3, "active": 2} if cls is Mixture else {"hidden_bias": True}
    models = ensemble(lambda key: cls.init(3, 2, key=key, **more), members=2, key=jax.random.key(1))
    rng = np.random.default_rng(2)
    models = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + 0.1 * rng.normal(size=leaf.shape), jnp.float64), models
    )
    return eqx.tree_at(lambda m: m.b, models, models.b + 0.3)  # no output is silent on all samples


@pytest.mark.parametrize(("cls", "loss"), CASES)
def test_every_loss_of_every_model(cls, loss):
    models = _models(cls)
    model = member(models, 0)
    value = evaluate(loss, model, KEY)
    assert value.shape == ()
    assert np.isfinite(value)
    assert value > 0
    assert evaluate(loss, model, KEY) == value  # same key, same result
    other = evaluate(loss, model, jax.random.key(8))
    assert (other == value) == (not isinstance(loss, Sampled))  # exact ones ignore the key

    np.testing.assert_allclose(loss(model, KEY), value, rtol=1e-5)  # jit changes nothing
    together = each(loss, models, KEY)
    alone = [evaluate(loss, member(models, i), KEY) for i in range(2)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)  # vmap is a loop


@pytest.mark.parametrize(("cls", "loss"), CASES)
def test_every_gradient_is_the_finite_difference(cls, loss):
    # In a random direction. The models are float64 and so is the loss, but for float32 samples.
    model = member(_models(cls), 0)
    rng = np.random.default_rng(3)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float64), model)
    slope = both(model, loss, KEY)[1]
    along = sum(
        float((a * b).sum()) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True)
    )
    step = jnp.asarray(1e-6, jnp.float64)
    ahead, behind = (
        float(evaluate(loss, jax.tree.map(lambda a, d: a + sign * step * d, model, direction), KEY))  # noqa: B023
        for sign in (1, -1)
    )
    assert along != 0
    assert (ahead - behind) / 2e-6 == pytest.approx(along, rel=1e-4, abs=1e-6)
