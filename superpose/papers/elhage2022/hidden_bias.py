"""A hidden bias undoes the preferred basis: it lifts neurons above 0, where a ReLU does nothing.

A ReLU on the hidden layer costs a model more than it gains from it. Given a bias there, it learns one that is so
large that its neurons are positive at nearly all inputs. It is then as good as a model with a linear hidden layer,
which can be rotated at will, so that its single neurons mean nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Independent
from superpose.losses import SameSamples, Sampled
from superpose.models import ReluHidden, ReluOutput
from superpose.train import ensemble, minimize

SECTION = "Superposition in a Privileged Basis"
TAKES = 30
QUICK = {"members": 2, "samples": 2048}

DENSITIES = np.array([0.75, 0.35, 0.15, 0.12, 0.06, 0.02])
FEATURES, HIDDEN = 10, 5
IMPORTANCE = 0.75 ** np.arange(FEATURES)
LINEAR, RELU, BIASED = "linear hidden", "ReLU hidden", "ReLU hidden, with a bias"
SHOWN = 2
"""The density, by its place, of which the weights are drawn."""


@dataclass(frozen=True)
class Config:
    members: int = 10
    """Models at each density with each kind of hidden layer, from different initial weights; the best is shown."""
    samples: int = 8192
    """Samples on which they are trained."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, samples=1)

    @property
    def cost(self) -> costs.Cost:
        models = 3 * len(DENSITIES) * self.members
        trained = costs.evaluating(models * 250, 3 * self.samples * FEATURES)
        return trained + costs.evaluating(1, self.members * 2**16 * FEATURES)


def run(config: Config) -> xr.Dataset:
    kinds = {LINEAR: (ReluOutput, False), RELU: (ReluHidden, False), BIASED: (ReluHidden, True)}
    data = grid.stacked({name: _best(*kind, config) for name, kind in kinds.items()}, "kind")
    key = draws.key_of(config.seed)
    worlds = [Independent(density, n_features=FEATURES) for density in DENSITIES]
    x = np.stack([world.sample_active(draws.stream(key, "inputs"), 4096) for world in worlds])
    neurons = xr.dot(xr.DataArray(x, dims=("density", "sample", "feature")), data.W, dim="feature")
    turn = np.linalg.qr(np.asarray(draws.normal(draws.stream(key, "turn"), (HIDDEN, HIDDEN)), float))[0]
    return data.assign(
        positive=(neurons + data.hidden_bias > 0).mean(("sample", "hidden")),
        rotated=("density", _rotated(data.sel(kind=LINEAR), x, turn)),
    )


def _best(kind, hidden_bias: bool, config) -> xr.Dataset:
    """The best of several models of one kind at each density: at a minimum on common samples, judged on others."""

    def loss(density, samples):
        return Sampled(Independent(density, IMPORTANCE), samples, stratified=True)

    axes = {"density": DENSITIES, "member": range(config.members)}
    density, place = grid.points(*axes.values())
    models = ensemble(
        lambda key: kind.init(FEATURES, HIDDEN, key=key, hidden_bias=hidden_bias),
        members=place,
        key=config.seed,
    )
    same = grid.each(lambda p: SameSamples(loss(p, config.samples), config.seed), density)
    models = minimize(models, same, own_loss=True, evaluations=250).models
    judged = grid.evaluated(models, lambda p: loss(p, 2**16), [density], config.seed)
    best = grid.best(grid.dataset(models, judged, axes=axes)).drop_vars("member")
    return best if hidden_bias else best.assign(hidden_bias=xr.zeros_like(best.W.isel(feature=0)))


def _rotated(linear: xr.Dataset, x: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The largest change of an output when a linear hidden layer is rotated, at each density."""
    changes = []
    for inputs, W, b in zip(x, linear.W.values, linear.b.values, strict=True):
        before, after = (np.maximum(inputs @ V.T @ V + b, 0) for V in (W, turn @ W))
        changes.append(np.abs(after - before).max())
    return np.array(changes)


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(13, 4.2)
    *matrices, losses, shares = fig.subplots(1, 5, width_ratios=[1, 1, 1, 1.8, 1.8])
    for ax, kind in zip(matrices, (LINEAR, RELU, BIASED), strict=True):
        W = data.W.sel(kind=kind).values[SHOWN]
        ax.imshow(W.T, cmap=plot.weight_colors, vmin=-1, vmax=1, aspect="auto")
        title = kind.replace(", ", ",\n")
        ax.set(xticks=[], yticks=range(0, FEATURES, 3), xlabel="neuron", title=title)
        ax.spines[:].set_visible(False)
    matrices[0].set_ylabel(f"feature, at density {DENSITIES[SHOWN]:g}")
    where: dict[str, Any] = {"location": "bottom", "shrink": 0.6, "aspect": 40}
    plot.colorbar(fig, matrices, plot.weight_colors, "weight, cut off at ±1", low=-1, **where)
    dedicated = theory.dropped_cost(DENSITIES) * IMPORTANCE[HIDDEN:].sum()
    for kind, color, mark in (
        (RELU, plot.SETS[1], "o-"),
        (BIASED, plot.SETS[0], "s-"),
        (LINEAR, plot.SETS[2], "^-"),
    ):
        of, look = data.sel(kind=kind), {"color": color, "lw": 1.3, "ms": 4.5, "label": kind}
        losses.plot(DENSITIES, of.loss / dedicated, mark, **look)
        if kind != LINEAR:
            shares.plot(DENSITIES, of.positive, mark, **look)
    losses.set(title="best loss, relative to theory's\nwith one neuron a feature")
    shares.set(title="a hidden bias lifts neurons above 0:\nshare of inputs where they are")
    for ax, text in ((losses, "one neuron a feature"), (shares, "the ReLU never acts")):
        ax.axhline(1, color=plot.INK, lw=1, ls=(0, (4, 3)))
        ax.text(0.8, 1.015, text, ha="left", va="bottom", fontsize=7.5)
        plot.log_axis(ax.xaxis, [0.5, 0.2, 0.1, 0.05, 0.02])
        ax.set(xlim=(0.85, 0.017), xlabel="density (sparser →)", ylim=(0, 1.15))
        ax.legend(loc="lower left")
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    stores = abs(data.W).max(("hidden", "feature")) > 0.5
    rotated = data.rotated.where(stores.sel(kind=LINEAR))
    positive = data.positive.where(stores).sel(kind=BIASED)
    relative = data.loss.sel(kind=BIASED) / data.loss.sel(kind=LINEAR)
    says = from_section(SECTION)
    ours = from_section("ours")
    # fmt: off
    return [
        says("linear-rotation", "A linear hidden layer can be rotated without any change of the outputs",
             "largest change of an output, at each density", rotated, at_most(1e-5), source="mathematics"),
        says("bias-lifts", "Given a hidden bias, the model makes it positive, and the ReLU hardly acts",
             "share of inputs that leave a neuron above 0", positive, at_least(0.9), source="ours: nine of ten inputs"),
        ours("bias-linear", "Down to density 0.06, a model with a hidden bias is as good as one with a linear hidden layer",
             "loss, relative", relative[:5], about(1, 0.05), source="a linear hidden layer is its limit", quick=False),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    return [
        "Models with each kind of hidden layer go from their initial weights straight to a minimum of the loss on a common "
        "sample, and the one that is best on a second common sample is shown. Without a bias a ReLU needs many more "
        "of them: the best of 1000 are those of privileged-basis.",
        "The paper does not say at which settings it compares linear and ReLU hidden layers; here it is one of "
        "the six densities.",
    ]
