"""The command line: `superpose list`, `run NAME`, `explore`, `view RESULT`, `reproduce`, `verify`, `score` and `world`.

Only what an answer needs is imported, so that `superpose --help` answers at once.
"""

import io
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from superpose import interrupts
from superpose.papers import Experiment, check_seed, experiments, meant, papers

HELP = """\
superpose: the laboratory for superposition in neural networks

usage:
  superpose list               the papers' experiments: what each shows, and how long it takes
  superpose run NAME           run one; its figure, data and claims go to results/NAME
  superpose run NAME --help    its settings
  superpose explore            toy models that train in your browser: one page, which needs no network
  superpose view RESULT        the same page with the models of a result in it; --help says of which
  superpose reproduce          run all; a page a paper with every figure and claim, and an index, go to report/
  superpose reproduce PAPER    run those of one paper
  superpose reproduce --help   how to run some of them, or small versions
  superpose verify FOLDER      whether every file of a result, of results or of a report is as it was written
  superpose score DICTIONARY   how much of the truth a dictionary has, made by any library; --help says of which kinds
  superpose world              named worlds whose features are known
  superpose world NAME         samples of one, in a file, to make dictionaries of
  superpose --version

examples:
  superpose run intro
  superpose run intro --densities 1 0.3 0.05 --members 100 --out /tmp/results
  superpose run phase-diagram --quick
  superpose explore --out superposition.html
  superpose view results/intro
  superpose reproduce --quick
  superpose reproduce --only intro phase-diagram
  superpose verify results
  superpose world independent --samples 100000 --out independent.npz
  superpose score mine.safetensors --world independent --out scores.json

exit status: 0 no claim fails (of a paper's claims, some differ from what is so; another
claim then says that instead); 1 it ran, but a claim fails, or an experiment did; 2 bad input
or an unusable output folder
"""

VERIFY = """\
usage: superpose verify FOLDER

Compares every file of a result, of a folder of results, of a report or of a data.zarr with the hash of what was
written. A line for each file that is missing or damaged; `superpose reproduce` makes them again (where a report's own
superpose.json is damaged, move that away first). Your own files beside them do not matter, and nothing is changed.

exit status: 0 all is whole; 1 something is missing or damaged; 2 there is nothing to verify
"""

COMMANDS = ("list", "run", "explore", "view", "reproduce", "verify", "score", "world")


class InputError(Exception):
    """Something that the user can correct, said in one line."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = list(sys.argv[1:] if args is None else args)
    _write_anything()
    try:
        with interrupts.leaving_at_once(), warnings.catch_warnings():
            warnings.showwarning = _warned
            return _main(args)
    except InputError as error:
        _said(error)
        return 2


def _main(args: list[str]) -> int:
    match args:
        case [] | ["-h" | "--help"]:
            print(HELP, end="")
        case ["--version"]:
            from importlib.metadata import version

            print(version("superpose"))
        case ["list"]:
            _list()
        case ["list", *_]:
            raise InputError("`superpose list` takes no arguments")
        case ["run"] | ["run", "-h" | "--help"]:
            raise InputError(f"name an experiment: superpose run NAME, one of {', '.join(experiments())}")
        case ["run", name, *settings]:
            return _run(name, settings)
        case ["explore", *settings]:
            return _explore(settings)
        case ["view", *settings]:
            return _view(settings)
        case ["reproduce", *settings]:
            return _reproduce(settings)
        case ["verify", "-h" | "--help"]:
            print(VERIFY, end="")
        case ["verify", folder] if not folder.startswith("--"):
            return _verify(Path(folder))
        case ["verify", *_]:
            raise InputError("name one folder: superpose verify FOLDER, such as results or report")
        case ["score", *settings]:
            return _score(settings)
        case ["world"]:
            _worlds()
        case ["world", *settings]:
            return _world(settings)
        case [word, *_]:
            raise InputError(f"unknown command {word!r}; {_meant(word, COMMANDS)}")
    return 0


class _Unread(io.FileIO):
    """Where output goes: once nobody reads it anymore, it is lost, which is no reason to lose the work as well."""

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _write_anything() -> None:
    """Let neither characters that a terminal's encoding lacks nor a reader that has left, such as `head`, end the command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        stream.reconfigure(errors="backslashreplace")
        if stream is getattr(sys, f"__{name}__"):
            bytes_to = io.BufferedWriter(_Unread(stream.fileno(), "w", closefd=False))
            lines = stream.line_buffering
            stream_to = io.TextIOWrapper(bytes_to, stream.encoding, stream.errors, line_buffering=lines)
            setattr(sys, name, stream_to)


def _said(message: object) -> None:
    """Print one line for the user, whatever file names are in it."""
    print("superpose:", str(message).replace("\n", "\\n"), file=sys.stderr)


def _warned(message, *_, **__) -> None:
    _said(message)


def _meant(word: str, known: Iterable[str], between: str = "-") -> str:
    return meant(word.lower().replace("_", between), known)


def _experiment(name: str) -> Experiment:
    known = experiments()
    if name in papers():
        raise InputError(f"{name} is a paper: superpose reproduce {name}, with its name before --only")
    if name not in known:
        raise InputError(f"there is no experiment {name!r}; {_meant(name.rpartition('/')[2], known)}")
    return known[name]


def _list() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from superpose.progress import duration

    known = experiments().values()
    for name, paper in papers().items():
        rows = Table(
            box=box.SIMPLE_HEAD,
            title=f"{paper.title}, {paper.authors} {paper.year} ({name})",
            title_justify="left",
        )
        for column in ("name", "section", "what it shows", "takes (2 cores)"):
            rows.add_column(column, no_wrap=column == "name")
        for each in known:
            if each.paper.name == name:
                rows.add_row(each.name, each.section, each.summary, duration(each.seconds))
        Console(emoji=False).print(rows)


def _run(name: str, settings: Sequence[str]) -> int:
    experiment = _experiment(name)
    out, config = _settings(experiment, settings)

    from rich.console import Console

    from superpose import memory, runs
    from superpose.claims import table

    folder = Path(out) / name
    try:
        result = runs.run(experiment, config, folder, announced=True)
    except OSError as error:
        raise InputError(_told(error)) from error
    except Exception as error:
        if not memory.exhausted(error):
            raise
        raise InputError(memory.why(error)) from error
    Console(emoji=False).print(table(result.claims))
    print(f"picture: {folder / 'figure.png'}")
    return 1 if result.score.fails else 0


def _explore(settings: Sequence[str]) -> int:
    @dataclass
    class Explore:
        out: str = "explorer.html"
        """The file that is written. A page that is there already is replaced; any other file is not."""
        no_open: bool = False
        """Write it only; open no browser."""

    about = "Toy models that train in your browser. It writes one HTML file, which needs nothing else and no network."
    asked = _parsed(Explore(), "explore", about, settings)
    return _shown(asked.out, asked.no_open)


def _view(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class View:
        result: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RESULT")] = ""
        """A result's folder, such as results/intro, or a .zarr or .nc dataset with W (..., hidden, feature), b and loss on named axes."""
        at: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = ()
        """Only the models nearest to this value on an axis, such as density=0.1; may be given for several axes."""
        out: str = ""
        """The file that is written; explorer- and the result's name, unless given."""
        no_open: bool = False
        """Write it only; open no browser."""

    about = "Your models, in your browser: the page of `superpose explore` with a result in it."
    asked = _parsed(View(), "view", about, settings)
    if not asked.result:
        raise InputError("name a result: superpose view RESULT, such as results/intro")
    at = {}
    for each in asked.at:
        name, given, value = each.partition("=")
        if not (name and given and value) or name in at:
            raise InputError(f"--at takes NAME=VALUE, such as density=0.1, once for an axis; got {each!r}")
        at[name] = value
    name = Path(asked.result).resolve().name.removesuffix(".zarr").removesuffix(".nc")
    out = asked.out or f"explorer-{name}.html"
    return _shown(out, asked.no_open, Path(asked.result), at)


def _shown(out: str, no_open: bool, result: Path | None = None, at: Mapping[str, str] | None = None) -> int:
    """Write the explorer, and show it in a browser where there is one."""
    from superpose import explorer

    if not out.strip():
        raise InputError("--out needs the name of a file, such as --out explorer.html")

    try:
        page = explorer.written(out, result, at=at)
    except OSError as error:
        about_out = error.errno is None or error.filename in (None, out)
        raise InputError(
            _told(error, "the page") if about_out else f"{error.strerror}: {error.filename}"
        ) from error
    except ValueError as error:
        raise InputError(str(error)) from error
    print(f"page: {out}")
    if not no_open and not _opened(page):
        print("there is no browser here; open the page on any machine that has one")
    return 0


def _opened(page: Path) -> bool:
    """Whether a browser with a window was told to open the page; one in this terminal would take it over."""
    import os
    import webbrowser

    windows = sys.platform != "linux" or any(os.environ.get(name) for name in _WINDOWS)
    return windows and webbrowser.open(page.as_uri())


_WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
"""What is set on Linux where there are windows, or a browser of the user's choice."""


def _reproduce(settings: Sequence[str]) -> int:
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

    asked = _parsed(
        Reproduce(), "reproduce", "Run every experiment, and write a page a paper and an index.", settings
    )
    _known_seed(asked.seed)
    known = experiments()
    if "--only" in settings and not asked.only:
        raise InputError(f"--only needs names of experiments; there are {', '.join(known)}")
    for name in asked.papers:
        if name in known:
            raise InputError(f"{name} is an experiment: superpose reproduce --only {name}")
        if name not in papers():
            raise InputError(f"there is no paper {name!r}; {_meant(name, papers(), '_')}")
    for name in asked.only:
        if _experiment(name).paper.name not in (asked.papers or papers()):
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
        raise InputError(_told(error)) from error
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


def _verify(folder: Path) -> int:
    from superpose import store

    try:
        results = store.verified(folder)
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


def _score(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class Score:
        dictionary: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DICTIONARY")] = ""
        """A .npz, .npy or .safetensors file with directions (hidden, latent), W_dec or decoder.weight, and the encoder, if any; or a folder of SAELens."""
        world: str = ""
        """The world that it was made of; `superpose world` lists them."""
        truth: str = ""
        """Or a file with the truth: directions (hidden, feature) and, for scores of codes, x (sample, feature) and h (sample, hidden)."""
        samples: int = 10_000
        """On how many samples codes are scored."""
        seed: int = 0
        """The seed of the samples, which are never those that `superpose world` writes."""
        inference: str = ""
        """How codes are made, instead of by the dictionary's own encoder: omp=K, fista=PENALTY, nnls or relu=THRESHOLD."""
        threshold: float = 0.0
        """Above which size a code is on, and a feature active."""
        rows: bool = False
        """The dictionary's directions are rows; where it is square this cannot be guessed."""
        out: str = ""
        """A .json file for the scores."""
        json: bool = False
        """Print JSON instead of a table."""

    asked = _parsed(Score(), "score", "How much of the truth a dictionary has.", settings)
    if not asked.dictionary:
        raise InputError(
            "name a dictionary: superpose score DICTIONARY --world NAME, such as mine.safetensors"
        )
    if bool(asked.world) == bool(asked.truth):
        raise InputError("give the truth: either --world NAME, one of `superpose world`, or --truth FILE")
    _known_seed(asked.seed)

    from superpose.dictionaries import _scored

    with _refusing("the scores"):
        said, found = _scored.scored(
            asked.dictionary,
            world=asked.world,
            truth=asked.truth,
            samples=asked.samples,
            seed=asked.seed,
            inference=asked.inference,
            threshold=asked.threshold,
            rows=asked.rows or None,
            out=asked.out,
        )
    if asked.json:
        print(_scored.as_json(found), end="")
        return 0
    print(f"{asked.dictionary}: {said}")
    print(_scored.table(found), end="")
    if asked.out:
        print(f"scores: {asked.out}")
    return 0


def _worlds() -> None:
    from superpose.dictionaries import worlds

    for name, about in worlds.names().items():
        print(f"{name}: {about}")


def _world(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class World:
        name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")] = ""
        """One of those that `superpose world` lists."""
        samples: int = 100_000
        """How many samples are written."""
        seed: int = 0
        """The seed of the samples."""
        out: str = ""
        """The file that is written, .npz or .safetensors; NAME.npz, unless given."""

    about = "Write samples of a world: activations h, features x (the truth), and their directions (hidden, feature)."
    asked = _parsed(World(), "world", about, settings)
    if not asked.name:
        raise InputError("name a world: superpose world NAME, one of `superpose world`")
    _known_seed(asked.seed)

    from superpose.dictionaries import _scored

    out = asked.out or f"{asked.name}.npz"
    with _refusing("the samples"):
        told = _scored.written(asked.name, samples=asked.samples, seed=asked.seed, out=out)
    print(f"samples: {out} ({', '.join(f'{name} {value}' for name, value in told.items())})")
    return 0


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """What is wrong with the user's files, in one line."""
    from superpose import memory

    try:
        yield
    except OSError as error:
        raise InputError(_told(error, what)) from error
    except ValueError as error:
        raise InputError(str(error)) from error
    except Exception as error:
        if not memory.exhausted(error):
            raise
        raise InputError(memory.why(error)) from error


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
    got = _parsed(default, f"run {experiment.name}", experiment.summary, args)
    _known_seed(got.config.seed)
    return got.out, got.config


def _known_seed(seed) -> None:
    try:
        check_seed(seed)
    except ValueError as error:
        raise InputError(str(error)) from None


def _parsed(default, command: str, description: str, args: Sequence[str]) -> Any:
    """The default with what the arguments change; --help prints the help and exits."""
    import contextlib

    import tyro

    if not {"-h", "--help"} & set(args):
        _known_options(_options(default), command, args)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                type(default),
                prog=f"superpose {command}",
                description=description,
                default=default,
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise InputError(f"{_one_line(said.getvalue())} (see superpose {command} --help)") from None


def _options(settings) -> list[str]:
    """The options that fields make, including those of a Config among them."""
    names = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        names += _options(value) if is_dataclass(value) else ["--" + field.name.replace("_", "-")]
    return names


def _known_options(known: Sequence[str], command: str, args: Sequence[str]) -> None:
    given = [word.partition("=")[0].replace("_", "-") for word in args if word.startswith("--")]
    for option in given:
        if option in known and option != "--at" and given.count(option) > 1:
            raise InputError(f"{option} is given twice; give it once, with all its values")
        if option not in known:
            raise InputError(
                f"there is no option {option}; {_meant(option, known)} (see superpose {command} --help)"
            )


def _one_line(box: str) -> str:
    # The first paragraph of what tyro says in a box: no frame, no title, no help. Where the terminal has
    # only ASCII, the frame is lines of "-", one of them below the title.
    lines = [line.strip("│ ") for line in box.splitlines()]
    if len(lines) > 1 and lines[1].startswith("--"):
        lines = lines[2:]
    said = []
    for text in lines:
        if text.startswith(("──", "--------", "For full helptext")):
            break
        if text and text[0] not in "╭╰":
            said.append(text)
    return " ".join(said).removeprefix("Error parsing config: ")


def _told(error: OSError, what: str = "the results") -> str:
    import errno

    where = f": {error.filename}" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"no room to write {what}{where}; free some space or choose another --out"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"no permission to write {what}{where}; choose another --out"
        case None:
            return str(error)
    return f"{error.strerror or error}{where}; choose another --out"
