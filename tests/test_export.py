"""Models in files: what is written comes back as it was, the card says what it is, and nothing else is read."""

import json
import re
import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save_file

import superpose
from superpose import cards, features, grid, models, sources, store, sweep, train
from superpose.cards import export, load_model, save_model
from superpose.cli import main
from superpose.losses import Population

KEY = jax.random.key(0)
OLD = Path(__file__).parent / "result-0.1"
CLASSES = (models.Linear, models.ReluOutput, models.ReluHidden, models.Untied, models.Network)


def leaves_equal(one, other):
    assert type(one) is type(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("kind", CLASSES)
def test_every_model_comes_back_as_it_was(kind, tmp_path):
    for number, activation in enumerate(models.activations):
        init = lambda key: kind.init(5, 2, key=key, hidden_bias=True, activation=activation)  # noqa: B023, E731
        for given in (init(KEY), train.ensemble(init, members=3, key=KEY)):
            found, card = superpose.load_model(save_model(given, tmp_path / f"{number}.safetensors"))
            leaves_equal(found, given)
            assert (found.activation, found.hidden_activation) == (given.activation, given.hidden_activation)
            assert (card["class"], card["activation"]) == (kind.__name__, activation)
            x = np.arange(5.0)
            one, other = (each if each.W.ndim == 2 else train.member(each, 1) for each in (found, given))
            np.testing.assert_array_equal(one(x), other(x))


def test_precision_mixtures_and_several_axes_are_kept(tmp_path):
    double = models.ReluOutput(np.full((2, 3), 0.1), np.zeros(3))
    leaves_equal(load_model(save_model(double, tmp_path / "a.safetensors")).model, double)
    mixture = models.Mixture.init(6, 4, experts=3, active=2, key=KEY)
    found = load_model(save_model(mixture, tmp_path / "b.safetensors")).model
    leaves_equal(found, mixture)
    np.testing.assert_array_equal(found(np.arange(6.0)), mixture(np.arange(6.0)))
    grown = models.ReluOutput(np.random.default_rng(0).normal(size=(3, 2, 1, 4)), np.zeros((3, 2, 4)))
    found, card = load_model(save_model(grown, tmp_path / "c.safetensors"))
    leaves_equal(found, grown)
    assert card["axes"] == {"axis 0": [0, 1, 2], "member": [0, 1]}


def test_a_card_says_what_it_is_told(tmp_path):
    given = train.ensemble(lambda key: models.ReluOutput.init(5, 2, key=key), members=2, key=KEY)
    world = features.Correlated(0.1, (2, 3))
    file = save_model(
        given, tmp_path / "m.safetensors",
        loss=[0.2, 0.1], axes={"density": [0.3, 0.1]}, features=world, notes=["by hand", np.float32(0.5)],
    )  # fmt: skip
    _, card = load_model(file)
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == card
    assert card["axes"] == {"density": [0.3, 0.1]}
    assert card["loss"] == {"least": 0.1, "greatest": 0.2}
    assert card["notes"] == ["by hand", 0.5]
    assert card["features"]["law"] == "correlated"
    assert card["features"]["sizes"] == [2, 3]
    np.testing.assert_allclose(card["features"]["density"], 0.1, rtol=1e-6)
    assert card["formula"] == "h = identity(W x), x' = relu(W^T h + b)"
    assert card["arrays"]["W"] == {
        "axes": ["density", "hidden", "feature"],
        "shape": [2, 2, 5],
        "dtype": "float32",
    }
    assert card["what"] == "2 trained toy models of superposition: 5 features, 2 hidden dimensions"


def test_other_programs_read_the_file(tmp_path):
    from safetensors import safe_open

    given = models.ReluOutput.init(5, 2, key=KEY)
    with safe_open(save_model(given, tmp_path / "m.safetensors", loss=0.5), "numpy") as file:
        assert {*file.keys()} == {"W", "b", "loss"}
        np.testing.assert_array_equal(file.get_tensor("W"), given.W)
        assert json.loads(file.metadata()["card"])["class"] == "ReluOutput"


def test_activations_go_by_their_names(tmp_path, monkeypatch):
    file = tmp_path / "m.safetensors"

    def mine(z):
        return jnp.sin(z)

    same = save_model(models.ReluOutput([[1, -1]], [0, 0], activation=jax.nn.relu), file)
    assert load_model(same).model.activation == "relu"
    own = models.ReluOutput([[1, -1]], [0, 0], activation=mine)
    with pytest.raises(ValueError, match="activation mine has no name that a file could say") as error:
        save_model(own, file)
    assert "\n" not in str(error.value)
    with monkeypatch.context() as with_it:
        with_it.setitem(models.activations, "mine", mine)
        save_model(own, file)
        assert load_model(file).model([0.5, 0.0]).tolist() == own([0.5, 0.0]).tolist()
    with pytest.raises(ValueError, match=r"it needs the activation 'mine'.*put it there first"):
        load_model(file)


def test_what_cannot_be_saved_is_refused_in_a_line(tmp_path):
    pair, several = (
        models.ReluOutput([[1, -1]], [0, 0]),
        models.ReluOutput(np.ones((2, 1, 3)), np.zeros((2, 3))),
    )

    class Own(models.ReluOutput):
        def decode(self, h):
            return h

    for model, path, card, error, said in (
        (Own([[1, -1]], [0, 0]), "a.safetensors", {}, TypeError, "Own computes in a way of its own"),
        (np.ones((2, 3)), "a.safetensors", {}, TypeError, "model must be a network"),
        (pair, "a.npz", {}, ValueError, r"must end in \.safetensors"),
        (pair, "a.safetensors", {"arrays": 3}, ValueError, "the card says arrays itself"),
        (
            pair,
            "a.safetensors",
            {"loss": [1, 2]},
            ValueError,
            r"loss must be one number for each model, of shape \(\)",
        ),
        (
            several,
            "a.safetensors",
            {"axes": {"density": [1]}},
            ValueError,
            r"axes must name the leading axes.*\(2,\)",
        ),
        (several, "a.safetensors", {"axes": 3}, TypeError, "axes must be values by name"),
    ):
        with pytest.raises(error, match=said) as raised:
            save_model(model, tmp_path / path, **card)
        assert "\n" not in str(raised.value)
    assert not [*tmp_path.iterdir()]


def test_only_files_of_ours_are_replaced_and_both_or_neither(tmp_path):
    pair, file = models.ReluOutput([[1, -1]], [0, 0]), tmp_path / "m.safetensors"
    save_model(pair, file)
    save_model(models.Linear([[1, -1]], [0, 0]), file)
    assert load_model(file).card["class"] == "Linear"
    assert {each.name for each in tmp_path.iterdir()} == {"m.safetensors", "m.json"}
    assert (file.stat().st_mode & 0o777) == ((tmp_path / "m.json").stat().st_mode & 0o777)
    (tmp_path / "b.json").write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="superpose did not write it"):
        save_model(pair, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()
    save_file({"W": np.ones(3)}, tmp_path / "c.safetensors")
    with pytest.raises(FileExistsError, match="superpose did not write it"):
        save_model(pair, tmp_path / "c.safetensors")
    assert not (tmp_path / "c.json").exists()


def test_files_that_are_no_such_models_are_refused_in_a_line(tmp_path):
    file = save_model(models.ReluOutput([[1, -1]], [0, 0]), tmp_path / "m.safetensors")
    whole = file.read_bytes()
    card = load_model(file).card
    weights = {"W": np.ones((1, 2)), "b": np.zeros(2)}

    def told(**changes):
        save_file(weights, tmp_path / "x.safetensors", {"superpose": "1", "card": json.dumps(card | changes)})

    def raw(text):
        save_file(weights, tmp_path / "x.safetensors", {"superpose": "1", "card": text})

    for make, said in (
        (lambda: save_file(weights, tmp_path / "x.safetensors"), "has no card of superpose"),
        (lambda: raw("{"), "Expecting property name"),
        (lambda: raw("[" * 100_000), "its card is damaged"),
        (lambda: raw("3"), "its card is damaged"),
        (lambda: told(format=2), "of format 2, which a newer superpose wrote"),
        (lambda: told(**{"class": "Wrong"}), r"there is no class 'Wrong' of models; there are Linear"),
        (lambda: told(format=0), "its card is damaged: format 0"),
        (lambda: told(format="1"), "its card is damaged: format 1"),
        (lambda: told(activation="mine"), "it needs the activation 'mine'"),
        (lambda: told(activation=["relu"]), "its card is damaged"),
        (lambda: told(arrays=card["arrays"] | {"W": card["arrays"]["W"] | {"shape": [2, 2]}}), r"W is float64 \(1, 2\), and should be float64 \(2, 2\)"),
        (lambda: told(arrays=card["arrays"] | {"W": card["arrays"]["W"] | {"dtype": "float32"}}), "and should be float32"),
        (lambda: told(arrays={"V": {"shape": [2, 2]}}), "its tensors are W, b, and its card says V"),
        (lambda: told(**{"class": "Mixture", "experts": 2, "active": 1}), "experts must have as many of the 1 hidden units each"),
        (lambda: told(**{"class": "Mixture", "experts": "many"}), "x.safetensors"),
        (lambda: (tmp_path / "x.safetensors").write_bytes(whole[:-4]), "cannot read"),
        (lambda: (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**60) + whole[8:]), "cannot read"),
        (lambda: (tmp_path / "x.safetensors").unlink(), "cannot read .*No such file"),
    ):  # fmt: skip
        make()
        with pytest.raises(ValueError, match=said) as raised:
            load_model(tmp_path / "x.safetensors")
        assert "\n" not in str(raised.value)
        assert "x.safetensors" in str(raised.value)


def test_pytorchs_reader_leaves_files_with_a_card_to_the_one_that_knows_it(tmp_path):
    file = save_model(models.Linear([[1, -1]], [0, 0]), tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="has a card of superpose: "):
        superpose.torch.model(file)


# Results and sweeps.


def solved(members=3):
    return grid.solved(
        lambda key: models.ReluOutput.init(4, 2, key=key),
        lambda density: Population(features.Independent(density, n_features=4)),
        {"density": [0.5, 0.1]},
        members=members,
        key=0,
        evaluations=20,
        progress=False,
    )


def test_the_best_member_is_exported_or_every_one(tmp_path):
    data = solved()
    found, card = load_model(export(data, tmp_path / "m.safetensors"))
    best = grid.best(data)
    np.testing.assert_array_equal(found.W, best.W)
    np.testing.assert_array_equal(found.b, best.b)
    assert (card["axes"], card["chosen"]) == (
        {"density": [0.5, 0.1]},
        "the best of 3 members at each point, by loss",
    )
    assert card["features"] == {"law": "independent", "values": "uniform", "target": "x"}
    assert card["loss"] == {"least": float(best.loss.min()), "greatest": float(best.loss.max())}
    found, card = load_model(export(data, tmp_path / "m.safetensors", every=True))
    np.testing.assert_array_equal(found.W, data.W)
    assert ([*card["axes"]], card["chosen"]) == (["density", "member"], "all members")
    found, card = load_model(export(data, tmp_path / "m.safetensors", at={"density": 0.2}))
    np.testing.assert_array_equal(found.W, best.W.sel(density=0.1))
    assert (card["at"]["density"], card["axes"], card["loss"]) == (0.1, {}, float(best.loss.sel(density=0.1)))
    # The loss of what comes back is what the card says.
    world = features.Independent(0.1, n_features=4)
    np.testing.assert_allclose(Population(world)(found), card["loss"], rtol=1e-5)


def test_a_result_says_how_it_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(
        ["run", "intro", "--densities", "0.5", "0.1", "--row", "0", "--members", "4", "--seed", "3"]
    ) in (0, 1)
    capsys.readouterr()
    assert main(["export", "results/intro"]) == 0
    assert capsys.readouterr().out == (
        "models: intro.safetensors (2 × ReluOutput(5 features, 2 hidden), density)\ncard: intro.json\n"
    )
    found, card = load_model("intro.safetensors")
    data = store.load("results/intro")
    np.testing.assert_array_equal(found.W, grid.best(data).W)
    made = store.read_json(Path("results/intro/provenance.json"))
    assert card["trained"]["config"] == store.read_json(Path("results/intro/config.json"))
    assert (card["trained"]["experiment"], card["trained"]["seed"]) == ("intro", 3)
    assert (card["trained"]["code"], card["versions"]) == (made["code"], made["versions"])
    claims = store.read_json(Path("results/intro/claims.json"))
    assert [(each["id"], each["status"]) for each in card["claims"]] == [
        (each["id"], each["status"]) for each in claims
    ]


def test_a_result_without_weights_has_nothing_to_export(tmp_path, capsys):
    store.save(store.load(OLD / "intro").drop_vars("W"), tmp_path / "intro" / "data.zarr")
    assert main(["export", str(tmp_path / "intro")]) == 2
    assert (
        capsys.readouterr().err == "superpose: intro keeps no weights, so that there is no model to export\n"
    )


def test_models_that_are_not_there_are_said(tmp_path, capsys):
    data = solved()
    W = data.W.copy()
    W[0, 0] = np.nan
    two = data.assign(W=W).isel(member=slice(2))
    found = load_model(export(two, tmp_path / "m.safetensors", every=True)).model
    assert capsys.readouterr().err == "superpose: 1 of 4 models are NaN: not done, or failed\n"
    np.testing.assert_array_equal(found.W, two.W)


def test_models_of_every_kind_are_told_apart(tmp_path):
    for kind, settings in (
        (models.Linear, {}), (models.ReluOutput, {"activation": "gelu"}), (models.ReluHidden, {}),
        (models.Untied, {"hidden_activation": "relu"}), (models.Network, {"hidden_activation": "gelu"}),
    ):  # fmt: skip
        given = kind.init(4, 2, key=KEY, hidden_bias=True, **settings)
        found, _ = load_model(export(given, tmp_path / "m.safetensors"))
        leaves_equal(found, given)
        assert (found.activation, found.hidden_activation) == (given.activation, given.hidden_activation)
    with pytest.raises(ValueError, match="mixtures of experts"):
        export(models.Mixture.init(6, 2, experts=2, key=KEY), tmp_path / "m.safetensors")


def test_models_of_several_kinds_are_refused_until_one_is_chosen(tmp_path):
    one, other = (
        grid.dataset(
            train.ensemble(lambda key: models.ReluOutput.init(4, m, key=key, activation=of), members=2, key=0),  # noqa: B023
            np.array([2.0, 1.0]), axes={"member": range(2)},
        )
        for m, of in ((1, "relu"), (2, "gelu"))
    )  # fmt: skip
    sizes = grid.stacked({"1 wide": one, "2 wide": other}, "size")
    with pytest.raises(
        ValueError, match=r"differ in kind or size along size.*--at 'size=1 wide' \(of 1 wide; 2 wide\)"
    ):
        export(sizes, tmp_path / "m.safetensors")
    found, card = load_model(export(sizes, tmp_path / "m.safetensors", at={"size": "2 wide"}))
    np.testing.assert_array_equal(found.W, other.W[1])
    assert (found.activation, card["at"]["size"]) == ("gelu", "2 wide")
    # Of one size, but of two activations.
    kinds = grid.stacked({"a": other.assign_attrs(activation="relu"), "b": other}, "kind")
    with pytest.raises(ValueError, match="differ in kind or size along kind"):
        export(kinds, tmp_path / "m.safetensors")
    assert load_model(export(kinds, tmp_path / "m.safetensors", at={"kind": "b"})).model.activation == "gelu"
    assert {*sources.groups("", kinds)} == {"a", "b"}


def test_a_model_has_no_weights_that_only_others_have(tmp_path):
    def side_by_side(kind):
        several = train.ensemble(lambda key: kind.init(4, 2, key=key), members=2, key=0)
        return grid.dataset(several, np.array([2.0, 1.0]), axes={"member": range(2)})

    tied, untied = side_by_side(models.ReluOutput), side_by_side(models.Untied)
    both = xr.concat(
        [tied, untied], "kind", data_vars="all", coords="minimal", join="outer", compat="override"
    )
    both = both.assign_coords(kind=["tied", "untied"])
    with pytest.raises(ValueError, match="differ in kind or size along kind"):
        export(both, tmp_path / "m.safetensors")
    for kind, own in (("tied", tied), ("untied", untied)):
        found = load_model(export(both, tmp_path / "m.safetensors", at={"kind": kind})).model
        np.testing.assert_array_equal(found.W, own.W[1])
        assert type(found) is (models.ReluOutput if kind == "tied" else models.Untied)


def test_sweeps_are_exported_with_what_made_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cell = sweep.solved(
        lambda key, *, hidden=2: models.ReluOutput.init(
            4, hidden, key=key, activation=("identity", "relu")[hidden - 1]
        ),
        lambda density: Population(features.Independent(density, n_features=4)),
        evaluations=5,
    )
    axes = {"density": [0.5, 0.2], "hidden": [1, 2]}
    sweep.run(cell, axes, tmp_path / "s", seeds=2, seed=7, chunk=1, executor=sweep.Here(), progress=False)
    sweep.zipped(tmp_path / "s", tmp_path / "s.zip")
    model = sweep.select(tmp_path / "s", density=0.2, hidden=1)
    at = ["--at", "hidden=1"]
    for place in ("s", "s.zip"):
        assert main(["export", place]) == 2
        assert "differ in kind or size along" in capsys.readouterr().err
        assert main(["export", place, *at, "--at", "density=0.19", "--out", "m.safetensors"]) == 0
        assert "models: m.safetensors (Linear(4 features, 1 hidden))" in capsys.readouterr().out
        found, card = load_model("m.safetensors")
        np.testing.assert_array_equal(found.W, model.W)
        assert found.activation == model.activation == "identity"
        assert (card["at"]["density"], card["trained"]["seed"]) == (0.2, 7)
        assert card["trained"]["config"]["seeds"] == 2
        assert card["versions"]["superpose"] == superpose.__version__
        assert card["trained"]["code"]
    # A point that is not done is left out.
    chunks = [*(tmp_path / "s" / "data.zarr").glob("*/c/1/0")]
    for file in [file for chunk in chunks for file in (chunk, *chunk.rglob("*")) if file.is_file()]:
        file.unlink()
    assert main(["export", "s", *at]) == 0
    found, card = load_model("s.safetensors")
    assert card["axes"] == {"density": [0.5]}
    assert np.isfinite(found.W).all()


def test_a_sweep_that_is_damaged_is_not_exported_in_part(tmp_path):
    cell = sweep.solved(
        lambda key: models.ReluOutput.init(3, 1, key=key),
        lambda density: Population(features.Independent(density, n_features=3)),
        evaluations=5,
    )
    settings = {"seeds": 2, "chunk": 1, "executor": sweep.Here(), "progress": False}
    sweep.run(cell, {"density": [0.5, 0.2]}, tmp_path / "s", **settings)
    (chunk,) = (
        file for file in (tmp_path / "s" / "data.zarr" / "W" / "c" / "1").rglob("*") if file.is_file()
    )
    whole = chunk.read_bytes()
    for damage, said in (
        (lambda: chunk.write_bytes(whole[:-4] + b"none"), "s is damaged .*sweep verify .*s. names the files"),
        (chunk.unlink, "no weights of 1 cells that are done"),
    ):
        damage()
        with pytest.raises(store.DamagedError, match=said):
            export(tmp_path / "s", tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_file_is_not_replaced_by_one_that_could_not_be_read(tmp_path):
    file = save_model(models.ReluOutput([[1, -1]], [0, 0]), tmp_path / "m.safetensors")
    before = file.read_bytes()
    good = {"W": (("hidden", "feature"), np.ones((1, 2))), "b": ("feature", np.zeros(2))}
    for wrong in (
        xr.Dataset(good, attrs={"activation": "os.system"}),
        xr.Dataset(good | {"b": ("hidden", np.zeros(1))}),
    ):
        with pytest.raises(ValueError, match=r"activation 'os.system'|a model has W"):
            export(wrong, file)
    with pytest.raises(ValueError, match="all of these models are NaN"):
        export(xr.Dataset(good | {"W": (("hidden", "feature"), np.full((1, 2), np.nan))}), file)
    with pytest.raises(TypeError, match="W is of bfloat16"):
        save_model(models.ReluOutput(jnp.ones((1, 2), jnp.bfloat16), jnp.zeros(2, jnp.bfloat16)), file)
    itself = {}
    itself["me"] = itself
    with pytest.raises(ValueError, match="contains itself"):
        save_model(models.ReluOutput([[1, -1]], [0, 0]), file, notes=itself)
    assert file.read_bytes() == before


def test_a_result_of_the_first_version_is_exported(tmp_path):
    found, card = load_model(export(OLD / "intro", tmp_path / "m.safetensors"))
    assert type(found) is models.ReluOutput
    assert card["trained"]["experiment"] == "intro"
    assert card["trained"]["paper"] == "Toy Models of Superposition"
    assert {each["status"] for each in card["claims"]} <= {"holds", "differs", "fails", "open"}
    assert all(each["statement"] for each in card["claims"])
    assert card["versions"]["superpose"].startswith("0.1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a result: superpose export RESULT"),
        (["nothing"], "nothing is not there"),
        (["data.nc", "--at", "density"], "--at takes NAME=VALUE"),
        (["data.nc", "--at", "mass=1"], "there is no axis 'mass'"),
        (["data.nc", "--out", "data.npz"], r"must end in \.safetensors"),
        (["data.nc", "--out", "absent/a.safetensors"], "No such file|absent"),
        (["bare.nc"], "data must have b"),
        (["empty.nc"], "data must have W"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    W = xr.DataArray(
        np.ones((2, 1, 3)), dims=("density", "hidden", "feature"), coords={"density": [0.5, 0.1]}
    )
    bare = xr.Dataset({"W": W})
    bare.to_netcdf("bare.nc", engine="scipy")
    bare.assign(b=(("density", "feature"), np.zeros((2, 3)))).to_netcdf("data.nc", engine="scipy")
    xr.Dataset({"V": W}).to_netcdf("empty.nc", engine="scipy")
    assert main(["export", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("superpose: ")
    assert told.err.count("\n") == 1
    assert re.search(said, told.err)
    assert not [*tmp_path.glob("*.safetensors"), *tmp_path.glob("*.json")]


def test_the_card_has_a_format_that_others_can_rely_on(tmp_path):
    """docs/pytorch.md has these names."""
    _, card = load_model(export(OLD / "intro", tmp_path / "m.safetensors"))
    assert cards.FORMAT == card["format"] == 1
    assert {*card} == {
        "what", "superpose", "format", "class", "activation", "hidden_activation", "formula", "sizes", "axes", "arrays",
        "loss", "chosen", "at", "features", "trained", "claims", "versions",
    }  # fmt: skip
