"""Jumps and plateaus in a training curve. `values` has one number for each of the `steps`.

What is not such numbers raises TypeError or ValueError, as `inputs.finite` does.
"""

import numpy as np
from jaxtyping import Int

from superpose.inputs import ArrayLike, finite


def jumps(
    values: ArrayLike, steps: ArrayLike, size: float, factor: float = 1.25
) -> Int[np.ndarray, "jump 2"]:
    """Where one of the `values` changes by more than `size` while training becomes at most `factor` times as long.

    Of jumps that overlap, only the largest counts. Each row has the indices of two steps, between
    which nine tenths of the change take place. The rows are in the order of training.

    Raises ValueError unless `steps` are positive and increasing, and as many as `values`.

    Elhage et al. (2022), "Toy Models of Superposition", "Learning Dynamics".

    >>> jumps(np.array([0.0, 0.1, 0.1, 0.5, 0.5]), np.array([10, 20, 40, 42, 80]), size=0.25).tolist()
    [[2, 3]]
    """
    values, steps = _curve(values, steps)
    until = np.searchsorted(steps, steps * factor, side="right")
    pairs = [(a, b) for a, end in enumerate(until) for b in range(a + 1, end)]
    change = {(a, b): abs(values[b] - values[a]) for a, b in pairs}
    large = [pair for pair in pairs if change[pair] > size]
    widest = _apart(large, lambda pair: (-change[pair], pair[1] - pair[0]))
    narrow = []
    for a, b in widest.tolist():
        within = [(c, d) for c, d in pairs if a <= c and d <= b and change[c, d] >= 0.9 * change[a, b]]
        narrow.append(min(within, key=lambda pair: (pair[1] - pair[0], -change[pair])))
    return np.array(narrow, int).reshape(-1, 2)


def plateaus(
    values: ArrayLike,
    steps: ArrayLike,
    ratio: float = 1.1,
    factor: float = 1.5,
) -> Int[np.ndarray, "plateau 2"]:
    """Where a loss stays the same while training becomes at least `factor` times as long.

    On a plateau the largest of the `values` is at most `ratio` times the smallest. Each row has the indices
    of a plateau's first and last step. Of plateaus that overlap, only the longest counts, on a log
    scale. The rows are in the order of training.

    Raises ValueError as `jumps` does, and for `values` that are not positive.

    Elhage et al. (2022), "Toy Models of Superposition", "Learning Dynamics".

    >>> plateaus(np.array([9.0, 9.0, 4.0, 1.0, 1.0, 1.0]), np.array([1, 4, 8, 10, 20, 40])).tolist()
    [[0, 1], [3, 5]]
    """
    values, steps = _curve(values, steps)
    if not (values > 0).all():
        raise ValueError(f"values must be positive, got {values.min():g}")
    spans = []
    for a in range(len(steps)):
        high, low = np.maximum.accumulate(values[a:]), np.minimum.accumulate(values[a:])
        b = a + int(np.flatnonzero(high <= ratio * low)[-1])
        if steps[b] >= factor * steps[a]:
            spans.append((a, b))
    return _apart(spans, lambda pair: -steps[pair[1]] / steps[pair[0]])


def _curve(values, steps) -> tuple[np.ndarray, np.ndarray]:
    values, steps = finite(values, "values", "step"), finite(steps, "steps", "step")
    if len(values) != len(steps):
        raise ValueError(f"values and steps must be as many, got {len(values)} and {len(steps)}")
    if not ((steps > 0).all() and (np.diff(steps) > 0).all()):
        raise ValueError("steps must be positive and rise")
    return values, steps


def _apart(pairs, rank) -> Int[np.ndarray, "pair 2"]:
    """The pairs of indices that do not overlap any pair of lower rank; they may touch."""
    kept: list[tuple[int, int]] = []
    for a, b in sorted(pairs, key=rank):
        if all(b <= start or end <= a for start, end in kept):
            kept.append((a, b))
    return np.array(sorted(kept), int).reshape(-1, 2)
