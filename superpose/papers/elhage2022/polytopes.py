"""The polytopes that features form, how much of a dimension each feature has, and which polytope wins when.

A polytope is a matrix of low rank: the directions that it does not have are what its features give up. Which
one wins the most for each dimension depends on how sparse the features are: the sparser, the more of them
share a dimension.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpose import costs, grid, measures, plot, polytopes, settings, solutions, theory
from superpose.claims import Claim, about, as_claims, at_most, between, exactly, from_section

SECTION = "The Geometry of Superposition"
TAKES = 6
QUICK = {"points": 30}

TABLE = (
    *("digon", "triangle", "square", "pentagon", "tetrahedron", "triangular bipyramid", "octahedron"),
    *("pentagonal bipyramid", "square antiprism"),
)
GIVEN_UP = {
    "triangle": [[1, 1, 1]],
    "square": [[1, 0, 1, 0], [0, 1, 0, 1]],
    "tetrahedron": [[1, 1, 1, 1]],
}
"""The other way round, from the directions that are given up to the polytope."""
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
    regular = solutions.regular(RIVALS, 1 / sparseness)._asdict()
    # The basis vectors, projected onto all directions but those given up: a W with W v = 0 for each of these.
    projected = [np.linalg.svd(np.array(vectors, float))[2][len(vectors) :] for vectors in GIVEN_UP.values()]
    return xr.Dataset(
        {
            "W": (("shape", "hidden", "feature"), _stacked([polytopes.corners(name) for name in TABLE])),
            "projected": (("case", "kept", "corner"), _stacked(projected)),
            "n_given_up": ("case", [len(vectors) for vectors in GIVEN_UP.values()]),
            **{name: (("rival", "sparseness"), values) for name, values in regular.items()},
        },
        coords={
            "shape": list(TABLE),
            "case": list(GIVEN_UP),
            "rival": list(RIVALS),
            "sparseness": sparseness,
        },
    )


def _stacked(shapes: list[np.ndarray]) -> np.ndarray:
    """Shapes of different sizes in one array, padded with NaN."""
    whole = np.full((len(shapes), *np.max([shape.shape for shape in shapes], axis=0)), np.nan)
    for part, shape in zip(whole, shapes, strict=True):
        part[tuple(map(slice, shape.shape))] = shape
    return whole


def measured(data: xr.Dataset) -> xr.Dataset:
    """The `share` of a dimension that each corner has, the `digons` in each polytope, and which wins from where.

    For what is left when directions are given up, `cosine` and `gram` have the products of corners. `winner` has the
    polytopes of most benefit, in the order of sparseness; `begins` and `ends` say where each of them starts and stops.
    """
    shapes = [grid.unstacked(data, "shape", name).W.values for name in data["shape"].values]
    projected = data.projected.fillna(0)  # padding is like features that are ignored
    return data.assign(
        share=(("shape", "feature"), _stacked([np.asarray(measures.dimensionality(W)) for W in shapes])),
        dimensions=("shape", [len(W) for W in shapes]),
        digons=("shape", [_digons(W) for W in shapes]),
        cosine=grid.over_models(measures.cosines, projected, "corner", "other"),
        gram=projected.dot(projected.rename(corner="other"), dim="kept"),
        projected_digons=("case", [_digons(W) for W in projected.values]),
    ).merge(_reigns(data))


def _digons(W: np.ndarray) -> int:
    return [part.name for part in measures.polytopes(W)].count("digon")


def _reigns(data: xr.Dataset) -> xr.Dataset:
    """The polytopes that win, each with its share of a dimension and the sparseness where it begins and ends."""
    log, benefit = np.log(data.sparseness.values), data.benefit.values
    best = benefit.argmax(axis=0)
    last = np.flatnonzero(np.diff(best))  # of a reign; at the next density another has begun
    lead, lag = (benefit[best[last], at] - benefit[best[last + 1], at] for at in (last, last + 1))
    switch = log[last] + lead / (lead - lag) * (log[last + 1] - log[last])
    edges = np.exp([log[0], *switch, log[-1]])
    winner = data.rival.values[best[[*last, -1]]]
    return xr.Dataset(
        {
            "winner": ("reign", winner),
            "winner_share": ("reign", [polytopes.share(str(name)) for name in winner]),
            "begins": ("reign", edges[:-1]),
            "ends": ("reign", edges[1:]),
        }
    )


@plot.style()
def figure(best: xr.Dataset) -> Figure:
    fig = plot.figure(13, 9.6)
    table, below = fig.subfigures(2, 1, height_ratios=[5.6, 4])
    axes = table.subplots(4, len(best["shape"]), height_ratios=[1.2, 1, 1, 0.8])
    for column, name in zip(axes.T, best["shape"].values, strict=True):
        _column(column, str(name), grid.unstacked(best, "shape", name))
    labels = "corners:\ncolumns of $W$", "$W^TW$\nas a graph", "$W^TW$", "given up:\n$v$ with $Wv=0$"
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=12)
    colors: dict[str, Any] = {"low": -1, "high": 1, "ticks": [-1, 0, 1]}
    plot.colorbar(table, axes, plot.weight_colors, "cosine", **colors, shrink=0.4, pad=0.01)
    wins, form = below.subplots(1, 2, width_ratios=[1.9, 1])
    _wins(wins, best)
    _form(form, best)
    return fig


def _column(column, name: str, shape: xr.Dataset) -> None:
    """A polytope's corners, the graph and the matrix of its `W^T W`, and the directions that it gives up."""
    corners, graph, matrix, given_up = column
    W, k = shape.W.values, shape.sizes["feature"]
    gram, parts = W.T @ W, measures.polytopes(W)
    shares = np.unique(shape.share.values.round(4))
    fractions = ", ".join(str(Fraction(float(share)).limit_denominator(20)) for share in shares)
    corners.set_title(f"{name}\n$D_i$ = {fractions}", fontsize=8.5)
    color = {i: plot.POLYTOPE_COLORS[part.name] for part in parts for i in part.features}
    # Three dimensions are seen from the side and a little from above.
    view = (np.array([[0.96, 0.28, 0.0], [-0.09, 0.30, 0.95]]) if len(W) == 3 else np.eye(2, len(W))) @ W
    turn = np.pi / 2 + 2 * np.pi * np.arange(k) / k
    circle = np.array([np.cos(turn), np.sin(turn)])
    for i, j in zip(*np.tril_indices(k, -1), strict=True):
        middle = (W[:, i] + W[:, j]) / 2
        near = np.linalg.norm(W - middle[:, None], axis=0) < np.linalg.norm(W[:, i] - middle) + 1e-9
        if near.sum() == 2:  # an edge: no other corner within the sphere around the two
            corners.plot(*view[:, [i, j]], color=plot.FAINT, lw=0.9, zorder=0)
        if abs(gram[i, j]) > 1e-6:
            line = plot.weight_colors((1 + gram[i, j]) / 2)
            graph.plot(*circle[:, [i, j]], color=line, lw=3 * abs(gram[i, j]), zorder=0)
    for corner in range(k):
        corners.plot([0, view[0, corner]], [0, view[1, corner]], color=color[corner], lw=1.4)
        corners.plot(*view[:, corner], "o", color=color[corner], ms=4.5, mec="white", mew=0.5)
        graph.plot(*circle[:, corner], "o", color=color[corner], ms=5.5, mec="white", mew=0.5)
    for ax in (corners, graph):
        ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, image in ((matrix, gram), (given_up, _given_up(W, parts))):
        ax.imshow(image, cmap=plot.weight_colors, vmin=-1, vmax=1, interpolation="nearest")
        ax.set(xlim=(-0.5, k - 0.5), xticks=[], yticks=[], anchor="N")
        ax.spines[:].set_color(plot.FAINT)
        ax.spines[:].set_visible(True)


def _given_up(W: np.ndarray, parts: list[measures.Polytope]) -> np.ndarray:
    """Vectors `v` with `W v = 0`, at right angles: first the sum of the features of each part."""
    sums = np.array([np.isin(np.arange(W.shape[1]), part.features) for part in parts], float)
    sums = sums[np.abs(W @ sums.T).max(axis=0) < 1e-9]
    rest = np.linalg.svd(np.vstack([W, sums]))[2][np.linalg.matrix_rank(W) + len(sums) :]
    vectors = np.vstack([sums, rest])
    return vectors / np.abs(vectors).max(axis=1, keepdims=True)


def _wins(ax: Axes, best: xr.Dataset) -> None:
    ratio = best.benefit / theory.dropped_cost(1 / best.sparseness.values)
    for name in best.rival.values:
        ax.plot(best.sparseness, ratio.sel(rival=name), lw=1.6, label=name, **_line(str(name)))
    ax.axhline(1, color=plot.POLYTOPE_COLORS["dedicated"], lw=1, ls=(0, (3, 3)), label="dedicated")
    for name, begin, end in zip(best.winner.values, best.begins.values, best.ends.values, strict=True):
        color = _line(str(name))["color"]
        ax.axvspan(begin, end, ymin=0.96, color=color, lw=0)
        if end / begin > 1.2 or name == "pentagon":
            look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8, "color": color}
            ax.text(np.sqrt(begin * end), 0.945, name, transform=ax.get_xaxis_transform(), **look)
    plot.log_axis(ax.xaxis, [1, 1.5, 2, 3, 4.5, 6, 8, 12])
    ax.set(xlim=(1, 12), xlabel="1 / (1 − S)", ylim=(0.95, 2.5))
    ax.set_ylabel("benefit per dimension,\nrelative to a dedicated one")
    ax.set_title("Which polytope wins, by exact losses; the strip shows the best")
    ax.legend(loc="center left", bbox_to_anchor=(0.02, 0.62))


def _form(ax: Axes, best: xr.Dataset) -> None:
    for name in best.rival.values:
        at = best.sel(rival=name)
        ax.plot(at.bias, at.length, color=_line(str(name))["color"], lw=1.2)
    ax.axhline(1, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    ax.axvline(0, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    ax.set(xlabel="bias $b$", ylabel="length $\\|W_i\\|$")
    ax.set_title("The best length and bias, dense to sparse")


def _line(name: str) -> dict[str, Any]:
    """The color of a polytope; those without one of their own are dashed."""
    if name in plot.POLYTOPE_COLORS:
        return {"color": plot.POLYTOPE_COLORS[name], "ls": "-"}
    return {"color": "#999999", "ls": "--"}


@as_claims
def claims(best: xr.Dataset) -> list[Claim]:
    def share(*names: str) -> np.ndarray:
        """The shares of the corners of these polytopes, one after the other."""
        shares = best.share.sel(shape=list(names)).values
        return shares[~np.isnan(shares)]

    def begins(name: str) -> xr.DataArray:
        return best.begins[best.winner == name]

    def between_corners(products: xr.DataArray) -> np.ndarray:
        """The products of different corners, of the triangle and then of the tetrahedron."""
        simplices = (("triangle", 3), ("tetrahedron", 4))
        return np.concatenate(
            [products.sel(case=name).values[np.triu_indices(k, 1)] for name, k in simplices]
        )

    x = best.sparseness.values
    dense = best.benefit.values[:, 0].max() / theory.dropped_cost(1 / x[0])
    cost = best.loss.sel(rival="digon") / (theory.antipodal_cost(1 / x) / 2)
    height = best.height.sel(rival="square antiprism")
    says = from_section(SECTION, "exact losses, with the best length and bias")
    formula = from_section(SECTION, "the formula for D_i, for unit vectors")
    projection = from_section(SECTION, "a projection of the basis")
    ours = from_section("ours", "closed form")
    # fmt: off
    return [
        formula("shares", "Each corner of a tetrahedron, triangle, digon, pentagon and square antiprism has its fraction "
                "of a dimension: 3/4, 2/3, 1/2, 2/5 and 3/8",
                "", share("tetrahedron", "triangle", "digon", "pentagon", "square antiprism"),
                about([3/4] * 4 + [2/3] * 3 + [1/2] * 2 + [2/5] * 5 + [3/8] * 8, 1e-4), number="{:.4f}"),
        formula("bipyramid", "The corners of a triangular bipyramid do not have 3/5 each: three have 2/3, two have 1/2",
                "", np.sort(share("triangular bipyramid")), about([1/2] * 2 + [2/3] * 3, 1e-4), number="{:.4f}"),
        formula("pentagonal-bipyramid", "The corners of a pentagonal bipyramid do not have 3/7 each: five have 2/5, two have 1/2",
                "", np.sort(share("pentagonal bipyramid")), about([2/5] * 5 + [1/2] * 2, 1e-4), number="{:.4f}"),
        says("tegum", "A square is two digons, an octahedron three: tegum products, whose parts do not interfere",
             "digons found", best.digons.sel(shape=["square", "octahedron"]), exactly([2, 3]), source="geometry", number="{:.0f}"),
        formula("shares-fill", "The shares of all corners together are as many as there are dimensions",
                "sum less dimensions", best.share.sum("feature") - best.dimensions, about(0, 1e-4), number="{:.1e}"),
        projection("orthogonal-simplex", "What is orthogonal to (1, ..., 1) is a triangle for 3 features, a tetrahedron for 4",
                   "cosines", between_corners(best.cosine), about([-1/2] * 3 + [-1/3] * 6, 1e-6), number="{:.4f}"),
        projection("orthogonal-gram", "Of what is orthogonal to v = (1, ..., 1), W^T W is Id - v v^T / n",
                   "off the diagonal", between_corners(best.gram), about([-1/3] * 3 + [-1/4] * 6, 1e-6), number="{:.4f}"),
        projection("orthogonal-square", "What is orthogonal to (1, 0, 1, 0) and (0, 1, 0, 1) is a square, two digons",
                   "digons found", best.projected_digons.sel(case="square"), exactly(2), number="{:.0f}"),
        says("switch-digon", "Triangles and tetrahedra win where features are dense, digons from there on",
             "1 / (1 - S) of the switch", begins("digon"), about(1.5, 0.15)),
        says("switch-pentagon", "Where features are sparser, pentagons win over digons",
             "1 / (1 - S) of the switch", begins("pentagon"), about(4.5, 0.25)),
        says("switch-antiprism", "Where features are sparser still, square antiprisms win over pentagons",
             "1 / (1 - S) of the switch", begins("square antiprism"), between(4.7, 6)),
        says("order", "The sparser the features, the smaller the share of a dimension in the polytope that wins",
             "from one winner's share to the next one's", best.winner_share.diff("reign"), at_most(0)),
        says("dense-nothing", "Where all features are active nearly nothing is to be won by superposition",
             "best benefit, relative to a dedicated dimension", dense, between(1, 1.01), number="{:.4f}"),
        ours("digon-cost", "A digon of sparse features costs about p^2 / 6 for each, as one of unit vectors does",
             "loss as a share of it", cost[x >= 5], between(0.97, 1), number="{:.4f}"),
        says("antiprism-height", "The squares of the best antiprism are about as far apart as 8 charges on a sphere put them: Thomson's problem",
             "half the distance", height[x >= 5], about(0.5604, 0.03), source="the solution of Thomson's problem"),
    ]
    # fmt: on


def notes(best: xr.Dataset) -> list[str]:
    winners = zip(best.winner.values, best.begins.values, strict=True)
    return [
        f"Winners by exact loss, by 1 / (1 − S): {', '.join(f'{name} from {begin:.2f}' for name, begin in winners)}. "
        f"Compared are {best.sizes['rival']} polytopes, each filling all "
        "dimensions by itself, its features with one length and one bias; mixtures of unlike polytopes and irregular "
        "arrangements are not.",
        "From about 4 to 6 the digon, the pentagon and the antiprism are within a few percent of each other, so trained "
        "models there are mixtures.",
    ]
