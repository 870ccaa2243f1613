import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from superpose.dictionaries import Reconstruction, SparseAutoencoder, firing, recovered
from superpose.features import Empirical, Independent
from superpose.models import ReluHidden, ReluOutput
from superpose.train import ensemble, fit, member

KEY = jax.random.key(0)


def _model(W):
    model = ReluOutput.init(W.shape[1], W.shape[0], key=KEY)
    return eqx.tree_at(lambda model: model.W, model, jnp.asarray(W, jnp.float32))


def _sae(n_latents=7):
    sae = SparseAutoencoder.init(3, n_latents, key=KEY)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), sae)


def test_formula():
    sae, h = _sae(), np.random.default_rng(1).normal(size=3)
    z = np.maximum(np.asarray(sae.W_enc) @ (h - sae.b_dec) + sae.b_enc, 0)
    D = np.asarray(sae.W_dec) / np.linalg.norm(sae.W_dec, axis=0)
    np.testing.assert_allclose(sae.encode(jnp.asarray(h)), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sae(jnp.asarray(h)), D @ z + sae.b_dec, rtol=1e-5, atol=1e-6)


def test_length_of_decoder_weights_does_not_matter():
    sae, h = _sae(), jnp.array([1.0, -2.0, 0.5])
    longer = eqx.tree_at(lambda sae: sae.W_dec, sae, 5 * sae.W_dec)
    np.testing.assert_allclose(longer(h), sae(h), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(sae.directions, axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("cls", [ReluOutput, ReluHidden])
def test_loss_is_the_mean_over_samples_of_error_and_penalty(cls):
    model, world, sae = cls.init(6, 3, key=jax.random.key(2)), Independent(0.3, n_features=6), _sae()
    loss = Reconstruction(model, world, penalty=0.2, batch=50)
    h = jax.vmap(model.encode)(world.sample_active(KEY, 50))
    np.testing.assert_allclose(loss.activations(KEY, 50), h, rtol=1e-6)
    z = jax.vmap(sae.encode)(h)
    expected = ((h - jax.vmap(sae)(h)) ** 2).sum(axis=1) + 0.2 * z.sum(axis=1)
    np.testing.assert_allclose(loss(sae, KEY), expected.mean(), rtol=1e-5)


def test_every_leaf_is_an_array_and_penalties_can_be_vmapped():
    model, world = ReluOutput.init(6, 3, key=KEY), Independent(0.3, n_features=6)
    loss = Reconstruction(model, world, penalty=0.2)
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves((loss, _sae())))
    penalties = jnp.array([0.0, 0.2, 0.4])
    losses = jax.vmap(lambda penalty: Reconstruction(model, world, penalty)(_sae(), KEY))(penalties)
    np.testing.assert_allclose(losses[1], loss(_sae(), KEY), rtol=1e-6)
    np.testing.assert_allclose(np.diff(losses)[0], np.diff(losses)[1], rtol=1e-3)  # linear in it


def test_rows_of_data_are_reconstructed_too():
    world = Empirical(np.array([[0.0, 2.0], [1.0, 0.0]]))
    loss = Reconstruction(_model(np.eye(2)), world, penalty=0.0, batch=20)
    rows = {tuple(row) for row in np.asarray(loss.activations(KEY, 20)).tolist()}
    assert rows == {(0.0, 2.0), (1.0, 0.0)}


def test_the_dictionary_that_made_the_activations_explains_them():
    # Antipodal pairs: a latent each way along a unit, which only ever adds up what is not opposite.
    W = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    sae = SparseAutoencoder(
        jnp.asarray(W.T, jnp.float32), jnp.zeros(6), jnp.asarray(W, jnp.float32), jnp.zeros(3)
    )
    loss = Reconstruction(_model(W), Independent(0.1, n_features=6), penalty=0.0)
    assert loss(sae, KEY) < 1e-10


def test_recovered_is_between_the_signs_and_blind_to_lengths():
    rng = np.random.default_rng(3)
    W, D = rng.normal(size=(4, 5)), rng.normal(size=(4, 9))
    found = recovered(W, D)
    assert ((found >= -1) & (found <= 1)).all()
    np.testing.assert_allclose(recovered(3 * W, 0.1 * D), found, rtol=1e-4)
    np.testing.assert_allclose(recovered(W, np.concatenate([D, W], axis=1)), 1, rtol=1e-5)
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    np.testing.assert_allclose(recovered(Q @ W, Q @ D), found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recovered(np.eye(4), -np.eye(4)), 0, atol=1e-6)
    assert recovered(np.array([[0.0], [0.0]]), np.eye(2)).tolist() == [0.0]


def test_firing_counts_samples():
    sae = _sae()
    h = np.random.default_rng(4).normal(size=(40, 3)).astype(np.float32)
    expected = (np.asarray(jax.vmap(sae.encode)(h)) > 0).mean(axis=0)
    np.testing.assert_allclose(firing(sae, h), expected, rtol=1e-6)


def test_autoencoders_find_the_features_of_a_model_in_superposition():
    turn = 2 * np.pi * np.arange(5) / 5
    W = np.array([np.cos(turn), np.sin(turn)])
    loss = Reconstruction(_model(W), Independent(0.03, n_features=5), penalty=0.5, batch=128)
    saes = ensemble(lambda key: SparseAutoencoder.init(2, 10, key=key), members=5, key=KEY)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, 600))
    trained = fit(saes, loss, steps=600, key=KEY, optimizer=optimizer)
    best = member(trained.models, int(trained.history[:, -1].argmin()))
    assert recovered(W, best.directions).min() > 0.98


def test_settings_that_make_no_sense_are_refused():
    model, world = ReluOutput.init(6, 3, key=KEY), Independent(0.3, n_features=6)
    with pytest.raises(ValueError, match="at least one hidden dimension and one latent"):
        SparseAutoencoder.init(3, 0, key=KEY)
    with pytest.raises(ValueError, match="penalty must be 0 or more, got -1"):
        Reconstruction(model, world, penalty=-1.0)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        Reconstruction(model, world, penalty=0.0, batch=0)
