"""Superposition as a phase change: what becomes of one feature as density and importance vary.

One feature of `n`, the extra one, has importance `r`; the others have 1. It is ignored, or has a
dimension, or shares one, and the borders between are sharp.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from superpose import measures, plot, sweep, theory
from superpose.claims import Claim
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

ORDER = 6
FIGURE = "Superposition as a Phase Change"
TAKES = "2 min"
QUICK = {"cells": 8, "members": 8, "members_3": 12}

SIZES = {"2 in 1": (2, 1), "3 in 2": (3, 2)}


@dataclass(frozen=True)
class Config:
    cells: int = 50
    """Cells along each axis: density from 0.01 to 1, importance of the extra feature from 0.1 to 10."""
    members: int = 10
    """Models in each cell of the diagram of 2 features in 1 dimension; the best is shown."""
    members_3: int = 20
    """The same for 3 features in 2 dimensions, which has more local minima."""
    seed: int = 0

    def __post_init__(self):
        if self.cells < 2 or self.members < 1 or self.members_3 < 1:
            raise ValueError(
                "cells must be at least 2 and members at least 1, "
                f"got cells={self.cells}, members={self.members}, members-3={self.members_3}"
            )


def run(config: Config) -> xr.Dataset:
    return sweep.stacked(
        {
            "2 in 1": _diagram(2, 1, config.members, config),
            "3 in 2": _diagram(3, 2, config.members_3, config),
        },
        "size",
    )


def _diagram(n_features, n_hidden, members, config) -> xr.Dataset:
    grid = {
        "density": np.logspace(-2, 0, config.cells),
        "extra_importance": np.logspace(-1, 1, config.cells),
        "member": range(members),
    }
    density, extra, member = sweep.points(*grid.values())

    def loss(density, extra):
        importance = jnp.ones(n_features, extra.dtype).at[-1].set(extra)
        return Population(Independent(density, importance))

    key = jax.random.key(config.seed)
    models = ensemble(lambda key: ReluOutput.init(n_features, n_hidden, key=key), members=member, key=key)
    solved = minimize(models, sweep.each(loss, density, extra), own_loss=True)
    data = sweep.dataset(solved.models, solved.loss, grid=grid, converged=solved.converged)
    return data.merge(minima(data))


def minima(data: xr.Dataset) -> xr.Dataset:
    """How the members of each cell end: `basins` counts their distinct losses.

    Two are distinct that differ by more than 0.01%. `gap` is how far the second lies above the
    best, as a share of it, and `reached` is the share of members that reach the best.
    """
    cells = ("density", "extra_importance")
    loss = np.sort(data.loss.values, axis=-1)
    higher = np.diff(loss, axis=-1) > 1e-4 * loss[..., :-1]
    second = (
        np.take_along_axis(loss, np.argmax(higher, axis=-1)[..., None] + 1, -1)[..., 0]
        if higher.size
        else np.inf
    )
    return xr.Dataset(
        {
            "basins": (cells, 1 + higher.sum(-1)),
            "gap": (cells, np.where(higher.any(-1), second / loss[..., 0] - 1, np.nan)),
            "reached": (cells, (loss <= loss[..., :1] * (1 + 1e-4)).mean(-1)),
        }
    )


def phases(data: xr.Dataset) -> xr.Dataset:
    """What each cell of one size's diagram shows, by its best model, and what theory says.

    `phase` and `predicted` are places in `theory.PHASES`: the prototype whose `W^T W` is nearest
    to the model's, and the one of least loss, above which the model's lies by the share `excess`.
    """
    best = sweep.best(data)
    n = data.sizes["feature"]
    density, extra = xr.broadcast(data.density, data.extra_importance)
    losses = theory.phase_losses(n, density.values, extra.values)
    cells = ("density", "extra_importance")
    return xr.Dataset(
        {
            "norm": sweep.over_models(measures.norms, best.W, "feature").isel(feature=-1),
            "superposition": sweep.over_models(measures.superposition, best.W, "feature").isel(feature=-1),
            "phase": (cells, _nearest(best.W.values, n)),
            "predicted": (cells, losses.argmin(0)),
            "excess": (cells, best.loss.values / losses.min(0) - 1),
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


def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(17, 5.9)
    axes = fig.subplots(2, 7, width_ratios=[0.5, 1, 1, 1, 1, 1, 1])
    plot.phase_key(axes[0, 0])
    axes[1, 0].remove()
    for row, (size, (n, m)) in zip(axes, SIZES.items(), strict=True):
        one = sweep.one(data, "size", size)
        shown = phases(one)
        trained, theoretical, differ, reached, basins, gap = row = row[1:]
        edges = plot.log_edges(one.extra_importance), plot.log_edges(one.density)
        prototype = np.array(list(theory.PHASES[n].values()))[shown.predicted.values]
        differs = (shown.phase != shown.predicted).values
        r = np.geomspace(edges[0][0], edges[0][-1], 400)

        trained.pcolormesh(*edges, plot.phase_colors(shown.norm.values, shown.superposition.values))
        trained.set_title(
            f"{n} features in {m} dimension{'s' * (m > 1)}:\nbest of {one.sizes['member']} models"
        )
        theoretical.pcolormesh(*edges, plot.phase_colors(prototype[..., 0], prototype[..., 1]))
        theoretical.set_title("theory: best of\nthe paper's prototypes")
        differ.pcolormesh(*edges, np.where(differs, 1.0, 0.0), cmap="Greys", vmin=0, vmax=1.4)
        differ.plot(
            r, theory.phase_boundary(n, r), color=plot.RED, lw=0.9, label="theory's border of\nsuperposition"
        )
        differ.legend(loc="lower left")
        differ.set_title(f"another phase than\nin theory: {differs.mean():.1%} of cells")
        share = reached.pcolormesh(*edges, one.reached.values, cmap="cividis", vmin=0, vmax=1)
        reached.set_title("share of models\nthat reach the best")
        fig.colorbar(share, ax=reached, ticks=[0, 0.5, 1], shrink=0.7, aspect=14).outline.set_visible(False)
        most = int(data.basins.max())
        steps = matplotlib.colormaps["viridis"].resampled(most)
        count = basins.pcolormesh(*edges, one.basins.values, cmap=steps, vmin=0.5, vmax=most + 0.5)
        basins.set_title("distinct minima\nfound")
        fig.colorbar(count, ax=basins, ticks=range(1, most + 1), shrink=0.7, aspect=14).outline.set_visible(
            False
        )
        gap.set_facecolor(plot.GRAY)
        above = gap.pcolormesh(*edges, 100 * one.gap.values, cmap="cividis", norm=LogNorm(0.1, 100))
        gap.set_title("second best minimum:\nhow far above the best")
        bar = fig.colorbar(above, ax=gap, shrink=0.7, aspect=14, format="%g%%", extend="both")
        bar.outline.set_visible(False)
        for ax in row:
            ax.set(xscale="log", yscale="log", xticks=[0.1, 1, 10], yticks=[0.01, 0.1, 1])
            ax.set_xticklabels(["0.1×", "1×", "10×"])
            ax.set_yticklabels(["0.01", "0.1", "1"] if ax is trained else [])
            ax.minorticks_off()
            ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
            ax.set_box_aspect(1)
        trained.set_ylabel("feature density (1 − S)")
    fig.supxlabel(
        "relative importance of the extra feature (its norm and superposition give the colors)", fontsize=9
    )
    return fig


def claims(data: xr.Dataset) -> list[Claim]:
    return _claims(data, "2 in 1", 0.94) + _claims(data, "3 in 2", 0.97)


PAPER = "Superposition as a Phase Change"


def _claims(data, size, least) -> list[Claim]:
    one = sweep.one(data, "size", size)
    n = one.sizes["feature"]
    shown = phases(one)
    name = size.replace(" ", "-")
    density, extra = one.density.values, one.extra_importance.values
    norm, superposition = shown.norm.values, shown.superposition.values
    phase, predicted = shown.phase.values, shown.predicted.values
    agree, where = phase == predicted, "all cells"
    if n == 3:
        # At r = 1 which pair shares a dimension is arbitrary.
        away = np.abs(np.log10(extra)) > 0.04
        agree, where = agree[:, away], "the cells away from r = 1"
    n_seen = len(np.unique(phase))
    excess = shown.excess.values
    differing = excess[phase != predicted]
    jump = _jump(superposition[:, extra < 0.5])
    found = [
        Claim(
            f"{name}-phases",
            f"{size}: each of the prototypes is the best somewhere",
            PAPER,
            f"all {len(theory.PHASES[n])}",
            str(n_seen),
            n_seen == len(theory.PHASES[n]),
        ),
        Claim(
            f"{name}-agree",
            f"{size}: the best model is in the phase that the prototypes predict",
            PAPER,
            f"in at least {least:.0%} of {where}",
            f"{agree.mean():.2%}",
            bool(agree.mean() >= least),
        ),
        Claim(
            f"{name}-best",
            f"{size}: no best loss lies above the best prototype's",
            "exact losses",
            "by more than 0.1%, nowhere",
            f"largest excess {excess.max():+.3%}",
            bool(excess.max() <= 1e-3),
        ),
        Claim(
            f"{name}-differ",
            f"{size}: where model and prototypes differ, the model is better than all of them",
            "exact losses",
            "excess below 0 in every such cell",
            f"largest {differing.max():+.3%}" if differing.size else "no such cell",
            bool((differing < 0).all()),
        ),
        Claim(
            f"{name}-jump",
            f"{size}: the change is sharp: superposition jumps from one cell to the next",
            PAPER,
            "by more than 0.8, for an extra feature of importance below 0.5",
            f"{jump:.2f} (median of columns)",
            bool(jump > 0.8),
        ),
    ]
    if n == 2:
        dense = np.where(norm[density == 1] > 0.5, superposition[density == 1], 0.0).max(initial=0.0)
        found.append(
            Claim(
                f"{name}-sparsity",
                f"{size}: without sparsity there is no superposition",
                PAPER,
                "superposition < 0.05 at density 1",
                f"largest {dense:.3f}",
                bool(dense < 0.05),
            )
        )
    else:
        # What the diagram shows: what becomes of the extra feature, whatever the others do.
        fates = np.array(list(theory.PHASES[n].values()))
        same = (fates[phase] == fates[predicted]).all(-1)[:, away]
        right = extra > 10**0.1
        dedicated = (norm[:, right] > 0.9) & (superposition[:, right] < 0.1)
        found += [
            Claim(
                f"{name}-fate",
                f"{size}: what becomes of the extra feature is what the prototypes predict",
                PAPER,
                f"in at least {least:.0%} of {where}",
                f"{same.mean():.2%}",
                bool(same.mean() >= least),
            ),
            Claim(
                f"{name}-right",
                f"{size}: an extra feature that is more important has a dimension to itself",
                PAPER,
                "norm > 0.9 and superposition < 0.1 in at least 95% of cells with r > 1.26",
                f"{dedicated.mean():.1%}",
                bool(dedicated.mean() >= 0.95),
            ),
        ]
    return found


def _jump(superposition) -> float:
    # The largest change of superposition down each column.
    return float(np.median(np.abs(np.diff(superposition, axis=0)).max(axis=0)))
