"""Features that are never active together: they are stored as opposites, without any loss.

Of each pair of features at most one is active at a time. The two share a dimension as opposites, where
the output's ReLU keeps them apart, and the two pairs are at right angles. Four features in two
dimensions are reconstructed perfectly: no other arrangement can do that.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, sweep, theory
from superpose.claims import Claim, about, as_claims, between, from_section
from superpose.features import Anticorrelated
from superpose.losses import Population
from superpose.models import ReluOutput

SECTION = "Correlated and Anticorrelated Features"
TAKES = 5
QUICK = {"members": 12}

SETS = (0, 0, 1, 1)
PERFECT = 1e-5
"""A loss below this is 0 but for rounding and where the search ends."""


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


def model(key):
    return ReluOutput.init(4, 2, key=key)


def loss(density):
    return Population(Anticorrelated(density, (2, 2)))


AXES = {"density": "geomspace(0.32,0.1,5)"}
cell = sweep.solved(model, loss, keep="all")


def run(config: Config) -> xr.Dataset:
    return sweep.gathered(cell, {"density": config.densities}, seeds=config.members, seed=config.seed)


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best solution at each density, with the share of starts whose loss is `perfect`.

    `independent` is what the weights would cost if the features were independent.
    """
    return grid.described(data).assign(
        perfect=(data.loss < PERFECT).mean("member"),
        independent=("density", 2 * theory.antipodal_cost(data.density.values / 2)),
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    n = best.sizes["density"]
    fig = plot.figure(1.75 * (n + 1), 2.65)
    paper, *axes = fig.subplots(1, n + 1)
    plot.points(paper, np.array([[0.0, 0, 1, -1], [1, -1, 0, 0]]), SETS)
    paper.set_title("the paper", fontsize=9)
    paper.set_facecolor("#f5f4f0")
    paper.set_xlabel("loss 0\n(if independent)", fontsize=8)
    for at, ax in enumerate(axes):
        model = best.isel(density=at)
        plot.points(ax, plot.aligned(model.W.values, SETS), SETS)
        ax.set_title(f"density {float(model.density):g}", fontsize=9)
        ax.set_xlabel(f"loss {float(model.loss):.0e}\n({float(model.independent):.1e})", fontsize=8)
    fig.suptitle("Best solutions in 2 dimensions; features of one color are never active together")
    return fig


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    stored = best.where(best.represented.all("feature"))
    within = [stored.cosine[:, 0, 1], stored.cosine[:, 2, 3]]
    across = abs(stored.cosine[:, :2, 2:]).max(("feature", "other"), skipna=False)
    says = from_section(SECTION, "the exact optimum, best of many starts")
    ours = from_section("ours", "the only model without loss")
    # fmt: off
    return [
        says("opposite", "The members of a pair are opposites",
             "cosine, of each pair at each density", np.ravel(within), about(-1, 0.02), number="{:.4f}"),
        says("across", "The two pairs are on orthogonal axes",
             "largest |cosine| across pairs, at each density", across, between(0, 0.02), number="{:.0e}"),
        ours("perfect", "Nothing is lost: all four features are reconstructed exactly",
             "loss at each density", best.loss, between(-1e-9, PERFECT),
             source="opposites that are never active together do not interfere", number="{:.0e}"),
        ours("norms", "All four features are stored at length 1",
             "norms", best.norm.values.ravel(), about(1, 0.01)),
        ours("biases", "Nothing needs to be taken away: the biases are 0",
             "biases", stored.b.values.ravel(), about(0, 0.01), number="{:.0e}"),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    return [
        "The paper does not give the densities of its solutions; the result is the same at all of them. A feature's "
        "own density is half of its pair's.",
        f"Of {int(best.members)} starts at each density the one of least exact loss is shown; "
        f"{float(best.perfect.min()):.0%} to {float(best.perfect.max()):.0%} of the starts reach it.",
        "In brackets: what the same weights would cost for independent features, which can be active together.",
    ]
