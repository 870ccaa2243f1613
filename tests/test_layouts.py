"""Weights by the names, and along the axes, of other libraries, as far as that takes no PyTorch; tests/test_torch.py has the rest."""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import superpose.torch
from superpose import models, train
from superpose.dictionaries import (
    Autoencoder,
    BatchTopK,
    Dictionary,
    Gated,
    JumpReLU,
    Matryoshka,
    Relu,
    ReluStep,
    TopK,
)
from superpose.dictionaries._loaded import Loaded
from superpose.dictionaries._written import laid_out
from superpose.torch import _states, dictionary, model, save_dictionary
from superpose.torch._saes import config_in

SAVED = Path(__file__).parent / "saelens"
CLASSES = (models.Linear, models.ReluOutput, models.ReluHidden, models.Untied)
KEY = jax.random.key(0)
METHODS = {
    "relu": Relu(0.1),
    "tied": Relu(0.1, tied=True),
    "long": Relu(0.1, unit=False),
    "topk": TopK(3),
    "batchtopk": BatchTopK(3),
    "matryoshka": Matryoshka(3),
    "jumprelu": JumpReLU(0.1),
    "gated": Gated(0.1),
}


def trained(name, n_hidden=8, n_latents=12):
    """An autoencoder in which nothing is 0 that training makes something of."""
    rng = np.random.default_rng(0)
    sae = Autoencoder.init(n_hidden, n_latents, METHODS[name], key=0)
    own = {
        each: jnp.asarray(rng.normal(scale=0.3, size=values.shape), jnp.float32)
        for each, values in sae.own.items()
    }
    if "threshold" in own:
        own["threshold"] = jnp.float32(0.7)
    W_enc = None if sae.W_enc is None else sae.W_enc + rng.normal(scale=0.1, size=sae.W_enc.shape)
    lengths = rng.uniform(0.5, 2, n_latents)
    return dataclasses.replace(
        sae,
        W_enc=None if W_enc is None else jnp.asarray(W_enc, jnp.float32),
        W_dec=jnp.asarray(np.asarray(sae.W_dec) * lengths, jnp.float32),
        b_enc=jnp.asarray(rng.normal(scale=0.1, size=n_latents), jnp.float32),
        b_dec=jnp.asarray(rng.normal(scale=0.3, size=n_hidden), jnp.float32),
        own=own,
    )


def activations(n=200, n_hidden=8):
    return np.random.default_rng(1).normal(size=(n, n_hidden)).astype(np.float32)


def lengths_of(sae):
    return np.linalg.norm(np.asarray(sae.written_by), axis=0)


# Toy models.


@pytest.mark.parametrize("layout", ["notebook", "arena"])
@pytest.mark.parametrize("kind", CLASSES)
def test_weights_come_back_from_both_layouts_as_they_were(kind, layout):
    for activation in ("relu", "gelu"):
        init = lambda key: kind.init(5, 2, key=key, hidden_bias=True, activation=activation)  # noqa: B023, E731
        for given in (init(KEY), train.ensemble(init, members=3, key=KEY)):
            state = _states.state(given, layout)
            found = model(state, kind, layout=layout, activation=activation)
            assert type(found) is kind
            assert found.activation == activation
            for name in ("W", "b", "W_out", "hidden_bias"):
                own, back = getattr(given, name), getattr(found, name)
                assert (own is None) == (back is None)
                if own is not None:  # one model is one instance
                    np.testing.assert_array_equal(np.asarray(back).reshape(own.shape), own)


def test_each_layout_has_its_axes():
    given = train.ensemble(lambda key: models.Untied.init(5, 2, key=key), members=3, key=KEY)
    notebook, arena = (_states.state(given, layout) for layout in ("notebook", "arena"))
    assert {name: each.shape for name, each in notebook.items()} == {
        "W": (3, 5, 2),
        "b_final": (3, 5),
        "W_out": (3, 2, 5),
    }
    assert {name: each.shape for name, each in arena.items()} == {
        "W1": (3, 2, 5),
        "b_final": (3, 5),
        "W2": (3, 5, 2),
    }
    np.testing.assert_array_equal(arena["W1"], given.W)


def test_the_layout_is_guessed_by_the_number_of_biases_and_said(capsys):
    W, b = np.arange(30.0).reshape(3, 5, 2), np.zeros((3, 5))
    found = model({"W": W, "b_final": b})
    np.testing.assert_array_equal(found.W, np.swapaxes(W, 1, 2))
    assert "W (3, 5, 2) is (..., feature, hidden), the layout notebook" in capsys.readouterr().err
    np.testing.assert_array_equal(model({"W": found.W, "b_final": b}).W, found.W)
    assert "(..., hidden, feature), the layout arena" in capsys.readouterr().err
    # More hidden dimensions than features.
    assert model({"W": W, "b_final": np.zeros((3, 2))}, models.ReluHidden).W.shape == (3, 5, 2)
    assert "the layout arena" in capsys.readouterr().err
    # Without biases, the longer axis is that of features.
    for W in (np.ones((3, 5, 2)), np.ones((3, 2, 5))):
        assert model({"W": W}, models.Linear).W.shape == (3, 2, 5)
        assert "no biases" in capsys.readouterr().err
    assert model({"W": W, "b_final": b}, layout="arena").W.shape == (3, 2, 5)
    assert capsys.readouterr().err == ""


def test_names_may_have_a_prefix_and_what_is_not_used_is_named(capsys):
    state = {
        "module.W": np.ones((3, 5, 2)),
        "module.b_final": np.zeros((3, 5)),
        "module.importance": np.ones(5),
    }
    assert model(state).W.shape == (3, 2, 5)
    assert "not used: importance" in capsys.readouterr().err


def test_a_square_is_refused_unless_its_layout_is_said():
    W = np.arange(8.0).reshape(2, 2, 2)
    state = {"W": W, "b_final": np.zeros((2, 2))}
    with pytest.raises(
        ValueError, match=r"W \(2, 2, 2\) has as many hidden dimensions as features.*layout='notebook'"
    ) as error:
        model(state)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(model(state, layout="arena").W, W)
    np.testing.assert_array_equal(model(state, layout="notebook").W, np.swapaxes(W, 1, 2))


def test_untied_weights_of_arena_have_a_relu_between_them():
    state = {"W1": np.ones((3, 2, 5)), "W2": np.ones((3, 5, 2)), "b_final": np.zeros((3, 5))}
    found = model(state)
    assert (type(found), found.hidden_activation) == (models.Untied, "relu")
    assert model(state, models.Untied).hidden_activation == "identity"


@pytest.mark.parametrize(
    ("state", "settings", "said"),
    [
        ({"V": np.ones((2, 3))}, {}, "there is no W or W1 among V"),
        ({}, {}, "there is no W or W1 among nothing"),
        ({"W": np.ones(3)}, {}, "W must be"),
        ({"W": np.ones((2, 3)), "b_final": np.ones(4)}, {}, "biases of 4 features do not fit W"),
        ({"W": np.ones((7, 2, 3)), "b_final": np.ones((6, 3))}, {}, "b must have the shape"),
        ({"W": np.ones((2, 3)), "b_final": np.ones(3)}, {"kind": models.Untied}, "Untied has output weights of its own"),
        ({"W1": np.ones((2, 3)), "W2": np.ones((3, 2))}, {"kind": models.Linear}, "Linear has no output weights"),
        ({"W": np.ones((2, 3))}, {"layout": "rows"}, "layout must be guess or notebook or arena, got 'rows'"),
        ({"W": np.ones((2, 3))}, {"activation": "mine"}, "unknown activation 'mine'"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_in_a_line(state, settings, said):
    with pytest.raises(ValueError, match=said) as error:
        model(state, **settings)
    assert "\n" not in str(error.value)


# Dictionaries.


@pytest.mark.parametrize("name", METHODS)
def test_dictionaries_come_back_from_saelens_folders_with_the_same_codes(name, tmp_path):
    sae, h = trained(name), activations()
    save_dictionary(sae, tmp_path / name, "saelens")
    found = dictionary(tmp_path / name)
    z, back = (np.asarray(jax.vmap(each.encode)(h)) for each in (sae, found))
    assert 0 < (z > 0).mean() < 1
    np.testing.assert_allclose(back, z * lengths_of(sae), atol=2e-6)
    np.testing.assert_allclose(jax.vmap(found)(h), jax.vmap(sae)(h), atol=2e-6)
    # And once more, of what was read.
    save_dictionary(found, tmp_path / name, "saelens")
    np.testing.assert_allclose(jax.vmap(dictionary(tmp_path / name))(h), jax.vmap(sae)(h), atol=2e-6)


@pytest.mark.parametrize("name", METHODS)
def test_dictionaries_come_back_from_the_arrays_of_dictionary_learning(name):
    sae, h = trained(name), activations()
    arrays, config = laid_out(sae, "dictionary_learning")
    assert config["trainer"]["dict_class"] in (
        "AutoEncoder",
        "AutoEncoderTopK",
        "JumpReluAutoEncoder",
        "GatedAutoEncoder",
    )
    np.testing.assert_allclose(jax.vmap(dictionary(arrays))(h), jax.vmap(sae)(h), atol=2e-6)


@pytest.mark.parametrize("layout", ["saelens", "dictionary_learning"])
@pytest.mark.parametrize("kind", ["relu", "topk", "jumprelu", "gated"])
def test_whatever_is_taken_off_the_input_codes_stay(kind, layout):
    rng, h = np.random.default_rng(0), activations()
    more = (
        {"k": 3}
        if kind == "topk"
        else {name: rng.normal(size=12) for name in ("threshold", "r_mag", "b_mag")}
    )
    parts = [rng.normal(size=shape) for shape in ((8, 12), (8,), (12, 8), (12,), (8,))]
    for center in (parts[4], parts[1], np.zeros(8)):
        sae = Loaded(kind, *parts[:4], center, **more)
        arrays, config = laid_out(sae, layout)
        found = superpose.torch._saes.autoencoder(
            arrays, config if layout == "saelens" else {}, "guess", "guess"
        )[0]
        np.testing.assert_allclose(jax.vmap(found.encode)(h), jax.vmap(sae.encode)(h), atol=5e-5)


def test_what_saelens_saved_is_written_as_it_was(tmp_path):
    save_dictionary(dictionary(SAVED / "topk"), tmp_path / "topk", "saelens")
    theirs, ours = (
        json.loads((folder / "cfg.json").read_text()) for folder in (SAVED / "topk", tmp_path / "topk")
    )
    same = ("architecture", "d_in", "d_sae", "k", "dtype", "normalize_activations", "reshape_activations")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    h = np.load(SAVED / "topk.npz")
    found = dictionary(tmp_path / "topk")
    np.testing.assert_allclose(jax.vmap(found.encode)(h["h"]), h["z"], atol=1e-5)


def test_only_folders_of_ours_are_replaced(tmp_path):
    save_dictionary(trained("relu"), tmp_path / "sae", "saelens")
    save_dictionary(trained("topk"), tmp_path / "sae", "saelens")
    assert json.loads((tmp_path / "sae" / "cfg.json").read_text())["architecture"] == "topk"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cfg.json").write_text("{}")
    with pytest.raises(FileExistsError):
        save_dictionary(trained("relu"), tmp_path / "mine", "saelens")
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["cfg.json"]


def test_a_dictionary_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match="sae must be an autoencoder, with an encoder of its own, got Dictionary"
    ):
        save_dictionary(Dictionary(np.eye(2), 0.0, ReluStep(0.1)), tmp_path / "s", "saelens")
    with pytest.raises(ValueError, match="has no encoder that codes could be made by"):
        dictionary({"W_dec": np.eye(2)})
    with pytest.raises(ValueError, match="has no directions"):
        dictionary({"W": np.eye(2)})
    with pytest.raises(ValueError, match="layout must be saelens or dictionary_learning, got 'mine'"):
        save_dictionary(trained("relu"), tmp_path / "s", "mine")
    with pytest.raises(
        TypeError, match="source must be a module of PyTorch, a state dict or a path, got int"
    ):
        dictionary(3)


# Without PyTorch.


def test_without_pytorch_one_line_says_how_to_have_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "superpose.torch._module", raising=False)
    monkeypatch.delattr(superpose.torch, "_module", raising=False)
    pair = models.ReluOutput([[1, -1]], [0, 0])
    (tmp_path / "a.pt").write_bytes(b"")
    calls = (
        lambda: superpose.torch.module(pair),
        lambda: superpose.torch.state_dict(pair, "arena"),
        lambda: superpose.torch.arrays(tmp_path / "a.pt"),
        lambda: save_dictionary(trained("relu"), tmp_path / "d", "dictionary_learning"),
    )
    for call in calls:
        with pytest.raises(ImportError, match=r'needs PyTorch: pip install "superpose\[torch\]"') as error:
            call()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "said", ["{", "{}", '{"trainer": {"dict_class": "Unheard"}}', '{"trainer": {"dict_class": [1]}}']
)
def test_a_config_that_cannot_be_read_is_not_as_if_there_were_none(said, tmp_path):
    (tmp_path / "config.json").write_text(said)
    with pytest.raises(
        ValueError, match=r"config\.json names none of AutoEncoder, .* as trainer\.dict_class"
    ):
        config_in(tmp_path)
    (tmp_path / "config.json").unlink()
    assert config_in(tmp_path) == {}
