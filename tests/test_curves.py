import numpy as np
import pytest

from superpose.curves import jumps, plateaus

STEPS = np.unique(np.geomspace(10, 10_000, 200).astype(int))


def _stairs(at, levels):
    """A number that changes to each of the `levels` after each of the places `at`."""
    return np.asarray(levels, float)[np.searchsorted(at, np.arange(len(STEPS)), side="left")]


def test_jumps_are_where_the_number_jumps_and_nowhere_else():
    at = [20, 60, 100, 150]
    values = _stairs(at, [0, 1, 1.2, -0.4, 0.5])  # the second is too small
    expected = [[a, a + 1] for a in (20, 100, 150)]
    noise = 1e-3 * np.random.default_rng(0).normal(size=len(STEPS))
    for same in (values, -values, values + 7, values + noise):
        assert jumps(same, STEPS, 0.5).tolist() == expected
    assert jumps(3 * values, 8 * STEPS, 1.5).tolist() == expected
    assert jumps(values, STEPS, 0.1).tolist() == [[a, a + 1] for a in at]
    assert jumps(values, STEPS, 2.0).shape == (0, 2)


@pytest.mark.parametrize(
    ("parts", "end"), [((0.03, 0.94, 0.03), (21, 22)), ((0.5, 0.5), (20, 22)), ((0.2, 0.75, 0.05), (20, 22))]
)
def test_a_jump_over_several_places_is_narrowed_to_nine_tenths_of_it(parts, end):
    values = _stairs(20 + np.arange(len(parts)), np.cumsum([0, *parts]))
    assert jumps(values, STEPS, 0.96).tolist() == [list(end)]


def test_a_slow_change_is_no_jump():
    values = np.log(STEPS)  # it changes by log(1.25) while training becomes 1.25 times as long
    assert jumps(values, STEPS, 1.001 * np.log(1.25)).shape == (0, 2)
    assert len(jumps(values, STEPS, 0.9 * np.log(1.25))) > 10
    assert jumps(values, STEPS, 1.001 * np.log(2), factor=2.0).shape == (0, 2)
    assert len(jumps(values, STEPS, 0.9 * np.log(2), factor=2.0)) > 5


def test_the_limits_of_jumps_and_plateaus_are_as_told():
    # `more than` the size, and `at most` or `at least` the factor.
    steps = np.array([4, 5])
    assert jumps(np.array([0.0, 1.0]), steps, 0.5, factor=1.25).tolist() == [[0, 1]]
    assert jumps(np.array([0.0, 1.0]), steps, 1.0, factor=1.25).tolist() == []
    assert plateaus(np.ones(2), steps, factor=1.25).tolist() == [[0, 1]]
    assert plateaus(np.array([1.0, 1.5]), steps, ratio=1.5, factor=1.25).tolist() == [[0, 1]]


def _within(pairs, steps):
    """The pairs are in order, do not overlap, and each is no place alone."""
    places = pairs.ravel()
    return (np.diff(places) >= 0).all() and (pairs[:, 0] < pairs[:, 1]).all() and places.max() < len(steps)


@pytest.mark.parametrize("seed", range(5))
def test_jumps_of_a_random_walk_are_large_and_fast_and_the_largest_is_among_them(seed):
    steps = STEPS[::4]
    values, size = np.random.default_rng(seed).normal(size=len(steps)).cumsum(), 2.0
    found = jumps(values, steps, size)
    assert _within(found, steps)
    change = np.abs(values[found[:, 1]] - values[found[:, 0]])
    assert (change >= 0.9 * size).all()
    assert (steps[found[:, 1]] <= 1.25 * steps[found[:, 0]]).all()
    fast = np.triu(steps <= 1.25 * steps[:, None])
    assert change.max() >= 0.9 * np.abs(values - values[:, None])[fast].max()


def test_plateaus_are_where_the_loss_stays():
    values = _stairs([30, 90, 94, 150], [8, 3, 2, 1, 0.1])  # the third is too short
    expected = [[0, 30], [31, 90], [95, 150], [151, len(STEPS) - 1]]
    wiggle = 1 + 0.04 * np.sin(np.arange(len(STEPS)))
    for same in (values, 100 * values, wiggle * values):
        assert plateaus(same, STEPS).tolist() == expected
    assert plateaus(values, 8 * STEPS).tolist() == expected


@pytest.mark.parametrize(("ratio", "factor"), [(1.1, 1.5), (1.3, 2.0)])
def test_a_power_of_time_has_plateaus_only_if_it_is_flat_enough(ratio, factor):
    steps = np.arange(1, 400)
    limit = np.log(ratio) / np.log(factor)
    assert plateaus(steps ** (-1.02 * limit), steps, ratio, factor).shape == (0, 2)
    assert len(plateaus(steps ** (-0.9 * limit), steps, ratio, factor)) > 3


@pytest.mark.parametrize("seed", range(5))
def test_plateaus_of_a_random_walk_are_flat_and_long_and_the_longest_is_among_them(seed):
    steps = STEPS[::4]
    values = np.exp(0.05 * np.random.default_rng(seed).normal(size=len(steps)).cumsum())
    found = plateaus(values, steps)
    assert _within(found, steps)
    for a, b in found:
        assert values[a : b + 1].max() <= 1.1 * values[a : b + 1].min()
        assert steps[b] >= 1.5 * steps[a]
    longest = max(
        steps[b] / steps[a]
        for a in range(len(steps))
        for b in range(a, len(steps))
        if values[a : b + 1].max() <= 1.1 * values[a : b + 1].min()
    )
    assert (steps[found[:, 1]] / steps[found[:, 0]]).max() == longest
