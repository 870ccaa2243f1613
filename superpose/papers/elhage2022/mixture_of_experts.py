"""A mixture of experts, with as many hidden units at work, needs less superposition and has a lower loss.

The dense model has five hidden units for 20 features. The mixtures have 20 units, of which five are active on each
sample, so that most features come to have a dimension to themselves. An exact calculation says why: for each time
that a hidden unit is active, it saves more loss with one feature than with an antipodal pair.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import Mixture, ReluOutput
from superpose.train import cosine_adam, ensemble, fit

SECTION = "The Strategic Picture of Superposition"
TAKES = 20
QUICK = {"members": 2, "steps": 1200, "densities": (0.1, 0.01)}

FEATURES = 20
ACTIVE = 5
"""Hidden units at work on each sample."""
KINDS = {
    "dense": partial(ReluOutput.init, FEATURES, ACTIVE),
    "4 experts of 5 units, 1 active": partial(Mixture.init, FEATURES, ACTIVE, experts=4),
    "20 experts of 1 unit, 5 active": partial(Mixture.init, FEATURES, ACTIVE, experts=20, active=ACTIVE),
}


@dataclass(frozen=True)
class Config:
    members: int = 4
    """Models from different starts at each setting; the best is kept."""
    steps: int = 5000
    """Steps of Adam on 512 samples each, with a learning rate that falls to 0."""
    densities: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    """Densities of the 20 features that mixtures of experts have 5 active hidden units for."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, members=1, steps=1)
        if not self.densities:
            raise ValueError("densities must name at least one")

    @property
    def cost(self) -> costs.Cost:
        models = len(self.densities) * self.members
        return costs.training(models, len(KINDS) * FEATURES, 60 * FEATURES, self.steps, 512)


def run(config: Config) -> xr.Dataset:
    models = xr.concat([_trained(init, config) for init in KINDS.values()], "kind")
    return xr.merge([models.assign_coords(kind=list(KINDS)), _per_activation()])


def _trained(init, config) -> xr.Dataset:
    """The best model of one kind at each density."""
    key, axes = draws.key_of(config.seed), {"density": config.densities, "member": range(config.members)}
    density, place = grid.points(*axes.values())
    trained = fit(
        ensemble(lambda key: init(key=key), members=place, key=key),
        grid.each(lambda density: Sampled(Independent(density, n_features=FEATURES), batch=512), density),
        steps=config.steps,
        key=key,
        own_loss=True,
        optimizer=cosine_adam(0.01, config.steps),
    )
    # The last two windows together have less noise than the last alone.
    best = grid.best(grid.dataset(trained.models, trained.history[:, -2:].mean(axis=1), axes=axes))
    return xr.Dataset(
        {
            "mixture_loss": best.loss,
            "mixture_norm": grid.over_models(measures.norms, best.W, "feature"),
            "mixture_share": grid.over_models(measures.dimensionality, best.W, "feature"),
        }
    ).drop_vars("member")


def _per_activation() -> xr.Dataset:
    """The loss that a hidden unit saves each time it is active: with one feature, and with a pair."""
    chance, w = np.geomspace(0.001, 0.5, 40), np.linspace(0.8, 1.2, 401)
    pair = theory.pair_loss(w, -w, chance[:, None]).min(axis=1)
    alone = theory.dropped_cost(chance)
    saved = np.stack([alone / chance, (2 * alone - pair) / (1 - (1 - chance) ** 2)])
    return xr.Dataset(
        {"per_activation": (("unit", "chance"), saved)},
        {"unit": ["one feature", "antipodal pair"], "chance": chance},
    )


def measured(data: xr.Dataset) -> xr.Dataset:
    """`relative`, the loss relative to storing nothing; `share`, the mean share of a dimension that stored features have.

    `ratio` is what a unit with one feature saves for each activation, relative to one with a pair.
    """
    alone, pair = data.per_activation
    return data.assign(
        relative=data.mixture_loss / (FEATURES * theory.dropped_cost(data.density.values)),
        share=data.mixture_share.where(data.mixture_norm > 0.5).mean("feature"),
        ratio=alone / pair,
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    fig = plot.figure(12.5, 4.2)
    loss, share, earns = fig.subplots(1, 3)
    for ax, values in ((loss, best.relative), (share, best.share)):
        for color, marker, kind in zip(plot.SETS, "os^", best.kind.values, strict=False):
            ax.plot(best.density, values.sel(kind=kind), marker=marker, color=color, ms=4, label=kind)
    guide: dict[str, Any] = {"color": "#666666", "lw": 0.8}
    plot.level(loss, 1 - ACTIVE / FEATURES, "dense, without\nsuperposition", **guide)
    plot.level(share, 1, "a dimension\neach", **guide)
    plot.level(share, 0.5, "antipodal\npairs", **guide)
    plot.log_axis(loss.yaxis, [0.001, 0.01, 0.1, 1])
    loss.set(ylim=(best.relative.min().item() / 8, 1.3), ylabel="loss relative to storing nothing")
    loss.legend(loc="lower right")
    loss.set_title(f"{FEATURES} features, {ACTIVE} active hidden units")
    share.set(ylim=(0, 1.08), ylabel="share of a dimension, mean of stored features")
    share.set_title("Superposition of the same models")
    for color, unit in zip((plot.BLUE, plot.RED), best.unit.values, strict=True):
        earns.plot(best.chance, best.per_activation.sel(unit=unit), color=color, label=unit)
    earns.set(ylabel="loss saved for each activation", ylim=(0, 0.36))
    earns.legend(loc="lower left", title="a hidden unit with", alignment="left")
    earns.set_title("What a hidden unit earns (exact)")
    for ax in (loss, share, earns):
        plot.log_axis(ax.xaxis, [0.001, 0.01, 0.1, 0.5] if ax is earns else best.density.values)
        ax.set_xlabel("density (1 − S)")
    return fig


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    loss, share = best.mixture_loss, best.share
    relative, more = loss[1:] / loss[0], share[1:] - share[0]
    says = from_section(SECTION, "closed form")
    ours = from_section("ours")
    # fmt: off
    return [
        says("mixture-loss", "With as many active hidden units, mixtures of experts have the lower loss",
             "loss relative to the dense model's", relative.values.ravel(), at_most(0.8), source="ours: well below 1"),
        says("mixture-share", "Features of mixtures of experts share dimensions less",
             "share of a dimension, beyond that in the dense model", more.values.ravel(), at_least(0.2), source="ours: well above 0"),
        ours("mixture-units", "With experts of one unit each, features have nearly a dimension each",
             "mean share of a dimension", share[-1], at_least(0.8), source="ours: near 1"),
        says("activation-dedicated", "For each activation a unit earns more with one feature than with an antipodal pair",
             "least ratio of the two", best.ratio.min(), at_least(1), number="{:.6f}"),
        says("activation-dense", "Where features are dense, a unit earns clearly more with one feature than with a pair",
             "ratio at density 0.5", best.ratio[-1], at_least(1.03), source="1 + p^2 / 8 / (1/3 - 5p/12) with unit weights"),
        says("activation-asymptotic", "An antipodal pair is as good only in the limit of sparse features",
             "ratio at density 0.001", best.ratio[0], about(1, 1e-5), source="the same", number="{:.8f}"),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    return [
        "The paper gives no settings; they are ours.",
        "Samples go to the experts whose own hidden units respond most; no router is trained, and it takes all experts' "
        "first layers to choose. In experts of one unit, features often lie across several units, at right angles.",
    ]
