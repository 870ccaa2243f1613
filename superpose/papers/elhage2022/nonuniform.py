"""One of five features made sparser or denser: the pentagon bends, then snaps into two antipodal pairs.

Five features in two dimensions form a regular pentagon where they are equally sparse. Where one is denser
its neighbors move away from it, where it is sparser they close in on it. Below some density the
model suddenly drops it, and stores the other four as two antipodal pairs.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, polytopes, settings, sweep, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly, from_section
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

SECTION = "Non-Uniform Superposition"
TAKES = 18
QUICK = {"ratios": 15, "members": 8}

KINDS = ("pentagon", "square", "triangle", "other")
COLORS = {"pentagon": "#d55e00", "square": "#0072b2", "triangle": "#009e73", "other": "#999999"}
STARTS = (
    polytopes.polygon(5),
    np.hstack([np.zeros((2, 1)), polytopes.corners("square")]),
    np.hstack([polytopes.corners("triangle"), np.zeros((2, 2))]),
)
PAPERS = 0.4
"""The relative density at which the paper has the crossover: 2.5 times less dense than the others."""


@dataclass(frozen=True)
class Config:
    baselines: tuple[float, ...] = (0.05, 0.1)
    """The densities of the other four features; the figure shows the first, the paper's."""
    ratios: int = 41
    """How many densities of the one feature, from 0.1 to 10 times the others'."""
    members: int = 24
    """Starts at each: a pentagon, a square and a triangle, a little off, the rest random."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, ratios=2, members=3)
        if not self.baselines or not all(0 < baseline <= 0.1 for baseline in self.baselines):
            raise ValueError(
                f"baselines must be above 0 and at most 0.1, as one feature is 10 times as dense, got {self.baselines}"
            )

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing(len(self.baselines) * self.ratios * self.members, weights=15)


def loss(baseline, ratio):
    density = jnp.full(5, baseline).at[0].multiply(ratio)
    return Population(Independent(density), method="characteristic", harmonics=64)  # right to 1e-6


AXES = {"baseline": [0.05, 0.1], "ratio": "geomspace(0.1,10,41)"}


def cell(baseline, ratio, *, seeds: int = 24, key) -> xr.Dataset:
    """Minima from each of the `STARTS`, a little off, and from random weights."""
    axes = {"cell": range(len(ratio)), "member": range(seeds)}
    at_cell, member = grid.points(*axes.values())
    baseline, ratio = baseline[at_cell], ratio[at_cell]
    W = np.array(ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=member, key=key).W)
    for at, shape in enumerate(STARTS):
        W[member == at] = 0.01 * W[member == at] + shape
    # The best bias of a feature that is not represented; started at 0, it could fall below 0 and stay there.
    b = np.repeat(baseline[:, None], 5, axis=1) / 2
    b[:, 0] *= ratio
    start = ReluOutput(jnp.asarray(W), jnp.asarray(b))
    losses = grid.each(loss, baseline, ratio)
    solved = minimize(start, losses, own_loss=True)
    data = grid.dataset(solved.models, solved.loss, axes=axes, converged=solved.converged)
    return data.drop_vars("member").assign_attrs(grid.law(losses.features))


def run(config: Config) -> xr.Dataset:
    axes = {"baseline": config.baselines, "ratio": np.geomspace(0.1, 10, config.ratios)}
    data = sweep.gathered(cell, axes, seeds=config.members, seed=config.seed)
    one = xr.DataArray(np.arange(5) == 0, dims="feature")
    density = data.baseline * xr.where(one, data.ratio, 1.0)
    return data.assign(density=density)


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model of each kind at each density; all its numbers are missing where there is none.

    `norm` is of its features, `gap` in degrees from one to the next around the circle, and `partner` the cosine of
    each of the four alike to the one most opposite to it; of a pentagon the `angle` between the one feature and its
    neighbors. `crossing` is the relative density at which pentagon and square cost the same, and `square_cost` what
    two digons of unit vectors cost, with the one feature dropped. `minima` are the losses of all searches that
    converged, `starts` counts those that end in each kind, and `reach` is the share that finds the best.
    """
    each_model: dict[str, Any] = {"input_core_dims": [["hidden", "feature"]], "vectorize": True}
    kind = xr.apply_ufunc(kind_of, data.W, output_dtypes=[object], **each_model)
    is_kind = kind == xr.DataArray(list(KINDS), {"kind": list(KINDS)}, "kind")
    loss = data.loss.where(is_kind)
    least = loss.min("member")
    best = data[["W", "b"]].isel(member=loss.fillna(np.inf).argmin("member"))
    gap = xr.apply_ufunc(_gaps, best.W, output_core_dims=[["corner"]], **each_model)
    best = best.assign(gap=gap).where(least.notnull())
    dropped = xr.apply_ufunc(theory.dropped_cost, data.baseline * data.ratio)
    return best.assign(
        loss=least,
        norm=grid.over_models(measures.norms, best.W, "feature"),
        partner=grid.over_models(measures.cosines, best.W[..., 1:], "alike", "other").min("other"),
        angle=best.gap.sel(kind="pentagon").isel(corner=[0, -1]).mean("corner"),
        crossing=_crossing(least.sel(kind="square", drop=True) - least.sel(kind="pentagon", drop=True)),
        square_cost=2 * xr.apply_ufunc(theory.antipodal_cost, data.baseline) + dropped,
        minima=loss.where(data.converged),
        starts=is_kind.sum("member"),
        reach=(data.loss <= data.loss.min("member") * 1.001).mean("member"),
        members=data.sizes["member"],
    )


def kind_of(W: np.ndarray) -> str:
    """The one of `KINDS` that a model is, by how many features it represents, and how.

    Five are a pentagon where each has room around it, four a square where they are two antipodal pairs.
    """
    represented = W[:, np.linalg.norm(W, axis=0) > 0.5]
    n = represented.shape[1]
    if n < 3 or (n == 4 and measures.polytopes(represented, link=0.3)[0].name != "digon"):
        return "other"
    name, room = {3: ("triangle", 90), 4: ("square", 70), 5: ("pentagon", 35)}[n]
    return name if measures.gaps(represented).min() > room else "other"


def _gaps(W: np.ndarray) -> np.ndarray:
    """The angles from one feature to the next around the circle, in degrees; the first is to the left of feature 0."""
    turn = np.arctan2(W[1], W[0])
    return np.roll(measures.gaps(W), -(turn < turn[0]).sum())


def _crossing(lead: xr.DataArray) -> xr.DataArray:
    """The relative density, at most 1, at which a lead turns from negative to positive; NaN if never, or twice."""
    lead, log = lead.where(lead.ratio <= 1 + 1e-9), np.log(lead.ratio)
    before, start = lead.shift(ratio=1), log.shift(ratio=1)
    turns = (before < 0) & (lead >= 0)
    crossing = np.exp(start - before * (log - start) / (lead - before))
    return crossing.where(turns).max("ratio").where(turns.sum("ratio") == 1)


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    fig = plot.figure(12, 7.4)
    panels = [["square", "pentagon", "loss"], ["angle", "gain", "loss"]]
    axes = fig.subplot_mosaic(panels, width_ratios=[1, 1, 1.35], height_ratios=[1.25, 1])
    first = best.isel(baseline=0)
    scale = matplotlib.cm.ScalarMappable(LogNorm(0.1, 10), matplotlib.colormaps["viridis"])
    for kind, title in (("square", "Squares: two digons"), ("pentagon", "Pentagons")):
        _overlay(axes[kind], first.sel(kind=kind), scale)
        axes[kind].set_title(f"{title}, best at each density")
    across, ticks = "relative density of the one feature", [0.1, 1, 10]
    both = [axes["square"], axes["pentagon"]]
    bar = fig.colorbar(scale, ax=both, shrink=0.8, label=across, ticks=ticks, format="%g×")
    bar.outline.set_visible(False)
    _losses(axes["loss"], first)
    _angles(axes["angle"], first)
    _gains(axes["gain"], best)
    for name, shown in (("loss", ticks), ("angle", ticks), ("gain", [0.1, 0.2, 0.4, 1])):
        axes[name].set(xscale="log", xlabel=across)
        axes[name].set_xticks(shown, [f"{tick:g}×" for tick in shown])
    axes["gain"].minorticks_off()
    starts = f"{int(best.members)} starts at each density of the fifth"
    fig.suptitle(f"5 features in 2 dimensions, four of density {float(first.baseline):g}, {starts}")
    return fig


def _overlay(ax: Axes, best: xr.Dataset, scale: matplotlib.cm.ScalarMappable) -> None:
    """The models at all densities in one picture, turned so that the one feature is up."""
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=plot.FAINT, lw=0.9, zorder=0)
    for at, (ratio, W) in enumerate(zip(best.ratio.values, best.W.values, strict=True)):
        varied = np.linalg.norm(W[:, 0]) > 0.5
        W = plot.upright(W) if varied else np.roll(plot.upright(np.roll(W, -1, axis=1)), 1, axis=1)
        color = scale.to_rgba(ratio)
        size = 4 if varied else 9 - 5 * at / best.sizes["ratio"]  # points on one spot show as rings
        ax.plot(*W[:, 1:], "o", color=color, ms=size, mec="white", mew=0.3)
        ax.plot(*W[:, 0], "D", color=color, ms=size + 1.5, mec=plot.INK, mew=0.4)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xticks=[], yticks=[])
    ax.set_xlabel("◆ the one feature, turned up   ● the others", fontsize=8)
    ax.spines[:].set_visible(False)


def _losses(ax: Axes, best: xr.Dataset) -> None:
    look: dict[str, Any] = {"ms": 3.5, "mec": "white", "mew": 0.3, "alpha": 0.9, "rasterized": True}
    for at, kind in enumerate(KINDS):  # the first on top
        points = best.minima.sel(kind=kind).stack(point=("ratio", "member"))
        ax.plot(points.ratio, points, "o", color=COLORS[kind], label=kind, zorder=1.9 - at / 10, **look)
    cost, label = best.square_cost.sel(ratio=slice(1 + 1e-9)), "square of unit vectors, in theory"
    ax.plot(cost.ratio, cost, color=plot.INK, lw=0.8, ls="--", label=label)
    exact = float(best.crossing)
    beside: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "va": "top", "fontsize": 8}
    ax.axvline(PAPERS, color=plot.INK, lw=0.9, ls=":", zorder=0)
    ax.axvline(exact, color=plot.INK, lw=0.9, ls="-", zorder=0)
    ax.text(1.06 * PAPERS, 0.985, "paper:\nabout 0.4", ha="left", **beside)
    ax.text(0.94 * exact, 0.985, f"exact:\n{exact:.2f}", ha="right", **beside)
    plot.log_axis(ax.yaxis, [0.003, 0.01, 0.03])
    ax.set(ylabel="loss", title="Every minimum found")
    ax.legend(loc="lower right")


def _angles(ax: Axes, best: xr.Dataset) -> None:
    ax.plot(best.ratio, best.angle, "o-", color=COLORS["pentagon"], ms=3, lw=1)
    ax.axhline(72, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.axvline(1, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.axvspan(0.1, float(best.crossing), color=plot.GRAY, alpha=0.5, lw=0, zorder=0)
    ax.set(xlim=(0.1, 10), ylabel="degrees")
    ax.set_title("From the one feature to its neighbors\n(gray: the square is better)")


def _gains(ax: Axes, best: xr.Dataset) -> None:
    gain = 100 * (best.loss.sel(kind="square") / best.loss.sel(kind="pentagon") - 1)
    colors = ("#7b3294", "#e69f00", "#56b4e9", "#999999") * 9
    for line, crossing, color in zip(gain, best.crossing, colors, strict=False):
        label = f"density {float(line.baseline):g}: {float(crossing):.2f}×"
        ax.plot(line.ratio, line, "-", color=color, lw=1.3, label=label)
    ax.axhline(0, color=plot.INK, lw=0.7)
    ax.axvline(PAPERS, color=plot.INK, lw=0.9, ls=":")
    ax.set(xlim=(0.1, 1), ylim=(-25, 105), ylabel="%")
    ax.set_title("How much more the square costs\nthan the pentagon")
    ax.legend(title="others' density: crossing", title_fontsize=8, loc="upper left")


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    first = best.isel(baseline=0)
    p, critical = float(first.baseline), first.crossing
    below, above = first.ratio < critical, first.ratio > critical
    near = np.append(np.flatnonzero(below)[-1:], np.flatnonzero(above)[:1])
    winner = first.kind[first.loss.fillna(np.inf).argmin("kind")]
    norm = first.norm.sel(kind=winner).isel(feature=0)  # of the one feature in the best model
    square, pentagon = first.sel(kind="square"), first.sel(kind="pentagon")
    rises = first.angle[(first.ratio >= critical) & (first.ratio < 6)].diff("ratio")
    cost = square.loss / first.square_cost
    regular = pentagon.sel(ratio=1, method="nearest")
    low, high = 1 + abs(regular.b), 1 / (1 - abs(regular.b))
    at_ratios = np.interp(np.log([0.5, 1, 2]), np.log(first.ratio), first.angle)
    says = from_section(SECTION, "the exact optimum, best of many starts")
    ours = from_section("ours", "the exact optimum, best of many starts")
    # fmt: off
    rows = [
        says("repel", "The denser the one feature, the farther away are its neighbors",
             "rise of the angle from one density to the next, in degrees, up to 6 times the others'", rises, at_least(0), source="the paper"),
        says("critical-paper", "Two digons are better once the one feature is about 2.5 times less dense",
             "relative density", critical, about(PAPERS, 0.05), source="the paper", instead="critical" if p == 0.05 else ""),
        says("digons", "Below the crossover the model drops the one feature and stores the others as two digons",
             "each one's cosine to its partner", square.partner.where(winner == "square")[below].values.ravel(), at_most(-0.98), number="{:.4f}"),
        says("pentagon-above", "At all densities above the crossover the best is the pentagon",
             "densities at which it is not", (1 - (winner == "pentagon")).where(above).sum(min_count=1), exactly(0), number="{:.0f}"),
        says("first-order", "Pentagon and square are local minima on both sides of the crossover",
             "starts that end in each", first.starts[near].sel(kind=["square", "pentagon"]).values.ravel(), at_least(1),
             source="what a first-order change is", number="{:.0f}"),
        says("jump", "The one feature is dropped or stored in full, nothing between",
             "rise of its norm at the crossover", norm[near].diff("ratio"), at_least(0.9), source="what a first-order change is"),
        ours("square-cost", "Two digons cost what unit vectors do in theory, or up to 2% less as they are a little longer",
             "loss as a share of 2 p^2 / 3 + p0 / 3 - p0^2 / 4", cost[below], between(0.98, 1), source="closed form", number="{:.4f}"),
        says("regular", "Five equally sparse features form a regular pentagon",
             "between neighbors", regular.gap, about(72, 0.5, " degrees"), number="{:.2f}"),
        says("outside", "The corners of the regular pentagon lie outside the unit circle",
             "norms", regular.norm, at_least(1), source="the paper", number="{:.3f}"),
        says("length-paper", "A corner's length is 1 / (1 - b), where the model subtracts b",
             "length less that", regular.norm - high, about(0, 0.05), source="the paper", instead="length"),
        ours("length", "The square of a corner's length lies between 1 + b and 1 / (1 - b)",
             "0 at the one, 1 at the other", (regular.norm**2 - low) / (high - low), between(0, 1)),
    ]
    if p == 0.05:
        rows += [
            ours("regular-length", "The corners of the regular pentagon have this length",
                 "", regular.norm, about(1.135, 0.005), number="{:.3f}"),
            ours("regular-bias", "The features of the regular pentagon have this bias",
                 "", regular.b, about(-0.247, 0.003), number="{:.3f}"),
            ours("regular-loss", "The loss of the regular pentagon is this",
                 "", regular.loss, about(0.008904, 1e-5), number="{:.6f}"),
            ours("critical", "Two digons are better once the one feature is 3.7 times less dense",
                 "relative density", critical, about(0.27, 0.02)),
            ours("angles", "The one feature's neighbors are this far away at a half, the same and twice the others' density",
                 "", at_ratios, about([68.7, 72, 74.3], 0.4, " degrees"), number="{:.1f}"),
        ]
    if 0.1 in best.baseline:
        rows += [ours("critical-denser", "Where the others' density is 0.1 the crossover is where the paper has it",
                      "relative density", best.crossing.sel(baseline=0.1), about(0.42, 0.02))]
    # fmt: on
    return rows


def notes(best: xr.Dataset) -> list[str]:
    crossings = ", ".join(
        f"{float(each):.2f}× where the others' density is {float(each.baseline):g}" for each in best.crossing
    )
    reach = best.reach.isel(baseline=0).values
    return [
        f"The crossover depends on how sparse the others are: {crossings}. The paper gives a density of 0.05 and a "
        "crossover near 0.4.",
        f"Of {int(best.members)} starts at each density, {reach.min():.0%} to {reach.max():.0%} find the best "
        "minimum; one each starts near a pentagon, a square and a triangle, so that the curves have no gaps where "
        "such a solution exists.",
        "Beyond about 6 times the others' density the angle to the neighbors no longer rises.",
    ]
