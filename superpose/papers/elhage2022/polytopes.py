"""The polytopes that features form, how much of a dimension each feature has, and which polytope wins when.

A polytope is a matrix of low rank: the directions that it does not have are what its features give up. Which
one wins the most for each dimension depends on how sparse the features are: the sparser, the more of them
share a dimension.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, measures, plot, polytopes, settings, solutions, theory
from superpose.claims import Claim, about, as_claims, at_most, between, exactly

SECTION = "The Geometry of Superposition"
TAKES = 6
QUICK = {"points": 30}

TABLE = (
    "digon", "triangle", "square", "pentagon", "tetrahedron", "triangular bipyramid", "octahedron",
    "pentagonal bipyramid", "square antiprism",
)  # fmt: skip
RIVALS = ("4-simplex", "tetrahedron", "triangle", "digon", "pentagon", "square antiprism", "hexagon", "cube")


@dataclass(frozen=True)
class Config:
    points: int = 80
    """How many densities to compare the polytopes at, 1 / density from 1 to 12."""
    seed: int = 0
    """Not used: nothing here is drawn at random."""

    def __post_init__(self):
        settings.at_least(self, points=2)

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing(self.points * len(RIVALS), weights=10)


def run(config: Config) -> xr.Dataset:
    sparseness = np.geomspace(1, 12, config.points)
    best = solutions.regular(RIVALS, 1 / sparseness)
    W = _stacked([polytopes.corners(name) for name in TABLE])
    # The other way round: from the directions that are given up to the polytope.
    given_up = {
        "triangle": [[1, 1, 1]],
        "square": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "tetrahedron": [[1, 1, 1, 1]],
    }
    projected = _stacked([_without(np.array(vectors, float)) for vectors in given_up.values()])
    return xr.Dataset(
        {
            "W": (("shape", "hidden", "feature"), W),
            "projected": (("case", "kept", "corner"), projected),
            "n_given_up": ("case", [len(vectors) for vectors in given_up.values()]),
            "loss": (("rival", "sparseness"), best.loss),
            "benefit": (("rival", "sparseness"), best.benefit),
            "length": (("rival", "sparseness"), best.length),
            "bias": (("rival", "sparseness"), best.bias),
            "height": (("rival", "sparseness"), best.height),
        },
        coords={
            "shape": list(TABLE),
            "case": list(given_up),
            "rival": list(RIVALS),
            "sparseness": sparseness,
        },
    )


def _stacked(shapes) -> np.ndarray:
    """Shapes of different sizes in one array, padded with NaN."""
    d, k = np.max([shape.shape for shape in shapes], axis=0)
    return np.array(
        [
            np.pad(shape, ((0, d - shape.shape[0]), (0, k - shape.shape[1])), constant_values=np.nan)
            for shape in shapes
        ]
    )


def _without(vectors) -> np.ndarray:
    """The basis vectors, projected onto all directions but these: a `W` with `W vector = 0` for each."""
    rank = len(vectors)
    return np.linalg.svd(vectors)[2][rank:]


def _of(stack, name) -> np.ndarray:
    """One shape, without the padding."""
    W = stack.loc[name].values
    return W[~np.isnan(W).all(axis=1)][:, ~np.isnan(W).all(axis=0)]


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(13, 9.6)
    table, below = fig.subfigures(2, 1, height_ratios=[5.6, 4])
    axes = table.subplots(4, len(data["shape"]), height_ratios=[1.2, 1, 1, 0.8])
    for column, name in zip(axes.T, data["shape"].values, strict=True):
        _column(column, str(name), _of(data.W, name))
    for ax, told in zip(
        axes[:, 0], ("corners:\ncolumns of $W$", "$W^TW$\nas a graph", "$W^TW$", "given up:\n$v$ with $Wv=0$"),
        strict=True,
    ):  # fmt: skip
        ax.set_ylabel(told, rotation=0, ha="right", va="center", labelpad=12)
    plot.colorbar(
        table, axes, plot.weight_colors, "cosine", low=-1, high=1, ticks=[-1, 0, 1], shrink=0.4, pad=0.01
    )
    _rivals(below.subplots(1, 2, width_ratios=[1.9, 1]), data)
    return fig


def _column(column, name, W):
    corners, graph, matrix, lost = column
    gram = W.T @ W
    found = measures.polytopes(W)
    shares = np.asarray(measures.dimensionality(W))
    told = ", ".join(
        str(Fraction(float(share)).limit_denominator(20)) for share in np.unique(shares.round(4))
    )
    corners.set_title(f"{name}\n$D_i$ = {told}", fontsize=8.5)
    color = np.empty(W.shape[1], object)
    for part in found:
        color[list(part.features)] = plot.POLYTOPE_COLORS[part.name]
    view = _view(len(W)) @ W
    k = W.shape[1]
    for i in range(k):
        for j in range(i):
            middle = (W[:, i] + W[:, j]) / 2
            near = np.linalg.norm(W - middle[:, None], axis=0) < np.linalg.norm(W[:, i] - middle) + 1e-9
            if near.sum() == 2:  # an edge: no other corner within the sphere around the two
                corners.plot(*view[:, [i, j]], color=plot.FAINT, lw=0.9, zorder=0)
        corners.plot([0, view[0, i]], [0, view[1, i]], color=color[i], lw=1.4)
        corners.plot(*view[:, i], "o", color=color[i], ms=4.5, mec="white", mew=0.5)
    turn = np.pi / 2 + 2 * np.pi * np.arange(k) / k
    place = np.array([np.cos(turn), np.sin(turn)])
    for i in range(k):
        for j in range(i):
            if abs(gram[i, j]) > 1e-6:
                line = plot.weight_colors((1 + gram[i, j]) / 2)
                graph.plot(*place[:, [i, j]], color=line, lw=3 * abs(gram[i, j]), zorder=0)
        graph.plot(*place[:, i], "o", color=color[i], ms=5.5, mec="white", mew=0.5)
    for ax in (corners, graph):
        ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    vectors = _lost(W, found)
    for ax, image in ((matrix, gram), (lost, vectors)):
        ax.imshow(image, cmap=plot.weight_colors, vmin=-1, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[], anchor="N")
        ax.spines[:].set_color(plot.FAINT)
        ax.spines[:].set_visible(True)
        ax.set_xlim(-0.5, k - 0.5)


def _view(d) -> np.ndarray:
    """How a shape in `d` dimensions is drawn: from the side and a little from above."""
    if d < 3:
        return np.eye(2, d)
    return np.array([[0.96, 0.28, 0.0], [-0.09, 0.30, 0.95]])


def _lost(W, found) -> np.ndarray:
    """Vectors `v` with `W v = 0`, at right angles: first the sum of the features of each part."""
    sums = np.array([np.isin(np.arange(W.shape[1]), part.features) for part in found], float)
    sums = sums[np.abs(W @ sums.T).max(axis=0) < 1e-9]
    rest = np.linalg.svd(np.vstack([W, sums]))[2][np.linalg.matrix_rank(W) + len(sums) :]
    vectors = np.vstack([sums, rest])
    return vectors / np.abs(vectors).max(axis=1, keepdims=True)


def _rivals(axes, data):
    wins, form = axes
    x = data.sparseness.values
    dropped = theory.dropped_cost(1 / x)
    for name in data.rival.values:
        color = plot.POLYTOPE_COLORS.get(str(name), "#999999")
        ratio = data.benefit.sel(rival=name) / dropped
        wins.plot(x, ratio, color=color, lw=1.6, ls="--" if color == "#999999" else "-", label=name)
        form.plot(data.bias.sel(rival=name), data.length.sel(rival=name), color=color, lw=1.2)
    wins.axhline(1, color=plot.POLYTOPE_COLORS["dedicated"], lw=1, ls=(0, (3, 3)), label="dedicated")
    for name, start, end in _reigns(data):
        wins.axvspan(start, end, ymin=0.96, color=plot.POLYTOPE_COLORS[name], lw=0)
        if end / start > 1.2 or name == "pentagon":
            wins.text(
                np.sqrt(start * end), 0.945, name, transform=wins.get_xaxis_transform(), ha="center", va="top",
                fontsize=8, color=plot.POLYTOPE_COLORS[name],
            )  # fmt: skip
    ticks = [1, 1.5, 2, 3, 4.5, 6, 8, 12]
    wins.set(xscale="log", xlim=(1, 12), xticks=ticks, xlabel="1 / (1 − S)", ylim=(0.95, 2.5))
    wins.set_xticklabels([f"{tick:g}" for tick in ticks])
    wins.minorticks_off()
    wins.set_ylabel("benefit per dimension,\nrelative to a dedicated one")
    wins.set_title("Which polytope wins, by exact losses; the strip shows the best")
    wins.legend(loc="center left", bbox_to_anchor=(0.02, 0.62))
    form.set(
        xlabel="bias $b$", ylabel="length $\\|W_i\\|$", title="The best length and bias, dense to sparse"
    )
    form.axhline(1, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    form.axvline(0, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)


def _reigns(data) -> list[tuple[str, float, float]]:
    """The polytopes that are best, in the order of sparseness, each with where it begins and ends."""
    log, benefit = np.log(data.sparseness.values), data.benefit.values
    best = benefit.argmax(axis=0)
    at = np.flatnonzero(np.diff(best))
    ends = []
    for i in at:
        lead = benefit[best[i], i : i + 2] - benefit[best[i + 1], i : i + 2]
        share = lead[0] / (lead[0] - lead[1]) if lead[0] != lead[1] else 0.5
        ends.append(np.exp(log[i] + share * (log[i + 1] - log[i])))
    edges = [np.exp(log[0]), *ends, np.exp(log[-1])]
    names = data.rival.values[best[np.append(at, len(best) - 1)]]
    return [(str(name), *span) for name, *span in zip(names, edges[:-1], edges[1:], strict=True)]


FORMULA = "the formula for D_i, for unit vectors"
EXACT = "exact losses, with the best length and bias"
SIMPLICES = (("triangle", 3), ("tetrahedron", 4))
SHARES = {
    "tetrahedron": 3 / 4, "triangle": 2 / 3, "digon": 1 / 2, "pentagon": 2 / 5, "square antiprism": 3 / 8,
}  # fmt: skip


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    W = {str(name): _of(data.W, name) for name in data["shape"].values}
    shares = {name: np.asarray(measures.dimensionality(shape), float) for name, shape in W.items()}
    parts = {name: [part.name for part in measures.polytopes(shape)] for name, shape in W.items()}
    given = {str(name): _of(data.projected, name) for name in data["case"].values}
    cosines = [np.asarray(measures.cosines(given[name]))[np.triu_indices(n, 1)] for name, n in SIMPLICES]
    products = [(given[name].T @ given[name])[np.triu_indices(n, 1)] for name, n in SIMPLICES]
    return [
        Claim(
            "shares", "Each corner of a tetrahedron, triangle, digon, pentagon and square antiprism has its fraction "
            "of a dimension: 3/4, 2/3, 1/2, 2/5 and 3/8", SECTION,
            about(np.concatenate([[share] * W[name].shape[1] for name, share in SHARES.items()]), 1e-4),
            np.concatenate([shares[name] for name in SHARES]), source=FORMULA, number="{:.4f}",
        ),
        Claim(
            "bipyramid", "The corners of a triangular bipyramid do not have 3/5 each: three have 2/3, two have 1/2", SECTION,
            about([1 / 2] * 2 + [2 / 3] * 3, 1e-4), np.sort(shares["triangular bipyramid"]),
            source=FORMULA, number="{:.4f}",
        ),
        Claim(
            "pentagonal-bipyramid", "Those of a pentagonal bipyramid do not have 3/7 each: five have 2/5, two 1/2", SECTION,
            about([2 / 5] * 5 + [1 / 2] * 2, 1e-4), np.sort(shares["pentagonal bipyramid"]),
            source=FORMULA, number="{:.4f}",
        ),
        Claim(
            "tegum", "A square is two digons, an octahedron three: tegum products, whose parts do not interfere", SECTION,
            exactly([2, 3]), [parts[name].count("digon") for name in ("square", "octahedron")],
            what="digons found", source="geometry", number="{:.0f}",
        ),
        Claim(
            "shares-fill", "The shares of all corners together are as many as there are dimensions", SECTION,
            about(0, 1e-4), [shares[name].sum() - len(shape) for name, shape in W.items()],
            what="sum less dimensions", source=FORMULA, number="{:.1e}",
        ),
        Claim(
            "orthogonal-simplex", "What is orthogonal to (1, ..., 1) is a triangle for 3 features, a tetrahedron for 4", SECTION,
            about([-1 / 2] * 3 + [-1 / 3] * 6, 1e-6), np.concatenate(cosines),
            what="cosines", source="a projection of the basis", number="{:.4f}",
        ),
        Claim(
            "orthogonal-gram", "There W^T W is Id - v v^T / n, with v = (1, ..., 1)", SECTION,
            about([-1 / 3] * 3 + [-1 / 4] * 6, 1e-6), np.concatenate(products),
            what="off the diagonal", source="a projection of the basis", number="{:.4f}",
        ),
        Claim(
            "orthogonal-square", "What is orthogonal to (1, 0, 1, 0) and (0, 1, 0, 1) is a square, two digons", SECTION,
            exactly(2), [part.name for part in measures.polytopes(given["square"])].count("digon"),
            what="digons found", source="a projection of the basis", number="{:.0f}",
        ),
        *_rival_claims(data),
    ]  # fmt: skip


def _rival_claims(data) -> list[Claim]:
    reigns = _reigns(data)
    begins = {name: start for name, start, _ in reigns}
    winners = np.array([len(polytopes.corners(name)) / polytopes.corners(name).shape[1] for name in begins])
    x = data.sparseness.values
    sparse = x >= 5
    cost = data.loss.sel(rival="digon").values / (theory.antipodal_cost(1 / x) / 2)
    dense = data.benefit.values[:, 0].max() / theory.dropped_cost(1 / x[0])
    return [
        Claim(
            "switch-digon", "Triangles and tetrahedra win where features are dense, digons from there on", SECTION,
            about(1.5, 0.15), begins.get("digon", np.nan), what="1 / (1 - S) of the switch", source=EXACT,
        ),
        Claim(
            "switch-pentagon", "Sparser, pentagons win over digons", SECTION,
            about(4.5, 0.25), begins.get("pentagon", np.nan), what="1 / (1 - S) of the switch", source=EXACT,
        ),
        Claim(
            "switch-antiprism", "Sparser still, square antiprisms win over pentagons", SECTION,
            between(4.7, 6), begins.get("square antiprism", np.nan), what="1 / (1 - S) of the switch", source=EXACT,
        ),
        Claim(
            "order", "The sparser the features, the smaller the share of a dimension in the polytope that wins", SECTION,
            at_most(0), np.diff(winners), what="from one winner's share to the next one's", source=EXACT,
        ),
        Claim(
            "dense-nothing", "Where all features are active nearly nothing is to be won by superposition", SECTION,
            between(1, 1.01), dense, what="best benefit, relative to a dedicated dimension", source=EXACT,
            number="{:.4f}",
        ),
        Claim(
            "digon-cost", "A digon of sparse features costs about p^2 / 6 for each, as one of unit vectors does", "ours",
            between(0.97, 1), cost[sparse], what="loss as a share of it", source="closed form", number="{:.4f}",
        ),
        Claim(
            "antiprism-height", "The squares of the best antiprism are about as far apart as 8 charges on a sphere "
            "put them: Thomson's problem", SECTION,
            about(0.5604, 0.03), data.height.sel(rival="square antiprism").values[sparse],
            what="half the distance", source="the solution of Thomson's problem",
        ),
    ]  # fmt: skip


def notes(data: xr.Dataset) -> list[str]:
    told = ", ".join(f"{name} from {start:.2f}" for name, start, _ in _reigns(data))
    return [
        f"Winners by exact loss, by 1 / (1 − S): {told}. Compared are {len(data.rival)} polytopes, each filling all "
        "dimensions by itself, its features with one length and one bias; mixtures of unlike polytopes and irregular "
        "arrangements are not.",
        "From about 4 to 6 the digon, the pentagon and the antiprism are within a few percent of each other, so trained "
        "models there are mixtures.",
    ]
