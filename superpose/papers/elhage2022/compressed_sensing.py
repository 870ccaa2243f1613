"""How many features can be learned: in proportion to the dimensions, and the more the sparser they are.

To get sparse features back from a linear map to fewer dimensions takes a number of dimensions that
compressed sensing bounds from below. So a model can learn no more than a number of features in proportion
to its dimensions, and the number grows as the features get sparser. A non-linear map can put even two dense
numbers in one, but only with steep steps, for which a network would need many neurons.
"""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

SECTION = "Superposition, Compressed Sensing and Non-Linear Compression"
TAKES = 15
QUICK = {"features": 200, "dimensions": (6, 12, 24), "densities": (0.2, 0.1, 0.05), "steps": 1200}

LEVELS = (2, 3, 5, 10)
FULL = 0.6


@dataclass(frozen=True)
class Config:
    features: int = 400
    """Features, all of the same importance: many more than can be learned."""
    dimensions: tuple[int, ...] = (10, 17, 30)
    """Hidden dimensions."""
    densities: tuple[float, ...] = (0.2, 0.14, 0.1, 0.07, 0.05)
    """Densities (1 - sparsity)."""
    steps: int = 2500
    """Steps of training, on 256 samples each."""
    widths: int = 40
    """How many widths of the steps, for the non-linear compression of two numbers into one."""
    seed: int = 0

    def __post_init__(self):
        settings.shares(self, "densities")
        if len(self.dimensions) < 2 or len(self.densities) < 2:
            raise ValueError("give two dimensions or more, and two densities or more")
        if not 1 <= min(self.dimensions) <= max(self.dimensions) <= self.features:
            raise ValueError(f"dimensions must be within 1..{self.features}, got {self.dimensions}")
        settings.at_least(self, steps=1, widths=5)

    @property
    def cost(self) -> costs.Cost:
        n, tries = self.features, len(self.densities)
        trained = [costs.training(tries, n, n * m, self.steps, 256) for m in self.dimensions]
        return sum(trained, costs.evaluating(self.widths * len(LEVELS), 300**2, held=100))


def run(config: Config) -> xr.Dataset:
    learned, total = zip(*(_learned(m, config) for m in config.dimensions), strict=True)
    widths = np.append(0, np.geomspace(1e-4, 0.5, config.widths))
    # One point at random in each cell of a grid, as steps may be narrower than a cell.
    x, y = np.indices((300, 300)) / 300 + np.random.default_rng(config.seed).uniform(
        0, 1 / 300, (2, 300, 300)
    )

    def error(a, b):
        """Mean squared error of the two numbers."""
        return float(((a - x) ** 2 + (b - y) ** 2).mean() / 2)

    # A step has room between its neighbors only if it is narrower than a level.
    back = [
        [error(*theory.compressed_pair(x, y, z, w)) if w < 1 / z else np.nan for w in widths] for z in LEVELS
    ]
    return xr.Dataset(
        {
            "learned": (("dimensions", "density"), np.array(learned, float)),
            "total": (("dimensions", "density"), np.array(total)),
            "n_features": config.features,
            "error": (("levels", "width"), np.array(back)),
            "linear_error": ("linear", np.array([error(0.5, y), error((x + y) / 2, (x + y) / 2)])),
        },
        {
            "dimensions": list(config.dimensions),
            "density": list(config.densities),
            "levels": list(LEVELS),
            "width": widths,
            "linear": ["keep one", "keep the mean"],
        },
    )


def _learned(m, config) -> tuple[np.ndarray, np.ndarray]:
    """For each density how many features have a norm above 1/2, and the sum of all squared norms."""
    p, key = np.array(config.densities), draws.key_of(config.seed)
    models = ensemble(lambda key: ReluOutput.init(config.features, m, key=key), members=len(p), key=key)
    losses = grid.each(lambda p: Sampled(Independent(p, n_features=config.features), 256), p)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, config.steps))
    W = fit(models, losses, own_loss=True, steps=config.steps, key=key, optimizer=optimizer).models.W
    return np.asarray(jax.vmap(measures.n_represented)(W)), np.asarray((W**2).sum(axis=(1, 2)), float)


def constant(data: xr.Dataset) -> xr.DataArray:
    """Features learned, `|W|^2`, over `m / (-p log p)`; NaN where most of all features are learned."""
    bound = theory.learned_features_bound(10**9, data.dimensions.values[:, None] + 0.0, data.density.values)
    return (data.total / bound).where((data.total < FULL * data.n_features) & (data.total > 0))


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11, 8)
    (count, share), (over, compression) = fig.subplots(2, 2)
    m, p, n = data.dimensions.values, data.density.values, int(data.n_features)
    for color, density in zip(plot.SETS, p, strict=False):
        one = data.total.sel(density=density).values
        bound = theory.learned_features_bound(n, m.astype(float), density)
        count.plot(m, one, "o-", ms=4, color=color, label=f"{density:g}")
        count.plot(m, bound, ":", lw=1, color=color)
    count.plot([], [], ":", color=plot.INK, lw=1, label="m / (−p log p)")
    count.axhline(n, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    count.set(xscale="log", yscale="log", xlabel="hidden dimensions m", ylabel="features learned, |W|²")
    count.set_xticks(m, m)
    count.set_yticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
    count.minorticks_off()
    count.set_title("in proportion to the dimensions (dashed: all)")
    count.legend(title="density p", loc="upper left", fontsize=7, ncols=2)

    fine = np.geomspace(p.min(), p.max(), 100)
    share.plot(1 / fine, theory.learned_features_bound(10**9, 1.0, fine), ":", color=plot.INK, lw=1.2)
    share.plot([], [], ":", color=plot.INK, lw=1.2, label="1 / (−p log p)")
    constants = constant(data)
    for color, size in zip(plot.SETS, m, strict=False):
        one, c = data.total.sel(dimensions=size).values / size, constants.sel(dimensions=size).values
        there = np.isfinite(c)
        share.plot(1 / p, one, "-", color=color, lw=1, label=f"m = {size}")
        share.plot(1 / p[there], one[there], "o", ms=5, color=color)
        share.plot(1 / p[~there], one[~there], "o", ms=5, mfc="white", color=color)
        over.plot(1 / p[there], c[there], "o-", ms=5, color=color, label=f"m = {size}")
    share.set(ylabel="features per dimension, 1/D*", yscale="log")
    share.set_title(f"more where sparser (open: above {FULL:.0%} of all)")
    over.axhline(1, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    over.set(ylabel="features learned over m / (−p log p)", ylim=(0, 2))
    over.set_title("the bound's constant")
    sparsity = [f"{1 / density:.3g}" for density in p]
    for ax in (share, over):
        ax.set(xscale="log", xlabel="1 / (1 − S)")
        ax.set_xticks(1 / p, sparsity)
        ax.minorticks_off()
        ax.legend(loc="upper left")
    share.set_yticks([2, 3, 5, 10], ["2", "3", "5", "10"])

    color = plot.importance_colors(np.linspace(0, 1, len(LEVELS)))
    for shade, levels in zip(color, LEVELS, strict=True):
        error = data.error.sel(levels=levels)[1:]  # the first is a jump
        compression.plot(error.width, error, color=shade, label=f"Z = {levels}")
        compression.axhline(1 / (24 * levels**2), color=shade, lw=0.7, ls=":")
    compression.axhline(1 / 24, color=plot.RED, lw=1.2, ls="--", label="linear, 1/24")
    compression.plot([], [], ":", color=plot.INK, lw=0.7, label="jumps, 1/(24 Z²)")
    compression.set(xscale="log", yscale="log", ylim=(2e-4, 0.3))
    compression.set(xlabel="width ε of a step", ylabel="mean squared error")
    compression.set_title("two numbers in one, by Z steps")
    compression.legend(loc="upper left", ncols=3)
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    m, p = data.dimensions.values, data.density.values
    constants = constant(data).values
    per_dimension = np.where(np.isfinite(constants), data.total.values / m[:, None], np.nan)
    exponents = []
    for total, there in zip(data.total.values.T, np.isfinite(constants).T, strict=True):
        if there.sum() >= 2:
            exponents.append(np.polyfit(np.log(m[there]), np.log(total[there]), 1)[0])
    known = np.isfinite(constants).any()
    spread = np.nanmax(constants) / np.nanmin(constants) if known else np.nan
    rises = [np.nanmax(row) / np.nanmin(row) if np.isfinite(row).any() else np.nan for row in per_dimension]
    order = np.argsort(-p)
    steps = np.diff(per_dimension[:, order], axis=1)
    error, width = data.error, data.width.values
    steep = error.isel(width=0).values * 24 * np.array(LEVELS) ** 2

    def error_at(here):
        return np.exp([np.interp(np.log(here), np.log(width[1:]), np.log(row[1:])) for row in error.values])

    at = np.stack([error_at(here) for here in (0.003, 0.01, 0.03)], axis=1)
    return [
        Claim(
            "proportional", "The number of features learned is in proportion to the dimensions", SECTION,
            about(1, 0.35), exponents, what="exponent of m, at each density",
            source="the bound is linear in m; few dimensions, as in the small version, have up to 1.26 ± 0.02",
        ),
        Claim(
            "sparser-more", "The sparser the features, the more are learned", SECTION, at_least(0),
            steps[np.isfinite(steps)], what="rise of features per dimension, from density to density",
            source="the bound: -p log p falls for p < 1/e",
        ),
        Claim(
            "constant", "The bound's constant hardly depends on density and dimensions", SECTION, at_most(2),
            spread, what="largest over smallest features learned · (−p log p) / m", source="ours: a factor of 2",
        ),
        Claim(
            "not-constant", "The number of features per dimension itself depends on density much more", "ours",
            at_least(2), np.nanmax(rises) if known else np.nan, what="largest over smallest at one m",
            source="the bound's own range",
        ),
        Claim(
            "superposed", "At all these densities there is superposition", SECTION, at_least(1.5),
            (data.total.values / m[:, None]).ravel(), what="features per dimension", source="1/D* above 1, below density 1/2",
        ),
        Claim(
            "counted", "Features longer than 1/2 are as many as the squared norms say", "ours", about(1, 0.3),
            (data.learned / data.total).values[np.isfinite(constants)], what="their ratio",
            source="most features are learned or not at all",
        ),
        Claim(
            "linear", "One linear dimension holds one of two numbers, or their mean, equally badly", SECTION,
            about(1, 1e-3), data.linear_error.values * 24, what="mean squared error · 24", source="integrals",
        ),
        Claim(
            "steep", "With jumps, one number holds two, better the more levels there are", SECTION, about(1, 0.02),
            steep, what="mean squared error · 24 Z²", source="the error of a number within a level",
        ),
        Claim(
            "beats-linear", "Three levels with steps of width 0.1 beat everything linear", SECTION, at_most(1 / 24),
            error_at(0.1)[LEVELS.index(3)], what="mean squared error", number="{:.4f}", source="the paper; linear is 1/24",
        ),
        Claim(
            "wider-worse", "The wider the steps, the larger the error", SECTION, at_least(1),
            (at[:, 1:] / at[:, :-1]).ravel(), what="errors at widths 0.03 over 0.01 over 0.003, for all levels",
            source="the paper",
        ),
        Claim(
            "steep-needed", "Without steep steps many levels are worse than few", "ours", at_least(1.5),
            error_at(0.07)[LEVELS.index(10)] / error_at(0.07)[LEVELS.index(3)],
            what="error of 10 levels over that of 3, steps of width 0.07", source="10 such steps fill 70%",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    known = constant(data).values
    known = known[np.isfinite(known)]
    told = f"{known.min():.2f} to {known.max():.2f}" if known.size else "none that can be told"
    return [
        f"The bound leaves a constant open; measured it is {told}. Features are counted as |W|², the number that "
        f"D* goes by; where they are more than {FULL:.0%} of all features, those that are left are too few to tell.",
        "Each point is one model from one start, trained on samples. Three times as many steps add up to 4%. With twice as "
        "many features at density 0.3, in 8 dimensions, training stores none in full in as many steps.",
        "The paper does not say how its decoder reads the two numbers; ours uses the same steps once more.",
    ]
