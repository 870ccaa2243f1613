"""The whole loss surface of two features in one dimension: two valleys, and hops between them.

Without biases a model of two features in one dimension has two weights, and its loss an exact formula: it
can be drawn as a map. Where features are dense the best weights are equal, so that the model confuses the
two features; where they are sparse, they are opposite. The two are separate valleys of one map, and the
best model hops from one to the other as density changes.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import minimize

SECTION = "Superposition as a Phase Change"
TAKES = 5
QUICK = {"cells": 41, "points": 25}

SETTINGS = {"confused": (0.8, 1.0), "two minima": (0.57, 1.0), "antipodal": (0.3, 0.5)}
SWEPT = (0.9, 0.6, 0.5, 0.3)
UNEQUAL = (1.0, 0.5)
SIDE = 1.5
VALLEYS = ("same sign", "opposite sign")


@dataclass(frozen=True)
class Config:
    cells: int = 101
    """Weights along each side of the maps, from -1.5 to 1.5."""
    points: int = 61
    """Densities, and importances, at which the minima are followed."""
    samples: int = 200_000
    """Samples by which the formula is checked, at each of 20 models."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, cells=11, points=5, samples=1000)

    @property
    def cost(self) -> costs.Cost:
        maps = costs.evaluating(len(SETTINGS) * 1000, self.cells**2)
        lines = costs.minimizing(2 * self.points * (len(UNEQUAL) + len(SWEPT)), weights=2)
        return maps + lines + costs.evaluating(20, 10 * self.samples)


class Surface(eqx.Module):
    """The loss as a function of the two weights."""

    density: Float[Array, ""]
    importance: Float[Array, ""]

    def __call__(self, w: Float[Array, "2"]) -> Float[Array, ""]:
        return theory.pair_loss(w[0], w[1], self.density, self.importance)


def run(config: Config) -> xr.Dataset:
    density, importance = np.array(list(SETTINGS.values())).T
    w = np.linspace(-SIDE, SIDE, config.cells)
    first, second = np.meshgrid(w, w, indexing="ij")
    surface = theory.pair_loss(first, second, density[:, None, None], importance[:, None, None])
    angle = np.radians(np.linspace(-90, 90, 181))
    length = np.linspace(0.3, 1.6, 400)[:, None]
    along = length * np.cos(angle), length * np.sin(angle)
    valley = theory.pair_loss(*along, density[:, None, None], importance[:, None, None]).min(axis=1)

    # The minima are followed along densities at two importances, and along importances at four densities.
    fall, rise = np.linspace(0.2, 1, config.points), np.linspace(0.1, 1, config.points)
    points = [np.stack(grid.points(*line)) for line in ((fall, UNEQUAL), (SWEPT, rise))]
    weights, loss = _minima(*np.concatenate(points, axis=1))
    cut = points[0].shape[1]
    falling, rising = (len(fall), len(UNEQUAL), 2), (len(SWEPT), len(rise), 2)
    exact, sampled, error, formula = _checks(config)
    return xr.Dataset(
        {
            "surface": (("setting", "w1", "w2"), np.asarray(surface)),
            "ends": (("setting", "w1", "w2"), _ends(first, second, density, importance)),
            "valley": (("setting", "angle"), np.asarray(valley)),
            "setting_density": ("setting", density),
            "setting_importance": ("setting", importance),
            "weights": (("density", "r", "kind", "weight"), weights[:cut].reshape(*falling, 2)),
            "loss": (("density", "r", "kind"), loss[:cut].reshape(falling)),
            "swept_weights": (("swept", "extra", "kind", "weight"), weights[cut:].reshape(*rising, 2)),
            "swept_loss": (("swept", "extra", "kind"), loss[cut:].reshape(rising)),
            "exact": ("check", exact),
            "sampled": ("check", sampled),
            "error": ("check", error),
            "formula": ("check", formula),
        },
        {
            "setting": list(SETTINGS),
            "w1": w,
            "w2": w,
            "angle": np.degrees(angle),
            "kind": list(VALLEYS),
            "density": fall,
            "r": list(UNEQUAL),
            "swept": list(SWEPT),
            "extra": rise,
        },
    )


def _minima(density, importance) -> tuple[np.ndarray, np.ndarray]:
    """The local minimum in each valley; NaN where there is none, and the search left the valley."""
    point, sign = grid.points(range(len(density)), [1.0, -1.0])
    starts = np.stack([0.9 * np.ones(len(sign)), 0.7 * sign], axis=1)
    losses = grid.each(Surface, density[point], importance[point])
    found = minimize(starts, losses, own_loss=True, tolerance=1e-9)
    w = found.models * np.sign(found.models[:, :1])
    left = np.sign(w[:, 1]) != sign
    w, loss = np.where(left[:, None], np.nan, w), np.where(left, np.nan, found.loss)
    return w.reshape(-1, 2, 2), loss.reshape(-1, 2)


@jax.jit
def _descend(surface, w):
    def step(_, w):
        return w - 0.3 * jax.vmap(jax.grad(surface))(w)

    return jax.lax.fori_loop(0, 1000, step, w)


def _ends(first, second, density, importance) -> np.ndarray:
    """From each point of the maps, downhill: +1 where it ends at weights of the same sign, -1 of opposite."""
    starts = jnp.stack([first.ravel(), second.ravel()], axis=1)
    ends = [
        _descend(Surface(*map(jnp.float32, setting)), starts)
        for setting in zip(density, importance, strict=True)
    ]
    return np.array([np.sign(w[:, 0] * w[:, 1]).reshape(first.shape) for w in ends], dtype=float)


def _checks(config) -> tuple[np.ndarray, ...]:
    """The loss of 20 random models in three ways: exact, sampled with its standard error, and by the formula."""
    rng = np.random.default_rng(config.seed)
    w, p, r = rng.normal(size=(20, 2)), rng.uniform(0.05, 1, 20), rng.uniform(0.1, 3, 20)
    models = ReluOutput(w[:, None, :], np.zeros((20, 2)))
    losses = grid.each(lambda p, r: Population(Independent(p, jnp.stack([jnp.ones_like(r), r]))), p, r)
    exact = jax.jit(jax.vmap(lambda loss, model: loss(model)))(losses, jax.tree.map(jnp.float64, models))
    sampled = []
    for weights, density, importance in zip(w, p, r, strict=True):
        x = rng.uniform(size=(2, config.samples)) * (rng.uniform(size=(2, config.samples)) < density)
        error = np.array([1, importance]) @ (x - np.maximum(np.outer(weights, weights @ x), 0)) ** 2
        sampled.append((error.mean(), error.std() / np.sqrt(config.samples)))
    return np.asarray(exact), *np.array(sampled).T, np.asarray(theory.pair_loss(w[:, 0], w[:, 1], p, r))


def _best(weights, loss) -> np.ndarray:
    """The direction of the better of the two minima, in degrees: 45 for equal weights, -45 for opposite ones."""
    best = np.nanargmin(loss, axis=-1)[..., None, None]
    w = np.take_along_axis(weights, best, axis=-2)[..., 0, :]
    return np.degrees(np.arctan2(w[..., 1], w[..., 0]))


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11.5, 8)
    above, below = fig.subfigures(2, 1, height_ratios=[1.2, 1])
    above.suptitle("The loss of two features in one dimension without biases, for all weights", fontsize=11)
    axes = above.subplots(1, 3)
    for ax, (name, (density, importance)) in zip(axes, SETTINGS.items(), strict=True):
        _map(ax, data.sel(setting=name))
        ax.set_title(f"density {density:g}, importance 1 and {importance:g}")
    axes[0].set_ylabel("weight of the second feature")
    axes[1].legend(loc="upper right", framealpha=0.85, frameon=True, edgecolor="none")
    scale = matplotlib.cm.ScalarMappable(LogNorm(1, 8), "viridis_r")
    bar = above.colorbar(scale, ax=axes, label="loss, as multiple of the least", shrink=0.8, pad=0.01)
    bar.set_ticks([1, 2, 4, 8], labels=["1", "2", "4", "≥8"])
    bar.minorticks_off()
    bar.outline.set_visible(False)

    valley, branches, turning = below.subplots(1, 3)
    for color, (name, (density, importance)) in zip(plot.SETS, SETTINGS.items(), strict=False):
        along = data.valley.sel(setting=name)
        label = f"density {density:g}, importance {importance:g}"
        valley.plot(data.angle, along / along.min(), color=color, label=label)
    valley.set(xlim=(-90, 90), ylim=(0.9, 8), yscale="log", xticks=[-90, -45, 0, 45, 90])
    valley.set_xticklabels(["second\nalone", "opposite", "first\nalone", "equal", "second\nalone"])
    valley.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    valley.minorticks_off()
    valley.set(xlabel="direction of the weights", ylabel="loss, as multiple of the least")
    valley.set_title("around the maps, at the best length")
    valley.legend(loc="upper left")

    p = data.density.values
    for color, kind in zip((plot.BLUE, plot.RED), VALLEYS, strict=True):
        branches.plot(p, data.loss.sel(kind=kind, r=1.0), color=color, label=f"minimum of the {kind}")
    theories = {"1 and −1": theory.antipodal_cost(p), "one dropped, with a bias": theory.dropped_cost(p)}
    for style, (name, loss) in zip((":", "--"), theories.items(), strict=True):
        branches.plot(p, loss, style, color=plot.INK, lw=1, label=f"theory: {name}")
    branches.set(xlabel="density", ylabel="loss", xlim=(0.2, 1), ylim=(0, 0.21))
    branches.set_title(f"equal importance: the minima\ncross at density {_switch(data, 1.0):.3f}")
    branches.legend(loc="lower right")

    shown = _best(data.swept_weights.values, data.swept_loss.values)
    for color, density, angle in zip(plot.SETS, SWEPT, shown, strict=False):
        jumps = np.append(np.abs(np.diff(angle)) > 30, False)
        turning.plot(data.extra, np.where(jumps, np.nan, angle), color=color, label=f"density {density:g}")
    turning.set(xlabel="importance of the second feature", ylim=(-55, 82), yticks=[-45, 0, 45])
    turning.set_yticklabels(["opposite", "first\nalone", "equal"])
    turning.set_title("direction of the best weights")
    turning.legend(loc="upper center", ncols=2)
    return fig


def _map(ax, one) -> None:
    w = one.w1.values
    height = one.surface.values.T / float(one.valley.min())
    levels = np.geomspace(1, 8, 28)
    ax.set_rasterization_zorder(1.5)
    ax.contourf(w, w, height, levels, cmap="viridis_r", norm=LogNorm(1, 8), extend="both", zorder=1)
    ax.contour(w, w, height, levels[1::3], colors="white", linewidths=0.4, zorder=1.1)
    ends = np.where(one.ends == 0, 1, one.ends).T
    ax.contour(w, w, ends, levels=[0], colors="black", linewidths=0.8, zorder=1.2)
    ax.plot([], [], color="black", lw=0.8, label="downhill from either side\nto different valleys")
    ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="weight of the first feature")


def _switch(data, r) -> float:
    """The density at which the two minima are equal, on a line between the densities followed; NaN if nowhere."""
    gap = (data.loss.sel(kind=VALLEYS[0]) - data.loss.sel(kind=VALLEYS[1])).sel(r=r).values
    there = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
    if len(there) != 1:
        return np.nan
    (p, q), (a, b) = data.density.values[there[0] :][:2], gap[there[0] :][:2]
    return float(p + (q - p) * a / (a - b))


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    p = data.density.values
    same, opposite = data.loss.sel(kind=VALLEYS[0]), data.loss.sel(kind=VALLEYS[1])
    confused = same.sel(r=1.0).values
    angle = _best(data.weights.sel(r=1.0).values, data.loss.sel(r=1.0).values)
    turns = _best(data.swept_weights.values, data.swept_loss.values)
    steps = np.abs(np.diff(turns, axis=1)).max(axis=1)
    valley = data.valley.sel(setting="two minima").values
    lows = (valley[1:-1] < valley[:-2]) & (valley[1:-1] < valley[2:])
    barrier = min(valley[90], valley[0]) / np.sort(valley[1:-1][lows])[:2].max(initial=0) - 1
    smaller = data.ends.sel(setting="two minima").values
    share = float((smaller < 0).sum() / max((smaller != 0).sum(), 1))

    def at(density, r, kind):
        return data.weights.sel(r=r, kind=kind).interp(density=density).values

    def lower(density, r):
        """By how much the minimum of the same sign is lower, as a share of the other."""
        return float((1 - same / opposite).sel(r=r).interp(density=density))

    return [
        Claim(
            "formula-exact", "The formula is the exact loss", SECTION, at_most(1e-12),
            np.abs(data.formula / data.exact - 1).max(), what="largest relative difference", number="{:.0e}",
            source="the sum over all sets of active features",
        ),
        Claim(
            "formula-sampled", "The formula is the mean loss of samples", SECTION, at_most(5),
            (np.abs(data.formula - data.sampled) / data.error).max(), what="largest difference in standard errors",
            source="chance",
        ),
        Claim(
            "confused", "Dense and equally important: both features get the same weight, and are confused", SECTION,
            about([0.7071, 0.7071], 0.002), at(0.6, 1.0, VALLEYS[0]) if lower(0.6, 1.0) > 0 else [np.nan] * 2,
            what="best weights at density 0.6", source="the paper's comment: 1/√2",
        ),
        Claim(
            "confused-loss", "To confuse two features costs what to drop one of them does", "ours", at_most(1e-6),
            np.abs(confused / theory.dropped_cost(p) - 1), what="relative difference", number="{:.0e}",
            source="p/3 - p²/4",
        ),
        Claim(
            "switch", "Equally important: below a density the best weights are opposite", "ours",
            about(0.582, 0.001), _switch(data, 1.0), what="density", number="{:.4f}", source="the exact formula",
        ),
        Claim(
            "switch-unit", "The switch lies a little above 4/7, as opposite weights may be longer than 1", "ours",
            between(0.005, 0.015), _switch(data, 1.0) - 4 / 7, what="difference", source="the exact formula",
        ),
        Claim(
            "opposite", "Sparser, the best weights are opposite and a little longer than 1", SECTION,
            about([1.05, -1.05], 0.02), at(0.5, 1.0, VALLEYS[1]) if lower(0.5, 1.0) < 0 else [np.nan] * 2,
            what="best weights at density 0.5", source="the exact formula",
        ),
        Claim(
            "jump", "There is no way between: the direction of the best weights jumps", SECTION, about(90, 1, " degrees"),
            np.abs(np.diff(angle)).max(), what="largest change from one density to the next", source="symmetry",
        ),
        Claim(
            "unequal", "Half as important: the second feature gets less weight, of the same sign", "ours",
            about([0.84, 0.50], 0.01), at(0.6, 0.5, VALLEYS[0]) if lower(0.6, 0.5) > 0 else [np.nan] * 2,
            what="best weights at density 0.6", source="the exact formula",
        ),
        Claim(
            "unequal-switch", "Half as important: there is a switch to opposite weights too, at a lower density", "ours",
            between(0.5, _switch(data, 1.0)), _switch(data, 0.5), what="density", source="the exact formula",
        ),
        Claim(
            "moves", "Dense: the minimum moves from one feature alone to both without a jump", SECTION,
            at_most(10, " degrees"), steps[:2], what="largest step, at densities 0.9 and 0.6",
            source="the steps of a smooth curve",
        ),
        Claim(
            "moves-far", "Dense: it moves far", SECTION, at_least(30, " degrees"), np.ptp(turns[:2], axis=1),
            what="from importance 0.1 to 1", source="a feature of no importance is dropped",
        ),
        Claim(
            "hops", "Sparse: the minimum jumps instead", SECTION, at_least(30, " degrees"), steps[2:],
            what="largest step, at densities 0.5 and 0.3", source="theory",
        ),
        Claim(
            "two", "Near the switch the map has two minima, up to the sign of all weights", SECTION, exactly(2),
            lows.sum(), source="the exact formula",
        ),
        Claim(
            "barrier", "Between them lies a barrier", SECTION, at_least(0.3), barrier,
            what="its height over the upper minimum, as a share of it", source="the exact formula",
        ),
        Claim(
            "basin", "Below the switch, fewer starts lead downhill to the best minimum than to the other", SECTION,
            between(0.4, 0.5), share, what="share of the map at density 0.57", source="the paper's comment: it can be so",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    opposite = data.ends < 0
    near = np.hypot(*np.meshgrid(data.w1, data.w2, indexing="ij")) < 0.4
    told = [", ".join(f"{float(opposite.sel(setting=name).values[at].mean()):.0%}" for name in SETTINGS)
            for at in (near | True, near)]  # fmt: skip
    return [
        "The settings are ours: one on either side of the switch, and one of unequal importance. "
        "Nothing is drawn at random but the models and samples that check the formula.",
        f"Gradient descent ends at opposite weights from {told[0]} of the starts on the three maps, and from {told[1]} "
        "of those shorter than 0.4: where it ends depends little on which minimum is better.",
    ]
