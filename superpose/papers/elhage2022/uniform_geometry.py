"""How 400 equal features share 30 dimensions: as antipodal pairs over a wide range of sparsities, then pentagons.

Dense features have about one dimension each. As they grow sparser, the number of dimensions for each falls
in steps: it sticks at one half, where features are stored as antipodal pairs. Each feature has a share of a
dimension, and the shares gather at the fractions that belong to regular polytopes.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, polytopes, settings, solutions, sweep
from superpose.claims import Claim, as_claims, at_least, at_most, between, from_section
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput

SECTION = "The Geometry of Superposition"
TAKES = 95
QUICK = {"n_features": 160, "n_hidden": 16, "densities": 12, "steps": 2000, "batch": 512}

RIVALS = ("4-simplex", "tetrahedron", "triangle", "digon", "pentagon", "square antiprism")
FRACTIONS = {
    "tetrahedron": "3/4",
    "triangle": "2/3",
    "digon": "1/2",
    "pentagon": "2/5",
    "square antiprism": "3/8",
}
NAMES: tuple[str, ...] = ("dedicated", *RIVALS, "unnamed")
NAMES += tuple(name for name in (*polytopes.POLYTOPES, *polytopes.TEGUMS) if name not in NAMES)
SHOWN = (1.5, 3.0, 4.5, 5.5, 8.0)


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


def model(key, *, n_features: int = 400, n_hidden: int = 30):
    # From small weights: large ones get stuck where features are dense.
    return ReluOutput.init(n_features, n_hidden, key=key, scale=0.1)


def loss(sparseness, *, n_features: int = 400, batch: int = 1024):
    return Sampled(Independent(1 / sparseness, n_features=n_features), batch)


AXES = {"sparseness": "geomspace(1,10,24)"}
cell = sweep.fitted(model, loss, steps=4000, keep="all")


def run(config: Config) -> xr.Dataset:
    data = sweep.gathered(
        cell,
        {"sparseness": np.geomspace(1, 10, config.densities)},
        fixed={name: getattr(config, name) for name in ("n_features", "n_hidden", "steps", "batch")},
        seeds=config.members,
        seed=config.seed,
    )
    finer = np.geomspace(1, 10, 40)
    benefit = solutions.regular(RIVALS, 1 / finer).benefit
    return data.assign(density=1 / data.sparseness, benefit=(("rival", "at"), benefit)).assign_coords(
        rival=list(RIVALS), at=finer
    )


def measured(data: xr.Dataset) -> xr.Dataset:
    """The best model at each density, with how many of its features are `represented`, and in which polytope each is.

    `count` has the number of features in each polytope; `winner`, at each `at`, and `predicted`,
    at each density, are the polytopes of most benefit in theory.
    """
    best, x = grid.described(data), data.sparseness.values
    dstar = grid.over_models(measures.dimensions_per_feature, best.W)
    polytope = np.full(best.norm.shape, "", object)
    for at, W in enumerate(best.W.values.astype(float)):
        for part in measures.polytopes(W):
            polytope[at, list(part.features)] = part.name
    there = best.represented.any("feature")
    return best.assign(
        dstar=dstar.where(dstar < np.inf),
        n_represented=best.represented.sum("feature").where(there),
        polytope=(("sparseness", "feature"), polytope),
        count=(("sparseness", "name"), np.array([(polytope == name).sum(axis=1) for name in NAMES]).T),
        winner=("at", data.rival.values[data.benefit.argmax("rival")]),
        predicted=("sparseness", data.rival.values[data.benefit.interp(at=x).argmax("rival")]),
    ).assign_coords(name=list(NAMES))


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    x = best.sparseness.values
    fig = plot.figure(11, 9.4)
    top, below = fig.subfigures(2, 1, height_ratios=[2.6, 1])
    shares, kinds = top.subplots(2, 1, height_ratios=[2.6, 1], sharex=True)
    top.suptitle(f"{best.sizes['feature']} equal features in {best.sizes['hidden']} dimensions")
    _shares(shares, best)
    total = np.maximum(best["count"].sum("name"), 1)
    plot.stacked_bars(kinds, best["count"] / total, plot.POLYTOPE_COLORS)
    plot.log_axis(kinds.xaxis, [1, 1.5, 2, 3, 4, 5, 6, 8, 10])
    kinds.set(xlabel="1 / (1 − S)", ylabel="share of the\nfeatures stored")
    shown = sorted({int(np.abs(np.log(x / wish)).argmin()) for wish in SHOWN})
    for ax, at in zip(np.atleast_1d(below.subplots(1, len(shown))), shown, strict=True):
        W = best.W.values[at].astype(float)
        plot.feature_graph(ax, W, measures.polytopes(W))
        ax.set_title(f"1 / (1 − S) = {x[at]:.2g}", fontsize=9)
        ax.set_xlabel(f"{int(best['count'][at].sum())} features stored", fontsize=8)
        shares.axvline(x[at], color=plot.FAINT, lw=0.7, ls=(0, (1, 2)), zorder=0)
    below.supylabel("linked by $|W_i\\cdot W_j|$", fontsize=9)
    return fig


def _shares(ax, best) -> None:
    x, share, there = best.sparseness.values, best.dimensionality.values, best.represented.values
    for name, fraction in FRACTIONS.items():
        va = {"pentagon": "bottom", "square antiprism": "top"}.get(name, "center")
        plot.level(ax, polytopes.share(name), f"{fraction} {name}", va=va, color=plot.POLYTOPE_COLORS[name])
    plot.level(ax, 1, "1 dedicated")
    step = np.log(x[1] / x[0]) / 3
    across = x[:, None] * np.exp(np.random.default_rng(0).uniform(-step, step, share.shape))
    points = {"mec": "none", "rasterized": True}
    no, yes = "$D_i$ of a feature not stored ($\\|W_i\\| \\leq 0.5$)", "$D_i$ of a feature stored"
    ax.plot(across[~there], share[~there], ".", ms=1.6, color="#b0b0ac", label=no, **points)
    ax.plot(across[there], share[there], ".", ms=3, color=plot.INK, label=yes, **points)
    ax.plot(x, best.dstar, "-", color=plot.RED, lw=1.6, label="$D^* = m\\,/\\,\\|W\\|_F^2$")
    theory = [polytopes.share(str(name)) for name in best.winner.values]
    label = "theory: the polytope that wins most"
    ax.step(best["at"], theory, where="mid", color="#7b7b77", lw=3.5, alpha=0.35, zorder=0, label=label)
    ax.set(ylabel="dimensions for each feature", ylim=(-0.03, 1.08))
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.92), markerscale=2)


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    x, share, there = best.sparseness, best.dimensionality, best.represented
    in_each = best["count"] / best.n_represented
    plateau, wide, early, mixed = (
        (x >= low) & (x <= high) for low, high in ((2.3, 3.6), (2, 5.2), (1.35, 2.2), (3.8, 6.5))
    )
    half = abs(share - 0.5) < 0.02
    fractions = xr.DataArray([polytopes.share(name) for name in FRACTIONS], dims="fraction")
    near = (abs(share - fractions) < 0.02).any("fraction")
    most = {
        name: best["count"].sel(name=name)[mixed].values.max(initial=0)
        for name in ("pentagon", "square antiprism")
    }
    busy = (x >= 2) & (x <= 3.8)  # near 4.2 pairs and pentagons win alike, and features are divided
    says = from_section(SECTION, "a replication of the paper's figure")
    ours = from_section("ours", "exact losses of polytopes")
    # fmt: off
    return [
        says("dstar-one", "Where features are dense there is about one dimension for each",
             "D*", best.dstar[x <= 1.3], between(0.95, 1.05)),
        says("dstar-half", "Where features are sparser, D* sticks at one half",
             "D* for 1 / (1 - S) from 2.3 to 3.6", best.dstar[plateau], between(0.48, 0.54)),
        says("dstar-below", "Where features are sparser still, D* falls on",
             "D* for 1 / (1 - S) from 5 on", best.dstar[x >= 4.9], at_most(0.42)),
        says("dstar-falls", "The sparser the features, the fewer dimensions for each",
             "rise of D* from one density to the next", np.diff(best.dstar), at_most(0.02),
             source="the paper; 0.02 for the noise of training"),
        says("half-share", "Where D* is one half, nearly all features stored have half a dimension",
             "share of them with D_i within 0.02 of 1/2", ((half & there).sum("feature") / best.n_represented)[plateau], at_least(0.8)),
        says("digons", "Where D* is one half, features are stored as antipodal pairs",
             "share of them in digons", in_each.sel(name="digon")[plateau], at_least(0.8)),
        says("pentagons", "Where features are sparser than for pairs, pentagons appear",
             "most features in pentagons, from 3.8 to 6.5", most["pentagon"], at_least(5),
             source="the paper", number="{:.0f}", quick=False),
        says("antiprisms", "Where features are sparser than for pairs, square antiprisms appear",
             "most features in antiprisms, from 3.8 to 6.5", most["square antiprism"], at_least(8),
             source="the paper", number="{:.0f}", quick=False),
        says("early", "Between one and one half, features have shares near 3/4 and 2/3 of a dimension",
             "features with D_i from 0.6 to 0.8", (there & (share > 0.6) & (share < 0.8))[early].sum(), at_least(4),
             source="the paper", number="{:.0f}", quick=False),
        says("fractions", "The shares gather at 3/4, 2/3, 1/2, 2/5 and 3/8",
             "share of features within 0.02 of one, from 2 to 5.2", near.where(there)[wide].mean(), at_least(0.5),
             source="the paper; by chance it were 0.2"),
        says("filled", "All shares together are as many as there are dimensions",
             "sum, for each dimension", share.sum("feature")[x >= 2.3] / best.sizes["hidden"], between(0.95, 1.0001),
             source="features packed tightly", number="{:.4f}"),
        ours("theory", "The polytope that most features form is the one that wins most for each dimension",
             "share of features in it, from 2 to 3.8", in_each.sel(name=best.predicted)[busy], at_least(0.6)),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    paired = best.dimensionality.where(best.polytope == "digon").sel(sparseness=slice(4.2, 5.3))
    crowded = paired.mean("feature")[paired.count("feature") > best.sizes["hidden"]]
    lines = [
        f"{int(best.members)} model(s) at each density; the paper gives no optimizer, batch or number of steps. "
        "Noisy gradients delay the fall from 1 to 1/2: in a trial with batches of 256, D* was still 0.75 at "
        "1 / (1 − S) = 1.96.",
        "A feature is called stored where its norm exceeds 0.5. Where features are dense, weights spread over all of "
        "them, and hardly one is.",
        "Theory compares polytopes that fill all dimensions by themselves, by exact loss. From 1 to 1.5 the lead of "
        "tetrahedra and triangles over no superposition is less than 5%, and training hardly finds them.",
    ]
    if crowded.size:
        lines.append(
            "Between pairs and pentagons there are more pairs than dimensions, which interfere weakly: their shares "
            f"are {', '.join(f'{mean:.2f}' for mean in crowded.values)}, near 4/9, a cluster that others have seen in "
            "the original figure."
        )
    return lines
