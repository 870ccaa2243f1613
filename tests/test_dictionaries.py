"""Autoencoders: what each method computes, and that many side by side are each the same alone."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superpose.dictionaries import (
    PCA,
    Activations,
    Autoencoder,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    Reconstruction,
    Relu,
    TopK,
    fit_each,
    scores,
    worlds,
)
from superpose.dictionaries._autoencoders import _drawn_by, _kth_largest, _least_of, _revived
from superpose.features import Empirical, Independent
from superpose.models import ReluHidden, ReluOutput
from superpose.train import member_keys

KEY = jax.random.key(0)
METHODS = [
    Relu(penalty=0.1),
    TopK(k=2),
    BatchTopK(k=2),
    JumpReLU(penalty=0.01),
    Gated(penalty=0.1),
    Matryoshka(k=2),
]
"""Each is put through what all autoencoders must do: that is all the test that a new one needs."""


def _quick(method, **settings):
    return type(method)(getattr(method, method.knob), steps=30, batch=32, **settings)


def _named(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda method: type(method).__name__)


def _model(W):
    return ReluOutput(jnp.asarray(W, jnp.float32), jnp.zeros(W.shape[1]))


def _sae(method=METHODS[0], n_latents=7):
    """An autoencoder with weights of no special kind."""
    sae = Autoencoder.init(3, n_latents, method, key=KEY)
    rng = np.random.default_rng(0)
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    moved = [
        getattr(sae, name) + 0.3 * rng.normal(size=getattr(sae, name).shape).astype(np.float32)
        for name in names
    ]
    return eqx.tree_at(lambda sae: [getattr(sae, name) for name in names], sae, moved)


def _world(n_hidden=4, n_features=8):
    W = np.random.default_rng(1).normal(size=(n_hidden, n_features)).astype(np.float32)
    return Activations(W / np.linalg.norm(W, axis=0), Independent(0.2, n_features=n_features))


def test_formula():
    sae, h = _sae(), np.random.default_rng(1).normal(size=3)
    z = np.maximum(np.asarray(sae.W_enc) @ (h - sae.b_dec) + sae.b_enc, 0)
    D = np.asarray(sae.W_dec) / np.linalg.norm(sae.W_dec, axis=0)
    np.testing.assert_allclose(sae.encode(jnp.asarray(h)), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sae(jnp.asarray(h)), D @ z + sae.b_dec, rtol=1e-5, atol=1e-6)


def test_length_of_decoder_weights_does_not_matter_unless_it_is_free():
    sae, h = _sae(), jnp.array([1.0, -2.0, 0.5])
    longer = eqx.tree_at(lambda sae: sae.W_dec, sae, 5 * sae.W_dec)
    np.testing.assert_allclose(longer(h), sae(h), rtol=1e-5)
    free = _sae(Relu(penalty=0.1, unit=False))
    longer = eqx.tree_at(lambda sae: sae.W_dec, free, 5 * free.W_dec)
    np.testing.assert_allclose(longer(h) - free.b_dec, 5 * (free(h) - free.b_dec), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(longer.directions, axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("cls", [ReluOutput, ReluHidden])
def test_loss_is_the_mean_over_samples_of_error_and_penalty(cls):
    model, world, sae = (
        cls.init(6, 3, key=jax.random.key(2)),
        Independent(0.3, n_features=6),
        _sae(Relu(penalty=0.2)),
    )
    loss = Reconstruction(Activations(model, world, active=True), batch=50)
    h = jax.vmap(model.encode)(world.sample_active(KEY, 50))
    np.testing.assert_allclose(loss.activations.sample(KEY, 50), h, rtol=1e-6)
    z = jax.vmap(sae.encode)(h)
    expected = ((h - jax.vmap(sae)(h)) ** 2).sum(axis=1) + 0.2 * z.sum(axis=1)
    np.testing.assert_allclose(loss(sae, KEY), expected.mean(), rtol=1e-5)


def test_pairs_are_the_truth_of_the_same_samples():
    model = ReluOutput.init(6, 3, key=KEY, hidden_bias=True)
    activations = Activations(model, Independent(0.3, n_features=6))
    x, h = activations.pairs(KEY, 20)
    np.testing.assert_allclose(h, jax.vmap(model.encode)(x), rtol=1e-6)
    np.testing.assert_allclose(activations.sample(KEY, 20), h)


def test_noise_has_the_standard_deviation_that_is_given():
    quiet = _world()
    loud = Activations(quiet.model, quiet.features, noise=0.3)
    noise = np.asarray(loud.sample(KEY, 20_000) - quiet.sample(KEY, 20_000))
    error = 0.3 / np.sqrt(2 * noise.size)
    assert abs(noise.std() - 0.3) < 5 * error
    assert abs(noise.mean()) < 5 * 0.3 / np.sqrt(noise.size)


@_named(METHODS)
def test_a_method_makes_the_loss_smaller(method):
    activations = _world()
    start = Autoencoder.init(4, 8, method, key=KEY)
    sae = type(method)(getattr(method, method.knob), steps=300, batch=64, rate=0.01).fit(
        activations, 8, key=KEY
    )
    loss = Reconstruction(activations, batch=2000)
    assert loss(sae, KEY) < 0.9 * loss(start, KEY)
    np.testing.assert_allclose(np.linalg.norm(sae.W_dec, axis=0), 1, rtol=1e-5)


@_named(METHODS)
def test_trained_alone_it_is_the_same_as_among_others(method):
    activations = _world()
    methods = [
        eqx.tree_at(lambda m: getattr(m, m.knob), _quick(method), jnp.float32(knob)) for knob in (1, 2, 1)
    ]
    keys = member_keys(KEY, 3)
    among = fit_each(methods, activations, 8, key=keys, progress=False)
    alone = methods[1].fit(activations, 8, key=keys[1])
    for left, right in zip(jax.tree.leaves(among[1]), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(among[0].W_dec, among[2].W_dec)  # another key


def test_each_may_have_activations_of_its_own():
    laws = [_world(), Activations(jnp.eye(4)[:, [0, 1, 2, 3, 0, 1, 2, 3]], Independent(0.2, n_features=8))]
    both = fit_each([_quick(METHODS[1])] * 2, laws, 8, key=KEY, progress=False)
    for law, sae in zip(laws, both, strict=True):
        np.testing.assert_array_equal(_quick(METHODS[1]).fit(law, 8, key=KEY).W_dec, sae.W_dec)


@_named(METHODS)
def test_knobs_are_no_parameters(method):
    sae = _quick(method).fit(_world(), 8, key=KEY)
    assert getattr(sae.method, method.knob) == getattr(method, method.knob)


def test_the_kth_largest_is_that_of_a_sort():
    u = np.random.default_rng(0).normal(size=(9, 20)).astype(np.float32)
    for k in (1, 4, 9):
        np.testing.assert_array_equal(_kth_largest(u, jnp.float32(k)), np.sort(u, axis=0)[-k])


def test_a_level_is_found_that_n_entries_of_a_batch_reach():
    z = np.maximum(np.random.default_rng(0).normal(size=(9, 20)), 0).astype(np.float32)
    for n in (1, 30, 50):
        assert (z >= _least_of(z, jnp.float32(n))).sum() == n
    assert _least_of(z, jnp.float32(170)) <= z[z > 0].min()  # fewer are above 0
    equal = np.repeat(np.float32([0, 1, 2]), 4)[None]
    assert (equal >= _least_of(equal, jnp.float32(6))).sum() == 8
    assert _least_of(0 * z, jnp.float32(3)) == 0


def test_top_k_keeps_the_k_largest_and_no_negative_ones():
    sae = _sae(TopK(k=3))
    for h in np.random.default_rng(5).normal(size=(10, 3)).astype(np.float32):
        u = np.asarray(sae.preactivation(jnp.asarray(h[:, None])))[:, 0]
        expected = np.where(u >= np.sort(u)[-3], np.maximum(u, 0), 0)
        np.testing.assert_allclose(sae.encode(h), expected, rtol=1e-6)


def test_batch_top_k_keeps_k_a_sample_on_average_and_then_those_above_its_threshold():
    sae = _sae(BatchTopK(k=2))
    u = sae.preactivation(jnp.asarray(np.random.default_rng(6).normal(size=(3, 50)), jnp.float32))
    assert int((sae.method.codes(u, sae.own, training=True) > 0).sum()) == 100
    sae = eqx.tree_at(lambda sae: sae.own["threshold"], sae, jnp.float32(0.7))
    h = jnp.array([1.0, -2.0, 0.5])
    u = sae.preactivation(h[:, None])[:, 0]
    np.testing.assert_allclose(sae.encode(h), np.where(u >= 0.7, u, 0))


def test_batch_top_k_keeps_about_as_many_when_it_is_used_as_in_training():
    sae = BatchTopK(k=2, steps=1500, batch=128).fit(_world(), 8, key=KEY)
    z = jax.vmap(sae.encode)(_world().sample(1, 4000))
    assert (
        abs((z > 0).sum(axis=1).mean() - 2) < 0.3
    )  # k itself cannot be exceeded in training; fewer may be above 0


def test_a_matryoshka_error_is_the_mean_of_those_of_nested_prefixes():
    sae = _sae(Matryoshka(k=2, prefixes=2))
    h, z = np.ones((3, 2), np.float32), np.random.default_rng(0).uniform(size=(7, 2)).astype(np.float32)
    D, b = np.asarray(sae.directions), np.asarray(sae.b_dec)[:, None]
    expected = np.mean([((h - D[:, :end] @ z[:end] - b) ** 2).sum(axis=0) for end in (3, 7)], axis=0)
    np.testing.assert_allclose(sae.method.error(sae, h, z)[0], expected, rtol=1e-5)


def test_a_jump_passes_what_is_above_its_threshold_whole():
    sae = _sae(JumpReLU(penalty=0.1))
    h = jnp.array([1.0, -2.0, 0.5])
    u = sae.preactivation(h[:, None])[:, 0]
    np.testing.assert_allclose(sae.encode(h), np.where(u > 0.1, u, 0), rtol=1e-6)


def test_gradients_reach_thresholds_through_a_rectangle():
    # With many preactivations around it, the mean of z^2 / 2 changes with the threshold by -threshold^2 density.
    method, sae = JumpReLU(penalty=0.0, width=0.2), _sae(JumpReLU(penalty=0.0, width=0.2))
    u = jnp.asarray(np.linspace(0, 1, 7 * 1000).reshape(1000, 7).T, jnp.float32)

    def square(own):
        return (method.codes(u, own) ** 2 / 2).mean()

    slope = jax.grad(square)(sae.own)["log_threshold"].sum()
    np.testing.assert_allclose(slope, -(0.1**2) * 0.1, rtol=0.35)


def test_a_gate_of_gain_1_without_shift_is_a_relu():
    sae, h = _sae(Gated(penalty=0.1)), jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(sae.encode(h), jax.nn.relu(sae.preactivation(h[:, None])[:, 0]))


@_named(METHODS)
def test_a_tied_encoder_reads_along_its_directions(method):
    sae = _quick(method, tied=True).fit(_world(), 8, key=KEY)
    assert sae.W_enc is None
    h = jnp.ones((4, 1))
    expected = sae.directions.T @ (h - sae.b_dec[:, None]) + sae.b_enc[:, None]
    np.testing.assert_allclose(sae.preactivation(h), expected, rtol=1e-5, atol=1e-6)


def test_what_is_frozen_stays_as_it_was_drawn():
    for part, names in (("decoder", ["W_dec"]), ("encoder", ["W_enc"])):
        method = Relu(penalty=0.1, steps=50, batch=32, **{part: "frozen"})
        sae = method.fit(_world(), 8, key=KEY)
        start = Relu(penalty=0.1, steps=1, batch=32, rate=1e-9).fit(_world(), 8, key=KEY)
        for name in names:
            np.testing.assert_allclose(getattr(sae, name), getattr(start, name), atol=1e-6)


def test_autoencoders_may_start_along_directions_that_are_given():
    D = jax.random.normal(KEY, (4, 8))
    unit, same = D / jnp.linalg.norm(D, axis=0, keepdims=True), {"steps": 50, "batch": 32}
    for part, kept in (("decoder", lambda sae: sae.directions), ("encoder", lambda sae: sae.W_enc.T)):
        method = Relu(penalty=0.1, **{part: "frozen"}, **same)
        (sae,) = fit_each([method], _world(), 8, key=KEY, along=D)
        np.testing.assert_allclose(kept(sae), unit if part == "decoder" else D, atol=1e-6)
    (near,) = fit_each([Relu(penalty=0.3, decoder="near", **same)], _world(), 8, key=KEY, along=D)
    assert (near.directions * unit).sum(axis=0).min() > 0.8 - 1e-4


def test_a_decoder_that_is_near_its_start_stays_within_a_cosine_of_it():
    sae = Relu(penalty=0.3, steps=400, batch=64, rate=0.02, decoder="near").fit(_world(), 8, key=KEY)
    cosines = (sae.directions * sae.own["start"]).sum(axis=0)
    assert cosines.min() > 0.8 - 1e-4
    assert cosines.min() < 0.85  # some would go further


def test_dead_latents_are_revived():
    activations = _world()
    dead = {}
    for revive in (0, 50):
        method = TopK(k=1, steps=600, batch=64, rate=0.01, revive=revive)
        sae = method.fit(activations, 32, key=KEY)
        dead[revive] = float(scores.dead(jax.vmap(sae.encode)(activations.sample(1, 4000))))
    assert dead[50] < dead[0]


def test_latents_that_carry_little_are_pointed_at_what_is_reconstructed_worst():
    sae = dataclasses.replace(_sae(), carried=jnp.array([1.0, 0.001, 1.0, 0.0, 1.0, 1.0, 0.5]))
    residual = jnp.zeros((3, 20)).at[1, 4].set(-0.7)  # one sample is wrong, along one axis
    after = _revived(sae, KEY, residual)
    idle = np.array([0, 1, 0, 1, 0, 0, 0], bool)
    np.testing.assert_allclose(after.W_dec[:, idle], np.array([[0, -1, 0]] * 2).T, atol=1e-6)
    np.testing.assert_array_equal(after.W_enc[idle], after.W_dec[:, idle].T)
    for name, places in (("W_dec", np.s_[:, ~idle]), ("W_enc", ~idle), ("b_enc", ~idle)):
        np.testing.assert_array_equal(getattr(after, name)[places], getattr(sae, name)[places])
    assert not after.carried.any()


def test_samples_are_drawn_with_chances_in_the_ratio_of_their_weights():
    n = 20_000
    drawn = np.bincount(_drawn_by(KEY, jnp.array([1.0, 0.0, 3.0]), n), minlength=3)
    assert drawn[1] == 0
    assert abs(drawn[2] / n - 0.75) < 5 * np.sqrt(0.75 * 0.25 / n)


def test_every_leaf_is_an_array():
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves((Reconstruction(_world()), _sae())))


def test_rows_of_data_are_reconstructed_too():
    sae = _quick(METHODS[1]).fit(Empirical(np.eye(4)), 8, key=KEY)
    assert sae.directions.shape == (4, 8)


def test_the_dictionary_that_made_the_activations_explains_them():
    # Antipodal pairs: a latent each way along a unit, which only ever adds up what is not opposite.
    W = np.concatenate([np.eye(3), -np.eye(3)], axis=1).astype(np.float32)
    sae = Autoencoder.init(3, 6, Relu(penalty=0.0), key=KEY)
    sae = eqx.tree_at(lambda sae: (sae.W_enc, sae.W_dec), sae, (jnp.asarray(W.T), jnp.asarray(W)))
    loss = Reconstruction(Activations(_model(W), Independent(0.1, n_features=6), active=True))
    assert loss(sae, KEY) < 1e-10


def test_autoencoders_find_the_features_of_a_model_in_superposition():
    turn = 2 * np.pi * np.arange(5) / 5
    W = np.array([np.cos(turn), np.sin(turn)])
    activations = Activations(_model(W), Independent(0.03, n_features=5), active=True)
    method = Relu(penalty=0.5, steps=600, batch=128, rate=0.01)
    saes = fit_each([method] * 5, activations, 10, key=member_keys(KEY, 5), progress=False)
    loss = Reconstruction(activations, batch=2000)
    best = min(saes, key=lambda sae: loss(sae, KEY))
    assert scores.recovery(best.directions, W).min() > 0.98


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Autoencoder.init(3, 0, METHODS[0], key=KEY), "at least one hidden dimension and one latent"),
        (lambda: Autoencoder.init(3, 3, "topk", key=KEY), "method must be that of an autoencoder"),
        (lambda: Relu(penalty=-1.0), "penalty must be 0 or more, and finite, got -1"),
        (lambda: TopK(k=0), "k must be 1 or more, and finite, got 0"),
        (lambda: TopK(k=1, steps=0), "steps and batch must be at least 1"),
        (lambda: TopK(k=1, rate=0.0), "rate must be above 0"),
        (lambda: TopK(k=1, decoder="ice"), "decoder must be one of learned, frozen, near"),
        (lambda: TopK(k=1, tied=True, encoder="frozen"), "frozen as a whole"),
        (lambda: Reconstruction(_world(), batch=0), "batch must be at least 1"),
        (lambda: Reconstruction(np.eye(3)), "activations must have sample"),
        (
            lambda: Activations(np.eye(3), Independent(0.1, n_features=4)),
            "the model has 3 features and the law 4",
        ),
        (
            lambda: Activations(np.eye(3), Independent(0.1, n_features=3), noise=-1.0),
            "noise must be 0 or more",
        ),
        (
            lambda: Activations(np.eye(3), Empirical(np.eye(3)), active=True),
            "active needs a law that draws active",
        ),
        (
            lambda: fit_each([TopK(k=1)], [_world()] * 2, 3, key=0),
            "activations must be one for all, or one for each",
        ),
        (lambda: fit_each([TopK(k=1)], _world(), 8, key=0, along=np.eye(3)), r"directions must be \(4, 8\)"),
        (lambda: fit_each([PCA()], _world(), 3, key=0, along=np.eye(3)), "along is where autoencoders start"),
        (lambda: fit_each(["Relu"], _world(), 3, key=0), "a method must have fit"),
        (lambda: fit_each([Relu], _world(), 3, key=0), "a method must have fit"),
        (lambda: fit_each({"L1": Relu(0.1)}, _world(), 3, key=0), "methods must be a list of methods"),
        (
            lambda: fit_each([TopK(k=1)], worlds.named("zipf"), 3, key=0),
            "activations must have sample.* got World",
        ),
        (lambda: TopK(k=1).fit("zipf", 3, key=0), "activations must have sample.* got str"),
        (lambda: Relu([0.1, 0.2]).fit(_world(), 3, key=0), "penalty must be one number, got shape"),
        (lambda: TopK(k=9).fit(_world(), 8, key=0), "k must be at most the 8 latents, got 9"),
        (lambda: Relu(np.inf), "penalty must be 0 or more, and finite, got inf"),
        (lambda: Gated(np.nan), "penalty must be 0 or more, and finite, got nan"),
        (lambda: TopK(k=2.5), "k must be a whole number, got 2.5"),
        (lambda: JumpReLU(0.1, width=0), "width must be above 0"),
        (lambda: Matryoshka(k=2, prefixes=0), "prefixes must be at least 1"),
        (lambda: Matryoshka(k=2, inner=np.nan), "inner must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()
