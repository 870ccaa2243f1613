"""Small worlds as rows, each as often as it is likely, so that drawing rows is drawing from the world."""

from itertools import product

import numpy as np


def rows(chances: dict[tuple[float, ...], float]) -> np.ndarray:
    """Each of these rows with its share of 8,000."""
    return np.concatenate([np.tile(row, (round(8000 * share), 1)) for row, share in chances.items()])


def pair(first: float, given: float, without: float) -> np.ndarray:
    """Two features, the second of which depends on the first."""
    second = {1.0: given, 0.0: without}
    return rows({
        (a, b): (first if a else 1 - first) * (second[a] if b else 1 - second[a]) for a, b in product((0.0, 1.0), repeat=2)
    })  # fmt: skip


def family(children: int, given: float, parent: float = 0.25) -> np.ndarray:
    """A parent, and children that are active only with it, independently of each other."""
    each = {(0.0,) * (children + 1): 1 - parent}
    for bits in product((0.0, 1.0), repeat=children):
        on = int(sum(bits))
        each[(1.0, *bits)] = parent * given**on * (1 - given) ** (children - on)
    return rows(each)


def toy() -> np.ndarray:
    """A parent (.25) and a child (.05, only with it), and two others (.05) that are independent of all."""
    others = {(a, b): (0.05 if a else 0.95) * (0.05 if b else 0.95) for a, b in product((0.0, 1.0), repeat=2)}
    family = {(0.0, 0.0): 0.75, (1.0, 0.0): 0.2, (1.0, 1.0): 0.05}
    return rows({(*one, *other): p * q for (one, p), (other, q) in product(family.items(), others.items())})
