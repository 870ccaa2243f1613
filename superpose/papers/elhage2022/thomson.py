"""Thomson's problem: features of one length are charges on a sphere, which repel each other only from nearby.

Where features are sparse, the samples with one feature alone decide. Without biases, at equal importance and with
weights of length 1, their loss is the energy of points on a sphere: a ReLU removes negative interference, so
that points at right angles or further apart do not feel each other. Two features a dimension have room in antipodal
pairs without any energy; more have to come close to some others, and spread out.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from superpose import costs, grid, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section
from superpose.train import minimize

SECTION = "Mathematical Understanding"
TAKES = 8
QUICK = {"starts": 12}

DIMENSIONS = (1, 2, 3)
MOST = 9
DRAWN = range(5, MOST + 1)
COLORS = dict(zip(DIMENSIONS, plot.SETS, strict=False))


@dataclass(frozen=True)
class Config:
    starts: int = 40
    """Starts for each arrangement of points on a sphere; that of least energy is shown."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, starts=1)

    @property
    def cost(self) -> costs.Cost:
        return costs.minimizing(len(DIMENSIONS) * MOST * self.starts, weights=3 * MOST)


class Energy(eqx.Module):
    """The energy of the points on a sphere that are `there`, in those of 3 dimensions that are `open`."""

    open: Float[Array, " hidden"]
    there: Float[Array, " feature"]

    def unit(self, V):
        V = V * self.open[:, None]
        return V / jnp.sqrt((V**2).sum(axis=0, keepdims=True)) * self.there[None]

    def __call__(self, V: Float[Array, "hidden feature"]) -> Float[Array, ""]:
        return theory.thomson_energy(self.unit(V))


def run(config: Config) -> xr.Dataset:
    """The least energy of so many points in so many dimensions, and where they are."""
    axes = {"dimensions": list(DIMENSIONS), "points": range(1, MOST + 1), "member": range(config.starts)}
    dimensions, points, start = grid.points(*axes.values())
    open_ = (np.arange(3) < dimensions[:, None]).astype(float)
    there = (np.arange(MOST) < points[:, None]).astype(float)
    energy = grid.each(Energy, open_, there)
    V = np.random.default_rng(config.seed).normal(size=(config.starts, 3, MOST))[start]
    solved = minimize(V, energy, own_loss=True)
    unit = np.asarray(jax.vmap(Energy.unit)(energy, jnp.asarray(solved.models, jnp.float64)))
    shape = tuple(map(len, axes.values()))
    every = xr.Dataset(
        {
            "loss": (tuple(axes), solved.loss.reshape(shape)),
            "energy_W": ((*axes, "axis", "point"), unit.reshape(*shape, 3, MOST)),
        },
        axes,
    )
    best = grid.best(every).drop_vars("member").rename(loss="energy")
    # Points that are absent have no length, and so no importance.
    alone = [
        theory.one_active_loss(W, np.zeros(MOST), (W**2).sum(axis=0)).sum()
        for W in best.energy_W.values.reshape(-1, 3, MOST)
    ]
    return best.assign(energy_loss=(best.energy.dims, np.reshape(alone, best.energy.shape)))


def measured(data: xr.Dataset) -> xr.Dataset:
    """Also `polygon`, the energy of regular polygons, and `places`, the number of different places of the points."""
    turns = 2 * np.pi * np.arange(MOST) / data.points.values[:, None]
    circles = np.array([np.cos(turns), np.sin(turns)])
    polygon = [float(theory.thomson_energy(circles[:, n - 1, :n])) for n in data.points.values]
    cosine = (data.energy_W * data.energy_W.rename(point="other")).sum("axis")
    together = (cosine > 0.999).sum("other")  # how many points are where this one is, itself included
    return data.assign(
        polygon=("points", polygon), places=(1 / together.where(together > 0)).sum("point").round()
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(12, 4.2)
    left, right = fig.subfigures(1, 2, width_ratios=[1, 1.9])
    _energies(left.subplots(), data)
    lines, rings = "lines link those that repel each other, the wider the more", "rings are two at one place"
    right.suptitle(f"where they are: {lines}; {rings}", fontsize=10)
    for m, row in zip((2, 3), right.subplots(2, len(DRAWN)), strict=True):
        row[0].set_ylabel(f"{m} dimensions")
        for n, ax in zip(DRAWN, row, strict=True):
            best = data.sel(dimensions=m, points=n)
            _arrangement(ax, best.energy_W.values[:m, :n], plot.SETS.index(COLORS[m]))
            ax.set_title(f"{n}: energy {abs(float(best.energy)):.2f}", fontsize=9)
    return fig


def _energies(ax: Axes, data: xr.Dataset) -> None:
    for m, color in COLORS.items():
        label = f"{m} dimension{'s' * int(m > 1)}"
        ax.plot(data.points, data.energy.sel(dimensions=m), "o-", ms=4, color=color, label=label)
        if m == 2:
            ax.plot(data.points[2:], data.polygon[2:], "x", ms=7, color=plot.INK, label="regular polygons")
        ax.axvline(2 * m + 0.03 * (m - 2), color=color, lw=0.8, ls=(0, (3, 3)), zorder=0)
    ax.set(xlabel="features of length 1 (dashed: twice the dimensions)", ylabel="energy", ylim=(-0.3, 12.5))
    ax.set_title("least interference that a ReLU does not remove")
    ax.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="none")


def _arrangement(ax: Axes, W: np.ndarray, color: int) -> None:
    """Points on a circle, or on a sphere seen from where none hides another or the center, and which of them repel."""
    cosine, place = W.T @ W, plot.upright(W[:2])
    if len(W) == 3:
        views = Rotation.random(1000, 0).as_matrix()[:, :2] @ np.column_stack([W, np.zeros(3)])
        gaps = np.linalg.norm(views[:, :, :, None] - views[:, :, None], axis=1) + 2 * np.eye(views.shape[2])
        place = views[gaps.min(axis=(1, 2)).argmax(), :, :-1]
    plot.points(ax, place, [color] * len(cosine), reach=1.15)
    pairs = np.argwhere(np.triu(cosine, 1) > 0.01)
    widths = 8 * cosine[tuple(pairs.T)] ** 2
    lines = LineCollection([*place.T[pairs]], linewidths=widths, colors=plot.INK, zorder=1.5)
    ax.add_collection(lines)


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    room = 2 * data.dimensions
    unit = abs((data.energy_W**2).sum(("axis", "point")) - data.points) < 1e-4
    says, ours = from_section(SECTION, "theory"), from_section("ours", "theory")
    # fmt: off
    return [
        says("energy", "Without bias, at equal importance and length 1, the term of one active feature is Thomson's energy",
             "difference from a third of it", abs(data.energy_loss.where(unit) - data.energy / 3), at_most(1e-12),
             number="{:.0e}"),
        ours("energy-free", "Two features a dimension, antipodal, have no energy",
             "", data.energy.values[data.points.values <= room.values[:, None]], at_most(1e-6),
             source="theory: negative interference is free", number="{:.0e}"),
        ours("energy-more", "One feature more than two a dimension has energy: it costs positive interference",
             "energy in 1, 2, 3 dimensions", data.energy.sel(points=room + 1), at_least(0.5),
             source="theory: no more directions have angles of 90° or more"),
        ours("energy-pentagon", "Five features in two dimensions repel each other to a regular pentagon",
             "", data.energy.sel(dimensions=2, points=5), about(data.polygon.sel(points=5), 1e-3),
             source="the energy of a pentagon"),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    plane = data.sel(dimensions=2)
    crowded = plane.points[(plane.places < plane.points) & (plane.energy < plane.polygon)].values
    chosen = [
        "The sphere has 1, 2 or 3 dimensions and up to 9 points; the best of many starts is shown. "
        "The paper gives the theory only, without a figure.",
    ]
    if crowded.size:
        chosen.append(
            f"Of {', '.join(map(str, crowded))} points in the plane some share a place: regular polygons have more energy."
        )
    return chosen
