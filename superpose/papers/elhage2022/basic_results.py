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

from superpose import costs, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, exactly
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import Linear, ReluOutput

SECTION = "Basic Results"
TAKES = 35
QUICK = {"members": 2, "members_80": 1, "steps": 600, "linear_steps": 7000, "batch": 256}

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SIZES = {"20 in 5": (20, 5, 0.7), "80 in 20": (80, 20, 0.9)}


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
        {"density": np.array(DENSITIES)}, members=members, key=config.seed, steps=steps,
        optimizer=optax.adam(optax.linear_schedule(config.learning_rate, 0.0, steps)),
        judged=lambda density: Population(Independent(density, importance)),
    )  # fmt: skip
    return data.assign(importance=("feature", importance))


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(13, 10.4)
    parts: Any = fig.subfigures(2, 1)
    for part, size in zip(parts, SIZES, strict=True):
        n, m, decay = SIZES[size]
        relu, linear = (grid.one(data, "network", f"{kind}, {size}") for kind in ("relu", "linear"))
        shown = [(grid.best(linear.isel(density=-1)), "linear, any density\n")]
        shown += [
            (grid.best(relu.isel(density=at)), f"ReLU, 1 − S = {density:g}\n")
            for at, density in enumerate(relu.density.values)
        ]
        part.suptitle(
            f"{n} features in {m} dimensions, importance {decay}$^i$: best of {relu.sizes['member']} models"
        )
        grams, bars = part.subplots(2, len(shown), height_ratios=[1, 1.25])
        for top, bottom, (model, title) in zip(grams, bars, shown, strict=True):
            W, b = model.W.values, model.b.values
            plot.gram(top, W, b)
            plot.norm_bars(bottom, W)
            top.set_title(title + f"{_count(W, 0.5):g} stored", fontsize=9)
            bottom.set_xlabel("$\\|W_i\\|$")
        grams[0].set_ylabel("$W^T W$ and $b$")
        bars[0].set_ylabel("features, the most\nimportant on top")
        plot.colorbar(
            part, grams, plot.weight_colors, "weight", low=-1, high=1, ticks=[-1, 0, 1], aspect=12, pad=0.01
        )
        plot.colorbar(
            part, bars, plot.superposition_colors, "superposition", ticks=[0, 1], aspect=15, pad=0.01
        )
    return fig


def _count(W, length) -> float:
    return float(measures.n_represented(W, length))


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    counts = {"20 in 5": ((5, 7, 9, 10, 11, 12, 12), 1), "80 in 20": ((20, 26, 32, 41, 49), 3)}
    found = []
    for size, (expected, within) in counts.items():
        found += _linear_claims(grid.one(data, "network", f"linear, {size}"), size)
        found += _relu_claims(grid.one(data, "network", f"relu, {size}"), size, expected, within)
    return found


def _linear_claims(data, size) -> list[Claim]:
    n, m, _ = SIZES[size]
    name = size.replace(" ", "-")
    best = grid.best(data)
    gram = np.swapaxes(best.W.values, -1, -2) @ best.W.values
    off = np.abs(gram - np.diag(np.arange(n) < m)).max(axis=(-1, -2))
    theoretical = np.array(
        [theory.linear_loss(np.full(n, p), data.importance.values, m) for p in data.density.values]
    )
    dropped = best.b.values[:, m:] / (data.density.values[:, None] / 2)
    return [
        Claim(
            f"linear-{name}-top",
            f"Linear, {size}: stores the {m} most important features and nothing else, at every density", SECTION,
            at_most(0.02), off, what="largest deviation of WᵀW from the identity there and 0 elsewhere",
            source="theory, and what training leaves",
        ),
        Claim(
            f"linear-{name}-loss", f"Linear, {size}: its loss is that of dropping the others", SECTION,
            about(1, 0.02), best.loss.values / theoretical, what="loss / closed form, at each density",
            source="theory, and what training leaves", number="{:.4f}",
        ),
        Claim(
            f"linear-{name}-bias", f"Linear, {size}: a dropped feature's bias is its mean, (1 − S)/2", SECTION,
            about(1, 0.02), dropped, what="bias / mean", source="theory, and what training leaves",
            number="{:.4f}",
        ),
    ]  # fmt: skip


def _relu_claims(data, size, expected, within) -> list[Claim]:
    n, m, _ = SIZES[size]
    name = size.replace(" ", "-")
    best = grid.best(data)
    W, b, density = best.W.values, best.b.values, data.density.values
    gram = np.swapaxes(W, -1, -2) @ W
    counts = [_count(w, 0.9) for w in W]
    norms, shared = (
        grid.over_models(f, best.W, "feature").values for f in (measures.norms, measures.superposition)
    )
    dedicated = ((norms > 0.5) & (shared < 0.1)).sum(axis=-1)
    off = np.where(np.eye(n, dtype=bool), -np.inf, gram).max(axis=(-1, -2))
    there = (norms > 0.5) & (shared > 0.5)
    first_shared = np.where(there.any(axis=1), there.argmax(axis=1), np.nan)
    sparse = density <= 0.01
    found = [
        Claim(
            f"relu-{name}-dense", f"ReLU, {size}: dense features are stored as in the linear model", SECTION,
            at_most(0.05), np.abs(gram[0] - np.diag(np.arange(n) < m)).max(),
            what="largest deviation of WᵀW from the identity for the top features", source="what training leaves", quick=False,
        ),
        Claim(
            f"relu-{name}-counts", f"ReLU, {size}: the sparser, the more features are stored", SECTION,
            about(expected, within), counts[: len(expected)],
            what=f"norms > 0.9, at densities {', '.join(f'{p:g}' for p in DENSITIES[: len(expected)])}",
            source=f"counted in the paper's figure, ± {within}", quick=False,
        ),
        Claim(
            f"relu-{name}-order", f"ReLU, {size}: superposition starts with the less important features", SECTION,
            at_most(1), np.diff(first_shared[1:]),
            what="from one density to the next, how far down moves the first feature in superposition",
            source="one place of luck", quick=False,
        ),
        Claim(
            f"relu-{name}-eats", f"ReLU, {size}: and eats its way up to the most important one", SECTION,
            exactly(0), first_shared[-1], what="place of the first feature in superposition, at density 0.001",
            source="the paper's figure", quick=False,
        ),
        Claim(
            f"relu-{name}-dedicated", f"ReLU, {size}: dense, each dimension is dedicated to one feature", SECTION,
            exactly(m), dedicated[0], what="dedicated features at density 1", source="the paper's figure",
            quick=False,
        ),
        Claim(
            f"relu-{name}-all", f"ReLU, {size}: in the end no stored feature has a dimension to itself", SECTION,
            exactly(0), dedicated[-1] if (norms[-1] > 0.5).any() else np.nan,
            what="dedicated features at density 0.001", source="the paper's figure", quick=False,
        ),
        Claim(
            f"relu-{name}-positive-last", f"ReLU, {size}: the sparsest have positive interference", SECTION,
            at_least(0.1), off[sparse], what="largest entry off the diagonal of WᵀW, at densities ≤ 0.01",
            source="the paper's figure", quick=False,
        ),
        Claim(
            f"relu-{name}-bias-last", f"ReLU, {size}: and negative biases against it", SECTION,
            at_most(-0.05), b[sparse].min(axis=-1), what="least bias, at densities ≤ 0.01",
            source="the paper's figure", quick=False,
        ),
    ]  # fmt: skip
    if size == "20 in 5":  # with 80 features and importances so alike, five of them form a pentagon at 0.1
        at = int(np.flatnonzero(density == 0.3)[0])
        first = (density < 1) & (density >= 0.1)
        early = np.where((norms[first] > 0.5).sum(axis=1) > m, off[first], np.nan)
        found += [
            Claim(
                f"relu-{name}-three", f"ReLU, {size}: at density 0.3 three features are dedicated", SECTION,
                exactly(3), dedicated[at], source="the paper's figure", quick=False,
            ),
            Claim(
                f"relu-{name}-negative-first", f"ReLU, {size}: first there is negative interference only", SECTION,
                at_most(0.1), early, what="largest entry off the diagonal of WᵀW, at densities 0.3 and 0.1",
                source="the paper's figure", quick=False,
            ),
        ]  # fmt: skip
    return found


def notes(data: xr.Dataset) -> list[str]:
    small, large = (grid.one(data, "network", f"relu, {size}").sizes["member"] for size in SIZES)
    return [
        f"Best of {small} models (20 features) and {large} (80 features) at each density, by exact loss. They train on "
        "samples: with this many features the noise finds better minima than descent on the exact loss does.",
        "The paper does not give its optimizer, steps and batch; these are Adam with a rate that falls to 0. Its "
        "counts are read off its figure by eye. The sparsest models are the most sensitive: with a tenth of the "
        "steps they store fewer features.",
    ]
