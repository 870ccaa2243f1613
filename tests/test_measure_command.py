"""`superpose measure`: real weights go in, a table, a figure and JSON come out; what is wrong is one line."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from superpose import frames, polytopes
from superpose.cli import main
from superpose.frames import _command, _figure, _files, _told

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 6)).astype(np.float32)


def _json(capsys, *args):
    assert main(["measure", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _refused(capsys, *args) -> str:
    assert main(["measure", *map(str, args)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err.removeprefix("superpose: ").rstrip()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"wte.weight": ROWS, "bias": ROWS[0]}, path, {"format": "pt"})
    return path


def _saved(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, W=values, told=np.array("by hand"))
    else:
        save_file({"W": np.ascontiguousarray(values)}, path)
    return path


@pytest.mark.parametrize("name", ["W.npy", "W.npz", "W.safetensors"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_every_kind_of_file_has_the_same_numbers(name, dtype, tmp_path, capsys):
    values = np.round(10 * ROWS).astype(dtype)
    found = _json(capsys, _saved(tmp_path / name, values))
    expected = np.linalg.norm(values.astype(float), axis=1)
    assert (found["vectors"], found["dimensions"], found["layout"]) == (40, 6, "rows")
    assert found["type"] == np.dtype(dtype).name
    np.testing.assert_allclose(found["quantiles"]["norm"]["here"], np.quantile(expected, _told.AT), rtol=1e-6)


def test_bfloat16_is_read(tmp_path, capsys):
    path = _saved(tmp_path / "W.safetensors", ROWS.astype(ml_dtypes.bfloat16))
    found, exact = _json(capsys, path), _json(capsys, _saved(tmp_path / "W.npy", ROWS))
    assert found["type"] == "bfloat16"
    assert found["numbers"]["tightness"]["here"] == pytest.approx(
        exact["numbers"]["tightness"]["here"], rel=1e-2
    )


def test_files_are_mapped_and_not_read(tmp_path, file):
    for path in (_saved(tmp_path / "W.npy", ROWS), file):
        W = _files.matrix(path).W
        while isinstance(W, np.ndarray) and not isinstance(W, np.memmap):
            W = W.base
        assert isinstance(W, np.memmap)
    np.testing.assert_array_equal(_files.matrix(file).W, ROWS.T)


@pytest.mark.parametrize(
    ("name", "shape", "layout", "expected"),
    [
        ("embedding", (40, 6), "guess", "40 vectors in 6 dimensions, the rows of embedding (float32); more than the columns: else --layout columns"),
        ("W", (6, 40), "guess", "40 vectors in 6 dimensions, the columns of W (float32); more than the rows: else --layout rows"),
        ("W", (6, 6), "guess", "6 vectors in 6 dimensions, the rows of W (float32); as a rule: else --layout columns"),
        ("sae.W_dec", (6, 40), "guess", "6 vectors in 40 dimensions, the rows of sae.W_dec (float32); by the name: else --layout columns"),
        ("decoder.weight", (40, 6), "guess", "6 vectors in 40 dimensions, the columns of decoder.weight (float32); by the name: else --layout rows"),
        ("cls.decoder.weight", (40, 6), "guess", "40 vectors in 6 dimensions, the rows of cls.decoder.weight (float32); more than the columns: else --layout columns"),
        ("W", (1, 6), "columns", "6 vectors in 1 dimension, the columns of W (float32)"),
        ("my_decoder.weight", (40, 6), "columns", "6 vectors in 40 dimensions, the columns of my_decoder.weight (float32)"),
    ],
)  # fmt: skip
def test_layouts_are_guessed_or_told_and_said(name, shape, layout, expected, tmp_path):
    save_file({name: np.zeros(shape, np.float32)}, tmp_path / "made.safetensors")
    found = _files.matrix(tmp_path / "made.safetensors", layout=layout)
    assert found.said == expected
    assert f"{found.W.shape[1]} vectors in {found.W.shape[0]} dim" in found.said


def test_a_table_has_here_beside_random(file, capsys):
    assert main(["measure", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{file}: 40 vectors in 6 dimensions, the rows of wte.weight (float32)")
    for words in (
        "here     random      drawn",
        "D_i, the share of a dimension",
        "Welch",
        "effective rank",
        "lengths: median",
    ):
        assert words in out
    assert max(map(len, out.splitlines()[1:])) < 100


def test_json_has_what_is_documented(file, tmp_path, capsys):
    from pathlib import Path

    out = tmp_path / "measured.json"
    assert main(["measure", str(file), "--out", str(out)]) == 0
    assert f"measured: {out}" in capsys.readouterr().out
    found = json.loads(out.read_text())
    printed = _json(capsys, file)
    assert {**found, "seconds": 0} == {**printed, "seconds": 0}
    guide = (Path(__file__).parents[1] / "docs" / "measure.md").read_text(encoding="utf-8")
    for name in (*found, *found["numbers"], *found["quantiles"], *found["clusters"]):
        assert f"`{name}`" in guide, name
    assert len(found["cosines"]["here"]) == 1000
    assert sum(found["cosines"]["here"]) == 40 * 39 / 2
    for name, number in found["numbers"].items():
        assert set(number) == {"here", "random", "sample", "between"}, name


def test_a_folder_has_figure_json_and_the_numbers_of_each_vector(file, tmp_path, capsys):
    out = tmp_path / "measured"
    drawn = []
    for _ in range(2):  # what superpose wrote is replaced, and by the same seed the same
        assert main(["measure", str(file), "--seed", "3", "--out", str(out)]) == 0
        drawn.append([(out / name).read_bytes() for name in ("figure.svg", "vectors.npz")])
    assert drawn[0] == drawn[1]
    names = {path.name for path in out.iterdir()}
    assert names == {"figure.png", "figure.svg", "measured.json", "vectors.npz", "superpose.json"}
    with np.load(out / "vectors.npz", allow_pickle=False) as each:
        np.testing.assert_allclose(each["norm"], np.linalg.norm(ROWS, axis=1), rtol=1e-6)
        assert {*each.files} == {"norm", "interference", "dimensionality", "nearest", "cosine", "cluster"}
    assert main(["verify", str(out)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "measured"}


def test_known_frames_are_told(tmp_path, capsys):
    pairs = np.concatenate([np.eye(4), -np.eye(4)])
    assert main(["measure", str(_saved(tmp_path / "pairs.npy", pairs))]) == 0
    out = capsys.readouterr().out
    assert "polytopes: 4 digons among 4 clusters" in out
    assert "clusters: 4 with 8 vectors, the largest of 2" in out
    numbers = _json(capsys, tmp_path / "pairs.npy")["numbers"]
    assert numbers["tightness"]["here"] == pytest.approx(1)
    assert numbers["dimensions_per_feature"]["here"] == 0.5
    pentagon = _saved(tmp_path / "pentagon.npz", polytopes.polygon(5))
    assert main(["measure", str(pentagon), "--link", "0.3"]) == 0
    assert "polytopes: 1 pentagon among 1 cluster " in capsys.readouterr().out


@pytest.mark.parametrize(
    "values", [np.zeros((4, 3)), np.ones((1, 3)), np.ones((5, 1)), np.ones((3, 3)), np.eye(3), ROWS * np.float32(1e30),
               np.full((2, 2), 1e200), np.eye(2, 50)],
    ids=["zeros", "one vector", "one dimension", "equal", "orthogonal", "huge", "beyond squares", "few"],
)  # fmt: skip
@pytest.mark.parametrize("center", [[], ["--center"]])
def test_every_small_case_has_a_table_and_a_figure(values, center, tmp_path, capsys):
    path, out = _saved(tmp_path / "W.npy", values), tmp_path / "measured.json"
    assert main(["measure", str(path), "--layout", "rows", *center, "--out", str(out)]) == 0
    said, err = capsys.readouterr()
    assert not err
    assert "nan" not in said
    json.loads(out.read_text(), parse_constant=pytest.fail)
    found = frames.measured(values.T, center=bool(center), progress=False)
    fig = _figure.figure(found, frames.chance.sample(found.norms, found.hidden), "small")
    fig.savefig(tmp_path / "figure.png", dpi=40)
    assert len(fig.axes) == 6


# What is wrong.


def test_several_matrices_are_listed_and_one_is_chosen(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    save_file({f"layer.{k}": np.ones((k + 2, 3), np.float32) for k in range(15)} | {"bias": ROWS[0]}, path)
    said = _refused(capsys, path)
    assert said.startswith(
        f"{path} has 15 matrices; choose by --tensor NAME: layer.14 (16, 3), layer.13 (15, 3),"
    )
    assert said.endswith("and 3 more")
    assert _json(capsys, path, "--tensor", "layer.4")["vectors"] == 6
    assert _refused(capsys, path, "--tensor", "layer.15").startswith(
        f"{path} has no tensor 'layer.15'; its matrices are layer.14 (16, 3)"
    )
    assert _refused(capsys, path, "--tensor", "bias").startswith(
        f"bias in {path} has the shape (6,), which is no matrix"
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name a file: superpose measure FILE"),
        (["absent.npy"], "cannot read absent.npy: No such file"),
        (["model.pt"], "model.pt may run code where it is read, so it is not"),
        (["model.gguf"], "model.gguf must end in .safetensors, .npz or .npy"),
        (["W.npy", "--link", "1"], "--link must be between 0 and 1"),
        (["W.npy", "--out", "figure.png"], "--out takes a folder or a .json file, got figure.png"),
        (["W.npy", "--out", "theirs.json"], "theirs.json is there already, and superpose did not write it"),
        (["W.npy", "--out", "theirs"], "theirs holds something that superpose did not write"),
        (["W.npy", "--layout", "up"], ""),
        (["W.npy", "--seed", "-1"], "seed"),
        (["nan.npy"], "nan.npy: the array must be finite, got NaN or infinity in vector 3"),
        (["objects.npy"], "cannot read objects.npy: it holds Python objects, which may run code"),
        (["objects.npz"], "cannot read objects.npz: W holds Python objects, which may run code"),
        (["text.npy"], "text.npy: the array must be real numbers"),
        (["complex.npy"], "complex.npy: the array must be real numbers"),
        (["line.npy"], "line.npy has no matrix; it has the array (6,)"),
        (["empty.npy"], "empty.npy: the array must have vectors and dimensions"),
        (["cut.npy"], "cannot read cut.npy: "),
        (["cut.safetensors"], "cannot read cut.safetensors: its header and its size do not fit together at W"),
        (["text.safetensors"], "cannot read text.safetensors: its header is cut off, or it is no such file"),
        (["wrong.safetensors"], "cannot read wrong.safetensors: its header does not say where W is"),
        (["list.safetensors"], "cannot read list.safetensors: its header is no JSON object"),
        (["odd.safetensors"], "cannot read odd.safetensors: W has the type I3, which is not read"),
        (["text.npz"], "cannot read text.npz: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(args, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _saved(tmp_path / "W.npy", ROWS)
    nan = ROWS.copy()
    nan[3, 2] = np.nan
    np.save("nan.npy", nan)
    np.save("objects.npy", np.array([[1, "a"]], object))
    np.savez("objects.npz", W=np.array([[1, "a"]], object))
    np.save("text.npy", np.array([["a", "b"]]))
    np.save("complex.npy", ROWS * 1j)
    np.save("line.npy", ROWS[0])
    np.save("empty.npy", ROWS[:0])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "W.npy").read_bytes()[:-8])
    save_file({"W": ROWS}, "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-8])
    for name in ("text.safetensors", "text.npz", "theirs.json"):
        (tmp_path / name).write_text('"what is this file, if you please?"')
    for name, header in (
        ("wrong", {"W": {"dtype": "F32"}}),
        ("list", []),
        ("odd", {"W": {"dtype": "I3", "shape": [1, 2], "data_offsets": [0, 1]}}),
    ):
        told = json.dumps(header).encode()
        (tmp_path / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + b"0")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.iterdir())
    assert _refused(capsys, *args).startswith(said)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_said_before_the_work(file, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    said = _refused(capsys, file, "--out", tmp_path / "file" / "below")
    assert said.startswith(f"{tmp_path / 'file'} is not a folder")


def test_vectors_without_a_direction_do_not_count_among_random_ones(tmp_path, capsys):
    W = np.concatenate([RNG.normal(size=(100, 16)), np.zeros((100, 16))])
    W[:100] /= np.linalg.norm(W[:100], axis=1, keepdims=True)
    found = _json(capsys, _saved(tmp_path / "W.npy", W))["numbers"]["dimensionality_mean"]
    assert found["random"] == pytest.approx(16 / (100 + 16 - 1), rel=0.02)
    assert found["sample"] == pytest.approx(found["random"], rel=0.1)
    assert found["here"] == pytest.approx(found["random"], rel=0.1)


def test_theory_is_left_out_where_it_is_that_of_another_mean(tmp_path, capsys):
    W = RNG.normal(size=(2000, 12))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    W[0] *= 100
    found = _json(capsys, _saved(tmp_path / "W.npy", W))["numbers"]
    for name in ("dimensionality_mean", "dimensionality_sum"):
        assert found[name]["random"] is None
        assert found[name]["sample"] == pytest.approx(found[name]["here"], rel=0.2)
    assert found["first_share"]["sample"] == pytest.approx(found["first_share"]["here"], rel=0.05)


def test_random_ones_do_not_lie_below_what_is_possible(tmp_path, capsys):
    found = _json(capsys, _saved(tmp_path / "W.npy", RNG.normal(size=(30, 2))))["numbers"]
    assert found["tightness"]["between"][0] == 1
    assert found["frame_potential"]["between"][0] == 450


def test_a_file_that_changes_while_it_is_read_is_said(tmp_path, monkeypatch, capsys):
    path = _saved(tmp_path / "W.npy", ROWS)
    real = _command.measured

    def meanwhile(W, **settings):
        found = real(np.array(W), **settings)
        np.save(path, np.zeros_like(ROWS[:3]))
        return found

    monkeypatch.setattr(_command, "measured", meanwhile)
    assert (
        _refused(capsys, path, "--out", tmp_path / "out")
        == f"{path} was changed while it was read; try again"
    )
    assert not (tmp_path / "out").exists()


def test_long_names_fit_into_the_title():
    assert _command._short("model.safetensors") == "model.safetensors"
    assert len(_command._short("m" * 100)) == 41


def test_names_of_tensors_may_hold_anything(tmp_path, capsys):
    path = tmp_path / "модель.safetensors"
    save_file({"$x_1^{$ 단어": ROWS}, path)
    assert "$x_1^{$ 단어" in _json(capsys, path)["read"]
    found = frames.measured(ROWS.T)
    fig = _figure.figure(found, frames.chance.sample(found.norms, 6), "$x_1^{$ 단어")
    fig.savefig(tmp_path / "figure.png", dpi=40)


def test_the_decoder_is_chosen_among_the_arrays_of_an_autoencoder(tmp_path, capsys):
    save_file({"W_enc": ROWS.T.copy(), "W_dec": ROWS, "b_dec": ROWS[0]}, tmp_path / "sae.safetensors")
    assert _json(capsys, tmp_path / "sae.safetensors")["tensor"] == "W_dec"


def test_dstar_is_compared_where_lengths_are_near_1_only(tmp_path, capsys):
    W = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    for scale, expected in ((1, 6 / 40), (3, None)):
        number = _json(capsys, _saved(tmp_path / f"{scale}.npy", scale * W))["numbers"][
            "dimensions_per_feature"
        ]
        assert number["random"] == expected
        assert number["here"] == pytest.approx(6 / 40 / scale**2)
