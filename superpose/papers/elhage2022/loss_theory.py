"""The loss taken apart: why a linear model has no superposition, and why sparse ReLU models have it.

The loss of a linear model is what it misses of each feature plus the interference between features, and
the second always costs at least what the first gains. With a ReLU the loss is a sum over how many features
are active at once: the sparser they are, the more the terms with one feature alone decide, and in these
all negative interference is free.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, sweep, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, from_section
from superpose.features import Independent
from superpose.losses import Active, Population
from superpose.models import Linear, ReluOutput
from superpose.train import ensemble, minimize

SECTION = "Mathematical Understanding"
TAKES = 24
QUICK = {"densities": 7, "members": 8}

N, M = 5, 2
FIXED = 0.1
TICKS = (1, 0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Config:
    densities: int = 13
    """How many densities, from 1 to 1/1000, models are trained at."""
    members: int = 30
    """Models at each density, from different initial weights; the best is shown."""
    decay: float = 0.9
    """Feature i has importance decay^i."""
    samples: int = 1_000_000
    """Samples by which the expansion is checked, at each density."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, densities=4, members=1, samples=1000)
        settings.shares(self, "decay")

    @property
    def cost(self) -> costs.Cost:
        sampled = costs.evaluating(10 * self.densities, self.samples * N)
        return costs.minimizing(self.members * (1 + self.densities), weights=(M + 1) * N) + sampled

    @property
    def importance(self) -> np.ndarray:
        return self.decay ** np.arange(N)


def model(key):
    return ReluOutput.init(N, M, key=key)


def loss(density, decay=0.9):
    return Population(Independent(density, decay ** jnp.arange(N)))


AXES = {"density": "geomspace(1,0.001,13)"}
cell = sweep.solved(model, loss)


def run(config: Config) -> xr.Dataset:
    importance = jnp.asarray(config.importance, jnp.float64)
    init = ensemble(lambda key: Linear.init(N, M, key=key), members=config.members, key=config.seed)
    linear = minimize(
        init.W, lambda W: jnp.asarray(sum(terms.sum() for terms in theory.linear_terms(W, importance)))
    )
    linear_W = linear.models[linear.loss.argmin()]

    density = np.logspace(0, -3, config.densities)
    decay = {"decay": config.decay}
    relu = sweep.gathered(cell, {"density": density}, fixed=decay, seeds=config.members, seed=config.seed)
    terms, lone = _expanded(relu, density, importance)
    # One model at all densities: where its loss still comes from as features get sparser.
    fixed, _ = _expanded(relu.isel(density=[_fixed(density)] * config.densities), density, importance)
    sampled, error = _sampled(relu, config)
    every = np.array([theory.linear_terms(W, importance) for W in (linear_W, *relu.W.values)])
    one_active = [
        theory.one_active_loss(W, b, config.importance)
        for W, b in zip(relu.W.values, relu.b.values, strict=True)
    ]
    return relu[["W", "b", "loss"]].assign(
        linear_W=(("hidden", "feature"), linear_W),
        linear_loss=linear.loss.min(),
        benefit=(("model", "feature"), every[:, 0]),
        interference=(("model", "feature"), every[:, 1]),
        terms=(("density", "active"), terms),
        fixed_terms=(("density", "active"), fixed),
        one_active=(("density", "feature"), np.array(one_active)),
        one_active_exact=("density", lone),
        sampled=("density", sampled),
        error=("density", error),
        importance=("feature", config.importance),
        active=range(N + 1),
    )


def _fixed(density: np.ndarray) -> int:
    """Which density is that of the one model whose loss is taken apart at all of them."""
    return int(np.abs(np.log(density / FIXED)).argmin())


def _expanded(models: xr.Dataset, density: np.ndarray, importance) -> tuple[np.ndarray, np.ndarray]:
    """For models at one density each: what each number of active features adds to the loss, and L_1 by itself."""
    W, b = (jnp.asarray(leaf.values, jnp.float64) for leaf in (models.W, models.b))
    networks = ReluOutput(W, b)
    chance, given = _terms(grid.each(lambda p: Independent(p, importance), density), networks)
    return np.asarray(chance * given), np.asarray(given[:, 1])


@jax.jit
def _terms(worlds, models):
    def each(world, model):
        terms = [Active(world, k) for k in range(N + 1)]
        return jnp.stack([term.chance for term in terms]), jnp.stack([term(model) for term in terms])

    return jax.lax.map(lambda pair: each(*pair), (worlds, models))


def _sampled(relu: xr.Dataset, config: Config) -> np.ndarray:
    """The mean loss of samples of each model, and its standard error."""
    rng, means = np.random.default_rng(config.seed), []
    for W, b, p in zip(relu.W.values, relu.b.values, relu.density.values, strict=True):
        x = rng.uniform(size=(N, config.samples)) * (rng.uniform(size=(N, config.samples)) < p)
        error = config.importance @ (x - np.maximum(W.T @ (W @ x) + b[:, None], 0)) ** 2
        means.append((error.mean(), error.std() / np.sqrt(config.samples)))
    return np.array(means).T


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also what is compared with the terms, and `at_most_one`, the share of the loss without two active features.

    That share is for the model trained at each density, and for the `fixed` one. Along `model`, the linear model first,
    are `squared_norm`, of features, and `missed`, the squared length of `diag(sqrt(I)) (Id - W^T W)`. `least` is
    the least loss of a linear model, `silent` that of ReLU models without any input.
    """
    W = np.concatenate([data.linear_W.values[None], data.W.values])
    gram = xr.DataArray(np.swapaxes(W, 1, 2) @ W, dims=("model", "feature", "other"))
    terms = xr.concat([data.terms, data.fixed_terms], "of").assign_coords(of=["trained", "fixed"])
    return data.assign(
        squared_norm=(("model", "feature"), np.diagonal(gram, axis1=1, axis2=2)),
        missed=(data.importance * (np.eye(N) - gram) ** 2).sum(("feature", "other")),
        least=data.importance[M:].sum(),
        silent=(data.importance * np.maximum(data.b, 0) ** 2).sum("feature"),
        at_most_one=terms.sel(active=[0, 1]).sum("active") / terms.sum("active"),
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    p = data.density.values
    fig = plot.figure(12.5, 4.4)
    linear, shares, ratio = fig.subplots(1, 3)
    across = np.array([p[0] * (p[0] / p[1]) ** 2, *p])  # the linear model stands beside the others
    parts = {
        "feature benefit missed": (plot.BLUE, data.benefit.sum("feature")),
        "interference": (plot.RED, data.interference.sum("feature")),
    }
    _stack(linear, across, parts)
    linear.set_xticks([across[0], *TICKS], ["linear", *(f"{tick:g}" for tick in TICKS)])
    least = float(data.least)
    linear.axhline(least, color=plot.INK, lw=0.8, ls=(0, (3, 3)), label=f"theory: the least is {least:.2f}")
    linear.set_xlabel("linear model, then the ReLU models by density")
    linear.set_ylabel("loss that a linear output would have")
    linear.set_title("what superposition would cost\na linear model")
    linear.legend(loc="upper left")

    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, N + 1))
    share = (data.terms / data.terms.sum("active")).transpose("active", ...)
    _stack(shares, p, {f"{k} active": each for k, each in enumerate(zip(colors, share, strict=True))})
    shares.set(xlabel="density", ylabel="share of the loss", ylim=(0, 1))
    shares.set_title("which samples the loss comes from,\nReLU models")
    shares.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)

    trained, fixed = 1 - data.at_most_one.values
    one_model = f"one model, trained at density {p[_fixed(p)]:.2g}"
    ratio.plot(p, trained, "o-", ms=4, color=plot.BLUE, label="a model trained at each density")
    ratio.plot(p, fixed, "s--", ms=4, color=plot.RED, label=one_model)
    ratio.plot(p, np.minimum(1, p / p[-1] * fixed[-1]), ":", color=plot.INK, label="in proportion to density")
    plot.log_axis(ratio.xaxis, TICKS)
    plot.log_axis(ratio.yaxis, [0.01, 0.1, 1])
    ratio.set(xlim=shares.get_xlim(), ylim=(0.01, 1.5), xlabel="density")
    ratio.set_ylabel("share of the loss with two or more active")
    ratio.set_title("sparse: what is left are\nthe samples with one feature")
    ratio.legend(loc="lower left")
    return fig


def _stack(ax: Axes, density: np.ndarray, parts: dict[str, tuple]) -> None:
    """A bar for each density, the sparser the further right: a stack of parts by label, each with its color."""
    half, base = np.sqrt(density[-2] / density[-1]), np.zeros(len(density))
    left, right = density * half, density / half
    for label, (color, high) in parts.items():
        look: dict[str, Any] = {"color": color, "ec": "white", "lw": 0.4, "label": label}
        ax.bar(left, high, right - left, bottom=base, align="edge", **look)
        base = base + high.values
    plot.log_axis(ax.xaxis, TICKS)
    ax.set_xlim(left[0], right[-1])


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    p, total = data.density, data.terms.sum("active")
    linear = (data.benefit + data.interference).sum("feature")
    best = data.squared_norm[0]
    represented = (data.squared_norm[1:] > 0.25).sum("feature")
    trained, sparsest = data.at_most_one.sel(of="trained"), data.at_most_one[:, -1]
    rise = np.diff(trained)[(p[:-1].values < 0.5) & (np.diff(represented) == 0)]
    exponent = (np.log(1 - data.at_most_one).diff("density") / np.log(p).diff("density"))[:, -1]
    silent = (1 - p) ** N * data.silent
    lone = data.one_active.mean("feature")[p < 1] / data.one_active_exact[p < 1]
    says, ours = from_section(SECTION, "theory"), from_section("ours", "theory")
    # fmt: off
    return [
        says("linear-terms", "The two terms of a linear model's loss are the squared length of diag(√I)(Id − WᵀW)",
             "relative difference", abs(linear / data.missed - 1), at_most(1e-12), source="algebra", number="{:.0e}"),
        says("linear-least", "A linear model's least loss is the importance of all but the most important features",
             "", data.linear_loss, about(data.least, 1e-6), number="{:.6f}"),
        says("linear-top", "The linear model stores as many features as it has dimensions, the most important",
             "squared lengths", best, about([1.0] * M + [0.0] * (N - M), 1e-3)),
        says("linear-none", "The linear model has no interference: superposition is never worth its cost",
             "", data.interference[0].sum().where((best[:M] > 0.5).all()), at_most(1e-6), number="{:.0e}"),
        says("linear-worse", "Where ReLU models store all features, a linear output would make it a bad bargain",
             "loss over the least of a linear model", linear[1:][represented.values == N] / data.least, at_least(2),
             source="ours: twice the least"),
        says("expansion", "The terms for all numbers of active features add up to the exact loss",
             "relative difference", abs(total / data.loss - 1), at_most(1e-9),
             source="the sum over all sets of active features", number="{:.0e}"),
        says("sampled", "The terms for all numbers of active features add up to the mean loss of samples",
             "difference in standard errors", abs(data.sampled - total) / data.error, at_most(5), source="chance"),
        says("none-active", "The term of silent samples is that of the positive biases",
             "difference", abs(data.terms.sel(active=0) - silent), at_most(1e-12),
             source="L₀ = Σ Iᵢ ReLU(bᵢ)²; the paper leaves Iᵢ out", number="{:.0e}"),
        says("one-active", "The term of one active feature is the paper's sum of two integrals",
             "relative difference", abs(lone - 1), at_most(1e-9),
             source="closed form against the exact loss", number="{:.0e}"),
        says("one-dominates",
             "The sparser the features, the more of the loss comes from samples with at most one active feature",
             "rise from one density to the next, where no more features are stored", rise, at_least(0)),
        says("one-left", "In the sparse limit the loss comes only from samples with at most one active feature",
             "share at density 0.001, of the model trained there and of that trained at 0.1", sparsest, between(0.95, 1.0),
             source="theory: it tends to 1", number="{:.3f}"),
        ours("one-rate", "What samples with two or more active features add to the loss vanishes in proportion to density",
             "exponent of density at the sparse end, of the same models", exponent, about(1, 0.1),
             source="theory: two active among one active"),
        ours("dense-all", "Where features are dense, all are active at once, and samples with at most one add nothing",
             "", trained[0], at_most(1e-9)),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    return [
        f"The models have {N} features in {M} dimensions, of importance 1, 0.9, ...; the best of many starts is shown. "
        "The paper gives the theory only, without a figure.",
        "The linear terms are for features of mean 0 and variance 1, as in the theory that the paper follows; "
        "with the paper's own features and a bias they are scaled by the variance.",
    ]
