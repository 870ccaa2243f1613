"""Checks of an experiment's settings: one line says which one is wrong, by its name in the command."""

from typing import Any


def at_least(config: Any, **least: int) -> None:
    """Raise ValueError unless each of these settings of an experiment is at least the number given.

    >>> from types import SimpleNamespace
    >>> at_least(SimpleNamespace(n_words=0), n_words=2)
    Traceback (most recent call last):
    ...
    ValueError: n-words must be at least 2, got 0
    """
    for name, low in least.items():
        if not getattr(config, name) >= low:
            raise ValueError(f"{option(name)} must be at least {low}, got {getattr(config, name)}")


def shares(config: Any, *names: str) -> None:
    """Raise ValueError unless these settings, or all of their values, are above 0 and at most 1.

    >>> from types import SimpleNamespace
    >>> shares(SimpleNamespace(density=(0.5, 1.5)), "density")
    Traceback (most recent call last):
    ...
    ValueError: density must be above 0 and at most 1, got 0.5, 1.5
    """
    for name in names:
        value = getattr(config, name)
        each = value if isinstance(value, tuple) else (value,)
        if not each:
            raise ValueError(f"{option(name)} must be one number or more, such as 0.2 0.1")
        if not all(0 < share <= 1 for share in each):
            raise ValueError(f"{option(name)} must be above 0 and at most 1, got {', '.join(map(str, each))}")


def option(name: str) -> str:
    """What the command calls a setting.

    >>> option("n_words")
    'n-words'
    """
    return name.replace("_", "-")
