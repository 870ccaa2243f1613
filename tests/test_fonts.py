"""Words of any language are drawn with fonts of the machine, or as numbers where it has none, and are never code."""

import io
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, ft2font
from rich.console import Console

from superpose import fonts, report
from superpose.claims import Claim, about, html, table
from superpose.interactive import Run
from superpose.papers import experiments
from superpose.papers.elhage2022 import text

HANGUL = ["가나", "다라"]
MARKUP = [
    "<b>", "<script>alert(1)</script>", "--><script>alert(1)</script>", '" onload="alert(1)', "$x$", "$", "[red]", "[/]",
    "&amp;", "{x}", "{{ x }}", r"\alpha", "\\", "%s", "`code`", "_x^2", "x" * 200,
]  # fmt: skip


def _font(path, family, characters, empty=False):
    """A font with a square for each of the characters, or with nothing for them."""
    names = {ord(char): f"u{ord(char):x}" for char in characters}
    pen = TTGlyphPen(None)
    if not empty:
        pen.moveTo((0, 0))
        for corner in ((0, 700), (600, 700), (600, 0)):
            pen.lineTo(corner)
        pen.closePath()
    glyph, made = pen.glyph(), FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", *names.values()])
    made.setupCharacterMap(names)
    made.setupGlyf(dict.fromkeys([".notdef", *names.values()], glyph))
    made.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (700, 0)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": family, "styleName": "Regular"})
    made.setupOS2(usWeightClass=400)
    made.setupPost()
    made.save(path)
    return str(path)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that has these families beside matplotlib's own, installed after its list of fonts was made."""
    own = [e for e in font_manager.fontManager.ttflist if e.name == fonts.OURS or "Last Resort" in e.name]
    cached = fonts._family, fonts._faces, fonts._characters, fonts._say_once

    def having(**families):
        for each in cached:
            each.cache_clear()
        monkeypatch.setattr(font_manager.fontManager, "ttflist", own.copy())
        paths = [_font(tmp_path / f"{name}.ttf", name, **more) for name, more in families.items()]
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)

    having()
    yield having
    for each in cached:
        each.cache_clear()


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """The lines that are told."""
    lines: list[str] = []
    monkeypatch.setattr(fonts, "say", lines.append)
    return lines


def test_letters_that_ours_has_need_no_other_font(machine, said, monkeypatch):
    monkeypatch.setattr(ft2font, "__libraqm_version__", "1", raising=False)
    words = ["word", "λόγος", "слово", "شمس", "😀", "<b>", "$x$", "[red]", "&amp;", "{x}", r"\alpha", "%s"]
    assert fonts.labels(words) == words
    assert all(fonts.families(word) == [fonts.OURS] for word in words)
    assert said == []


def test_a_word_without_a_font_is_a_number_and_one_line_says_why(machine, said):
    assert fonts.labels(["word", "가나", "다라", "中文", "🚀"]) == ["word", "#1", "#2", "#3", "#4"]
    fonts.labels(["가나"])
    assert [line.split(":")[0] for line in said] == [
        "no font here has Chinese characters",
        "no font here has Hangul",
        "no font here has emoji",
    ]
    assert "fonts-noto-cjk" in said[0]
    assert not any("\n" in line for line in said)


def test_a_font_that_has_the_letters_is_found(machine, said):
    machine(Some={"characters": "가나다"}, Whole={"characters": "가나다라"})
    assert fonts.families("가나") == [fonts.OURS, "Some"]
    assert fonts.families("가라") == [fonts.OURS, "Some", "Whole"]
    assert fonts.labels([*HANGUL, "한"]) == [*HANGUL, "#2"]
    assert len(said) == 1


def test_plain_fonts_come_first(machine):
    machine(
        **{
            name: {"characters": "가"}
            for name in ("Any", "Any Serif", "Noto Sans CJK JP", "Noto Sans CJK KR")
        }
    )
    assert fonts.families("가") == [fonts.OURS, "Noto Sans CJK KR"]


@pytest.mark.parametrize("name", ["Last Resort", "Color"])
def test_boxes_and_pictures_are_no_letters(name, machine):
    machine(**{name: {"characters": "가", "empty": name == "Color"}})
    assert not fonts.drawable("가")


def test_where_letters_are_not_put_together_words_that_need_it_are_numbers(machine, monkeypatch, said):
    monkeypatch.delattr(ft2font, "__libraqm_version__", raising=False)
    assert fonts.labels(["word", "λόγος", "مرحبا", "שלום", "a\u0301"]) == [
        "word",
        "λόγος",
        "#2",
        "#3",
        "a\u0301",
    ]
    assert [line.split(":")[0].split("of ")[1] for line in said] == ["Arabic", "Hebrew"]


def test_long_words_are_cut(machine):
    machine(Some={"characters": "가"})
    cut = fonts.labels(["x" * 40, "가" * 40, "x" * fonts.WIDEST])
    assert cut == ["x" * 17 + "…", "가" * 8 + "…", "x" * fonts.WIDEST]


def _data(words):
    """Models of these words by hand, for `text.figure`."""
    n, random = len(words), np.random.default_rng(0)
    W = random.normal(size=(2, 2, 1, 3, n))
    W[:, 0, :, 2] = np.nan
    density = np.linspace(0.1, 0.5, n)
    return xr.Dataset(
        {
            "W": (("world", "n_hidden", "member", "hidden", "feature"), W),
            "b": (("world", "n_hidden", "member", "feature"), np.zeros((2, 2, 1, n))),
            "loss": (("world", "n_hidden", "member"), np.ones((2, 2, 1))),
            "pmi": (("feature", "feature_2"), np.zeros((n, n))),
        },
        {
            "world": ["text", "independent"], "n_hidden": [2, 3], "member": [0],
            "word": ("feature", np.array(words, object)), "density": ("feature", density),
        },
    )  # fmt: skip


def _written(fig):
    """The words in the pictures of a figure, as they are written."""
    texts = [each for ax in fig.subfigs[0].axes for each in ax.texts]
    assert not any(each.get_parse_math() for each in texts)
    return {each.get_text() for each in texts}


# Warnings are errors: a letter without a font would be one.
@pytest.mark.parametrize("has", ["", "가나다라"])
def test_words_are_drawn_or_numbered_and_named_beside_the_figure(has, machine, said, tmp_path):
    machine(Some={"characters": has})
    data = _data([*HANGUL, "λόγος", "سلام", "word", "other", "more"])
    best = text.measured(data)
    fig = text.figure(best)
    fig.savefig(tmp_path / "figure.png")
    assert {
        "λόγος",
        fonts.labels(data.word.values.tolist())[3],
        "word",
        *(HANGUL if has else ["#0", "#1"]),
    } <= _written(fig)
    *_, named = (note for note in text.notes(best) if "in the figure:" in note)
    assert all(word in named for word in data.word.values)
    assert ("#0\xa0\u2068가나\u2069, #1\xa0" in named) == (not has)
    assert any("Hangul" in line for line in said) == (not has)


class _Page(HTMLParser):
    """What of a page is text, and what code."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.attributes = "", [], set()
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_words_that_look_like_code_are_words(machine, tmp_path):
    data, experiment = _data(MARKUP), experiments()["text"]
    shown = Run(experiment, text.Config(), data)
    shown.figure.savefig(tmp_path / "figure.svg")
    svg = ElementTree.parse(tmp_path / "figure.svg")
    assert not any("script" in str(element.tag) for element in svg.iter())
    result = report.Result(experiment, {"seed": 0, "text": MARKUP}, notes=shown.notes, folder=tmp_path)
    report.write(report.Report([result], [], quick=False, seed=0), tmp_path)
    page = _Page((tmp_path / f"{experiment.paper.name}.html").read_text("utf-8"))
    assert page.tags.count("script") == 1  # ours
    cell = _Page(shown._repr_html_())
    assert "script" not in cell.tags
    for each in (page, cell):
        assert not {"onload", "onerror"} & each.attributes
        for word in MARKUP:
            assert word.replace("`", "") in each.text.replace(
                "`", ""
            )  # which make code of what is between them


def test_words_that_look_like_code_are_drawn_as_they_are(machine):
    assert {fonts.labels([word])[0] for word in MARKUP} == _written(text.figure(text.measured(_data(MARKUP))))


@pytest.mark.parametrize("word", MARKUP[:-1])
def test_claims_are_never_code(word):
    claim = Claim(word, word, word, about(1, 0.1), 1.0, source=word, what=word).as_dict()
    terminal = io.StringIO()
    Console(file=terminal, width=400).print(table([claim]))
    assert terminal.getvalue().count(word) == 3
    page = _Page(html([claim]))
    assert page.text.count(word) == 3
    assert set(page.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "br", "small"}
    assert page.attributes == {"style"}
