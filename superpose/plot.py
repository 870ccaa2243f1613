"""Figures: the one style sheet, and the panels that experiments put together."""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
import matplotlib.figure
import matplotlib.style
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from superpose import fonts, measures, polytopes
from superpose.inputs import ArrayLike, array

INK, FAINT, GRAY = "#222222", "#b8b8b8", "#dcdcd8"
"""Text and lines; lines that help to read; a feature that is not represented."""
BLUE, RED = "#2a5fb0", "#d1422f"
"""A feature with a dimension of its own, and one in superposition; negative and positive weights."""
SETS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Colors of things without an order, such as sets of features; M. Okabe and K. Ito's, which all eyes can tell apart."""
POLYTOPE_COLORS = {
    "dedicated": "#000000",
    "4-simplex": "#7b5ea7",
    "tetrahedron": "#cc79a7",
    "triangle": "#e69f00",
    "digon": "#0072b2",
    "pentagon": "#d55e00",
    "square antiprism": "#009e73",
    "hexagon": "#56b4e9",
    "unnamed": "#bdbdb8",
}
"""Colors of polytopes, by name, in the order in which they win as features grow sparser."""
importance_colors = LinearSegmentedColormap.from_list(
    "importance", matplotlib.colormaps["viridis"](np.linspace(0.25, 0.92, 64))
)
"""Teal for the least important feature, yellow-green for the most."""
superposition_colors = LinearSegmentedColormap.from_list(
    "superposition", matplotlib.colormaps["inferno"].resampled(256)(np.linspace(0.08, 0.88, 64))
)
"""Black for a dedicated dimension, yellow for one that is shared with as much again."""
weight_colors = LinearSegmentedColormap.from_list("weights", [BLUE, "#f2f1ee", RED])
"""Blue at -1, light gray at 0, red at +1."""

_style: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
    "font.family": [fonts.OURS],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.color": INK,
    "svg.fonttype": "path",  # looks the same where our font is not installed
    "svg.hashsalt": "superpose",  # the same figure is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, for as long as the block lasts, whatever matplotlib's settings are otherwise.

    `@plot.style()` gives it to what a function draws.

    >>> with style():
    ...     matplotlib.rcParams["font.size"]
    9.0
    """
    with matplotlib.style.context(["default", _style]):
        yield


class Figure(matplotlib.figure.Figure):
    """A figure that shows itself in a notebook, though pyplot does not know it."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """As `matplotlib.figure.Figure.savefig`, in our style."""
        with style():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return _png(self)


def figure(width: float, height: float) -> Any:
    """An empty `matplotlib.figure.Figure`, in inches. It belongs to no global state and has no window.

    As the last line of a notebook's cell it shows itself. (Its type is not given, because that of what
    `subplots` returns depends on the arguments.)

    >>> figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    return Figure(figsize=(width, height), layout="constrained")


class Animation(FuncAnimation):
    """An animation that shows itself in a notebook, as a GIF."""

    def _repr_html_(self) -> str:
        with style(), TemporaryDirectory() as folder:
            path = Path(folder) / "animation.gif"
            self.save(path, writer="pillow", dpi=80)
            return _image(path.read_bytes(), "image/gif")


def html(fig: matplotlib.figure.Figure, alt: str) -> str:
    """A figure as HTML that needs no file, with `alt` for those who cannot see it.

    >>> html(figure(1, 1), alt="nothing").endswith('alt="nothing" width="100">')
    True
    """
    png, size = _png(fig)
    return _image(png, "image/png", alt=alt, width=size["width"])


def _png(fig) -> tuple[bytes, dict[str, int]]:
    """A figure as a PNG as sharp as a file, and the size to show it at, which is the figure's own."""
    png = io.BytesIO()
    with style():
        fig.savefig(png, format="png")
    width, height = fig.get_size_inches() * _style["figure.dpi"]
    return png.getvalue(), {"width": round(width), "height": round(height)}


def _image(data, kind, **attributes) -> str:
    more = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items())
    text = base64.b64encode(data).decode()
    return f'<img src="data:{kind};base64,{text}" style="max-width: 100%; height: auto"{more}>'


def directions(ax: Axes, W: ArrayLike, importance: ArrayLike, *, reach: float = 1.35) -> None:
    """The features' directions `W[:, i]` in 2 hidden dimensions, colored by `importance` relative to the most important.

    Raises ValueError for weights of more or fewer dimensions.
    """
    W = _in_plane(W)
    ax.axhline(0, color=FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    ax.axvline(0, color=FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    color = importance_colors(Normalize(np.min(importance) - 1e-9, np.max(importance))(importance))
    for i in reversed(range(W.shape[1])):
        ax.plot([0, W[0, i]], [0, W[1, i]], color=color[i], lw=2.2, solid_capstyle="round")
        ax.plot(*W[:, i], "o", color=color[i], ms=6, mec="white", mew=0.6)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(FAINT)


def _in_plane(W) -> Float[np.ndarray, "2 feature"]:
    """`W`, if it is that of one model with 2 hidden dimensions."""
    W = np.asarray(array(W, "W", "hidden", "feature"))
    if len(W) != 2:
        turned = "feature i is the column W[:, i], so transpose it"
        hint = "" if len(W) < 2 else f"; {turned if W.shape[1] == 2 else 'feature_graph draws more'}"
        raise ValueError(f"W must have 2 hidden dimensions to be drawn as they are, got {len(W)}{hint}")
    return W


def upright(W: ArrayLike) -> Float[np.ndarray, "2 feature"]:
    """The same model turned so that feature 0 points up, and flipped so that the next lies to its right.

    Rotating or reflecting the hidden layer does not change what the model does. `W` has an axis of 2 hidden dimensions and one of
    features; raises ValueError for others.

    >>> (upright(np.array([[1.0, 0.0], [0.0, 1.0]])) + 0).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    W = _in_plane(W)
    x, y = W[:, 0]
    length = np.hypot(x, y) or 1.0
    W = np.array([[y, -x], [x, y]]) / length @ W
    beside = next((w for w in W[0, 1:] if abs(w) > 0.1), 1.0)
    return W * np.array([[np.sign(beside)], [1.0]])


def aligned(W: ArrayLike, sets: ArrayLike) -> Float[np.ndarray, "2 feature"]:
    """The same model turned so that the sum of set 0 points up, or its feature 0 where they cancel.

    It is flipped so that the next set lies to the right. `sets` has each feature's set, and `W` an axis of 2 hidden
    dimensions and one of features; raises ValueError for others.

    >>> (aligned(np.array([[2.0, 0.0], [0.0, 1.0]]), sets=[0, 1]) + 0).tolist()
    [[0.0, 1.0], [2.0, 0.0]]
    """
    W = _in_plane(W)
    sums = [W[:, np.asarray(sets) == s].sum(axis=1) for s in np.unique(sets)]
    if np.linalg.norm(sums[0]) < 0.1:
        return upright(W)
    return upright(np.column_stack([*sums, W]))[:, len(sums) :]


def points(
    ax: Axes,
    W: ArrayLike,
    sets: ArrayLike,
    *,
    circles: tuple[float, ...] = (1.0,),
    reach: float = 1.35,
) -> None:
    """The features as points `W[:, i]` in 2 hidden dimensions, colored by set, with the unit circle.

    `sets` has each feature's set. Points at the same place are drawn as rings, one within the other. Raises ValueError
    for weights of more or fewer dimensions.

    Elhage et al. (2022), "Toy Models of Superposition", "Correlated and Anticorrelated Features".
    """
    W, turn = _in_plane(W), np.linspace(0, 2 * np.pi, 121)
    for radius in circles:
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=FAINT, lw=0.7, zorder=0)
    for i, w in enumerate(W.T):
        color = SETS[sets[i]]
        under = int((np.linalg.norm(W[:, :i] - w[:, None], axis=0) < 0.05).sum())
        ax.plot([0, w[0]], [0, w[1]], color=color, lw=1.2, alpha=0.6, solid_capstyle="round", zorder=1)
        hollow: Any = (
            {"mfc": "none", "mec": color, "mew": 1.2} if under else {"mfc": color, "mec": "white", "mew": 0.6}
        )
        ax.plot(*w, "o", ms=7 + 3.5 * under, **hollow)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def feature_graph(
    ax: Axes, W: Float[np.ndarray, "hidden feature"], parts: Iterable[measures.Polytope], *, link: float = 0.2
) -> None:
    """The features as points, linked where their cosine is beyond `link` by a line as wide as `|W_i . W_j|`.

    `parts` are the model's polytopes, from `measures.polytopes`: each is drawn by itself, its features at its corners
    and in its color from `POLYTOPE_COLORS`; one without a name is spread out so that linked features are close. Up to 30 features
    have their numbers.

    Elhage et al. (2022), "Toy Models of Superposition", "The Geometry of Superposition".
    """
    where: list[Any] = []
    position, x, y, high = np.zeros((W.shape[1], 2)), 0.0, 0.0, 0.0
    parts = sorted(parts, key=lambda each: -len(each.features))
    sizes = [0.9 * np.sqrt(len(each.features)) + 0.5 for each in parts]
    wide = max(1.25 * np.sqrt(np.sum(np.square(sizes))), max(sizes, default=0))
    for each, size in zip(parts, sizes, strict=True):  # row by row
        if x + size > wide + 1e-9:
            x, y, high = 0.0, y - high, 0.0
        at = list(each.features)
        part = _layout(each.name, np.abs(np.asarray(measures.cosines(W[:, at]))), link)
        position[at] = part * (size / 2 - 0.35) + (x + size / 2, y - size / 2)
        x, high, where = x + size, max(high, size), where + at
    numbered = W.shape[1] <= 30
    gram = np.abs(W.T @ W)
    length = np.sqrt(np.diag(gram))
    pairs = [(i, j) for i in where for j in where if i < j and gram[i, j] > link * length[i] * length[j]]
    lines = LineCollection(
        [position[list(pair)] for pair in pairs], linewidths=[1.6 * gram[pair] for pair in pairs],
        colors="#8a8a86", alpha=0.7, rasterized=len(pairs) > 200,
    )  # fmt: skip
    ax.add_collection(lines)
    for each in parts:
        color = POLYTOPE_COLORS.get(each.name, POLYTOPE_COLORS["unnamed"])
        at = list(each.features)
        ax.plot(*position[at].T, "o", ms=11 if numbered else 3.4, color=color, mec="white", mew=0.4)
        for i in at if numbered else ():
            ax.annotate(f"{i}", position[i], ha="center", va="center_baseline", fontsize=7, color="black")
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_box_aspect(1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _layout(name, cosines, link) -> Float[np.ndarray, "feature 2"]:
    """Where a part's features are drawn, within a circle of radius 1."""
    k = len(cosines)
    if k == 1:
        return np.zeros((1, 2))
    if name in polytopes.POLYTOPES:
        shape = polytopes.corners(name)
        flat = np.vstack([shape[:2], np.zeros((max(0, 2 - len(shape)), k))])
        return (flat + (0.25 * shape[2] if len(shape) > 2 else 0)).T
    turn = 2 * np.pi * np.arange(k) / k
    position = np.array([np.cos(turn), np.sin(turn)]).T
    if k > 6:  # springs: linked features attract each other, all repel each other
        pull = np.where(cosines > link, cosines, 0) * (1 - np.eye(k))
        for step in np.geomspace(0.1, 0.005, 80):
            apart = position[:, None] - position
            distance = np.linalg.norm(apart, axis=2) + np.eye(k)
            force = (apart * (1 / (k * distance**2) - pull * distance)[..., None]).sum(axis=1)
            position = position + step * force / (np.linalg.norm(force, axis=1, keepdims=True) + 1e-9)
            position -= position.mean(axis=0)
        position /= np.linalg.norm(position, axis=1).max()
    return position


def gram(
    ax: Axes, W: Float[np.ndarray, "hidden feature"], b: Float[np.ndarray, " feature"] | None = None
) -> None:
    """`W^T W` as a picture, with the bias, where it is given, as a strip to its right."""
    n = W.shape[1]
    ax.imshow(W.T @ W, cmap=weight_colors, vmin=-1, vmax=1, extent=(0, n, n, 0), interpolation="nearest")
    gap, wide = (0.06 * n, 0.05 * n) if b is not None else (0, 0)
    if b is not None:
        ax.imshow(
            b[:, None], cmap=weight_colors, vmin=-1, vmax=1, extent=(n + gap, n + gap + wide, n, 0),
            interpolation="nearest", aspect="auto",
        )  # fmt: skip
    ax.set(xlim=(0, n + gap + wide), ylim=(n, 0), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def norm_bars(ax: Axes, W: Float[np.ndarray, "hidden feature"]) -> None:
    """A bar for each feature, top to bottom: as long as `|W_i|`, colored by its superposition."""
    color = superposition_colors(np.clip(np.asarray(measures.superposition(W)), 0, 1))
    norm = np.asarray(measures.norms(W))
    ax.barh(np.arange(len(norm)) + 0.5, norm, height=1.0 if len(norm) > 40 else 0.85, color=color)
    ax.axvline(1, color=FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    ax.set(xlim=(0, 1.4), ylim=(len(norm), 0), yticks=[], xticks=[0, 1])
    ax.spines["left"].set_visible(False)


def phase_colors(norm: ArrayLike, superposition: ArrayLike) -> Float[np.ndarray, "... 3"]:
    """The paper's two-dimensional color map of a feature's `norm` and `superposition`.

    Hue goes from blue (superposition 0) to red (1 or more), saturation from gray (norm 0) to
    full (norm 1 or more).

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition as a Phase Change".

    >>> matplotlib.colors.to_hex(phase_colors(0.0, 0.0)) == GRAY, matplotlib.colors.to_hex(phase_colors(1.0, 1.0)) == RED
    (True, True)
    """
    gray, blue, red = (np.array(matplotlib.colors.to_rgb(color)) for color in (GRAY, BLUE, RED))
    there = np.clip(norm, 0, 1)[..., None]
    shared = np.clip(superposition, 0, 1)[..., None]
    return (1 - there) * gray + there * ((1 - shared) * blue + shared * red)


def phase_key(ax: Axes) -> None:
    """The key to `phase_colors`."""
    side = np.linspace(0, 1, 64)
    norm, shared = np.meshgrid(side, side)
    ax.imshow(phase_colors(norm, shared), origin="lower", extent=(0, 1, 0, 1))
    ax.set(xticks=[0, 1], yticks=[0, 1], xlabel="norm $\\|W_i\\|$")
    ax.set_xticklabels(["0", "≥1"])
    ax.set_yticklabels(["0", "≥1"])
    ax.set_ylabel("superposition\n$\\sum_{j≠i}(\\hat W_i\\cdot W_j)^2$")


def stacks(
    ax: Axes, W: Float[np.ndarray, "hidden feature"], color: Any, *, names: bool = False, **boxes: Any
) -> None:
    """A bar for each hidden neuron, a stack of its weights: up where positive, down where negative.

    A box is as high as `|W[neuron, feature]|`, the largest nearest to the axis, in its feature's `color`, or
    in `color[neuron, feature]`; more than one box of notable height means that the neuron is polysemantic.
    Weights below 3% of the largest are left out. With `names`, the features' numbers are written in the
    boxes that have room for them. `boxes` goes to the `PolyCollection`.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition in a Privileged Basis".
    """
    order = np.argsort(-np.abs(W), axis=1)
    sizes = np.take_along_axis(W, order, axis=1)
    sizes = np.where(np.abs(sizes) > 0.03 * np.abs(W).max(initial=1e-9), sizes, 0.0)
    up, down = np.cumsum(np.maximum(sizes, 0), axis=1), np.cumsum(np.minimum(sizes, 0), axis=1)
    base = np.where(sizes > 0, up, down) - sizes
    neuron, place = np.nonzero(sizes)
    feature = order[neuron, place]
    color = np.asarray(color)
    color = color[neuron, feature] if color.ndim == 3 else color[feature]
    across = neuron[:, None] + np.array([-0.4, 0.4, 0.4, -0.4])
    high = base[neuron, place][:, None] + sizes[neuron, place][:, None] * np.array([0, 0, 1, 1])
    look = {"edgecolors": "white", "linewidths": 0.6, **boxes}
    corners: Any = np.stack([across, high], axis=-1)
    ax.add_collection(PolyCollection(corners, facecolors=color, **look))
    margin = 0.05 * (up.max(initial=0) - down.min(initial=0)) + 1e-9
    ax.set_ylim(down.min(initial=0) - margin * (down < 0).any(), up.max(initial=0) + margin)
    if names:
        room = 0.09 * (up.max(initial=0) - down.min(initial=0))
        for at, box, i, filled in zip(neuron, place, feature, color, strict=True):
            if abs(sizes[at, box]) > room:
                light = np.dot(matplotlib.colors.to_rgb(filled), (0.3, 0.6, 0.1)) > 0.5
                middle = base[at, box] + sizes[at, box] / 2
                ax.text(
                    float(at),
                    middle,
                    f"{i}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=INK if light else "white",
                )
    ax.axhline(0, color=INK, lw=0.7)
    ax.set(xlim=(-0.6, len(W) - 0.4), xticks=[])
    ax.spines["bottom"].set_visible(False)


def log_edges(centers: ArrayLike) -> Float[np.ndarray, " edge"]:
    """The edges of cells around `centers` that are evenly spaced on a log scale.

    >>> log_edges([1.0, 100.0]).round(6).tolist()
    [0.1, 10.0, 1000.0]
    """
    log = np.log(np.asarray(centers))
    half = (log[1] - log[0]) / 2
    return np.exp(np.append(log - half, log[-1] + half))


def log_axis(axis: XAxis | YAxis, ticks: ArrayLike) -> None:
    """Make an axis (`ax.xaxis` or `ax.yaxis`) logarithmic, with these `ticks`, written as they are, and no others."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.axes.minorticks_off()


def percent_axis(axis: XAxis | YAxis) -> None:
    """Write an axis (`ax.xaxis` or `ax.yaxis`), logarithmic as a rule, in percent of 1, with few ticks."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axis.set_minor_locator(NullLocator())


def log_axis_from_zero(ax: Axes, x: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    """Make the x-axis logarithmic for values from 0 on, with 0 at its left end; returns where each value is drawn.

    That is at the value itself, and for 0 at 2/5 of the least value above 0. Ticks are 0, and 0.01, 0.03, ..., 1
    as far as the values reach.
    """
    zero = x[x > 0].min(initial=1.0) / 2.5
    ticks = [tick for tick in (0.01, 0.03, 0.1, 0.3, 1.0) if zero < tick <= 1.2 * x.max()]
    ax.set_xscale("log")
    ax.set_xticks([zero, *ticks], ["0", *(f"{tick:g}" for tick in ticks)])
    ax.minorticks_off()
    return np.maximum(x, zero)


def level(ax: Axes, y: float, text: str = "", *, va: str = "center", **line: Any) -> None:
    """A dashed line across the axes at `y`; at its right end, outside, what it stands for."""
    look: dict[str, Any] = {"color": INK, "lw": 1, "ls": (0, (4, 2)), "zorder": 1} | line
    ax.axhline(y, **look)
    ax.annotate(
        text, (1, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va=va, fontsize=8,
        color=look["color"],
    )  # fmt: skip


def stacked_bars(ax: Axes, shares: xr.DataArray, colors: Mapping[str, str], other: str = "#8c564b") -> None:
    """Shares of a whole, stacked, at each of the values of their first axis, which are log-spaced.

    The last axis has names. Each that occurs is in the legend, with its color from `colors`, or else `other`.
    """
    across, names = shares.dims
    edges, base = log_edges(shares[across].values), np.zeros(shares.sizes[across])
    for name, high in zip(shares[names].values, shares.values.T, strict=True):
        if high.any():
            color = colors.get(name, other)
            ax.bar(
                edges[:-1], high, np.diff(edges), bottom=base, align="edge", ec="white", lw=0.4, color=color,
                label=name,
            )  # fmt: skip
        base = base + high
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0, 1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def colorbar(
    fig: FigureBase,
    ax: Any,
    cmap: Any,
    label: str,
    *,
    low: float = 0.0,
    high: float = 1.0,
    ticks: Any = None,
    **where: Any,
) -> Colorbar:
    """A color bar for a map from `low` to `high`, beside the axes `ax`; `where` goes to `fig.colorbar`."""
    scale = matplotlib.cm.ScalarMappable(Normalize(low, high), cmap)
    bar = fig.colorbar(scale, ax=ax, label=label, ticks=ticks, **where)
    bar.outline.set_visible(False)
    return bar


def write(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    """`ax.text` for words that are not ours: nothing in them is mathematics, and each letter gets a font.

    `fonts.labels` gives what can be written.
    """
    ax.text(x, y, text, parse_math=False, family=fonts.families(text), **look)
