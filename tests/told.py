"""What the explorer's page is told, read back as the page reads it."""

import base64

import numpy as np

from superpose import features
from superpose.values import Binary, Uniform


def numbers(packed) -> np.ndarray:
    kind = {"float32": "<f4", "float64": "<f8"}[packed["dtype"]]
    return np.frombuffer(base64.b64decode(packed["data"]), kind).reshape(packed["shape"])


def law_of(group, where: dict[str, int]):
    """The law of features of the model at this place on the group's axes."""
    world, n = group["world"], group["feature"]

    def at(quantity, size):
        place = tuple(where[axis] for axis in quantity["axes"] if axis in where)
        return np.broadcast_to(numbers(quantity["array"])[place], (size,))

    density, importance = at(world["density"], len(world["sizes"])), at(world["importance"], n)
    value = {"uniform": Uniform(), "signed": Uniform(-1, 1), "binary": Binary()}[world["values"]]
    if world["kind"] == "independent":
        return features.Independent(density, importance, value)
    law = {"correlated": features.Correlated, "anticorrelated": features.Anticorrelated}[world["kind"]]
    return law(density, world["sizes"], importance, value)
