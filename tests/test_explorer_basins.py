"""Which minima are the same, in the page as in the library."""

import jax
import numpy as np
import pytest
from node import run

from superpose.features import Anticorrelated, Correlated, Independent
from superpose.losses import Population
from superpose.models import Linear, ReluOutput
from superpose.train import basins, ensemble, minimize
from superpose.values import Binary, Uniform

CODE = """
import { basins } from "./basins.js";
import { worldOf } from "./worlds.js";
const { n, m, W, b, loss, converged, output, world } = data;
const found = Array.from(loss, (loss, at) => ({
  model: { n, m, W: W.slice(at * n * m, (at + 1) * n * m), b: b.slice(at * n, (at + 1) * n), output, layer: "linear" },
  loss, converged: converged[at] === 1,
}));
send(basins(found, worldOf(world, n)));
"""


def _of_page(solved, world, *, output="relu"):
    _, m, n = solved.models.W.shape
    return run(CODE, {
        "n": n, "m": m, "W": np.array(solved.models.W, float).ravel(), "b": np.array(solved.models.b, float).ravel(),
        "loss": np.array(solved.loss), "converged": np.array(solved.converged, np.int32), "output": output, "world": world,
    })  # fmt: skip


def _same(page, library):
    assert page["label"] == library.label.tolist()
    for name in ("best", "reached", "distinct", "gap", "missed", "converged"):
        value = np.nan if page[name] is None else page[name]
        assert value == pytest.approx(float(getattr(library, name)), rel=1e-12, nan_ok=True), name


WORLDS = [
    (Independent(0.1, n_features=5), 2, {"density": 0.1}),
    (Independent(0.1, 0.9 ** np.arange(5)), 2, {"density": 0.1, "importance": (0.9 ** np.arange(5)).tolist()}),
    (Independent(0.3, [1, 1, 3.0]), 2, {"density": 0.3, "importance": [1, 1, 3]}),
    (Independent([0.1, 0.1, 0.3, 0.3]), 2, {"density": [0.1, 0.1, 0.3, 0.3]}),
    (Independent(0.2, value=Uniform(-1, 1), n_features=3), 2, {"density": 0.2, "values": "signed"}),
    (Independent(0.2, value=Binary(), n_features=4), 2, {"density": 0.2, "values": "binary"}),
    (Correlated([0.2, 0.2], (2, 2)), 2, {"density": [0.2, 0.2], "kind": "correlated", "sizes": [2, 2]}),
    (Anticorrelated([0.2, 0.3], (2, 2)), 2, {"density": [0.2, 0.3], "kind": "anticorrelated", "sizes": [2, 2]}),
]  # fmt: skip


@pytest.mark.parametrize(("law", "m", "world"), WORLDS)
def test_minima_are_sorted_as_the_library_sorts_them(law, m, world):
    models = ensemble(
        lambda key: ReluOutput.init(law.n_features, m, key=key), members=40, key=jax.random.key(0)
    )
    solved = minimize(models, Population(law))
    library = basins(solved, law)
    assert library.distinct > 1
    _same(_of_page(solved, world), library)


def test_a_linear_model_has_one_minimum():
    law = Independent(0.1, [1.0, 0.8, 0.6])
    solved = minimize(
        ensemble(lambda key: Linear.init(3, 2, key=key), members=12, key=jax.random.key(0)), Population(law)
    )
    _same(
        _of_page(solved, {"density": 0.1, "importance": [1, 0.8, 0.6]}, output="linear"), basins(solved, law)
    )


def test_starts_that_did_not_converge_are_no_minima():
    law = Independent(0.1, n_features=2)
    solved = minimize(
        ensemble(lambda key: ReluOutput.init(2, 1, key=key), members=8, key=jax.random.key(0)),
        Population(law),
    )
    for outcome in ([0, 0, 1, 1, 0, 0, 0, 2], [1] * 8):
        some = solved._replace(outcome=np.array(outcome))
        _same(_of_page(some, {"density": 0.1}), basins(some, law))
