"""Linear models store the top features; ReLU models store more of them, the sparser they are.

First the less important features share dimensions in antipodal pairs; sparser, all do, in denser
arrangements that lean on negative biases.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure

from superpose import measures, plot, sweep, theory
from superpose.claims import Claim
from superpose.features import Independent
from superpose.losses import Population, Sampled
from superpose.models import Linear, ReluOutput
from superpose.train import ensemble, fit

ORDER = 4
FIGURE = "Basic Results"
TAKES = "3 min"
QUICK = {"members": 2, "members_80": 1, "steps": 600, "batch": 256}

DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SIZES = {"20 in 5": (20, 5, 0.7), "80 in 20": (80, 20, 0.9)}


@dataclass(frozen=True)
class Config:
    members: int = 10
    """ReLU models of 20 features at each density; the best is shown."""
    members_80: int = 3
    """ReLU models of 80 features at each density."""
    steps: int = 5000
    """Steps of Adam, with a learning rate that falls to 0."""
    batch: int = 512
    learning_rate: float = 0.01
    seed: int = 0

    def __post_init__(self):
        if min(self.members, self.members_80, self.steps, self.batch) < 1 or not self.learning_rate > 0:
            raise ValueError(
                "members, members-80, steps and batch must be at least 1, learning-rate positive"
            )


def run(config: Config) -> xr.Dataset:
    # ReLU models train on samples: with this many features the noise finds better minima than
    # descent on the exact loss does.
    sampled = partial(Sampled, batch=config.batch)
    networks = {}
    for size, members in (("20 in 5", config.members), ("80 in 20", config.members_80)):
        networks[f"linear, {size}"] = _trained(Linear, size, 1, Population, config)
        networks[f"relu, {size}"] = _trained(ReluOutput, size, members, sampled, config)
    return sweep.stacked(networks, "network")


def _trained(Model, size, members, loss, config) -> xr.Dataset:
    """Models of one kind at every density, by Adam on `loss(features)`; their losses are exact."""
    n_features, n_hidden, decay = SIZES[size]
    importance = decay ** np.arange(n_features)
    grid = {"density": np.array(DENSITIES), "member": range(members)}
    density, member = sweep.points(*grid.values())
    key = jax.random.key(config.seed)
    trained = fit(
        ensemble(lambda key: Model.init(n_features, n_hidden, key=key), members=member, key=key),
        sweep.each(lambda density: loss(Independent(density, importance)), density),
        steps=config.steps,
        key=jax.random.fold_in(key, 1),
        own_loss=True,
        optimizer=optax.adam(optax.linear_schedule(config.learning_rate, 0.0, config.steps)),
    ).models
    exact = sweep.each(lambda density: Population(Independent(density, importance)), density)
    losses = jax.jit(partial(jax.lax.map, lambda pair: pair[1](pair[0])))((trained, exact))
    data = sweep.dataset(trained, losses, grid=grid)
    return data.assign(importance=("feature", importance))


def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(13, 10.4)
    parts: Any = fig.subfigures(2, 1)
    for part, size in zip(parts, SIZES, strict=True):
        n, m, decay = SIZES[size]
        relu, linear = (sweep.one(data, "network", f"{kind}, {size}") for kind in ("relu", "linear"))
        shown = [(sweep.best(linear.isel(density=-1)), "linear, any density\n")]
        shown += [
            (sweep.best(relu.isel(density=at)), f"ReLU, 1 − S = {density:g}\n")
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
            top.set_title(title + f"{_count(W, 0.5)} stored", fontsize=9)
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


def _count(W, length) -> int:
    return int(measures.n_represented(W, length))


def claims(data: xr.Dataset) -> list[Claim]:
    counts = {"20 in 5": ((5, 7, 9, 10, 11, 12, 12), 1), "80 in 20": ((20, 26, 32, 41, 49), 3)}
    found = []
    for size, (expected, within) in counts.items():
        found += _linear_claims(sweep.one(data, "network", f"linear, {size}"), size)
        found += _relu_claims(sweep.one(data, "network", f"relu, {size}"), size, expected, within)
    return found


PAPER = "Basic Results; counts read off its figure"


def _linear_claims(data, size) -> list[Claim]:
    n, m, _ = SIZES[size]
    name = size.replace(" ", "-")
    best = sweep.best(data)
    gram = np.swapaxes(best.W.values, -1, -2) @ best.W.values
    off = np.abs(gram - np.diag(np.arange(n) < m)).max()
    theoretical = np.array(
        [theory.linear_loss(np.full(n, p), data.importance.values, m) for p in data.density.values]
    )
    loss_off = np.abs(best.loss.values / theoretical - 1).max()
    dropped = np.abs(best.b.values[:, m:] / (data.density.values[:, None] / 2) - 1).max()
    return [
        Claim(
            f"linear-{name}-top",
            f"linear, {size}: stores the {m} most important features and nothing else, at every density",
            PAPER,
            "W^T W is the identity there and 0 elsewhere, within 0.02",
            f"largest deviation {off:.4f}",
            bool(off <= 0.02),
        ),
        Claim(
            f"linear-{name}-loss",
            f"linear, {size}: its loss is that of dropping the others",
            "closed form",
            "within 2% at every density",
            f"largest deviation {loss_off:.1e}",
            bool(loss_off <= 0.02),
        ),
        Claim(
            f"linear-{name}-bias",
            f"linear, {size}: a dropped feature's bias is its mean, (1 - S)/2",
            PAPER,
            "within 2%",
            f"largest deviation {dropped:.1e}",
            bool(dropped <= 0.02),
        ),
    ]


def _relu_claims(data, size, expected, within) -> list[Claim]:
    n, m, _ = SIZES[size]
    name = size.replace(" ", "-")
    best = sweep.best(data)
    W, b, density = best.W.values, best.b.values, data.density.values
    gram = np.swapaxes(W, -1, -2) @ W
    counts = [_count(w, 0.9) for w in W]
    norms, shared = (
        sweep.over_models(f, best.W, "feature").values for f in (measures.norms, measures.superposition)
    )
    dedicated = ((norms > 0.5) & (shared < 0.1)).sum(axis=-1)
    off = np.where(np.eye(n, dtype=bool), -np.inf, gram).max(axis=(-1, -2))
    first_shared = [
        int(np.argmax((norm > 0.5) & (share > 0.5))) for norm, share in zip(norms, shared, strict=True)
    ]
    dense = np.abs(gram[0] - np.diag(np.arange(n) < m)).max()
    found = [
        Claim(
            f"relu-{name}-dense",
            f"ReLU, {size}: dense features are stored as in the linear model",
            PAPER,
            "W^T W is the identity for the top features, within 0.05",
            f"largest deviation {dense:.3f}",
            bool(dense <= 0.05),
        ),
        Claim(
            f"relu-{name}-counts",
            f"ReLU, {size}: the sparser, the more features are stored",
            PAPER,
            f"norms > 0.9: {', '.join(map(str, expected))}, each ± {within}",
            ", ".join(map(str, counts)),
            all(abs(a - e) <= within for a, e in zip(counts, expected, strict=False)),
        ),
        Claim(
            f"relu-{name}-order",
            f"ReLU, {size}: superposition starts with the less important features",
            PAPER,
            "the first in superposition is never less important when sparser",
            f"first one in superposition: {', '.join(map(str, first_shared[1:]))}",
            bool((np.diff(first_shared[1:]) <= 1).all() and first_shared[1] > first_shared[-1]),
        ),
        Claim(
            f"relu-{name}-all",
            f"ReLU, {size}: in the end no stored feature has a dimension to itself",
            PAPER,
            "dedicated features fall to 0",
            ", ".join(map(str, dedicated)),
            bool(dedicated[0] == m and dedicated[-1] == 0 and (np.diff(dedicated) <= 1).all()),
        ),
        Claim(
            f"relu-{name}-bias-last",
            f"ReLU, {size}: sparser, positive interference with negative biases",
            PAPER,
            "an off-diagonal above 0.1 and a bias below -0.05 at each density of 0.01 and less",
            f"off-diagonals from {off[density <= 0.01].min():.2f}, biases down to "
            f"{', '.join(f'{v:.2f}' for v in b[density <= 0.01].min(axis=-1))}",
            bool((off[density <= 0.01] > 0.1).all() and (b[density <= 0.01].min(axis=-1) < -0.05).all()),
        ),
    ]
    if size == "20 in 5":  # with 80 features and importances so alike, five of them form a pentagon at 0.1
        at = int(np.flatnonzero(density == 0.3)[0])
        early = off[density >= 0.1].max()
        found += [
            Claim(
                f"relu-{name}-three",
                f"ReLU, {size}: at density 0.3 three features are dedicated, four in pairs",
                PAPER,
                "3 dedicated, 7 stored",
                f"{dedicated[at]} dedicated, {counts[at]} stored",
                bool(dedicated[at] == 3 and counts[at] == 7),
            ),
            Claim(
                f"relu-{name}-negative-first",
                f"ReLU, {size}: first there is negative interference only",
                PAPER,
                "no off-diagonal of W^T W above 0.1 at density 0.1 and more",
                f"largest {early:.3f}",
                bool(early <= 0.1),
            ),
        ]
    return found
