"""Axes as words: `density=geomspace(1,0.001,64)`, `hidden=2,3,5`. They are parsed, never run as code."""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

Values = tuple[Any, ...]
"""The values of an axis: all whole numbers, all numbers, or all words."""

SPACES: dict[str, Callable] = {"geomspace": np.geomspace, "linspace": np.linspace, "range": range}
"""How many values are said at once."""

_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")
_WORD = re.compile(r"\w[\w.+-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parsed(text: str) -> tuple[str, Values]:
    """The name and the values of an axis that is said as NAME=VALUES.

    VALUES are numbers or words with commas between, or `geomspace(from, to, how many)`, `linspace(from, to, how many)` or
    `range(stop)`, `range(start, stop, step)`. Raises ValueError for anything else.

    >>> parsed("hidden=2,3,5"), parsed("density=geomspace(1,1/100,3)"), parsed("activation=relu,gelu")
    (('hidden', (2, 3, 5)), ('density', (1.0, 0.1, 0.01)), ('activation', ('relu', 'gelu')))
    """
    name, given, said = text.partition("=")
    name = name.strip()
    if not given or not _NAME.fullmatch(name):
        raise ValueError(
            f"an axis is said as NAME=VALUES, such as density=geomspace(1,0.01,20), got {text!r}"
        )
    call = _CALL.fullmatch(said)
    try:
        return name, values(
            name, _spaced(*call.groups()) if call else [_one(each) for each in said.split(",")]
        )
    except (ValueError, ZeroDivisionError, OverflowError, MemoryError, TypeError) as error:
        raise ValueError(f"{text!r}: {error}") from None


def values(name: str, given: Any) -> Values:
    """The values of an axis, as Python's own numbers and words.

    Raises ValueError for none, for one that is there twice, for NaN or infinity, and for numbers beside words.
    """
    if isinstance(given, str):
        return parsed(f"{name}={given}")[1]
    if isinstance(given, int | float) or (hasattr(given, "item") and np.ndim(given) == 0):
        given = [given]
    try:
        given = list(given)
    except TypeError:
        raise TypeError(f"values of {name} must be a list of numbers or words, got {given!r:.40}") from None
    plain = [each.item() if hasattr(each, "item") and np.ndim(each) == 0 else each for each in given]
    if not plain:
        raise ValueError(f"{name} needs at least one value")
    if any(isinstance(each, bool) or not isinstance(each, int | float | str) for each in plain):
        raise ValueError(f"values of {name} must be numbers or words, got {plain[0]!r:.40}")
    if len({isinstance(each, str) for each in plain}) > 1:
        raise ValueError(f"values of {name} must be all numbers or all words")
    if not isinstance(plain[0], str):
        if not all(isinstance(each, int) for each in plain):
            plain = [float(each) for each in plain]
        elif max(map(abs, plain)) > MOST_INT:
            raise ValueError(
                f"whole numbers of {name} must be within {MOST_INT:.0e}; write larger ones as 1e20"
            )
        if not np.isfinite(plain).all():
            raise ValueError(f"values of {name} must be finite")
    if len(set(plain)) < len(plain):
        raise ValueError(f"values of {name} must differ")
    return tuple(plain)


def _spaced(name: str, arguments: str) -> Any:
    if name not in SPACES:
        raise ValueError(f"there is no {name}; say {', '.join(SPACES)}, or the values with commas between")
    numbers = [_one(each) for each in arguments.split(",")]
    if any(isinstance(each, str) for each in numbers):
        raise ValueError(f"{name} takes numbers")
    if name == "range":
        if not 1 <= len(numbers) <= 3 or not all(isinstance(each, int) for each in numbers):
            raise ValueError("range takes one to three whole numbers")
        made = range(*map(int, numbers))
        if len(made) > MOST:
            raise ValueError(f"an axis has at most {MOST} values")
        return made
    if len(numbers) != 3 or not isinstance(numbers[2], int):
        raise ValueError(f"{name} takes where it begins, where it ends and how many there are")
    if not 1 <= numbers[2] <= MOST:
        raise ValueError(f"an axis has 1 to {MOST} values")
    start, stop, count = map(float, numbers)
    if name == "geomspace" and not min(start, stop) > 0:
        raise ValueError("geomspace begins and ends above 0")
    return SPACES[name](
        start, stop, int(count)
    ).tolist()  # the same bits as NumPy's, so that both are one axis


MOST, MOST_INT = 1_000_000, 10**15
RESERVED = ("cell", "done", "key", "seeds")


def _one(text: str) -> int | float | str:
    text = text.strip()
    if not text:
        raise ValueError("a value is missing")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except ValueError:
        pass
    if not _WORD.fullmatch(text):
        raise ValueError(
            f"a value is a number or a word, got {text!r}; say {', '.join(SPACES)}(...), or 2,3,5"
        )
    return text


def as_axes(axes: Any) -> dict[str, Values]:
    """Axes by name, each with its values, which may be said in words. Raises ValueError where there is none."""
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes must be values by name, such as {{'density': [0.1, 0.01]}}, got {axes!r:.40}")
    if not axes:
        raise ValueError("a sweep needs at least one axis, such as density=[0.1, 0.01]")
    for name in axes:
        check_name(name, "an axis")
    return {name: values(name, given) for name, given in axes.items()}


def check_name(name: Any, what: str) -> None:
    """Raise ValueError unless this may be the name of an axis or a variable: a word, without a meaning of its own."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} has a name like a Python argument, got {name!r:.40}")
    if name in RESERVED:
        raise ValueError(f"{what} cannot be called {name}, which has a meaning of its own")
