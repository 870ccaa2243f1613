import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from superpose import measures
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluHidden, ReluOutput
from superpose.papers.elhage2022 import hidden_bias
from superpose.papers.elhage2022 import privileged_basis as basis

DENSITIES = basis.DENSITIES


def _weights():
    """Five neurons with the codes that the paper describes, at each of the six densities."""
    W = np.zeros((6, 5, 10))
    W[0, range(5), range(5)] = 1
    W[1, range(3), range(3)] = 1
    W[1, 3:, 3:6] = [[1, 1, -1], [1, -1, 1]]
    W[2, range(2), range(2)] = 1
    W[2, 2:, 2:7] = [[1, 1, 0, 1, 0], [0, 1, 1, 0, -1], [0, 0, 1, 1, 1]]
    W[3, 0, 0] = 1
    W[3, 1, 1:7] = [-0.7, -0.7, -0.7, 0.8, 0.8, 0.8]
    W[3, 2:, 1:7] = [[0.7, 0.7, -1, 0.8, 0, 0], [0.7, -1, 0.7, 0, 0.8, 0], [-1, 0.7, 0.7, 0, 0, 0.8]]
    W[4, 0, 4:8] = 1
    for at in range(4):
        W[4, 1 + at, [i for i in range(4) if i != at] + [4 + at]] = 0.6
    for feature, pair in enumerate((a, b) for a in range(5) for b in range(a)):
        W[5, :, feature] = -2
        W[5, list(pair), feature] = 0.8
    return W


@pytest.fixture
def right():
    W = _weights()
    loss = basis.one_per_neuron(DENSITIES) * [1, 0.96, 0.85, 0.78, 0.6, 0.3]
    axes = {"density": DENSITIES, "member": range(4)}
    others = np.stack([W, 0 * W, W, 0 * W], axis=1)
    others[3, 1:3] = W[2], W[4]  # at density 0.12, with two and with no neurons of one feature
    return xr.Dataset(
        {
            "W": (("density", "member", "hidden", "feature"), others),
            "b": (("density", "member", "feature"), np.zeros((6, 4, 10))),
            "loss": (("density", "member"), np.stack([loss, 1.005 * loss, 1.005 * loss, 2 * loss], axis=1)),
            "first_loss": (("density", "start"), np.ones((6, 4))),
            "rotated": ("density", np.full(6, 0.8)),
        },
        coords=axes,
    )


@pytest.fixture
def right_biased():
    """Three kinds of hidden layer, of which the ReLU costs most, and a hidden bias makes it a linear one."""
    W = np.random.default_rng(0).normal(size=(3, 6, 5, 10))
    loss = np.array([0.5, 1, 0.5])[:, None] * basis.one_per_neuron(DENSITIES)
    return xr.Dataset(
        {
            "W": (("kind", "density", "hidden", "feature"), W),
            "loss": (("kind", "density"), loss),
            "positive": (("kind", "density"), np.repeat([[0.5], [0.5], [0.98]], 6, axis=1)),
            "rotated": ("density", np.full(6, 1e-7)),
        },
        {"kind": [hidden_bias.LINEAR, hidden_bias.RELU, hidden_bias.BIASED], "density": DENSITIES},
    )


def _set(data, **values):
    return data.assign({name: data[name] * 0 + value for name, value in values.items()})


def _but(data, **scales):
    return data.assign({name: data[name] * scale for name, scale in scales.items()})


def _at(data, place, W):
    changed = data.copy(deep=True)
    changed.W[place, 0] = W
    return changed


MIXED = np.ones((5, 10))
WRONG = {
    "relu-rotation": lambda d: _set(d, rotated=0.0),
    "dense-mono": lambda d: _at(d, 0, MIXED),
    "dense-loss": lambda d: _but(d, loss=1.1),
    "mono-falls": lambda d: _at(d, 4, np.eye(5, 10)),
    "features-rise": lambda d: _at(d, 4, np.eye(5, 10)),
    "mono-counts": lambda d: _at(d, 4, np.eye(5, 10)),
    "feature-counts": lambda d: _at(d, 5, np.eye(5, 10)),
    "mono-one": lambda d: _at(d, 3, MIXED),
    "both-kinds": lambda d: _at(d, 2, MIXED),
    "dedicated-important": lambda d: _at(d, 0, np.eye(5, 10)[:, ::-1]),
    "three-in-two": lambda d: _at(d, 1, np.abs(_weights()[1])),
    "two-of-three": lambda d: _at(d, 3, np.abs(_weights()[3])),
    "pairs": lambda d: _at(d, 5, np.abs(_weights()[5])),
    "better-codes": lambda d: d.assign(loss=d.loss[::-1].assign_coords(density=DENSITIES)),
}
WRONG_BIASED = {
    "linear-rotation": lambda d: _set(d, rotated=0.1),
    "bias-lifts": lambda d: _set(d, positive=0.5),
    "bias-linear": lambda d: d.assign(loss=d.loss * xr.DataArray([1, 1, 2], dims="kind")),
}


def _claims(data):
    return basis.claims(basis.measured(data))


def test_claims_hold_for_the_codes_of_the_paper(right):
    found = _claims(right)
    assert {claim.id for claim in found} == set(WRONG)
    assert [claim.id for claim in found if not claim.holds] == []


def test_claims_hold_for_a_bias_that_makes_the_layer_linear(right_biased):
    found = hidden_bias.claims(right_biased)
    assert {claim.id for claim in found} == set(WRONG_BIASED)
    assert [claim.id for claim in found if not claim.holds] == []


@pytest.mark.parametrize("name", WRONG)
def test_each_claim_can_fail(right, name):
    claim = next(claim for claim in _claims(WRONG[name](right)) if claim.id == name)
    assert not claim.holds


@pytest.mark.parametrize("name", WRONG_BIASED)
def test_each_claim_about_the_hidden_bias_can_fail(right_biased, name):
    claims = hidden_bias.claims(WRONG_BIASED[name](right_biased))
    assert [claim.id for claim in claims if not claim.holds] == [name]


def test_models_that_store_nothing_have_no_codes(right, right_biased):
    losses = {"dense-loss", "better-codes", "bias-linear"}
    found = [*_claims(_but(right, W=0)), *hidden_bias.claims(_but(right_biased, W=0))]
    assert {claim.id for claim in found if claim.holds} <= losses


def test_figures_draw(right, right_biased):
    assert "density (sparser →)" in drawn(basis.figure, basis.measured(right))
    assert "density 0.02\n0 features stored" in drawn(basis.figure, basis.measured(_but(right, W=0)))
    assert "ReLU hidden,\nwith a bias" in drawn(hidden_bias.figure, right_biased)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="finalists"):
        basis.Config(members=3, finalists=4)
    with pytest.raises(ValueError, match="steps"):
        basis.Config(steps=0)
    with pytest.raises(ValueError, match="members"):
        hidden_bias.Config(members=0)


def test_one_neuron_a_feature_costs_what_the_model_costs():
    bias = jnp.where(jnp.arange(10) < 5, 0, 0.35 / 2)
    model = ReluHidden(jnp.eye(5, 10), bias)
    loss = Sampled(Independent(0.35, basis.IMPORTANCE), batch=2**17)(model, jax.random.key(0))
    np.testing.assert_allclose(float(loss), basis.one_per_neuron(np.array([0.35]))[0], rtol=0.01)


def test_rotation_changes_a_model_with_a_relu_in_the_hidden_layer_only():
    turn = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0], jnp.float32)
    x = jax.random.uniform(jax.random.key(1), (50, 6))
    changes = []
    for kind in (ReluOutput, ReluHidden):
        model = kind.init(6, 3, key=jax.random.key(2))
        turned = kind(turn @ model.W, model.b)
        changes.append(float(jnp.abs(jax.vmap(model)(x) - jax.vmap(turned)(x)).max()))
    assert changes[0] < 1e-5 < 0.01 < changes[1]


def test_monosemantic_neurons_have_one_weight():
    W = np.array([[0.9, 0.1, -0.2], [0.0, 0.0, -3.0], [0.5, 0.0, -0.5], [0.1, 0.0, 0.0]])
    assert measures.monosemantic(W).tolist() == [True, True, False, False]
