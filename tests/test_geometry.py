"""The experiments on the geometry of superposition: what their claims say of made-up results."""

import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from superpose import theory
from superpose.papers.elhage2022 import nonuniform, polytopes, uniform_geometry
from superpose.polytopes import corners, simplex, tegum


def _status(module, data):
    return {claim.id: claim.status for claim in module.claims(module.measured(data))}


def _draws(module, data):
    best = module.measured(data)
    assert drawn(module.figure, best)
    assert all(isinstance(note, str) for note in module.notes(best))


# Uniform geometry


def _at(sparseness):
    """What a model of 10 dimensions should be."""
    one, digon, triangle = np.eye(1), corners("digon"), corners("triangle")
    if sparseness <= 1.4:
        return tegum(*[one] * 10)
    if sparseness < 1.9:
        return tegum(triangle, triangle, *[one] * 6)
    if sparseness < 4.2:
        return tegum(*[digon] * 10)
    if sparseness < 6.6:
        return tegum(*[corners("pentagon")] * 2, *[corners("square antiprism")] * 2)
    return tegum(*[corners("hexagon")] * 5)


def _uniform(shape=_at):
    x = np.array([1, 1.2, 1.5, 2.1, 2.5, 3, 3.5, 4, 4.5, 5.5, 7, 10])
    W = np.zeros((len(x), 1, 10, 40))
    for at, sparseness in enumerate(x):
        here = shape(sparseness)
        W[at, 0, :, : here.shape[1]] = here
    at = np.geomspace(1, 10, 40)
    wins = np.searchsorted([1.05, 1.2, 1.55, 4.45, 4.9], at)
    return xr.Dataset(
        {
            "W": (("sparseness", "member", "hidden", "feature"), W),
            "loss": (("sparseness", "member"), np.ones((len(x), 1))),
            "benefit": (("rival", "at"), np.eye(6)[:, wins]),
        },
        coords={"sparseness": x, "rival": list(uniform_geometry.RIVALS), "at": at},
    )


def test_uniform_geometry_holds_of_the_geometry_of_the_paper():
    data = _uniform()
    assert set(_status(uniform_geometry, data).values()) == {"holds"}
    _draws(uniform_geometry, data)


def test_uniform_geometry_fails_of_models_that_store_nothing():
    data = _uniform()
    data["W"] = 0 * data.W
    assert set(_status(uniform_geometry, data).values()) == {"fails"}


@pytest.mark.parametrize(
    ("wrong", "fail"),
    [
        (lambda x: tegum(*[np.eye(1)] * 10), {"dstar-half", "dstar-below", "half-share", "digons", "theory", "early"}),
        (lambda x: tegum(*[corners("digon")] * 10), {"dstar-one", "dstar-below", "pentagons", "antiprisms", "early"}),
        (lambda x: _at(11 - x), {"dstar-falls", "dstar-one", "dstar-below", "early"}),
        (lambda x: tegum(*[corners("hexagon")] * 5), {"fractions", "digons", "theory", "pentagons"}),
        (lambda x: np.random.default_rng(0).normal(size=(10, 20)) / 3, {"digons", "filled", "fractions", "half-share"}),
    ],
)  # fmt: skip
def test_uniform_geometry_fails_of_other_geometry(wrong, fail):
    status = _status(uniform_geometry, _uniform(wrong))
    assert {id for id in fail if status[id] == "fails"} == fail


# Polytopes


def _polytopes():
    x = np.geomspace(1, 12, 60)
    # Straight lines of rising slope, each the highest from where it meets the one before.
    begins = np.log([1.06, 1.24, 1.5, 4.5, 5.0])
    lines = [np.full(len(x), 1.002 / 12)]
    for slope, begin in zip(np.arange(1, 6) / 100, begins, strict=True):
        lines.append(np.interp(begin, np.log(x), lines[-1]) + slope * (np.log(x) - begin))
    benefit = np.array([*lines, lines[0] - 1, lines[0] - 1])
    loss = np.tile(0.99 / x**2 / 6, (8, 1))
    given_up = {
        "triangle": [[1, 1, 1]],
        "square": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "tetrahedron": [[1, 1, 1, 1]],
    }
    projected = [np.linalg.svd(np.array(vectors, float))[2][len(vectors) :] for vectors in given_up.values()]

    def stacked(shapes):
        sizes = np.max([shape.shape for shape in shapes], axis=0)
        whole = np.full((len(shapes), *sizes), np.nan)
        for place, shape in zip(whole, shapes, strict=True):
            place[: shape.shape[0], : shape.shape[1]] = shape
        return whole

    return xr.Dataset(
        {
            "W": (("shape", "hidden", "feature"), stacked([corners(name) for name in polytopes.TABLE])),
            "projected": (("case", "kept", "corner"), stacked(projected)),
            "loss": (("rival", "sparseness"), loss),
            "benefit": (("rival", "sparseness"), benefit),
            "length": (("rival", "sparseness"), np.ones((8, 60))),
            "bias": (("rival", "sparseness"), np.zeros((8, 60))),
            "height": (("rival", "sparseness"), np.full((8, 60), 0.56)),
        },
        coords={
            "shape": list(polytopes.TABLE),
            "case": list(given_up),
            "rival": list(polytopes.RIVALS),
            "sparseness": x,
        },
    )


def test_polytopes_hold_and_draw():
    data = _polytopes()
    assert set(_status(polytopes, data).values()) == {"holds"}
    _draws(polytopes, data)


@pytest.mark.parametrize(
    ("wrong", "fail"),
    [
        (
            {"W": lambda W: 0 * W},
            {"shares", "bipyramid", "pentagonal-bipyramid", "tegum", "shares-fill"},
        ),
        (
            {"projected": lambda W: np.abs(W)},
            {"orthogonal-simplex", "orthogonal-gram", "orthogonal-square"},
        ),
        ({"projected": lambda W: 1.1 * W}, {"orthogonal-gram"}),
        (
            {"benefit": lambda benefit: -benefit},
            {"switch-digon", "switch-pentagon", "switch-antiprism", "order", "dense-nothing"},
        ),
        ({"benefit": lambda benefit: 1.1 * benefit}, {"dense-nothing"}),
        (
            {"benefit": lambda benefit: benefit.isel(sparseness=slice(None, None, -1)).values},
            {"switch-digon", "switch-pentagon", "switch-antiprism", "order", "dense-nothing"},
        ),
        ({"loss": lambda loss: 1.05 * loss}, {"digon-cost"}),
        ({"height": lambda height: height + 0.1}, {"antiprism-height"}),
    ],
)
def test_polytopes_fail_of_wrong_results(wrong, fail):
    data = _polytopes()
    for name, change in wrong.items():
        data[name] = (data[name].dims, np.asarray(change(data[name])))
    status = _status(polytopes, data)
    assert {id for id, told in status.items() if told != "holds"} == fail


# One feature sparser or denser


def _pentagon(angle):
    """A pentagon whose first corner is this far from its neighbors, in degrees."""
    rest = (360 - 2 * angle) / 3
    turn = np.radians([0, angle, angle + rest, angle + 2 * rest, -angle])
    return 1.135 * np.array([np.cos(turn), np.sin(turn)])


def _nonuniform(crossings=(0.27, 0.42), angles=(60, 68.7, 72, 74.3, 76)):
    ratio, baselines = np.geomspace(0.1, 10, 21), np.array([0.05, 0.1])
    square = np.hstack([np.zeros((2, 1)), corners("square")])
    angle = np.interp(np.log(ratio), np.log([0.1, 0.5, 1, 2, 10]), angles)
    W = np.array([[[_pentagon(each), square, square] for each in angle]] * 2)
    b = np.zeros((2, 21, 3, 5))
    b[:, :, 0] = -0.247
    loss = np.empty((2, 21, 3))
    for at, (p, crossing, at_one) in enumerate(zip(baselines, crossings, (0.008904, 0.0263), strict=True)):
        costs = 2 * theory.antipodal_cost(p) + theory.dropped_cost(p * ratio)
        known = np.interp(np.log(crossing), np.log(ratio), costs)
        loss[at] = 0.999 * np.maximum(costs, 0)[:, None]
        loss[at, :, 0] = np.exp(
            np.interp(
                np.log(ratio),
                np.log([0.1, crossing, 1, 10]),
                np.log([0.8 * known, known, at_one, 2 * at_one]),
            )
        )
    grid = ("baseline", "ratio", "member")
    return xr.Dataset(
        {
            "W": ((*grid, "hidden", "feature"), W),
            "b": ((*grid, "feature"), b),
            "loss": (grid, loss),
            "converged": (grid, np.ones((2, 21, 3), bool)),
        },
        coords={"baseline": baselines, "ratio": ratio},
    )


def test_nonuniform_holds_of_the_exact_optimum_and_differs_from_the_paper():
    data = _nonuniform()
    status = _status(nonuniform, data)
    assert {id for id, told in status.items() if told != "holds"} == {"critical-paper", "length-paper"}
    assert status["critical-paper"] == status["length-paper"] == "differs"
    _draws(nonuniform, data)


def test_nonuniform_would_agree_with_the_paper():
    status = _status(nonuniform, _nonuniform(crossings=(0.4, 0.42)))
    assert status["critical-paper"] == "holds"
    assert status["critical"] == "fails"


def test_nonuniform_fails_of_models_that_store_nothing():
    data = _nonuniform()
    data["W"] = 0 * data.W
    status = _status(nonuniform, data)
    assert {id for id, told in status.items() if told == "holds"} == set()


@pytest.mark.parametrize(
    ("change", "fail"),
    [
        ({"angles": (80, 76, 73, 68, 60)}, {"repel", "angles", "regular"}),
        ({"crossings": (0.6, 0.42)}, {"critical", "critical-paper"}),
        ({"crossings": (0.27, 0.3)}, {"critical-denser"}),
    ],
)
def test_nonuniform_fails_of_other_curves(change, fail):
    status = _status(nonuniform, _nonuniform(**change))
    assert {id for id in fail if status[id] != "holds"} == fail


@pytest.mark.parametrize(
    ("wrong", "fail"),
    [
        (lambda data: data.assign(loss=1.05 * data.loss), {"square-cost", "regular-loss"}),
        (lambda data: data.assign(b=1.2 * data.b), {"regular-bias", "length"}),
        (lambda data: data.assign(W=0.85 * data.W), {"outside", "regular-length", "length"}),
        (lambda data: data.isel(member=[0]), {"digons", "first-order", "jump", "critical"}),
        (
            lambda data: data.assign(loss=data.loss.where(data.member > 0, 10 * data.loss)),
            {"pentagon-above", "critical", "regular-loss"},
        ),
    ],
)
def test_nonuniform_fails_of_wrong_results(wrong, fail):
    status = _status(nonuniform, wrong(_nonuniform().assign_coords(member=range(3))))
    assert {id for id in fail if status[id] == "fails"} == fail


def test_squares_are_two_pairs_and_pentagons_have_room():
    W = np.zeros((4, 2, 5))
    W[0] = _pentagon(72)
    W[1, :, 1:] = corners("square")
    W[2, :, :3] = simplex(2)
    W[3] = np.array([[1, 1, -1, 0, 0], [0.1, -0.1, 0, 1, -1]])
    assert [nonuniform.kind_of(each) for each in W] == ["pentagon", "square", "triangle", "other"]


def test_angles_of_nonuniform_are_counted_from_the_one_feature():
    best = nonuniform.measured(_nonuniform(angles=(60,) * 5)).sel(kind="pentagon")
    assert np.allclose(best.gap, [60, 80, 80, 80, 60])
    assert np.allclose(best.angle, 60)
