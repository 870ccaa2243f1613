"""The page's phase diagram is the library's."""

import numpy as np
import pytest
from node import run

from superpose import grid
from superpose.papers.elhage2022 import phase_diagram

SOLVE = """
import { cellOf, DIAGRAMS, phaseOf } from "./diagram.js";
import { norms, superposition } from "./measures.js";
import { TASKS } from "./tasks.js";
const diagram = DIAGRAMS[data.size], cells = data.indices.map(cellOf), extra = diagram.n - 1;
const found = TASKS.solve({ cells, ...diagram }).map(({ model, loss, reached }) => ({
  loss, reached, phase: phaseOf(model), norm: norms(model)[extra], superposition: superposition(model)[extra] }));
send({ cells, members: diagram.members, found });
"""


@pytest.mark.parametrize("size", ["2-in-1", "3-in-2"])
def test_cells_are_those_of_the_experiment(size):
    usual, coarse = phase_diagram.Config(), range(0, 50, 7)
    page = run(SOLVE, {"size": size, "indices": [50 * row + column for row in coarse for column in coarse]})
    assert usual.cells == 50
    assert page["members"] == {"2-in-1": usual.members, "3-in-2": usual.members_3}[size]
    data = phase_diagram.run(phase_diagram.Config(sizes=(size,), cells=len(coarse)))
    theirs = phase_diagram.measured(data).isel(size=0)
    cells = [(cell["density"], cell["importance"]) for cell in page["cells"]]
    np.testing.assert_allclose(
        cells, [(p, r) for p in theirs.density for r in theirs.extra_importance], rtol=1e-13
    )
    found = {name: np.array([each[name] for each in page["found"]]) for name in page["found"][0]}
    loss = grid.best(grid.unstacked(data, "size", size)).loss.values.ravel()
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-6)
    best = theirs.sel(of="models")
    np.testing.assert_array_equal(found["phase"], best.phase.values.ravel())
    np.testing.assert_allclose(found["norm"], best.norm.values.ravel(), atol=2e-3)
    np.testing.assert_allclose(found["superposition"], best.superposition.values.ravel(), atol=2e-3)
    # From the same start, two minimizers may go to different minima.
    assert np.mean(np.abs(found["reached"] - best.reached.values.ravel())) < 0.05


FOLLOW = """
import { cellOf, DIAGRAMS, followed, phaseOf } from "./diagram.js";
import { TASKS } from "./tasks.js";
const [first, ...rest] = data.path.map(cellOf);
const best = TASKS.solve({ cells: [first, ...rest], ...DIAGRAMS[data.size] });
const way = [best[0]];
for (const cell of rest) way.push(followed(way.at(-1).model, cell));
send(way.map((each, at) => ({ phase: phaseOf(each.model), best: phaseOf(best[at].model), over: each.loss / best[at].loss - 1 })));
"""


@pytest.mark.parametrize(("size", "column"), [("2-in-1", 10), ("3-in-2", 10), ("2-in-1", 40)])
def test_a_followed_solution_stays_in_its_minimum_beyond_the_border(size, column):
    up = [50 * row + column for row in range(25, 50)]
    ways = [run(FOLLOW, {"size": size, "path": path}) for path in (up, up[::-1])]
    for way in ways:
        assert min(cell["over"] for cell in way) > -1e-6
        assert way[0]["over"] == 0
    changes = [sum(cell["phase"] != cell["best"] for cell in way) for way in ways]
    assert max(changes) >= 2  # hysteresis
    assert max(max(cell["over"] for cell in way) for way in ways) > 0.01


def test_ways_between_cells_go_cell_by_cell():
    code = 'import { nearestCell, wayBetween } from "./diagram.js"; send([wayBetween(0, 153), wayBetween(7, 7), nearestCell(2 * 50 + 49, (at) => at === 48), nearestCell(3, () => false)]);'
    assert run(code) == [[51, 102, 153], [], 48, -1]
