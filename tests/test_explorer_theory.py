from itertools import product

import jax
import numpy as np
import pytest
from node import run

from superpose import solutions, theory
from superpose.features import Independent

CORNERS = {"dedicated": 1, "digon": 2, "triangle": 3, "tetrahedron": 4, "4-simplex": 5, "5-simplex": 6}
CORNERS |= {"pentagon": 5, "hexagon": 6}
KINDS, VALUES = ("independent", "correlated", "anticorrelated"), ("uniform", "signed", "binary")
MODEL = {"output": "relu", "layer": "linear"}


def _world(density, importance=1.0, **law):
    return {"density": density, "importance": importance, **law}


def _levels(*cases):
    """The levels of each case `(world, n, m, more of the model)`, by name, in their order."""
    code = """
    import { levels } from "./theory.js";
    import { worldOf } from "./worlds.js";
    send(data.map(([world, n, m, model]) => levels(worldOf(world, n), { m, ...model })));
    """
    data = [(world, n, m, MODEL | dict(*more)) for world, n, m, *more in cases]
    return [{level["name"]: level["loss"] for level in levels} for levels in run(code, data)]


def test_closed_forms_are_the_library_s():
    rng = np.random.default_rng(0)
    cases = [(p, r, s) for p in (0, 0.01, 0.3, 1) for r in (0, 0.4, 1, 1.5, 4) for s in (0.5, 2)]
    many = [(rng.random(7), rng.random(7), m) for m in range(8)]
    code = """
    import { antipodalCost, droppedCost, linearLoss, phaseBoundary, phaseLosses } from "./theory.js";
    send([
      data[0].map(([p, r, s]) => [droppedCost(p), droppedCost(p, r), antipodalCost(p), antipodalCost(p, r, s)]),
      data[0].map(([p, r]) => [2, 3].map((n) => [phaseBoundary(n, r), ...phaseLosses(n, p, r)])),
      data[1].map(([p, r, m]) => linearLoss(p, r, m)),
    ]);
    """
    costs, phases, linear = run(code, [cases, many])
    for (p, r, s), cost, phase in zip(cases, costs, phases, strict=True):
        expected = theory.dropped_cost(p), theory.dropped_cost(p, r), theory.antipodal_cost(p)
        np.testing.assert_allclose(cost, [*expected, theory.antipodal_cost(p, r, s)], rtol=1e-12)
        for n, found in zip((2, 3), phase, strict=True):
            np.testing.assert_allclose(
                found, [theory.phase_boundary(n, r), *theory.phase_losses(n, p, r)], rtol=1e-12
            )
    np.testing.assert_allclose(linear, [theory.linear_loss(*each) for each in many], rtol=1e-12)


def test_prototypes_are_the_library_s():
    code = 'import { PHASES, PROTOTYPES } from "./theory.js"; send([PHASES, PROTOTYPES]);'
    phases, prototypes = run(code)
    assert phases == {str(n): list(names) for n, names in theory.PHASES.items()}
    assert prototypes == {str(n): W for n, W in theory.PROTOTYPES.items()}


def _phrase(family):
    """The name of one of the library's families in the explorer's words; None with an aligned pair."""
    counts = [each.replace("antipodal pair", "digon").split(" ", 1) for each in family.split(", ")]
    if any(name == "aligned pair" for _, name in counts):
        return None
    counts = sorted(
        ((int(k), name) for k, name in counts if name != "dropped"), key=lambda each: -CORNERS[each[1]]
    )
    one = {name: name if k == 1 and name != "dedicated" else f"{k} {name}" for k, name in counts}
    return " + ".join(f"{one[name]}s" if k > 1 and name != "dedicated" else one[name] for k, name in counts)


def _directions(n, m):
    """The directions of all the library's families."""
    return np.array([family.directions for family in solutions.families(n, m).values()])


@pytest.mark.parametrize(
    ("n", "m"), [(2, 1), (3, 2), (5, 2), (4, 3), pytest.param(6, 3, marks=pytest.mark.slow)]
)
def test_regular_solutions_are_as_good_as_the_library_finds_them(n, m):
    density, importance = np.array([0.7, 0.3, 0.1, 0.01]), np.array([1.0, 0.9, 0.5])[:, None] ** np.arange(n)
    pairs = list(product(density, importance))
    with jax.enable_x64(True):
        p, r = map(np.array, zip(*pairs, strict=True))
        laws = jax.vmap(lambda p, r: Independent(p, r, n_features=n))(p, r)
    found = solutions.optimized(solutions.families(n, m), laws)
    directions = _directions(n, m)
    length = (found.models.W * directions[:, None]).sum(axis=-2)  # negative if a feature has turned around
    moved = np.random.default_rng(0).permutation(n)  # features in any order
    told = _levels(*((_world(p, r[moved]), n, m) for p, r in pairs))
    for law, ((p, r), levels) in enumerate(zip(pairs, told, strict=True)):
        linear = theory.linear_loss(p, r, m)
        assert levels.pop("storing nothing") == pytest.approx(theory.dropped_cost(p, r).sum(), rel=1e-12)
        assert levels.pop(f"linear optimum ({m} dedicated)") == pytest.approx(linear, rel=1e-12)
        expected = {}
        for at, name in enumerate(found.names):
            kept, phrase, loss = directions[at].any(axis=0), _phrase(name), found.loss[at, law]
            still = (length[at, law][kept] > 0.5).all()
            if phrase and still and phrase != f"{m} dedicated" and loss < linear:
                expected[phrase] = loss
        assert levels == pytest.approx(expected, rel=1e-6), (p, r)
        assert list(levels.values()) == sorted(levels.values(), reverse=True)


def _exact(cases):
    """The least exact loss of each `(world, n, m, output, W or None)`: of some minima, or with W and biases of 0."""
    code = """
    import { exactLoss } from "./exact.js";
    import { initial, minimize } from "./engine.js";
    import { worldOf } from "./worlds.js";
    send(data.map(([spec, n, m, output, W]) => {
      const world = worldOf(spec, n), kind = { output, layer: "linear" };
      if (W) return exactLoss({ n, m, W, b: new Float64Array(n), ...kind }, world).loss;
      return Math.min(...Array.from({ length: 12 }, (_, seed) => seed).map((seed) => minimize(initial(n, m, seed, kind), world).loss));
    }));
    """
    return run(code, cases)


def _worlds():
    """Worlds of each kind and law of values: of sets, with one importance, or one for each set, or different ones."""
    for kind, values, p in product(KINDS, VALUES, (0.1, 0.6, 1.0)):
        sizes = {"independent": [1, 1, 1, 1]}.get(kind, [2, 1, 1])
        density = np.array([p, 0.7 * p, 0.5 * p, p])[: len(sizes)]
        for importance in ([1, 1, 1, 1], [0.4, 0.4, 1, 0.7], [1, 0.8, 0.6, 0.4]):
            yield _world(density, np.array(importance, float), kind=kind, values=values, sizes=sizes)


def _have_covariance(world):
    always = world["kind"] == "correlated" and world["density"][0] == 1
    return world["kind"] != "independent" and world["values"] != "signed" and not always


def test_storing_nothing_is_the_loss_without_weights():
    worlds = list(_worlds())
    code = """
    import { exactLoss } from "./exact.js";
    import { moments, worldOf } from "./worlds.js";
    send(data.map((spec) => {
      const world = worldOf(spec, 4), model = { n: 4, m: 1, W: new Float64Array(4), output: "relu", layer: "linear" };
      return exactLoss({ ...model, b: moments(world).mean }, world).loss;
    }));
    """
    for output, layer in product(("relu", "linear"), repeat=2):
        told = _levels(*((world, 4, 2, {"output": output, "layer": layer}) for world in worlds))
        for levels, loss in zip(told, run(code, worlds), strict=True):
            assert levels["storing nothing"] == pytest.approx(loss, rel=1e-9)
            assert next(iter(levels)) == "storing nothing"


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_linear_optimum_is_what_linear_models_find(m):
    worlds = list(_worlds())
    told = _levels(*((world, 4, m, {"output": "linear"}) for world in worlds))
    least = _exact([(world, 4, m, "linear", None) for world in worlds])
    for world, levels, loss in zip(worlds, told, least, strict=True):
        together = _have_covariance(world)
        if together and world["importance"][0] != world["importance"][1]:
            assert list(levels) == ["storing nothing"]
        else:
            name = "linear optimum" if together else f"linear optimum ({m} dedicated)"
            assert list(levels) == ["storing nothing", name]
            assert levels[name] == pytest.approx(loss, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_no_level_is_below_what_relu_models_find(m):
    worlds = list(_worlds())
    told = _levels(*((world, 4, m) for world in worlds))
    least = _exact([(world, 4, m, "relu", None) for world in worlds])
    for world, levels, loss in zip(worlds, told, least, strict=True):
        assert min(levels.values()) >= loss * (1 - 1e-6) - 1e-9
        if world["values"] == "signed":
            assert list(levels) == ["storing nothing"]


def test_hidden_relus_have_only_levels_that_they_reach():
    worlds = list(_worlds())
    told = _levels(*((world, 4, 2, {"layer": "relu"}) for world in worlds))
    for world, levels in zip(worlds, told, strict=True):
        reached = world["kind"] == "independent" and world["values"] != "signed"
        assert list(levels)[1:] == (["linear optimum (2 dedicated)"] if reached else [])


def test_a_dimension_for_each_feature_leaves_no_loss():
    for values in ("uniform", "binary"):
        (levels,) = _levels((_world(0.2, values=values), 3, 3))
        assert list(levels) == ["storing nothing", "linear optimum (3 dedicated)"]
        assert levels["linear optimum (3 dedicated)"] == 0
    (levels,) = _levels((_world(0.2), 2, 5, {"layer": "relu"}))
    assert levels["linear optimum (2 dedicated)"] == 0


def _least_of_pairs(dropped, pair, m, features):
    """The least loss of features that are dropped, dedicated, or in antipodal pairs, by trying all."""
    if not features:
        return 0.0
    first, *others = features
    ways = [dropped[first] + _least_of_pairs(dropped, pair, m, others)]
    if m:
        ways.append(_least_of_pairs(dropped, pair, m - 1, others))
        for j in others:
            ways.append(pair[first, j] + _least_of_pairs(dropped, pair, m - 1, [i for i in others if i != j]))
    return min(ways)


@pytest.mark.parametrize("values", ["uniform", "binary"])
def test_antipodal_pairs_are_the_best_use_of_the_dimensions(values):
    n, rng = 7, np.random.default_rng(0)
    importances = [rng.permutation(decay ** np.arange(n)) for decay in (0.6, 0.9, 1.0)]
    cases = list(product((0.05, 0.4, 0.7, 0.9), (1, 3, 5, 6), importances))
    told = _levels(*((_world(p, importance, values=values), n, m) for p, m, importance in cases))
    seen = 0
    for (p, m, importance), levels in zip(cases, told, strict=True):
        variance, both = (theory.dropped_cost(p), p**2 / 6) if values == "uniform" else (p - p**2, p**2)
        pair = both * (importance + importance[:, None])
        least = _least_of_pairs(variance * importance, pair, m, list(range(n)))
        assert min(levels.values()) == pytest.approx(least, rel=1e-12)
        seen += "antipodal pairs" in levels
    assert 10 < seen < len(cases)
    W = np.array([[1.0, 0, 0, 0, 0, 0, 0], [0, 1, -1, 0, 0, 0, 0], [0, 0, 0, 1, -1, 0, 0]])
    world = _world(0.3, np.array([1, 1, 1, 1, 1, 0, 0.0]), values=values)
    (levels,), (loss,) = _levels((world, n, 3)), _exact([(world, n, 3, "relu", W.ravel())])
    assert levels["antipodal pairs"] == pytest.approx(loss, rel=1e-9)


def test_pairs_of_unequal_densities_have_no_level_beyond_six_features():
    (levels,) = _levels((_world(np.linspace(0.1, 0.2, 8)), 8, 2))
    assert list(levels) == ["storing nothing", "linear optimum (2 dedicated)"]
