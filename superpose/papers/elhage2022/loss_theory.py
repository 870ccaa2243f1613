"""The loss taken apart: why a linear model has no superposition, and why sparse ReLU models have it.

The loss of a linear model is what it misses of each feature plus the interference between features, and
the second always costs at least what the first gains. With a ReLU the loss is a sum over how many features
are active at once: the sparser they are, the more the terms with one feature alone decide, and in these
all negative interference is free. So features push each other apart, like charges on a sphere.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, from_section
from superpose.features import Independent
from superpose.losses import Active, Population
from superpose.models import Linear, ReluOutput
from superpose.train import ensemble, member, minimize

SECTION = "Mathematical Understanding"
TAKES = 30
QUICK = {"densities": 7, "members": 8, "starts": 12}

N, M = 5, 2
FIXED = 0.1
MOST = 9


@dataclass(frozen=True)
class Config:
    densities: int = 13
    """How many densities, from 1 to 1/1000, models are trained at."""
    members: int = 30
    """Models at each density, from different initial weights; the best is shown."""
    starts: int = 40
    """Starts for each arrangement of points on a sphere; that of least energy is shown."""
    decay: float = 0.9
    """Feature i has importance decay^i."""
    samples: int = 1_000_000
    """Samples by which the expansion is checked, at each density."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, densities=4, members=1, starts=1, samples=1000)
        settings.shares(self, "decay")

    @property
    def cost(self) -> costs.Cost:
        sampled = costs.evaluating(10 * self.densities, self.samples * N)
        models = self.members * (1 + self.densities) + 3 * MOST * self.starts
        return costs.minimizing(models, weights=3 * MOST) + sampled

    @property
    def importance(self) -> np.ndarray:
        return self.decay ** np.arange(N)


class Energy(eqx.Module):
    """The energy of the points on a sphere that are `there`, in those of 3 dimensions that are `open`."""

    open: Float[Array, " hidden"]
    there: Float[Array, " feature"]

    def unit(self, V):
        V = V * self.open[:, None]
        return V / jnp.sqrt((V**2).sum(axis=0)) * self.there

    def __call__(self, V: Float[Array, "hidden feature"]) -> Float[Array, ""]:
        return theory.thomson_energy(self.unit(V))


def run(config: Config) -> xr.Dataset:
    importance = jnp.asarray(config.importance, jnp.float64)
    init = ensemble(lambda key: Linear.init(N, M, key=key), members=config.members, key=config.seed)
    linear = minimize(
        init.W, lambda W: jnp.asarray(sum(terms.sum() for terms in theory.linear_terms(W, importance)))
    )
    linear_W = linear.models[linear.loss.argmin()]

    density = np.logspace(0, -3, config.densities)
    solved = grid.solved(
        lambda key: ReluOutput.init(N, M, key=key),
        lambda density: Population(Independent(density, importance)),
        {"density": density},
        members=config.members,
        key=config.seed,
    )
    relu = grid.best(solved).drop_vars("member")
    terms, lone = _expanded(relu, density, importance)
    # One model at all densities: what is left of its loss as features get sparser.
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
        **_thomson(config),
    )


def _fixed(density: np.ndarray) -> int:
    """Which of the densities the one model is trained at whose loss is taken apart at all of them."""
    return int(np.abs(np.log(density / FIXED)).argmin())


def _expanded(models: xr.Dataset, density: np.ndarray, importance) -> tuple[np.ndarray, np.ndarray]:
    """Of models each at a density: what each number of active features adds to the loss, and L_1 by itself."""
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


def _thomson(config: Config) -> dict:
    """The least energy of so many points in so many dimensions, and where they are."""
    dimensions, points, start = grid.points([1, 2, 3], range(1, MOST + 1), range(config.starts))
    open_ = (np.arange(3) < dimensions[:, None]).astype(float)
    there = (np.arange(MOST) < points[:, None]).astype(float)
    V = np.random.default_rng(config.seed).normal(size=(config.starts, 3, MOST))[start]
    energy = grid.each(Energy, open_, there)
    solved = minimize(V, energy, own_loss=True)
    least = solved.loss.reshape(-1, config.starts).argmin(axis=1) + np.arange(0, len(V), config.starts)
    V = jnp.asarray(solved.models[least], jnp.float64)
    unit = np.asarray(jax.vmap(Energy.unit)(member(energy, least), V))
    # Points that are not there have no length, and so no importance.
    one_active = [theory.one_active_loss(W, np.zeros(MOST), (W**2).sum(0)).sum() for W in unit]
    dims = "dimensions", "points"
    return {
        "energy": (dims, solved.loss[least].reshape(3, MOST)),
        "energy_W": ((*dims, "axis", "point"), unit.reshape(3, MOST, 3, MOST)),
        "energy_loss": (dims, np.reshape(one_active, (3, MOST))),
        "dimensions": [1, 2, 3],
        "points": range(1, MOST + 1),
    }


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also what is compared with the terms, and `at_most_one`, the share of the loss without two active features.

    That is of the model trained at each density, and of the `fixed` one. Along `model`, with the linear model first,
    are `squared_norm`, of features, and `missed`, the squared length of `diag(sqrt(I)) (Id - W^T W)`. `least` is
    the least loss of a linear model, `silent` that of ReLU models without any input, `polygon` the energy of
    regular polygons.
    """
    W = np.concatenate([data.linear_W.values[None], data.W.values])
    gram = xr.DataArray(np.swapaxes(W, 1, 2) @ W, dims=("model", "feature", "other"))
    terms = xr.concat([data.terms, data.fixed_terms], "of").assign_coords(of=["trained", "fixed"])
    turns = 2 * np.pi * np.arange(MOST) / data.points.values[:, None]
    circles = np.array([np.cos(turns), np.sin(turns)])
    polygon = [float(theory.thomson_energy(circles[:, n - 1, :n])) for n in data.points.values]
    return data.assign(
        squared_norm=(("model", "feature"), np.diagonal(gram, axis1=1, axis2=2)),
        missed=(data.importance * (np.eye(N) - gram) ** 2).sum(("feature", "other")),
        least=data.importance[M:].sum(),
        silent=(data.importance * np.maximum(data.b, 0) ** 2).sum("feature"),
        at_most_one=terms.sel(active=[0, 1]).sum("active") / terms.sum("active"),
        polygon=("points", polygon),
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11, 8)
    (linear, shares), (ratio, energy) = fig.subplots(2, 2)
    p = data.density.values
    every = -(-len(p) // 8)  # so many densities a label, as more than 8 would overlap
    names = ["linear", *("" if at % every else f"{density:.2g}" for at, density in enumerate(p))]
    across = np.array([0, *(1.5 + np.arange(len(p)))])
    missed, interference = data.benefit.sum("feature"), data.interference.sum("feature")
    linear.bar(across, missed, color=plot.BLUE, label="feature benefit missed")
    linear.bar(across, interference, bottom=missed, color=plot.RED, label="interference")
    least = float(data.least)
    linear.axhline(least, color=plot.INK, lw=0.8, ls=(0, (3, 3)), label=f"theory: the least is {least:.2f}")
    linear.set_xticks(across, names, fontsize=7)
    linear.set_xlabel("linear model, then the ReLU models by density")
    linear.set_ylabel("loss that a linear output would have")
    linear.set_title("what superposition would cost a linear model")
    linear.legend(loc="upper left")

    share = (data.terms / data.terms.sum("active")).values.T
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, N + 1))
    for k, color in enumerate(colors):
        shares.bar(across[1:], share[k], bottom=share[:k].sum(axis=0), color=color, label=f"{k} active")
    shares.set_xticks(across[1:], names[1:], fontsize=7)
    shares.set(xlabel="density", ylabel="share of the loss", ylim=(0, 1))
    shares.set_title("which samples the loss comes from, ReLU models")
    under = {"loc": "lower center", "bbox_to_anchor": (0.5, -0.3)}
    shares.legend(ncols=N + 1, handlelength=1, columnspacing=1, **under)

    trained, fixed = 1 - data.at_most_one.values
    one_model = f"one model, trained at density {p[_fixed(p)]:.2g}"
    ratio.plot(p, trained, "o-", ms=4, color=plot.BLUE, label="a model trained at each density")
    ratio.plot(p, fixed, "s--", ms=4, color=plot.RED, label=one_model)
    ratio.plot(p, np.minimum(1, p / p[-1] * fixed[-1]), ":", color=plot.INK, label="in proportion to density")
    ratio.set(xscale="log", yscale="log", xlabel="density", ylim=(0.01, 1.5))
    ratio.set_ylabel("share of the loss with two or more active")
    ratio.set_title("sparse: what is left are the samples with one feature")
    ratio.legend(loc="lower right")
    _energies(energy, data)
    return fig


def _energies(ax: Axes, data: xr.Dataset) -> None:
    for color, m in zip(plot.SETS, data.dimensions.values, strict=False):
        label = f"{m} dimension{'s' * int(m > 1)}"
        ax.plot(data.points, data.energy.sel(dimensions=m), "o-", ms=4, color=color, label=label)
        if m == 2:
            ax.plot(data.points[2:], data.polygon[2:], "x", ms=7, color=plot.INK, label="regular polygons")
        ax.axvline(2 * m + 0.03 * (m - 2), color=color, lw=0.8, ls=(0, (3, 3)), zorder=0)
    ax.set(xlabel="features of length 1 (dashed: twice the dimensions)", ylabel="energy", ylim=(-0.3, 12))
    ax.set_title("least interference that a ReLU does not remove")
    ax.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="none")


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
    room = 2 * data.dimensions
    unit = abs((data.energy_W**2).sum(("axis", "point")) - data.points) < 1e-4
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
        says("energy", "Without bias, at equal importance and length 1, the term of one active feature is Thomson's energy",
             "difference from a third of it", abs(data.energy_loss.where(unit) - data.energy / 3), at_most(1e-12),
             number="{:.0e}"),
        ours("energy-free", "Two features a dimension, antipodal, have no energy",
             "", data.energy.values[data.points.values <= room.values[:, None]], at_most(1e-6),
             source="theory: negative interference is free", number="{:.0e}"),
        ours("energy-more", "One feature more than two a dimension has energy: it costs positive interference",
             "energy in 1, 2, 3 dimensions", data.energy.sel(points=room + 1), at_least(0.5),
             source="theory: no more directions have angles of 90° or more"),
        ours("energy-pentagon", "Five features in two dimensions repel each other to a regular pentagon",
             "", data.energy.sel(dimensions=2, points=5), about(data.polygon.sel(points=5), 1e-3),
             source="the energy of a pentagon"),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    return [
        f"The models have {N} features in {M} dimensions, of importance 1, 0.9, ...; the best of many starts is shown. "
        "The paper gives the theory only, without a figure.",
        "The linear terms are for features of mean 0 and variance 1, as in the theory that the paper follows; "
        "with the paper's own features and a bias they are scaled by the variance.",
    ]
