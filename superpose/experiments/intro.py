"""Five features in two dimensions: the sparser they are, the more of them are stored.

Dense features: the two most important are stored, at right angles. Sparser: four, as two
antipodal pairs. Sparser still: all five, as a pentagon.
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpose import measures, plot, sweep
from superpose.claims import Claim
from superpose.features import Independent
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

ORDER = 3
FIGURE = "introduction"
TAKES = "25 s"
QUICK = {"row": 3, "members": 12}


@dataclass(frozen=True)
class Config:
    densities: tuple[float, ...] = (1.0, 0.2, 0.1)
    """The densities (1 - sparsity) of the large panels."""
    row: int = 10
    """How many densities, from 1 to 1/20, in the row below; 0 for none."""
    decay: float = 0.9
    """Feature i has importance decay^i."""
    members: int = 40
    """Models at each density, from different initial weights; the best is shown."""
    seed: int = 0

    def __post_init__(self):
        if not self.densities:
            raise ValueError("densities must name at least one density, such as --densities 1 0.2 0.1")
        if self.row < 0 or self.members < 1:
            raise ValueError(
                f"row must be 0 or more and members 1 or more, got {self.row} and {self.members}"
            )
        for density in self.densities:
            Independent(density, self.importance)

    @property
    def importance(self) -> np.ndarray:
        return self.decay ** np.arange(5)

    @property
    def every_density(self) -> np.ndarray:
        return np.array([*self.densities, *20.0 ** -np.linspace(0, 1, self.row)])


def run(config: Config) -> xr.Dataset:
    densities, member = sweep.points(config.every_density, range(config.members))
    key = jax.random.key(config.seed)
    models = ensemble(lambda key: ReluOutput.init(5, 2, key=key), members=member, key=key)
    losses = sweep.each(lambda density: Population(Independent(density, config.importance)), densities)
    solved = minimize(models, losses, own_loss=True)
    grid = {"density": config.every_density, "member": range(config.members)}
    data = sweep.dataset(solved.models, solved.loss, grid=grid, converged=solved.converged)
    return data.assign(
        importance=("feature", config.importance),
        large=("density", np.arange(len(config.every_density)) < len(config.densities)),
    )


def figure(data: xr.Dataset) -> Figure:
    large, row = (data.isel(density=np.flatnonzero(data.large.values == shown)) for shown in (True, False))
    n_large, n_row = len(large.density), len(row.density)
    fig = plot.figure(9, 3.9 + (1.5 if n_row else 0))
    top, *below = fig.subfigures(
        2 if n_row else 1, 1, height_ratios=[2.6, 1] if n_row else None, squeeze=False
    )[:, 0]
    top.suptitle(f"5 features in 2 dimensions, best of {data.sizes['member']} models at each density")
    for ax, at in zip(top.subplots(1, n_large, squeeze=False)[0], range(n_large), strict=True):
        _panel(ax, large.isel(density=at), data)
    plot.colorbar(
        top,
        top.axes,
        plot.importance_colors,
        "importance",
        low=float(data.importance.min()),
        high=float(data.importance.max()),
        shrink=0.6,
        pad=0.02,
    )
    for part in below:
        for ax, at in zip(part.subplots(1, n_row, squeeze=False)[0], range(n_row), strict=True):
            _panel(ax, row.isel(density=at), data, small=True)
    return fig


def _panel(ax, at_density, data, small=False):
    best = sweep.best(at_density)
    share = float((at_density.loss <= best.loss * 1.001).mean())
    plot.directions(ax, plot.upright(best.W.values), data.importance.values)
    density = float(at_density.density)
    if small:
        ax.set_title(f"{density:.2g}", fontsize=8)
        ax.set_xlabel(f"{share:.0%}", fontsize=7, color="#666666")
        if at_density.density == data.density[~data.large][0]:
            ax.set_ylabel(
                "density →\n(share of models\nthat reach it)", fontsize=7, rotation=0, ha="right", va="center"
            )
    else:
        ax.set_title(f"density {density:g} (sparsity {1 - density:.0%})")
        ax.set_xlabel(f"loss {float(best.loss):.5f}, reached by {share:.0%} of models")


def claims(data: xr.Dataset) -> list[Claim]:
    found = []
    for density, what in ((1.0, _orthogonal), (0.2, _pairs), (0.1, _pentagon)):
        places = np.flatnonzero(np.isclose(data.density, density) & data.large)
        if len(places):
            found += what(sweep.best(data.isel(density=places[0])).W.values)
    return found


PAPER = "Introduction; norms and angles: exact optimum"


def _geometry(W):
    there = np.asarray(measures.norms(W)) > 0.5
    cosines = np.asarray(measures.cosines(W))[np.ix_(there, there)]
    return there, cosines


def _told(values) -> str:
    return ", ".join(f"{value:.2f}" for value in np.atleast_1d(values))


def _orthogonal(W) -> list[Claim]:
    there, cosines = _geometry(W)
    norms = np.asarray(measures.norms(W))
    stored = there.tolist() == [True, True, False, False, False]
    angle = np.degrees(np.arccos(np.clip(cosines[0, 1], -1, 1))) if there.sum() >= 2 else np.nan
    return [
        Claim(
            "dense-two",
            "Dense: the two most important features are stored, the others not at all",
            PAPER,
            "norms 1, 1, 0, 0, 0 (within 0.02)",
            f"norms {_told(norms)}",
            stored and np.allclose(norms, [1, 1, 0, 0, 0], atol=0.02),
        ),
        Claim(
            "dense-orthogonal",
            "Dense: the two stored features are orthogonal",
            PAPER,
            "90 ± 3 degrees",
            f"{angle:.1f} degrees",
            bool(there.sum() == 2 and abs(angle - 90) <= 3),
        ),
    ]


def _pairs(W) -> list[Claim]:
    there, cosines = _geometry(W)
    four = there.tolist() == [True, True, True, True, False]
    lowest = cosines.min(axis=1) if there.any() else np.array([np.nan])
    others = np.sort(np.abs(cosines), axis=1)[:, :-2] if four else np.array([[np.nan]])
    return [
        Claim(
            "sparse-four",
            "80% sparse: the four most important features are stored",
            PAPER,
            "norms > 0.5: 1 1 1 1 0",
            "norms " + _told(np.asarray(measures.norms(W))),
            four,
        ),
        Claim(
            "sparse-antipodal",
            "80% sparse: they are two antipodal pairs",
            PAPER,
            "each has a partner with cosine < -0.98",
            f"cosines to partners {_told(lowest)}",
            bool(four and (lowest < -0.98).all()),
        ),
        Claim(
            "sparse-pairs-orthogonal",
            "80% sparse: the two pairs are at right angles",
            PAPER,
            "|cosine| across pairs < 0.05",
            f"largest {others.max():.3f}",
            bool(four and others.max() < 0.05),
        ),
    ]


def _pentagon(W) -> list[Claim]:
    there, _ = _geometry(W)
    angles = np.sort(np.degrees(np.arctan2(W[1], W[0])))
    gaps = np.diff(np.append(angles, angles[0] + 360))
    D, norms = np.asarray(measures.dimensionality(W)), np.asarray(measures.norms(W))
    order = bool((np.diff(norms) <= 1e-6).all())
    return [
        Claim(
            "sparser-five",
            "90% sparse: all five features are stored",
            PAPER,
            "5 norms > 0.5, within 1.07 to 1.11 ± 0.02",
            f"norms {_told(norms)}",
            bool(there.all() and norms.min() > 1.05 and norms.max() < 1.13),
        ),
        Claim(
            "sparser-pentagon",
            "90% sparse: as a pentagon",
            PAPER,
            "neighbors 72 ± 6 degrees apart",
            f"{_told(gaps)} degrees",
            bool(there.all() and np.abs(gaps - 72).max() <= 6),
        ),
        Claim(
            "sparser-shares",
            "90% sparse: each has about 2/5 of a dimension",
            PAPER,
            "dimensionality 0.36 to 0.43",
            _told(D),
            bool((D > 0.36).all() and (D < 0.43).all()),
        ),
        Claim(
            "sparser-important-longer",
            "90% sparse: the more important a feature, the longer",
            PAPER,
            "norms fall with importance",
            f"norms {_told(norms)}",
            order,
        ),
    ]
