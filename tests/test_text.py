import json
import random
import unicodedata

import numpy as np
import pytest
import xarray as xr

import superpose
from superpose import plot, store
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


def write(path, content: str | bytes) -> tuple[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return (str(path),)


def test_windows_are_bags_of_words(tmp_path):
    files = write(tmp_path / "a.txt", "\ufeffThe CAT, the dog! a cat_dog; Cat's “it’s” *dog* 7 cat tail")
    config = Config(files, window=4, n_words=2, n_hidden=(1,))
    assert config.windows == [
        ["the", "cat", "the", "dog"],
        ["a", "cat", "dog", "cat's"],
        ["it's", "dog", "cat", "tail"],
    ]
    assert config.words == ["cat", "dog"]
    assert config.bags().tolist() == [[1, 1], [1, 1], [1, 1]]


def test_windows_stay_within_a_file(tmp_path):
    files = write(tmp_path / "a", "red blue red") + write(tmp_path / "b", "blue red green yellow")
    config = Config(files, window=2, n_words=2, n_hidden=(1,))
    assert config.windows == [["red", "blue"], ["blue", "red"], ["green", "yellow"]]
    assert config.words == ["blue", "red"]
    assert config.bags().tolist() == [[1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("물이 산, 물! 산은 물; 산", ["물", "산"]),  # a syllable can be a word
        (unicodedata.normalize("NFD", "바다 하늘 바다 하늘"), ["바다", "하늘"]),
        ("鱼 大海 鱼 大海", ["大海", "鱼"]),
        ("हिन्दी किताब हिन्दी किताब", ["किताब", "हिन्दी"]),  # vowels are marks
        ("می‌خواهم کتاب می‌خواهم کتاب", ["می‌خواهم", "کتاب"]),  # joined by a character without width
        ("ΛΌΓΟΣ φως λόγος φως", ["λόγος", "φως"]),
        ("Ｆｕｌｌ wi­dth full width", ["full", "width"]),
    ],
)
def test_words_of_any_language(content, words, tmp_path):
    config = Config(write(tmp_path / "text", content), window=2, n_words=2, n_hidden=(1,))
    assert config.words == words


def test_stop_words_of_ones_own(tmp_path):
    files, stop = write(tmp_path / "a", "und das Meer und das Land"), write(tmp_path / "stop", "und\nDAS")
    assert Config(files, stop, window=3, n_words=2, n_hidden=(1,)).words == ["land", "meer"]


@pytest.mark.parametrize(
    "content",
    ["床前明月光，疑是地上霜。举头望明月，低头思故乡。", "吾輩は猫である。名前はまだ無い。", "ฉันกินข้าวที่บ้าน"],
)
def test_text_without_spaces_is_refused_in_one_line(content, tmp_path):
    with pytest.raises(ValueError, match="has no spaces between its words; put them there first") as error:
        Config(write(tmp_path / "text", content), window=2, n_words=2, n_hidden=(1,))
    assert "\n" not in str(error.value)


def test_the_words_of_the_figure_are_named_in_the_notes(ran):
    *_, note = ran.notes
    named = set(note.removeprefix("The words in the figure: ").removesuffix(".").split(", "))
    assert named <= {f"\u2068{word}\u2069" for word in ran.config.words}
    assert 22 <= len(named) <= 30


def test_default_text_has_content_words_by_frequency():
    config = Config()
    bags = config.bags()
    assert bags.shape == (len(config.windows), 200)
    assert (np.diff(bags.sum(0).astype(int)) <= 0).all()
    assert not set(config.words) & set(text.STOP_WORDS.split())
    assert {"class", "value"} <= set(config.words)
    assert bags.mean(0).max() < 0.3


def test_pointwise_information_has_the_sign_of_the_dependence():
    bags = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1]] * 5)
    pmi = text.pointwise_information(bags)
    assert pmi[0, 1] == pytest.approx(np.log(11 / 6))
    assert pmi[0, 2] == pytest.approx(np.log(1 / 6))
    assert pmi[0, 3] == 0
    np.testing.assert_array_equal(pmi, pmi.T)


def test_control_has_the_same_densities_and_none_of_the_dependence():
    bags = np.repeat(np.eye(2, dtype=int), 500, axis=1)[:, :1].repeat(1000, axis=0)
    assert bags.shape == (2000, 1)
    words = np.hstack([bags, 1 - bags])
    shuffled = text.shuffled(words, seed=0)
    np.testing.assert_array_equal(shuffled.sum(0), words.sum(0))
    assert abs(text.pointwise_information(words)[0, 1]) > 5
    assert abs(text.pointwise_information(shuffled)[0, 1]) < 0.3


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
        text.figure(loaded).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("places", [[0], [1, 2], [2]])
def test_draws_whatever_the_sizes(places, data, tmp_path):
    some = data.isel(n_hidden=places)
    text.figure(some).savefig(tmp_path / "figure.png")
    assert all(isinstance(claim, Claim) for claim in text.claims(some))


def test_draws_models_of_one_dimension(data, tmp_path):
    one = data.isel(n_hidden=[0], hidden=[0]).assign_coords(n_hidden=[1])
    text.figure(one).savefig(tmp_path / "figure.png")
    assert len(text.notes(one)) == 2


def test_claims_are_statements_with_what_was_measured(data):
    claims = text.claims(data)
    assert len(Claims(claims)) == 10
    for claim in claims:
        assert type(claim.holds) is bool
        assert claim.place == "ours"
        json.dumps(claim.as_dict())


def test_superposition_fails_for_models_that_store_nothing(data):
    empty = data.assign(W=data.W * 0)
    assert held(data)["superposition"]
    assert not any(
        held(empty)[name] for name in ("superposition", "frequent", "together", "apart", "control")
    )
    with plot.style():
        text.figure(empty)


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
    return {claim.id: claim.holds for claim in text.claims(data)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("", "no words"),
        ("123 -- 456", "no words"),
        (bytes(random.Random(0).randbytes(500)), "UTF-8"),
        (b"some\0text", "zero bytes"),
        ("a few words only", "different words"),
        ("one two three four five six " * 100, "different words"),
        (" ".join(f"word{'abcdefghij'[i % 10] * (i + 1)}" for i in range(300)), "windows"),
    ],
)
def test_bad_text_is_said_in_one_line(content, said, tmp_path):
    path = tmp_path / "text"
    files = (str(path),) if content is None else write(path, content)
    with pytest.raises(ValueError, match=said) as error:
        Config(files)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


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
