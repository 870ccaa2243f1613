"""One file an experiment. The folder is the list: there is nothing to register.

Each file has

- a docstring: its first line says what the experiment shows, the rest explains it in plain words;
- `ORDER`, its place among the others, which is the paper's; `PLACE`, its section in the paper;
  `TAKES`, its seconds on two cores; `QUICK`, the settings of its small version;
- `Config`, a frozen dataclass with a `seed`: a setting is a field, its docstring the help;
  optionally its property `cost`, a `costs.Cost`: from it follow how long a run takes and whether it fits into memory;
- `run(config) -> Dataset`: all the work;
- `figure(dataset) -> Figure`, `claims(dataset) -> list[Claim]`, and `notes(dataset) -> list[str]`: what
  was chosen where the paper is silent, and how much depends on it;
- optionally `animation(dataset) -> Animation`.

`@plot.style()` and `@as_claims` make figures and claims show themselves in notebooks as on the page.
"""

import ast
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Experiment:
    """What an experiment's file says of itself, read without running it."""

    name: str
    path: Path
    summary: str
    explanation: str
    place: str
    seconds: int
    quick: dict[str, Any]

    def expected(self, config) -> float:
        """Seconds that a run with these settings takes on two cores, about."""
        begins = min(3.0, self.seconds / 2)  # to import, and to load what is compiled
        usual = type(config)()
        more = config.cost.seconds / usual.cost.seconds if hasattr(config, "cost") else 1.0
        return begins + (self.seconds - begins) * more

    def module(self) -> ModuleType:
        return import_module(f"superpose.experiments.{self.path.stem}")


def meant(word: str, known: Iterable[str], written: Callable[[str], str] = str) -> str:
    """What may have been meant by a word that is not known.

    >>> meant("intr", ["intro", "text"]), meant("x", ["intro", "text"])
    ('did you mean intro?', 'there are intro, text')
    """
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {written(close[0])}?" if close else f"there are {', '.join(known)}"


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that no key can be made of."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")


def experiments() -> dict[str, Experiment]:
    """The experiments by name, in the order of the paper."""
    paths = Path(__file__).parent.glob("[a-z]*.py")
    found = sorted((_read(path, path.stat().st_mtime_ns) for path in paths), key=lambda pair: pair[0])
    return {each.name: each for _, each in found}


@cache
def _read(path: Path, changed: int) -> tuple[int, Experiment]:
    """A file's place in the order and what it says, read again once it has changed."""
    tree = ast.parse(path.read_bytes())
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("PLACE", "TAKES", "QUICK", "ORDER")
    }
    summary, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    name = path.stem.replace("_", "-")
    each = Experiment(name, path, summary, rest.strip(), said["PLACE"], said["TAKES"], said["QUICK"])
    return said["ORDER"], each
