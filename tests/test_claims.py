"""A claim holds where every number measured is within its bounds, and nowhere else."""

import numpy as np
import pytest

from superpose.claims import Claim, Claims, about, at_least, at_most, between, exactly


def _claim(expected, measured, **more):
    return Claim("it", "x is so", "here", expected, measured, source="theory", **more)


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        (about(1, 0.1), [0.91, 1.09], [0.89, 1.11]),
        (between(0, 1), [0, 0.5, 1], [-0.01, 1.01]),
        (at_least(3), [3, 100, np.inf], [2.99, -np.inf]),
        (at_most(3), [3, -np.inf], [3.01, np.inf]),
        (exactly(5), [5], [4, 6]),
    ],
)
def test_a_number_is_within_its_bounds_or_not(expected, right, wrong):
    assert all(_claim(expected, number).holds for number in right)
    assert not any(_claim(expected, number).holds for number in wrong)
    assert _claim(expected, right).holds
    assert not any(_claim(expected, [*right, number]).holds for number in wrong)


@pytest.mark.parametrize("expected", [about(1, 0.1), between(0, 1), at_least(3), at_most(3), exactly(5)])
@pytest.mark.parametrize("measured", [np.nan, [], [[]], np.array([5.0, np.nan])])
def test_nothing_measured_holds_nothing(expected, measured):
    assert not _claim(expected, measured).holds


def test_several_values_are_each_compared_with_their_own_number():
    counts = about([5, 7, 9], within=1)
    assert _claim(counts, [6, 6, 9]).holds
    assert not _claim(counts, [7, 5, 9]).holds
    assert not _claim(counts, [5, 7]).holds
    assert not _claim(counts, 7).holds


def test_a_claim_that_does_not_hold_differs_only_if_another_says_what_is_so():
    assert _claim(at_least(3), 2).status == "fails"
    assert _claim(at_least(3), 2, instead="exact").status == "differs"
    assert _claim(at_least(3), 3, instead="exact").status == "holds"


def test_what_was_measured_is_told_in_short():
    assert _claim(at_least(0), [1, 2.5]).text == "1, 2.5"
    assert _claim(at_least(0), np.arange(100.0)).text == "0 to 99 (100 numbers)"
    assert _claim(at_least(0), []).text == "nothing to measure"
    assert _claim(at_least(0), [[1, 2], [3, 4]]).text == "1, 2, 3, 4"
    assert _claim(at_least(0), np.full(11, np.nan)).text == "11 numbers, all missing"
    assert _claim(at_least(0), [np.nan, *range(11)]).text == "0 to 10 (12 numbers)"
    assert _claim(at_least(0), 0.123, number="{:.1%}").text == "12.3%"


def test_claims_are_plain_values_in_json():
    told = _claim(about(1, 0.1), np.array([1.0, np.nan])).as_dict()
    assert told["numbers"] == [1.0, None]
    assert told["status"] == "fails"
    assert told["expected"] == "1 ± 0.1"


def test_ids_differ_and_instead_names_a_claim():
    claim = _claim(at_least(3), 2)
    assert Claims([claim]) == [claim]
    with pytest.raises(ValueError, match=r"given twice \['it'\]"):
        Claims([claim, claim])
    with pytest.raises(ValueError, match=r"without its claim \['lost'\]"):
        Claims([_claim(at_least(3), 2, instead="lost")])
