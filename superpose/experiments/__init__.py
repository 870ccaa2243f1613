"""One file an experiment. The folder is the list: there is nothing to register.

Each file has

- a docstring: its first line says what the experiment shows, the rest explains it in plain words;
- `ORDER`, its place among the others, which is the paper's; `PLACE`, its section in the paper;
  `TAKES`, its seconds on two cores; `QUICK`, the settings of its small version;
- `Config`, a frozen dataclass with a `seed`: a setting is a field, its docstring the help;
- `run(config) -> Dataset`: all the work;
- `figure(dataset) -> Figure`, `claims(dataset) -> list[Claim]`, and `notes(dataset) -> list[str]`: what
  was chosen where the paper is silent, and how much depends on it;
- optionally `animation(dataset) -> Animation`.
"""

import ast
from dataclasses import dataclass
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

    def module(self) -> ModuleType:
        return import_module(f"superpose.experiments.{self.path.stem}")


def experiments() -> dict[str, Experiment]:
    """The experiments by name, in the order of the paper."""
    found = []
    for path in Path(__file__).parent.glob("[a-z]*.py"):
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
        found.append((said["ORDER"], each))
    return {each.name: each for _, each in sorted(found, key=lambda pair: pair[0])}
