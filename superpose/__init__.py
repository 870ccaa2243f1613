"""The laboratory for superposition: toy models, exact losses, and the paper's claims, checked.

Modules load when they are first used, so that the command answers at once.
"""

from importlib import import_module
from importlib.metadata import version

__version__ = version("superpose")

_modules = (
    "claims",
    "dictionaries",
    "draws",
    "exact",
    "features",
    "inputs",
    "losses",
    "measures",
    "memory",
    "models",
    "notebook",
    "plot",
    "polytopes",
    "progress",
    "report",
    "runs",
    "store",
    "sweep",
    "theory",
    "train",
    "values",
)
__all__ = list(_modules)


def __getattr__(name: str):
    if name in _modules:
        return import_module(f"superpose.{name}")
    raise AttributeError(f"module 'superpose' has no attribute {name!r}")
