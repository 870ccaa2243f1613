"""Five features in two dimensions: the sparser they are, the more of them are stored.

Dense features: the two most important are stored, at right angles. Sparser: four, as two
antipodal pairs. Sparser still: all five, as a pentagon.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, settings
from superpose.claims import Claim, about, as_claims, at_least, at_most, between
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

    @property
    def importance(self) -> np.ndarray:
        return self.decay ** np.arange(5)

    @property
    def every_density(self) -> np.ndarray:
        return np.array([*self.densities, *20.0 ** -np.linspace(0, 1, self.row)])


def run(config: Config) -> xr.Dataset:
    data = grid.solved(
        lambda key: ReluOutput.init(5, 2, key=key),
        lambda density: Population(Independent(density, config.importance)),
        {"density": config.every_density}, members=config.members, key=config.seed,
    )  # fmt: skip
    return data.assign(
        importance=("feature", config.importance),
        large=("density", np.arange(len(config.every_density)) < len(config.densities)),
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    large, row = (data.isel(density=np.flatnonzero(data.large.values == shown)) for shown in (True, False))
    n_large, n_row = len(large.density), len(row.density)
    fig = plot.figure(9, 3.9 + (1.5 if n_row else 0))
    top, *below = fig.subfigures(
        2 if n_row else 1, 1, height_ratios=[2.6, 1] if n_row else None, squeeze=False
    )[:, 0]
    top.suptitle(f"5 features in 2 dimensions, best of {data.sizes['member']} models at each density")
    for ax, at in zip(top.subplots(1, n_large, squeeze=False)[0], range(n_large), strict=True):
        _panel(ax, large.isel(density=at), data)
    plot.colorbar(
        top,
        top.axes,
        plot.importance_colors,
        "importance",
        low=float(data.importance.min()),
        high=float(data.importance.max()),
        shrink=0.6,
        pad=0.02,
    )
    for part in below:
        for ax, at in zip(part.subplots(1, n_row, squeeze=False)[0], range(n_row), strict=True):
            _panel(ax, row.isel(density=at), data, small=True)
    return fig


def _panel(ax, at_density, data, small=False):
    best = grid.best(at_density)
    share = float((at_density.loss <= best.loss * 1.001).mean())
    plot.directions(ax, plot.upright(best.W.values), data.importance.values)
    density = float(at_density.density)
    if small:
        ax.set_title(f"{density:.2g}", fontsize=8)
        ax.set_xlabel(f"{share:.0%}", fontsize=7, color="#666666")
        if at_density.density == data.density[~data.large][0]:
            ax.set_ylabel(
                "density →\n(share of models\nthat reach it)", fontsize=7, rotation=0, ha="right", va="center"
            )
    else:
        ax.set_title(f"density {density:g} (sparsity {1 - density:.0%})")
        ax.set_xlabel(f"loss {float(best.loss):.5f}, reached by {share:.0%} of models")


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    found = []
    for density, what in ((1.0, _orthogonal), (0.2, _pairs), (0.1, _pentagon)):
        places = np.flatnonzero(np.isclose(data.density, density) & data.large)
        if len(places):
            W = grid.best(data.isel(density=places[0])).W.values
            found += what(W, np.asarray(measures.norms(W)), np.asarray(measures.cosines(W)))
    return found


EXACT = "the exact optimum, best of many starts"


def _orthogonal(W, norms, cosines) -> list[Claim]:
    angle = np.degrees(np.arccos(np.clip(cosines[0, 1], -1, 1)))
    return [
        Claim(
            "dense-two", "Dense: the two most important features are stored, the others not at all", SECTION,
            about([1, 1, 0, 0, 0], 0.02), norms, what="norms", source=EXACT, number="{:.3f}",
        ),
        Claim(
            "dense-orthogonal", "Dense: the two most important features are orthogonal", SECTION,
            about(90, 3, " degrees"), angle if norms[:2].min() > 0.5 else np.nan, source=EXACT,
        ),
    ]  # fmt: skip


def _pairs(W, norms, cosines) -> list[Claim]:
    four = cosines[:4, :4]
    across = np.sort(np.abs(four), axis=1)[:, :-2]
    return [
        Claim(
            "sparse-four", "80% sparse: the four most important features are stored, the fifth is not", SECTION,
            about([1, 1, 1, 1, 0], 0.05), norms, what="norms", source=EXACT, number="{:.3f}",
        ),
        Claim(
            "sparse-antipodal", "80% sparse: they are two antipodal pairs", SECTION,
            at_most(-0.98), four.min(axis=1), what="each one's cosine to its partner", source=EXACT,
            number="{:.4f}",
        ),
        Claim(
            "sparse-pairs-orthogonal", "80% sparse: the two pairs are at right angles", SECTION,
            between(0, 0.05), across.max() if norms[:4].min() > 0.5 else np.nan,
            what="largest |cosine| across pairs", source=EXACT,
        ),
    ]  # fmt: skip


def _pentagon(W, norms, cosines) -> list[Claim]:
    angles = np.sort(np.degrees(np.arctan2(W[1], W[0])))
    gaps = np.diff(np.append(angles, angles[0] + 360))
    return [
        Claim(
            "sparser-five", "90% sparse: all five features are stored, a little longer than 1", SECTION,
            between(1.05, 1.13), norms, what="norms", source=EXACT, number="{:.3f}",
        ),
        Claim(
            "sparser-pentagon", "90% sparse: as a pentagon", SECTION,
            about(72, 6, " degrees"), gaps, what="between neighbors", source=EXACT, number="{:.1f}",
        ),
        Claim(
            "sparser-shares", "90% sparse: each has about 2/5 of a dimension", "The Geometry of Superposition",
            between(0.36, 0.43), np.asarray(measures.dimensionality(W)), what="dimensionality", source=EXACT,
        ),
        Claim(
            "sparser-important-longer", "90% sparse: the more important a feature, the longer", "ours",
            at_least(-1e-6), -np.diff(norms), what="from one norm to the next, the fall", source=EXACT,
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    share = (data.loss <= data.loss.min("member") * 1.001).mean("member").values
    steeper = "The paper does not give its importances; these are the authors' notebook's."
    return [
        steeper,
        f"Of {data.sizes['member']} starts at each density the one of least exact loss is shown; "
        f"{share.min():.0%} to {share.max():.0%} of the starts end there, the others in local minima.",
    ]
