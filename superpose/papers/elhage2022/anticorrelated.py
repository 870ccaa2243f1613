"""Features that are never active together: they are stored as opposites, without any loss.

Of each pair of features at most one is active at a time. The two share a dimension as opposites, where
the output's ReLU keeps them apart, and the two pairs are at right angles. Four features in two
dimensions are reconstructed perfectly: no other arrangement can do that.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, between
from superpose.features import Anticorrelated
from superpose.losses import Population
from superpose.models import ReluOutput

SECTION = "Correlated and Anticorrelated Features"
TAKES = 5
QUICK = {"members": 12}


@dataclass(frozen=True)
class Config:
    densities: tuple[float, ...] = (0.32, 0.24, 0.18, 0.13, 0.1)
    """The densities of the solutions: each pair's chance that one of its features is active."""
    members: int = 40
    """Starts at each density, from different initial weights; the best is shown."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1)
        settings.shares(self, "densities")

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing(len(self.densities) * self.members, weights=12)


def run(config: Config) -> xr.Dataset:
    return grid.solved(
        lambda key: ReluOutput.init(4, 2, key=key),
        lambda density: Population(Anticorrelated(density, (2, 2))),
        {"density": config.densities}, members=config.members, key=config.seed,
    )  # fmt: skip


SETS = (0, 0, 1, 1)
PERFECT = 1e-5
"""A loss below this is 0 but for rounding and where the search ends."""


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    best, n = grid.best(data), data.sizes["density"]
    fig = plot.figure(1.75 * (n + 1), 2.65)
    axes = fig.subplots(1, n + 1)
    plot.points(axes[0], np.array([[0.0, 0, 1, -1], [1, -1, 0, 0]]), SETS)
    axes[0].set_title("the paper", fontsize=9)
    axes[0].set_facecolor("#f5f4f0")
    axes[0].set_xlabel("loss 0\n(if independent)", fontsize=8)
    for ax, at in zip(axes[1:], range(n), strict=True):
        one = best.isel(density=at)
        plot.points(ax, plot.aligned(one.W.values, SETS), SETS)
        ax.set_title(f"density {float(one.density):g}", fontsize=9)
        independent = 2 * theory.antipodal_cost(float(one.density) / 2)
        ax.set_xlabel(f"loss {float(one.loss):.0e}\n({independent:.1e})", fontsize=8)
    fig.suptitle("Best solutions in 2 dimensions; features of one color are never active together")
    return fig


EXACT = "the exact optimum, best of many starts"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    best = grid.best(data)
    norms = grid.over_models(measures.norms, best.W, "feature")
    cosine = grid.over_models(measures.cosines, best.W, "feature", "other")
    cosine = cosine.where((norms > 0.5).all("feature")).values
    within, across = np.array([cosine[:, 0, 1], cosine[:, 2, 3]]), np.abs(cosine[:, :2, 2:]).max(axis=(1, 2))
    return [
        Claim(
            "opposite", "The members of a pair are opposites", SECTION,
            about(-1, 0.02), within.ravel(), what="cosine, of each pair at each density", source=EXACT,
            number="{:.4f}",
        ),
        Claim(
            "across", "The two pairs are on orthogonal axes", SECTION,
            between(0, 0.02), across, what="largest |cosine| across pairs, at each density", source=EXACT,
            number="{:.0e}",
        ),
        Claim(
            "perfect", "Nothing is lost: all four features are reconstructed exactly", "ours",
            between(-1e-9, PERFECT), best.loss.values, what="loss at each density",
            source="opposites that are never active together do not interfere", number="{:.0e}",
        ),
        Claim(
            "norms", "All four features are stored at length 1", "ours",
            about(1, 0.01), norms.values.ravel(), what="norms", source="the only model without loss",
        ),
        Claim(
            "biases", "Nothing needs to be taken away: the biases are 0", "ours",
            about(0, 0.01), best.b.where((norms > 0.5).all("feature")).values.ravel(), what="biases",
            source="the only model without loss", number="{:.0e}",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    reach = (data.loss < PERFECT).mean("member").values
    return [
        "The paper does not give the densities of its solutions; the result is the same at all of them. A feature's "
        "own density is half of its pair's.",
        f"Of {data.sizes['member']} starts at each density the one of least exact loss is shown; {reach.min():.0%} to "
        f"{reach.max():.0%} of the starts reach it.",
        "In brackets: what the same weights would cost for independent features, which can be active together.",
    ]
