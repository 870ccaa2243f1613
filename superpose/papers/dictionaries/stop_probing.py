"""Autoencoders fail at compressed sensing in a paper's settings: with others their directions are right, with FISTA their codes.

Features are combined at test time as they never were in training. A paper finds that sparse coding with the true
directions has the codes there, that autoencoders' codes are nearly useless, and that their directions are to blame.
Here the same autoencoders on the same samples, with a stronger penalty and a higher learning rate, find most of the
directions. What is missing then are samples, where features are many, and codes by an optimization for each sample: one
step from the true directions has no better ones.
"""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from superpose import costs, draws, plot, settings, train
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.dictionaries import (
    FISTA,
    OMP,
    Autoencoder,
    Dictionary,
    JumpReLU,
    Reconstruction,
    Relu,
    ReluStep,
    TopK,
    best_threshold,
    random_directions,
    scores,
)
from superpose.features import Empirical

SECTION = "Stop probing, start coding, arXiv 2603.28744 (2026)"
TAKES = 600
QUICK = {"features": (50,), "worlds": (1,), "steps": 2000, "own_steps": 1500, "rounds": 100, "samples": 1500}

ACTIVE = 10
"""Active features in each sample."""
SPLITS = ("in", "out")
"""New samples of the distribution of training, and samples that combine features that were never active together."""
SETTINGS = ("paper", "ours", "more samples")
AUTOENCODERS = ("TopK", "ReLU", "JumpReLU")
INFERENCES = ("FISTA .1", "FISTA .01", "OMP", "one ReLU step")
TABLE = {
    50: {"TopK": (0.657, 0.603), "ReLU": (0.539, 0.549), "JumpReLU": (0.337, 0.410),
         "probe": (0.810, 0.751), "learned": (0.928, 0.917), "FISTA .1": (0.974, 0.971)},
    100: {"TopK": (0.813, 0.705), "ReLU": (0.400, 0.413), "JumpReLU": (0.252, 0.324),
          "probe": (0.670, 0.408), "learned": (0.951, 0.945), "FISTA .1": (0.986, 0.986)},
    500: {"TopK": (0.253, 0.212), "ReLU": (0.201, 0.218), "JumpReLU": (0.179, 0.176),
          "probe": (0.352, 0.196), "learned": (0.963, 0.955), "FISTA .1": (0.992, 0.992)},
}  # fmt: skip
"""The paper's scores of codes, by number of features: in the distribution of training, and out of it."""


@dataclass(frozen=True)
class Config:
    features: tuple[int, ...] = (50, 100, 500)
    """Numbers of features n, in 2 k ln(n / k) dimensions with k = 10 of them active: as in compressed sensing."""
    worlds: tuple[int, ...] = (3, 3, 1)
    """How many worlds, with other directions and samples, at each number of features."""
    samples: int = 2500
    """Samples in training, as many to evaluate, and as many out of distribution."""
    more: int = 30_000
    """Samples in training where there are more."""
    steps: int = 20_000
    """Steps of Adam in the paper's settings, on 64 samples each."""
    own_steps: int = 4000
    """Steps of Adam in ours, on 256 samples each."""
    rounds: int = 300
    """Rounds of dictionary learning, of 10 steps of FISTA each."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, samples=2, more=2, steps=1, own_steps=1, rounds=1)
        if not self.features or min(self.features) < 4 * ACTIVE or len(self.worlds) != len(self.features):
            raise ValueError(
                f"features must be numbers of at least {4 * ACTIVE}, and worlds one number for each"
            )
        if min(self.worlds) < 1:
            raise ValueError("worlds must be numbers of at least 1")

    @property
    def cost(self) -> costs.Cost:
        total = costs.Cost(0, 10 * self.more * max(self.features))
        for n, worlds in zip(self.features, self.worlds, strict=True):
            weights = 2 * n * _dimensions(n)
            total += costs.training(3 * worlds, 2 * n, weights, self.steps, 64)
            total += costs.training(6 * worlds, 2 * n, weights, self.own_steps, 256)
            total += costs.evaluating(worlds * self.samples, (20 * self.rounds + 6000) * weights)
        return total


def _dimensions(n: int) -> int:
    return int(np.ceil(2 * ACTIVE * np.log(n / ACTIVE)))


def run(config: Config) -> xr.Dataset:
    key, each = draws.key_of(config.seed), []
    for n, worlds in zip(config.features, config.worlds, strict=True):
        keys = train.member_keys(draws.stream(key, f"{n} features"), worlds)
        each.append(xr.concat([_world(n, config, own) for own in keys], "world"))
    return xr.concat(each, "features", join="outer").assign_coords(features=list(config.features))


def _world(n, config, key) -> xr.Dataset:
    """Everything in one world: what autoencoders find, and what the truth and dictionary learning allow."""
    W = random_directions(n, _dimensions(n), key=draws.stream(key, "directions"))
    sets = {
        name: _drawn(draws.stream(key, name), n, samples, name == "out")
        for name, samples in {"training": config.samples, "in": config.samples, "out": config.samples, "more": config.more}.items()
    }  # fmt: skip
    hidden = {name: x @ W.T for name, x in sets.items()}
    truth = [(sets[split], hidden[split], split) for split in SPLITS]

    def scored(dictionary):
        return [_mcc(_codes(dictionary, h), x, split) for x, h, split in truth]

    def with_fista(directions, bias=0.0):
        return scored(Dictionary(directions, bias, FISTA(0.1, 300, tolerance=1e-3)))

    start = random_directions(n, len(W), key=draws.stream(key, "dictionary learning"))
    probe = jnp.linalg.lstsq(hidden["training"], sets["training"])[0]
    saes = [_autoencoders(n, hidden, config, key, setting) for setting in SETTINGS]
    step = ReluStep(best_threshold(W, sets["training"], hidden["training"]))
    inferences = (FISTA(0.1, 300, tolerance=1e-3), FISTA(0.01, 600, tolerance=1e-4), OMP(ACTIVE), step)
    cosines = [[scores.matching(sae.directions, W, signed=True).cosine for sae in row] for row in saes]
    kinds = ("setting", "autoencoder", "split")
    return xr.Dataset(
        {
            "own": (kinds, [[scored(sae) for sae in row] for row in saes]),
            "fista": (kinds, [[with_fista(sae.directions, sae.bias) for sae in row] for row in saes]),
            "cosine": (kinds[:2], [[each.mean() for each in row] for row in cosines]),
            "found": (kinds[:2], [[(each > 0.9).mean() for each in row] for row in cosines]),
            "active": (kinds[:2], [[float(scores.l0(_codes(sae, hidden["in"]))) for sae in row] for row in saes]),
            "truth": (("inference", "split"), [scored(Dictionary(W, 0.0, each)) for each in inferences]),
            "learned": ("split", with_fista(_learned(hidden["training"], start, config.rounds))),
            "probe": ("split", [_mcc(h @ probe, x, split) for x, h, split in truth]),
        },
        {"setting": list(SETTINGS), "autoencoder": list(AUTOENCODERS), "split": list(SPLITS), "inference": list(INFERENCES)},
    )  # fmt: skip


def _drawn(key, n, samples, out=False):
    """Samples with k active features. Half of those in the distribution have feature 0 with others of the first half, the
    rest any but feature 0; those out of it have feature 0 with others of the second half."""
    i, second = np.arange(n)[None], n - n // 2
    chance = draws.uniform(draws.stream(key, "which"), (samples, n))
    with_first = out | (draws.uniform(draws.stream(key, "halves"), (samples, 1)) < 0.5)
    half = i >= second if out else (i > 0) & (i < second)
    order = jnp.where(with_first & ~half | (i == 0), 2.0, chance)
    order = jnp.where(with_first & (i == 0), -1.0, order)
    active = order <= jnp.sort(order, axis=1)[:, ACTIVE - 1 : ACTIVE]
    return jnp.where(active, draws.uniform(draws.stream(key, "values"), (samples, n)), 0.0)


def _autoencoders(n, hidden, config, key, setting) -> list[Autoencoder]:
    """One of each method. The paper's error is a mean over dimensions, ours a sum, so that its penalties are times these."""
    m, own = _dimensions(n), draws.stream(key, "autoencoders")
    if setting == "paper":
        same = {"steps": config.steps, "batch": 64, "revive": 0}
        methods = TopK(ACTIVE, **same), Relu(1e-4 * m, **same), JumpReLU(1e-4 * m, width=1e-3, **same)
        optimizer, rows = optax.adam(5e-4), hidden["training"]
    else:
        same = {"steps": config.own_steps, "batch": 256}
        methods = TopK(ACTIVE, **same), Relu(0.2, **same), JumpReLU(0.05, **same)
        optimizer, rows = train.cosine_adam(0.01, same["steps"]), hidden["more" if setting == "more samples" else "training"]
    made = []
    for method in methods:
        sae = Autoencoder.init(m, n, method, key=own)
        if setting == "paper" and "log_threshold" in sae.own:
            sae = eqx.tree_at(lambda sae: sae.own["log_threshold"], sae, jnp.full(n, np.log(1e-3), jnp.float32))
        loss = Reconstruction(Empirical(rows), method.batch)
        fitted = train.fit(train.stack([sae]), loss, steps=method.steps, key=own, optimizer=optimizer, progress=False)
        made.append(train.member(fitted.models, 0))
    return made


@partial(jax.jit, static_argnames="rounds")
def _learned(h, D, rounds):
    """The paper's dictionary learning: in turn, some steps of FISTA on all samples, and the directions that fit the codes best."""

    def turn(_, state):
        D, z = state
        L = jnp.linalg.eigvalsh(D @ D.T)[-1]

        def step(_, state):
            z, ahead, momentum = state
            new = jnp.maximum(ahead - ((ahead @ D.T - h) @ D + 0.1) / L, 0.0)
            following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
            return new, new + (momentum - 1) / following * (new - z), following

        z = jax.lax.fori_loop(0, 10, step, (z, z, jnp.ones(())))[0]
        products = z.T @ z + 1e-6 * jnp.eye(z.shape[1])
        D = jnp.linalg.solve(products, z.T @ h).T
        return D / jnp.maximum(jnp.linalg.norm(D, axis=0, keepdims=True), 1e-9), z

    return jax.lax.fori_loop(0, rounds, turn, (D, jnp.zeros((len(h), D.shape[1]))))[0]


@eqx.filter_jit
def _codes(dictionary, h):
    return jax.lax.map(dictionary.encode, h, batch_size=min(len(h), 500))


def _mcc(z, x, split) -> float:
    """The paper's score of codes: the mean correlation, in size, of features with latents, in the best one-to-one matching.

    Out of distribution only as many latents take part as there are features, those that vary most.
    """
    z, x = np.asarray(z, float), np.asarray(x, float)
    x = x[:, x.var(axis=0) > 1e-8]
    if split == "out":
        z = z[:, np.argsort(-z.var(axis=0))[: x.shape[1]]]
    z, x = ((each - each.mean(axis=0)) / (each.std(axis=0) + 1e-9) for each in (z, x))
    size = np.abs(x.T @ z) / len(x)
    return float(size[linear_sum_assignment(-size)].mean())


def measured(data: xr.Dataset) -> xr.Dataset:
    """The means over worlds, and beside them the paper's, `paper_...`, where it has that number of features.

    `closed` is the share of what is missing between an autoencoder's codes and those with the true directions, out of
    distribution, that is gained by FISTA with the autoencoder's own directions.
    """
    means = data.mean("world")
    ceiling = means.truth.sel(inference="FISTA .1", split="out")
    own, fista = means.own.sel(split="out"), means.fista.sel(split="out")

    def table(name):
        return [TABLE.get(n, {}).get(name, (np.nan, np.nan)) for n in data.features.values.tolist()]

    return means.assign(
        closed=(fista - own) / (ceiling - own),
        paper_own=(("features", "autoencoder", "split"), np.stack([table(method) for method in AUTOENCODERS], axis=1)),
        paper_truth=(("features", "split"), table("FISTA .1")),
        paper_learned=(("features", "split"), table("learned")),
        paper_probe=(("features", "split"), table("probe")),
    )


@plot.style()
def figure(coding: xr.Dataset) -> Figure:
    fig = plot.figure(13.5, 7.8)
    fig.suptitle("Codes of features in new combinations, and the directions that they are along")
    axes = fig.subplots(2, 3)
    for ax, n in zip(axes[0], coding.features.values, strict=False):
        _stairs(ax, coding.sel(features=n, split="out"))
        ax.set_title(f"{n} features in {_dimensions(int(n))} dimensions")
    for ax in axes[0, coding.sizes["features"] :]:
        ax.remove()
    table, cosine, both = axes[1]
    for color, marker, name in zip(plot.SETS, "os^", AUTOENCODERS, strict=False):
        each, look = coding.sel(autoencoder=name), {"ls": "", "marker": marker, "ms": 5, "color": color}
        _beside(table, each.paper_own, each.own.sel(setting="paper"), marker, color, name)
        for setting, style in zip(SETTINGS, (":", "--", "-"), strict=True):
            cosine.plot(coding.features, each.cosine.sel(setting=setting), marker + style, ms=4, color=color)
        reached = each.cosine.values.ravel()
        both.plot(reached, each.own.sel(split="out").values.ravel(), **look)
        both.plot(reached, each.fista.sel(split="out").values.ravel(), mfc="white", **look)
    _beside(table, coding.paper_probe, coding.probe, "D", plot.INK, "linear probe")
    _beside(table, coding.paper_learned, coding.learned, "P", plot.FAINT, "dictionary learning")
    _beside(table, coding.paper_truth, coding.truth.sel(inference="FISTA .1"), "*", plot.INK, "true directions")
    table.axline((0, 0), slope=1, color=plot.FAINT, lw=0.8, zorder=0)
    for style, setting in zip((":", "--", "-"), SETTINGS, strict=True):
        cosine.plot([], [], style, color=plot.INK, label=_NAMES[setting].replace("\n", " "))
    both.plot([], [], "o", color=plot.INK, label="own codes")
    both.plot([], [], "o", color=plot.INK, mfc="white", label="FISTA, same directions")
    step = coding.truth.sel(inference="one ReLU step", split="out").mean()
    both.axhline(float(step), color=plot.INK, lw=1, ls=(0, (4, 2)), label="one ReLU step, true directions")
    table.set(xlabel="score in the paper (hollow: new combinations)", ylabel="score here, in its settings",
              xlim=(0.1, 1.03), ylim=(0.1, 1.03))  # fmt: skip
    cosine.set(xlabel="features", xscale="log", ylabel="mean matched cosine of directions", ylim=(0.2, 1.02))
    plot.log_axis(cosine.xaxis, coding.features.values)
    both.set(xlabel="mean matched cosine of directions", ylabel="score of codes, new combinations", ylim=(0.1, 1.03))
    for ax in (table, cosine, both):
        ax.legend(fontsize=7)
    return fig


_NAMES = {"paper": "the paper's\nsettings", "ours": "our\nsettings", "more samples": "and more\nsamples"}


def _beside(ax, paper, here, marker, color, name) -> None:
    """The scores here against those of the paper; those of new combinations are hollow."""
    look = {"ls": "", "marker": marker, "ms": 6, "color": color}
    ax.plot(paper.sel(split="in"), here.sel(split="in"), label=name, **look)
    ax.plot(paper.sel(split="out"), here.sel(split="out"), mfc="white", **look)


def _stairs(ax, coding) -> None:
    """From the paper's settings to ours, to more samples: the scores of own codes, and of FISTA's with the same directions."""
    at = np.arange(len(SETTINGS))
    for color, marker, name in zip(plot.SETS, "os^", AUTOENCODERS, strict=False):
        each, look = coding.sel(autoencoder=name), {"marker": marker, "ms": 5, "color": color}
        ax.plot(at, each.own, "-", label=name, **look)
        ax.plot(at, each.fista, ":", mfc="white", **look)
    ax.plot([], [], "o:", color=plot.INK, mfc="white", label="FISTA, same directions")
    for name, level in (
        ("FISTA, true directions", coding.truth.sel(inference="FISTA .1")),
        ("one ReLU step, true directions", coding.truth.sel(inference="one ReLU step")),
        ("linear probe", coding.probe),
    ):
        ax.axhline(float(level), color=plot.INK, lw=0.8, ls=(0, (4, 2)), zorder=0)
        ax.annotate(name, (-0.25, float(level)), (0, 2), textcoords="offset points", fontsize=7)
    ax.set_xticks(at, [_NAMES[setting] for setting in SETTINGS])
    ax.set(xlim=(-0.3, 2.2), ylim=(0.1, 1.06), ylabel="score of codes (MCC), new combinations")
    ax.legend(fontsize=7, loc="lower right")


@as_claims
def claims(coding: xr.Dataset) -> list[Claim]:
    out = coding.sel(split="out")
    few, many = (coding.isel(features=int(of(coding.features.values))) for of in (np.argmin, np.argmax))
    ours, more = (coding.sel(setting=setting) for setting in ("ours", "more samples"))
    small = ours.sel(features=coding.features < 200)
    says = from_section(SECTION)
    own = from_section("ours", "ours")
    # fmt: off
    return [
        says("oracle", "Sparse coding with the true directions has the codes, also in new combinations", "score", coding.truth.sel(inference="FISTA .1").values.ravel(), at_least(0.95),
             source="the paper: .971 to .993"),
        own("penalty", "What it misses is its penalty", "score, at a tenth of the penalty", coding.truth.sel(inference="FISTA .01").values.ravel(), at_least(0.99), source="the paper's own sweep: 1.000"),
        says("table", "In the paper's settings autoencoders' codes are as in its table", "score less the paper's", _there(coding.own.sel(setting="paper") - coding.paper_own), about(0, 0.08), quick=False, source="its results, 3 seeds"),
        says("table-probe", "So are those of a linear probe", "score less the paper's", _there(coding.probe - coding.paper_probe), about(0, 0.05), source="its results, 3 seeds"),
        says("learned", "Dictionary learning has most of the codes, where features are few", "score", coding.learned.sel(features=coding.features < 200).values.ravel(), at_least(0.8), quick=False, source="its results: .874 to .972"),
        says("probe-out", "A linear probe is worse in new combinations", "score in less score out", coding.probe.sel(split="in") - coding.probe.sel(split="out"), at_least(0.03), source="its results: .06 to .26"),
        says("wrong-directions", "Autoencoders' directions are substantially wrong", "mean cosine, at the best settings", coding.cosine.max(("setting", "autoencoder")), at_most(0.8), source="its results: .345 to .754, and once .930", instead="directions"),
        own("directions", "With a stronger penalty and a higher rate they are nearly right on the same samples, where features are few", "mean cosine", small.cosine.max("autoencoder"), at_least(0.85)),
        own("enough", "There more samples add nothing", "mean cosine with them, less without", (few.cosine.sel(setting="more samples") - few.cosine.sel(setting="ours")).max(), at_most(0.1)),
        own("samples", "Where features are many it takes more samples", "mean cosine with them, less without", many.cosine.sel(setting="more samples") - many.cosine.sel(setting="ours"), at_least(0.08), quick=False),
        own("right", "With them they are nearly right", "largest mean cosine", more.cosine.max("autoencoder"), at_least(0.85)),
        says("not-closed", "FISTA with the same directions does not close the gap to the true ones", "largest share of it that it closes", out.closed.max(("setting", "autoencoder")), at_most(0.2), source="its abstract", instead="closed"),
        own("closed", "With these directions FISTA closes a good part of the gap", "largest share of it", more.closed.max("autoencoder"), at_least(0.25)),
        own("one-step", "One ReLU step from the true directions is no better than autoencoders are", "score, with the best threshold", coding.truth.sel(inference="one ReLU step").values.ravel(), at_most(0.82)),
        own("pursuit", "Matching pursuit from the true directions has the codes, so that what its autoencoder lacks are directions", "score", coding.truth.sel(inference="OMP").values.ravel(), at_least(0.96)),
    ]
    # fmt: on


def _there(difference):
    return difference.values[np.isfinite(difference.values)]


def notes(coding: xr.Dataset) -> list[str]:
    return ["..."]
