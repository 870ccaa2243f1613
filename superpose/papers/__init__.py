"""One folder per paper, one file per experiment. The folders are the list: there is nothing to register.

Names consist of small letters, digits and `_`; no two experiments, of any papers, share one. What papers and experiments
say of themselves is read without running them: it is plain text and numbers. Other files of a paper, such as pieces
that its experiments share, begin with `_`.

A paper's `__init__.py` has a docstring, whose first line is the title and whose rest says what its page shows; `AUTHORS`
(in short), `YEAR` and `LINK`, which may be empty; `CITATION`, as its page gives it. It may have `BIBTEX`; `ORDER`, its experiments in the
order in which it presents them (those not named there come last); `SHOWN`, those of the gallery's front row.

An experiment's file asks one question. It has

- a docstring: its first line says what the experiment shows, the rest explains it in plain words;
- `SECTION`, where the paper asks it; `TAKES`, its seconds on two cores; `QUICK`, the settings of its small version;
- `Config`, a frozen dataclass with a `seed`: a setting is a field, its docstring the help;
  optionally a property `cost`, a `costs.Cost`, which says how long a run takes and whether it fits into memory;
- `run(config) -> Dataset`: all the work. Where it has models, `W`, `b`, `density` and `importance` on named axes, and what
  `grid.SAID` and `grid.law` say, let the explorer go on training them;
- optionally `measured(dataset) -> Dataset`: what figure, claims and notes are about, computed once. Without it they
  are about what `run` gave;
- `figure(measured) -> Figure`, `claims(measured) -> list[Claim]`, and `notes(measured) -> list[str]`: what
  was chosen where the paper is silent, and how much depends on it;
- optionally `animation(measured) -> Animation`.

`@plot.style()` and `@as_claims` make figures and claims look in notebooks as they do on the page.
"""

import ast
import difflib
import re
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Paper:
    """What a paper's folder says of the paper, read without running anything.

    >>> papers()["elhage2022"].title, papers()["elhage2022"].year
    ('Toy Models of Superposition', 2022)
    """

    name: str
    """That of its folder."""
    title: str
    """That of the paper."""
    explanation: str
    """What its page shows."""
    authors: str
    """In short."""
    year: int
    """When it appeared."""
    link: str
    """Where it is on the web, or nothing."""
    citation: str
    """As its page gives it."""
    bibtex: str
    """The same for BibTeX, or nothing."""
    order: tuple[str, ...] = ()
    """Experiments in the order in which it presents them."""
    shown: tuple[str, ...] = ()
    """Those of the gallery's front row."""


@dataclass(frozen=True)
class Experiment:
    """What an experiment's file says of itself, read without running it.

    >>> experiments()["intro"].section
    'Introduction'
    """

    name: str
    """That of its file, with `-` for `_`."""
    path: Path
    """Where the file is."""
    paper: Paper
    """The paper that asks it."""
    summary: str
    """What it shows, in one sentence."""
    explanation: str
    """The same in plain words."""
    section: str
    """Where the paper asks it."""
    seconds: int
    """How long it takes on two cores."""
    quick: dict[str, Any]
    """The settings of its small version."""

    def expected(self, config: Any) -> float:
        """About how many seconds a run with these settings takes on two cores."""
        begins = min(3.0, self.seconds / 2)  # to import, and to load compiled programs
        usual = type(config)()
        more = config.cost.seconds / usual.cost.seconds if hasattr(config, "cost") else 1.0
        return begins + (self.seconds - begins) * more

    def module(self) -> ModuleType:
        """Its file, run."""
        return import_module(f"superpose.papers.{self.path.parent.name}.{self.path.stem}")

    def measured(self, data: "xr.Dataset") -> "xr.Dataset":
        """What figure, claims and notes are about, from what `run` gave."""
        module = self.module()
        return module.measured(data) if hasattr(module, "measured") else data


def meant(word: str, known: Iterable[str], written: Callable[[str], str] = str) -> str:
    """What may have been meant by a word that is not known.

    >>> meant("intr", ["intro", "text"]), meant("x", ["intro", "text"])
    ('did you mean intro?', 'there are intro, text')
    """
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {written(close[0])}?" if close else f"there are {', '.join(known)}"


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed from which no key can be made.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ...
    ValueError: seed must be from 0 to 2^63 - 1, got -1
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")


def papers() -> dict[str, Paper]:
    """The papers by name, the oldest first. A folder that cannot be one is left out, and a warning says why.

    >>> "elhage2022" in papers()
    True
    """
    files = sorted(Path(__file__).parent.glob("*/__init__.py"))
    each = [paper for path in files if (paper := _known(_read_paper, path)) is not None]
    return {paper.name: paper for paper in sorted(each, key=lambda paper: (paper.year, paper.name))}


def experiments() -> dict[str, Experiment]:
    """The experiments by name, paper by paper, in the order in which each presents them.

    A file that cannot be one is left out, and a warning says why; so is the second of two with the same name.

    >>> experiments()["intro"].paper.name
    'elhage2022'
    """
    there: dict[str, Experiment] = {}
    for paper in papers().values():
        files = sorted((Path(__file__).parent / paper.name).glob("[!_]*.py"))
        known = [each for path in files if (each := _known(_read, path, paper)) is not None]
        for each in sorted(known, key=_place):
            if each.name in there:
                _left_out(each.path, f"has the name of {there[each.name].path}; rename one")
            else:
                there[each.name] = each
    return there


def _place(each: Experiment) -> tuple[int, str]:
    order = each.paper.order
    return (order.index(each.name) if each.name in order else len(order)), each.name


def _known(read: Callable, path: Path, *more: Any) -> Any:
    """What `read` makes of a file, or None, with a warning, where it cannot be a paper or an experiment."""
    try:
        return read(path, path.stat().st_mtime_ns, *more)
    except (OSError, SyntaxError, ValueError) as error:
        _left_out(path, str(error))
        return None


def _left_out(path: Path, why: str) -> None:
    warnings.warn(f"{path} {why}; it is left out", stacklevel=3)


@cache
def _read_paper(path: Path, changed: int) -> Paper:
    """What a paper's folder says, read again once it has changed."""
    name = path.parent.name
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name == "index":
        raise ValueError(
            "is in a folder with a name that no paper can have: small letters, digits and _, but not index"
        )
    title, explanation, said = _said(path, AUTHORS=str, YEAR=int, LINK=str, CITATION=str)
    return Paper(
        name, title.rstrip("."), explanation, said["AUTHORS"], said["YEAR"], said["LINK"], said["CITATION"],
        said.get("BIBTEX", ""), tuple(said.get("ORDER", ())), tuple(said.get("SHOWN", ())),
    )  # fmt: skip


@cache
def _read(path: Path, changed: int, paper: Paper) -> Experiment:
    """What an experiment's file says, read again once it has changed."""
    if not re.fullmatch("[a-z][a-z0-9_]*", path.stem):
        raise ValueError("has a name that no experiment can have: small letters, digits and _")
    summary, explanation, said = _said(path, SECTION=str, TAKES=int, QUICK=dict)
    name = path.stem.replace("_", "-")
    return Experiment(name, path, paper, summary, explanation, said["SECTION"], said["TAKES"], said["QUICK"])


def _said(path: Path, **needed: type) -> tuple[str, str, dict[str, Any]]:
    """The first line of a file's docstring, the rest of it, and the file's plain constants.

    Raises ValueError where one that is `needed` is missing, or of another type.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"is not Python: {error.msg} in line {error.lineno}") from None
    said = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
            with suppress(ValueError):  # its value is computed
                said[target.id] = ast.literal_eval(node.value)
    for name, kind in needed.items():
        if not isinstance(said.get(name), kind):
            raise ValueError(
                f"lacks {name}, which must be a plain {_KINDS[kind]}, such as {name} = {_SUCH[kind]}"
            )
    first, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    if not first:
        raise ValueError("lacks a docstring, whose first line says what it is about")
    return first, rest.strip(), said


_KINDS = {str: "text", int: "whole number", dict: "dictionary"}
_SUCH = {str: '"..."', int: "10", dict: '{"steps": 100}'}
