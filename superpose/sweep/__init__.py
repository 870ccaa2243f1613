"""Sweeps: cells at every point of a grid, here or on a cluster, into one store that never loses any of them.

A sweep is a grid with named axes, cut into chunks. A chunk is one task: it computes all variables of its cells, and
writes each as one whole Zarr chunk, the last of which says that it is done. A model's numbers depend on its own
point and key only, so that a chunk computed twice is the same bytes, and nothing needs to be coordinated. Any process
may end at any moment: `resume` goes on.

>>> from superpose.features import Independent
>>> from superpose.losses import Population
>>> from superpose.models import ReluOutput
>>> cell = solved(
...     lambda key: ReluOutput.init(2, 1, key=key), lambda density: Population(Independent(density, n_features=2))
... )
>>> import tempfile
>>> with tempfile.TemporaryDirectory() as parent:
...     folder = f"{parent}/sweep"
...     done = run(cell, {"density": [1.0, 0.1]}, folder, seeds=4, executor=Here(), progress=False)
...     done.data.loss.round(4).values.tolist()
...     is_sweep(folder), status(folder).cells, failures(folder), verified(folder, progress=False)
...     select(folder, density=0.1).W.shape
...     zipped(folder, f"{parent}/sweep.zip")
...     opened(f"{parent}/sweep.zip").done.values.tolist()
...     resume(folder, cell, executor=Here(), progress=False).stopped  # nothing is left to do
[0.0833, 0.0033]
(True, 2, {}, {})
(1, 2)
[True, True]
False
"""

from superpose.sweep._axes import parsed
from superpose.sweep._cells import fitted, solved
from superpose.sweep._drive import StoppedError
from superpose.sweep._look import (
    Status,
    failures,
    is_sweep,
    opened,
    plan_of,
    select,
    status,
    verified,
    zipped,
)
from superpose.sweep._pool import Here, Pool, on_dask
from superpose.sweep._run import Sweep, gathered, resume, run
from superpose.sweep._source import loaded, module_of

__all__ = [
    "Here", "Pool", "Status", "StoppedError", "Sweep", "failures", "fitted", "gathered", "is_sweep", "loaded", "module_of", "on_dask", "opened", "parsed",
    "plan_of", "resume", "run", "select", "solved", "status", "verified", "zipped",
]  # fmt: skip
