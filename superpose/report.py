"""Every figure and claim on one page, and the same as JSON."""

import base64
import platform
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import superpose
from superpose import store
from superpose.claims import Score
from superpose.experiments import Experiment


@dataclass(frozen=True)
class Result:
    """How one experiment went: what its folder holds, or the error that it ended with."""

    experiment: Experiment
    config: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    claims: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None
    error: str = ""

    @property
    def score(self) -> Score:
        return Score.of(self.claims)

    @property
    def told(self) -> str:
        """One line about it."""
        return f"failed: {self.error}" if self.error else f"{self.score.told}, {duration(self.seconds)}"

    @property
    def command(self) -> str:
        """How to run it alone with the same settings."""
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
    """What the page shows: the results in the paper's order."""

    results: list[Result]
    left_out: list[str]
    quick: bool
    seed: int

    @property
    def score(self) -> Score:
        return Score.of([claim for result in self.results for claim in result.claims])

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if result.error]

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    @property
    def command(self) -> str:
        words = (
            ["superpose reproduce"] + ["--quick"] * self.quick + [f"--seed {self.seed}"] * (self.seed != 0)
        )
        return " ".join(words)

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
    """The result in a folder that `superpose run` wrote.

    Raises `store.DamagedError` where it is not whole.
    """
    found = store.faults(folder)
    if found or store.listed(folder) is None:
        told = store.told_faults(folder, found) or f"{folder} was written by an older version"
        raise store.DamagedError(f"{told}; run the experiment again")
    made_from = store.read_json(folder / store.CONFIG)
    return Result(
        experiment, made_from["config"], made_from["versions"], made_from["seconds"],
        store.read_json(folder / "claims.json"), store.read_json(folder / "notes.json"), folder,
    )  # fmt: skip


def failed(experiment: Experiment, config, error: str) -> Result:
    """The result of an experiment that ended with an error."""
    return Result(experiment, store.plain(asdict(config)), error=error)


PAGES = ("report.json", "index.html")


def check_writable(folder: Path) -> None:
    """Raise OSError unless a report can be put at `folder`: new, empty, or a report already.

    Where there are results, but no page, it may be one that was not finished.
    """
    store.check_puttable(PAGES, folder, _is_old)
    unknown = store.listed(folder) is None and not (folder / "results").is_dir()
    if folder.exists() and any(folder.iterdir()) and unknown:
        raise FileExistsError(
            f"{folder} holds something that superpose did not write; choose another --out, or move it away"
        )


def _is_old(page: Path) -> bool:
    """Whether it is a page from before reports had manifests."""
    if page.suffix == ".json":
        told = store.read_json(page)
        return isinstance(told, dict) and set(told) == set(as_dict(Report([], [], False, 0)))
    return b"<title>Toy Models of Superposition, executed: " in page.read_bytes()[:1000]


def start(folder: Path) -> None:
    """Make a report of `folder`, which has no page yet, so that an interrupted one is known as what it is."""
    store.put({}, folder)
    (folder / "results").mkdir(exist_ok=True)


def write(report: Report, folder: Path) -> None:
    """The page `index.html`, one file that needs no other, and `report.json` beside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("superpose", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["duration"] = duration
    environment.filters["setting"] = _setting
    environment.filters["prose"] = _prose
    versions = report.results[0].versions if report.results else {}
    page = environment.get_template("report.html").render(report=report, versions=versions)
    store.put({"report.json": store.as_json(as_dict(report)), "index.html": page}, folder, _is_old)


def as_dict(report: Report) -> dict[str, Any]:
    """All numbers of the page as plain values."""
    return {
        "score": asdict(report.score),
        "quick": report.quick,
        "seed": report.seed,
        "seconds": round(report.seconds, 1),
        "superpose": superpose.__version__,
        "python": platform.python_version(),
        "left_out": report.left_out,
        "experiments": [
            {
                "name": result.experiment.name,
                "summary": result.experiment.summary,
                "place": result.experiment.place,
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


def duration(seconds: float) -> str:
    """
    >>> duration(7.2), duration(75), duration(7320)
    ('7 s', '1 min 15 s', '2 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _prose(text: str):
    """Text as HTML: what is between backquotes is code."""
    from markupsafe import Markup, escape

    parts = str(escape(text)).split("`")
    return Markup("".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts)))


def _setting(value) -> str:
    return (
        ", ".join(map(_setting, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
