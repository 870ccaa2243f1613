"""Where recovery stops: dictionaries find features until there are too many active ones for the dimensions.

With the true directions, codes of L1 minimization are right up to a number of active features that Donoho and Tanner
computed. To learn the directions as well is harder: each method stops earlier, at a share of that limit. It also takes a
number of samples, and a toy model's own directions, which it chose for the density, are no harder to find than
random ones.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, grid, measures, plot, settings, theory, train
from superpose.claims import Claim, as_claims, at_least, at_most, between, from_section
from superpose.dictionaries import (
    FISTA,
    MOD,
    OMP,
    Activations,
    Dictionary,
    Relu,
    TopK,
    codes,
    fit_each,
    random_directions,
    scores,
)
from superpose.features import Empirical, Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput

SECTION = "Compressed sensing, Donoho and Tanner (2009)"
TAKES = 600
QUICK = {
    "hidden": 16,
    "undersampling": (0.5,),
    "active": (0.1, 0.4),
    "samples": (30, 10_000),
    "steps": 1500,
    "members": 1,
}

PENALTIES = (0.05, 0.1, 0.2)
METHODS = ("L1", "TopK", "MOD")
FOUND = 0.95
"""A feature is recovered where a live latent has this cosine to it."""


@dataclass(frozen=True)
class Config:
    hidden: int = 32
    """Dimensions m."""
    undersampling: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Dimensions over features, m / n."""
    active: tuple[float, ...] = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 0.85)
    """Active features over dimensions, on average."""
    samples: tuple[int, ...] = (30, 100, 300, 1000, 3000, 10_000, 30_000)
    """Numbers of samples, where m / n and the active share are the middle ones of theirs."""
    members: int = 2
    """Dictionaries from different starts at each point, of which the mean is shown."""
    steps: int = 3000
    """Steps of Adam on 512 samples each."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, hidden=2, members=1, steps=1)
        settings.shares(self, "undersampling", "active")
        if not self.samples or min(self.samples) < 1:
            raise ValueError("samples must be numbers of at least 1")

    @property
    def cost(self) -> costs.Cost:
        points = len(self.undersampling) * len(self.active) + len(self.samples) + len(self.active)
        n = self.hidden / min(self.undersampling)
        return costs.training(
            points * self.members * (len(PENALTIES) + 2), 2 * n, 3 * n * self.hidden, self.steps, 512
        )


def run(config: Config) -> xr.Dataset:
    key = draws.key_of(config.seed)
    W = {
        share: random_directions(
            round(config.hidden / share), config.hidden, key=draws.stream(key, f"directions {share}")
        )
        for share in config.undersampling
    }
    random = [[_world(W[share], active) for active in config.active] for share in config.undersampling]
    middle = W[config.undersampling[len(config.undersampling) // 2]]
    typical = _world(middle, config.active[(len(config.active) - 1) // 2])
    # Padded to one size, so that they share programs.
    finite = [
        Empirical(typical.sample(draws.stream(key, f"{n} samples"), n)).filled(
            max(config.samples), config.hidden
        )
        for n in config.samples
    ]
    learned = _learned(middle.shape[1], config, key)
    data = {
        "recovered": (("undersampling", "active", "learned_by"), [[_recovered(each, each, config, key) for each in row] for row in random]),
        "coded": (("undersampling", "active"), [[_coded(each, key) for each in row] for row in random]),
        "from_samples": (("samples", "learned_by"), [_recovered(each, typical, config, key) for each in finite]),
        "from_learned": (("active", "learned_by"), [_recovered(each, each, config, key) for each in learned]),
        "represented": ("active", [float(_kept(each).mean()) for each in learned]),
    }  # fmt: skip
    names = ("undersampling", "active", "samples")
    return xr.Dataset(
        data, {"learned_by": list(METHODS)} | {name: list(getattr(config, name)) for name in names}
    ).assign_attrs(middle=len(config.undersampling) // 2)


def _world(W, active) -> Activations:
    """Features along these directions, of which this share of the dimensions is active on average."""
    m, n = W.shape
    return Activations(W, Independent(min(1.0, active * m / n), n_features=n), active=True)


def _learned(n, config, key) -> list[Activations]:
    """Toy models trained at each density, the best of some."""
    densities = [active * config.hidden / n for active in config.active]
    models = grid.fitted(
        lambda key: ReluOutput.init(n, config.hidden, key=key),
        lambda density: Sampled(Independent(density, n_features=n), batch=512),
        {"density": densities},
        members=config.members,
        key=key,
        steps=config.steps,
    )
    return [
        _world(jnp.asarray(W), active)
        for W, active in zip(grid.best(models).W.values, config.active, strict=True)
    ]


def _kept(world) -> np.ndarray:
    """Which features the model has a direction for."""
    return np.asarray(measures.norms(world.directions)) > 0.5


def _recovered(activations, world, config, key) -> list[float]:
    """The share of the features that each method recovers, on average over seeds, with the best of its penalties."""
    W, kept = world.directions, _kept(world)
    n, k = W.shape[1], max(1, round(float(world.features.density.sum() / world.features.any_active)))
    h = world.sample(draws.stream(key, "evaluation"), 2000)
    same: dict[str, Any] = {"steps": config.steps, "batch": 512, "rate": 0.01}
    keys = train.member_keys(draws.stream(key, "dictionaries"), config.members)
    shares = []
    for methods in (
        [Relu(penalty, **same) for penalty in PENALTIES],
        [TopK(k, **same)],
        [MOD(OMP(min(k, 8)), samples=10_000)],
    ):
        many = [method for method in methods for _ in range(config.members)]
        made = fit_each(many, activations, n, key=jnp.tile(keys, len(methods)), progress=False)
        live = [scores.live(codes(each, h)) for each in made]
        found = [
            np.asarray(scores.recovery(each.directions, W, live=on))[kept] > FOUND
            for each, on in zip(made, live, strict=True)
        ]
        # Penalties are no seeds: the best of them is shown, and of seeds the mean.
        shares.append(
            max(np.mean(found[at * config.members : (at + 1) * config.members]) for at in range(len(methods)))
        )
    return [float(share) for share in shares]


def _coded(world, key) -> float:
    """The share of samples on which L1 minimization with the true directions finds the codes."""
    x, h = world.pairs(draws.stream(key, "codes"), 500)
    z = codes(Dictionary(world.directions, 0.0, FISTA(1e-3, 3000)), h)
    return float((((z - x) ** 2).sum(axis=1) < 0.01 * (x**2).sum(axis=1)).mean())


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also where each stops: the active share at which half is recovered, or coded; and Donoho and Tanner's `limit`.

    Where half is recovered at the largest share tried, it is that share; where not even at the smallest, 0.
    """
    return data.assign(
        limit=("undersampling", theory.recoverable(data.undersampling.values)),
        stops=_stops(data.recovered),
        coded_stops=_stops(data.coded),
        learned_stops=_stops(data.from_learned),
    )


def _stops(share) -> xr.DataArray:
    active = share.active.values

    def crossing(values):
        above = values >= 0.5
        if above.all() or not above.any():
            return active[-1] if above.all() else 0.0
        last = np.flatnonzero(above)[-1]
        if last == len(active) - 1:
            return active[-1]
        part = (values[last] - 0.5) / (values[last] - values[last + 1])
        return active[last] * (active[last + 1] / active[last]) ** part

    return xr.apply_ufunc(crossing, share, input_core_dims=[["active"]], vectorize=True)


@plot.style()
def figure(recovery: xr.Dataset) -> Figure:
    fig = plot.figure(13, 7)
    fig.suptitle("Where recovery stops")
    limit, middle, samples, learned = fig.subplots(2, 2).flat
    fine = np.linspace(0.05, 1, 200)
    limit.plot(fine, theory.recoverable(fine), color=plot.INK, lw=1, label="Donoho–Tanner: codes by L1")
    limit.plot(recovery.undersampling, recovery.coded_stops, "k*", ms=7, label="codes, true directions")
    each = recovery.isel(undersampling=recovery.middle)
    middle.axvline(float(each.limit), color=plot.INK, lw=1, ls=(0, (4, 2)))
    middle.plot(
        recovery.active, each.coded, "*-", color=plot.INK, ms=6, lw=0.8, label="codes, true directions"
    )
    for color, marker, method in zip(plot.SETS, "os^", METHODS, strict=False):
        look = {"marker": marker, "ms": 4, "color": color, "label": method}
        limit.plot(recovery.undersampling, recovery.stops.sel(learned_by=method), ls="--", **look)
        middle.plot(recovery.active, each.recovered.sel(learned_by=method), **look)
        samples.plot(recovery.samples, recovery.from_samples.sel(learned_by=method), **look)
        learned.plot(recovery.active, recovery.from_learned.sel(learned_by=method), **look)
        learned.plot(recovery.active, each.recovered.sel(learned_by=method), ":", color=color, lw=1)
    learned.plot([], [], ":", color=plot.INK, lw=1, label="random directions")
    learned.plot(recovery.active, recovery.represented, color=plot.FAINT, label="features that the model has")
    limit.set(
        xlabel="dimensions over features, m / n",
        ylabel="active features over dimensions, half recovered",
        yscale="log",
        ylim=(0.02, 1),
    )
    middle.set_title(f"m / n = {float(each.undersampling):g} (dashed: the limit of codes)")
    learned.set_title("directions that toy models learned")
    samples.set(xlabel="samples", xscale="log")
    for ax in (middle, learned):
        ax.set(xlabel="active features over dimensions", xscale="log")
        plot.log_axis(ax.xaxis, recovery.active.values)
    for ax in (middle, samples, learned):
        ax.set(ylabel="share of features recovered", ylim=(-0.03, 1.03))
    for ax in (limit, middle, samples, learned):
        ax.legend(fontsize=7)
    return fig


@as_claims
def claims(recovery: xr.Dataset) -> list[Claim]:
    says = from_section(SECTION, "their limit, for many features; here there are few")
    ours = from_section("ours", "ours")
    each = recovery.isel(undersampling=recovery.middle)
    sparse = each.isel(active=int(recovery.active.values.argmin()))
    dense = each.isel(active=int(recovery.active.values.argmax()))
    # fmt: off
    return [
        says("codes-below", "Well below the limit, L1 minimization with the true directions finds the codes", "share of samples, at less than half of it",
             recovery.coded.values[(recovery.active < 0.5 * recovery.limit).transpose(*recovery.coded.dims)], at_least(0.85)),
        says("codes-stop", "It stops near the limit", "active share at which half of the samples are right, over the limit",
             recovery.coded_stops / recovery.limit, between(0.6, 1.4), quick=False),
        ours("sparse", "Sparse features are recovered", "share, at the smallest active share, by the best method", sparse.recovered.max(), at_least(0.9)),
        ours("dense", "Dense ones are not", "share, at the largest active share, by the best method", dense.recovered.max(), at_most(0.3)),
        ours("earlier", "To learn directions stops no later than codes do with the true ones", "active share at which half is recovered, over that of codes",
             (recovery.stops / recovery.coded_stops).values.ravel(), at_most(1.05), quick=False),
        ours("samples", "It takes samples", "share recovered from the fewest, less that from the most, L1",
             recovery.from_samples.sel(learned_by="L1")[0] - recovery.from_samples.sel(learned_by="L1")[-1], at_most(-0.3)),
        ours("learned", "The directions of toy models are easier than random ones", "active share at which half is recovered, over that for random ones",
             recovery.learned_stops / each.stops, at_least(1.1), quick=False),
    ]
    # fmt: on


def notes(recovery: xr.Dataset) -> list[str]:
    return [
        f"A feature is recovered where a live latent has a cosine of {FOUND} to it. There are as many latents as features. L1 has the best of the penalties "
        f"{', '.join(map(str, PENALTIES))}; TopK and MOD with OMP know how many features are active on average.",
        "Each feature is active by itself, so that their number differs from sample to sample, and samples without any are left out; the limit is for a fixed "
        "number. Of toy models, features count that are longer than 1/2.",
    ]
