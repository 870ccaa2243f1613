"""`superpose score` and `superpose world`: dictionaries of other libraries go in, numbers come out."""

import json
import os
import stat

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from superpose import memory
from superpose.cli import main
from superpose.dictionaries import Autoencoder, Relu, _files, worlds
from superpose.dictionaries._loaded import Loaded
from superpose.dictionaries._understood import understood

W = np.asarray(worlds.named("independent").activations.directions)
M, N = W.shape
RNG = np.random.default_rng(0)


def _sae(n=N, hidden=M):
    """An autoencoder as SAELens has it, with columns of any lengths: directions are the rows of W_dec."""
    D = RNG.normal(size=(n, hidden)).astype(np.float32)
    return {
        "W_dec": D,
        "W_enc": (D.T + 0.1 * RNG.normal(size=(hidden, n))).astype(np.float32),
        "b_enc": RNG.normal(size=n).astype(np.float32),
        "b_dec": RNG.normal(size=hidden).astype(np.float32),
    }


def _saelens(folder, arrays, **config):
    folder.mkdir()
    save_file(
        {name: np.ascontiguousarray(each) for name, each in arrays.items()},
        folder / "sae_weights.safetensors",
    )
    (folder / "cfg.json").write_text(json.dumps({"architecture": "standard", **config}))
    return folder


def _scores(capsys, *args):
    assert main(["score", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# What a file is taken for.


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"directions": W}, "128 directions, the columns of directions; no encoder"),
        ({"directions": W.T}, "128 directions, the rows of directions; no encoder"),
        ({"W_dec": W.T}, "128 directions, the rows of W_dec; no encoder"),
        ({"decoder.weight": W}, "128 directions, the columns of decoder.weight; no encoder"),
        ({"components_": W.T}, "128 directions, the rows of components_; no encoder"),
        ({"anything": W}, "128 directions, the columns of anything; no encoder"),
        (
            {"W_dec": W.T, "step": np.array(7)},
            "128 directions, the rows of W_dec; no encoder; not used: step",
        ),
        (
            {"model.sae.W_dec": W.T, "model.sae.b_dec": W[:, 0]},
            "128 directions, the rows of W_dec; no encoder",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_directions_are_found_by_name_and_shape(arrays, said, suffix, tmp_path):
    path = tmp_path / f"made.{suffix}"
    save = np.savez if suffix == "npz" else lambda path, **arrays: save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)  # fmt: skip
    save(path, **arrays)
    found = _files.dictionary(path, M)
    np.testing.assert_allclose(found.directions, W, rtol=1e-6)
    assert found.said == said
    assert found.autoencoder is None


def test_square_matrices_are_read_as_named_or_as_told():
    D = RNG.normal(size=(4, 4))
    for arrays, layout, expected, said in (
        ({"D": D}, "guess", D, "the columns of D (it is square: else --layout rows)"),
        ({"W_dec": D}, "guess", D.T, "the rows of W_dec (it is square: else --layout columns)"),
        ({"D": D}, "rows", D.T, "the rows of D;"),
        ({"W_dec": D}, "columns", D, "the columns of W_dec;"),
    ):
        found = understood(arrays, {}, 4, layout=layout)
        np.testing.assert_allclose(found.directions, expected, rtol=1e-6)
        assert said in found.said


@pytest.mark.parametrize("n_latents", [4, 7])
def test_an_autoencoder_of_ours_has_its_codes_in_a_file(n_latents):
    sae = Autoencoder.init(4, n_latents, Relu(0.1), key=0)
    sae = eqx.tree_at(lambda sae: (sae.W_enc, sae.b_enc, sae.b_dec), sae,
                      [RNG.normal(size=np.shape(each)) for each in (sae.W_enc, sae.b_enc, sae.b_dec)])  # fmt: skip
    arrays = {name: np.asarray(getattr(sae, name)) for name in ("W_dec", "W_enc", "b_dec", "b_enc")}
    h = RNG.normal(size=(20, 4)).astype(np.float32)
    found = understood(arrays, {}, 4, layout="columns" if n_latents == 4 else "guess").autoencoder
    np.testing.assert_allclose(jax.vmap(found.encode)(h), jax.vmap(sae.encode)(h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_numbers_of_every_precision_are_read(dtype, tmp_path):
    if dtype != ml_dtypes.bfloat16:
        np.save(tmp_path / "D.npy", W.astype(dtype))
        np.testing.assert_allclose(_files.dictionary(tmp_path / "D.npy", M).directions, W, atol=1e-2)
    save_file({"W_dec": np.ascontiguousarray(W.T.astype(dtype))}, tmp_path / "D.safetensors")
    np.testing.assert_allclose(_files.dictionary(tmp_path / "D.safetensors", M).directions, W, atol=1e-2)


def _by_formula(sae, h, kind, taken=True, **more):
    """Codes in units of directions of length 1."""
    read = (h - sae["b_dec"] * taken) @ sae["W_enc"]
    length = np.linalg.norm(sae["W_dec"], axis=1)
    p = read + sae.get("b_enc", 0) + sae.get("b_gate", 0)
    match kind:
        case "standard":
            z = np.maximum(p, 0)
        case "topk":
            scaled = p * length if more.get("rescaled") else p
            z = np.where(scaled >= np.sort(scaled, axis=1)[:, -more["k"]][:, None], np.maximum(p, 0), 0)
        case "jumprelu":
            z = np.where(p > sae["threshold"], np.maximum(p, 0), 0)
        case "gated":
            z = np.where(p > 0, np.maximum(np.exp(sae["r_mag"]) * read + sae["b_mag"], 0), 0)
    return z * length


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("kind", ["standard", "topk", "topk rescaled", "jumprelu", "gated", "batchtopk"])
def test_folders_of_saelens_have_their_own_codes(kind, taken, tmp_path):
    sae, config, more = _sae(12, 5), {"architecture": kind.split()[0], "apply_b_dec_to_input": taken}, {}
    config["normalize_activations"] = "none"
    if kind.startswith("topk"):
        more = {"k": 3, "rescaled": "rescaled" in kind}
        config |= {"k": 3, "rescale_acts_by_decoder_norm": more["rescaled"]}
    if kind == "jumprelu":
        sae["threshold"] = RNG.uniform(0, 2, size=12).astype(np.float32)
    if kind == "batchtopk":  # one threshold for all, in units of what the decoder writes
        sae["topk_threshold"] = np.array(1.5)
        config["rescale_acts_by_decoder_norm"] = True
    if kind == "gated":
        sae |= {name: RNG.normal(size=12).astype(np.float32) for name in ("b_gate", "b_mag", "r_mag")}
        del sae["b_enc"]
    found = _files.dictionary(_saelens(tmp_path / "sae", sae, **config), 5)
    h = RNG.normal(size=(40, 5)).astype(np.float32)
    if kind == "batchtopk":
        sae["threshold"] = 1.5 / np.linalg.norm(sae["W_dec"], axis=1)
    expected = _by_formula(sae, h, "jumprelu" if kind == "batchtopk" else kind.split()[0], taken, **more)
    np.testing.assert_allclose(jax.vmap(found.autoencoder.encode)(h), expected, rtol=1e-4, atol=1e-5)
    length = np.linalg.norm(sae["W_dec"], axis=1)
    reconstruction = expected / length @ sae["W_dec"] + sae["b_dec"]
    np.testing.assert_allclose(jax.vmap(found.autoencoder)(h), reconstruction, rtol=1e-4, atol=1e-4)
    assert ("the decoder's bias is taken" if taken else "nothing is taken") in found.said


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"normalize_activations": "layer_norm"}, "it normalizes activations (layer_norm)"),
        ({"architecture": "matching_pursuit"}, "architecture matching_pursuit"),
    ],
)
def test_an_encoder_that_is_not_understood_leaves_the_directions(config, why, tmp_path):
    found = _files.dictionary(_saelens(tmp_path / "sae", _sae(), **config), M)
    assert found.autoencoder is None
    assert f"its encoder is not understood: {why}" in found.said


def _torch(sae, bias="bias"):
    return {"encoder.weight": sae["W_enc"].T, "encoder.bias": sae["b_enc"], "decoder.weight": sae["W_dec"].T, bias: sae["b_dec"]}  # fmt: skip


@pytest.mark.parametrize(
    ("made", "kind", "taken", "more"),
    [
        (lambda sae: _torch(sae), "standard", True, {}),  # dictionary_learning
        (lambda sae: _torch(sae, "decoder.bias"), "standard", False, {}),  # two layers of PyTorch
        (lambda sae: {f"module.{name}": each for name, each in _torch(sae, "decoder.bias").items()}, "standard", False, {}),
        (lambda sae: _torch(sae, "pre_bias"), "standard", True, {}),
        (lambda sae: _torch(sae) | {"k": np.array(2)}, "topk", True, {"k": 2}),
        (lambda sae: _torch(sae) | {"k": np.array([2])}, "topk", True, {"k": 2}),
        (lambda sae: _torch(sae) | {"k": np.array(2), "threshold": np.array(-1.0)}, "topk", True, {"k": 2}),
        (lambda sae: _torch(sae) | {"k": np.array(2), "threshold": np.array(0.5)}, "topk", True, {"k": 2}),
        (lambda sae: sae | {"threshold": np.full(6, 0.5, np.float32)}, "jumprelu", False, {}),  # Gemma Scope
        (lambda sae: sae | {"threshold": np.full(1, 0.5, np.float32)}, "jumprelu", False, {}),
    ],
)  # fmt: skip
def test_encoders_of_pytorch_and_of_files_without_settings(made, kind, taken, more):
    sae, h = _sae(6, 4), RNG.normal(size=(30, 4)).astype(np.float32)
    codes = lambda taken: _by_formula(sae | {"threshold": 0.5}, h, kind, taken, **more)  # noqa: E731
    # What has nothing to do with codes makes no difference to them.
    for config in ({}, {"format": "pt"}, {"apply_b_dec_to_input": None, "seed": "3"}):
        found = understood(made(sae), config, 4)
        np.testing.assert_allclose(jax.vmap(found.autoencoder.encode)(h), codes(taken), rtol=1e-4, atol=1e-5)
        assert ("threshold" in made(sae)) == ("threshold" in found.said) or kind == "jumprelu"
    for center in ("bias", "none"):
        found = understood(made(sae), {}, 4, center=center).autoencoder
        np.testing.assert_allclose(jax.vmap(found.encode)(h), codes(center == "bias"), rtol=1e-4, atol=1e-5)


def test_settings_may_be_texts():
    sae, h = _sae(6, 4), RNG.normal(size=(30, 4)).astype(np.float32)
    for written, taken in ((False, False), ("False", False), ("0", False), ("true", True), (True, True)):
        found = understood(sae, {"architecture": "standard", "apply_b_dec_to_input": written}, 4).autoencoder
        expected = _by_formula(sae, h, "standard", taken)
        np.testing.assert_allclose(jax.vmap(found.encode)(h), expected, rtol=1e-4, atol=1e-5)
    for written in ({"k": 2}, "{'k': 2}", '{"k": 2, "postact": null}'):
        config = {
            "activation_fn": "topk",
            "activation_fn_kwargs": written,
            "rescale_acts_by_decoder_norm": "False",
        }
        found = understood(sae, config, 4).autoencoder
        expected = _by_formula(sae, h, "topk", True, k=2)
        np.testing.assert_allclose(jax.vmap(found.encode)(h), expected, rtol=1e-4, atol=1e-5)


SAELENS = {"Standard": {"l1_coefficient": 0.1}, "TopK": {"k": 4}, "BatchTopK": {"k": 4}, "MatryoshkaBatchTopK": {"k": 4, "matryoshka_widths": [32, N]},
           "JumpReLU": {"l0_coefficient": 0.01}, "Gated": {"l1_coefficient": 0.1}}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAELENS)
@pytest.mark.filterwarnings("default")
def test_an_autoencoder_that_saelens_trained_goes_through(kind, tmp_path, capsys):
    torch, sae_lens = pytest.importorskip("torch"), pytest.importorskip("sae_lens")
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)
    h = torch.tensor(np.array(worlds.named("independent").activations.sample(1, 20_000)))
    config = getattr(sae_lens, f"{kind}TrainingSAEConfig")(d_in=M, d_sae=N, **SAELENS[kind])
    steps = SAETrainerConfig(
        total_training_samples=400 * 512, train_batch_size_samples=512, lr=3e-3, lr_end=3e-3, device="cpu",
        logger=sae_lens.LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    batches = (h[torch.randint(len(h), (512,))] for _ in iter(int, 1))
    sae = SAETrainer(
        cfg=steps, sae=getattr(sae_lens, f"{kind}TrainingSAE")(config), data_provider=batches
    ).fit()
    sae.save_inference_model(tmp_path / "sae")
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    ours = _files.dictionary(tmp_path / "sae", M).autoencoder
    with torch.no_grad():
        codes = theirs.encode(h[:500])
        reconstruction = theirs.decode(codes).numpy()
    codes = codes.numpy() * np.linalg.norm(theirs.W_dec.detach().numpy(), axis=1)
    assert (codes != 0).sum() > 500
    few = jnp.asarray(h[:500].numpy())
    np.testing.assert_allclose(jax.vmap(ours.encode)(few), codes, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(ours)(few), reconstruction, rtol=1e-3, atol=1e-4)
    capsys.readouterr()
    found = _scores(capsys, tmp_path / "sae", "--world", "independent", "--samples", 500)
    assert found["mcc"] > 0.35  # random directions: .30
    assert found["explained_variance"] > 0


# The commands.


def test_the_true_directions_score_one(tmp_path, capsys):
    np.savez(tmp_path / "true.npz", W_dec=3 * W.T, W_enc=W / 3, b_enc=-0.1 * np.ones(N), b_dec=np.zeros(M))
    found = _scores(capsys, tmp_path / "true.npz", "--world", "independent", "--samples", 1000)
    for name in ("mcc", "precision", "recall", "f1", "uniqueness", "recovery", "found"):
        assert found[name] == pytest.approx(1, abs=1e-5), name
    assert found["dead"] == 0
    assert 0 < found["support_f1"] < 1  # one ReLU step cannot do more
    world = worlds.named("independent")
    assert (found["world"], found["version"], found["hash"]) == ("independent", world.version, world.hash)
    assert (found["latents"], found["features"], found["samples"], found["seed"]) == (N, N, 1000, 0)


@pytest.mark.parametrize(
    ("inference", "least"), [("omp=6", 0.9), ("fista=0.01", 0.7), ("nnls", 0.5), ("relu=0.3", 0.3)]
)
def test_directions_have_codes_by_any_inference(inference, least, tmp_path, capsys):
    np.save(tmp_path / "D.npy", 2 * W)
    found = _scores(
        capsys, tmp_path / "D.npy", "--world", "independent", "--samples", 300, "--inference", inference
    )
    assert found["read"].endswith(f"; codes by {inference}")
    assert found["support_recall"] > least
    assert found["explained_variance"] > 0.5
    assert found["causal"] > 0.5


def test_directions_alone_have_no_scores_of_codes(tmp_path, capsys):
    np.save(tmp_path / "D.npy", W[:, :32])
    found = _scores(capsys, tmp_path / "D.npy", "--world", "independent")
    assert found["mcc"] == pytest.approx(0.25, abs=1e-6)
    assert found["precision"] == pytest.approx(1, abs=1e-6)
    assert all(found[name] is None for name in ("dead", "l0", "support_f1", "explained_variance", "causal"))
    assert found["samples"] == 0


def test_the_table_and_the_file_say_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("D.npy", W)
    assert main(["score", "D.npy", "--world", "independent", "--out", "scores.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "D.npy: 128 directions, the columns of the array; no encoder"
    assert lines[-1] == "scores: scores.json"
    rows = [line.split() for line in lines[1:-1] if line.split() != ["random"]]
    told = {name: value for name, value, *_ in rows}
    told |= {f"random_{name}": random for name, _, *randoms in rows for random in randoms}
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    # 128 random directions in 64 dimensions, beside those of the world, which they must not be.
    assert told["random_mcc"] == f"{written['random_mcc']:.4f}"
    assert written["random_mcc"] == pytest.approx(0.3, abs=0.03)
    assert told["mcc"] == f"{written['mcc']:.4f}" == "1.0000"
    assert {name for name, value in written.items() if value is not None} - set(told) == {
        "superpose",
        "dictionary",
        "read",
    }
    assert (
        main(["score", "D.npy", "--world", "independent", "--out", "scores.json"]) == 0
    )  # its own file is replaced
    assert sorted(os.listdir()) == ["D.npy", "scores.json"]


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_world_goes_out_and_is_the_truth_again(suffix, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = f"samples.{suffix}"
    for _ in range(2):  # its own file is replaced
        assert main(["world", "independent", "--samples", "300", "--seed", "4", "--out", out]) == 0
    assert os.listdir() == [out]
    world = worlds.named("independent")
    assert f"world independent, version {world.version}, hash {world.hash}" in capsys.readouterr().out
    arrays, told = _files.content(out)
    assert {name: each.shape for name, each in arrays.items()} == {
        "h": (300, M),
        "x": (300, N),
        "directions": (M, N),
    }
    np.testing.assert_allclose(arrays["x"] @ arrays["directions"].T, arrays["h"], atol=1e-5)
    assert (told["world"], told["hash"], told["seed"]) == ("independent", world.hash, "4")
    save_file(
        {"W_dec": np.ascontiguousarray(W.T), "W_enc": W, "b_enc": np.full(N, -0.1, np.float32)},
        "D.safetensors",
    )
    found = _scores(capsys, "D.safetensors", "--truth", out)
    assert found["samples"] == 300
    assert found["true_l0"] == pytest.approx((arrays["x"] != 0).sum(axis=1).mean())
    assert found["causal"] is None  # there is no model to look into
    other = _scores(capsys, "D.safetensors", "--world", "independent", "--samples", 300, "--seed", 4)
    assert other["true_l0"] != found["true_l0"]  # what is scored on is never what was written


def test_a_matrix_of_directions_is_truth_enough(tmp_path, capsys):
    np.save(tmp_path / "truth.npy", np.eye(5))
    np.savez(tmp_path / "D.npz", W_dec=np.eye(5)[:3], W_enc=np.eye(5)[:, :3])
    found = _scores(capsys, tmp_path / "D.npz", "--truth", tmp_path / "truth.npy")
    assert (found["mcc"], found["precision"], found["l0"]) == (0.6, 1, None)
    assert found["read"].endswith("no codes, as the truth has no samples")


def test_worlds_are_listed_and_have_their_hash(capsys):
    assert main(["world"]) == 0
    said = capsys.readouterr().out
    for name in worlds.names():
        assert f"{name}: " in said


HASHES = {
    "independent": (1, "865a6bf7be552026"),
    "correlated": (1, "3fb40074cbda87a2"),
    "hierarchical": (1, "7cb5edac3f8e1231"),
    "zipf": (1, "6d16cfd0da9a1c64"),
    "synth-sae-bench-small": (1, "839f8b3ba00c2c04"),
    "synth-sae-bench": (1, "100ad9449843125e"),
    "toy-model": (1, "f96677df238eec67"),
}
"""What each world generates, for good: a change here needs a new version."""


def test_every_world_has_its_version_and_hash():
    assert set(HASHES) == set(worlds.names())
    for name, told in HASHES.items():
        if name != "synth-sae-bench":
            world = worlds.named(name)
            assert (world.version, world.hash) == told, name


@pytest.mark.slow
def test_the_large_world_has_its_version_and_hash():
    world = worlds.named("synth-sae-bench")
    assert (world.version, world.hash) == HASHES[world.name]


def test_edges_of_a_world_are_its_families():
    assert worlds.named("independent").edges == []
    edges = worlds.named("hierarchical").edges
    assert edges[:4] == [(0, 32), (0, 33), (0, 34), (1, 35)]
    assert len(edges) == 96
    world = worlds.named("synth-sae-bench-small")
    x = world.activations.features.sample(key=0, n=2000) > 0
    assert len(world.edges) == 8 * (4 + 16 + 64)
    for parent, child in world.edges:
        assert not (x[:, child] & ~x[:, parent]).any()


def test_small_worlds_have_the_active_features_that_the_guide_says():
    active = {
        name: float(worlds.named(name).activations.features.mean_active)
        for name in worlds.names()
        if name != "synth-sae-bench"
    }
    assert {name: round(mean, 2) for name, mean in active.items()} == {
        "independent": 3.84, "correlated": 3.84, "hierarchical": 3.65, "zipf": 2.72, "synth-sae-bench-small": 1.99,
        "toy-model": 3.84,
    }  # fmt: skip


def test_the_toy_model_has_learned_its_features():
    from superpose.losses import Population
    from superpose.models import ReluOutput

    activations = worlds.named("toy-model").activations
    loss = Population(activations.features)
    # A model that stores nothing has sum_i p_i E[x^2] less what biases save.
    nothing = loss(ReluOutput(np.zeros((40, 128)), np.full(128, 0.015)))
    assert float(loss(activations.model)) < 0.2 * float(nothing)


def test_a_hash_is_of_what_is_generated():
    import equinox as eqx

    activations = worlds.named("independent").activations
    known = worlds.content(activations)
    rounded = eqx.tree_at(lambda a: a.model.W, activations, activations.model.W * (1 + 1e-7))
    assert worlds.content(rounded) == known
    for other in (activations.model.W * 1.01, -activations.model.W):
        assert worlds.content(eqx.tree_at(lambda a: a.model.W, activations, other)) != known


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("D.npy", W)
    np.save("small.npy", np.eye(3))
    np.save("nan.npy", np.where(W > 0.4, np.nan, W))
    np.save("vector.npy", np.ones(3))
    np.save("text.npy", np.array([["a", "b"]]))
    np.save("complex.npy", 1j * W)
    np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save("huge.npy", 1e300 * W.astype(float))
    np.save("bfloat16.npy", W.astype(ml_dtypes.bfloat16))
    np.save("fields.npy", np.zeros(W.shape, [("a", float), ("b", float)]))
    np.save("times.npy", np.zeros(W.shape, "timedelta64[s]"))
    np.save("turned.npy", np.ones((130, 64)))
    np.savez("empty.npz", W_dec=np.zeros((0, 64)))
    np.savez("bias.npz", W_dec=W.T, W_enc=W, b_enc=np.ones(127))
    np.savez("k.npz", W_dec=W.T, W_enc=W, k=4.7)
    np.savez("switch.npz", W_dec=W.T, W_enc=W, apply_b_dec_to_input="maybe")
    np.savez("kwargs.npz", W_dec=W.T, W_enc=W, activation_fn_kwargs="topk")
    np.savez("nothing.npz")
    np.savez("other.npz", weight=W, more=W)
    np.savez("unfit.npz", W_dec=W.T, W_enc=W[:, :5])
    np.savez("truth.npz", directions=W, x=np.ones((3, N)), h=np.ones((4, M)))
    np.savez("half.npz", directions=W, x=np.ones((3, N)))
    for name in ("broken.npz", "broken.npy", "broken.safetensors", "model.pt", "mine.json", "mine.npz"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "folder").mkdir()
    _saelens(tmp_path / "bad", _sae())
    (tmp_path / "bad" / "cfg.json").write_text("{")
    _saelens(tmp_path / "k", _sae(), architecture="topk")
    _saelens(tmp_path / "k0", _sae(), architecture="topk", k=0)
    return tmp_path


REFUSED = [
    (["score"], "name a dictionary: superpose score DICTIONARY --world NAME"),
    (["score", "D.npy"], "give the truth: either --world NAME"),
    (["score", "D.npy", "--world", "independent", "--truth", "truth.npz"], "give the truth: either --world NAME"),
    (["score", "D.npy", "--world", "indepndent"], "there is no world 'indepndent'; there are independent"),
    (["score", "D.npy", "--wrld", "independent"], "there is no option --wrld; did you mean --world?"),
    (["score", "D.npy", "--world", "independent", "--samples", "0"], "samples must be at least 1, got 0"),
    (["score", "D.npy", "--world", "independent", "--samples", str(10**13)], "give fewer --samples"),
    (["score", "D.npy", "--world", "independent", "--seed", "-1"], "seed must be from 0"),
    (["score", "D.npy", "--world", "independent", "--threshold", "-1"], "threshold must be 0 or more, got -1"),
    (["score", "D.npy", "--world", "independent", "--out", "mine.txt"], "--out takes a .json file"),
    (["score", "D.npy", "--world", "independent", "--out", "mine.json"], "mine.json is there already, and superpose did not"),
    (["score", "D.npy", "--world", "independent", "--inference", "mp"], "there is no inference 'mp'; there are omp=K"),
    (["score", "D.npy", "--world", "independent", "--inference", "omp"], "--inference omp needs a whole number of 1 or more, such as omp=4, got ''"),
    (["score", "D.npy", "--world", "independent", "--inference", "omp=x"], "such as omp=4, got 'x'"),
    (["score", "D.npy", "--world", "independent", "--inference", "omp=4.0"], "needs a whole number of 1 or more"),
    (["score", "D.npy", "--world", "independent", "--inference", "omp=0"], "needs a whole number of 1 or more"),
    (["score", "D.npy", "--world", "independent", "--inference", "fista=nan"], "needs a number of 0 or more, such as fista=0.1"),
    (["score", "D.npy", "--world", "independent", "--inference", "fista=inf"], "needs a number of 0 or more"),
    (["score", "D.npy", "--world", "independent", "--inference", "relu=-1"], "needs a number of 0 or more, such as relu=0.2"),
    (["score", "D.npy", "--world", "independent", "--layout", "rows"], "D.npy has the array of shape (64, 128), whose columns have the 64 dimensions of activations: ask for layout columns"),
    (["score", "D.npy", "--world", "independent", "--layout", "both"], "'both'"),
    (["score", "empty.npz", "--world", "independent"], "empty.npz has W_dec of shape (0, 64), which has no latents"),
    (["score", "huge.npy", "--world", "independent"], "huge.npy has numbers too large for single precision in the array"),
    (["score", "bfloat16.npy", "--world", "independent"], "bfloat16.npy has the array of type |V2, which must be real numbers"),
    (["score", "fields.npy", "--world", "independent"], "fields.npy has the array of type"),
    (["score", "times.npy", "--world", "independent"], "times.npy has the array of type timedelta64"),
    (["score", "bias.npz", "--world", "independent"], "bias.npz has b_enc of shape (127,), which must be 128 numbers, or one"),
    (["score", "k.npz", "--world", "independent"], "k.npz has k 4.7, which must be a whole number"),
    (["score", "switch.npz", "--world", "independent"], "switch.npz says apply_b_dec_to_input is 'maybe', which must be true or false"),
    (["score", "kwargs.npz", "--world", "independent"], "kwargs.npz says activation_fn_kwargs is 'topk', which must be an object"),
    (["score", "D.npy", "--truth", "turned.npy"], "D.npy has the array of shape (64, 128), and activations have 130 dimensions (by the directions of turned.npy, (130, 64), which are (hidden, feature))"),
    (["score", "D.npy", "--world", "independent", "--inference", "nnls=1"], "--inference nnls takes no number"),
    (["score", "absent.npz", "--world", "independent"], "cannot read absent.npz: No such file or directory"),
    (["score", "small.npy", "--world", "independent"], "small.npy has the array of shape (3, 3), and activations have 64 dimensions"),
    (["score", "nan.npy", "--world", "independent"], "nan.npy has NaN or infinity in the array, which must be finite"),
    (["score", "vector.npy", "--world", "independent"], "vector.npy has no directions"),
    (["score", "text.npy", "--world", "independent"], "text.npy has the array of type <U1, which must be real numbers"),
    (["score", "complex.npy", "--world", "independent"], "complex.npy has the array of type complex64, which must be real numbers"),
    (["score", "objects.npy", "--world", "independent"], "cannot read objects.npy: it holds Python objects, which may run code"),
    (["score", "nothing.npz", "--world", "independent"], "nothing.npz has no directions"),
    (["score", "other.npz", "--world", "independent"], "has no directions: none of directions, decoder.weight"),
    (["score", "unfit.npz", "--world", "independent"], "unfit.npz has 5 latents in W_enc and 128 in W_dec"),
    (["score", "broken.npz", "--world", "independent"], "cannot read broken.npz: "),
    (["score", "broken.npy", "--world", "independent"], "cannot read broken.npy: "),
    (["score", "broken.safetensors", "--world", "independent"], "cannot read broken.safetensors: "),
    (["score", "model.pt", "--world", "independent"], "save its tensors by safetensors.torch.save_file"),
    (["score", "mine.json", "--world", "independent"], "mine.json must end in .npz, .npy or .safetensors, or be a folder of SAELens"),
    (["score", "folder", "--world", "independent"], "folder is no folder of SAELens"),
    (["score", "bad", "--world", "independent"], "cannot read bad/cfg.json"),
    (["score", "k", "--world", "independent"], "k: topk needs k"),
    (["score", "k0", "--world", "independent"], "k0: k must be from 1 to the 128 latents, got 0"),
    (["score", "D.npy", "--truth", "truth.npz"], "truth.npz has directions of shape (64, 128), which must be (hidden, feature)"),
    (["score", "D.npy", "--truth", "half.npz"], "half.npz has x without h"),
    (["score", "D.npy", "--truth", "other.npz"], "other.npz has no directions (hidden, feature), only weight, more"),
    (["score", "D.npy", "--truth", "nan.npy"], "nan.npy has NaN or infinity in directions, which must be finite"),
    (["world", "nosuch"], "there is no world 'nosuch'; there are"),
    (["world", "independent", "extra"], "extra"),
    (["world", "independent", "--samples", "0", "--out", "a.npz"], "samples must be at least 1"),
    (["world", "independent", "--out", "a.csv"], "a.csv must end in .npz or .safetensors"),
    (["world", "independent", "--samples", "9", "--out", "mine.npz"], "mine.npz is there already, and superpose did not write it"),
    (["world", "independent", "--samples", "9", "--out", "D.npz/a.npz"], "choose another --out"),
    (["world", "independent", "--samples", str(10**13)], "give fewer --samples"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said"), REFUSED)
def test_what_is_wrong_is_said_in_one_line(args, said, files, capsys):
    before = sorted(os.listdir())
    assert main(args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.startswith("superpose: ")
    assert printed.err.count("\n") == 1
    assert sorted(os.listdir()) == before
    assert (files / "mine.json").read_text() == "mine"


def test_arrays_that_are_not_used_may_be_anything(tmp_path):
    words = {"names": np.array(["a", "b"]), "loss": np.array([np.nan])}
    np.savez(tmp_path / "D.npz", directions=W, **words)
    assert _files.dictionary(tmp_path / "D.npz", M).said.endswith("no encoder; not used: names, loss")
    np.savez(tmp_path / "T.npz", directions=W, **words)
    np.testing.assert_array_equal(_files.truth(tmp_path / "T.npz").directions, W)


def test_what_has_no_number_is_null(tmp_path, capsys):
    np.savez(tmp_path / "T.npz", directions=np.eye(3), x=np.zeros((1, 3)), h=np.zeros((1, 3)))
    np.save(tmp_path / "D.npy", np.eye(3))
    found = _scores(capsys, tmp_path / "D.npy", "--truth", tmp_path / "T.npz", "--inference", "nnls")
    assert found["explained_variance"] is None


def test_files_that_are_too_large_are_not_read(files, capsys, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 1000)
    for name in ("D.npy", "other.npz"):
        assert main(["score", name, "--truth", name]) == 2
        assert "needs about" in capsys.readouterr().err


def test_help_names_the_files(capsys):
    for command in ("score", "world"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "safetensors" in capsys.readouterr().out


def test_files_have_the_permissions_of_others(tmp_path):
    _files.write(tmp_path / "a.npz", {"h": np.ones((2, 2))}, {"superpose": "1"})
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_kinds_of_autoencoders_say_what_they_lack():
    four = [[1.0]], [0.0], [[1.0]], [0.0], [0.0]
    with pytest.raises(ValueError, match="unknown kind 'x'; known are relu, topk, jumprelu, gated"):
        Loaded("x", *four)
    with pytest.raises(ValueError, match="gated needs r_mag and b_mag"):
        Loaded("gated", *four)
    with pytest.raises(ValueError, match="h must have the 1 hidden dimensions"):
        Loaded("relu", *four).encode([1.0, 2.0])
