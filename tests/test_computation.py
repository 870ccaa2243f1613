import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from superpose import measures
from superpose.models import Untied
from superpose.papers.elhage2022 import absolute_value, asymmetric_motif

DENSITIES = absolute_value.DENSITIES


def _claims(experiment, data):
    return experiment.claims(experiment.measured(data))


def _draw(experiment, data, empty=0):
    return drawn(experiment.figure, experiment.measured(data), empty)


def _neurons(n_features, others, size):
    """Ten neurons, two for each of five features, of opposite signs; those with `others` read so many more."""
    W = np.zeros((10, n_features))
    for at in range(10):
        sign = -1 if at % 2 else 1
        W[at, at // 2] = sign
        W[at, at // 2 + 1 : at // 2 + 1 + others[at]] = sign * size
    return W


@pytest.fixture
def computed():
    """Large models as the paper has them, and a small one that is exact."""
    n, half = 20, [0] * 5 + [6] * 5
    rows = [
        ([0] * 10, 0),
        ([0] * 10, 0),
        ([1] * 10, 0.1),
        ([2] * 10, 0.3),
        (half, 0.4),
        ([6] * 10, 0.5),
        ([10] * 10, 0.5),
    ]
    W = np.stack([_neurons(n, others, size) for others, size in rows])
    importance = 0.8 ** np.arange(n)
    small = np.repeat(np.eye(3), 2, axis=0) * np.tile([[2.0], [-0.5]], (3, 1))
    data = xr.Dataset(
        {
            "W": (("density", "member", "hidden", "feature"), W[:, None]),
            "W_out": (("density", "member", "feature", "hidden"), np.abs(W).swapaxes(1, 2)[:, None]),
            "loss": (("density", "member"), np.ones((7, 1))),
            "importance": ("feature", importance),
            "small_W": (("small_hidden", "small_feature"), small),
            "small_W_out": (
                ("small_feature", "small_hidden"),
                (np.abs(small) > 0).T / np.abs(small).max(axis=1),
            ),
            "small_b": ("small_feature", np.zeros(3)),
            "small_loss": 1e-6,
        },
        coords={"density": DENSITIES, "member": range(1)},
    )
    best = absolute_value.measured(data)
    return data.assign(
        loss=data.loss * best.apart / best.trained * [[1.2], [1.1], [1], [0.6], [0.5], [0.3], [0.2]]
    )


def _with(data, **values):
    return data.assign({name: data[name] * 0 + value for name, value in values.items()})


def _but(data, **scales):
    return data.assign({name: data[name] * scale for name, scale in scales.items()})


def _all_like(data, place):
    """The models of every density like those of one."""
    return data.assign(W=data.W * 0 + data.W[place], W_out=data.W_out * 0 + data.W_out[place])


def _mixed_up(data, name):
    changed = data.copy(deep=True)
    changed[name] = changed[name] * 0 + 0.7
    return changed


def _less_important(data):
    changed = data.copy(deep=True)
    changed.W[4, 0] = changed.W[4, 0].values[:, ::-1][::-1]
    return _with(changed, W_out=1)


WRONG = {
    "small-loss": lambda d: _with(d, small_loss=0.01),
    "small-mono": lambda d: _mixed_up(d, "small_W"),
    "small-signs": lambda d: d.assign(small_W=np.abs(d.small_W)),
    "small-gains": lambda d: _but(d, small_W_out=2),
    "better-than-nothing": lambda d: _but(d, loss=5),
    "dense-mono": lambda d: _all_like(d, 6),
    "dense-half": lambda d: d.assign(W=np.abs(d.W)),
    "more-features-each": lambda d: d.assign(W=d.W[::-1].assign_coords(density=DENSITIES)),
    "sparsest-poly": lambda d: _all_like(d, 0),
    "mixed": lambda d: _all_like(d, 0),
    "mixed-important": _less_important,
    "one-large": lambda d: d.assign(W=d.W.where(d.W == 0, np.sign(d.W))),
    "sparse-better": lambda d: _but(d, loss=5),
    "all-work": lambda d: d.assign(W=d.W * xr.DataArray(np.arange(10) > 0, dims="hidden")),
}


def test_claims_hold_for_models_as_in_the_paper(computed):
    found = _claims(absolute_value, computed)
    assert {claim.id for claim in found} == set(WRONG)
    assert [claim.id for claim in found if not claim.holds] == []


@pytest.mark.parametrize("name", WRONG)
def test_each_claim_can_fail(computed, name):
    claim = next(claim for claim in _claims(absolute_value, WRONG[name](computed)) if claim.id == name)
    assert not claim.holds


def test_models_without_weights_compute_nothing(computed):
    empty = _but(computed, W=0, W_out=0, small_W=0, small_W_out=0)
    losses = {"small-loss", "better-than-nothing", "sparse-better"}
    assert {claim.id for claim in _claims(absolute_value, empty) if claim.holds} <= losses


def test_figure_draws(computed):
    assert {"$x_0$", "$|x_0|$"} <= _draw(absolute_value, computed)


def test_figure_draws_models_with_idle_neurons(computed):
    assert {"$x_0$", "$|x_0|$"} <= _draw(absolute_value, _but(computed, W=0, W_out=0))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="n_hidden"):
        absolute_value.Config(n_features=5, n_hidden=11)
    with pytest.raises(ValueError, match="decay"):
        absolute_value.Config(decay=0)
    with pytest.raises(ValueError, match="members"):
        asymmetric_motif.Config(members=0)


def _trained(place):
    W, W_out = (np.zeros(shape) for shape in ((10, 6), (6, 10)))
    for start, (a, b) in place.items():
        W[start : start + 4, [a, b]], W_out[[a, b], start : start + 4] = asymmetric_motif.PAIR["inhibited"]
    return W, W_out


@pytest.fixture
def motifs():
    """A model with two motifs, built by hand, and one without."""
    members = [_trained({0: (2, 3), 4: (4, 5)}), _trained({})]
    line = np.linspace(-1, 1, 41)
    apart = asymmetric_motif.APART
    found = [
        (at, *row) for at, (W, W_out) in enumerate(members) for row in measures.asymmetric_motifs(W, W_out)
    ]
    return xr.Dataset(
        {
            "W": (("member", "hidden", "feature"), np.stack([W for W, _ in members])),
            "W_out": (("member", "feature", "hidden"), np.stack([W_out for _, W_out in members])),
            "b": (("member", "feature"), np.zeros((2, 6))),
            "loss": ("member", np.array([0.5, 2]) * apart),
            "motif": (("found", "part"), np.array(found)),
            "loss_with": ("found", np.ones(2)),
            "loss_without": ("found", np.full(2, 5.0)),
            "input": ("x", line),
            "circuit": (("kind", "alone", "x", "output"), asymmetric_motif._circuits(line)),
        },
        coords={
            "member": range(2),
            "part": ["member", "neuron", "inhibitor", "A", "B"],
            "kind": list(asymmetric_motif.PAIR),
            "alone": ["A", "B"],
        },
    )


def _one_more(data):
    """The second motif is in the second model."""
    changed = data.copy(deep=True)
    changed.motif[1, 0] = 1
    return changed


WRONG_MOTIFS = {
    "found": lambda d: d.isel(found=slice(0)),
    "not-all": _one_more,
    "two": lambda d: d.isel(found=slice(1)),
    "disturbs": lambda d: _but(d, W_out=0.1),
    "inhibited": lambda d: d.assign(W_out=np.abs(d.W_out)),
    "barely-back": lambda d: d.assign(W_out=d.W_out * 2),
    "ablation": lambda d: _but(d, loss_without=0.25),
    "better": lambda d: _but(d, loss=3),
    "hand-symmetric": lambda d: _but(d, circuit=0.9),
    "hand-asymmetric": lambda d: _but(d, circuit=0.9),
    "hand-inhibited": lambda d: d.assign(circuit=d.circuit + 0.1),
}


def test_claims_hold_for_motifs_built_by_hand(motifs):
    found = _claims(asymmetric_motif, motifs)
    assert motifs.sizes["found"] == 2
    assert {claim.id for claim in found} == set(WRONG_MOTIFS)
    assert [claim.id for claim in found if not claim.holds] == []


@pytest.mark.parametrize("name", WRONG_MOTIFS)
def test_each_claim_about_motifs_can_fail(motifs, name):
    claim = next(c for c in _claims(asymmetric_motif, WRONG_MOTIFS[name](motifs)) if c.id == name)
    assert not claim.holds


def test_figures_of_motifs_draw(motifs):
    assert "50% of 2 models have the motif" in _draw(asymmetric_motif, motifs)
    assert "0 motifs" in _draw(asymmetric_motif, motifs.isel(found=slice(0)), empty=3)


def test_circuit_built_by_hand_is_exact_but_for_a_quarter():
    W, W_out = (jnp.array(weights, float) for weights in asymmetric_motif.PAIR["inhibited"])
    model = Untied(W, jnp.zeros(2), W_out, hidden_activation="relu")
    a, b = jnp.array([0.8, 0.0]), jnp.array([0.0, 0.8])
    np.testing.assert_allclose(model(a), [0.8, 0], atol=1e-6)
    np.testing.assert_allclose(model(-a), [0.8, 0], atol=1e-6)
    np.testing.assert_allclose(model(b), [0, 0.8], atol=1e-6)
    np.testing.assert_allclose(model(-b), [0.2, 0.8], atol=1e-6)


@pytest.mark.parametrize("kind", asymmetric_motif.PAIR)
def test_only_the_asymmetric_neuron_with_an_inhibitor_is_the_motif(kind):
    W, W_out = (np.array(weights, float) for weights in asymmetric_motif.PAIR[kind])
    found = measures.asymmetric_motifs(W, W_out).tolist()
    assert found == ([[0, 3, 0, 1]] if kind == "inhibited" else [])


def test_the_motif_does_not_depend_on_the_neurons_scales():
    W, W_out = (np.array(weights, float) for weights in asymmetric_motif.PAIR["inhibited"])
    scale = np.array([3.0, 1.0, 0.1, 7.0])
    found = measures.asymmetric_motifs(W * scale[:, None], W_out / scale)
    assert found.tolist() == measures.asymmetric_motifs(W, W_out).tolist()


def test_the_inhibitor_must_read_the_same_sign():
    W, W_out = (np.array(weights, float) for weights in asymmetric_motif.PAIR["inhibited"])
    W[3] *= -1
    assert measures.asymmetric_motifs(W, W_out).shape == (0, 4)


def test_participation_counts_equal_weights():
    W = np.zeros((4, 6))
    for neuron in range(4):
        W[neuron, :neuron] = -2.5
    np.testing.assert_allclose(measures.participation(W), [0, 1, 2, 3], rtol=1e-6)


def test_participation_is_between_1_and_the_number_of_features():
    W = np.random.default_rng(0).normal(size=(50, 7))
    found = np.asarray(measures.participation(W))
    assert 1 <= found.min() <= found.max() <= 7


def test_rescaled_models_are_the_same_function():
    model = Untied.init(7, 4, key=jax.random.key(0), hidden_activation="relu")
    W, W_out = measures.rescaled(model.W, model.W_out)
    other = Untied(W, model.b, W_out, hidden_activation="relu")
    x = jax.random.normal(jax.random.key(1), (20, 7))
    np.testing.assert_allclose(jnp.abs(W).max(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(model)(x), jax.vmap(other)(x), atol=1e-6)


def test_a_neuron_without_input_is_left_alone_by_rescaling():
    W, W_out = measures.rescaled(np.array([[0.0, 0.0], [0.5, 1.0]]), np.ones((2, 2)))
    assert W.tolist() == [[0, 0], [0.5, 1]]
    assert W_out.tolist() == [[0, 1], [0, 1]]
