"""Two dense numbers fit into one if the map is not linear, but only with steep steps.

A linear map to one dimension keeps one of two numbers, or their mean. A staircase does better: its level
says the first number, what is left over says the second. The flatter its steps, the larger the error, so
a network would need many neurons to build them.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import costs, plot, settings, theory
from superpose.claims import Claim, about, as_claims, at_least, at_most, from_section

SECTION = "Superposition, Compressed Sensing and Non-Linear Compression"
TAKES = 3
QUICK = {"widths": 20}

LEVELS = (2, 3, 5, 10)
CELLS = 300
"""The two numbers are in a square of so many times so many cells, one pair in each."""


@dataclass(frozen=True)
class Config:
    widths: int = 40
    """How many widths of the steps, for the non-linear compression of two numbers into one."""
    seed: int = 0

    def __post_init__(self):
        settings.at_least(self, widths=5)

    @property
    def cost(self) -> costs.Cost:
        return costs.evaluating(self.widths * len(LEVELS), CELLS**2, held=100)


def run(config: Config) -> xr.Dataset:
    # One point at random in each cell, as steps may be narrower than a cell.
    within = np.random.default_rng(config.seed).uniform(0, 1 / CELLS, (2, CELLS, CELLS))
    x, y = np.indices((CELLS, CELLS)) / CELLS + within

    def error(a, b):
        """Mean squared error of the two numbers."""
        return float(((a - x) ** 2 + (b - y) ** 2).mean() / 2)

    widths = np.append(0, np.geomspace(1e-4, 0.5, config.widths))
    # A step has room between its neighbors only if it is narrower than a level.
    errors = [
        [error(*theory.compressed_pair(x, y, z, w)) if w < 1 / z else np.nan for w in widths] for z in LEVELS
    ]
    return xr.Dataset(
        {
            "error": (("levels", "width"), np.array(errors)),
            "linear_error": ("linear", np.array([error(0.5, y), error((x + y) / 2, (x + y) / 2)])),
        },
        {"levels": list(LEVELS), "width": widths, "linear": ["keep one", "keep the mean"]},
    )


@plot.style()
def figure(data: xr.Dataset) -> Figure:
    fig = plot.figure(6, 4.4)
    ax = fig.subplots()
    shades = plot.importance_colors(np.linspace(0, 1, len(LEVELS)))
    for shade, levels in zip(shades, LEVELS, strict=True):
        error = data.error.sel(levels=levels)[1:]  # the first is a jump
        ax.plot(error.width, error, color=shade, label=f"Z = {levels}")
        ax.axhline(1 / (24 * levels**2), color=shade, lw=0.7, ls=":")
    ax.axhline(1 / 24, color=plot.RED, lw=1.2, ls="--", label="linear, 1/24")
    ax.plot([], [], ":", color=plot.INK, lw=0.7, label="jumps, 1/(24 Z²)")
    ax.set(xscale="log", yscale="log", ylim=(2e-4, 0.3))
    ax.set(xlabel="width ε of a step", ylabel="mean squared error", title="two numbers in one, by Z steps")
    ax.legend(loc="upper left", ncols=3)
    return fig


@as_claims
def claims(data: xr.Dataset) -> list[Claim]:
    levels = data["levels"]
    sloped = data.error.isel(width=slice(1, None))  # all but the jumps
    log = np.log(sloped.assign_coords(width=np.log(sloped.width)))
    narrow = np.exp(log.interp(width=np.log([0.003, 0.01, 0.03]))).values
    wide, wider = (np.exp(log.interp(width=np.log(width))) for width in (0.07, 0.1))
    says = from_section(SECTION, "the paper")
    ours = from_section("ours", "10 such steps fill 70%")
    # fmt: off
    return [
        says("linear", "One linear dimension holds one of two numbers, or their mean, equally badly",
             "mean squared error · 24", data.linear_error * 24, about(1, 1e-3), source="integrals"),
        says("steep", "With jumps, one number holds two, better the more levels there are",
             "mean squared error · 24 Z²", data.error.sel(width=0) * 24 * levels**2, about(1, 0.02),
             source="the error of a number within a level"),
        says("beats-linear", "Three levels with steps of width 0.1 beat everything linear",
             "mean squared error", wider.sel(levels=3), at_most(1 / 24), number="{:.4f}", source="the paper; linear is 1/24"),
        says("wider-worse", "The wider the steps, the larger the error",
             "errors at widths 0.03 over 0.01 over 0.003, for all levels", (narrow[:, 1:] / narrow[:, :-1]).ravel(), at_least(1)),
        ours("steep-needed", "Without steep steps many levels are worse than few",
             "error of 10 levels over that of 3, steps of width 0.07", wide.sel(levels=10) / wide.sel(levels=3), at_least(1.5)),
    ]
    # fmt: on


def notes(data: xr.Dataset) -> list[str]:
    return [
        "The paper does not say how its decoder reads the two numbers; ours uses the same steps once more."
    ]
