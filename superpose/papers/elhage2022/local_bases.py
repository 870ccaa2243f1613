"""Two sets of correlated features share all dimensions, and each set has them as a basis of its own.

Ten dimensions store twenty features, ten of which are active together. Within a set the features are
orthogonal: a set is a basis of the whole space. All interference is between the sets, which are seldom
active at the same time. With long training the two bases turn until each feature is the opposite of one of the others.
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Correlated
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import cosine_adam, ensemble, fit

SECTION = "Local Almost-Orthogonal Bases"
TAKES = 6
QUICK = {"members": 4, "batch": 128}


@dataclass(frozen=True)
class Config:
    size: int = 10
    """Features in each of the two sets; there are as many hidden dimensions."""
    density: float = 0.01
    """Each set's chance to be active."""
    members: int = 6
    """Models, from different initial weights; the best is shown."""
    steps: int = 10_000
    """Training steps of each model."""
    early: int = 1_000
    """The step at which the model is shown for the first time."""
    batch: int = 256
    """Samples with some feature active, drawn at each step."""
    learning_rate: float = 3e-3
    """Of Adam, at the start; it falls to 0 along a cosine."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, size=2, members=1, batch=1)
        settings.shares(self, "density")
        if not 0 < self.early < self.steps:
            raise ValueError(f"early must be above 0 and below steps, {self.steps}, got {self.early}")

    @property
    def cost(self) -> costs.Cost:
        n = 2 * self.size
        return costs.training(self.members, n, n * self.size, self.steps, self.batch)


def run(config: Config) -> xr.Dataset:
    n, key = 2 * config.size, draws.key_of(config.seed)
    sizes = (config.size, config.size)
    models = ensemble(lambda key: ReluOutput.init(n, config.size, key=key), members=config.members, key=key)
    trained = fit(
        models,
        Sampled(Correlated(config.density, sizes), config.batch, stratified=True),
        steps=config.steps,
        key=key,
        optimizer=cosine_adam(config.learning_rate, config.steps),
        snapshots=(config.early, config.steps),
    )

    # The two sets are so rarely active that the loss is sampled for each case: neither, one, or both.
    active = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    chance = np.where(active, config.density, 1 - config.density).prod(axis=1)
    cases = grid.each(lambda active: Sampled(Correlated(active, sizes), 2**14), active)
    evaluation = draws.stream(key, "evaluation")
    losses = jax.vmap(lambda model: jax.vmap(lambda case: case(model, evaluation))(cases))(trained.models)

    data = grid.dataset(trained.models, np.asarray(losses) @ chance, axes={"member": range(config.members)})
    return data.assign(
        early_W=(data.W.dims, np.asarray(trained.snapshots.W[0])),
        history=(("member", "step"), np.asarray(trained.history)),
        step=trained.steps,
        density=config.density,
        early=config.early,
    ).assign_attrs(grid.law(Correlated(config.density, sizes)))


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model, early and at the end of training, and how all members got there.

    `norm` is for each feature, `gram` the product of each two; `partners` is, for each feature of the first set, the
    effective number of features of the other set that it interferes with. `lowest` is the loss of opposites.
    """
    size, best = data.sizes["hidden"], grid.best(data)
    W = xr.concat([best.early_W, best.W], "when")
    gram = np.stack([each.T @ each for each in W.values])
    across = gram[:, :size, size:]
    return (
        data[["loss", "history", "early"]]
        .assign(
            shown=data.loss.argmin("member"),
            norm=grid.over_models(measures.norms, W.drop_vars("member"), "feature"),
            gram=(("when", "feature", "other"), gram),
            partners=(("when", "first"), (across**2).sum(axis=2) ** 2 / (across**4).sum(axis=2)),
            lowest=size * theory.antipodal_cost(float(data.density)),
        )
        .assign_coords(when=["early", "end"])
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    steps, early, size = int(best.step[-1]), int(best.early), best.sizes["first"]
    partner = size + best.gram.values[1, :size, size:].argmin(axis=1)
    order = [*range(size), *(partner if len(set(partner)) == size else range(size, 2 * size))]
    opposites = np.kron([[1, -1], [-1, 1]], np.eye(size))
    fig = plot.figure(11, 3.5)
    *grams, curve = fig.subplots(1, 4, width_ratios=[1, 1, 1, 1.35])
    panels = {
        f"after {early:,} steps": best.gram.values[0][order][:, order],
        f"after {steps:,} steps": best.gram.values[1][order][:, order],
        "expected: opposites": opposites,
    }
    middle = [size / 2, 1.5 * size]
    for ax, (title, gram) in zip(grams, panels.items(), strict=True):
        extent = (0, 2 * size, 2 * size, 0)
        ax.imshow(gram, cmap=plot.weight_colors, vmin=-1, vmax=1, extent=extent, interpolation="nearest")
        ax.axhline(size, color=plot.INK, lw=0.7)
        ax.axvline(size, color=plot.INK, lw=0.7)
        ax.set(title=title)
        ax.set_xticks(middle, ["first set", "second set"])
        names = ["first set", "second set"] if ax is grams[0] else ["", ""]
        ax.set_yticks(middle, names, rotation=90, va="center")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    below = {"location": "bottom", "shrink": 0.35, "aspect": 30}
    bar = plot.colorbar(fig, grams, plot.weight_colors, "", low=-1, high=1, ticks=[-1, 0, 1], **below)
    bar.set_label("$W_i \\cdot W_j$", labelpad=0)

    curve.plot(best.step, best.history.T, color=plot.FAINT, lw=0.8)
    label = "the model shown; gray: the others"
    curve.plot(best.step, best.history[int(best.shown)], color=plot.BLUE, lw=1.3, label=label)
    curve.axhline(float(best.lowest), color=plot.RED, lw=1, ls="--", label="opposites, in theory")
    curve.axvline(early, color=plot.INK, lw=0.7, ls=(0, (1, 2)))
    curve.text(early, 0.62, " shown left", transform=curve.get_xaxis_transform(), fontsize=8)
    curve.set(xscale="log", yscale="log", xlabel="training steps", ylabel="loss", title="training")
    curve.legend(loc="upper right")
    return fig


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    size = best.sizes["first"]
    represented = (best.norm > 0.5).all("feature")
    gram = best.gram.where(represented).values
    of_set, apart = (slice(size), slice(size, None)), ~np.eye(size, dtype=bool)
    within = [np.abs(each[of, of][apart]).mean() for each in gram for of in of_set]
    across = gram[:, :size, size:]
    early, end = best.partners.where(represented).sel(when="early"), across[1]
    says = from_section(SECTION, "within a set interference would cost p, across sets only p^2")
    ours = from_section("ours")
    # fmt: off
    return [
        says("orthogonal", "The features of a set are orthogonal: each set has a basis of its own",
             "mean |W_i . W_j| in each set, early and at the end", within, at_most(0.05)),
        says("stored", "All features are stored, at length 1",
             "norms, early and at the end", best.norm.values.ravel(), about(1, 0.05)),
        says("interference", "All interference is between the sets",
             "root mean square of W_i . W_j across sets, early and at the end", np.sqrt((across**2).mean(axis=(1, 2))), at_least(0.2)),
        ours("spread", "Early in training most features interfere with more than one of the other set",
             "effective number, median of the features", early.median(), at_least(1.5),
             source="1 if all is with one feature; of 32 runs one was below 2", number="{:.2f}"),
        ours("opposites", "At the end each feature is the opposite of one of the other set",
             "the lowest W_i . W_j of each feature", [*end.min(axis=0), *end.min(axis=1)], at_most(-0.95),
             source="as with two pairs in two dimensions"),
        ours("loss", "At the end the loss is that of antipodal pairs across the sets",
             "share of p^2 / 6 for each feature", float(best.loss.min()) / best.lowest, about(1, 0.05),
             source="theory: an output is short only where both are active"),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    close = int((best.loss <= 1.02 * best.lowest).sum())
    return [
        "The paper does not give the density of its picture; it is 0.01 here, as in a public replication.",
        f"Of {best.sizes['member']} trained models the one of least loss is shown; {close} of them are within 2% of the "
        "loss of opposites, the others are near a local minimum in which some features share opposites.",
        "The paper shows interference spread over many features of the other set. So it is early in training; "
        "it is not the optimum.",
    ]
