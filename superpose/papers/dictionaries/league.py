"""The league of dictionaries: every method on six worlds whose features are known, between nulls and a ceiling.

Each method runs at some values of its own sparsity knob. The value that tells best which features are active is chosen by the
first seed; what is shown is from the other seeds. Nulls have found nothing: random directions, and autoencoders whose
decoder or encoder stays as it was drawn. The ceiling is the true directions with optimized codes.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, draws, plot, settings, train
from superpose.claims import Claim, as_claims, at_least, at_most, from_section
from superpose.dictionaries import (
    FISTA,
    ICA,
    MOD,
    OMP,
    PCA,
    BatchTopK,
    Dictionary,
    DictionaryLearning,
    Gated,
    JumpReLU,
    Matryoshka,
    Relu,
    TopK,
    fit_each,
    oracle,
    random_dictionary,
    score,
    worlds,
)

SECTION = "ours"
TAKES = 900
QUICK = {
    "worlds": ("hierarchical",),
    "methods": ("L1", "MOD", "PCA", "near decoder"),
    "members": 2,
    "steps": 1000,
    "samples": 400,
}

WORLDS = ("independent", "correlated", "hierarchical", "zipf", "synth-sae-bench-small", "toy-model")
AUTOENCODERS = ("L1", "TopK", "BatchTopK", "JumpReLU", "Gated", "Matryoshka")
CLASSICAL = ("MOD", "DictionaryLearning", "ICA", "PCA")
FROZEN = ("near decoder", "frozen decoder", "frozen encoder")
METHODS = AUTOENCODERS + CLASSICAL + FROZEN
NULL, CEILING = "random", "truth"
NEED_SKLEARN = ("DictionaryLearning", "ICA")
SCORES = (
    "mcc", "f1", "support_f1", "uniqueness", "dead", "l0", "explained_variance", "shrinkage", "absorption", "causal",
)  # fmt: skip
THRESHOLD = 0.05
"""Codes count as on, and features as active, above this size."""
KNOBS = 3


@dataclass(frozen=True)
class Config:
    worlds: tuple[str, ...] = WORLDS
    """Named worlds; `superpose world` lists them."""
    methods: tuple[str, ...] = METHODS
    """Methods, beside random directions and the true ones; those that need scikit-learn are left out without it."""
    latents: int = 256
    """The most latents of a dictionary: as many as there are features, if they are fewer."""
    members: int = 3
    """Dictionaries from different seeds at each setting; the first chooses the setting that is shown for the others."""
    steps: int = 3000
    """Steps of training of each autoencoder, on 256 samples each."""
    samples: int = 4000
    """Samples on which codes are scored."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, latents=1, members=2, steps=1, samples=1)
        for name, given, known in (
            ("worlds", self.worlds, tuple(worlds.names())),
            ("methods", self.methods, METHODS),
        ):
            if not given or not set(given) <= set(known):
                raise ValueError(f"{name} must be among {', '.join(known)}")

    @property
    def there(self) -> tuple[str, ...]:
        """The methods that can run, then the null and the ceiling."""
        without = () if find_spec("sklearn") else NEED_SKLEARN
        return (*(name for name in self.methods if name not in without), NULL, CEILING)

    @property
    def cost(self) -> costs.Cost:
        many = len(self.worlds) * self.members
        trained = KNOBS * len(set(self.methods) & set(AUTOENCODERS)) + len(set(self.methods) & set(FROZEN))
        others = KNOBS * len(set(self.methods) & set(CLASSICAL))
        one = costs.training(1, self.latents, 100 * self.latents, self.steps, 256)
        return sum([one] * (many * trained), costs.evaluating(many * (others + trained + 6), 5e8))


def run(config: Config) -> xr.Dataset:
    return xr.concat([_played(worlds.named(name), config) for name in config.worlds], "world")


def _played(world, config) -> xr.Dataset:
    """All methods on one world."""
    key, activations = draws.key_of(config.seed), world.activations
    active, n = float(activations.features.mean_active), min(config.latents, activations.n_features)
    keys = train.member_keys(draws.stream(key, world.name), config.members)
    dims = ("dictionary", "knob", "member")
    found = np.full((len(SCORES), len(config.there), KNOBS, config.members), np.nan)
    value = np.full(found.shape[1:-1], np.nan)
    for place, name in enumerate(config.there):
        knobs, make = _methods(active, config)[name]
        value[place, : len(knobs)] = knobs
        methods = [make(knob) for knob in knobs for _ in keys]
        dictionaries = fit_each(methods, activations, n, key=jnp.tile(keys, len(knobs)), progress=False)
        scores = [_scores(each, world, draws.stream(key, "scores"), config) for each in dictionaries]
        found[:, place, : len(knobs)] = np.reshape(scores, (len(knobs), config.members, -1)).transpose(
            2, 0, 1
        )
    return xr.Dataset(
        {name: (dims, values) for name, values in zip(SCORES, found, strict=True)}
        | {"value": (dims[:-1], value), "true_l0": active, "attainable": n / activations.n_features},
        {"dictionary": list(config.there), "world": world.name, "version": world.version, "hash": world.hash},
    )


def _methods(active, config) -> dict[str, tuple[tuple[float, ...], Any]]:
    """For each method the values of its knob, and what makes the method of one; `active` features are active on average."""
    same: dict[str, Any] = {"steps": config.steps, "batch": 256, "rate": 0.01}
    about = tuple(max(1.0, share * active) for share in (0.7, 1.0, 1.5))
    more = tuple(max(1.0, round(share * active)) for share in (1.0, 1.5, 2.5))
    codes = (2.0 * active, 4.0 * active, 0.02)

    def null(**part):
        return (about[1],), lambda k: TopK(max(1, round(k)), **part, **same)

    return {
        "L1": ((0.05, 0.1, 0.2), lambda penalty: Relu(penalty, **same)),
        "TopK": (about, lambda k: TopK(max(1, round(k)), **same)),
        "BatchTopK": (about, lambda k: BatchTopK(k, **same)),
        "JumpReLU": ((0.01, 0.03, 0.1), lambda penalty: JumpReLU(penalty, **same)),
        "Gated": ((0.2, 0.4, 0.8), lambda penalty: Gated(penalty, **same)),
        "Matryoshka": (about, lambda k: Matryoshka(k, **same)),
        "MOD": (more, lambda k: MOD(_pursuit(k, more), samples=5000)),
        "DictionaryLearning": (
            (0.1, 0.2),
            lambda penalty: DictionaryLearning(penalty, samples=10_000, passes=5),
        ),
        "ICA": ((np.nan,), lambda _: ICA(samples=5000, iterations=100)),
        "PCA": ((np.nan,), lambda _: PCA()),
        "near decoder": null(decoder="near"),
        "frozen decoder": null(decoder="frozen"),
        "frozen encoder": null(encoder="frozen"),
        NULL: (codes, lambda knob: _Given(_inference(knob, codes), true=False)),
        CEILING: (codes, lambda knob: _Given(_inference(knob, codes), true=True)),
    }


def _inference(knob, knobs) -> Any:
    return _pursuit(knob, knobs) if knob >= 1 else FISTA(knob)


def _pursuit(k, all_k) -> OMP:
    """OMP of `k` latents, of the same shape for all `k`, so that it is compiled once."""
    return OMP(jnp.asarray(round(k)), largest=round(max(all_k)))


@dataclass(frozen=True)
class _Given:
    """Directions that are not learned: random, or the true ones of the features that are active most often."""

    inference: Any
    true: bool

    def fit(self, activations, n_latents, *, key) -> Dictionary:
        if not self.true:
            return random_dictionary(activations.n_hidden, n_latents, self.inference, key=key)
        most = np.argsort(-np.asarray(activations.features.density), kind="stable")[:n_latents]
        bias = oracle(activations, self.inference).bias
        return Dictionary(activations.directions[:, most], bias, self.inference)


def _scores(dictionary, world, key, config) -> list[float]:
    found = score(
        dictionary, world.activations, key=key, samples=config.samples, threshold=THRESHOLD, edges=world.edges,
        causal_samples=min(config.samples, 400),
    )  # fmt: skip
    return [np.nan if found[name] is None else float(found[name]) for name in SCORES]


def measured(data: xr.Dataset) -> xr.Dataset:
    """The scores of each method at the knob whose support F1 is best for the first member, of the other members.

    `mcc` and `support_f1`, means over all features, are divided by the share of features that can have a latent, `attainable`.
    """
    best = data.support_f1.isel(member=0).fillna(-1).argmax("knob")
    shown = data.isel(knob=best, member=slice(1, None))
    return shown.assign(mcc=shown.mcc / shown.attainable, support_f1=shown.support_f1 / shown.attainable)


def _among(league, *kinds) -> list[str]:
    return [name for name in league.dictionary.values if any(name in kind for kind in kinds)]


@plot.style()
def figure(league: xr.Dataset) -> Figure:
    learned = league.sel(dictionary=_among(league, AUTOENCODERS, CLASSICAL))
    order = learned.dictionary.values[
        np.argsort(-learned.support_f1.mean(("world", "member")).values, kind="stable")
    ]
    rows = [CEILING, *order, *_among(league, FROZEN, (NULL,))]
    fig = plot.figure(9.5, 1.4 + 0.42 * len(rows))
    for ax, name, title in zip(
        fig.subplots(1, 2, sharey=True),
        ("mcc", "support_f1"),
        ("directions: matched cosine (MCC)", "codes: which features are active (F1)"),
        strict=True,
    ):
        shown = league[name].sel(dictionary=rows).transpose("dictionary", "world", "member").values
        mean, spread = shown.mean(-1), np.ptp(shown, axis=-1)
        ax.imshow(mean, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(mean):
            ink = "white" if value < 0.55 else "black"
            ax.text(column, row - 0.04, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=9)
            half = spread[row, column] / 2
            ax.plot(
                [column - half, column + half], [row + 0.33] * 2, color=ink, lw=1.6, solid_capstyle="butt"
            )
        for edge in (0.5, len(order) + 0.5):
            ax.axhline(edge, color="white", lw=4)
        ax.set_xticks(range(league.sizes["world"]), [each.replace("-", "\n") for each in league.world.values])
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    return fig


@as_claims
def claims(league: xr.Dataset) -> list[Claim]:
    mean = league.mean("member")
    truth, random = mean.sel(dictionary=CEILING), mean.sel(dictionary=NULL)
    others = mean.sel(dictionary=[name for name in league.dictionary.values if name != CEILING])
    found = mean.sel(dictionary=_among(league, AUTOENCODERS, ("MOD", "DictionaryLearning")))
    nulls = mean.sel(dictionary=_among(league, FROZEN, (NULL,))).max("dictionary")
    autoencoders, pca = mean.sel(dictionary=_among(league, AUTOENCODERS)), mean.sel(dictionary="PCA")
    mod, topk = mean.sel(dictionary="MOD"), mean.sel(dictionary="TopK")
    learned = league.sel(dictionary=found.dictionary)
    reseeded = learned.std("member").mean("dictionary") / learned.mean("member").std("dictionary")
    says = from_section(SECTION)

    def ranking(dataset):
        return np.concatenate([np.ravel(dataset[name]) for name in ("mcc", "support_f1", "causal")])

    # fmt: off
    return [
        says("first", "The true directions are first in every world", "MCC, support F1 and causal agreement, less the best of the others", ranking(truth - others.max("dictionary")), at_least(0), source="the ceiling"),
        says("last", "Random directions are last in every world", "the worst that looks for features less random, the same scores", ranking(found.min("dictionary") - random), at_least(0), source="they have found nothing"),
    ]
    # fmt: on


def notes(league: xr.Dataset) -> list[str]:
    return []
