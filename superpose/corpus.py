"""Text as samples of features: a sample is a window of consecutive words, a feature says whether a word is in it.

`read` and `topics` give texts, `windows` cuts them into pieces, `frequent` chooses the words that are features, and
`bags` makes the samples, data for `features.Empirical`. `shuffled` is a control for them.

>>> pieces = windows(["The cat saw the dog. The dog saw a cat, the cat a dog."], 5)
>>> chosen = frequent(pieces, 2)
>>> chosen, bags(pieces, chosen).tolist()
(['cat', 'dog'], [[1, 1], [1, 1]])
"""

import operator
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import ArrayLike

# Function words hold sentences together and occur whatever the subject: "the" is in three of four
# windows of Python's help. As features they would be nearly dense, would fill the dimensions
# first, and their relations would only be those of English grammar.
_ENGLISH = """
the an this that these those each every either neither both all any some no none such other others another
same own few many much more most less least several enough
it its he him his she her hers they them their theirs we us our ours you your yours me my mine itself himself
herself themselves ourselves yourself myself one ones something anything nothing everything someone anyone
everyone who whom whose which what whatever whichever
of in to for with by from on at as into onto upon up down out off over under above below between among within
without through during before after since until till about against around along across behind beyond beside
besides near per via toward towards than like unlike except despite
and or nor but so yet if then else because although though while whereas unless whether when whenever where
wherever why how once
is are be been being am was were have has having had do does doing did done will would shall should can could
may might must ought cannot let
not only also too very just even still already again ever never always often sometimes however therefore thus
hence otherwise instead rather quite almost perhaps here there now later soon ago further furthermore moreover
well far away back
isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't won't wouldn't can't couldn't shouldn't
mustn't it's that's there's he's she's i'm i've i'll i'd you're you've you'll we're we've we'll they're let's
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""English words without a subject of their own, which are not features unless asked for."""

# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def read(path: str) -> str:
    """The text of a file in UTF-8.

    Raises ValueError for a file that cannot be read, that is not text or has no words, and for one whose
    words, in a script such as that of Chinese or Thai, have no spaces between them.

    >>> read("no-such-file.txt")
    Traceback (most recent call last):
    ...
    ValueError: cannot read no-such-file.txt: No such file or directory; name a readable file
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}; name a readable file") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it or name another"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} is not text: it has zero bytes; name a text file")
    there = words(text)
    if not there:
        raise ValueError(f"{path} has no words; name a file with text")
    if _is_unspaced(there):
        raise ValueError(
            f"{path} has no spaces between its words; put them there first, with a segmenter such as jieba for "
            "Chinese, MeCab for Japanese or PyThaiNLP for Thai"
        )
    return text


def topics() -> list[str]:
    """Python's help topics, text that is always at hand. A paragraph shared by several topics is in the first one only.

    Raises ValueError where Python comes without them.

    >>> any({"python", "sequence"} <= set(words(topic)) for topic in topics())
    True
    """
    try:
        from pydoc_data.topics import topics as each
    except ImportError:
        raise ValueError("this Python comes without its help topics; give files with --text") from None
    seen: set[str] = set()
    texts = []
    for _, topic in sorted(each.items()):
        paragraphs = [(" ".join(part.split()), part) for part in topic.split("\n\n")]
        texts.append("\n".join(part for same, part in paragraphs if same not in seen))
        seen.update(same for same, _ in paragraphs)
    return texts


def words(text: str) -> list[str]:
    """The words of a text of any language in order, in lower case.

    A word is a run of letters, with the marks on them, such as the vowels of Hindi, and with apostrophes and
    joiners within it. So what is left of markup (rules, asterisks, quotes, indentation) falls away, and names of
    programs are cut at underscores, dots and digits. Raises TypeError for what is not text.

    >>> words("The *cat's* tail; read_text 7")
    ['the', "cat's", 'tail', 'read', 'text']
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    text = unicodedata.normalize("NFKC", text).lower().replace("\N{SOFT HYPHEN}", "")
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    marks = re.escape(
        "".join(sorted(char for char in set(text) if unicodedata.category(char) in ("Mn", "Mc")))
    )
    letter = rf"[^\W\d_][{marks}]*" if marks else r"[^\W\d_]"
    return re.findall(rf"(?:{letter})+(?:['\u200c\u200d](?:{letter})+)*", text)


def windows(texts: Iterable[str], size: int) -> list[list[str]]:
    """The words of texts in pieces of `size`, which do not overlap; what is left over at the end of a text is dropped.

    Raises ValueError for a size below 1, and TypeError for one text in place of several.

    >>> windows(["red green blue", "one two"], 2)
    [['red', 'green'], ['one', 'two']]
    """
    _refuse_text("texts must be a list of them", texts)
    n = _count(size, "size")
    each = [words(text) for text in texts]
    return [there[at : at + n] for there in each for at in range(0, len(there) - n + 1, n)]


def frequent(windows: Sequence[Sequence[str]], n: int, stop: Collection[str] = STOP_WORDS) -> list[str]:
    """The `n` words that are in the most windows, or fewer if there are no more; ties in the alphabet's order.

    Words of the `stop` list are left out, and so are single letters, which are "a", "I" and names of variables; a
    syllable of Korean or a Chinese character is more than that. Raises ValueError for `n` below 1, and
    TypeError for texts that are not cut into words.

    >>> frequent([["the", "red", "sea"], ["the", "sea", "sea"], ["a", "red", "sea"]], 2)
    ['sea', 'red']
    """
    _refuse_text("windows must be lists of words", windows, *windows)
    _refuse_text("stop must be a set of words", stop)
    count = Counter(word for window in windows for word in set(window))
    there = [word for word in count if not _is_letter(word) and word not in stop]
    return sorted(there, key=lambda word: (-count[word], word))[: _count(n, "n")]


def bags(windows: Sequence[Sequence[str]], words: Sequence[str]) -> UInt8[np.ndarray, "window word"]:
    """Whether a window has a word: 1 if it does, however often, else 0.

    Raises ValueError for a word that is given twice, and TypeError for texts that are not cut into words.

    >>> bags([["red", "sea"], ["sea", "sea"]], ["sea", "red"]).tolist()
    [[1, 1], [1, 0]]
    """
    _refuse_text("windows must be lists of words", windows, *windows)
    _refuse_text("words must be a list of them", words)
    place = {word: i for i, word in enumerate(words)}
    if len(place) < len(words):
        twice = next(word for i, word in enumerate(words) if place[word] > i)
        raise ValueError(f"words must be different, got {twice!r} twice")
    matrix = np.zeros((len(windows), len(words)), np.uint8)
    for row, window in zip(matrix, windows, strict=True):
        row[[place[word] for word in window if word in place]] = 1
    return matrix


def pointwise_information(bags: ArrayLike) -> Float[np.ndarray, "word word"]:
    """How much more often two words share a window of `bags` than if they were independent.

    `log((n_ij + 1) / (n_i n_j / n + 1))`, with the number of windows `n_ij` that have both, and
    `n_i n_j / n` expected: 0 for independent words, positive for those that occur together. The 1 draws pairs too rare
    to judge toward 0. Raises ValueError for what is not a matrix of 0 and 1.

    >>> pointwise_information([[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]).round(2).tolist()
    [[0.41, 0.41, 0.0], [0.41, 0.41, 0.0], [0.0, 0.0, 0.41]]
    """
    there = _matrix(bags).astype(float)
    together, count = there.T @ there, there.sum(0)
    return np.log((together + 1) / (np.outer(count, count) / len(there) + 1))


def shuffled(bags: ArrayLike, seed: int) -> Shaped[np.ndarray, "window word"]:
    """As many windows as in `bags`, with each word in as many of them as before, but in random ones.

    A control for a text: independent words of the same densities, and, unlike fresh draws, no more windows than the text
    has, which models may learn by heart. Raises ValueError for what is not a matrix of 0 and 1.

    >>> shuffled([[1, 0], [1, 0], [0, 0], [0, 1]], seed=0).sum(axis=0).tolist()
    [2, 1]
    """
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(word) for word in _matrix(bags).T], axis=1)


def _is_letter(word: str) -> bool:
    return len(word) == 1 and unicodedata.east_asian_width(word) != "W"


def _is_unspaced(words: list[str]) -> bool:
    """Whether these are clauses rather than words: most are in such a script, and too long to be words in it."""
    letters = [len(_UNSPACED.findall(word)) for word in words]
    long = [n for n in letters if n]
    return len(long) > len(words) / 2 and sum(long) >= 5 * len(long)


def _refuse_text(said: str, *lists: Iterable) -> None:
    """Raise TypeError where a text is in place of a list: its letters would be taken for the list's items."""
    if any(isinstance(each, str) for each in lists):
        raise TypeError(f"{said}, got a str")


def _count(value: int, name: str) -> int:
    # Like `inputs.whole`, without the JAX that `inputs` needs.
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r:.40}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def _matrix(bags: ArrayLike) -> np.ndarray:
    matrix = np.asarray(bags)
    if matrix.ndim != 2 or not np.isin(matrix, (0, 1)).all():
        raise ValueError(
            f"bags must be a matrix (window, word) of 0 and 1, got {matrix.dtype} of shape {matrix.shape}"
        )
    return matrix
