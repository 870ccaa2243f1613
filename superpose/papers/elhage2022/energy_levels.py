"""Features jump between levels of dimensionality, and at each late jump the loss drops.

Many equal features in few dimensions, watched while they are learned. Dimensionality, the share of a dimension
that a feature has for itself, is not learned smoothly: most features settle at 0 or at 1/2, where pairs of
opposites share a dimension. Long afterwards some jump from one level to another, past all others, within moments.
"""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superpose import costs, curves, draws, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly, from_section
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

SECTION = "Learning Dynamics"
TAKES = 26
QUICK = {"n_features": 40, "n_hidden": 6, "members": 8, "steps": 10_000, "learning_rate": 3e-3}


@dataclass(frozen=True)
class Config:
    n_features: int = 100
    """Features, all equally important."""
    n_hidden: int = 10
    """Hidden dimensions, of which each can hold two opposite features."""
    density: float = 0.3
    """The chance that a feature is active."""
    members: int = 10
    """Models, from different initial weights; the one in which the loss drops most at the last jump, relative
    to the first, is shown."""
    steps: int = 30_000
    """Training steps of each model."""
    batch: int = 256
    """Samples drawn at each step."""
    learning_rate: float = 2e-3
    """Of Adam; over the last fifth of the steps it falls to 0."""
    scale: float = 0.1
    """The initial weights are so many times the usual ones."""
    snapshots: int = 220
    """Models kept from each training, at equal distances on a log scale of steps."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, batch=1, steps=100, snapshots=2)
        settings.shares(self, "density")
        if not 2 * self.n_hidden <= self.n_features:
            raise ValueError(
                "n-features must be at least twice n-hidden, so that pairs can fill all dimensions"
            )

    @property
    def cost(self) -> costs.Cost:
        n, weights = self.n_features, self.n_features * self.n_hidden
        kept = costs.evaluating(self.snapshots * self.members, 8192 * n, held=weights)
        return costs.training(self.members, n, weights, self.steps, self.batch) + kept


def run(config: Config) -> xr.Dataset:
    key, last = draws.key_of(config.seed), config.steps // 5
    world = Independent(config.density, n_features=config.n_features)
    models = ensemble(
        lambda key: ReluOutput.init(config.n_features, config.n_hidden, key=key, scale=config.scale),
        members=config.members,
        key=key,
    )
    rate = optax.join_schedules(
        [optax.constant_schedule(config.learning_rate), optax.linear_schedule(config.learning_rate, 0, last)],
        [config.steps - last],
    )
    at = np.unique(np.geomspace(10, config.steps, config.snapshots).astype(int))
    kept = {"snapshots": at.tolist(), "window": config.steps}
    sampled, adam = Sampled(world, config.batch), optax.adam(rate)
    trained = fit(models, sampled, steps=config.steps, key=key, optimizer=adam, **kept)
    # The same samples for all, so that small changes of the loss can be told apart from noise.
    test, evaluation = Sampled(world, 8192), draws.stream(key, "evaluation")
    loss = jax.lax.map(
        lambda models: jax.vmap(lambda model: test(model, evaluation))(models), trained.snapshots
    )
    D = jax.vmap(jax.vmap(measures.dimensionality))(trained.snapshots.W)
    return xr.Dataset(
        {
            "dimensionality": (("step", "member", "feature"), np.asarray(D)),
            "loss": (("step", "member"), np.asarray(loss)),
        },
        {"step": at, "member": range(config.members)},
        {"density": config.density, "n_hidden": config.n_hidden},
    )


def measured(data: xr.Dataset) -> xr.Dataset:
    """The jumps of all members once the loss has come nine tenths of its way down, and which member is `shown`.

    `until` is, where a feature's jump begins, the index of the step at which it ends, and 0 elsewhere. `growth` is how
    many times as much the loss drops at a member's last jump as at its first, 0 without two jumps. The
    member with the largest growth is shown.
    """
    D, step, loss = data.dimensionality, data.step.values, data.loss
    settled = (loss < loss[0] + 0.9 * (loss[-1] - loss[0])).argmax("step").values
    until = np.zeros(D.shape, int)
    for member, feature in np.ndindex(*D.shape[1:]):
        for before, after in curves.jumps(D.values[:, member, feature], step, size=0.25):
            if before >= settled[member]:
                until[before, member, feature] = after
    models = data.assign(until=(D.dims, until))
    growth = []
    for member in data.member.values:
        drops = _drops(models.sel(member=member))
        growth.append(drops[-1] / drops[0] if len(drops) > 1 and drops[0] > 0 else 0.0)
    return models.assign(growth=("member", growth), shown=np.argmax(growth))


def _jumps(model: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The feature of each jump of a model, and the indices of the steps before and after, in the order of training."""
    before, feature = np.nonzero(model.until.values)
    return feature, before, model.until.values[before, feature]


def _drops(model: xr.Dataset) -> np.ndarray:
    """How much the loss falls at each jump of a model."""
    _, before, after = _jumps(model)
    return (model.loss.values[before] - model.loss.values[after]).astype(float)


@plot.style()
def figure(models: xr.Dataset) -> Figure:
    fig = plot.figure(9, 6)
    _lines(fig, models)
    return fig


def _lines(fig: Figure, models: xr.Dataset) -> list[tuple[Line2D, np.ndarray]]:
    """Draw the panels of dimensionality and loss; returns the lines of the model shown in them, each with its values."""
    model = models.isel(member=int(models.shown))
    step, D = model.step.values, model.dimensionality.values
    feature, before, after = _jumps(model)
    jumping = list(dict.fromkeys(feature.tolist()))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    drawn = []
    for i in range(D.shape[1]):
        color = plot.BLUE if D[-1, i] > 0.25 else "#8a8a8a"
        style = {"color": color, "lw": 0.6, "alpha": 0.6, "zorder": 1, "rasterized": True}
        if i in jumping:
            style = {"color": plot.SETS[1 + jumping.index(i) % 6], "lw": 2.0, "zorder": 3}
        drawn.append((*above.plot(step, D[:, i], **style), D[:, i]))
    for y, text in ((1, "1: alone"), (0.5, "1/2: in a pair\nof opposites"), (0, "0: not stored")):
        above.axhline(y, color=plot.INK, lw=0.7, ls=(0, (3, 3)), zorder=0)
        above.text(1.01, y, text, transform=above.get_yaxis_transform(), va="center", fontsize=8)
    for start, end in zip(step[before], step[after], strict=True):
        for ax in (above, below):
            ax.axvspan(start, end, color=plot.SETS[4], alpha=0.2, lw=0, zorder=0)

    # On a log scale the small drops show as well as the large ones; the last steps, at the end itself, do not.
    left = models.loss - models.loss[-1]
    fall = model.loss[0] - model.loss[-1]
    left = left.where(left > 5e-4 * fall).transpose("step", "member").values
    below.plot(step, left, color=plot.FAINT, lw=0.6, zorder=1)
    left = left[:, int(models.shown)]
    drawn.append((*below.plot(step, left, color=plot.INK, lw=1.4), left))
    corner = {"transform": below.transAxes, "ha": "right", "va": "top", "fontsize": 8}
    below.text(0.99, 0.95, "gray: the other models", **corner)
    above.set(ylabel="dimensionality $D_i$", ylim=(-0.04, 1.06), yticks=[0, 0.25, 0.5, 0.75, 1])
    below.set(ylabel="loss above its end", xlabel="training steps", yscale="log", xscale="log")
    below.set(xlim=(30, step[-1]))
    sizes = f"{D.shape[1]} features in {int(models.n_hidden)} dimensions"
    above.set_title(f"{sizes}, density {float(models.density):g}; bold: the features that jump")
    return drawn


@plot.style()
def animation(models: xr.Dataset) -> plot.Animation:
    """The lines of the figure as training draws them."""
    fig = plot.figure(7.5, 5)
    drawn = _lines(fig, models)
    step = models.step.values
    shown = np.searchsorted(step, np.geomspace(35, step[-1], 50)).clip(max=len(step) - 1)
    frames = [*shown, *[shown[-1]] * 8]

    def draw(at):
        for line, values in drawn:
            line.set_data(step[: at + 1], values[: at + 1])
        return [line for line, _ in drawn]

    return plot.Animation(fig, draw, frames=frames, interval=100)


@as_claims
def claims(models: xr.Dataset) -> list[Claim]:
    model, m, n = models.isel(member=int(models.shown)), int(models.n_hidden), models.sizes["feature"]
    step, D, loss = model.step.values, model.dimensionality.values, model.loss.values
    end = model.dimensionality[-1]
    from_level = np.minimum(abs(end), abs(end - 0.5)).where((end > 0.25).any())
    feature, before, after = _jumps(model)
    passed = (D[before] > D[before, feature, None]) & (D[after] < D[after, feature, None])
    drops = _drops(model)
    # How far the loss falls at a jump, and how far in the time before it that is as long on a log scale.
    earlier = np.interp(np.log(step[before] ** 2 / step[after]), np.log(step), loss) - loss[before]
    steeper = drops / np.maximum(earlier, 1e-3 * abs(drops) + 1e-30)
    fall = (model.loss[0] - model.loss[-1]).where(loss[0] > loss[-1])
    rise = model.loss.where(model.step >= 30).diff("step").max() / fall
    p = models.density
    expected = float(m * theory.antipodal_cost(p) + (n - 2 * m) * theory.dropped_cost(p))
    says = from_section(SECTION, "the paper's figure")
    ours = from_section("ours")
    # fmt: off
    return [
        says("levels", "In the end every feature is at one of two levels, 0 and 1/2",
             "largest distance of D from a level", from_level.max(), at_most(0.02), source="pairs of opposites, the others not stored"),
        says("digons", "All dimensions are filled with pairs of opposites",
             "features at 1/2, as a share of 2 m", (abs(end - 0.5) < 0.02).sum() / (2 * m), exactly(1), source="one pair for each dimension"),
        says("jumps", "Long after most have settled, features jump from one level to another",
             "features whose D changes by more than 0.25 while training becomes a quarter longer", len(np.unique(feature)), at_least(1)),
        says("swap", "The dimensionalities swap places",
             "features that one feature passes at a jump, the most", passed.sum(axis=1).max(initial=0), at_least(1)),
        says("drops", "The loss drops at each jump",
             "fall of the loss during each jump", drops, at_least(1e-4)),
        says("sudden", "The drop of the loss at a jump is sudden",
             "times the fall just before, at the jump with the largest drop", steeper[drops == drops.max(initial=-np.inf)], at_least(3),
             number="{:.0f}"),
        says("second", "The drop of the loss is tiny at the first jump and larger at the last",
             "times as large, in the model shown", model.growth, at_least(2), number="{:.1f}"),
        ours("monotone", "After the first 30 steps the loss does not rise again",
             "largest rise between snapshots, as a share of the whole fall", rise, at_most(0.02), source="gradient descent"),
        ours("end", "In the end the loss is that of pairs of opposites, the other features not stored",
             "share of the expected loss", loss[-1] / expected, about(1, 0.02), source="theory: m p^2 / 3 + (n - 2 m) (p / 3 - p^2 / 4)"),
        ours("usual", "Late jumps of features are usual",
             "share of models with one", (models.until > 0).any(["step", "feature"]).mean(), at_least(0.5), source="counted", number="{:.0%}"),
    ]
    # fmt: on


def notes(models: xr.Dataset) -> list[str]:
    ends, jumping = models.loss.values[-1], (models.until > 0).any(["step", "feature"])
    return [
        f"The paper does not give its sizes. Here {models.sizes['feature']} features are in {int(models.n_hidden)} dimensions; "
        "the density 0.3 is in the middle of the range where pairs of opposites are best.",
        f"Of {models.sizes['member']} models {int(jumping.sum())} have late jumps, and in {int((models.growth >= 2).sum())} "
        "the loss drops at the last at least twice as much as at the first; the one in which this differs most is shown. "
        f"All end within {ends.max() / ends.min() - 1:.1%} of the same loss.",
        "The learning rate is constant, but for the last fifth: where it falls from the start, features are stuck "
        "before they jump. What the loss loses in these last steps is the noise of single steps.",
    ]
