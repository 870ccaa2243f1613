"""Linear models store the top features; ReLU models store more of them, the sparser they are.

First the less important features share dimensions in antipodal pairs; sparser, all do, in denser
arrangements that lean on negative biases.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly, from_section
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import Linear, ReluOutput

SECTION = "Basic Results"
TAKES = 35
QUICK = {"members": 2, "members_80": 1, "steps": 600, "linear_steps": 7000, "batch": 256}

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SIZES = {"20 in 5": (20, 5, 0.7), "80 in 20": (80, 20, 0.9)}
"""Features, hidden dimensions, and by how much each feature is less important than the one before."""
COUNTS = {"20 in 5": ((5, 7, 9, 10, 11, 12, 12), 1), "80 in 20": ((20, 26, 32, 41, 49), 3)}
"""How many features the paper's figure stores at each density, as far as they can be counted, give or take how many."""


@dataclass(frozen=True)
class Config:
    members: int = 10
    """ReLU models of 20 features at each density; the best is shown."""
    members_80: int = 3
    """ReLU models of 80 features at each density."""
    steps: int = 5000
    """Steps of Adam for ReLU models, with a learning rate that falls to 0."""
    linear_steps: int = 8000
    """The same for linear models, on their exact loss."""
    batch: int = 512
    learning_rate: float = 0.01
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, members_80=1, steps=1, linear_steps=1, batch=1)
        if not self.learning_rate > 0:
            raise ValueError(f"learning-rate must be positive, got {self.learning_rate}")

    @property
    def cost(self) -> costs.Cost:
        large = costs.training(7 * self.members_80, 80, 1680, self.steps, self.batch)
        linear = costs.training(7, 80, 1680, self.linear_steps, 80)
        return large + linear + costs.training(7 * self.members, 20, 120, self.steps, self.batch)


def run(config: Config) -> xr.Dataset:
    # ReLU models train on samples: with this many features the noise finds better minima than
    # descent on the exact loss does.
    sampled = partial(Sampled, batch=config.batch)
    networks = {}
    for size, members in (("20 in 5", config.members), ("80 in 20", config.members_80)):
        networks[f"linear, {size}"] = _trained(Linear, size, 1, Population, config, config.linear_steps)
        networks[f"relu, {size}"] = _trained(ReluOutput, size, members, sampled, config, config.steps)
    return grid.stacked(networks, "network")


def _trained(Model, size, members, loss, config, steps) -> xr.Dataset:
    """Models of one kind at every density, by Adam on `loss(features)`; their losses are exact."""
    n_features, n_hidden, decay = SIZES[size]
    importance = decay ** np.arange(n_features)
    data = grid.fitted(
        lambda key: Model.init(n_features, n_hidden, key=key),
        lambda density: loss(Independent(density, importance)),
        {"density": np.array(DENSITIES)},
        members=members,
        key=config.seed,
        steps=steps,
        optimizer=optax.adam(optax.linear_schedule(config.learning_rate, 0.0, steps)),
        judged=lambda density: Population(Independent(density, importance)),
    )
    return data.assign(importance=("feature", importance))


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model of each network at each density.

    `deviation` is how far its `W^T W` is from the identity for the top features and 0 elsewhere, `interference` the
    largest entry off the diagonal, and `linear_loss` the least loss of a linear model. `n_represented` and
    `n_dedicated` count features; `first_shared` is the most important one in superposition.
    """
    networks = data.network.values
    return grid.stacked(
        {name: _described(grid.unstacked(data, "network", name)) for name in networks}, "network"
    )


def _described(data: xr.Dataset) -> xr.Dataset:
    """The best model of one network at each density, with what `measured` reports of it."""
    best = grid.described(data).drop_vars(["cosine", "dimensionality"])
    n, m = best.sizes["feature"], best.sizes["hidden"]
    W = best.W.values
    gram = xr.DataArray(np.swapaxes(W, -1, -2) @ W, dims=("density", "feature", "other"))
    identity = xr.DataArray(np.eye(n), dims=("feature", "other"))
    top = identity.where(best.feature < m, 0.0)
    shared = best.represented & (best.superposition > 0.5)
    dedicated = best.represented & (best.superposition < 0.1)
    losses = [theory.linear_loss(np.full(n, p), best.importance.values, m) for p in best.density.values]
    there = best.represented.any("feature")
    return best.assign(
        deviation=abs(gram - top).max(("feature", "other")),
        interference=gram.where(identity == 0).max(("feature", "other")),
        linear_loss=("density", losses),
        n_represented=best.represented.sum("feature"),
        n_dedicated=dedicated.sum("feature").where(there),
        first_shared=shared.argmax("feature").where(shared.any("feature")),
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    fig = plot.figure(13, 10.4)
    parts: Any = fig.subfigures(2, 1)
    for part, (size, (n, m, decay)) in zip(parts, SIZES.items(), strict=True):
        linear, relu = _networks(best, size)
        part.suptitle(
            f"{n} features in {m} dimensions, importance {decay}$^i$: best of {int(relu.members)} models"
        )
        shown = [(linear.isel(density=-1), "linear, any density")]
        shown += [(relu.sel(density=p), f"ReLU, 1 − S = {p:g}") for p in relu.density.values]
        grams, bars = part.subplots(2, len(shown), height_ratios=[1, 1.25])
        for top, bottom, (model, title) in zip(grams, bars, shown, strict=True):
            plot.gram(top, model.W.values, model.b.values)
            plot.norm_bars(bottom, model.W.values)
            top.set_title(f"{title}\n{int(model.n_represented)} stored", fontsize=9)
            bottom.set_xlabel("$\\|W_i\\|$")
        grams[0].set_ylabel("$W^T W$ and $b$")
        bars[0].set_ylabel("features, the most\nimportant on top")
        weights: dict[str, Any] = {"low": -1, "high": 1, "ticks": [-1, 0, 1], "aspect": 12}
        plot.colorbar(part, grams, plot.weight_colors, "weight", pad=0.01, **weights)
        shares: dict[str, Any] = {"ticks": [0, 1], "aspect": 15}
        plot.colorbar(part, bars, plot.superposition_colors, "superposition", pad=0.01, **shares)
    return fig


def _networks(best: xr.Dataset, size: str) -> tuple[xr.Dataset, xr.Dataset]:
    """The linear and the ReLU models of one size."""
    linear, relu = (grid.unstacked(best, "network", f"{kind}, {size}") for kind in ("linear", "relu"))
    return linear, relu


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    return [claim for size in SIZES for claim in _claims(size, *_networks(best, size))]


def _claims(size: str, linear: xr.Dataset, relu: xr.Dataset) -> list[Claim]:
    m, (expected, within) = SIZES[size][1], COUNTS[size]
    dropped = linear.b[:, m:] / (linear.density / 2)
    counts = (relu.norm > 0.9).sum("feature")[: len(expected)]
    counted = ", ".join(f"{p:g}" for p in DENSITIES[: len(expected)])
    sparse, early = relu.density <= 0.01, (relu.density >= 0.1) & (relu.density < 1)
    crowded = relu.interference.where(relu.n_represented > m)
    name = size.replace(" ", "-")
    says = from_section(SECTION, "theory, and what training leaves")
    full = partial(from_section(SECTION, "the paper's figure"), quick=False)
    # fmt: off
    rows = [
        says(f"linear-{name}-top", f"Linear, {size}: the model stores the {m} most important features and nothing else, at every density",
             "largest deviation of WᵀW from the identity there and 0 elsewhere", linear.deviation, at_most(0.02)),
        says(f"linear-{name}-loss", f"Linear, {size}: the loss is that of dropping the other features",
             "loss / closed form, at each density", linear.loss / linear.linear_loss, about(1, 0.02), number="{:.4f}"),
        says(f"linear-{name}-bias", f"Linear, {size}: a dropped feature's bias is its mean, (1 − S)/2",
             "bias / mean", dropped.values.ravel(), about(1, 0.02), number="{:.4f}"),
        full(f"relu-{name}-dense", f"ReLU, {size}: dense features are stored as in the linear model",
             "largest deviation of WᵀW from the identity for the top features", relu.deviation[0], at_most(0.05),
             source="what training leaves"),
        full(f"relu-{name}-counts", f"ReLU, {size}: the sparser, the more features are stored",
             f"norms > 0.9, at densities {counted}", counts, about(expected, within),
             source=f"counted in the paper's figure, ± {within}"),
        full(f"relu-{name}-order", f"ReLU, {size}: superposition starts with the less important features",
             "from one density to the next, how far down moves the first feature in superposition",
             np.diff(relu.first_shared[1:]), at_most(1), source="one place of luck"),
        full(f"relu-{name}-eats", f"ReLU, {size}: superposition eats its way up to the most important feature",
             "place of the first feature in superposition, at density 0.001", relu.first_shared[-1], exactly(0)),
        full(f"relu-{name}-dedicated", f"ReLU, {size}: dense, each dimension is dedicated to one feature",
             "dedicated features at density 1", relu.n_dedicated[0], exactly(m)),
        full(f"relu-{name}-all", f"ReLU, {size}: where features are sparsest, no stored feature has a dimension to itself",
             "dedicated features at density 0.001", relu.n_dedicated[-1], exactly(0)),
        full(f"relu-{name}-positive-last", f"ReLU, {size}: the sparsest models have positive interference",
             "largest entry off the diagonal of WᵀW, at densities ≤ 0.01", relu.interference[sparse], at_least(0.1)),
        full(f"relu-{name}-bias-last", f"ReLU, {size}: the sparsest models have negative biases against positive interference",
             "least bias, at densities ≤ 0.01", relu.b[sparse].min("feature"), at_most(-0.05)),
    ]
    if size == "20 in 5":  # with 80 features of such similar importances, five form a pentagon at 0.1
        rows += [
            full(f"relu-{name}-three", f"ReLU, {size}: at density 0.3 three features are dedicated",
                 "", relu.n_dedicated.sel(density=0.3), exactly(3)),
            full(f"relu-{name}-negative-first", f"ReLU, {size}: superposition starts with negative interference only",
                 "largest entry off the diagonal of WᵀW, at densities 0.3 and 0.1", crowded[early], at_most(0.1)),
        ]
    # fmt: on
    return rows


def notes(best: xr.Dataset) -> list[str]:
    small, large = (int(_networks(best, size)[1].members) for size in SIZES)
    return [
        f"Best of {small} models (20 features) and {large} (80 features) at each density, by exact loss. They train on "
        "samples: with this many features the noise finds better minima than descent on the exact loss does.",
        "The paper does not give its optimizer, steps and batch; these are Adam with a rate that falls to 0. Its "
        "counts are read off its figure by eye. The sparsest models are the most sensitive: with a tenth of the "
        "steps they store fewer features.",
    ]
