"""An L1 penalty on the hidden layer: a way out of superposition, which drops features until each has a unit.

A small penalty turns the features onto the hidden units, in antipodal pairs, at next to no price. A large one drops
the less important features, until those that are left have a hidden unit each: there is no superposition any more,
and the loss is higher than with it. Which features are left follows from what a feature is worth.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, between, exactly, from_section
from superpose.features import Independent
from superpose.losses import Population, Sampled, mean_activation
from superpose.models import ReluOutput
from superpose.train import cosine_adam, ensemble, fit, member

SECTION = "The Strategic Picture of Superposition"
TAKES = 42
QUICK = {"members": 2, "steps": 1200, "penalties": (0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0)}

FEATURES, HIDDEN, DENSITY = 20, 10, 0.05
IMPORTANCE = 0.9 ** np.arange(FEATURES)
NOTHING, SEPARATE = (theory.linear_loss(np.full(FEATURES, DENSITY), IMPORTANCE, k) for k in (0, HIDDEN))
"""The losses of storing nothing, and the least of models without superposition."""
LIMIT = theory.penalty_limit(DENSITY)
"""The penalty at which a feature of importance 1 is better dropped."""


@dataclass(frozen=True)
class Config:
    members: int = 4
    """Models from different starts at each setting; the best is kept."""
    steps: int = 5000
    """Steps of Adam on 512 samples each, with a learning rate that falls to 0."""
    penalties: tuple[float, ...] = (
        0.0,
        0.01,
        0.02,
        0.03,
        0.06,
        0.1,
        0.15,
        0.2,
        0.25,
        0.3,
        0.4,
        0.5,
        0.6,
        1.0,
    )
    """L1 penalties on the hidden layer of 20 features in 10 dimensions; the first is 0."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, steps=1)
        if len(self.penalties) < 3 or self.penalties[0] != 0 or np.any(np.diff(self.penalties) <= 0):
            raise ValueError("penalties must rise from 0, and be at least 3, such as --penalties 0 0.03 0.3")

    @property
    def cost(self) -> costs.Cost:
        starts = 2 * self.members + FEATURES // 2
        weights = FEATURES * (HIDDEN + 1)
        return costs.training(len(self.penalties) * starts, FEATURES, weights, self.steps, 512)


def run(config: Config) -> xr.Dataset:
    """For each penalty the best of models from three kinds of start, of which `won` says which it was.

    The kinds are small random weights; a model that was trained without a penalty; and the k most important features
    with lengths 1 along the hidden units, from the 11th on opposite to others, for k = 2, 4, ..., 20.
    `W_found` is the best without the third kind.
    """
    key, members = draws.key_of(config.seed), config.members
    world = Independent(DENSITY, IMPORTANCE)
    optimizer = cosine_adam(0.01, config.steps)
    train = partial(fit, steps=config.steps, own_loss=True, optimizer=optimizer)

    def losses(penalties):
        return grid.each(lambda penalty: Sampled(world, batch=512, penalty=penalty), penalties)

    fresh = ensemble(lambda key: ReluOutput.init(FEATURES, HIDDEN, key=key), members=members, key=key)
    free = train(fresh, losses(np.zeros(members)), key=key).models
    pairs = np.concatenate([np.eye(HIDDEN), -np.eye(HIDDEN)[:, ::-1]], axis=1)
    along = [pairs * (np.arange(FEATURES) < kept) for kept in range(2, FEATURES + 1, 2)]
    W = np.concatenate([fresh.W, free.W, np.array(along, np.float32)])
    b = np.concatenate([fresh.b, free.b, np.zeros((len(along), FEATURES), np.float32)])
    kind = np.repeat([0, 1, 2], [members, members, len(along)])

    penalty, start = grid.points(config.penalties, range(len(kind)))
    starts = eqx.tree_at(
        lambda model: (model.W, model.b), member(fresh, np.zeros_like(start)), (W[start], b[start])
    )
    models = train(starts, losses(penalty), key=draws.stream(key, "penalized")).models
    population, x = Population(world), world.sample(draws.stream(key, "evaluation"), 20_000)
    evaluate = partial(jax.lax.map, lambda model: (population(model), mean_activation(model, x)))
    loss, activation = jax.jit(evaluate)(models)
    axes = {"penalty": config.penalties, "member": range(len(kind))}
    data = grid.dataset(models, loss, axes=axes, activation=activation)
    data = data.assign(won=("member", kind), importance=("feature", IMPORTANCE))
    total = data.loss + data.penalty * data.activation
    best = data.isel(member=total.argmin("member"))
    unaided = data.isel(member=total.where(data.won < 2).argmin("member"))
    return best.drop_vars("member").assign(W_found=unaided.W.drop_vars("member"))


def measured(data: xr.Dataset) -> xr.Dataset:
    """For the model at each penalty: which features it has, and how they share dimensions.

    `free` says whether it has features and no superposition. `along` is for `W_found`, which had to find the
    hidden units by itself: the least share of a feature that lies on one unit.
    """
    norm = np.sqrt((data.W**2).sum("hidden"))
    represented = norm > 0.5
    excess = grid.over_models(measures.excess_features, data.W)
    apart = grid.over_models(measures.gram, data.W, "feature", "other").values * (1 - np.eye(FEATURES))
    aligned = grid.over_models(measures.basis_alignment, data.W_found, "feature")
    kept = grid.over_models(measures.norms, data.W_found, "feature") > 0.5
    dropped = (~represented).rename(feature="other")
    swapped = represented & dropped & (data.importance < data.importance.rename(feature="other"))
    return data.assign(
        count=represented.sum("feature"),
        excess=excess,
        free=represented.any("feature") & (excess == 0),
        per_dimension=1 / grid.over_models(measures.dimensions_per_feature, data.W),
        shared=grid.over_models(measures.superposition, data.W, "feature").mean("feature"),
        interference=("penalty", np.abs(apart).max(axis=(1, 2))),
        shortest=norm.where(represented).min("feature"),
        along=aligned.where(kept).min("feature"),
        worth=(data.importance > data.penalty / LIMIT).sum("feature"),
        swaps=swapped.sum(["feature", "other"]),
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    fig = plot.figure(12.5, 4.4)
    setting = f"{FEATURES} features in {HIDDEN} dimensions, importance 0.9$^i$, density {DENSITY}"
    fig.suptitle(f"An L1 penalty on the hidden layer: {setting}")
    price, count, *maps = fig.subplots(1, 5, width_ratios=[1.5, 1.5, 1, 1, 1])
    for ax in (price, count):
        at = plot.log_axis_from_zero(ax, best.penalty.values)
        ax.set_xlabel("penalty on $\\|h\\|_1$")
    for begin in at[best.free][:1]:
        for ax in (price, count):
            ax.axvspan(begin, at[-1], color=plot.GRAY, alpha=0.45, lw=0, zorder=0)
        where = {"transform": price.get_xaxis_transform(), "rotation": 90, "ha": "center", "va": "bottom"}
        middle = np.sqrt(begin * at[-1])
        price.text(middle, 0.03, "next to no superposition", fontsize=8, color="#666666", **where)
    for y, text in ((1, "nothing\nstored"), (SEPARATE / NOTHING, "least without\nsuperposition")):
        plot.level(price, y, text, color="#666666", lw=0.8)
    price.plot(at, best.loss / NOTHING, "o-", color=plot.BLUE, ms=4)
    plot.log_axis(price.yaxis, [0.03, 0.1, 0.3, 1])
    price.set(ylim=(None, 1.6), ylabel="loss (the penalty not counted),\nrelative to storing nothing")
    fine = np.geomspace(at[0], at[-1], 600)
    worth = (IMPORTANCE[:, None] > fine / LIMIT).sum(axis=0)
    count.plot(at, best["count"], "o-", color=plot.BLUE, ms=4, label="stored")
    count.plot(fine, worth, color=plot.INK, lw=0.9, ls=":", label="worth a hidden unit (theory)")
    count.plot(at, best.excess, "s-", color=plot.RED, ms=4, label="stored beyond the dimensions they span")
    count.set(ylabel="features", ylim=(-0.7, 21), yticks=[0, 5, 10, 15, 20])
    count.legend(loc="lower left", bbox_to_anchor=(-0.03, 1.0), fontsize=7.5)
    _maps(fig, maps, best)
    return fig


def _maps(fig, axes, best) -> None:
    """The weights without a penalty, with a small one, and with the smallest that leaves no superposition."""
    shown = [
        (0, best.W_found[0].values, "no penalty:\nalong no axis"),
        (
            int(np.abs(best.penalty.values - 0.03).argmin()),
            None,
            "the axes cost nothing:\npairs, a unit each",
        ),
        *((at, None, "no superposition") for at in np.flatnonzero(best.free)[:1]),
    ]
    for ax in axes[len(shown) :]:
        ax.remove()
    axes = axes[: len(shown)]
    for ax, (at, W, title) in zip(axes, shown, strict=True):
        if W is None:
            W = best.W[at].values
            W = W[np.argsort(np.abs(W).argmax(axis=1))]
        ax.imshow(W.T, cmap=plot.weight_colors, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        ax.set(xlabel="hidden unit", xticks=[], yticks=[])
        ax.set_title(f"{title}\npenalty {best.penalty.values[at]:g}", fontsize=8.5)
    axes[0].set_ylabel("feature, the most important on top")
    plot.colorbar(fig, axes, plot.weight_colors, "weight $W$", low=-1, ticks=[-1, 0, 1], aspect=25, pad=0.02)


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    penalty, free, relative = best.penalty, best.free, best.loss / SEPARATE
    later = free.cumsum("penalty") > 0
    small = (penalty > 0) & (penalty <= 0.03)
    rise, fall = best.loss - best.loss[0], best.shared[0] - best.shared
    says = from_section(SECTION)
    ours = from_section("ours")
    footnote = from_section(SECTION + ", footnote")
    # fmt: off
    return [
        ours("penalty-before", "Without a penalty all features are stored, twice as many as there are dimensions",
             "", best["count"][0], exactly(FEATURES), source="antipodal pairs at this density"),
        says("penalty-gone", "A large enough penalty leaves no superposition",
             "features per dimension, |W|^2 / m", best.per_dimension[free], at_most(1), source="at most a dimension for each", quick=False),
        says("penalty-diagonal", "With a large enough penalty no feature interferes with another",
             "largest entry of W^T W off its diagonal", best.interference[free], at_most(0.02), source="0 but for training", quick=False),
        says("penalty-axes", "A penalty turns the features onto the hidden units, in models that did not start there",
             "least share of a stored feature on one unit", best.along[(penalty >= 0.03) & best.along.notnull()], at_least(0.95),
             source="1 along an axis, but for training"),
        says("penalty-price", "Getting rid of superposition has its price",
             "loss, relative to the least of models without superposition", relative[free], at_least(1), source="closed form", quick=False),
        says("penalty-price-before", "Models with superposition do not pay the price of getting rid of it",
             "loss without a penalty, relative to the same", relative.where(best["count"] > 0)[0], at_most(0.5),
             source="ours: antipodal pairs cost less than half"),
        says("penalty-least-important", "A penalty drops the less important features first",
             "pairs of which only the less important is stored", best.swaps.where(free.any()).sum(skipna=False), exactly(0),
             source="all else is equal", quick=False),
        ours("penalty-threshold", "Once there is no superposition, a feature is stored where it is worth a hidden unit",
             "features stored", best["count"][later], about(best.worth.values[later], 1), source="theory.penalty_limit", quick=False),
        ours("penalty-jump", "A feature is dropped at once: none is stored shorter than the square root of 1/3",
             "least norm of a stored feature", best.shortest[free], between(3**-0.5, 1.02), quick=False,
             source="theory: shorter ones are at no minimum, and from the square root of 2/3 at none that is the best"),
        footnote("penalty-free", "The first bit of superposition is removed at no price to first order",
                 "power of the penalty with which the loss rises", _power(penalty[small], rise[small]), between(1.6, 2.4),
                 source="2, as the loss is at its minimum"),
        footnote("penalty-removes", "Under a small penalty superposition falls in proportion to the penalty",
                 "power of the penalty", _power(penalty[small], fall[small]), between(0.7, 1.3), source="1: minima move smoothly"),
    ]
    # fmt: on


def _power(x: xr.DataArray, y: xr.DataArray) -> Any:
    """The exponent of the power law through the points; NaN where a value is not above 0, or there is only one point."""
    logs: list[Any] = [np.log(x), np.log(y.where(y > 0))]
    x, y = (log - log.mean() for log in logs)
    return (x * y).sum(skipna=False) / (x**2).sum()


def notes(best: xr.Dataset) -> list[str]:
    random, trained, along = (int((best.won == kind).sum()) for kind in range(3))
    return [
        "The paper gives no settings; they are ours.",
        "At each penalty models start from small random weights, from a model trained without a penalty, and with features "
        "along the hidden units; the one of least loss and penalty together is kept. "
        f"The best had these starts at {random}, {trained} and {along} penalties: training by itself finds the axes, but not "
        "which features are best dropped.",
    ]
