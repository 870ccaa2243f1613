"""The denser three pairs of correlated features are, the more pairs collapse to their principal component.

Six features in two dimensions, in pairs that are active together. Sparse pairs are stored as a hexagon. Denser
ones collapse, one after the other: of both features of a pair only the sum is kept, as in principal component
analysis, and both get the same direction, with length 1/sqrt(2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, sweep
from superpose.claims import Bounds, Claim, about, as_claims, at_least, at_most, exactly, from_section
from superpose.features import Correlated
from superpose.losses import Population
from superpose.models import ReluOutput

SECTION = "Correlated and Anticorrelated Features"
TAKES = 18
QUICK = {"cells": 6, "members": 12}


@dataclass(frozen=True)
class Config:
    densities: tuple[float, ...] = (0.75, 0.4, 0.2, 0.1, 0.03)
    """The densities that are drawn: each pair's chance to be active."""
    cells: int = 31
    """Further densities, from 0.02 to 0.9."""
    members: int = 40
    """Starts at each density, from different initial weights; the best is kept."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, cells=2, members=1)
        settings.shares(self, "densities")

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing((len(self.densities) + self.cells) * self.members, weights=18)


def model(key):
    return ReluOutput.init(6, 2, key=key)


def loss(density):
    return Population(Correlated(density, (2, 2, 2)))


AXES = {"density": "geomspace(0.02,0.9,31)"}
cell = sweep.solved(model, loss, keep="all")


def run(config: Config) -> xr.Dataset:
    densities = np.unique([*config.densities, *np.geomspace(0.02, 0.9, config.cells)])
    data = sweep.gathered(cell, {"density": densities}, seeds=config.members, seed=config.seed)
    return data.assign(drawn=("density", np.isin(densities, config.densities)))


PAIRS = (0, 0, 1, 1, 2, 2)
STAGES = ((3, 0.25, 0.5), (2, 0.15, 0.2), (1, 0.05, 0.15), (0, 0.0, 0.05))
"""The paper's: so many pairs are collapsed between these densities; denser, the solution is PCA-like."""
SWITCHES = ((0.07, 0.1), (0.12, 0.16), (0.3, 0.5))
"""Between these densities one more pair collapses, in the exact optimum."""


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model at each density, and whether each pair is `collapsed` there; NaN where a feature is dropped.

    `apart` is the distance between the features of a pair, and `n_collapsed` how many pairs are collapsed.
    """
    best = grid.described(data)
    first, pair = xr.DataArray([0, 2, 4], dims="pair"), xr.DataArray(list(PAIRS), dims="feature")
    cosine = best.cosine.isel(feature=first, other=first + 1)
    collapsed = (cosine > 0.95).where((best.norm > 0.3).all("feature"))
    apart = np.linalg.norm(best.W.values[:, :, ::2] - best.W.values[:, :, 1::2], axis=1)
    return best.assign(
        collapsed=collapsed,
        n_collapsed=collapsed.sum("pair", skipna=False),
        in_collapsed=collapsed.isel(pair=pair),
        apart=(("density", "pair"), apart),
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    drawn = best.isel(density=np.flatnonzero(best.drawn)[::-1])
    fig = plot.figure(max(8.5, 1.75 * drawn.sizes["density"]), 5.2)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.25])
    top.suptitle(
        "Best solutions for three pairs of correlated features; circles of radius 1 and $1/\\sqrt{2}$"
    )
    axes = top.subplots(1, drawn.sizes["density"], squeeze=False)[0]
    for ax, W, density, n in zip(axes, drawn.W.values, drawn.density.values, drawn.n_collapsed, strict=True):
        plot.points(ax, plot.aligned(W, PAIRS), PAIRS, circles=(1.0, 0.5**0.5), reach=1.2)
        ax.set_title(f"density {density:g}", fontsize=9)
        ax.set_xlabel(f"{n:.0f} collapsed", fontsize=8)
    count, length = bottom.subplots(1, 2)
    _count(count, best)
    _length(length, best)
    for ax in (count, length):
        plot.log_axis(ax.xaxis, [0.02, 0.05, 0.1, 0.2, 0.5, 1])
        ax.set(xlabel="density of the pairs (1 − S)", xlim=(_low(best), 1))
    return fig


def _low(best: xr.Dataset) -> float:
    return float(best.density[0]) * 0.85


def _count(ax: Axes, best: xr.Dataset) -> None:
    """How many pairs are collapsed, and how many the paper says."""
    band: dict[str, Any] = {"color": plot.SETS[4], "lw": 9, "solid_capstyle": "butt"}
    for n, start, end in STAGES:
        label = "the paper's ranges" if n == 3 else None
        ax.plot([max(start, _low(best)), end], [n, n], alpha=0.45, label=label, **band)
    ax.plot([0.5, 1], [3, 3], alpha=0.2, label="“PCA-like”", **band)
    line: dict[str, Any] = {"color": plot.BLUE, "ms": 3.5, "lw": 1, "drawstyle": "steps-mid"}
    ax.plot(best.density, best.n_collapsed, "o-", label="best solution", **line)
    ax.set(ylabel="collapsed pairs", yticks=range(4), ylim=(-0.4, 3.4))
    ax.legend(loc="upper left")


def _length(ax: Axes, best: xr.Dataset) -> None:
    """The norms of features in collapsed pairs, and of the others."""
    density = best.density.broadcast_like(best.norm).values
    for kind, color, label in ((1, plot.RED, "collapsed pairs"), (0, plot.BLUE, "other features")):
        of_kind = best.in_collapsed.values == kind
        ax.plot(density[of_kind], best.norm.values[of_kind], "o", ms=3.5, mew=0, color=color, label=label)
    for y, text in ((1.0, "1"), (0.5**0.5, "$1/\\sqrt{2}$")):
        ax.axhline(y, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
        ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    ax.set(ylabel="norm $\\|W_i\\|$", ylim=(0, 1.15))
    ax.legend(loc="lower left")


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    density, n_collapsed = best.density, best.n_collapsed
    norm, in_collapsed = best.norm, best.in_collapsed
    picked = n_collapsed.reindex(density=[0.4, 0.2, 0.1, 0.03], method="nearest", tolerance=1e-6)
    # Halfway between the last density at which fewer than n pairs are collapsed and the first with n or more.
    switches = [
        np.sqrt(density.where(n_collapsed < n).max() * density.where(n_collapsed >= n).min())
        for n in (1, 2, 3)
    ]
    low, high = np.transpose(SWITCHES)
    ranges = Bounds(low, high, ", ".join(f"{start:g} to {end:g}" for start, end in SWITCHES))
    statements = {
        3: "Where features are dense, all three pairs collapse",
        2: "Where features are sparser, two pairs collapse",
        1: "Where features are sparser still, one pair collapses",
        0: "Where features are sparsest, no pair collapses",
    }
    says = from_section(SECTION, "the exact optimum, best of many starts")
    ours = from_section("ours", "the exact optimum, best of many starts")
    # fmt: off
    return [
        *(says(f"paper-{n}", statements[n],
               f"collapsed pairs at densities {start:g} to {end:g}", np.unique(n_collapsed[(start <= density) & (density <= end)]),
               exactly(n), source="the paper's text", instead="switches")
          for n, start, end in STAGES),
        says("pca-like", "Where features are densest, all three pairs collapse to principal components",
             "collapsed pairs at densities 0.5 and more", np.unique(n_collapsed[density >= 0.5]), exactly(3), source="the paper's text"),
        says("counts", "The denser the features, the more pairs collapse",
             "collapsed pairs at densities 0.4, 0.2, 0.1, 0.03", picked, exactly([3, 2, 1, 0])),
        ours("monotone", "As features grow denser, no pair is ever taken apart again",
             "more collapsed pairs from one density to the next", np.diff(n_collapsed), at_least(0)),
        ours("switches", "Pairs collapse one after the other",
             "densities where the first, second and third does", switches, ranges, quick=False),
        says("collapsed-norm", "The features of a collapsed pair have norm 1/sqrt(2)",
             "norms at densities up to 0.4", norm.values[(in_collapsed == 1) & (density <= 0.4)], about(0.5**0.5, 0.03),
             source="(a + b)/sqrt(2) is stored at length 1"),
        says("other-norm", "Features that are not in a collapsed pair keep a norm of about 1",
             "norms", norm.values[in_collapsed == 0], about(1, 0.15)),
        says("same-place", "The features of a collapsed pair are at the same place: the difference is dropped",
             "distance", best.apart.values[best.collapsed == 1], at_most(0.15), number="{:.1g}"),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    reach = best.reach.values
    return [
        f"Of {int(best.members)} starts at each of {best.sizes['density']} densities the one of least exact loss is kept; "
        f"{reach.min():.0%} to {reach.max():.0%} of the starts reach it.",
        "A pair counts as collapsed where its features have a cosine above 0.95. The paper gives its ranges of density "
        "as approximate.",
    ]
