"""Superposition as a phase change: what becomes of one feature as density and importance vary.

One feature of `n`, the extra one, has importance `r`; the others have 1. It is ignored, or has a
dimension, or shares one, and the borders between are sharp.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Patch

from superpose import costs, grid, measures, plot, settings, solutions, sweep, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly, from_section
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput

SECTION = "Superposition as a Phase Change"
TAKES = 35
QUICK = {"cells": 8, "members": 8, "members_3": 12}

SIZES = {"2-in-1": (2, 1), "3-in-2": (3, 2)}
CERTIFICATE = ["reached", "distinct", "gap", "missed"]  # how sure the best model is; see `train.Basins`
TITLES = (
    "best model",
    "theory: the best of the\npaper's fixed prototypes",
    "theory: the best of the\nfamilies, each optimized",
    "best model in another\nphase than in theory",
    "share of models\nthat find the best",
    "gap to the second-best\nminimum (gray: none seen)",
    "different minima\nfound",
    "best model better than\nall families (gray: equal)",
)


@dataclass(frozen=True)
class Config:
    sizes: tuple[Literal["2-in-1", "3-in-2"], ...] = ("2-in-1", "3-in-2")
    """Which diagrams: 2 features in 1 dimension, 3 in 2."""
    cells: int = 50
    """Cells along each axis: density from 0.01 to 1, importance of the extra feature from 0.1 to 10."""
    members: int = 10
    """Models in each cell of the diagram of 2 features in 1 dimension; the best is shown."""
    members_3: int = 20
    """The same for 3 features in 2 dimensions, which has more local minima."""
    seed: int = 0

    def __post_init__(self):
        if not self.sizes or len(set(self.sizes)) < len(self.sizes):
            raise ValueError("sizes must name one diagram or more, each once, such as --sizes 3-in-2")
        settings.at_least(self, cells=2, members=1, members_3=1)

    @property
    def cost(self) -> costs.Cost:
        members = {"2-in-1": self.members, "3-in-2": 3 * self.members_3}
        return costs.minimizing(self.cells**2 * sum(members[size] for size in self.sizes), weights=9)


def model(key, *, size: str = "2-in-1"):
    return ReluOutput.init(*SIZES[size], key=key)


def loss(density, extra_importance, *, size: str = "2-in-1"):
    importance = jnp.ones(SIZES[size][0], extra_importance.dtype).at[-1].set(extra_importance)
    return Population(Independent(density, importance))


models = sweep.solved(model, loss, keep="all")
AXES = {"density": "geomspace(0.01,1,50)", "extra_importance": "geomspace(0.1,10,50)"}


def cell(density, extra_importance, *, size: str = "2-in-1", seeds: int = 10, key) -> xr.Dataset:
    """All models, what is known about their minima, and the best of the regular solutions.

    `family` says which of the `_candidates` is best; `family_W` and `family_loss` are its weights and loss.
    """
    data = models(density=density, extra_importance=extra_importance, size=size, seeds=seeds, key=key)
    laws = grid.each(partial(loss, size=size), density, extra_importance).features
    families = solutions.optimized(_candidates(*SIZES[size]), laws)
    family = families.loss.argmin(axis=0)
    W = families.models.W[family, np.arange(len(family))]
    return data.assign(
        family=("cell", family),
        family_loss=("cell", families.loss.min(axis=0)),
        family_W=(("cell", "hidden", "feature"), W),
        importance=(("cell", "feature"), np.asarray(laws.importance)),
    )


def run(config: Config) -> xr.Dataset:
    axes = {
        "density": np.logspace(-2, 0, config.cells),
        "extra_importance": np.logspace(-1, 1, config.cells),
    }
    members = {"2-in-1": config.members, "3-in-2": config.members_3}
    each = {
        size: sweep.gathered(cell, axes, fixed={"size": size}, seeds=members[size], seed=config.seed)
        for size in config.sizes
    }
    return grid.stacked(each, "size")


def _candidates(n_features: int, n_hidden: int) -> dict[str, solutions.Family]:
    """All regular solutions; any but the last feature may play each part, as they are equivalent."""
    alike = (0,) * (n_features - 1) + (1,)
    return {
        f"{name} {order}": family.assigned(order)
        for name, family in solutions.families(n_features, n_hidden).items()
        for order in solutions.assignments(family, alike)
    }


def measured(data: xr.Dataset) -> xr.Dataset:
    """What becomes of the extra feature in each cell, in the best model and in two theories.

    Along `of`: the best of the "models", of the paper's fixed "prototypes", and of the "families" with their best
    lengths and biases. Each has the extra feature's `norm` and `superposition`, its `phase`, which is the
    index in `theory.PHASES` of the prototype whose `W^T W` is nearest, and `excess`, the share by which
    the best model's loss lies above its own.
    """
    sizes = map(str, data["size"].values)
    return grid.stacked({size: _cells(grid.unstacked(data, "size", size)) for size in sizes}, "size")


def _cells(data: xr.Dataset) -> xr.Dataset:
    """What `measured` reports, for one size's diagram."""
    best, n = grid.best(data), data.sizes["feature"]
    losses = theory.phase_losses(n, data.density.values[:, None], data.extra_importance.values)
    prototypes = np.array(theory.PROTOTYPES[n], float)[losses.argmin(0)]
    weights = np.stack([best.W.values, prototypes, data.family_W.values])
    loss = np.stack([best.loss.values, losses.min(0), data.family_loss.values])
    cells = "of", "density", "extra_importance"
    W = xr.DataArray(weights, {"of": ["models", "prototypes", "families"]}, (*cells, "hidden", "feature"))
    return data[CERTIFICATE].assign(
        norm=grid.over_models(measures.norms, W, "feature").isel(feature=-1),
        superposition=grid.over_models(measures.superposition, W, "feature").isel(feature=-1),
        phase=(cells, _nearest(weights)),
        excess=(cells, loss[0] / loss - 1),
        members=data.sizes["member"],
    )


def _nearest(W: np.ndarray) -> np.ndarray:
    """The index of the prototype with the nearest `W^T W`; all features but the last may swap their parts."""
    ways = {2: [[0, 1]], 3: [[0, 1, 2], [1, 0, 2]]}[W.shape[-1]]
    prototypes = np.array(theory.PROTOTYPES[W.shape[-1]])[..., ways]
    targets = np.einsum("phwi,phwj->pwij", prototypes, prototypes)
    gram = np.swapaxes(W, -1, -2) @ W
    distances = ((gram[..., None, None, :, :] - targets) ** 2).sum((-1, -2))
    return distances.min(axis=-1).argmin(axis=-1)


@plot.style()
def figure(cells: xr.Dataset) -> Figure:
    sizes = cells["size"].values
    fig = plot.figure(13, 6.4 * len(sizes))
    for part, size in zip(fig.subfigures(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
        _panels(part, cells.sel(size=size), *SIZES[str(size)])
    return fig


def _panels(fig: FigureBase, chart: xr.Dataset, n: int, m: int) -> None:
    """The diagram of one size: what becomes of the extra feature, and, below, how sure that is."""
    size = f"{n} features in {m} dimension{'s' * (m > 1)}"
    fig.suptitle(f"{size}, {int(chart.members)} models in each cell", fontsize=11)
    axes = fig.subplots(2, 5, width_ratios=[0.55, 1, 1, 1, 1])
    plot.phase_key(axes[0, 0])
    axes[0, 0].set_anchor("N")
    axes[1, 0].remove()
    axes = axes[:, 1:]
    edges = plot.log_edges(chart.extra_importance), plot.log_edges(chart.density)
    colors = plot.phase_colors(chart.norm.values, chart.superposition.values)
    for ax, color in zip(axes[0, :3], colors, strict=True):
        ax.pcolormesh(*edges, color, rasterized=True)
    _differ(axes[0, 3], edges, chart.phase, n)

    most, lower = int(chart.distinct.max()), -100 * chart.excess.sel(of="families")
    steps, percent = matplotlib.colormaps["viridis"].resampled(most), {"format": "%g%%", "extend": "both"}
    maps: list[tuple[xr.DataArray, Any, Normalize, dict[str, Any]]] = [
        (chart.reached, "cividis", Normalize(0, 1), {}),
        (100 * chart.gap, "viridis", LogNorm(0.1, 100), percent),
        (chart.distinct, steps, Normalize(0.5, most + 0.5), {"ticks": range(1, most + 1, 1 + most // 10)}),
        (lower.where(lower > 1e-4), "magma_r", LogNorm(1e-3, 1), percent),
    ]
    for ax, (values, cmap, norm, scale) in zip(axes[1], maps, strict=True):
        ax.set_facecolor(plot.GRAY)
        drawn = ax.pcolormesh(*edges, values, cmap=cmap, norm=norm, rasterized=True)
        bar = fig.colorbar(drawn, ax=ax, location="bottom", shrink=0.8, aspect=16, **scale)
        bar.outline.set_visible(False)
        bar.minorticks_off()

    for ax, title in zip(axes.flat, TITLES, strict=True):
        ax.set_title(title)
        plot.log_axis(ax.xaxis, [0.1, 1, 10])
        plot.log_axis(ax.yaxis, [0.01, 0.1, 1])
        ax.set_xticklabels(["0.1×", "1×", "10×"] if ax in axes[1] else [])
        ax.set_yticklabels(["0.01", "0.1", "1"] if ax in axes[:, 0] else [])
        ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]], box_aspect=1)
    for ax in axes[:, 0]:
        ax.set_ylabel("feature density (1 − S)")
    fig.supxlabel("relative importance of the extra feature", fontsize=9)


def _differ(ax: Axes, edges: tuple[np.ndarray, np.ndarray], phase: xr.DataArray, n: int) -> None:
    """Where the phase of the best model is not the one that theory gives."""
    differs = phase.sel(of="models") != phase
    kind = xr.where(differs.sel(of="families"), 2, differs.sel(of="prototypes"))
    kinds = {"not as the prototypes": "#e69f00", "not as the families": "#222222"}
    colors = ListedColormap(["#efeeea", *kinds.values()])
    ax.pcolormesh(*edges, kind, cmap=colors, vmin=0, vmax=2, rasterized=True)
    r = np.geomspace(edges[0][0], edges[0][-1], 400)
    border = ax.plot(r, theory.phase_boundary(n, r), color=plot.BLUE, lw=0.9, label="border of superposition")
    patches = [Patch(color=color, label=label) for label, color in kinds.items()]
    ax.legend(handles=[*border, *patches], loc="lower left")


@as_claims
def claims(cells: xr.Dataset) -> list[Claim]:
    return [claim for size in cells["size"].values for claim in _rows(cells.sel(size=size), str(size))]


def _rows(chart: xr.Dataset, size: str) -> list[Claim]:
    """The claims of one size's diagram."""
    n, r = SIZES[size][0], chart.extra_importance
    norm, superposition, phase = (chart[name].sel(of="models") for name in ("norm", "superposition", "phase"))
    same = phase == chart.phase
    # At r = 1 it is arbitrary which two of three features share a dimension.
    away, where = (r > 0, "all cells") if n == 2 else (abs(np.log10(r)) > 0.04, "the cells away from r = 1")
    excess = 100 * chart.excess.sel(of="prototypes").values
    differing = excess[~same.sel(of="prototypes").values]
    worst = differing.max() if differing.size else 0.0
    below = -chart.excess.sel(of="families").values
    jump = np.median(abs(np.diff(superposition[:, r < 0.5], axis=0)).max(axis=0))
    # Counted in cells from the sparsest, the border is between the densest with superposition and the next.
    shared, places = ((norm > 0.5) & (superposition > 0.4)).values, np.arange(norm.sizes["density"])
    border = np.where(shared, places[:, None], -1).max(axis=0) + 0.5
    theirs = np.interp(np.log(theory.phase_boundary(n, r.values)), np.log(chart.density.values), places)
    distance = np.median(abs(border - theirs))
    # What becomes of the extra feature, whatever the others do.
    fate = np.array(list(theory.PHASES[n].values()))[chart.phase.values]
    alike = (fate[0] == fate[1]).all(-1)[:, away]
    dedicated = ((norm > 0.9) & (superposition < 0.1))[:, r > 10**0.1]
    says, ours = from_section(SECTION, "the paper's figure"), from_section("ours", "exact losses of both")
    theory_says = from_section("theory", "a cell, and the weights' freedom near the border")
    # fmt: off
    rows = [
        says(f"{size}-phases", f"{size}: each of the paper's prototypes is the best somewhere",
             "prototypes", len(np.unique(phase)), exactly(len(theory.PHASES[n])), quick=n == 2),
        says(f"{size}-agree", f"{size}: the best model is in the phase that the prototypes predict",
             f"share of {where}", 100 * same.sel(of="prototypes")[:, away].mean(), at_least(94 if n == 2 else 97, "%"),
             source="96% and 98% on a coarse grid of exact optima", number="{:.2f}%", instead=f"{size}-families", quick=False),
        ours(f"{size}-best", f"{size}: no best loss lies above the best prototype's",
             "largest excess", excess.max(), at_most(0.1, "%"), number="{:+.3f}%"),
        ours(f"{size}-differ", f"{size}: where model and prototypes differ, the model is better than all of the prototypes",
             "largest excess in such cells", worst, at_most(0, "%"), number="{:+.3f}%"),
        says(f"{size}-jump", f"{size}: the change is sharp: superposition jumps from one cell to the next",
             "jump for an extra feature of importance below 0.5, median of columns", jump, at_least(0.8),
             source="a first-order transition goes from 0 to 1", quick=n == 2),
        ours(f"{size}-families", f"{size}: the best model is in the phase of the best family, lengths and biases optimized",
             "share of all cells", 100 * same.sel(of="families").mean(), at_least(99, "%"), number="{:.2f}%", quick=False),
        ours(f"{size}-families-loss", f"{size}: the best of the optimized families is as good as the best model",
             "cells in which it is, to 1e-6", 100 * (below <= 1e-6).mean(), at_least(98, "%"), number="{:.2f}%", quick=n == 2),
        ours(f"{size}-families-never", f"{size}: nowhere is the best family better than the best model, so no start was missing",
             "least excess of the family over the model", below.min(), at_least(-1e-6), number="{:.0e}", quick=False),
        ours(f"{size}-sure", f"{size}: more than one start finds the best minimum",
             "share of cells", 100 * (chart.reached * chart.members > 1.5).mean(), at_least(95, "%"),
             source="exact losses of all starts", number="{:.1f}%", quick=False),
    ]
    if n == 2:
        return rows + [
            says(f"{size}-sparsity", f"{size}: without sparsity there is no superposition",
                 "largest superposition at density 1", superposition.where(norm > 0.5).isel(density=-1).max(), at_most(0.05), source="theory"),
            theory_says(f"{size}-border", f"{size}: superposition begins where theory says",
                        "distance to 4r/(2 + 5r) and 4/(5 + 2r), in cells, median of columns", distance, about(0, 2)),
        ]
    return rows + [
        says(f"{size}-fate", f"{size}: what becomes of the extra feature is what the prototypes predict",
             f"share of {where}", 100 * alike.mean(), at_least(97, "%"),
             source="98% on a coarse grid of exact optima", number="{:.2f}%", quick=False),
        says(f"{size}-right", f"{size}: an extra feature that is more important has a dimension to itself",
             "cells with r > 1.26 whose norm is > 0.9 and superposition < 0.1", 100 * dedicated.mean(), at_least(95, "%"), number="{:.1f}%"),
    ]
    # fmt: on


def notes(cells: xr.Dataset) -> list[str]:
    chances = [
        f"{size}: {int(chart.members)} starts in each of {chart.sizes['density']} × {chart.sizes['extra_importance']} "
        f"cells, the best is shown. Of the starts, {float(chart.reached.median()):.0%} find it (median of cells); with "
        "95% confidence a better minimum is missed only if a start finds it with a chance below "
        f"{float(chart.missed.max()):.2f}."
        for size, chart in ((size, cells.sel(size=size)) for size in cells["size"].values)
    ]
    return chances + [
        "The paper trains ten models in each cell, drops the worst and averages nine. Averages mix phases, so "
        "here the best is kept; losses are exact, so the best is known and not a matter of luck.",
        "Where the best model is not in the phase of the paper's prototypes, it has weights that no prototype "
        "has, and a lower loss than all of them (the panels at the right).",
    ]
