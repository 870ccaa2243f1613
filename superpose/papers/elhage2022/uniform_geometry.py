"""How 400 equal features share 30 dimensions: as antipodal pairs over a wide range of sparsities, then pentagons.

Dense features have about one dimension each. As they grow sparser, the number of dimensions for each falls
in steps: it sticks at one half, where features are stored as antipodal pairs. Each feature has a share of a
dimension, and the shares gather at the fractions that belong to regular polytopes.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from superpose import costs, grid, measures, plot, polytopes, settings, solutions
from superpose.claims import Claim, as_claims, at_least, at_most, between
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput

SECTION = "The Geometry of Superposition"
TAKES = 95
QUICK = {"n_features": 160, "n_hidden": 16, "densities": 12, "steps": 2000, "batch": 512}

RIVALS = ("4-simplex", "tetrahedron", "triangle", "digon", "pentagon", "square antiprism")


@dataclass(frozen=True)
class Config:
    n_features: int = 400
    """Features, all of importance 1."""
    n_hidden: int = 30
    """Hidden dimensions."""
    densities: int = 24
    """How many densities, 1 / density from 1 to 10."""
    members: int = 1
    """Models at each density; the one of least loss is shown."""
    steps: int = 4000
    """Steps of Adam, with a learning rate that falls from 0.01 to 0."""
    batch: int = 1024
    """Samples for each step."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, densities=2, members=1, steps=1, batch=1, n_hidden=1)
        if self.n_features < 2 * self.n_hidden:
            raise ValueError(
                "features must compete for dimensions, at least 2 for each, "
                f"got n_features={self.n_features} and n_hidden={self.n_hidden}"
            )

    @property
    def cost(self) -> costs.Cost:
        n, weights = self.n_features, self.n_features * self.n_hidden
        return costs.training(self.densities * self.members, n, weights, self.steps, self.batch)


def run(config: Config) -> xr.Dataset:
    n, m = config.n_features, config.n_hidden
    data = grid.fitted(
        # From small weights: large ones get stuck where features are dense.
        lambda key: ReluOutput.init(n, m, key=key, scale=0.1),
        lambda sparseness: Sampled(Independent(1 / sparseness, n_features=n), config.batch),
        {"sparseness": np.geomspace(1, 10, config.densities)},
        members=config.members, key=config.seed, steps=config.steps,
    )  # fmt: skip
    finer = np.geomspace(1, 10, 40)
    benefit = solutions.regular(RIVALS, 1 / finer).benefit
    return data.assign(benefit=(("rival", "at"), benefit)).assign_coords(rival=list(RIVALS), at=finer)


def found(W: xr.DataArray) -> list[list[measures.Polytope]]:
    """The polytopes in the model at each density."""
    return [measures.polytopes(each) for each in W.values.astype(float)]


def in_each(parts: list[list[measures.Polytope]], name: str) -> np.ndarray:
    """How many features are in polytopes of this name, at each density."""
    return np.array([sum(len(part.features) for part in here if part.name == name) for here in parts])


SHARES = {
    "tetrahedron": "3/4", "triangle": "2/3", "digon": "1/2", "pentagon": "2/5", "square antiprism": "3/8",
}  # fmt: skip
SHOWN = (1.5, 3.0, 4.5, 5.5, 8.0)
NAMED = ("dedicated", *RIVALS, "unnamed")


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    W = grid.best(data).W
    n, m = data.sizes["feature"], data.sizes["hidden"]
    parts = found(W)
    fig = plot.figure(11, 9.4)
    top, below = fig.subfigures(2, 1, height_ratios=[2.6, 1])
    shares, kinds = top.subplots(2, 1, height_ratios=[2.6, 1], sharex=True)
    top.suptitle(f"{n} equal features in {m} dimensions")
    _shares(shares, data, W)
    _kinds(kinds, data, W, parts)
    x = data.sparseness.values
    places = sorted({int(np.abs(np.log(x / wish)).argmin()) for wish in SHOWN})
    for ax, at in zip(np.atleast_1d(below.subplots(1, len(places))), places, strict=True):
        plot.feature_graph(ax, W.values[at].astype(float), parts[at])
        stored = sum(len(part.features) for part in parts[at])
        ax.set_title(f"1 / (1 − S) = {x[at]:.2g}", fontsize=9)
        ax.set_xlabel(f"{stored} features stored", fontsize=8)
        shares.axvline(x[at], color=plot.FAINT, lw=0.7, ls=(0, (1, 2)), zorder=0)
    below.supylabel("linked by $|W_i\\cdot W_j|$", fontsize=9)
    return fig


def _shares(ax, data, W):
    x = data.sparseness.values
    for name, told in SHARES.items():
        a, b = map(int, told.split("/"))
        ax.axhline(a / b, color=plot.POLYTOPE_COLORS[name], lw=1, ls=(0, (4, 2)), zorder=1)
        high = {"pentagon": "bottom", "square antiprism": "top"}.get(name, "center")
        ax.annotate(
            f"{told} {name}", (1, a / b), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va=high, fontsize=8, color=plot.POLYTOPE_COLORS[name],
        )  # fmt: skip
    ax.annotate(
        "1 dedicated", (1, 1), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        fontsize=8,
    )  # fmt: skip
    ax.axhline(1, color=plot.INK, lw=1, ls=(0, (4, 2)), zorder=1)
    share = grid.over_models(measures.dimensionality, W, "feature").values
    norm = grid.over_models(measures.norms, W, "feature").values
    step = np.log(x[1] / x[0]) / 3
    jitter = np.exp(np.random.default_rng(0).uniform(-step, step, share.shape))
    stored = norm > 0.5
    where = x[:, None] * jitter
    ax.plot(
        where[~stored],
        share[~stored],
        ".",
        ms=1.6,
        color="#b0b0ac",
        mec="none",
        rasterized=True,
        label="$D_i$ of a feature not stored ($\\|W_i\\| \\leq 0.5$)",
    )
    ax.plot(
        where[stored],
        share[stored],
        ".",
        ms=3,
        color=plot.INK,
        mec="none",
        rasterized=True,
        label="$D_i$ of a feature stored",
    )
    ax.plot(
        x,
        grid.over_models(measures.dimensions_per_feature, W),
        "-",
        color=plot.RED,
        lw=1.6,
        label="$D^* = m\\,/\\,\\|W\\|_F^2$",
    )
    best = data.benefit.values.argmax(axis=0)
    theirs = np.array([_share(name) for name in data.rival.values])
    ax.step(
        data["at"],
        theirs[best],
        where="mid",
        color="#7b7b77",
        lw=3.5,
        alpha=0.35,
        zorder=0,
        label="theory: the polytope that wins most",
    )
    ax.set(ylabel="dimensions for each feature", ylim=(-0.03, 1.08))
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.92), markerscale=2)


def _share(name) -> float:
    shape = polytopes.corners(str(name))
    return shape.shape[0] / shape.shape[1]


def _kinds(ax, data, W, parts):
    x = data.sparseness.values
    edges = plot.log_edges(x)
    counts = {name: in_each(parts, name) for name in (*NAMED, *polytopes.POLYTOPES, *polytopes.TEGUMS)}
    total = np.maximum(sum(counts.values()), 1)
    base = np.zeros(len(x))
    shown = [name for name in counts if counts[name].any()]
    for name in shown:
        ax.bar(
            edges[:-1], counts[name] / total, np.diff(edges), bottom=base, align="edge", ec="white", lw=0.4,
            color=plot.POLYTOPE_COLORS.get(name, "#8c564b"),
        )  # fmt: skip
        base += counts[name] / total
    ticks = [1, 1.5, 2, 3, 4, 5, 6, 8, 10]
    ax.set(xscale="log", xlim=(edges[0], edges[-1]), xticks=ticks, xlabel="1 / (1 − S)", ylim=(0, 1))
    ax.set_xticklabels([f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylabel("share of the\nfeatures stored")
    ax.legend(
        [Patch(color=plot.POLYTOPE_COLORS.get(name, "#8c564b")) for name in shown], shown, loc="center left",
        bbox_to_anchor=(1, 0.5),
    )  # fmt: skip


CHECK = "a replication of the paper's figure"


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    W = grid.best(data).W
    x, m = data.sparseness.values, data.sizes["hidden"]
    star = grid.over_models(measures.dimensions_per_feature, W).values
    star = np.where(np.isfinite(star), star, np.nan)  # no feature is stored
    share = grid.over_models(measures.dimensionality, W, "feature").values
    stored = grid.over_models(measures.norms, W, "feature").values > 0.5
    n_stored = np.where(stored.any(axis=1), stored.sum(axis=1), np.nan)
    parts = found(W)
    digons, pentagons, prisms = (in_each(parts, name) for name in ("digon", "pentagon", "square antiprism"))
    half = np.abs(share - 0.5) < 0.02
    plateau, packed, mixed = (x >= 2.3) & (x <= 3.6), x >= 2.3, (x >= 3.8) & (x <= 6.5)
    fractions = np.array([_share(name) for name in SHARES])
    near = (np.abs(share[..., None] - fractions) < 0.02).any(axis=-1) & stored
    busy = (x >= 2) & (x <= 4.1)
    best = data.rival.values[data.benefit.interp({"at": x[busy]}).values.argmax(axis=0)]
    most = [
        in_each([parts[at]], name)[0] / n_stored[at]
        for at, name in zip(np.flatnonzero(busy), best, strict=True)
    ]
    early = (x >= 1.35) & (x <= 2.2)
    return [
        Claim(
            "dstar-one", "Where features are dense there is about one dimension for each", SECTION,
            between(0.95, 1.05), star[x <= 1.3], what="D*", source=CHECK,
        ),
        Claim(
            "dstar-half", "Sparser, D* sticks at one half", SECTION,
            between(0.48, 0.54), star[plateau], what="D* for 1 / (1 - S) from 2.3 to 3.6", source=CHECK,
        ),
        Claim(
            "dstar-below", "Sparser still, D* falls on", SECTION,
            at_most(0.42), star[x >= 4.9], what="D* for 1 / (1 - S) from 5 on", source=CHECK,
        ),
        Claim(
            "dstar-falls", "The sparser the features, the fewer dimensions for each", SECTION,
            at_most(0.02), np.diff(star), what="rise of D* from one density to the next",
            source="the paper; 0.02 for the noise of training",
        ),
        Claim(
            "half-share", "On that plateau nearly all features stored have half a dimension", SECTION,
            at_least(0.8), ((half & stored).sum(axis=1) / n_stored)[plateau],
            what="share of them with D_i within 0.02 of 1/2", source=CHECK,
        ),
        Claim(
            "digons", "They are antipodal pairs", SECTION,
            at_least(0.8), (digons / n_stored)[plateau], what="share of them in digons", source=CHECK,
        ),
        Claim(
            "pentagons", "Sparser than on the plateau, pentagons appear", SECTION,
            at_least(5), pentagons[mixed].max(initial=0), what="most features in pentagons, from 3.8 to 6.5",
            source="the paper", number="{:.0f}", quick=False,
        ),
        Claim(
            "antiprisms", "and square antiprisms", SECTION,
            at_least(8), prisms[mixed].max(initial=0), what="most features in antiprisms, from 3.8 to 6.5",
            source="the paper", number="{:.0f}", quick=False,
        ),
        Claim(
            "early", "Between one and one half, features have shares near 3/4 and 2/3 of a dimension", SECTION,
            at_least(4), (stored & (share > 0.6) & (share < 0.8))[early].sum(),
            what="features with D_i from 0.6 to 0.8", source="the paper", number="{:.0f}",
            quick=False,
        ),
        Claim(
            "fractions", "The shares gather at 3/4, 2/3, 1/2, 2/5 and 3/8", SECTION,
            at_least(0.5), near[(x >= 2) & (x <= 5.2)].sum() / stored[(x >= 2) & (x <= 5.2)].sum()
            if stored[(x >= 2) & (x <= 5.2)].any() else np.nan,
            what="share of features within 0.02 of one, from 2 to 5.2", source="the paper; by chance it were 0.2",
        ),
        Claim(
            "filled", "All shares together are as many as there are dimensions", SECTION,
            between(0.95, 1.0001), share.sum(axis=1)[packed] / m, what="sum, for each dimension",
            source="features packed tightly", number="{:.4f}",
        ),
        Claim(
            "theory", "The polytope that most features form is the one that wins most for each dimension", "ours",
            at_least(0.6), most, what="share of features in it, from 2 to 4.1", source="exact losses of polytopes",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    W = grid.best(data).W
    x = data.sparseness.values
    share = grid.over_models(measures.dimensionality, W, "feature").values
    crowded = [
        (len(rest), np.mean(rest))
        for here, shares, at in zip(found(W), share, x, strict=True)
        if 4.2 <= at <= 5.3
        for rest in [[shares[i] for part in here if part.name == "digon" for i in part.features]]
        if len(rest) > data.sizes["hidden"]
    ]
    told = [
        f"{data.sizes['member']} model(s) at each density; the paper gives no optimizer, batch or number of steps. "
        "Noisy gradients delay the fall from 1 to 1/2: in a trial with batches of 256, D* was still 0.75 at "
        "1 / (1 − S) = 1.96.",
        "A feature is called stored where its norm exceeds 0.5. Where features are dense, weights spread over all of "
        "them, and hardly one is.",
        "Theory compares polytopes that fill all dimensions by themselves, by exact loss. From 1 to 1.5 the lead of "
        "tetrahedra and triangles over no superposition is less than 5%, and training hardly finds them.",
    ]
    if crowded:
        low = ", ".join(f"{mean:.2f}" for _, mean in crowded)
        told.append(
            f"Between pairs and pentagons there are more pairs than dimensions, which interfere weakly: their shares "
            f"are {low}, near 4/9, a cluster that others have seen in the original figure."
        )
    return told
