"""Superposition as a phase change: what becomes of one feature as density and importance vary.

One feature of `n`, the extra one, has importance `r`; the others have 1. It is ignored, or has a
dimension, or shares one, and the borders between are sharp.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from superpose import costs, draws, grid, measures, plot, settings, solutions, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import basins, ensemble, member, minimize

SECTION = "Superposition as a Phase Change"
TAKES = 35
QUICK = {"cells": 8, "members": 8, "members_3": 12}

SIZES = {"2-in-1": (2, 1), "3-in-2": (3, 2)}


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


def run(config: Config) -> xr.Dataset:
    members = {"2-in-1": config.members, "3-in-2": config.members_3}
    return grid.stacked({size: _diagram(size, members[size], config) for size in config.sizes}, "size")


def _diagram(size, members, config) -> xr.Dataset:
    n, m = SIZES[size]
    axes = {
        "density": np.logspace(-2, 0, config.cells),
        "extra_importance": np.logspace(-1, 1, config.cells),
        "member": range(members),
    }
    density, extra, members = grid.points(*axes.values())

    def loss(density, extra):
        importance = jnp.ones(n, extra.dtype).at[-1].set(extra)
        return Population(Independent(density, importance))

    key = draws.key_of(config.seed)
    models = ensemble(lambda key: ReluOutput.init(n, m, key=key), members=members, key=key)
    losses = grid.each(loss, density, extra)
    solved = minimize(models, losses, own_loss=True)
    data = grid.dataset(
        solved.models, solved.loss, axes=axes, converged=solved.converged, outcome=solved.outcome
    )
    features = jax.tree.map(np.asarray, losses.features)
    return data.merge(certificate(solved, features, data)).merge(best_families(features, data))


def certificate(solved, features, data: xr.Dataset) -> xr.Dataset:
    """How sure the best model of each cell is; see `train.Basins`."""
    found = basins(solved, features, starts=data.sizes["member"])
    shape = data.loss.shape
    values = {name: getattr(found, name).reshape(shape[:2]) for name in CERTIFICATE}
    return xr.Dataset(
        {
            "minimum": (data.loss.dims, found.label.reshape(shape)),
            **{name: (data.loss.dims[:2], value) for name, value in values.items()},
        }
    )


CERTIFICATE = ("reached", "distinct", "gap", "missed")


def candidates(n_features: int, n_hidden: int) -> dict[str, solutions.Family]:
    """All regular solutions; any but the last feature may play each part, as they are equivalent."""
    alike = (0,) * (n_features - 1) + (1,)
    return {
        f"{name} {order}": family.assigned(order)
        for name, family in solutions.families(n_features, n_hidden).items()
        for order in solutions.assignments(family, alike)
    }


def best_families(features, data: xr.Dataset) -> xr.Dataset:
    """The best of the regular solutions in each cell, with lengths and biases of least loss.

    `family` is its place in `candidates`, `family_W` and `family_loss` are the weights and loss.
    """
    cell = data.loss.dims[:2]
    n_cells = data.loss.shape[0] * data.loss.shape[1]
    laws = member(features, np.arange(n_cells) * data.sizes["member"])
    solved = solutions.optimized(candidates(data.sizes["feature"], data.sizes["hidden"]), laws)
    place = solved.loss.argmin(axis=0)
    W = solved.models.W[place, np.arange(n_cells)]
    return xr.Dataset(
        {
            "family": (cell, place.reshape(data.loss.shape[:2])),
            "family_loss": (cell, solved.loss.min(axis=0).reshape(data.loss.shape[:2])),
            "family_W": ((*cell, "hidden", "feature"), W.reshape(*data.loss.shape[:2], *W.shape[1:])),
        }
    )


def phases(data: xr.Dataset) -> xr.Dataset:
    """What each cell of one size's diagram shows, by its best model, and what theory says.

    `phase` and `predicted` are places in `theory.PHASES`: the prototype whose `W^T W` is nearest
    to the model's, and the one of least loss, above which the model's lies by the share `excess`.
    `family_phase` and `family_excess` are the same for the best of the optimized families.
    """
    best = grid.best(data)
    n = data.sizes["feature"]
    density, extra = xr.broadcast(data.density, data.extra_importance)
    losses = theory.phase_losses(n, density.values, extra.values)
    cells = ("density", "extra_importance")
    return xr.Dataset(
        {
            "norm": grid.over_models(measures.norms, best.W, "feature").isel(feature=-1),
            "superposition": grid.over_models(measures.superposition, best.W, "feature").isel(feature=-1),
            "phase": (cells, _nearest(best.W.values, n)),
            "predicted": (cells, losses.argmin(0)),
            "excess": (cells, best.loss.values / losses.min(0) - 1),
            "family_phase": (cells, _nearest(data.family_W.values, n)),
            "family_excess": (cells, best.loss.values / data.family_loss.values - 1),
            "family_norm": grid.over_models(measures.norms, data.family_W, "feature").isel(feature=-1),
            "family_superposition": grid.over_models(measures.superposition, data.family_W, "feature").isel(
                feature=-1
            ),
        }
    )


def _nearest(W, n) -> np.ndarray:
    """The place of the prototype with the `W^T W` nearest to each model's.

    Any of the features that are equivalent, all but the last, may play each of their parts.
    """
    gram = np.swapaxes(W, -1, -2) @ W
    distances = []
    for prototype in theory.PROTOTYPES[n]:
        target = np.array(prototype).T @ np.array(prototype)
        ways = [list(range(n))] if n == 2 else [[0, 1, 2], [1, 0, 2]]
        distances.append(
            np.min([((gram - target[np.ix_(way, way)]) ** 2).sum((-1, -2)) for way in ways], axis=0)
        )
    return np.argmin(distances, axis=0)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    sizes = [str(size) for size in data["size"].values]
    fig = plot.figure(13, 6.4 * len(sizes))
    for part, size in zip(fig.subfigures(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
        _panels(part, grid.one(data, "size", size), *SIZES[size])
    return fig


AGREE, OTHER, NEITHER = "#efeeea", "#e69f00", "#222222"


def _panels(fig, one, n, m) -> None:
    fig.suptitle(
        f"{n} features in {m} dimension{'s' * (m > 1)}, {one.sizes['member']} models in each cell",
        fontsize=11,
    )
    axes = fig.subplots(2, 5, width_ratios=[0.55, 1, 1, 1, 1])
    plot.phase_key(axes[0, 0])
    axes[0, 0].set_anchor("N")
    axes[1, 0].remove()
    axes = axes[:, 1:]
    shown = phases(one)
    edges = plot.log_edges(one.extra_importance), plot.log_edges(one.density)
    (trained, prototypes, families, differ), (reached, gap, distinct, below) = axes

    trained.pcolormesh(
        *edges, plot.phase_colors(shown.norm.values, shown.superposition.values), rasterized=True
    )
    trained.set_title("best model")
    prototype = np.array(list(theory.PHASES[n].values()))[shown.predicted.values]
    prototypes.pcolormesh(*edges, plot.phase_colors(prototype[..., 0], prototype[..., 1]), rasterized=True)
    prototypes.set_title("theory: the best of the\npaper's fixed prototypes")
    families.pcolormesh(
        *edges,
        plot.phase_colors(shown.family_norm.values, shown.family_superposition.values),
        rasterized=True,
    )
    families.set_title("theory: the best of the\nfamilies, each optimized")

    other = (shown.phase != shown.predicted).values
    neither = (shown.phase != shown.family_phase).values
    kinds = ListedColormap([AGREE, OTHER, NEITHER])
    kind = np.where(neither, 2, np.where(other, 1, 0))
    differ.pcolormesh(*edges, kind, cmap=kinds, vmin=0, vmax=2, rasterized=True)
    r = np.geomspace(edges[0][0], edges[0][-1], 400)
    (border,) = differ.plot(r, theory.phase_boundary(n, r), color=plot.BLUE, lw=0.9)
    differ.legend(
        [border, Patch(color=OTHER), Patch(color=NEITHER)],
        ["border of superposition", "not as the prototypes", "not as the families"],
        loc="lower left",
    )
    differ.set_title("best model in another\nphase than in theory")

    _map(fig, reached, edges, one.reached.values, cmap="cividis", vmin=0, vmax=1)
    reached.set_title("share of models\nthat find the best")
    _map(fig, gap, edges, 100 * one.gap.values, cmap="viridis", norm=LogNorm(0.1, 100), percent=True)
    gap.set_title("gap to the second-best\nminimum (gray: none seen)")
    most = int(one.distinct.max())
    steps = matplotlib.colormaps["viridis"].resampled(most)
    bar = _map(fig, distinct, edges, one.distinct.values, cmap=steps, vmin=0.5, vmax=most + 0.5)
    bar.set_ticks(range(1, most + 1, 1 + most // 10))
    distinct.set_title("different minima\nfound")
    lower = np.where(shown.family_excess < -1e-6, -100 * shown.family_excess, np.nan)
    _map(fig, below, edges, lower, cmap="magma_r", norm=LogNorm(1e-3, 1), percent=True)
    below.set_title("best model better than\nall families (gray: equal)")
    for ax in axes.flat:
        ax.set(xscale="log", yscale="log", xticks=[0.1, 1, 10], yticks=[0.01, 0.1, 1])
        ax.set_xticklabels(["0.1×", "1×", "10×"] if ax in axes[1] else [])
        ax.set_yticklabels(["0.01", "0.1", "1"] if ax in axes[:, 0] else [])
        ax.minorticks_off()
        ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
        ax.set_box_aspect(1)
    for ax in axes[:, 0]:
        ax.set_ylabel("feature density (1 − S)")
    fig.supxlabel("relative importance of the extra feature", fontsize=9)


def _map(fig, ax, edges, values, percent=False, **colors) -> Colorbar:
    ax.set_facecolor(plot.GRAY)
    drawn = ax.pcolormesh(*edges, values, rasterized=True, **colors)
    bar = fig.colorbar(
        drawn, ax=ax, location="bottom", shrink=0.8, aspect=16,
        format="%g%%" if percent else None, extend="both" if percent else "neither",
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.minorticks_off()
    return bar


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    return [claim for size in data["size"].values for claim in _claims(data, str(size))]


EXACT = "exact losses of both"


def _claims(data, size) -> list[Claim]:
    one = grid.one(data, "size", size)
    n = one.sizes["feature"]
    shown = phases(one)
    density, extra = one.density.values, one.extra_importance.values
    norm, superposition = shown.norm.values, shown.superposition.values
    phase, predicted = shown.phase.values, shown.predicted.values
    agree, where = phase == predicted, "all cells"
    away = np.abs(np.log10(extra)) > 0.04
    if n == 3:  # at r = 1 which pair shares a dimension is arbitrary
        agree, where = agree[:, away], "the cells away from r = 1"
    excess = shown.excess.values
    differing = excess[phase != predicted]
    same = (shown.phase == shown.family_phase).values
    below = -shown.family_excess.values
    found = [
        Claim(
            f"{size}-phases", f"{size}: each of the paper's prototypes is the best somewhere", SECTION,
            exactly(len(theory.PHASES[n])), len(np.unique(phase)), what="prototypes", source="the paper's figure",
            quick=n == 2,
        ),
        Claim(
            f"{size}-agree", f"{size}: the best model is in the phase that the prototypes predict", SECTION,
            at_least({2: 94, 3: 97}[n], "%"), 100 * agree.mean(), what=f"share of {where}", number="{:.2f}%",
            source="96% and 98% on a coarse grid of exact optima", instead=f"{size}-families", quick=False,
        ),
        Claim(
            f"{size}-best", f"{size}: no best loss lies above the best prototype's", "ours",
            at_most(0.1, "%"), 100 * excess.max(), what="largest excess", number="{:+.3f}%", source=EXACT,
        ),
        Claim(
            f"{size}-differ",
            f"{size}: where model and prototypes differ, the model is better than all of the prototypes", "ours",
            at_most(0, "%"), 100 * differing.max(initial=-np.inf if differing.size else 0),
            what="largest excess in such cells", number="{:+.3f}%", source=EXACT,
        ),
        Claim(
            f"{size}-jump", f"{size}: the change is sharp: superposition jumps from one cell to the next", SECTION,
            at_least(0.8), _jump(superposition[:, extra < 0.5]),
            what="jump for an extra feature of importance below 0.5, median of columns",
            source="a first-order transition goes from 0 to 1", quick=n == 2,
        ),
        Claim(
            f"{size}-families",
            f"{size}: the best model is in the phase of the best family, lengths and biases optimized", "ours",
            at_least(99, "%"), 100 * same.mean(), what="share of all cells", number="{:.2f}%", source=EXACT,
            quick=False,
        ),
        Claim(
            f"{size}-families-loss", f"{size}: the best of the optimized families is as good as the best model",
            "ours", at_least(98, "%"), 100 * (below <= 1e-6).mean(), what="cells in which it is, to 1e-6",
            number="{:.2f}%", source=EXACT, quick=n == 2,
        ),
        Claim(
            f"{size}-families-never", f"{size}: and nowhere is it better, so no start was missing", "ours",
            at_least(-1e-6), below.min(), what="least excess of the family over the model", number="{:.0e}",
            source=EXACT, quick=False,
        ),
        Claim(
            f"{size}-sure", f"{size}: more than one start finds the best minimum", "ours",
            at_least(95, "%"), 100 * (one.reached * one.sizes["member"] > 1.5).values.mean(),
            what="share of cells", number="{:.1f}%", source="exact losses of all starts", quick=False,
        ),
    ]  # fmt: skip
    if n == 2:
        theoretical = np.asarray(theory.phase_boundary(2, extra))
        seen = np.array([_border(density, column) for column in ((norm > 0.5) & (superposition > 0.4)).T])
        step = np.log(density[1] / density[0])
        found += [
            Claim(
                f"{size}-sparsity", f"{size}: without sparsity there is no superposition", SECTION,
                at_most(0.05), np.where(norm[-1] > 0.5, superposition[-1], 0.0).max() if norm[-1].any() else np.nan,
                what="largest superposition at density 1", source="theory",
            ),
            Claim(
                f"{size}-border", f"{size}: superposition begins where theory says", "theory",
                about(0, 2), np.median(np.abs(np.log(seen / theoretical))) / step,
                what="distance to 4r/(2 + 5r) and 4/(5 + 2r), in cells, median of columns",
                source="a cell, and the weights' freedom near the border",
            ),
        ]  # fmt: skip
    else:
        # What the diagram shows: what becomes of the extra feature, whatever the others do.
        fates = np.array(list(theory.PHASES[n].values()))
        alike = (fates[phase] == fates[predicted]).all(-1)[:, away]
        right = extra > 10**0.1
        dedicated = (norm[:, right] > 0.9) & (superposition[:, right] < 0.1)
        found += [
            Claim(
                f"{size}-fate", f"{size}: what becomes of the extra feature is what the prototypes predict", SECTION,
                at_least(97, "%"), 100 * alike.mean(), what=f"share of {where}", number="{:.2f}%",
                source="98% on a coarse grid of exact optima", quick=False,
            ),
            Claim(
                f"{size}-right", f"{size}: an extra feature that is more important has a dimension to itself", SECTION,
                at_least(95, "%"), 100 * dedicated.mean(), number="{:.1f}%",
                what="cells with r > 1.26 whose norm is > 0.9 and superposition < 0.1", source="the paper's figure",
            ),
        ]  # fmt: skip
    return found


def _border(density, shared) -> float:
    """The density between the densest cell of a column with superposition and the next."""
    if not shared.any() or shared[-1]:
        return np.nan
    last = np.flatnonzero(shared)[-1]
    return float(np.sqrt(density[last] * density[last + 1]))


def notes(data: xr.Dataset) -> list[str]:
    found = []
    for size in data["size"].values:
        one = grid.one(data, "size", size)
        reached, missed = float(one.reached.median()), float(one.missed.max())
        found.append(
            f"{size}: {one.sizes['member']} starts in each of {one.loss.shape[0]} × {one.loss.shape[1]} cells, the best is "
            f"shown. Of the starts, {reached:.0%} find it (median of cells); with 95% confidence a better minimum is "
            f"missed only if a start finds it with a chance below {missed:.2f}."
        )
    return found + [
        "The paper trains ten models in each cell, drops the worst and averages nine. Averages mix phases, so "
        "here the best is kept; losses are exact, so the best is known and not a matter of luck.",
        "Where the best model is not in the phase of the paper's prototypes, it has weights that no prototype "
        "has, and a lower loss than all of them (the panels at the right).",
    ]


def _jump(superposition) -> float:
    # The largest change of superposition down each column.
    return float(np.median(np.abs(np.diff(superposition, axis=0)).max(axis=0)))
