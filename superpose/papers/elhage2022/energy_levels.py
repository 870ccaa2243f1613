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

from superpose import costs, curves, draws, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly
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
    trained = fit(
        models, Sampled(world, config.batch), steps=config.steps, key=key, optimizer=optax.adam(rate),
        snapshots=at.tolist(), window=config.steps,
    )  # fmt: skip
    # The same samples for all, so that they tell small changes of the loss.
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


def _jumps(one) -> list[tuple[int, int, int]]:
    """The jumps of one member as (feature, place before, place after), in their order, after the features have settled.

    They have settled where the loss has come nine tenths of its way down.
    """
    D, step, loss = one.dimensionality.values, one.step.values, one.loss.values
    settled = int(np.argmax(loss < loss[0] + 0.9 * (loss[-1] - loss[0])))
    found = [
        (i, *pair) for i in range(D.shape[1]) for pair in curves.jumps(D[:, i], step, size=0.25).tolist()
    ]
    return sorted((jump for jump in found if jump[1] >= settled), key=lambda jump: jump[1])


def _growth(one) -> float:
    """How many times as much the loss of one member drops at its last jump as at its first; 0 if it has no two."""
    jumps = _jumps(one)
    drops = [float(one.loss[before] - one.loss[after]) for _, before, after in jumps]
    return drops[-1] / drops[0] if len(drops) > 1 and drops[0] > 0 else 0.0


def _shown(data) -> xr.Dataset:
    """The member whose jumps differ most."""
    return data.isel(member=int(np.argmax([_growth(data.isel(member=k)) for k in data.member.values])))


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    one = _shown(data)
    fig = plot.figure(9, 6)
    _lines(fig, data, one)
    return fig


def _lines(fig, data, one):
    """The panels of dimensionality and loss, and the lines in them: (line, values) of each."""
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    step, D, loss = one.step.values, one.dimensionality.values, one.loss.values
    jumps = _jumps(one)
    jumping = list(dict.fromkeys(i for i, _, _ in jumps))
    drawn = []
    for i in range(D.shape[1]):
        color = plot.BLUE if D[-1, i] > 0.25 else "#8a8a8a"
        style = {"color": color, "lw": 0.6, "alpha": 0.6, "zorder": 1, "rasterized": True}
        if i in jumping:
            style = {"color": plot.SETS[1 + jumping.index(i) % 6], "lw": 2.0, "zorder": 3}
        drawn.append((*above.plot(step, D[:, i], **style), D[:, i]))
    for level, told in ((1, "1: alone"), (0.5, "1/2: in a pair\nof opposites"), (0, "0: not stored")):
        above.axhline(level, color=plot.INK, lw=0.7, ls=(0, (3, 3)), zorder=0)
        above.text(1.01, level, told, transform=above.get_yaxis_transform(), va="center", fontsize=8)
    for _, before, after in jumps:
        for ax in (above, below):
            ax.axvspan(step[before], step[after], color=plot.SETS[4], alpha=0.2, lw=0, zorder=0)

    # On a log scale the small drops show as well as the large ones; the last steps, at the end itself, do not.
    left = np.where(loss - loss[-1] > 5e-4 * (loss[0] - loss[-1]), loss - loss[-1], np.nan)
    for k in range(data.sizes["member"]):
        other = data.loss.values[:, k]
        other = np.where(other - other[-1] > 5e-4 * (loss[0] - loss[-1]), other - other[-1], np.nan)
        below.plot(step, other, color=plot.FAINT, lw=0.6, zorder=1)
    drawn.append((*below.plot(step, left, color=plot.INK, lw=1.4), left))
    below.text(
        0.99, 0.95, "gray: the other models", transform=below.transAxes, ha="right", va="top", fontsize=8
    )
    above.set(ylabel="dimensionality $D_i$", ylim=(-0.04, 1.06), yticks=[0, 0.25, 0.5, 0.75, 1])
    below.set(ylabel="loss above its end", xlabel="training steps", yscale="log", xscale="log")
    below.set(xlim=(30, step[-1]))
    n, m = data.sizes["feature"], int(data.n_hidden)
    above.set_title(
        f"{n} features in {m} dimensions, density {float(data.density):g}; bold: the features that jump"
    )
    return drawn


@plot.style()
def animation(data: xr.Dataset) -> plot.Animation:
    """The lines of the figure as training draws them."""
    fig = plot.figure(7.5, 5)
    drawn = _lines(fig, data, _shown(data))
    step = data.step.values
    shown = np.searchsorted(step, np.geomspace(35, step[-1], 50)).clip(max=len(step) - 1)
    frames = [*shown, *[shown[-1]] * 8]

    def draw(at):
        for line, values in drawn:
            line.set_data(step[: at + 1], values[: at + 1])
        return [line for line, _ in drawn]

    return plot.Animation(fig, draw, frames=frames, interval=100)


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    one, m, n = _shown(data), int(data.n_hidden), data.sizes["feature"]
    step, D, loss = one.step.values, one.dimensionality.values, one.loss.values
    end = D[-1]
    jumps = _jumps(one)
    drops = [loss[before] - loss[after] for _, before, after in jumps]
    # How fast the loss falls where it drops most, and in as long a time, on a log scale, before.
    steeper = np.nan
    if jumps:
        _, before, after = jumps[int(np.argmax(drops))]
        earlier = np.interp(np.log(step[before] ** 2 / step[after]), np.log(step), loss)
        steeper = max(drops) / max(earlier - loss[before], 1e-3 * max(drops))
    passed = [
        int(((D[before] > D[before, i]) & (D[after] < D[after, i])).sum()) for i, before, after in jumps
    ]
    expected = float(
        m * theory.antipodal_cost(data.density) + (n - 2 * m) * theory.dropped_cost(data.density)
    )
    stored = (end > 0.25).any()
    return [
        Claim(
            "levels", "In the end every feature is at one of two levels, 0 and 1/2", SECTION,
            at_most(0.02), np.minimum(np.abs(end), np.abs(end - 0.5)).max() if stored else np.nan,
            what="largest distance of D from a level", source="pairs of opposites, the others not stored",
        ),
        Claim(
            "digons", "All dimensions are filled with pairs of opposites", SECTION,
            exactly(1), (np.abs(end - 0.5) < 0.02).sum() / (2 * m), what="features at 1/2, as a share of 2 m",
            source="one pair for each dimension",
        ),
        Claim(
            "jumps", "Long after most have settled, features jump from one level to another", SECTION,
            at_least(1), len({i for i, _, _ in jumps}),
            what="features whose D changes by more than 0.25 while training becomes a quarter longer",
            source="the paper's figure",
        ),
        Claim(
            "swap", "The dimensionalities swap places", SECTION,
            at_least(1), max(passed, default=np.nan), what="features that one feature passes at a jump, the most",
            source="the paper's figure",
        ),
        Claim(
            "drops", "The loss drops at each jump", SECTION,
            at_least(1e-4), drops, what="fall of the loss during each jump", source="the paper's figure",
        ),
        Claim(
            "sudden", "The drop is sudden", SECTION,
            at_least(3), steeper, what="times the fall just before, at the jump with the largest drop",
            source="the paper's figure", number="{:.0f}",
        ),
        Claim(
            "second", "The drop is tiny at the first jump and larger at the last", SECTION,
            at_least(2), _growth(one), what="times as large, in the model shown", source="the paper's figure", number="{:.1f}",
        ),
        Claim(
            "monotone", "After the first 30 steps the loss does not rise again", "ours",
            at_most(0.02), np.diff(loss[step >= 30]).max() / (loss[0] - loss[-1]) if loss[0] > loss[-1] else np.nan,
            what="largest rise between snapshots, as a share of the whole fall", source="gradient descent",
        ),
        Claim(
            "end", "In the end the loss is that of pairs of opposites, the other features not stored", "ours",
            about(1, 0.02), loss[-1] / expected, what="share of the expected loss",
            source="theory: m p^2 / 3 + (n - 2 m) (p / 3 - p^2 / 4)",
        ),
        Claim(
            "usual", "Such jumps are usual", "ours",
            at_least(0.5), np.mean([bool(_jumps(data.isel(member=k))) for k in range(data.sizes["member"])]),
            what="share of models with one", source="counted", number="{:.0%}",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    each = [data.isel(member=k) for k in range(data.sizes["member"])]
    ends = data.loss.values[-1]
    return [
        f"The paper does not give its sizes. Here {data.sizes['feature']} features are in {int(data.n_hidden)} dimensions; "
        "the density 0.3 is in the middle of the range where pairs of opposites are best.",
        f"Of {len(each)} models {sum(bool(_jumps(one)) for one in each)} have late jumps, and in "
        f"{sum(_growth(one) >= 2 for one in each)} the loss drops at the last at least twice as much as at the first; the one "
        f"in which this differs most is shown. All end within {ends.max() / ends.min() - 1:.1%} of the same loss.",
        "The learning rate is constant, but for the last fifth: where it falls from the start, features are stuck "
        "before they jump. What the loss loses in these last steps is the noise of single steps.",
    ]
