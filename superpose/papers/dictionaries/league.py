"""The league of dictionaries: every method on six worlds whose features are known, between nulls and a ceiling.

Each method runs at some values of its own sparsity knob. The value that tells best which features are active is chosen by the
first seed; what is shown is from the other seeds. Nulls have found nothing: random directions, and autoencoders whose
decoder or encoder stays as drawn. The ceiling is the true directions with optimized codes.

Where each feature can have a latent, autoencoders of all kinds find most directions, and none has codes as good as these. Where
features are independent and as frequent, matching pursuit along learned directions tells best which are active; where they
come in crowds, dictionary learning does, and where some are rare, autoencoders do. In the small SynthSAEBench the best latents
have a mean cosine of about .75. Explained variance says nothing of this: PCA has all of it. And a decoder that may hardly leave its random start is a strong null.
"""

from dataclasses import dataclass, replace
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
from superpose.features import Empirical

SECTION = "League"
TAKES = 700
QUICK = {
    "worlds": ("independent",), "methods": ("L1", "MOD", "PCA", "near decoder"), "knobs": 1, "steps": 1000, "samples": 400,
}  # fmt: skip

WORLDS = ("independent", "correlated", "hierarchical", "zipf", "synth-sae-bench-small", "toy-model")
AUTOENCODERS = ("L1", "TopK", "BatchTopK", "JumpReLU", "Gated", "Matryoshka")
CLASSICAL = ("MOD", "DictionaryLearning", "ICA", "PCA")
FROZEN = ("near decoder", "frozen decoder", "frozen encoder")
METHODS = AUTOENCODERS + CLASSICAL + FROZEN
SEARCHING = (*AUTOENCODERS, "MOD", "DictionaryLearning")
"""Methods that look for sparse codes of 0 or more; PCA and ICA do not."""
RANKING = ("mcc", "support_f1", "causal")
NULL, CEILING, NEED_SKLEARN = "random", "truth", ("DictionaryLearning", "ICA")
SCORES = (
    "mcc", "f1", "support_f1", "uniqueness", "dead", "l0", "explained_variance", "shrinkage", "absorption", "causal",
)  # fmt: skip
THRESHOLD = 0.05  # above which codes are on, and features active


@dataclass(frozen=True)
class Config:
    worlds: tuple[str, ...] = WORLDS
    """Named worlds; `superpose world` lists them."""
    methods: tuple[str, ...] = METHODS
    """Methods, beside random directions and the true ones; those that need scikit-learn are left out without it."""
    knobs: int = 3
    """Values of each method's knob that are tried, up to 3, the likeliest first."""
    latents: int = 256
    """The most latents of a dictionary: as many as there are features, if they are fewer."""
    members: int = 3
    """Dictionaries from different seeds at each setting; the first chooses the setting that is shown for the others."""
    steps: int = 3000
    """Steps of training of each autoencoder, on 256 samples each."""
    rows: int = 100_000
    """Activations that all methods learn from."""
    samples: int = 4000
    """Other samples, on which codes are scored."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, knobs=1, latents=1, members=3, steps=1, rows=1, samples=1)
        for name, known in (("worlds", tuple(worlds.names())), ("methods", METHODS)):
            given = getattr(self, name)
            if not given or not set(given) <= set(known):
                raise ValueError(f"{name} must be among {', '.join(known)}")

    @property
    def there(self) -> tuple[str, ...]:
        """The methods that can run, then the null and the ceiling."""
        can = find_spec("sklearn") is not None
        return (*(name for name in self.methods if can or name not in NEED_SKLEARN), NULL, CEILING)

    @property
    def cost(self) -> costs.Cost:
        many, n = len(self.worlds) * self.members, self.latents
        trained = self.knobs * len({*self.methods} & {*AUTOENCODERS}) + len({*self.methods} & {*FROZEN})
        others = self.knobs * (len({*self.methods} & {*CLASSICAL}) + 2)
        learned = costs.training(many * trained, n, 100 * n, self.steps, 256)
        held = 2e8 + 200 * self.rows + 1e4 * self.samples
        return learned + costs.Cost(0.5 * many * (others + trained), held)


def run(config: Config) -> xr.Dataset:
    known = [worlds.named(name) for name in config.worlds]
    index = xr.DataArray(list(config.worlds), dims="world", name="world")
    data = xr.concat([_played(each, config) for each in known], index, data_vars="all", coords="minimal")
    return data.assign_attrs({f"{world.name} {world.version}": world.hash for world in known})


def _played(world, config) -> xr.Dataset:
    """All methods on one world."""
    key, activations = draws.key_of(config.seed), world.activations
    density, n = np.asarray(activations.features.density), min(config.latents, activations.n_features)
    seen = (1 - (1 - density) ** config.samples).sum()  # features, on average
    keys = train.member_keys(draws.stream(key, world.name), config.members)
    training = Empirical(activations.sample(draws.stream(key, "training"), config.rows))
    found = np.full((len(config.there), config.knobs, config.members, len(SCORES)), np.nan)
    for place, name in enumerate(config.there):
        knobs = _methods(density.sum(), config)[name][: config.knobs]
        methods = [method for method in knobs for _ in keys]
        law = activations if isinstance(knobs[0], _Given) else training
        dictionaries = fit_each(methods, law, n, key=jnp.tile(keys, len(knobs)), progress=False)
        scores = [_scores(each, world, draws.stream(key, "scores"), config) for each in dictionaries]
        found[place, : len(knobs)] = np.reshape(scores, (len(knobs), config.members, -1))
    return xr.Dataset(
        {name: (("dictionary", "knob", "member"), found[..., place]) for place, name in enumerate(SCORES)}
        | {"attainable": n / len(density), "attainable_codes": min(1.0, n / seen)},
        {"dictionary": list(config.there)},
    )


def _methods(active, config) -> dict[str, list[Any]]:
    """Each method at the values of its knob; `active` features are active on average."""
    same: dict[str, Any] = {"steps": config.steps, "batch": 256, "rate": 0.01}
    about = [max(1.0, share * active) for share in (1.0, 0.7, 1.5)]
    whole = [max(1, round(k)) for k in about]
    null = TopK(whole[0], **same)
    pursuits = _pursuits(1.5 * active, 2.5 * active, active)
    inferences = [pursuits[1], FISTA(0.02), FISTA(0.5)]
    return {
        "L1": [Relu(penalty, **same) for penalty in (0.2, 0.1, 0.05)],
        "TopK": [TopK(k, **same) for k in whole],
        "BatchTopK": [BatchTopK(k, **same) for k in about],
        "JumpReLU": [JumpReLU(penalty, **same) for penalty in (0.03, 0.1, 0.01)],
        "Gated": [Gated(penalty, **same) for penalty in (0.4, 0.8, 0.2)],
        "Matryoshka": [Matryoshka(k, **same) for k in about],
        "MOD": [MOD(omp, samples=5000) for omp in pursuits],
        "DictionaryLearning": [DictionaryLearning(each, samples=10_000, passes=5) for each in (0.2, 0.1)],
        "ICA": [ICA(samples=5000, iterations=100)],
        "PCA": [PCA()],
        "near decoder": [replace(null, decoder="near")],
        "frozen decoder": [replace(null, decoder="frozen")],
        "frozen encoder": [replace(null, encoder="frozen")],
        NULL: [_Given(each, true=False) for each in inferences],
        CEILING: [_Given(each, true=True) for each in inferences],
    }


def _pursuits(*k) -> list[OMP]:
    """OMP of so many latents, all of one shape, so that it is compiled once."""
    return [OMP(max(1, round(each)), largest=max(1, round(max(k)))) for each in k]


@dataclass(frozen=True)
class _Given:
    """Directions that are not learned: random, or the true ones of the features that are active most often."""

    inference: Any
    true: bool

    def fit(self, activations, n_latents, *, key) -> Dictionary:
        if not self.true:
            return random_dictionary(activations.n_hidden, n_latents, self.inference, key=key)
        most = np.argsort(-np.asarray(activations.features.density), kind="stable")[:n_latents]
        true = oracle(activations, self.inference)
        return Dictionary(true.directions[:, most], true.bias, self.inference)


def _scores(dictionary, world, key, config) -> np.ndarray:
    asked: dict[str, Any] = {"threshold": THRESHOLD, "edges": world.edges, "causal_samples": 400}
    found = score(dictionary, world.activations, key=key, samples=config.samples, **asked)
    return np.array([found[name] for name in SCORES], float)  # None is NaN


def measured(data: xr.Dataset) -> xr.Dataset:
    """The scores of each method at the knob whose support F1 is best for the first member, of the other members.

    `mcc` is divided by the share of features that can have a latent, `attainable`, and `support_f1` by that of those seen.
    """
    best = data.support_f1.isel(member=0).fillna(-1).argmax("knob")
    shown = data.isel(knob=best, member=slice(1, None))
    return shown.assign(
        mcc=shown.mcc / shown.attainable, support_f1=shown.support_f1 / shown.attainable_codes
    )


def _among(league, *kinds) -> list[str]:
    return [name for name in league.dictionary.values if any(name in kind for kind in kinds)]


@plot.style()
def figure(league: xr.Dataset) -> Figure:
    learned = league.support_f1.sel(dictionary=_among(league, AUTOENCODERS, CLASSICAL)).mean(
        ("world", "member")
    )
    rows = [CEILING, *learned.sortby(-learned).dictionary.values, *_among(league, FROZEN, (NULL,))]
    fig = plot.figure(6.4, 1.5 + 0.56 * len(rows))
    titles = {
        "mcc": "directions: matched cosine (MCC)",
        "support_f1": "codes: which features are active (F1)",
    }
    for ax, (name, title) in zip(fig.subplots(2, 1, sharex=True), titles.items(), strict=True):
        shown = league[name].sel(dictionary=rows).transpose("dictionary", "world", "member").values
        ax.imshow(shown.mean(-1), cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(shown.mean(-1)):
            ink, half = "white" if value < 0.55 else "black", np.ptp(shown[row, column]) / 2
            ax.text(column, row - 0.06, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=10)
            ax.plot(
                [column - half, column + half], [row + 0.36] * 2, color=ink, lw=1.6, solid_capstyle="butt"
            )
        for edge in (0.5, learned.size + 0.5):
            ax.axhline(edge, color="white", lw=4)
        ax.set_xticks(range(league.sizes["world"]), [each.replace("-", "\n") for each in league.world.values])
        ax.set_yticks(range(len(rows)), rows, fontsize=10)
        ax.tick_params(length=0, labelbottom=True)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    return fig


@as_claims
def claims(league: xr.Dataset) -> list[Claim]:
    mean = league.mean("member")
    truth, random = mean.sel(dictionary=CEILING), mean.sel(dictionary=NULL)
    others = mean.sel(dictionary=[name for name in mean.dictionary.values if name != CEILING])
    found = mean.sel(dictionary=_among(league, SEARCHING))
    autoencoders = mean.sel(dictionary=_among(league, AUTOENCODERS))
    nulls = mean.sel(dictionary=_among(league, FROZEN, (NULL,))).max("dictionary")
    says, each = from_section("ours"), league.attainable.values == 1
    # fmt: off
    reseeded = (league.max("member") - league.min("member")).sel(dictionary=found.dictionary).mean("dictionary") / (truth - random)
    result = [
        says("first", "The true directions are first in every world", "MCC, causal agreement, and where each feature can have a latent support F1, less the best of all others",
             _ranked(truth - others.max("dictionary"), support_f1=each), at_least(-1e-3), source="the ceiling must be one; rounding"),
        says("last", "Random directions are behind every method that looks for sparse codes", "the same scores, of the worst less random; MCC only where each feature can have a latent",
             _ranked(found.min("dictionary") - random, mcc=each), at_least(0.02), source="they have found nothing"),
        says("above-nulls", "Most results are above those of all nulls", "share, over methods, worlds and the three scores",
             (_ranked(found - nulls) > 0).mean(), at_least(0.75), source="ours: most"),
        says("reseeded", "Another seed changes scores little", "range over seeds, mean over methods, as a share of what lies between random directions and the true ones", _ranked(reseeded), at_most(0.15), source="ours"),
        says("codes-behind", "The directions of autoencoders are better than their codes", "MCC less support F1, mean over autoencoders", (autoencoders.mcc - autoencoders.support_f1).mean("dictionary"), at_least(0), source="the amortization gap"),
    ]
    if "PCA" in mean.dictionary:
        pca, better = mean.sel(dictionary="PCA"), others.explained_variance.drop_sel(dictionary="PCA").max("dictionary")
        result += [
            says("trap", "Explained variance alone puts nothing above PCA", "explained variance of PCA less the best of all others", pca.explained_variance - better, at_least(-1e-3), source="as many components as dimensions explain all"),
            says("trap-found", "PCA does not tell which features are active", "support F1 of PCA over that of the ceiling", pca.support_f1 / truth.support_f1, at_most(0.2), source="its codes are dense"),
        ]
    if "MOD" in mean.dictionary:
        ahead = mean.support_f1.sel(dictionary="MOD") - autoencoders.support_f1.max("dictionary")
        for name, statement, among, bounds, source in (
            ("optimized", "Where features are independent and as frequent, the optimized codes of MOD tell best which are active", ("independent", "toy-model"), at_least(0), "the amortization gap"),
            ("rare", "Where features are correlated, or some are rare, autoencoders tell it better than MOD", ("correlated", "zipf"), at_most(0), "ours: MOD has few samples of rare features"),
        ):
            if there := [world for world in mean.world.values if world in among]:
                result.append(says(name, statement, "support F1 of MOD less the best autoencoder", ahead.sel(world=there), bounds, source=source))
    if "near decoder" in mean.dictionary:
        near = mean.sel(dictionary="near decoder")
        result.append(says("near", "Decoders that may hardly leave random directions are strong nulls", "their support F1 over that of random directions",
                           near.support_f1 / random.support_f1, at_least(1.5), source="arXiv 2602.14111: such baselines come close to autoencoders"))
    # fmt: on
    return result


def _ranked(scores, **among) -> np.ndarray:
    """The ranking scores, each of all worlds or of those it is to be `among`."""
    return np.concatenate([np.ravel(scores[name].values[among.get(name, slice(None))]) for name in RANKING])


def notes(league: xr.Dataset) -> list[str]:
    mean = league.mean("member")
    methods = mean[["mcc", "support_f1"]].sel(dictionary=_among(league, AUTOENCODERS, CLASSICAL))
    first = methods.map(lambda each: each.fillna(-1).idxmax("dictionary"))
    leads = [f"{world} {', '.join(str(each.sel(world=world).values) for each in first.values())}" for world in mean.world.values]  # fmt: skip
    return [
        f"First among methods, by MCC and by support F1: {'; '.join(leads)}.",
        "The knob is the k of TopK, BatchTopK and Matryoshka, 0.7, 1 and 1.5 times the true number of active features on average, and of MOD's OMP, 1 to 2.5 "
        "times; else the penalty. The best by support F1 for the first seed is shown for the others; bars are the range over these.",
        "Nulls are TopK with a decoder or an encoder that stays as drawn, or a decoder within a cosine of 0.8 of it, and random directions with the best of the inferences "
        "that the true directions have: OMP with 2.5 times the active features, FISTA with a penalty of 0.02 or 0.5. MOD has 5,000 samples, autoencoders all.",
        "In synth-sae-bench-small a dictionary has a latent for a quarter of the features: MCC and support F1 are means over as many features as there are "
        "latents, and the true directions are those of the most frequent features. There autoencoders may tell better which are active than "
        "any of our inferences along the true directions, which explain by others what has no latent; and random directions have a high MCC, as each may choose.",
        "NMF is not in the league: it needs activations that are never negative. DictionaryLearning and ICA are where scikit-learn is.",
    ]
