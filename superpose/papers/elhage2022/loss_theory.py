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
from matplotlib.figure import Figure

from superpose import costs, draws, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between
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


class LinearLoss(eqx.Module):
    """What `theory.linear_terms` add up to."""

    importance: Float[Array, " feature"]

    def __call__(self, W: Float[Array, "hidden feature"]) -> Float[Array, ""]:
        benefit, interference = theory.linear_terms(W, self.importance)
        return benefit.sum() + interference.sum()


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
    key = draws.key_of(config.seed)
    importance = jnp.asarray(config.importance, jnp.float64)
    init = ensemble(lambda key: Linear.init(N, M, key=key), members=config.members, key=key)
    linear = minimize(init.W, LinearLoss(importance))
    best = linear.models[linear.loss.argmin()]

    density = np.logspace(0, -3, config.densities)
    solved = grid.solved(
        lambda key: ReluOutput.init(N, M, key=key),
        lambda density: Population(Independent(density, importance)),
        {"density": density}, members=config.members, key=key,
    )  # fmt: skip
    relu = grid.best(solved)
    terms, lone = _expanded(relu.W.values, relu.b.values, density, importance)
    # One model at all densities: what is left of its loss as features get sparser.
    at = int(np.abs(np.log(density / FIXED)).argmin())
    same = [np.repeat(values[at : at + 1], len(density), axis=0) for values in (relu.W.values, relu.b.values)]
    fixed, _ = _expanded(*same, density, importance)
    sampled, error = _sampled(relu, config)

    taken = [theory.linear_terms(W, importance) for W in (best, *relu.W.values)]
    return xr.Dataset(
        {
            "linear_W": (("hidden", "feature"), best),
            "linear_loss": linear.loss.min(),
            "benefit": (("model", "feature"), np.array([benefit for benefit, _ in taken])),
            "interference": (("model", "feature"), np.array([interference for _, interference in taken])),
            "W": relu.W,
            "b": relu.b,
            "loss": relu.loss,
            "terms": (("density", "active"), terms),
            "one_active": (("density", "feature"), np.array([
                theory.one_active_loss(W, b, config.importance)
                for W, b in zip(relu.W.values, relu.b.values, strict=True)
            ])),
            "one_active_exact": ("density", lone),
            "fixed_terms": (("density", "active"), fixed),
            "sampled": ("density", sampled),
            "error": ("density", error),
            "importance": ("feature", config.importance),
            **_thomson(config),
        },
        {"density": density, "active": range(N + 1), "dimensions": [1, 2, 3], "points": range(1, MOST + 1)},
    ).reset_coords("member", drop=True)  # fmt: skip


def _expanded(W, b, density, importance) -> tuple[np.ndarray, np.ndarray]:
    """Of models each at a density: what each number of active features adds to the loss, and L_1 by itself."""
    models = ReluOutput(*(jnp.asarray(leaf, jnp.float64) for leaf in (W, b)))
    chance, given = _terms(grid.each(lambda p: Independent(p, importance), density), models)
    return np.asarray(chance * given), np.asarray(given[:, 1])


@jax.jit
def _terms(worlds, models):
    def one(world, model):
        terms = [Active(world, k) for k in range(N + 1)]
        return jnp.stack([term.chance for term in terms]), jnp.stack([term(model) for term in terms])

    return jax.lax.map(lambda each: one(*each), (worlds, models))


def _sampled(relu, config) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss of samples of each model, and its standard error."""
    rng = np.random.default_rng(config.seed)
    found = []
    for W, b, p in zip(relu.W.values, relu.b.values, relu.density.values, strict=True):
        x = rng.uniform(size=(N, config.samples)) * (rng.uniform(size=(N, config.samples)) < p)
        error = config.importance @ (x - np.maximum(W.T @ (W @ x) + b[:, None], 0)) ** 2
        found.append((error.mean(), error.std() / np.sqrt(config.samples)))
    return np.array(found)[:, 0], np.array(found)[:, 1]


def _thomson(config) -> dict:
    """The least energy of so many points in so many dimensions, and where they are."""
    dimensions, points, start = grid.points([1, 2, 3], range(1, MOST + 1), range(config.starts))
    open_ = (np.arange(3) < dimensions[:, None]).astype(float)
    there = (np.arange(MOST) < points[:, None]).astype(float)
    V = np.random.default_rng(config.seed).normal(size=(config.starts, 3, MOST))[start]
    energy = grid.each(Energy, open_, there)
    found = minimize(V, energy, own_loss=True)
    shape = 3, MOST, config.starts
    best = found.loss.reshape(shape).argmin(axis=2) + config.starts * np.arange(3 * MOST).reshape(3, MOST)
    unit = jax.vmap(Energy.unit)(
        member(energy, best.ravel()), jnp.asarray(found.models[best.ravel()], jnp.float64)
    )
    lone = [theory.one_active_loss(W, np.zeros(MOST), (W**2).sum(0)).sum() for W in np.asarray(unit)]
    return {
        "energy": (("dimensions", "points"), found.loss[best]),
        "energy_W": (("dimensions", "points", "axis", "point"), np.asarray(unit).reshape(3, MOST, 3, MOST)),
        "energy_loss": (("dimensions", "points"), np.reshape(lone, (3, MOST))),
    }


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(11, 8)
    (linear, shares), (ratio, energy) = fig.subplots(2, 2)
    every = -(-len(data.density) // 8)  # so many densities a label, as more than 8 would overlap
    names = ["linear", *("" if at % every else f"{p:.2g}" for at, p in enumerate(data.density.values))]
    place = np.array([0, *(1.5 + np.arange(len(names) - 1))])
    interference, missed = (data[of].sum("feature").values for of in ("interference", "benefit"))
    linear.bar(place, missed, color=plot.BLUE, label="feature benefit missed")
    linear.bar(place, interference, bottom=missed, color=plot.RED, label="interference")
    least = _least(data)
    linear.axhline(least, color=plot.INK, lw=0.8, ls=(0, (3, 3)), label=f"theory: the least is {least:.2f}")
    linear.set_xticks(place, names, fontsize=7)
    linear.set(
        xlabel="linear model, then the ReLU models by density", ylabel="loss that a linear output would have"
    )
    linear.set_title("what superposition would cost a linear model")
    linear.legend(loc="upper left")

    share = (data.terms / data.terms.sum("active")).values
    color = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, N + 1))
    base = np.zeros(len(data.density))
    for k in range(N + 1):
        shares.bar(place[1:], share[:, k], bottom=base, color=color[k], label=f"{k} active")
        base += share[:, k]
    shares.set_xticks(place[1:], names[1:], fontsize=7)
    shares.set(xlabel="density", ylabel="share of the loss", ylim=(0, 1))
    shares.set_title("which samples the loss comes from, ReLU models")
    shares.legend(
        ncols=N + 1, loc="lower center", bbox_to_anchor=(0.5, -0.3), handlelength=1, columnspacing=1
    )

    for of, style, label in (
        ("terms", "o-", "a model trained at each density"),
        ("fixed_terms", "s--", f"one model, trained at density {data.density.values[_fixed(data)]:.2g}"),
    ):
        rest = 1 - _dominance(data[of])
        ratio.plot(
            data.density, rest, style, ms=4, label=label, color=plot.BLUE if of == "terms" else plot.RED
        )
    p = data.density.values
    ratio.plot(p, np.minimum(1, p / p[-1] * rest[-1]), ":", color=plot.INK, label="in proportion to density")
    ratio.set(xscale="log", yscale="log", xlabel="density", ylim=(0.01, 1.5))
    ratio.set_ylabel("share of the loss with two or more active")
    ratio.set_title("sparse: what is left are the samples with one feature")
    ratio.legend(loc="lower right")

    for color, (m, of) in zip(plot.SETS, data.energy.groupby("dimensions"), strict=False):
        values = of.values.ravel()
        energy.plot(data.points, values, "o-", ms=4, color=color, label=f"{m} dimension{'s' * int(m > 1)}")
        if m == 2:
            n = data.points.values[2:]
            energy.plot(n, [_polygon(k) for k in n], "x", ms=7, color=plot.INK, label="regular polygons")
        energy.axvline(2 * m + 0.03 * (m - 2), color=color, lw=0.8, ls=(0, (3, 3)), zorder=0)
    energy.set(xlabel="features of length 1 (dashed: twice the dimensions)", ylabel="energy", ylim=(-0.3, 12))
    energy.set_title("least interference that a ReLU does not remove")
    energy.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="none")
    return fig


def _least(data) -> float:
    return float(data.importance.values[M:].sum())


def _fixed(data) -> int:
    return int(np.abs(np.log(data.density.values / FIXED)).argmin())


def _dominance(terms) -> np.ndarray:
    """The share of the loss that comes from samples with no active feature or with one."""
    return (terms.sel(active=[0, 1]).sum("active") / terms.sum("active")).values


def _polygon(n) -> float:
    angle = 2 * np.pi * np.arange(n) / n
    return float(theory.thomson_energy(np.array([np.cos(angle), np.sin(angle)])))


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    importance, p = data.importance.values, data.density.values
    every = np.concatenate([data.linear_W.values[None], data.W.values])
    gram = np.swapaxes(every, 1, 2) @ every
    frobenius = (importance[:, None] * (np.eye(N) - gram) ** 2).sum(axis=(1, 2))
    linear = (data.benefit + data.interference).sum("feature").values
    top = np.diag(gram[0])
    stored = (np.diagonal(gram[1:], axis1=1, axis2=2) > 0.25).sum(axis=1)
    trained, same = _dominance(data.terms), _dominance(data.fixed_terms)
    within = data.energy.values[data.points.values <= 2 * data.dimensions.values[:, None]]
    beyond = data.energy.values[data.points.values == 2 * data.dimensions.values[:, None] + 1]
    lengths = (data.energy_W**2).sum("axis").values.sum(axis=2)
    right = np.where(np.isclose(lengths, data.points.values), data.energy_loss.values, np.nan)
    slopes = [np.diff(np.log(1 - share))[-1] / np.diff(np.log(p))[-1] for share in (trained, same)]
    silent = np.array([importance @ np.maximum(b, 0) ** 2 for b in data.b.values])
    chance = (1 - p) ** N
    at = int(data.points.values.tolist().index(5))
    return [
        Claim(
            "linear-terms", "The two terms are the squared length of diag(√I)(Id − WᵀW)", SECTION, at_most(1e-12),
            np.abs(linear / frobenius - 1), what="relative difference", number="{:.0e}", source="algebra",
        ),
        Claim(
            "linear-least", "A linear model's least loss is the importance of all but the most important features",
            SECTION, about(_least(data), 1e-6), data.linear_loss, number="{:.6f}", source="theory",
        ),
        Claim(
            "linear-top", "The linear model stores as many features as it has dimensions, the most important", SECTION,
            about([1.0] * M + [0.0] * (N - M), 1e-3), top, what="squared lengths", source="theory",
        ),
        Claim(
            "linear-none", "The linear model has no interference: superposition is never worth its cost", SECTION,
            at_most(1e-6), data.interference.values[0].sum() if top[:M].min() > 0.5 else np.nan, number="{:.0e}",
            source="theory",
        ),
        Claim(
            "linear-worse", "Where ReLU models store all features, a linear output would make it a bad bargain", SECTION,
            at_least(2), linear[1:][stored == N] / _least(data), what="loss over the least of a linear model",
            source="ours: twice the least",
        ),
        Claim(
            "expansion", "The terms for all numbers of active features add up to the exact loss", SECTION, at_most(1e-9),
            np.abs(data.terms.sum("active") / data.loss - 1), what="relative difference", number="{:.0e}",
            source="the sum over all sets of active features",
        ),
        Claim(
            "sampled", "They add up to the mean loss of samples", SECTION, at_most(5),
            (np.abs(data.sampled - data.terms.sum("active")) / data.error).values, what="difference in standard errors",
            source="chance",
        ),
        Claim(
            "none-active", "The term of silent samples is that of the positive biases", SECTION, at_most(1e-12),
            np.abs(data.terms.sel(active=0) - chance * silent), what="difference", number="{:.0e}",
            source="L₀ = Σ Iᵢ ReLU(bᵢ)²; the paper leaves Iᵢ out",
        ),
        Claim(
            "one-active", "The term of one active feature is the paper's sum of two integrals", SECTION, at_most(1e-9),
            np.abs(data.one_active.mean("feature") / data.one_active_exact - 1)[p < 1], what="relative difference",
            number="{:.0e}", source="closed form against the exact loss",
        ),
        Claim(
            "one-dominates", "The sparser, the more of the loss comes from samples with at most one active feature",
            SECTION, at_least(0), np.diff(trained)[(p[:-1] < 0.5) & (np.diff(stored) == 0)], source="theory",
            what="rise from one density to the next, where no more features are stored",
        ),
        Claim(
            "one-left", "In the sparse limit nothing else is left", SECTION, between(0.95, 1.0), [trained[-1], same[-1]],
            what="share at density 0.001, of the model trained there and of that trained at 0.1", number="{:.3f}",
            source="theory: it tends to 1",
        ),
        Claim(
            "one-rate", "What the others add vanishes in proportion to density", "ours", about(1, 0.1), slopes,
            what="exponent of density at the sparse end, of the same models", source="theory: two active among one active",
        ),
        Claim(
            "dense-all", "Dense, all features are active at once, and the share is nothing", "ours", at_most(1e-9),
            trained[0], source="theory",
        ),
        Claim(
            "energy", "Without bias, at equal importance and length 1, that term is Thomson's energy", SECTION,
            at_most(1e-12), np.abs(right - data.energy.values / 3), what="difference from a third of it",
            number="{:.0e}", source="theory",
        ),
        Claim(
            "energy-free", "Two features a dimension, antipodal, have no energy", "ours", at_most(1e-6), within,
            number="{:.0e}", source="theory: negative interference is free",
        ),
        Claim(
            "energy-more", "One more has: it costs positive interference", "ours", at_least(0.5), beyond,
            what="energy in 1, 2, 3 dimensions", source="theory: no more directions have angles of 90° or more",
        ),
        Claim(
            "energy-pentagon", "Five features in two dimensions repel each other to a regular pentagon", "ours",
            about(_polygon(5), 1e-3), float(data.energy.sel(dimensions=2).values[at]), source="the energy of a pentagon",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    return [
        f"The models have {N} features in {M} dimensions, of importance 1, 0.9, ...; the best of many starts is shown. "
        "The paper gives the theory only, without a figure.",
        "The linear terms are for features of mean 0 and variance 1, as in the theory that the paper follows; "
        "with the paper's own features and a bias they are scaled by the variance.",
    ]
