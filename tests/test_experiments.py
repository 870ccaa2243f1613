"""Claims of experiments on datasets made by hand: they hold where they should, and can fail."""

import numpy as np
import pytest
import xarray as xr
from drawn import drawn

from superpose import grid, theory
from superpose.papers.elhage2022 import basic_results, phase_diagram


def _holds(claims):
    return {claim.id: claim.holds for claim in claims}


def _diagram_holds(data):
    return _holds(phase_diagram.claims(phase_diagram.measured(data)))


def _diagram(size, cells=12):
    """The prototypes themselves, each in the cells where theory puts it, and as the best families."""
    n, _ = phase_diagram.SIZES[size]
    density, extra = np.logspace(-2, 0, cells), np.logspace(-1, 1, cells)
    losses = theory.phase_losses(n, density[:, None], extra[None, :])
    W = np.array(theory.PROTOTYPES[n], float)[losses.argmin(0)]
    cell = ("density", "extra_importance")
    lead = (*cell, "member")
    certificate = {"reached": 1.0, "distinct": 2, "gap": 0.1, "missed": 0.7}
    return xr.Dataset(
        {
            "W": ((*lead, "hidden", "feature"), np.repeat(W[:, :, None], 2, axis=2)),
            "b": ((*lead, "feature"), np.zeros((cells, cells, 2, n))),
            "loss": (lead, np.repeat(losses.min(0)[..., None], 2, axis=2)),
            "family_W": ((*cell, "hidden", "feature"), W),
            "family_loss": (cell, losses.min(0)),
            **{name: (cell, np.full((cells, cells), value)) for name, value in certificate.items()},
        },
        {"density": density, "extra_importance": extra, "member": [0, 1]},
    )


@pytest.fixture(scope="module")
def diagrams():
    return grid.stacked({size: _diagram(size) for size in phase_diagram.SIZES}, "size")


def test_claims_of_the_phase_diagram_hold_for_the_prototypes(diagrams):
    assert all(_diagram_holds(diagrams).values())


@pytest.mark.parametrize("size", ["2-in-1", "3-in-2"])
def test_claims_of_the_phase_diagram_fail_for_models_that_store_nothing(diagrams, size):
    holds = _diagram_holds(diagrams.assign(W=0 * diagrams.W, loss=1.01 * diagrams.loss))
    for claim in ("phases", "agree", "best", "jump"):
        assert not holds[f"{size}-{claim}"]


def test_sparsity_claim_fails_for_dense_superposition(diagrams):
    pair = np.full_like(diagrams.W.values, np.nan)
    pair[0, ..., :1, :2] = [1, -1]
    pair[1] = diagrams.W.values[1]
    assert not _diagram_holds(diagrams.assign(W=(diagrams.W.dims, pair)))["2-in-1-sparsity"]


def test_claims_about_families_and_certainty_can_fail(diagrams):
    flipped = diagrams.assign(family_W=0 * diagrams.family_W, family_loss=1.1 * diagrams.family_loss)
    lucky = flipped.assign(reached=0.5 * diagrams.reached)
    holds = _diagram_holds(lucky)
    for size in phase_diagram.SIZES:
        assert not any(holds[f"{size}-{claim}"] for claim in ("families", "families-loss", "sure"))
    better = diagrams.assign(family_loss=0.99 * diagrams.family_loss)
    assert not _diagram_holds(better)["2-in-1-families-never"]


def test_one_phase_diagram_alone_is_run_claimed_and_drawn():
    data = phase_diagram.run(phase_diagram.Config(sizes=("2-in-1",), cells=3, members=6))
    assert data["size"].values.tolist() == ["2-in-1"]
    cells = phase_diagram.measured(data)
    claims = phase_diagram.claims(cells)
    assert {claim.id[:6] for claim in claims} == {"2-in-1"}
    assert _holds(claims)["2-in-1-families-loss"]
    found = data.isel(size=0)
    best = found.loss.where(found.minimum == 0)
    np.testing.assert_allclose(best.max("member"), found.loss.min("member"), rtol=1e-5)
    share = (found.minimum == 0).mean("member")
    assert (share <= found.reached).all()
    # Dense and equally important, any mixture of the two features will do: a valley of one loss.
    np.testing.assert_allclose(share[:2], found.reached[:2])
    assert "2 features in 1 dimension, 6 models in each cell" in drawn(phase_diagram.figure, cells)


@pytest.mark.parametrize("sizes", [(), ("2-in-1", "2-in-1")])
def test_phase_diagrams_are_named_once(sizes):
    with pytest.raises(ValueError, match="sizes must name one diagram or more, each once"):
        phase_diagram.Config(sizes=sizes)


def _basic(size):
    """The linear optimum at every density."""
    n, m, decay = basic_results.SIZES[size]
    density, importance = np.array(basic_results.DENSITIES), decay ** np.arange(n)
    cells = len(density)
    b = np.where(np.arange(n) < m, 0.0, density[:, None] / 2)
    losses = [theory.linear_loss(np.full(n, p), importance, m) for p in density]
    return xr.Dataset(
        {
            "W": (("density", "member", "hidden", "feature"), np.tile(np.eye(m, n), (cells, 1, 1, 1))),
            "b": (("density", "member", "feature"), b[:, None]),
            "loss": (("density", "member"), np.array(losses)[:, None]),
            "importance": ("feature", importance),
        },
        {"density": density, "member": [0]},
    )


def _linear():
    kinds = [(kind, size) for size in basic_results.SIZES for kind in ("linear", "relu")]
    return grid.stacked({f"{kind}, {size}": _basic(size) for kind, size in kinds}, "network")


@pytest.fixture(scope="module")
def basics():
    return basic_results.measured(_linear())


def test_linear_claims_hold_for_the_linear_optimum_and_relu_claims_do_not(basics):
    holds = _holds(basic_results.claims(basics))
    for name, held in holds.items():
        assert held == (name.startswith("linear") or name.endswith(("dense", "dedicated"))), name


def test_linear_claims_fail_for_other_weights():
    data = _linear()
    data = data.assign(W=1.1 * data.W, b=0.9 * data.b, loss=1.1 * data.loss)
    holds = _holds(basic_results.claims(basic_results.measured(data)))
    assert not any(held for name, held in holds.items() if name.startswith("linear"))


def test_figures_are_drawn(diagrams, basics):
    sizes = {
        f"{n} features in {m} dimension{'s' * (m > 1)}, 2 models in each cell" for n, m in ((2, 1), (3, 2))
    }
    assert sizes <= drawn(phase_diagram.figure, phase_diagram.measured(diagrams))
    assert {"ReLU, 1 − S = 0.01\n5 stored", "ReLU, 1 − S = 0.01\n20 stored"} <= drawn(
        basic_results.figure, basics
    )
