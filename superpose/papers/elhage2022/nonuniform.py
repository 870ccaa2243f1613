"""One of five features made sparser or denser: the pentagon bends, then snaps into two antipodal pairs.

Five features in two dimensions form a regular pentagon where they are equally sparse. Where one is denser
its neighbors move away from it, where it is sparser they close in on it. Below some density the
model suddenly drops it, and stores the other four as two antipodal pairs.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, polytopes, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

SECTION = "Non-Uniform Superposition"
TAKES = 18
QUICK = {"ratios": 15, "members": 8}

KINDS = ("pentagon", "square", "triangle", "other")
COLORS = {"pentagon": "#d55e00", "square": "#0072b2", "triangle": "#009e73", "other": "#999999"}


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


def run(config: Config) -> xr.Dataset:
    axes = {
        "baseline": np.array(config.baselines),
        "ratio": np.geomspace(0.1, 10, config.ratios),
        "member": range(config.members),
    }
    baseline, ratio, member = grid.points(*axes.values())

    def loss(baseline, ratio):
        density = jnp.full(5, baseline).at[0].multiply(ratio)
        return Population(Independent(density), method="characteristic", harmonics=64)  # right to 1e-6

    key = draws.key_of(config.seed)
    models = ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=member, key=key)
    W = np.array(models.W)
    for place, shape in enumerate((polytopes.polygon(5), _SQUARE, _TRIANGLE)):
        W[member == place] = 0.01 * W[member == place] + shape
    # The best bias of a feature that is not stored: from 0 it can fall, and then stays below 0.
    b = np.repeat(baseline[:, None], 5, axis=1) / 2
    b[:, 0] *= ratio
    start = ReluOutput(jnp.asarray(W), jnp.asarray(b))
    solved = minimize(start, grid.each(loss, baseline, ratio), own_loss=True)
    return grid.dataset(solved.models, solved.loss, axes=axes, converged=solved.converged)


_SQUARE = np.hstack([np.zeros((2, 1)), polytopes.corners("square")])
_TRIANGLE = np.hstack([polytopes.corners("triangle"), np.zeros((2, 2))])


def kinds(data: xr.Dataset) -> xr.DataArray:
    """Each model's place in `KINDS`, by how many features it stores, and how.

    Five are a pentagon where each has room around it, four a square where they are two antipodal pairs.
    """
    W = data.W.values
    return xr.DataArray(
        np.array([_kind(each) for each in W.reshape(-1, *W.shape[-2:])]).reshape(W.shape[:-2]),
        dims=data.W.dims[:-2],
    )


def _kind(W) -> int:
    stored = W[:, np.linalg.norm(W, axis=0) > 0.5]
    n = stored.shape[1]
    if n < 3 or (n == 4 and measures.polytopes(stored, link=0.3)[0].name != "digon"):
        return KINDS.index("other")
    least = {3: 90, 4: 70, 5: 35}[n]
    return KINDS.index(
        {3: "triangle", 4: "square", 5: "pentagon"}[n] if _gaps(stored).min() > least else "other"
    )


def _gaps(W) -> np.ndarray:
    """The angles from one feature to the next around the circle, in degrees; the first is to the left of feature 0."""
    turn = np.degrees(np.arctan2(W[1], W[0]))
    return np.diff(np.append(np.sort((turn - turn[0]) % 360), 360))


def lowest(data: xr.Dataset, kind: str) -> xr.Dataset:
    """The model of least loss among those of a kind, at each density; its loss is NaN where there is none."""
    loss = data.loss.where(kinds(data) == KINDS.index(kind))
    chosen = data.isel(member=loss.fillna(np.inf).argmin("member"))
    return chosen.assign(loss=loss.min("member"))


def crossover(data: xr.Dataset) -> float:
    """The relative density, at most 1, at which pentagon and square cost the same; NaN if there is none, or two."""
    data = data.sel(ratio=data.ratio <= 1 + 1e-9)
    gain = (lowest(data, "square").loss - lowest(data, "pentagon").loss).values
    log = np.log(data.ratio.values)
    at = np.flatnonzero((gain[:-1] < 0) & (gain[1:] >= 0))
    if len(at) != 1:
        return np.nan
    i = int(at[0])
    return float(np.exp(log[i] - gain[i] * (log[i + 1] - log[i]) / (gain[i + 1] - gain[i])))


def neighbor_angle(data: xr.Dataset) -> np.ndarray:
    """The mean angle between the one feature and its two neighbors, in the best pentagon of each density."""
    pentagon = lowest(data, "pentagon")
    angle = [_gaps(W)[[0, -1]].mean() for W in pentagon.W.values]
    return np.where(np.isfinite(pentagon.loss.values), angle, np.nan)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12, 7.4)
    axes = fig.subplot_mosaic(
        [["square", "pentagon", "loss"], ["angle", "gain", "loss"]], width_ratios=[1, 1, 1.35],
        height_ratios=[1.25, 1],
    )  # fmt: skip
    one = data.isel(baseline=0)
    p = float(one.baseline)
    colors, scale = matplotlib.colormaps["viridis"], LogNorm(0.1, 10)
    for kind, title in (("square", "Squares: two digons"), ("pentagon", "Pentagons")):
        _overlay(axes[kind], lowest(one, kind), colors, scale)
        axes[kind].set_title(f"{title}, best at each density")
    bar = fig.colorbar(
        matplotlib.cm.ScalarMappable(scale, colors), ax=[axes["square"], axes["pentagon"]], shrink=0.8,
        label="relative density of the one feature", ticks=[0.1, 1, 10], format="%g×",
    )  # fmt: skip
    bar.outline.set_visible(False)
    _losses(axes["loss"], one)
    _angles(axes["angle"], one)
    _gains(axes["gain"], data)
    fig.suptitle(
        f"5 features in 2 dimensions, four of density {p:g}, {data.sizes['member']} starts at each density of the fifth"
    )
    return fig


def _overlay(ax, best, colors, scale):
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=plot.FAINT, lw=0.9, zorder=0)
    for at in range(best.sizes["ratio"]):
        model = best.isel(ratio=at)
        W = model.W.values
        if not np.isfinite(model.loss):
            continue
        varied = np.linalg.norm(W[:, 0]) > 0.5
        W = plot.upright(W) if varied else np.roll(plot.upright(np.roll(W, -1, axis=1)), 1, axis=1)
        color = colors(scale(float(model.ratio)))
        size = 4 if varied else 9 - 5 * at / best.sizes["ratio"]  # rings, as they are at one place
        ax.plot(*W[:, 1:], "o", color=color, ms=size, mec="white", mew=0.3)
        ax.plot(*W[:, 0], "D", color=color, ms=size + 1.5, mec=plot.INK, mew=0.4)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xticks=[], yticks=[])
    ax.set_xlabel("◆ the one feature, turned up   ● the others", fontsize=8)
    ax.spines[:].set_visible(False)


def _losses(ax, one):
    kind = kinds(one).values
    ratio = np.broadcast_to(one.ratio.values[:, None], kind.shape)
    for place, name in reversed(list(enumerate(KINDS))):
        here = (kind == place) & one.converged.values
        ax.plot(
            ratio[here], one.loss.values[here], "o", ms=3.5, color=COLORS[name], label=name, mec="white",
            mew=0.3, alpha=0.9, rasterized=True,
        )  # fmt: skip
    p0 = one.ratio.values[one.ratio.values <= 1] * float(one.baseline)
    p = float(one.baseline)
    ax.plot(
        p0 / p,
        _square_cost(p, p0),
        color=plot.INK,
        lw=0.8,
        ls="--",
        label="square of unit vectors, in theory",
    )
    found = crossover(one)
    for at, told, style in ((PAPERS, "paper:\nabout 0.4", ":"), (found, f"exact:\n{found:.2f}", "-")):
        ax.axvline(at, color=plot.INK, lw=0.9, ls=style, zorder=0)
        right = at == PAPERS
        ax.text(
            at * (1.06 if right else 0.94), 0.985, told, transform=ax.get_xaxis_transform(), va="top",
            ha="left" if right else "right", fontsize=8,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xticks=[0.1, 1, 10], xlabel="relative density of the one feature")
    ax.set_xticklabels(["0.1×", "1×", "10×"])
    ax.set(ylabel="loss", title="Every minimum found")
    ax.set_yticks([0.003, 0.01, 0.03], ["0.003", "0.01", "0.03"])
    ax.set_yticks([], minor=True)
    handles, labels = ax.get_legend_handles_labels()
    order = [*(labels.index(name) for name in KINDS), len(KINDS)]
    ax.legend([handles[at] for at in order], [labels[at] for at in order], loc="lower right")


def _angles(ax, one):
    ax.plot(one.ratio, neighbor_angle(one), "o-", color=COLORS["pentagon"], ms=3, lw=1)
    ax.axhline(72, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.axvline(1, color=plot.FAINT, lw=0.8, ls="--", zorder=0)
    ax.axvspan(0.1, crossover(one), color=plot.GRAY, alpha=0.5, lw=0, zorder=0)
    ax.set(xscale="log", xlim=(0.1, 10), xticks=[0.1, 1, 10], xlabel="relative density of the one feature")
    ax.set_xticklabels(["0.1×", "1×", "10×"])
    ax.set(ylabel="degrees", title="From the one feature to its neighbors\n(gray: the square is better)")


def _gains(ax, data):
    for at, color in zip(
        range(data.sizes["baseline"]), ("#7b3294", "#e69f00", "#56b4e9", "#999999") * 9, strict=False
    ):
        one = data.isel(baseline=at)
        gain = 100 * (lowest(one, "square").loss / lowest(one, "pentagon").loss - 1)
        ax.plot(
            one.ratio,
            gain,
            "-",
            color=color,
            lw=1.3,
            label=f"density {float(one.baseline):g}: {crossover(one):.2f}×",
        )
    ax.axhline(0, color=plot.INK, lw=0.7)
    ax.axvline(PAPERS, color=plot.INK, lw=0.9, ls=":")
    ax.set(
        xscale="log",
        xlim=(0.1, 1),
        ylim=(-25, 105),
        xticks=[0.1, 0.2, 0.4, 1],
        xlabel="relative density of the one feature",
    )
    ax.set_xticklabels(["0.1×", "0.2×", "0.4×", "1×"])
    ax.minorticks_off()
    ax.set(ylabel="%", title="How much more the square costs\nthan the pentagon")
    ax.legend(title="others' density: crossing", title_fontsize=8, loc="upper left")


PAPERS = 0.4
"""The relative density at which the paper has the crossover: 2.5 times less dense than the others."""


def _square_cost(p, p0):
    """The loss of two digons of unit vectors, with the one feature dropped."""
    return 2 * theory.antipodal_cost(p) + theory.dropped_cost(p0)


EXACT = "the exact optimum, best of many starts"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    one = data.isel(baseline=0)
    ratio, p = one.ratio.values, float(one.baseline)
    critical, angle = crossover(one), neighbor_angle(one)
    square, best = lowest(one, "square"), grid.best(one)
    rising, below, above = (ratio >= critical) & (ratio < 6), ratio < critical, ratio > critical
    kind = kinds(one).values
    winner = np.take_along_axis(kind, one.loss.values.argmin(axis=1)[:, None], axis=1)[:, 0]
    near = np.append(np.flatnonzero(below)[-1:], np.flatnonzero(above)[:1])
    both = [(kind[at] == KINDS.index(name)).sum() for at in near for name in ("square", "pentagon")]
    stored = grid.over_models(measures.norms, best.W, "feature").isel(feature=0).values
    pairs = np.array([np.asarray(measures.cosines(W))[1:, 1:].min(axis=1) for W in best.W.values[below]])
    cost = (square.loss.values / _square_cost(p, p * ratio))[below]
    told = [
        Claim(
            "repel", "The denser the one feature, the farther away are its neighbors", SECTION,
            at_least(0), np.diff(angle[rising]), source="the paper",
            what="rise of the angle from one density to the next, in degrees, up to 6 times the others'",
        ),
        Claim(
            "critical-paper", "Two digons are better once the one feature is about 2.5 times less dense", SECTION,
            about(PAPERS, 0.05), critical, what="relative density", source="the paper",
            instead="critical" if p == 0.05 else "",
        ),
        Claim(
            "digons", "There the model drops it and stores the others as two digons", SECTION,
            at_most(-0.98), pairs if (winner[below] == KINDS.index("square")).all() else np.nan,
            what="each one's cosine to its partner", source=EXACT, number="{:.4f}",
        ),
        Claim(
            "pentagon-above", "At all higher densities the best is the pentagon", SECTION,
            exactly(0), (winner[above] != KINDS.index("pentagon")).sum() if above.any() else np.nan,
            what="densities at which it is not", source=EXACT, number="{:.0f}",
        ),
        Claim(
            "first-order", "Pentagon and square are local minima on both sides of the crossover", SECTION,
            at_least(1), both, what="starts that end in each", source="what a first-order change is", number="{:.0f}",
        ),
        Claim(
            "jump", "The one feature is dropped or stored in full, nothing between", SECTION,
            at_least(0.9), np.diff(stored[near]), what="rise of its norm at the crossover",
            source="what a first-order change is",
        ),
        Claim(
            "square-cost", "Two digons cost what unit vectors do in theory, or up to 2% less as they are a little longer",
            "ours", between(0.98, 1), cost, what="loss as a share of 2 p^2 / 3 + p0 / 3 - p0^2 / 4",
            source="closed form", number="{:.4f}",
        ),
        *_regular(lowest(one, "pentagon").sel(ratio=1, method="nearest"), p),
    ]  # fmt: skip
    if p == 0.05:
        told += [
            Claim(
                "critical", "Two digons are better once the one feature is 3.7 times less dense", "ours",
                about(0.27, 0.02), critical, what="relative density", source=EXACT,
            ),
            Claim(
                "angles", "Its neighbors are this far away at a half, the same and twice the others' density", "ours",
                about([68.7, 72, 74.3], 0.4, " degrees"), np.interp(np.log([0.5, 1, 2]), np.log(ratio), angle),
                source=EXACT, number="{:.1f}",
            ),
        ]  # fmt: skip
    if 0.1 in data.baseline:
        told.append(
            Claim(
                "critical-denser", "Where the others' density is 0.1 the crossover is where the paper has it", "ours",
                about(0.42, 0.02), crossover(data.sel(baseline=0.1)), what="relative density", source=EXACT,
            )
        )  # fmt: skip
    return told


def _regular(model, p) -> list[Claim]:
    """Of the pentagon in which all features are equally dense."""
    there = 1.0 if np.isfinite(model.loss) else np.nan
    norms, size = np.asarray(measures.norms(model.W.values)) * there, np.abs(model.b.values)
    low, high = 1 + size, 1 / (1 - size)
    told = [
        Claim(
            "regular", "Five equally sparse features form a regular pentagon", SECTION,
            about(72, 0.5, " degrees"), _gaps(model.W.values) * there,
            what="between neighbors", source=EXACT, number="{:.2f}",
        ),
        Claim(
            "outside", "Its corners lie outside the unit circle", SECTION,
            at_least(1), norms, what="norms", source="the paper", number="{:.3f}",
        ),
        Claim(
            "length-paper", "A corner's length is 1 / (1 - b), where the model subtracts b", SECTION,
            about(0, 0.05), norms - high, what="length less that", source="the paper", instead="length",
        ),
        Claim(
            "length", "It is the square of the length that lies between 1 + b and 1 / (1 - b)", "ours",
            between(0, 1), (norms**2 - low) / (high - low), source=EXACT, what="0 at the one, 1 at the other",
        ),
    ]  # fmt: skip
    if p == 0.05:
        told += [
            Claim(
                "regular-length", "The corners of the regular pentagon have this length", "ours",
                about(1.135, 0.005), norms, source=EXACT, number="{:.3f}",
            ),
            Claim(
                "regular-bias", "Its features have this bias", "ours",
                about(-0.247, 0.003), model.b.values * there, source=EXACT, number="{:.3f}",
            ),
            Claim(
                "regular-loss", "Its loss is this", "ours",
                about(0.008904, 1e-5), float(model.loss), source=EXACT, number="{:.6f}",
            ),
        ]  # fmt: skip
    return told


def notes(data: xr.Dataset) -> list[str]:
    found = ", ".join(
        f"{crossover(data.isel(baseline=at)):.2f}× where the others' density is {float(data.baseline[at]):g}"
        for at in range(data.sizes["baseline"])
    )
    share = (data.loss <= data.loss.min("member") * 1.001).isel(baseline=0).mean("member").values
    return [
        f"The crossover depends on how sparse the others are: {found}. The paper gives a density of 0.05 and a "
        "crossover near 0.4.",
        f"Of {data.sizes['member']} starts at each density, {share.min():.0%} to {share.max():.0%} find the best "
        "minimum; one each starts near a pentagon, a square and a triangle, so that the curves have no gaps where "
        "such a solution exists.",
        "Beyond about 6 times the others' density the angle to the neighbors no longer rises.",
    ]
