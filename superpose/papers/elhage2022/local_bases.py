"""Two sets of correlated features share all dimensions, and each set has them as a basis of its own.

Ten dimensions store twenty features, ten of which are active together. Within a set the features are
orthogonal: a set is a basis of the whole space. All interference is between the sets, which are seldom
active at the same time. With long training the two bases turn until each feature is the opposite of one of the others.
"""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most
from superpose.features import Correlated
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

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
        optimizer=optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps)),
        snapshots=(config.early, config.steps),
    )

    # Both sets are so seldom active that the loss is sampled for each case: neither, one, or both.
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
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    best = grid.best(data)
    size, steps, early = data.sizes["hidden"], int(data.step[-1]), int(data.early)
    across = (best.W.values.T @ best.W.values)[:size, size:]
    order = np.append(np.arange(size), size + across.argmin(axis=1))
    order = order if len(set(order)) == 2 * size else np.arange(2 * size)
    fig = plot.figure(11, 3.5)
    *grams, curve = fig.subplots(1, 4, width_ratios=[1, 1, 1, 1.35])
    for ax, W, title in zip(
        grams,
        (best.early_W.values[:, order], best.W.values[:, order], np.tile(np.eye(size), 2) * _opposite(size)),
        (f"after {early:,} steps", f"after {steps:,} steps", "expected: opposites"),
        strict=True,
    ):
        image = ax.imshow(
            W.T @ W, cmap=plot.weight_colors, vmin=-1, vmax=1, extent=(0, 2 * size, 2 * size, 0),
            interpolation="nearest",
        )  # fmt: skip
        ax.axhline(size, color=plot.INK, lw=0.7)
        ax.axvline(size, color=plot.INK, lw=0.7)
        ax.set(title=title, xticks=[size / 2, 1.5 * size], yticks=[size / 2, 1.5 * size])
        ax.set_xticklabels(["first set", "second set"])
        ax.set_yticklabels(["first set", "second set"] if ax is grams[0] else [], rotation=90, va="center")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    bar = fig.colorbar(image, ax=grams, location="bottom", shrink=0.35, aspect=30, ticks=[-1, 0, 1])
    bar.set_label("$W_i \\cdot W_j$", labelpad=0)
    bar.outline.set_visible(False)

    for history in data.history.values:
        curve.plot(data.step, history, color=plot.FAINT, lw=0.8)
    curve.plot(data.step, best.history, color=plot.BLUE, lw=1.3, label="the model shown; gray: the others")
    curve.axhline(_best_loss(data), color=plot.RED, lw=1, ls="--", label="opposites, in theory")
    curve.axvline(early, color=plot.INK, lw=0.7, ls=(0, (1, 2)))
    curve.text(early, 0.62, " shown left", transform=curve.get_xaxis_transform(), fontsize=8)
    curve.set(xscale="log", yscale="log", xlabel="training steps", ylabel="loss", title="training")
    curve.legend(loc="upper right")
    return fig


def _opposite(size) -> np.ndarray:
    return np.repeat([1.0, -1.0], size)


def _best_loss(data) -> float:
    return float(data.sizes["hidden"] * theory.antipodal_cost(float(data.density)))


BASIS = "within a set interference would cost p, across sets only p^2"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    best = grid.best(data)
    size = data.sizes["hidden"]
    found = {"early": best.early_W.values, "end": best.W.values}
    norms = {when: np.asarray(measures.norms(W)) for when, W in found.items()}
    grams = {
        when: W.T @ W if norms[when].min() > 0.5 else np.full((2 * size,) * 2, np.nan)
        for when, W in found.items()
    }
    apart = ~np.eye(size, dtype=bool)
    within = [
        np.abs(gram[of, of][apart]).mean()
        for gram in grams.values()
        for of in (slice(size), slice(size, None))
    ]
    across = {when: gram[:size, size:] for when, gram in grams.items()}
    return [
        Claim(
            "orthogonal", "The features of a set are orthogonal: each set has a basis of its own", SECTION,
            at_most(0.05), within, what="mean |W_i . W_j| in each set, early and at the end", source=BASIS,
        ),
        Claim(
            "stored", "All features are stored, at length 1", SECTION,
            about(1, 0.05), np.concatenate(list(norms.values())), what="norms, early and at the end", source=BASIS,
        ),
        Claim(
            "interference", "All interference is between the sets", SECTION,
            at_least(0.2), [np.sqrt((block**2).mean()) for block in across.values()],
            what="root mean square of W_i . W_j across sets, early and at the end", source=BASIS,
        ),
        Claim(
            "spread", "Early in training most features interfere with more than one of the other set", "ours",
            at_least(1.5), np.median((across["early"] ** 2).sum(axis=1) ** 2 / (across["early"] ** 4).sum(axis=1)),
            what="effective number, median of the features", source="1 if all is with one feature; of 32 runs one was below 2", number="{:.2f}",
        ),
        Claim(
            "opposites", "At the end each feature is the opposite of one of the other set", "ours",
            at_most(-0.95), np.concatenate([across["end"].min(axis=0), across["end"].min(axis=1)]),
            what="the lowest W_i . W_j of each feature", source="as with two pairs in two dimensions",
        ),
        Claim(
            "loss", "At the end the loss is that of antipodal pairs across the sets", "ours",
            about(1, 0.05), float(best.loss) / _best_loss(data), what="share of p^2 / 6 for each feature",
            source="theory: an output is short only where both are active",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    close = int((data.loss <= 1.02 * _best_loss(data)).sum())
    return [
        "The paper does not give the density of its picture; it is 0.01 here, as in a public replication.",
        f"Of {data.sizes['member']} trained models the one of least loss is shown; {close} of them are within 2% of the loss "
        "of opposites, the others are near a local minimum in which some features share opposites.",
        "The paper shows interference spread over many features of the other set. So it is early in training; "
        "it is not the optimum.",
    ]
