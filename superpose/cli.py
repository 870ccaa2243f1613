"""The command line: `superpose list` and `superpose run NAME`, made from the experiments' Configs.

Only what an answer needs is imported, so that `superpose --help` comes at once.
"""

import ast
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

HELP = """\
superpose: the laboratory for superposition in neural networks

usage:
  superpose list               the experiments: what each shows, and how long it takes
  superpose run NAME           run one; its figure, data and claims go to results/NAME
  superpose run NAME --help    its settings
  superpose --version

examples:
  superpose run intro
  superpose run intro --densities 1 0.3 0.05 --members 100 --out /tmp/results
  superpose run phase-diagram --quick

exit status: 0 every claim holds; 1 it ran, but a claim does not hold; 2 bad input or an
unusable output folder
"""


class InputError(Exception):
    """Something that the user can put right, said in one line."""


@dataclass(frozen=True)
class Experiment:
    """What an experiment's file says of itself, read without importing it."""

    name: str
    summary: str
    figure: str
    takes: str
    quick: dict[str, Any]

    def module(self) -> ModuleType:
        from importlib import import_module

        return import_module(f"superpose.experiments.{self.name.replace('-', '_')}")


def experiments() -> dict[str, Experiment]:
    """The experiments by name, in the order of the paper."""
    found = []
    for path in (Path(__file__).parent / "experiments").glob("[a-z]*.py"):
        tree = ast.parse(path.read_text())
        said = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in ("FIGURE", "TAKES", "QUICK", "ORDER")
        }
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        name = path.stem.replace("_", "-")
        experiment = Experiment(name, summary, said["FIGURE"], said["TAKES"], said["QUICK"])
        found.append((said["ORDER"], experiment))
    return {experiment.name: experiment for _, experiment in sorted(found, key=lambda pair: pair[0])}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = list(sys.argv[1:] if args is None else args)
    try:
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
            case [word, *_]:
                raise InputError(
                    f"unknown command {word!r}; there are `superpose list` and `superpose run NAME`"
                )
    except InputError as error:
        print(f"superpose: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _interrupted()
    return 0


def _interrupted(*_) -> None:
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # progress bars hide it
    print(f"{cursor}superpose: interrupted; nothing was written", file=sys.stderr)
    sys.stderr.flush()
    # XLA may still be computing, and does not survive an orderly end of the interpreter.
    os._exit(130)


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Ctrl-C ends the process on the spot: as an exception it can get lost in JAX's callbacks."""
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _list() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    told = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "in the paper", "what it shows", "takes (2 cores)"):
        told.add_column(column, no_wrap=column == "name")
    for each in experiments().values():
        told.add_row(each.name, each.figure, each.summary, each.takes)
    Console().print(told)


def _run(name: str, settings: Sequence[str]) -> int:
    known = experiments()
    if name not in known:
        raise InputError(f"there is no experiment {name!r}; there are {', '.join(known)}")
    experiment = known[name]
    module = experiment.module()
    _keep_compiled()
    out, config = _settings(experiment, module.Config, settings)

    from superpose import store

    folder = Path(out) / name
    try:
        store.check_replaceable(folder)
        with _leaving_at_once():
            data = module.run(config)
        return _write(module, config, data, folder)
    except OSError as error:
        raise InputError(_told(error)) from error


def _keep_compiled() -> None:
    """Keep what JAX compiles, so that a second run need not compile again."""
    import jax

    # A cache that cannot be read or written only costs time.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superpose"
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones add up


def _write(module, config, data, folder) -> int:
    import json

    from rich.console import Console

    from superpose import plot, store, sweep
    from superpose.claims import table

    made_from = sweep.settings(config)
    data = data.assign_attrs({name: json.dumps(value) for name, value in made_from.items()})
    claims = module.claims(data)
    with store.replaced(folder) as new:
        store.save(data, new / "data.zarr")
        with plot.style():
            module.figure(data).savefig(new / "figure.png")
        store.write_json([claim.as_dict() for claim in claims], new / "claims.json")
        store.write_json(made_from, new / "config.json")
    console = Console()
    console.print(table(claims))
    console.print(f"picture: {folder / 'figure.png'}", highlight=False, soft_wrap=True)
    return 0 if all(claim.holds for claim in claims) else 1


def _settings(experiment: Experiment, Config, args: Sequence[str]) -> tuple[str, Any]:
    """The output folder and the Config that the arguments ask for."""
    import contextlib
    import io
    from typing import Annotated

    import tyro

    @dataclass
    class Settings:
        config: tyro.conf.OmitArgPrefixes[Config]
        out: Annotated[str, tyro.conf.arg(help="Results go to OUT/NAME.")] = "results"
        quick: Annotated[bool, tyro.conf.arg(help="A small version, for tests; its claims may not hold.")] = (
            False
        )

    default = Settings(Config(**experiment.quick) if "--quick" in args else Config())
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            got = tyro.cli(
                Settings,
                prog=f"superpose run {experiment.name}",
                description=experiment.summary,
                default=default,
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise InputError(
            f"{_one_line(said.getvalue())} (see superpose run {experiment.name} --help)"
        ) from None
    if not 0 <= got.config.seed < 2**63:
        raise InputError(f"seed must be from 0 to 2^63 - 1, got {got.config.seed}")
    return got.out, got.config


def _one_line(box: str) -> str:
    # The first paragraph of what tyro says in a box: no frame, no title, no help.
    lines = []
    for line in box.splitlines():
        text = line.strip("│ ")
        if text.startswith(("──", "For full helptext")):
            break
        if text and text[0] not in "╭╰":
            lines.append(text)
    return " ".join(lines).removeprefix("Error parsing config: ")


def _told(error: OSError) -> str:
    import errno

    where = f": {error.filename}" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"no room to write the results{where}; free some space or choose another --out"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"no permission to write the results{where}; choose another --out"
        case None:
            return str(error)
    return f"{error.strerror or error}{where}; choose another --out"
