import json

import numpy as np
import pytest
import xarray as xr

import superpose
from superpose import corpus, plot, store
from superpose.claims import Claim, Claims
from superpose.papers.elhage2022 import text
from superpose.papers.elhage2022.text import Config

SMALL = {"n_words": 30, "n_hidden": (2, 3, 6), "members": 2, "steps": 300, "batch": 128}


@pytest.fixture(scope="module")
def ran():
    return superpose.run("text", **SMALL)


@pytest.fixture(scope="module")
def data(ran) -> xr.Dataset:
    return ran.data


def write(path, content: str) -> tuple[str]:
    path.write_bytes(content.encode())
    return (str(path),)


def test_stop_words_of_ones_own(tmp_path):
    files, stop = write(tmp_path / "a", "und das Meer und das Land"), write(tmp_path / "stop", "und\nDAS")
    assert Config(files, stop, window=3, n_words=2, n_hidden=(1,)).words == ["land", "meer"]


def test_the_words_of_the_figure_are_named_in_the_notes(ran):
    *_, note = ran.notes
    named = set(note.removeprefix("The words in the figure: ").removesuffix(".").split(", "))
    assert named <= {f"\u2068{word}\u2069" for word in ran.config.words}
    assert 22 <= len(named) <= 30


def test_default_text_is_read_by_frequency():
    config = Config()
    words = corpus.frequent(corpus.windows(corpus.topics(), 20), 200)
    assert config.words == words
    assert len(config.windows) > 1000


def test_runs_saves_and_draws(data, tmp_path):
    assert data.W.dims == ("world", "n_hidden", "member", "hidden", "feature")
    assert dict(data.sizes) == {
        "world": 2,
        "n_hidden": 3,
        "member": 2,
        "hidden": 6,
        "feature": 30,
        "feature_2": 30,
    }
    assert (data.W.notnull().all("feature").sum("hidden") == data.n_hidden).all()
    store.save(data, tmp_path / "data.zarr")
    loaded = store.load(tmp_path / "data.zarr")
    xr.testing.assert_identical(loaded.drop_vars(["world", "word"]), data.drop_vars(["world", "word"]))
    assert loaded.word.values.tolist() == data.word.values.tolist()
    with plot.style():
        text.figure(text.measured(loaded)).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("places", [[0], [1, 2], [2]])
def test_draws_whatever_the_sizes(places, data, tmp_path):
    some = text.measured(data.isel(n_hidden=places))
    text.figure(some).savefig(tmp_path / "figure.png")
    assert all(isinstance(claim, Claim) for claim in text.claims(some))


def test_draws_models_of_one_dimension(data, tmp_path):
    one = text.measured(data.isel(n_hidden=[0], hidden=[0]).assign_coords(n_hidden=[1]))
    text.figure(one).savefig(tmp_path / "figure.png")
    assert len(text.notes(one)) == 2


def test_claims_are_statements_with_what_was_measured(data):
    claims = text.claims(text.measured(data))
    assert len(Claims(claims)) == 10
    for claim in claims:
        assert type(claim.holds) is bool
        assert claim.section == "ours"
        json.dumps(claim.as_dict())


def test_superposition_fails_for_models_that_store_nothing(data):
    empty = data.assign(W=data.W * 0)
    assert held(data)["superposition"]
    assert not any(
        held(empty)[name] for name in ("superposition", "frequent", "together", "apart", "control")
    )
    with plot.style():
        text.figure(text.measured(empty))


def test_claims_follow_the_directions_that_are_planted(data):
    # Words in two topics, alike within and opposite across; the control's directions are random.
    topic = np.where(np.arange(30) % 2, 1.0, -1.0)
    random = np.random.default_rng(0)
    W = 0.1 * random.normal(size=data.W.shape)
    W[1] = random.normal(size=W[1].shape)
    W = np.where(data.W.isnull(), np.nan, W)
    W[0, :, :, 0] = topic * (2 - np.linspace(0, 1, 30))
    alike = np.outer(topic, topic)
    planted = data.assign(
        W=(data.W.dims, W), pmi=(data.pmi.dims, alike + 0.01 * random.normal(size=alike.shape))
    )
    names = ("together", "together-control", "beside", "apart")
    assert all(held(planted)[name] for name in names)
    opposite = planted.assign(pmi=-planted.pmi)
    assert not any(held(opposite)[name] for name in names)
    copied = planted.assign(W=(data.W.dims, np.stack([W[0], W[0]])))
    assert not any(held(copied)[name] for name in (*names[1:], "control", "more"))
    assert not held(planted.assign(loss=data.loss.isel(world=[1, 0]).drop_vars("world")))["cheaper"]


def held(data) -> dict[str, bool]:
    return {claim.id: claim.holds for claim in text.claims(text.measured(data))}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no words"),
        ("a few words only", "different words"),
        ("one two three four five six " * 100, "different words"),
        (" ".join(f"word{'abcdefghij'[i % 10] * (i + 1)}" for i in range(300)), "windows"),
    ],
)
def test_bad_text_is_said_in_one_line(content, said, tmp_path):
    files = write(tmp_path / "text", content)
    with pytest.raises(ValueError, match=said) as error:
        Config(files)
    assert "\n" not in str(error.value)
    assert files[0] in str(error.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"n_hidden": (0,)}, {"n_hidden": ()}, {"n_hidden": (2, 2)}, {"n_hidden": (201,)}, {"window": 1}, {"n_words": 1},
        {"members": 0}, {"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")},
        {"n_words": 5000}, {"window": 10000}, {"text": (".",)},
    ],
)  # fmt: skip
def test_bad_settings_are_said_in_one_line(setting):
    with pytest.raises(ValueError, match=r".") as error:
        Config(**setting)
    assert "\n" not in str(error.value)
