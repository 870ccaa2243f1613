"""The denser three pairs of correlated features are, the more pairs collapse to their principal component.

Six features in two dimensions, in pairs that are active together. Sparse pairs are stored as a hexagon. Denser
ones collapse, one after the other: of both features of a pair only the sum is kept, as in principal component
analysis, and both get the same direction, with length 1/sqrt(2).
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, settings
from superpose.claims import Bounds, Claim, about, as_claims, at_least, at_most, exactly
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


def run(config: Config) -> xr.Dataset:
    densities = np.unique([*config.densities, *np.geomspace(0.02, 0.9, config.cells)])
    data = grid.solved(
        lambda key: ReluOutput.init(6, 2, key=key),
        lambda density: Population(Correlated(density, (2, 2, 2))),
        {"density": densities}, members=config.members, key=config.seed,
    )  # fmt: skip
    return data.assign(drawn=("density", np.isin(densities, config.densities)))


PAIRS = (0, 0, 1, 1, 2, 2)
STAGES = ((3, 0.25, 0.5), (2, 0.15, 0.2), (1, 0.05, 0.15), (0, 0.0, 0.05))
"""The paper's: so many pairs are collapsed between these densities; denser, the solution is PCA-like."""
SWITCHES = ((0.07, 0.1), (0.12, 0.16), (0.3, 0.5))
"""Between these densities one more pair collapses, in the exact optimum."""


def _collapsed(best) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair is collapsed, and each feature's norm, at each density; NaN where nothing is stored."""
    norms = grid.over_models(measures.norms, best.W, "feature").values
    cosine = grid.over_models(measures.cosines, best.W, "feature", "other").values
    collapsed = np.stack([cosine[:, i, i + 1] > 0.95 for i in (0, 2, 4)], axis=1)
    return np.where(norms.min(axis=1, keepdims=True) > 0.3, collapsed, np.nan), norms


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    best = grid.best(data)
    collapsed, norms = _collapsed(best)
    drawn = np.flatnonzero(best.drawn)[::-1]
    fig = plot.figure(max(8.5, 1.75 * len(drawn)), 5.2)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.25])
    top.suptitle(
        "Best solutions for three pairs of correlated features; circles of radius 1 and $1/\\sqrt{2}$"
    )
    for ax, at in zip(top.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        W = best.W.values[at]
        plot.points(ax, plot.aligned(W, PAIRS), PAIRS, circles=(1.0, 0.5**0.5), reach=1.2)
        ax.set_title(f"density {float(best.density[at]):g}", fontsize=9)
        ax.set_xlabel(f"{collapsed[at].sum():.0f} collapsed", fontsize=8)

    count, length = bottom.subplots(1, 2)
    density = data.density.values
    low = density[0] * 0.85
    for n, start, end in STAGES:
        label = "the paper's ranges" if n == 3 else None
        count.plot(
            [max(start, low), end],
            [n, n],
            color=plot.SETS[4],
            lw=9,
            alpha=0.45,
            solid_capstyle="butt",
            label=label,
        )
    count.plot(
        [0.5, 1], [3, 3], color=plot.SETS[4], lw=9, alpha=0.2, solid_capstyle="butt", label="“PCA-like”"
    )
    count.plot(
        density,
        collapsed.sum(axis=1),
        "o-",
        color=plot.BLUE,
        ms=3.5,
        lw=1,
        drawstyle="steps-mid",
        label="best solution",
    )
    count.set(ylabel="collapsed pairs", yticks=range(4), ylim=(-0.4, 3.4))
    count.legend(loc="upper left")

    of_feature = np.repeat(collapsed, 2, axis=1)
    places = np.repeat(density[:, None], 6, axis=1)
    for kind, color, told in ((1, plot.RED, "collapsed pairs"), (0, plot.BLUE, "other features")):
        length.plot(
            places[of_feature == kind], norms[of_feature == kind], "o", ms=3.5, mew=0, color=color, label=told
        )
    for line, told in ((1.0, "1"), (0.5**0.5, "$1/\\sqrt{2}$")):
        length.axhline(line, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
        length.text(1.01, line, told, transform=length.get_yaxis_transform(), va="center", fontsize=8)
    length.set(ylabel="norm $\\|W_i\\|$", ylim=(0, 1.15))
    length.legend(loc="lower left")
    for ax in (count, length):
        ax.set(xscale="log", xlabel="density of the pairs (1 − S)", xlim=(low, 1))
        ax.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5, 1], ["0.02", "0.05", "0.1", "0.2", "0.5", "1"])
        ax.minorticks_off()
    return fig


EXACT = "the exact optimum, best of many starts"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    best = grid.best(data)
    density = data.density.values
    collapsed, norms = _collapsed(best)
    count = collapsed.sum(axis=1)
    W = best.W.values
    apart = np.linalg.norm(W[:, :, ::2] - W[:, :, 1::2], axis=1)  # the members of each pair
    in_pair, shorter = np.repeat(collapsed, 2, axis=1), (density <= 0.4)[:, None]
    told = {
        3: "All three pairs collapse",
        2: "Two pairs collapse",
        1: "One pair collapses",
        0: "No pair collapses",
    }
    found = [
        Claim(
            f"paper-{n}", told[n], SECTION, exactly(n), np.unique(count[(start <= density) & (density <= end)]),
            what=f"collapsed pairs at densities {start:g} to {end:g}", source="the paper's text", instead="switches",
        )
        for n, start, end in STAGES
    ]  # fmt: skip
    return [
        *found,
        Claim(
            "pca-like", "Dense: all three pairs collapse to principal components", SECTION,
            exactly(3), np.unique(count[density >= 0.5]), what="collapsed pairs at densities 0.5 and more",
            source="the paper's text",
        ),
        Claim(
            "counts", "The denser the features, the more pairs collapse", SECTION,
            exactly([3, 2, 1, 0]), [_at(density, count, p) for p in (0.4, 0.2, 0.1, 0.03)],
            what="collapsed pairs at densities 0.4, 0.2, 0.1, 0.03", source=EXACT,
        ),
        Claim(
            "monotone", "No pair is ever taken apart again", "ours",
            at_least(0), np.diff(count), what="more collapsed pairs from one density to the next", source=EXACT,
        ),
        _switches(density, count),
        Claim(
            "collapsed-norm", "The features of a collapsed pair have norm 1/sqrt(2)", SECTION,
            about(0.5**0.5, 0.03), norms[(in_pair == 1) & shorter], what="norms at densities up to 0.4",
            source="(a + b)/sqrt(2) is stored at length 1",
        ),
        Claim(
            "other-norm", "The other features keep a norm of about 1", SECTION,
            about(1, 0.15), norms[in_pair == 0], what="norms", source=EXACT,
        ),
        Claim(
            "same-place", "The features of a collapsed pair are at the same place: the difference is dropped", SECTION,
            at_most(0.15), apart[collapsed == 1], what="distance", source=EXACT, number="{:.1g}",
        ),
    ]  # fmt: skip


def _at(density, count, place) -> float:
    return float(count[np.isclose(density, place)].sum()) if np.isclose(density, place).any() else np.nan


def _switches(density, count) -> Claim:
    """Where the first, the second and the third pair collapse: halfway between two densities."""
    at = [
        np.sqrt(density[count < n].max() * density[count >= n].min())
        if (count < n).any() and (count >= n).any()
        else np.nan
        for n in (1, 2, 3)
    ]
    low, high = np.transpose(SWITCHES)
    expected = Bounds(low, high, ", ".join(f"{start:g} to {end:g}" for start, end in SWITCHES))
    return Claim(
        "switches", "Pairs collapse one after the other", "ours",
        expected, at, what="densities where the first, second and third does", source=EXACT, quick=False,
    )  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    best = grid.best(data)
    reach = (data.loss <= best.loss * 1.001).mean("member").values
    return [
        f"Of {data.sizes['member']} starts at each of {data.sizes['density']} densities the one of least exact loss is kept; "
        f"{reach.min():.0%} to {reach.max():.0%} of the starts reach it.",
        "A pair counts as collapsed where its features have a cosine above 0.95. The paper gives its ranges of density "
        "as approximate.",
    ]
