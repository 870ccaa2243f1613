"""Texts of any language become words, windows of them, and samples; what is no text is refused in one line."""

import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from superpose import corpus


def write(path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(paths, size, n):
    """The windows of some files, their most frequent words, and the samples."""
    windows = corpus.windows([corpus.read(path) for path in paths], size)
    words = corpus.frequent(windows, n)
    return windows, words, corpus.bags(windows, words).tolist()


def test_windows_are_bags_of_words(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffThe CAT, the dog! a cat_dog; Cat's “it’s” *dog* 7 cat tail")
    windows, words, bags = read([path], 4, 2)
    assert windows == [
        ["the", "cat", "the", "dog"],
        ["a", "cat", "dog", "cat's"],
        ["it's", "dog", "cat", "tail"],
    ]
    assert words == ["cat", "dog"]
    assert bags == [[1, 1], [1, 1], [1, 1]]


def test_windows_stay_within_a_file(tmp_path):
    paths = [write(tmp_path / "a", "red blue red"), write(tmp_path / "b", "blue red green yellow")]
    windows, words, bags = read(paths, 2, 2)
    assert windows == [["red", "blue"], ["blue", "red"], ["green", "yellow"]]
    assert words == ["blue", "red"]
    assert bags == [[1, 1], [1, 1], [0, 0]]


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
    assert read([write(tmp_path / "text", content)], 2, 2)[1] == words


def test_stop_words_of_ones_own():
    windows = corpus.windows(["und das Meer und das Land"], 3)
    assert corpus.frequent(windows, 2, {"und", "das"}) == ["land", "meer"]
    assert corpus.frequent(windows, 9, ()) == ["das", "und", "land", "meer"]


def test_python_topics_have_content_words_by_frequency():
    windows = corpus.windows(corpus.topics(), 20)
    words = corpus.frequent(windows, 200)
    bags = corpus.bags(windows, words)
    assert bags.shape == (len(windows), 200)
    assert (np.diff(bags.sum(0).astype(int)) <= 0).all()
    assert not set(words) & corpus.STOP_WORDS
    assert {"class", "value"} <= set(words)
    assert bags.mean(0).max() < 0.3


def test_the_stop_list_is_written_as_words_are():
    assert set(corpus.words(" ".join(corpus.STOP_WORDS))) == corpus.STOP_WORDS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("", "no words"),
        ("123 -- 456", "no words"),
        (bytes(random.Random(0).randbytes(500)), "UTF-8"),
        (b"some\0text", "zero bytes"),
        (
            "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
            "has no spaces between its words; put them there first",
        ),
        ("吾輩は猫である。名前はまだ無い。", "has no spaces between its words; put them there first"),
        ("ฉันกินข้าวที่บ้าน", "has no spaces between its words; put them there first"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(content, said, tmp_path):
    path = str(tmp_path / "text") if content is None else write(tmp_path / "text", content)
    with pytest.raises(ValueError, match=said) as error:
        corpus.read(path)
    assert "\n" not in str(error.value)
    assert path in str(error.value)


def test_a_python_without_its_topics_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ValueError, match="this Python comes without its help topics; give files with --text"):
        corpus.topics()


def test_pointwise_information_has_the_sign_of_the_dependence():
    bags = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1]] * 5)
    pmi = corpus.pointwise_information(bags)
    assert pmi[0, 1] == pytest.approx(np.log(11 / 6))
    assert pmi[0, 2] == pytest.approx(np.log(1 / 6))
    assert pmi[0, 3] == 0
    np.testing.assert_array_equal(pmi, pmi.T)


def test_control_has_the_same_densities_and_none_of_the_dependence():
    bags = np.repeat(np.eye(2, dtype=int), 500, axis=1)[:, :1].repeat(1000, axis=0)
    assert bags.shape == (2000, 1)
    words = np.hstack([bags, 1 - bags])
    shuffled = corpus.shuffled(words, seed=0)
    np.testing.assert_array_equal(shuffled.sum(0), words.sum(0))
    assert abs(corpus.pointwise_information(words)[0, 1]) > 5
    assert abs(corpus.pointwise_information(shuffled)[0, 1]) < 0.3


def test_text_is_read_without_jax():
    code = "import sys; from superpose import corpus; corpus.topics(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
