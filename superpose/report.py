"""Every figure and claim of a paper on one page, an index of the pages, and the same as JSON."""

import base64
import platform
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import superpose
from superpose import store
from superpose.claims import Score
from superpose.papers import Experiment, Paper
from superpose.progress import duration


@dataclass(frozen=True)
class Result:
    """How one experiment went: what its folder holds, or the error that ended it."""

    experiment: Experiment
    """Which one it was."""
    config: dict[str, Any]
    """Its settings."""
    versions: dict[str, str] = field(default_factory=dict)
    """Those of superpose, Python and the packages that it was computed with."""
    seconds: float = 0.0
    """How long it took, in seconds."""
    claims: list[dict[str, Any]] = field(default_factory=list)
    """What was claimed, as `Claim.as_dict` gives it."""
    notes: list[str] = field(default_factory=list)
    """What was chosen where the paper is silent."""
    folder: Path | None = None
    """Where its files are."""
    error: str = ""
    """Why there is no result, in one line; empty where there is one."""

    @property
    def score(self) -> Score:
        """How many of its claims hold."""
        return Score.of(self.claims)

    @property
    def line(self) -> str:
        """One line about the result."""
        return f"failed: {self.error}" if self.error else f"{self.score.text}, {duration(self.seconds)}"

    @property
    def command(self) -> str:
        """The command that runs it alone with the same settings."""
        changed = {
            name: value
            for name, value in self.config.items()
            if value != store.plain(getattr(self.experiment.module().Config(), name))
        }
        words = ["superpose", "run", self.experiment.name]
        for name, value in changed.items():
            option = "--" + name.replace("_", "-")
            values = value if isinstance(value, list) else [value]
            words += [option, *map(str, values)] if value is not True else [option]
        return shlex.join(words)

    def picture(self, name: str) -> str:
        """A file of the result as text that a page can hold, or nothing where it has no such file."""
        kinds = {".svg": "image/svg+xml", ".gif": "image/gif", ".png": "image/png"}
        if self.folder is None or name not in (store.listed(self.folder) or {}):
            return ""
        data = base64.b64encode((self.folder / name).read_bytes()).decode()
        return f"data:{kinds[Path(name).suffix]};base64,{data}"


@dataclass(frozen=True)
class Report:
    """What the pages show: the results, paper by paper, in the order in which each presents them."""

    results: list[Result]
    """One for each experiment that was run, or should have been."""
    left_out: list[Experiment]
    """Experiments without a result."""
    quick: bool
    """Whether the experiments were run in their small versions."""
    seed: int
    """The seed that all were given."""
    of: str = ""
    """The name of the paper that the report is about; empty for all papers."""

    @property
    def score(self) -> Score:
        """How many of all claims hold."""
        return Score.of([claim for result in self.results for claim in result.claims])

    @property
    def failed(self) -> list[Result]:
        """The results that are errors."""
        return [result for result in self.results if result.error]

    @property
    def seconds(self) -> float:
        """How long all of them took, in seconds."""
        return sum(result.seconds for result in self.results)

    @property
    def command(self) -> str:
        """The command that makes the report."""
        words = [
            "superpose reproduce",
            self.of,
            "--quick" * self.quick,
            f"--seed {self.seed}" * (self.seed != 0),
        ]
        return " ".join(filter(None, words))

    @property
    def papers(self) -> list[tuple[Paper, "Report"]]:
        """The papers that have results, each with what the paper's page shows."""
        names = {each.experiment.paper.name: each.experiment.paper for each in self.results}
        return [(paper, self.about(name)) for name, paper in names.items()]

    def about(self, name: str) -> "Report":
        """What the page of one paper shows."""
        results = [each for each in self.results if each.experiment.paper.name == name]
        left_out = [each for each in self.left_out if each.paper.name == name]
        return replace(self, results=results, left_out=left_out, of=name)

    @property
    def not_holding(self) -> list[tuple[Result, dict[str, Any]]]:
        """The claims that differ or fail, each with its experiment's result."""
        return [
            (each, claim)
            for each in self.results
            for claim in each.claims
            if claim["status"] in ("differs", "fails")
        ]


def read(experiment: Experiment, folder: Path) -> Result:
    """The result in a folder that `superpose run` wrote, of this version or an older one.

    Raises `store.DamagedError` where the result is not whole.
    """
    faults = store.faults(folder)
    if faults:
        raise store.DamagedError(f"{store.faults_in_words(folder, faults)}; run the experiment again")
    config, made = store.settings(folder)
    claims = [
        {_RENAMED.get(key, key): value for key, value in claim.items()}
        for claim in store.read_json(folder / "claims.json")
    ]
    return Result(
        experiment,
        config,
        made["versions"],
        made["seconds"],
        claims,
        store.read_json(folder / "notes.json"),
        folder,
    )


_RENAMED = {"place": "section", "basis": "source"}
"""Keys of claims in version 0.1."""


def failed(experiment: Experiment, config: Any, error: str) -> Result:
    """The result of an experiment that ended with an error."""
    return Result(experiment, {} if config is None else store.plain(asdict(config)), error=error)


def check_writable(folder: Path, papers: Iterable[str]) -> None:
    """Raise OSError unless a report about these papers can be put at `folder`: new, empty, or a report already.

    A folder with results, but no page, may be a report that was not finished.
    """
    store.check_puttable(["report.json", "index.html", *(f"{name}.html" for name in papers)], folder, _is_old)
    store.check_ours(folder, (folder / "results").is_dir())


_OLD = {"score", "quick", "seed", "seconds", "superpose", "python", "left_out", "experiments"}


def _is_old(page: Path) -> bool:
    """Whether a page is from before reports had manifests."""
    if page.suffix == ".json":
        before = store.read_json(page)
        return isinstance(before, dict) and set(before) >= _OLD
    return b", executed: " in page.read_bytes()[:1000]


def start(folder: Path) -> None:
    """Make a report of `folder`, which has no page yet, so that an interrupted report is recognized as one."""
    store.put({}, folder)
    (folder / "results").mkdir(exist_ok=True)


def write(report: Report, folder: Path) -> None:
    """One page per paper and the index `index.html`, each a file that needs no other, and `report.json` beside them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("superpose", "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"duration": duration, "setting": _setting, "prose": _prose, "linked": _linked}
    versions = next((each.versions for each in report.results if each.versions), {})
    pages = {"report.json": store.as_json(as_dict(report))}
    old = [
        each.paper for each in report.left_out if f"{each.paper.name}.html" in (store.listed(folder) or {})
    ]
    empty = {paper.name: (paper, report.about(paper.name)) for paper in old}  # nothing of them is left
    for paper, part in {**empty, **{paper.name: (paper, part) for paper, part in report.papers}}.values():
        page = environment.get_template("paper.html")
        pages[f"{paper.name}.html"] = page.render(report=part, paper=paper, versions=versions)
    pages["index.html"] = environment.get_template("index.html").render(report=report, versions=versions)
    store.put(pages, folder, _is_old)


def as_dict(report: Report) -> dict[str, Any]:
    """All numbers of the page as plain values."""
    return {
        "score": asdict(report.score),
        "quick": report.quick,
        "seed": report.seed,
        "seconds": round(report.seconds, 1),
        "superpose": superpose.__version__,
        "python": platform.python_version(),
        "left_out": [each.name for each in report.left_out],
        "papers": [
            {"name": paper.name, "title": paper.title, "score": asdict(part.score)}
            for paper, part in report.papers
        ],
        "experiments": [
            {
                "name": result.experiment.name,
                "summary": result.experiment.summary,
                "paper": result.experiment.paper.name,
                "section": result.experiment.section,
                "score": asdict(result.score),
                "error": result.error,
                "seconds": result.seconds,
                "config": result.config,
                "versions": result.versions,
                "notes": result.notes,
                "claims": result.claims,
            }
            for result in report.results
        ],
    }


def _prose(text: str):
    """Text as HTML: whatever is between backquotes is code."""
    from markupsafe import Markup, escape

    parts = str(escape(text)).split("`")
    return Markup("".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts)))


def _linked(text, words: str, to: str):
    """HTML in which these words are a link, if there is a place for it to lead to."""
    from markupsafe import Markup

    return text if not to else text.replace(words, Markup('<a href="{}">{}</a>').format(to, words), 1)


def _setting(value) -> str:
    return (
        ", ".join(map(_setting, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
