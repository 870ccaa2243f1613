"""What every experiment of every paper must do: run small, measure, draw, claim; and every claim can fail.

The data are those of a run that is too short to learn much. That a claim is right is what the small versions tell
(tests/test_report.py); here it must not hold whatever the data are.
"""

from contextlib import suppress
from dataclasses import fields
from functools import cache

import numpy as np
import pytest

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


@cache
def measured(name):
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
    for _ in range(40):
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
def test_each_claim_fails_for_some_wrong_numbers(name):
    module, data = experiments()[name].module(), measured(name)
    claims = module.claims(data)
    never = {claim.id for claim in claims} - _failing(claims) - BY_HAND.get(name, set())
    for wrong in _wrong(data):
        if not never:
            break
        # Some are data that no run could give.
        with suppress(ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
            never -= _failing(module.claims(wrong))
    assert not never, f"hold whatever the numbers are: {sorted(never)}"


@pytest.mark.parametrize("name", experiments())
def test_claims_are_sentences(name):
    for claim in experiments()[name].module().claims(measured(name)):
        assert claim.statement[0] == claim.statement[0].upper(), claim.statement
        assert not claim.statement.endswith("."), claim.statement
        assert claim.source, f"{claim.id} does not say where its bounds come from"


def test_every_paper_says_what_its_page_needs():
    for name, paper in papers().items():
        assert all(
            [paper.title, paper.explanation, paper.authors, paper.link, paper.citation, paper.bibtex]
        ), name
        mine = {each.name for each in experiments().values() if each.paper.name == name}
        assert {*paper.order, *paper.shown} <= mine
