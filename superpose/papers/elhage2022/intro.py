"""Five features in two dimensions: the sparser they are, the more of them are stored.

Dense features: the two most important are stored, at right angles. Sparser: four, as two
antipodal pairs. Sparser still: all five, as a pentagon.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, settings, sweep
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, from_section
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput

SECTION = "Introduction"
TAKES = 12
QUICK = {"row": 3, "members": 12}


@dataclass(frozen=True)
class Config:
    densities: tuple[float, ...] = (1.0, 0.2, 0.1)
    """The densities (1 - sparsity) of the large panels."""
    row: int = 10
    """How many densities, from 1 to 1/20, in the row below; 0 for none."""
    decay: float = 0.9
    """Feature i has importance decay^i."""
    members: int = 40
    """Models at each density, from different initial weights; the best is shown."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, row=0, members=1)
        settings.shares(self, "densities", "decay")

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing((len(self.densities) + self.row) * self.members, weights=15)


def model(key):
    return ReluOutput.init(5, 2, key=key)


def loss(density, *, decay: float = 0.9):
    return Population(Independent(density, decay ** np.arange(5)))


AXES = {"density": "geomspace(1,0.05,10)"}
cell = sweep.solved(model, loss, keep="all")


def run(config: Config) -> xr.Dataset:
    row = 20.0 ** -np.linspace(0, 1, config.row)
    axes = {"density": np.unique([*config.densities, *row])}
    fixed = {"decay": config.decay}
    data = sweep.gathered(cell, axes, fixed=fixed, seeds=config.members, seed=config.seed)
    return data.sel(density=[*config.densities, *row]).assign(
        importance=("feature", config.decay ** np.arange(5)),
        large=("density", np.arange(len(config.densities) + config.row) < len(config.densities)),
    )


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model at each density, and its `turns`, the angles from one feature to the next around the circle."""
    best = grid.described(data)
    return best.assign(turns=(("density", "neighbor"), [measures.gaps(W) for W in best.W.values]))


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    kinds = [best.large, ~best.large]
    rows = [best.isel(density=kind) for kind in kinds if kind.any()]
    fig = plot.figure(9, 3.9 + 1.5 * (len(rows) - 1))
    parts = fig.subfigures(len(rows), 1, height_ratios=[2.6, 1][: len(rows)], squeeze=False)[:, 0]
    for part, models in zip(parts, rows, strict=True):
        for at, ax in enumerate(part.subplots(1, models.sizes["density"], squeeze=False)[0]):
            _panel(ax, models.isel(density=at))
    top, *below = parts
    top.suptitle(f"5 features in 2 dimensions, best of {int(best.members)} models at each density")
    low, high = float(best.importance.min()), float(best.importance.max())
    plot.colorbar(
        top, top.axes, plot.importance_colors, "importance", low=low, high=high, shrink=0.6, pad=0.02
    )
    for part in below:
        text = "density →\n(share of models\nthat reach it)"
        part.axes[0].set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center")
    return fig


def _panel(ax: Axes, model: xr.Dataset) -> None:
    density = float(model.density)
    plot.directions(ax, plot.upright(model.W.values), model.importance.values)
    if model.large:
        ax.set_title(f"density {density:g} (sparsity {1 - density:.0%})")
        ax.set_xlabel(f"loss {float(model.loss):.5f}, reached by {float(model.reach):.0%} of models")
    else:
        ax.set_title(f"{density:.2g}", fontsize=8)
        ax.set_xlabel(f"{float(model.reach):.0%}", fontsize=7, color="#666666")


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    def large(density: float) -> list[xr.Dataset]:
        """The model of the large panel of this density, if there is one."""
        there = np.flatnonzero(best.large & np.isclose(best.density, density))
        return [best.isel(density=at) for at in there[:1]]

    exact = "the exact optimum, best of many starts"
    says, ours = from_section(SECTION, exact), from_section("ours", exact)
    geometry = from_section("The Geometry of Superposition", exact)
    rows = []
    # fmt: off
    for dense in large(1.0):
        cosine = dense.cosine[0, 1].where(dense.represented[:2].all())
        rows += [
            says("dense-two", "Dense: the two most important features are stored, the others not at all",
                 "norms", dense.norm, about([1, 1, 0, 0, 0], 0.02), number="{:.3f}"),
            says("dense-orthogonal", "Dense: the two most important features are orthogonal",
                 "", np.degrees(np.arccos(cosine.clip(-1, 1))), about(90, 3, " degrees")),
        ]
    for sparse in large(0.2):
        four = sparse.cosine[:4, :4]
        across = np.sort(abs(four.where(sparse.represented[:4].all())))[:, :-2]  # all but itself and its partner
        rows += [
            says("sparse-four", "80% sparse: the four most important features are stored, the fifth is not",
                 "norms", sparse.norm, about([1, 1, 1, 1, 0], 0.05), number="{:.3f}"),
            says("sparse-antipodal", "80% sparse: the four most important features are two antipodal pairs",
                 "each one's cosine to its partner", four.min("other"), at_most(-0.98), number="{:.4f}"),
            says("sparse-pairs-orthogonal", "80% sparse: the two antipodal pairs are at right angles",
                 "largest |cosine| across pairs", across.max(), between(0, 0.05)),
        ]
    for sparser in large(0.1):
        rows += [
            says("sparser-five", "90% sparse: all five features are stored, a little longer than 1",
                 "norms", sparser.norm, between(1.05, 1.13), number="{:.3f}"),
            says("sparser-pentagon", "90% sparse: the five features form a pentagon",
                 "between neighbors", sparser.turns, about(72, 6, " degrees"), number="{:.1f}"),
            geometry("sparser-shares", "90% sparse: each feature has about 2/5 of a dimension",
                     "dimensionality", sparser.dimensionality, between(0.36, 0.43)),
            ours("sparser-important-longer", "90% sparse: the more important a feature, the longer it is",
                 "from one norm to the next, the fall", -np.diff(sparser.norm), at_least(-1e-6)),
        ]
    # fmt: on
    return rows


def notes(best: xr.Dataset) -> list[str]:
    return [
        "The paper does not give its importances; these are the authors' notebook's.",
        f"Of {int(best.members)} starts at each density the one of least exact loss is shown; "
        f"{float(best.reach.min()):.0%} to {float(best.reach.max()):.0%} of the starts end there, the others in local "
        "minima.",
    ]
