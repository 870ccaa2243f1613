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
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly, from_section
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
    density, importance = np.array(list(SETTINGS.values())).T[:, :, None, None]
    w = np.linspace(-SIDE, SIDE, config.cells)
    first, second = np.array(np.meshgrid(w, w, indexing="ij"))[:, None]
    surface = theory.pair_loss(first, second, density, importance)
    angle = np.radians(np.linspace(-90, 90, 181))
    length = np.linspace(0.3, 1.6, 400)[None, :, None]
    around = theory.pair_loss(length * np.cos(angle), length * np.sin(angle), density, importance)

    # The minima are followed along densities at two importances, and along importances at four densities.
    fall, rise = np.linspace(0.2, 1, config.points), np.linspace(0.1, 1, config.points)
    falling, rising = (len(fall), len(UNEQUAL), 2), (len(SWEPT), len(rise), 2)
    points = np.concatenate([grid.points(fall, UNEQUAL), grid.points(SWEPT, rise)], axis=1)
    weights, loss = _minima(*points)
    cut = len(fall) * len(UNEQUAL)
    coords = {"setting": list(SETTINGS), "w1": w, "w2": w, "angle": np.degrees(angle), "kind": list(VALLEYS)}
    coords |= {"density": fall, "r": list(UNEQUAL), "swept": list(SWEPT), "extra": rise}
    variables = {
        "surface": (("setting", "w1", "w2"), np.asarray(surface)),
        "ends": (("setting", "w1", "w2"), _ends(w)),
        "valley": (("setting", "angle"), np.asarray(around).min(axis=1)),
        "setting_density": ("setting", density.ravel()),
        "setting_importance": ("setting", importance.ravel()),
        "weights": (("density", "r", "kind", "weight"), weights[:cut].reshape(*falling, 2)),
        "loss": (("density", "r", "kind"), loss[:cut].reshape(falling)),
        "swept_weights": (("swept", "extra", "kind", "weight"), weights[cut:].reshape(*rising, 2)),
        "swept_loss": (("swept", "extra", "kind"), loss[cut:].reshape(rising)),
    }
    return xr.Dataset(variables, coords).assign(_checks(config))


def _minima(density: np.ndarray, importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The local minimum in each valley; NaN where there is none and the search left the valley."""
    point, sign = grid.points(range(len(density)), [1.0, -1.0])
    starts = np.stack([0.9 * np.ones(len(sign)), 0.7 * sign], axis=1)
    losses = grid.each(Surface, density[point], importance[point])
    solved = minimize(starts, losses, own_loss=True, tolerance=1e-9)
    w = solved.models * np.sign(solved.models[:, :1])
    left = np.sign(w[:, 1]) != sign
    w, loss = np.where(left[:, None], np.nan, w), np.where(left, np.nan, solved.loss)
    return w.reshape(-1, 2, 2), loss.reshape(-1, 2)


@jax.jit
def _descend(surface, w):
    slopes = jax.vmap(jax.grad(surface))
    return jax.lax.fori_loop(0, 1000, lambda _, w: w - 0.3 * slopes(w), w)


def _ends(w: np.ndarray) -> np.ndarray:
    """Where descent from each point of the maps ends: +1 at weights of the same sign, -1 at weights of opposite signs."""
    starts = jnp.stack(grid.points(w, w), axis=1)
    ends = [_descend(Surface(*map(jnp.float32, pair)), starts).prod(axis=1) for pair in SETTINGS.values()]
    return np.sign(np.reshape(ends, (-1, len(w), len(w)))).astype(float)


def _checks(config: Config) -> xr.Dataset:
    """The loss of 20 random models in three ways: exact, sampled with its standard error, and by the formula."""
    rng = np.random.default_rng(config.seed)
    w, p, r = rng.normal(size=(20, 2)), rng.uniform(0.05, 1, 20), rng.uniform(0.1, 3, 20)
    models = ReluOutput(w[:, None, :], np.zeros((20, 2)))
    losses = grid.each(lambda p, r: Population(Independent(p, jnp.stack([jnp.ones_like(r), r]))), p, r)
    exact = jax.jit(jax.vmap(lambda loss, model: loss(model)))(losses, jax.tree.map(jnp.float64, models))
    means = []
    for weights, density, importance in zip(w, p, r, strict=True):
        x = rng.uniform(size=(2, config.samples)) * (rng.uniform(size=(2, config.samples)) < density)
        error = np.array([1, importance]) @ (x - np.maximum(np.outer(weights, weights @ x), 0)) ** 2
        means.append((error.mean(), error.std() / np.sqrt(config.samples)))
    sampled, error = np.array(means).T
    formula = theory.pair_loss(w[:, 0], w[:, 1], p, r)
    ways = {"exact": exact, "sampled": sampled, "error": error, "formula": formula}
    return xr.Dataset({name: ("check", np.asarray(loss)) for name, loss in ways.items()})


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also where the better of the two minima is, and the density at which they `switch`.

    `direction` is the angle of its weights in degrees, 45 for equal ones and -45 for opposite ones, and
    `swept_direction` the same along importances; `best` has the weights themselves at two densities, `asked`.
    """
    asked = data[["weights", "loss"]].interp(density=[0.5, 0.6]).rename(density="asked")
    return data.assign(
        direction=_direction(_best(data.weights, data.loss)),
        swept_direction=_direction(_best(data.swept_weights, data.swept_loss)),
        best=_best(asked.weights, asked.loss),
        switch=_switch(data.loss),
    )


def _best(weights: xr.DataArray, loss: xr.DataArray) -> xr.DataArray:
    """The weights of the minimum with the lower loss; NaN where there is none."""
    return weights.isel(kind=loss.fillna(np.inf).argmin("kind")).drop_vars("kind")


def _direction(weights: xr.DataArray) -> xr.DataArray:
    x, y = weights.transpose("weight", ...)
    return xr.apply_ufunc(lambda x, y: np.degrees(np.arctan2(y, x)), x, y)


def _switch(loss: xr.DataArray) -> xr.DataArray:
    """The density at which the two minima are equal, interpolated between the densities followed; NaN if nowhere."""
    gap = loss.sel(kind="same sign") - loss.sel(kind="opposite sign")
    after, step = gap.shift(density=-1), loss.density.shift(density=-1) - loss.density
    crossed = (gap > 0) & (after <= 0)
    crossing = (loss.density + step * gap / (gap - after)).where(crossed).max("density")
    return crossing.where(crossed.sum("density") == 1)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11.5, 8)
    above, below = fig.subfigures(2, 1, height_ratios=[1.2, 1])
    above.suptitle("The loss of two features in one dimension without biases, for all weights", fontsize=11)
    maps = above.subplots(1, 3)
    valley, branches, turning = below.subplots(1, 3)
    for ax, color, (name, (density, importance)) in zip(maps, plot.SETS, SETTINGS.items(), strict=False):
        setting, label = data.sel(setting=name), f"density {density:g}, importance {importance:g}"
        _map(ax, setting)
        ax.set_title(f"density {density:g}, importance 1 and {importance:g}")
        valley.plot(data.angle, setting.valley / setting.valley.min(), color=color, label=label)
    maps[0].set_ylabel("weight of the second feature")
    maps[1].legend(loc="upper right", framealpha=0.85, frameon=True, edgecolor="none")
    above_least = "loss, as multiple of the least"
    bar = plot.colorbar(above, maps, "viridis_r", above_least, high=3, ticks=range(4), shrink=0.8, pad=0.01)
    bar.set_ticklabels(["1", "2", "4", "≥8"])

    plot.log_axis(valley.yaxis, [1, 2, 4, 8])
    valley.set(xlim=(-90, 90), ylim=(0.9, 8), xlabel="direction of the weights", ylabel=above_least)
    valley.set_title("around the maps, at the best length")
    ends = ["second\nalone", "opposite", "first\nalone", "equal", "second\nalone"]
    valley.set_xticks([-90, -45, 0, 45, 90], ends)
    valley.legend(loc="upper left")

    p = data.density.values
    for color, kind in zip((plot.BLUE, plot.RED), VALLEYS, strict=True):
        branches.plot(p, data.loss.sel(kind=kind, r=1.0), color=color, label=f"minimum of the {kind}")
    branches.plot(p, theory.antipodal_cost(p), ":", label="theory: 1 and −1", color=plot.INK, lw=1)
    dropped = "theory: one dropped, with a bias"
    branches.plot(p, theory.dropped_cost(p), "--", label=dropped, color=plot.INK, lw=1)
    branches.set(xlabel="density", ylabel="loss", xlim=(0.2, 1), ylim=(0, 0.21))
    branches.set_title(f"equal importance: the minima\ncross at density {float(data.switch.sel(r=1.0)):.3f}")
    branches.legend(loc="lower right")

    jumps = abs(data.swept_direction.shift(extra=-1) - data.swept_direction) > 30
    for color, angle in zip(plot.SETS, data.swept_direction.where(~jumps), strict=False):
        turning.plot(data.extra, angle, color=color, label=f"density {float(angle.swept):g}")
    turning.set(xlabel="importance of the second feature", ylim=(-55, 82))
    turning.set_yticks([-45, 0, 45], ends[1:4])
    turning.set_title("direction of the best weights")
    turning.legend(loc="upper center", ncols=2)
    return fig


def _map(ax: Axes, setting: xr.Dataset) -> None:
    """The loss for all weights, and the line between the starts that lead to one valley and to the other."""
    w = setting.w1.values
    height = setting.surface.values.T / float(setting.valley.min())
    levels = np.geomspace(1, 8, 28)
    ax.set_rasterization_zorder(1.5)
    ax.contourf(w, w, height, levels, cmap="viridis_r", norm=LogNorm(1, 8), extend="both", zorder=1)
    ax.contour(w, w, height, levels[1::3], colors="white", linewidths=0.4, zorder=1.1)
    ends = setting.ends.where(setting.ends != 0, 1).values.T
    ax.contour(w, w, ends, levels=[0], colors="black", linewidths=0.8, zorder=1.2)
    ax.plot([], [], color="black", lw=0.8, label="downhill from either side\nto different valleys")
    ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="weight of the first feature")


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    switch, lower_switch = float(data.switch.sel(r=1.0)), float(data.switch.sel(r=0.5))
    turn = np.abs(np.diff(data.direction.sel(r=1.0))).max()
    steps = np.abs(np.diff(data.swept_direction)).max(axis=1)
    valley = data.valley.sel(setting="two minima")
    minima = valley.where((valley < valley.shift(angle=1)) & (valley < valley.shift(angle=-1)))
    barrier = valley[[0, 90]].min() / np.sort(minima)[1] - 1  # 0 and 90: one feature alone
    ends = data.ends.sel(setting="two minima")
    says, ours = from_section(SECTION, "the exact formula"), from_section("ours", "the exact formula")
    # fmt: off
    return [
        says("formula-exact", "The formula is the exact loss",
             "largest relative difference", abs(data.formula / data.exact - 1).max(), at_most(1e-12),
             source="the sum over all sets of active features", number="{:.0e}"),
        says("formula-sampled", "The formula is the mean loss of samples",
             "largest difference in standard errors", (abs(data.formula - data.sampled) / data.error).max(), at_most(5),
             source="chance"),
        says("confused", "Dense and equally important: both features get the same weight, and are confused",
             "best weights at density 0.6", data.best.sel(asked=0.6, r=1.0), about([0.7071, 0.7071], 0.002),
             source="the paper's comment: 1/√2"),
        ours("confused-loss", "To confuse two features costs what to drop one of them does",
             "relative difference", abs(data.loss.sel(kind="same sign", r=1.0) / theory.dropped_cost(data.density.values) - 1), at_most(1e-6),
             source="p/3 - p²/4", number="{:.0e}"),
        ours("switch", "Below a density the best weights of equally important features are opposite",
             "density", switch, about(0.582, 0.001), number="{:.4f}"),
        ours("switch-unit", "The switch to opposite weights lies a little above 4/7, as they may be longer than 1",
             "difference", switch - 4 / 7, between(0.005, 0.015)),
        says("opposite", "Where features are sparser, the best weights are opposite and a little longer than 1",
             "best weights at density 0.5", data.best.sel(asked=0.5, r=1.0), about([1.05, -1.05], 0.02)),
        says("jump", "There is no way between equal and opposite weights: the direction of the best weights jumps",
             "largest change from one density to the next", turn, about(90, 1, " degrees"), source="symmetry"),
        ours("unequal", "Half as important: the second feature gets less weight, of the same sign",
             "best weights at density 0.6", data.best.sel(asked=0.6, r=0.5), about([0.84, 0.50], 0.01)),
        ours("unequal-switch", "If one feature is half as important, the switch to opposite weights is at a lower density",
             "density", lower_switch, between(0.5, switch)),
        says("moves", "Where features are dense, the minimum moves from one feature alone to both without a jump",
             "largest step, at densities 0.9 and 0.6", steps[:2], at_most(10, " degrees"),
             source="the steps of a smooth curve"),
        says("moves-far", "Where features are dense, the minimum moves far as importance grows",
             "from importance 0.1 to 1", np.ptp(data.swept_direction[:2].values, axis=1), at_least(30, " degrees"),
             source="a feature of no importance is dropped"),
        says("hops", "Where features are sparse, the minimum jumps as importance grows",
             "largest step, at densities 0.5 and 0.3", steps[2:], at_least(30, " degrees"), source="theory"),
        says("two", "Near the switch the map has two minima, up to the sign of all weights",
             "", minima.count(), exactly(2)),
        says("barrier", "Between the two minima near the switch lies a barrier",
             "its height over the upper minimum, as a share of it", barrier, at_least(0.3)),
        says("basin", "Below the switch, fewer starts lead downhill to the best minimum than to the other",
             "share of the map at density 0.57", (ends < 0).where(ends != 0).mean(), between(0.4, 0.5),
             source="the paper's comment: it can be so"),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    opposite, short = data.ends < 0, np.hypot(data.w1, data.w2) < 0.4
    shares = [starts.mean(("w1", "w2")).values for starts in (opposite, opposite.where(short))]
    everywhere, inside = (", ".join(f"{share:.0%}" for share in each) for each in shares)
    return [
        "The settings are ours: one on either side of the switch, and one of unequal importance. "
        "Nothing is drawn at random but the models and samples that check the formula.",
        f"Gradient descent ends at opposite weights from {everywhere} of the starts on the three maps, and "
        f"from {inside} of those shorter than 0.4: where it ends depends little on which minimum is better.",
    ]
