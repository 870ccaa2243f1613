"""What every experiment of every paper must do: run small, measure, draw, claim; and every claim can fail.

The data are those of a run that is too short to learn much, or of the small versions in `--report`. That a claim is right is what the small versions tell
(tests/test_report.py); here it must not hold whatever the data are.
"""

import re
from contextlib import nullcontext, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import superpose
from superpose import store
from superpose.papers import experiments, papers

SHORT = {
    "members": 2,
    "finalists": 2,
    "steps": 20,
    "longer": 20,
    "snapshots": 10,
    "samples": 1000,
    "rows": 500,
    "budgets": 4,
}
"""Settings of very small versions, for fields with such names, where those of the small version are larger."""

BY_HAND = {
    # Models that hardly learned have no motif to measure; tests/test_computation.py has some built by hand.
    "asymmetric-motif": {"ablation", "barely-back", "disturbs", "inhibited"},
    # Nor words that are represented: tests/test_text.py has directions made by hand, of words that are side by side where
    # they do not occur together, and a control that is as the text.
    "text": {"together", "together-control", "beside", "apart", "control"},
}
"""Claims that no wrong numbers of a short run make fail, by experiment: data made by hand do, in another test."""


def shortened(config):
    """Settings with which a run takes a second or two, beside compiling."""
    asked = {}
    for field in fields(config):
        value = getattr(config, field.name)
        for name, most in SHORT.items():
            if name in field.name and isinstance(value, int):
                asked[field.name] = min(value, most)
    return asked


@pytest.fixture(scope="module")
def measured(request):
    """What an experiment's claims are about: of the small versions that `--report` names, or of a run that is made here."""
    report = request.config.getoption("--report")

    def read(name):
        each = experiments()[name]
        return each.measured(store.load(Path(report) / "results" / name))

    return cache(read) if report else short


@cache
def short(name):
    each = experiments()[name]
    module = each.module()
    quick = module.Config(**each.quick)
    with suppress(ValueError):  # some cannot be shorter
        quick = module.Config(**each.quick | shortened(quick))
    return each.measured(module.run(quick))


def _others(values, random):
    """Wrong numbers of the same kind, none of them missing where none was."""
    if values.dtype == bool:
        yield from (~values, np.zeros_like(values), np.ones_like(values))
        yield random.permutation(values.ravel()).reshape(values.shape)
    elif values.dtype.kind in "iuf":
        yield from (0 * values, 3 * values + 1, -values, (0.5 * values).astype(values.dtype), np.flip(values))
        yield random.permutation(values.ravel()).reshape(values.shape)
        if values.dtype.kind == "f":
            yield values + random.normal(size=values.shape)
            yield random.normal(size=values.shape)
            yield random.uniform(size=values.shape)
            for axis in range(values.ndim):
                yield random.permuted(values, axis=axis)


def _wrong(data):
    """The dataset with each of its variables wrong in many ways, and with all of them, at random."""
    random = np.random.default_rng(0)
    others = {name: list(_others(data[name].values, random)) for name in data.data_vars}
    for name, several in others.items():
        yield from (data.assign({name: (data[name].dims, values)}) for values in several)
    for _ in range(200):
        chosen = {name: several[random.integers(len(several))] for name, several in others.items() if several}
        yield data.assign({name: (data[name].dims, values) for name, values in chosen.items()})


def _failing(claims):
    """The claims that fail though no number is missing."""
    return {
        claim.id
        for claim in claims
        if not claim.holds and claim.values.size and np.isfinite(claim.values).all()
    }


@pytest.mark.parametrize("name", experiments())
@pytest.mark.filterwarnings("ignore")
def test_each_claim_fails_for_some_wrong_numbers(name, measured):
    module = experiments()[name].module()
    never = {claim.id for claim in module.claims(measured(name))} - BY_HAND.get(name, set())
    # A claim about all cells of a large grid is hard to make fail at random: a short run has fewer.
    for data in (of(name) for of in dict.fromkeys((measured, short))):
        never -= _failing(module.claims(data))
        for wrong in _wrong(data):
            if not never:
                return
            # Some are data that no run could give.
            with suppress(ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
                never -= _failing(module.claims(wrong))
    assert not never, f"hold whatever the numbers are: {sorted(never)}"


@pytest.mark.parametrize("name", experiments())
def test_claims_are_sentences(name, measured):
    for claim in experiments()[name].module().claims(measured(name)):
        assert claim.statement[0] == claim.statement[0].upper(), claim.statement
        assert not claim.statement.endswith("."), claim.statement
        assert claim.source, f"{claim.id} does not say where its bounds come from"


def test_every_paper_says_what_its_page_needs():
    for name, paper in papers().items():
        assert all([paper.title, paper.explanation, paper.authors, paper.citation]), name
        mine = {each.name for each in experiments().values() if each.paper.name == name}
        assert {*paper.order, *paper.shown} <= mine


_OK = {
    "ok2020/__init__.py": (
        '"""Ok.\n\nIt is."""\nAUTHORS: str = "A."\nYEAR = 2020\nLINK = "l"\nCITATION = "c"\n'
    )
}


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("bad2021/__init__.py", "", "lacks AUTHORS, which must be a plain text"),
        (
            "bad2021/__init__.py",
            '"""T."""\nAUTHORS = "A"\nYEAR = "2021"',
            "lacks YEAR, which must be a plain whole number",
        ),
        ("bad2021/__init__.py", "x = (", "is not Python: '(' was never closed in line 1"),
        ("Bad2021/__init__.py", "", "is in a folder with a name that no paper can have"),
        ("index/__init__.py", "", "is in a folder with a name that no paper can have"),
        ("ok2020/broken.py", "def", "is not Python: invalid syntax in line 1"),
        ("ok2020/empty.py", "", "lacks SECTION, which must be a plain text"),
        ("ok2020/two words.py", "", "has a name that no experiment can have"),
        (
            "ok2020/sums.py",
            'SECTION = "s"\nTAKES = 5 * 2\nQUICK = {}',
            "lacks TAKES, which must be a plain whole number",
        ),
        ("ok2020/bare.py", 'SECTION = "s"\nTAKES = 5\nQUICK = {}', "lacks a docstring"),
    ],
)
def test_what_cannot_be_a_paper_or_an_experiment_is_said_and_left_out(
    tmp_path, monkeypatch, path, text, said
):
    whole = '"""Whole."""\nSECTION: str = "s"\nTAKES = 5\nQUICK = {}'
    for name, content in {**_OK, "ok2020/fine.py": whole, "ok2020/_shared.py": "def", path: text}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(superpose.papers, "__file__", str(tmp_path / "__init__.py"))
    with pytest.warns(UserWarning, match=rf"{Path(path).name} {re.escape(said)}.*; it is left out") as warned:
        assert list(experiments()) == ["fine"]
    assert "\n" not in str(warned[0].message)
    with pytest.warns(UserWarning, match="left out") if not path.startswith("ok2020") else nullcontext():
        assert list(papers()) == ["ok2020"]


def test_the_second_of_two_experiments_with_one_name_is_left_out(tmp_path, monkeypatch):
    whole = '"""Whole."""\nSECTION = "s"\nTAKES = 5\nQUICK = {}'
    for paper in ("ok2020", "other2021"):
        (tmp_path / paper).mkdir()
        (tmp_path / paper / "__init__.py").write_text(_OK["ok2020/__init__.py"], encoding="utf-8")
        (tmp_path / paper / "same.py").write_text(whole, encoding="utf-8")
    monkeypatch.setattr(superpose.papers, "__file__", str(tmp_path / "__init__.py"))
    with pytest.warns(
        UserWarning, match=r"other2021.*has the name of .*ok2020.*; rename one; it is left out"
    ):
        assert [each.paper.name for each in experiments().values()] == ["ok2020"]
