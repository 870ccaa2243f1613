"""The figure of `superpose measure`: distributions beside those of random vectors."""

from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from superpose import fonts, plot
from superpose.frames import chance
from superpose.frames._measured import Measured

HERE, RANDOM = plot.BLUE, plot.SETS[1]
_LIGHT: Any = to_rgba(HERE, 0.3)
_DASHED: dict[str, Any] = {"color": RANDOM, "lw": 1.6, "ls": (0, (4, 1.5))}


@plot.style()
def figure(found: Measured, drawn: chance.Sample, title: str) -> Any:
    """Lengths, cosines, nearest neighbors, dimensionality, spectrum and clusters."""
    fig = plot.figure(10.4, 6.2)
    fig.suptitle(title, fontsize=11, parse_math=False, family=fonts.families(title))
    axes = fig.subplots(2, 3).ravel()
    panels = (_lengths, _cosines, _nearest, _dimensionality, _spectrum, _clusters)
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax, found, drawn)
    names = ["the vectors", "vectors of the same lengths in random directions"]
    handles = [Patch(facecolor=_LIGHT, edgecolor=HERE, lw=1.2), Line2D([], [], **_DASHED)]
    fig.legend(handles, names, loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _bars(ax, counts, edges) -> None:
    ax.stairs(counts, edges, fill=True, color=_LIGHT, lw=0)
    ax.stairs(counts, edges, color=HERE, lw=1.2)


def _lengths(ax, found, drawn) -> None:
    edges = _edges(found.norms)
    _bars(ax, np.histogram(found.norms, edges)[0], edges)
    ax.set(title="Lengths", xlabel="length of a vector", ylabel="vectors")
    ax.set_ylim(bottom=0)


def _edges(values, count=61):
    """Even bins that hold all values, also where all are one."""
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite(high):
        low, high = 0.0, 1.0
    pad = 0.02 * (high - low)
    if high - low <= 1e-6 * abs(high):
        pad = 0.5 * abs(high) or 0.5
    return np.linspace(low - pad, high + pad, count + 1)


def _cosines(ax, found, drawn) -> None:
    """Densities, on a log scale, down to that of half a pair."""
    ax.set(title="Cosines of all pairs", xlabel="cosine", ylabel="density")
    total = found.cosines.sum()
    if not total:
        return _nothing(ax, "no pairs")
    # As fine as an eighth of the spread of random vectors.
    together = max(
        each for each in (1, 2, 4, 5, 10, 20) if each <= max(1, chance.BINS / 16 / found.hidden**0.5)
    )
    counts = found.cosines.reshape(-1, together).sum(axis=1)
    edges = np.linspace(-1, 1, len(counts) + 1)
    width = edges[1] - edges[0]
    lowest = 0.5 / total / width
    _bars(ax, np.maximum(counts / total / width, lowest / 2), edges)
    reach = found.coherence
    if found.hidden > 1:
        reach = max(reach, chance.coherence(found.directed, found.hidden, 0.95))
        at = np.linspace(-1, 1, 4001)[1:-1]
        random = chance.cosine_density(at, found.hidden)
        ax.plot(at, np.where(random > lowest, random, np.nan), **_DASHED)
    reach = min(1.0, 1.15 * reach) or 1.0
    ax.set(xlim=(-reach, reach), ylim=(lowest, None))
    _log(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    return None


def _nearest(ax, found, drawn) -> None:
    ax.set(title="The nearest neighbor of each", xlabel="|cos| with the nearest", ylabel="vectors")
    size = np.abs(found.cosine[np.isfinite(found.cosine)])
    if not len(size):
        return _nothing(ax, "no pairs")
    edges = np.linspace(0, 1, 101)
    _bars(ax, np.maximum(np.histogram(size, edges)[0], 0.1), edges)
    if found.hidden > 1:
        q = np.linspace(0, 1, 2001)[1:-1]
        random = [chance.nearest(found.directed, found.hidden, each) for each in q]
        counts = np.histogram(random, edges)[0] * len(size) / len(q)
        ax.stairs(np.maximum(counts, 0.1), edges, **_DASHED)
    ax.set(xlim=(0, 1), ylim=(0.5, None))
    _log(ax.yaxis)
    return None


def _dimensionality(ax, found, drawn) -> None:
    ax.set(title="Dimensionality of each", xlabel="$D_i$, the share of a dimension", ylabel="vectors")
    here, random = found.dimensionality[found.dimensionality > 0], drawn.dimensionality
    if not len(here):
        return _nothing(ax, "no direction")
    each = np.concatenate([here, random])
    edges = np.geomspace(0.9 * each.min(), min(1.1 * each.max(), 1.0) * (1 + 1e-9), 41)
    _bars(ax, np.histogram(here, edges)[0], edges)
    ax.stairs(np.histogram(random, edges)[0] * (len(here) / len(random)), edges, **_DASHED)
    ax.set(xlim=(edges[0], edges[-1]))
    _log(ax.xaxis)
    ax.set_ylim(bottom=0)
    return None


def _spectrum(ax, found, drawn) -> None:
    ax.set(
        title="Spectrum",
        xlabel="principal direction, by rank from 0 to 1",
        ylabel="variance, over the mean",
    )
    if found.singular is None or not found.singular.any():
        return _nothing(ax, "not known" if found.singular is None else "no direction")
    variance = (found.singular / found.singular[0]) ** 2
    for values, look in ((variance, {"color": HERE, "lw": 1.8}), (drawn.spectrum, _DASHED)):
        rank = (np.arange(len(values)) + 0.5) / len(values)
        there = values > 1e-12 * values[0]
        ax.plot(
            rank[there], values[there] / values.mean(), **look, marker="o" if len(values) < 10 else "", ms=4
        )
    ax.set(xlim=(0, 1))
    _log(ax.yaxis)
    return None


def _clusters(ax, found, drawn) -> None:
    ax.set(
        title=f"Clusters, linked by |cos| > {found.link:g}",
        xlabel="rank of the cluster",
        ylabel="vectors in it",
    )
    sizes = np.bincount(found.cluster[found.cluster >= 0])
    if not len(sizes):
        return _nothing(ax, "none")
    ax.plot(np.arange(1, len(sizes) + 1), sizes, ".", ms=4, color=HERE)
    ax.set(
        xlim=(0.8, max(1.25 * len(sizes), 10)),
        ylim=(1.5, max(1.5 * sizes[0], 10)),
    )
    for axis in (ax.xaxis, ax.yaxis):
        _log(axis)
    return None


def _log(axis) -> None:
    """A logarithmic axis; where it has few decades, its ticks are 1, 2 and 5, written as they are."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    if high < 200 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 4 * low else MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axis.set_minor_locator(NullLocator())


def _nothing(ax, text) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", color=plot.INK)
    ax.set(xticks=[], yticks=[])
