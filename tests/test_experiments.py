"""Claims of experiments on datasets made by hand: they hold where they should, and can fail."""

import numpy as np
import pytest
import xarray as xr

from superpose import plot, sweep, theory
from superpose.experiments import basic_results, phase_diagram


def _holds(claims):
    return {claim.id: claim.holds for claim in claims}


def _diagram(size, cells=12):
    """The prototypes themselves, each in the cells where theory puts it."""
    n, _ = phase_diagram.SIZES[size]
    density, extra = np.logspace(-2, 0, cells), np.logspace(-1, 1, cells)
    losses = theory.phase_losses(n, density[:, None], extra[None, :])
    W = np.array(theory.PROTOTYPES[n], float)[losses.argmin(0)]
    lead = ("density", "extra_importance", "member")
    data = xr.Dataset(
        {
            "W": ((*lead, "hidden", "feature"), np.repeat(W[:, :, None], 2, axis=2)),
            "b": ((*lead, "feature"), np.zeros((cells, cells, 2, n))),
            "loss": (lead, np.repeat(losses.min(0)[..., None], 2, axis=2)),
        },
        {"density": density, "extra_importance": extra, "member": [0, 1]},
    )
    return data.merge(phase_diagram.minima(data))


@pytest.fixture(scope="module")
def diagrams():
    return sweep.stacked({size: _diagram(size) for size in phase_diagram.SIZES}, "size")


def test_claims_of_the_phase_diagram_hold_for_the_prototypes(diagrams):
    assert all(_holds(phase_diagram.claims(diagrams)).values())


@pytest.mark.parametrize("size", ["2 in 1", "3 in 2"])
def test_claims_of_the_phase_diagram_fail_for_models_that_store_nothing(diagrams, size):
    name = size.replace(" ", "-")
    holds = _holds(phase_diagram.claims(diagrams.assign(W=0 * diagrams.W, loss=1.01 * diagrams.loss)))
    for claim in ("phases", "agree", "best", "jump"):
        assert not holds[f"{name}-{claim}"]


def test_sparsity_claim_fails_for_dense_superposition(diagrams):
    pair = np.full_like(diagrams.W.values, np.nan)
    pair[0, ..., :1, :2] = [1, -1]
    pair[1] = diagrams.W.values[1]
    assert not _holds(phase_diagram.claims(diagrams.assign(W=(diagrams.W.dims, pair))))["2-in-1-sparsity"]


def test_minima_are_counted_by_their_losses():
    loss = np.array([[[1.0, 2.0, 1.00001, 3.0], [1.0, 1.0, 1.0, 1.0]]])
    data = xr.Dataset({"loss": (("density", "extra_importance", "member"), loss)})
    found = phase_diagram.minima(data)
    assert found.basins.values.tolist() == [[3, 1]]
    assert found.reached.values.tolist() == [[0.5, 1.0]]
    np.testing.assert_allclose(found.gap.values, [[1.0, np.nan]])


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


@pytest.fixture(scope="module")
def basics():
    kinds = [(kind, size) for size in basic_results.SIZES for kind in ("linear", "relu")]
    return sweep.stacked({f"{kind}, {size}": _basic(size) for kind, size in kinds}, "network")


def test_linear_claims_hold_for_the_linear_optimum_and_relu_claims_do_not(basics):
    holds = _holds(basic_results.claims(basics))
    for name, held in holds.items():
        assert held == (name.startswith("linear") or name.endswith(("dense", "negative-first"))), name


def test_linear_claims_fail_for_other_weights(basics):
    holds = _holds(
        basic_results.claims(basics.assign(W=1.1 * basics.W, b=0.9 * basics.b, loss=1.1 * basics.loss))
    )
    assert not any(held for name, held in holds.items() if name.startswith("linear"))


def test_figures_are_drawn(diagrams, basics):
    with plot.style():
        for experiment, data in ((phase_diagram, diagrams), (basic_results, basics)):
            fig = experiment.figure(data)
            fig.draw_without_rendering()
            assert fig.get_axes()
