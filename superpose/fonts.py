"""Words of any language in figures: fonts of this machine for letters that our font lacks.

matplotlib draws a letter from the first of a text's font families that has it, and a box where none has. So each
text is given families that have its letters, found among the fonts that are installed. A word that cannot be drawn
correctly is written as its number, and spelled out beside the figure, where the browser has fonts.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import matplotlib
from matplotlib import font_manager, ft2font

from superpose.progress import say

OURS = "DejaVu Sans"
"""The font of all figures, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew and more."""

WIDEST = 18
"""In columns; wider words are cut."""


def labels(words: Sequence[str]) -> list[str]:
    """What to write for each word: itself, or "#7" for number 7, from 0, if it cannot be drawn here.

    Words wider than `WIDEST` are cut. One line says which letters no font on this machine has.

    >>> labels(["word", "λόγος", "Donaudampfschifffahrt"])
    ['word', 'λόγος', 'Donaudampfschifff…']
    """
    for line in lacking(words):
        _say_once(line)
    return [_cut(word) if drawable(word) else f"#{i}" for i, word in enumerate(words)]


def families(text: str) -> list[str]:
    """The font families to draw a text with: ours, and one for each script that ours lacks, if there is one.

    >>> families("word λόγος слово")
    ['DejaVu Sans']
    """
    families_of = [_family(char) for char in _foreign(text)]
    return [OURS, *dict.fromkeys(family for family in families_of if family)]


def drawable(text: str) -> bool:
    """Whether this machine's fonts have all letters of a text, and matplotlib can put them together.

    >>> drawable("λόγος")
    True
    """
    return all(map(_family, _foreign(text))) and not _loose(text)


def lacking(texts: Iterable[str]) -> list[str]:
    """A line for each script in these texts that cannot be drawn on this machine: what to do about it.

    >>> lacking(["word", "λόγος"])
    []
    """
    texts = list(texts)
    unknown = {script(char) for text in texts for char in _foreign(text) if not _family(char)}
    loose = {script(char) for text in texts for char in _loose(text)} - unknown
    return [
        f"no font here has {name}: words with it are numbers in figures; install one, such as "
        f"{_PACKAGES.get(name, 'fonts-noto-core')} on Debian and Ubuntu, or one from fonts.google.com/noto"
        for name in sorted(unknown)
    ] + [
        f"matplotlib {matplotlib.__version__} cannot put together the letters of {name}: words with it are numbers "
        "in figures; install matplotlib 3.11 or newer"
        for name in sorted(loose)
    ]


def notes(words: Mapping[int, str]) -> list[str]:
    r"""What to say beside a figure that has some words, by their numbers: the words, and which cannot be drawn in it.

    So browsers can show and search them, and a reader finds what "#7" stands for. Right-to-left words are
    isolated by invisible characters, so that they do not carry along the commas and numbers beside them.

    >>> notes({3: "word", 7: "cat"})
    ['The words in the figure: \u2068word\u2069, \u2068cat\u2069.']
    """
    numbered = [f"#{i}\xa0" * (not drawable(word)) + f"\u2068{word}\u2069" for i, word in words.items()]
    why = [f"{line[0].upper()}{line[1:]}." for line in lacking(words.values())]
    return [f"The words in the figure: {', '.join(numbered)}.", *why] if words else []


def script(char: str) -> str:
    """The script that a character is of, in words.

    >>> [script(char) for char in "한ひ漢สअ🚀"]
    ['Hangul', 'Hiragana', 'Chinese characters', 'Thai', 'Devanagari', 'emoji']
    """
    if unicodedata.category(char)[0] == "S":
        return "emoji"
    name = unicodedata.name(char, "unnamed characters").split()[0]
    return "Chinese characters" if name == "CJK" else name.capitalize()


def columns(text: str) -> int:
    """How wide a text is, in Latin letters, more or less.

    >>> columns("word"), columns("단어"), columns("हिन्दी")
    (4, 4, 3)
    """
    return sum(map(_columns, text))


def _columns(char) -> int:
    if unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text) -> str:
    while columns(text) > WIDEST:
        text = text.removesuffix("…")[:-1] + "…"
    return text


_PACKAGES = dict.fromkeys(
    ["Chinese characters", "Hangul", "Hiragana", "Katakana", "Bopomofo"], "fonts-noto-cjk"
)
_PACKAGES["emoji"] = "fonts-symbola"  # in outlines: matplotlib draws no pictures in color
_REGIONS = {"Chinese characters": "SC", "Hangul": "KR", "Hiragana": "JP", "Katakana": "JP"}


@cache
def _say_once(line) -> None:
    say(line)


def _foreign(text) -> list[str]:
    """The characters that need a font and are not in ours."""
    return [char for char in text if not _is_invisible(char) and ord(char) not in _characters(OURS)]


def _is_invisible(char) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f"


def _loose(text) -> list[str]:
    """The letters that matplotlib cannot put together: before 3.11 it draws them one by one from left to right.

    That is wrong where a letter is drawn to the left of the one before it, or on it.
    """
    if hasattr(ft2font, "__libraqm_version__"):
        return []
    return [
        char
        for char in unicodedata.normalize("NFC", text)
        if unicodedata.bidirectional(char) in ("R", "AL") or unicodedata.category(char) in ("Mn", "Mc")
    ]


@cache
def _family(char) -> str | None:
    """The first family that has a character: upright, of normal weight and without serifs if there is one."""
    region = _REGIONS.get(script(char), "")

    def rank(family):
        fancy = any(kind in family.lower() for kind in ("serif", "mono", "myeongjo", "batang", "ming"))
        plain = _is_plain(_faces()[family])
        return not plain, fancy, "Noto Sans" not in family, region not in family, family

    return next((family for family in sorted(_faces(), key=rank) if _draws(family, char)), None)


@cache
def _faces() -> dict[str, font_manager.FontEntry]:
    """A face of each family, including those that were installed after matplotlib made its list of fonts."""
    manager = font_manager.fontManager
    for path in sorted({*font_manager.findSystemFonts()} - {entry.fname for entry in manager.ttflist}):
        try:
            manager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):  # not one that matplotlib can draw
            continue
    entries: dict[str, font_manager.FontEntry] = {}
    for entry in manager.ttflist:
        if entry.name not in entries or (_is_plain(entry) and not _is_plain(entries[entry.name])):
            entries[entry.name] = entry
    return entries


def _is_plain(entry) -> bool:
    """Whether a face is upright and of normal weight."""
    return entry.style == "normal" and entry.weight in (400, "normal", "regular", "book")


def _draws(family, char) -> bool:
    # Fonts of last resort have a box for each character, color fonts no outlines.
    if "lastresort" in family.lower().replace(" ", "") or ord(char) not in _characters(family):
        return False
    font = _font(family)
    try:
        font.set_size(12, 72)
        font.load_char(ord(char))
        return len(font.get_path()[0]) > 0
    except RuntimeError:
        return False


@cache
def _characters(family) -> frozenset[int]:
    try:
        return frozenset(_font(family).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _font(family) -> ft2font.FT2Font:
    entry = _faces()[family]
    if hasattr(font_manager, "FontPath"):  # since matplotlib 3.11: one of several faces in a file
        return font_manager.get_font(font_manager.FontPath(entry.fname, entry.index))
    return font_manager.get_font(entry.fname)
