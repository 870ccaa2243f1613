"""`superpose list`, `run`, `reproduce` and `verify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superpose.cli._arguments import (
    InputError,
    check_known_seed,
    did_you_mean,
    experiment_named,
    parsed,
    told,
)
from superpose.papers import Experiment, experiments, papers

VERIFY = """\
usage: superpose verify FOLDER

Compares every file of a result, of a folder of results, of a report or of a data.zarr with the hash of what was
written. A line for each file that is missing or damaged; `superpose reproduce` makes them again (where a report's own
superpose.json is damaged, move that away first). Your own files beside them do not matter, and nothing is changed.

exit status: 0 all is whole; 1 something is missing or damaged; 2 there is nothing to verify
"""


def listed(settings: Sequence[str]) -> int:
    if settings:
        raise InputError("`superpose list` takes no arguments")
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from superpose.progress import duration

    console = Console(emoji=False)

    def section(words):
        return [words] if console.width >= 120 else []

    known = experiments().values()
    for name, paper in papers().items():
        rows = Table(
            box=box.SIMPLE_HEAD,
            title=f"{paper.title}, {paper.authors} {paper.year} ({name})",
            title_justify="left",
        )
        for column in ("name", *section("section"), "what it shows", "takes (2 cores)"):
            rows.add_column(column, no_wrap=column in ("name", "takes (2 cores)"))
        for each in known:
            if each.paper.name == name:
                rows.add_row(each.name, *section(each.section), each.summary, duration(each.seconds))
        console.print(rows)
    return 0


def run(settings: Sequence[str]) -> int:
    if not settings or settings[0] in ("-h", "--help"):
        raise InputError(f"name an experiment: superpose run NAME, one of {', '.join(experiments())}")
    name, *others = settings
    experiment = experiment_named(name)
    out, config = _settings(experiment, others)

    from rich.console import Console

    from superpose import memory, runs
    from superpose.claims import table

    folder = Path(out) / name
    try:
        result = runs.run(experiment, config, folder, announced=True)
    except OSError as error:
        raise InputError(told(error)) from error
    except Exception as error:
        if not memory.exhausted(error):
            raise
        raise InputError(memory.why(error)) from error
    Console(emoji=False).print(table(result.claims))
    print(f"picture: {folder / 'figure.png'}")
    return 1 if result.score.fails else 0


def _settings(experiment: Experiment, args: Sequence[str]) -> tuple[str, Any]:
    """The output folder and the Config that the arguments ask for."""
    from typing import Annotated

    import tyro

    module = experiment.module()
    Config: Any = module.Config

    @dataclass
    class Settings:
        config: tyro.conf.OmitArgPrefixes[Config]
        out: Annotated[str, tyro.conf.arg(help="Results go to OUT/NAME.")] = "results"
        quick: Annotated[bool, tyro.conf.arg(help="A small version, for tests; some claims stay open.")] = (
            False
        )

    default = Settings(Config(**experiment.quick) if "--quick" in args else Config())
    got = parsed(default, f"run {experiment.name}", experiment.summary, args)
    check_known_seed(got.config.seed)
    return got.out, got.config


def reproduce(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class Reproduce:
        papers: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[PAPER ...]")] = ()
        """The papers whose experiments are run; all, unless given. `superpose list` has them."""
        only: tuple[str, ...] = ()
        """Run these experiments only; the pages show them and what was run before."""
        quick: bool = False
        """Run small versions, in minutes; claims that need the full size may not hold."""
        force: bool = False
        """Run again what was run before."""
        seed: int = 0
        """The seed of all experiments."""
        out: str = ""
        """Where the pages go; report, with what was asked in its name, unless given."""

    asked = parsed(
        Reproduce(), "reproduce", "Run every experiment, and write a page a paper and an index.", settings
    )
    check_known_seed(asked.seed)
    known = experiments()
    if "--only" in settings and not asked.only:
        raise InputError(f"--only needs names of experiments; there are {', '.join(known)}")
    for name in asked.papers:
        if name in known:
            raise InputError(f"{name} is an experiment: superpose reproduce --only {name}")
        if name not in papers():
            raise InputError(f"there is no paper {name!r}; {did_you_mean(name, papers(), '_')}")
    for name in asked.only:
        if experiment_named(name).paper.name not in (asked.papers or papers()):
            raise InputError(f"{name} is an experiment of {known[name].paper.name}; name that paper, or none")

    from superpose import runs, store
    from superpose.progress import duration

    named = ["report"] + ["quick"] * asked.quick + [f"seed-{asked.seed}"] * (asked.seed != 0)
    folder = Path(asked.out or "-".join(named))
    try:
        made = runs.reproduce(
            folder,
            papers=asked.papers,
            only=asked.only,
            quick=asked.quick,
            force=asked.force,
            seed=asked.seed,
        )
    except OSError as error:
        raise InputError(told(error)) from error
    except store.DamagedError as error:
        raise InputError(str(error)) from error
    print(
        f"{made.score.text}, {made.score.differs} of the papers' differ, {made.score.fails} fail"
        + (
            f"; {len(made.failed)} experiment{'s' * (len(made.failed) > 1)} did not end"
            if made.failed
            else ""
        )
    )
    for result in made.failed:
        print(f"{result.experiment.name} failed: {result.error}; run it alone: {result.command}")
    print(f"{duration(made.seconds)} of work; the pages are at {folder / 'index.html'}")
    return 1 if made.score.fails or made.failed else 0


def verify(settings: Sequence[str]) -> int:
    if list(settings) in (["-h"], ["--help"]):
        print(VERIFY, end="")
        return 0
    if len(settings) != 1 or settings[0].startswith("--"):
        raise InputError("name one folder: superpose verify FOLDER, such as results or report")

    from superpose import store

    try:
        results = store.verified(Path(settings[0]))
    except OSError as error:
        raise InputError(
            str(error) if error.errno is None else f"{error.strerror}: {error.filename}"
        ) from error
    for each in results:
        for name, what in each.faults.items():
            print(f"{each.path / name}: {what}")
        if not each.checksums:
            print(f"{each.path}: written by an older version, without checksums; run it again to have them")
    damaged = sum(bool(each.faults) for each in results)
    print(f"{len(results) - damaged} of {len(results)} whole")
    return 1 if damaged else 0
