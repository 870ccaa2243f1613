"""The denser three pairs of correlated features are, the more pairs collapse to their principal component.

Six features in two dimensions, in pairs that are active together. Sparse pairs are stored as a hexagon. Denser
ones collapse, one after the other: of both features of a pair only the sum is kept, as in principal component
analysis, and both get the same direction, with length 1/sqrt(2).
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr

from superpose import sweep
from superpose.features import Correlated
from superpose.losses import Population
from superpose.models import ReluOutput
from superpose.train import ensemble, minimize

ORDER = 13
PLACE = "Correlated and Anticorrelated Features"
TAKES = 30
QUICK = {"cells": 6, "members": 12}


@dataclass(frozen=True)
class Config:
    densities: tuple[float, ...] = (0.75, 0.4, 0.2, 0.1, 0.03)
    """The densities that are drawn: each pair's chance to be active."""
    cells: int = 31
    """Further densities, from 0.02 to 0.9."""
    members: int = 40
    """Starts at each density, from different initial weights; the best is kept."""
    seed: int = 0

    def __post_init__(self):
        if self.cells < 2 or self.members < 1:
            raise ValueError(
                f"cells must be 2 or more and members 1 or more, got {self.cells} and {self.members}"
            )
        if not self.densities or not all(0 < p <= 1 for p in self.densities):
            raise ValueError("densities must name densities above 0 and up to 1")


def run(config: Config) -> xr.Dataset:
    densities = np.unique([*config.densities, *np.geomspace(0.02, 0.9, config.cells)])
    density, member = sweep.points(densities, range(config.members))
    key = jax.random.key(config.seed)
    models = ensemble(lambda key: ReluOutput.init(6, 2, key=key), members=member, key=key)
    losses = sweep.each(lambda density: Population(Correlated(density, (2, 2, 2))), density)
    found = minimize(models, losses, own_loss=True)
    grid = {"density": densities, "member": range(config.members)}
    data = sweep.dataset(found.models, found.loss, grid=grid)
    return data.assign(drawn=("density", np.isin(densities, config.densities)))
