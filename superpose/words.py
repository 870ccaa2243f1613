"""Words in pictures: features with their names, on a plane or on a map of the sphere."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from scipy import optimize

from superpose import fonts, measures, plot


def named_plane(
    ax: Axes,
    W: Float[np.ndarray, "2 feature"],
    names: Mapping[int, str],
    color: Shaped[np.ndarray, "feature ..."],
) -> None:
    """The features' directions in 2 hidden dimensions, each in its `color`, and the names of some of them.

    `names` has them by feature, as `fonts.labels` gives them. The names stand left and right, each on a line of its own;
    those of features that are not represented, of norm at most 1/2, are gray.
    """
    W, norm = plot.upright(W), np.asarray(measures.norms(W))
    for line in (ax.axhline, ax.axvline):
        line(0, color=plot.FAINT, lw=0.7, ls=(0, (3, 3)), zorder=0)
    for i in np.argsort(norm):
        ax.plot([0, W[0, i]], [0, W[1, i]], color=color[i], lw=1.8, solid_capstyle="round")
        ax.plot(*W[:, i], "o", color=color[i], ms=5, mec="white", mew=0.5)
    up = np.clip(1.25 * W[1] / np.maximum(norm, 1e-9), -1.25, 1.25)
    for side, align in ((-1, "right"), (1, "left")):
        beside = sorted((i for i in names if (W[0, i] >= 0) == (side > 0)), key=lambda i: up[i])
        room = 0.14 * np.arange(len(beside))  # the least distance between two lines
        height = optimize.isotonic_regression(up[beside] - room).x + room if beside else room
        for i, y in zip(beside, height, strict=True):
            ax.plot([W[0, i], side * 1.25, side * 1.36], [W[1, i], y, y], color=plot.FAINT, lw=0.5, zorder=0)
            _name(ax, side * 1.4, y, names[i], norm[i], align)
    ax.set(xlim=(-2.2, 2.2), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()


def named_sphere(
    ax: Axes,
    W: Float[np.ndarray, "3 feature"],
    names: Mapping[int, str],
    color: Shaped[np.ndarray, "feature ..."],
) -> None:
    """The directions of some features in 3 hidden dimensions on a map of the sphere that keeps areas (Hammer's).

    `names` has them by feature, as `fonts.labels` gives them, the most important first, because the first are placed best;
    names of features that are not represented are gray. A point has its feature's `color`, and an area like its norm.
    """
    shown, norm = list(names), np.asarray(measures.norms(W))
    axes = np.linalg.svd(W)[0]  # the features' own axes: where they spread least is up
    turned = (axes * np.linalg.det(axes)).T @ W[:, shown] / np.maximum(norm[shown], 1e-9)
    east, up = np.arctan2(turned[1], turned[0]), np.arcsin(np.clip(turned[2], -1, 1))
    around = np.sort(east)
    gaps = np.diff(around, append=around[0] + 2 * np.pi)
    cut = around[gaps.argmax()] + gaps.max() / 2  # the map ends where no feature is
    points = _hammer((east - cut) % (2 * np.pi) - np.pi, up).T
    line = np.linspace(-np.pi, np.pi, 181)
    net = [_hammer(line, angle + 0 * line) for angle in np.radians([-60, -30, 0, 30, 60])]
    net += [_hammer(angle + 0 * line, line / 2) for angle in np.radians(range(-180, 181, 45))]
    for at, curve in enumerate(net):
        ax.plot(*curve, color=plot.FAINT if at in (5, len(net) - 1) else plot.GRAY, lw=0.5, zorder=0)
    area = np.clip(55 * norm[shown], 8, None)
    ax.scatter(points[:, 0], points[:, 1], s=area, color=color[shown], ec="white", lw=0.5, zorder=3)

    # Each name in turn goes to the place around its point where it covers the least of other names and of points.
    angles, reach = np.meshgrid([0, 180, 35, 145, -35, -145, 90, -90], [0.07, 0.16, 0.28, 0.42])
    angle, far = np.radians(angles.ravel()), reach.ravel()
    taken = [*np.hstack([points - 0.05, points + 0.05])]
    for i, point in zip(shown, points, strict=True):
        size = np.array([0.083 * fonts.columns(names[i]) + 0.04, 0.14])
        low = point + np.stack([far * np.cos(angle), (far + 0.04) * np.sin(angle)], -1)
        low -= np.stack([(1 - np.round(np.cos(angle))) / 2, np.full(angle.shape, 0.5)], -1) * size
        sides = [np.minimum(low + size, box[2:]) - np.maximum(low, box[:2]) for box in taken]
        place = low[np.clip(sides, 0, None).prod(-1).sum(0).argmin()]
        taken.append(np.hstack([place, place + size]))
        near = np.clip(point, place, place + size)
        if np.hypot(*(near - point)) > 0.1:
            ax.plot(*np.transpose([point, near]), color=plot.FAINT, lw=0.5, zorder=1)
        x, y = place + size / 2
        _name(ax, x, y, names[i], norm[i], "center")
    ax.set(xlim=(-2.95, 2.95), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()


def _name(ax, x, y, name, norm, align) -> None:
    color = plot.INK if norm > 0.5 else "#777777"
    plot.write(ax, x, y, name, ha=align, va="center", fontsize=8.5, color=color)


def _hammer(east, up) -> Float[np.ndarray, "2 point"]:
    scale = np.sqrt(2 / (1 + np.cos(up) * np.cos(east / 2)))
    return np.array([2 * scale * np.cos(up) * np.sin(east / 2), scale * np.sin(up)])
