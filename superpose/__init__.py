"""A laboratory for superposition: toy models, exact losses, and the claims of papers, checked.

`superpose.run("intro")` runs an experiment, and as the last line of a notebook's cell shows what it gave. Modules load
when they are first used, so that the command answers at once.
"""

from importlib import import_module
from importlib.metadata import version

__version__ = version("superpose")

_modules = (
    "attacks",
    "cards",
    "claims",
    "corpus",
    "costs",
    "curves",
    "dictionaries",
    "draws",
    "exact",
    "explorer",
    "features",
    "fonts",
    "frames",
    "grid",
    "inputs",
    "interactive",
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
    "settings",
    "solutions",
    "store",
    "sweep",
    "theory",
    "torch",
    "train",
    "values",
    "words",
)
_functions = {"run": "interactive", "load_model": "cards", "save_model": "cards", "keep_compiled": "jit"}
"""Functions that one has without the name of their module."""
__all__ = [*_modules, *_functions]


def __getattr__(name: str):
    if name in _functions:
        return getattr(import_module(f"superpose.{_functions[name]}"), name)
    if name in _modules:
        return import_module(f"superpose.{name}")
    raise AttributeError(f"module 'superpose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
