"""`superpose sweep`: cells of your own at every point of a grid."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superpose.cli._arguments import (
    InputError,
    check_known_seed,
    did_you_mean,
    parsed,
    refusing,
)
from superpose.papers import experiments

HELP = """\
usage: superpose sweep FILE.py [--over AXIS ...] [OPTIONS]
       superpose sweep status|resume|verify|zip FOLDER

Computes a function of yours at every point of a grid, in chunks, by all cores or on a cluster, into a folder from which
nothing is lost, whatever dies. FILE.py has the function `cell` and, if you like, `AXES`:

  from superpose import sweep
  from superpose.features import Independent
  from superpose.losses import Population
  from superpose.models import ReluOutput

  AXES = {"density": "geomspace(1,0.01,20)", "hidden": [2, 3, 5]}

  def model(key, *, hidden=2):
      return ReluOutput.init(6, hidden, key=key)

  def loss(density):
      return Population(Independent(density, n_features=6))

  cell = sweep.solved(model, loss)

  superpose sweep FILE.py --help       all options
  superpose sweep status FOLDER        what is done, how fast, how long it takes; from any terminal or machine
  superpose sweep resume FOLDER        go on; --help says how to share the work between machines
  superpose sweep verify FOLDER        whether every chunk is as it was written
  superpose sweep zip FOLDER FILE.zip  all of it in one file, for others

An axis is NAME=VALUES: 2,3,5 or geomspace(1,0.01,20), linspace(0,1,11), range(10). In Python:
`superpose.sweep.opened(FOLDER)` is a labeled dataset.

exit status: 0 all is done; 1 cells failed, which are listed; 2 bad input, or the folder cannot be used; 130 stopped before the end
"""


def sweep(settings: Sequence[str]) -> int:
    match list(settings):
        case [] | ["-h" | "--help"] | ["status" | "verify" | "zip", "-h" | "--help"]:
            print(HELP, end="")
            return 0
        case [word, *others] if word in _VERBS:
            return _VERBS[word](others)
        case [word, *_] if word.startswith("-"):
            raise InputError("name a file first: superpose sweep FILE.py, or status, resume, verify or zip")
        case [name, *others]:
            return _begin(name, others)
    return 0


@dataclass
class _Where:
    """Where chunks are computed."""

    workers: int = 0
    """Processes; one for each core, or for each GPU, unless given."""
    on: str = ""
    """Or a Dask cluster, such as tcp://scheduler:8786."""
    timeout: float = 0.0
    """Seconds after which a chunk is given up; never, unless given."""


def _begin(name: str, settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class Sweep(_Where):
        over: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUES")] = ()
        """An axis, such as density=geomspace(1,0.01,20) or hidden=2,3,5; may be given for several, instead of the file's own."""
        seeds: int = 0
        """How many initial weights are tried in each cell; as many as the file says, unless given."""
        seed: int = 0
        """The seed of them all."""
        cell: str = "cell"
        """What the function is called in the file."""
        chunk: int = 0
        """Cells in one task; as many as take five seconds, unless given."""
        quick: bool = False
        """The small version that the file's QUICK says."""
        out: str = ""
        """The folder of the sweep; sweeps/ and the file's name, unless given. One that is there is gone on with."""

    asked = parsed(Sweep(), f"sweep {name}", f"Computes {name} at every point of a grid.", settings)
    check_known_seed(asked.seed)

    from superpose.sweep import parsed as axis
    from superpose.sweep import run

    with _telling():
        module, called = _module(name)
        cell = getattr(module, asked.cell, None)
        if not callable(cell):
            what = "no" if cell is None else "no function"
            raise InputError(f"{name} has {what} {asked.cell}; say what its function is called: --cell NAME")
        quick = _mapping(module, "QUICK", name) if asked.quick else {}
        if asked.quick and not {*quick} & {"seeds", *inspect.signature(cell).parameters}:
            raise InputError(
                f"{name} has no small version: QUICK = {{AXIS: VALUES}}; give few values by --over"
            )
        # One number is no axis.
        fixed = {k: v for k, v in quick.items() if k != "seeds" and isinstance(v, int | float)}
        axes = _mapping(module, "AXES", name) | {k: v for k, v in quick.items() if k not in {"seeds", *fixed}}
        over = [axis(each) for each in asked.over]
        names = [each for each, _ in over]
        if twice := {each for each in names if names.count(each) > 1}:
            raise InputError(f"--over {twice.pop()} is given twice; give it once, with all its values")
        axes |= dict(over)
        fixed = {k: v for k, v in fixed.items() if k not in names}
        if not axes:
            raise InputError(f"{name} has no AXES; give them: --over density=geomspace(1,0.01,20)")
        named = [called] + ["quick"] * asked.quick
        folder = Path(asked.out or Path("sweeps") / "-".join(named))
        with _executor(asked) as executor:
            done = run(
                cell,
                axes,
                folder,
                fixed=fixed,
                seeds=asked.seeds or quick.get("seeds"),
                seed=asked.seed,
                executor=executor,
                chunk=asked.chunk or None,
            )
    return _ended(folder, done)


def _mapping(module: Any, name: str, file: str) -> dict[str, Any]:
    found = getattr(module, name, {})
    if not isinstance(found, Mapping):
        raise InputError(f"{name} of {file} must be values by name, such as {{'density': [0.1, 0.01]}}")
    return dict(found)


def _module(name: str) -> tuple[Any, str]:
    """A file's functions, or an experiment's, and what it is called."""
    from superpose.sweep import module_of

    if name.endswith(".py") or "/" in name:
        if not Path(name).is_file():
            raise InputError(f"there is no file {name}")
        return module_of(name), Path(name).stem
    module = experiments()[name].module() if name in experiments() else None
    if not hasattr(module, "cell"):
        grids = [
            each
            for each, of in experiments().items()
            if re.search(r"^(def cell\(|cell = )", of.path.read_text("utf-8"), re.MULTILINE)
        ]
        why = (
            f"{name} is no grid of cells"
            if module
            else f"there is no file {name}.py, and no such grid of cells"
        )
        raise InputError(f"{why}; {did_you_mean(name, grids)}")
    return module, name


def _status(settings: Sequence[str]) -> int:
    folder = _folder(settings, "status")

    from superpose.progress import duration
    from superpose.sweep import status

    with _telling():
        now = status(folder)
    plan = now.plan
    share = now.cells / plan.n_cells
    left = f", {now.rate:.3g} cells a second" if now.rate == now.rate else ""
    if now.cells < plan.n_cells and left:
        left += f", {duration(now.left)} left"
    print(
        f"{now.cells} of {plan.n_cells} cells done ({share:.0%}), {now.chunks} of {plan.n_chunks} chunks{left}"
    )
    for name, values in plan.axes.items():
        few = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
        print(f"  {name}: {', '.join(few if len(few) < 9 else [*few[:3], '...', *few[-2:]])}")
    made = plan.made
    print(
        f"  made by {plan.source.name} of {plan.source.file or 'a session'}, superpose {made['superpose']}, jax {made['jax']}"
    )
    for each in now.other_code:
        print(f"  some of it with other code: {each}")
    if now.cells < plan.n_cells and now.since > 60:
        ago = "the last chunk is" if now.chunks else "no chunk is done yet, and the sweep is"
        print(f"{ago} {duration(now.since)} old: if nothing works on it, superpose sweep resume {folder}")
    _list(folder, now.failed)
    return 0


def _resume(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class Resume(_Where):
        folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER")] = ""
        """A sweep's folder."""
        shard: Annotated[str, tyro.conf.arg(metavar="K/N")] = "1/1"
        """Only this part of the chunks, such as 3/40; any others may work at the same time, on other parts or the same."""
        failed: bool = False
        """Also try chunks again in which cells failed."""
        trusting: bool = False
        """Do not read what is there first; else what is damaged is made again."""
        other_code: bool = False
        """Go on though the code, or a version, is another than before."""
        file: str = ""
        """The file with the function, if it is elsewhere by now."""

    asked = parsed(
        Resume(), "sweep resume", "Goes on with a sweep: what is missing or damaged is made.", settings
    )
    if not asked.folder:
        raise InputError("name a folder: superpose sweep resume FOLDER")
    try:
        part, parts = map(int, asked.shard.split("/"))
    except ValueError:
        raise InputError(f"--shard takes K/N, such as 3/40, got {asked.shard!r}") from None

    from superpose.sweep import loaded, plan_of, resume

    folder = Path(asked.folder)
    with _telling():
        cell = loaded(asked.file, plan_of(folder).source.name) if asked.file else None
        with _executor(asked) as executor:
            done = resume(
                folder,
                cell,
                shard=(part, parts),
                failed=asked.failed,
                other_code=asked.other_code,
                trusting=asked.trusting,
                executor=executor,
            )
    return _ended(folder, done)


def _verify(settings: Sequence[str]) -> int:
    folder = _folder(settings, "verify")

    from superpose.sweep import status, verified

    with _telling():
        wrong = verified(folder)
    for name, what in wrong.items():
        print(f"{folder / name}: {what}")
    if wrong:
        print(f"{len(wrong)} files are missing or damaged: superpose sweep resume {folder}")
        return 1
    now = status(folder)
    all_done = now.chunks == now.plan.n_chunks
    print(
        "all is whole"
        if all_done
        else f"{now.chunks} of {now.plan.n_chunks} chunks are done, and these are whole"
    )
    return 0


def _zip(settings: Sequence[str]) -> int:
    if len(settings) != 2 or any(word.startswith("-") for word in settings):
        raise InputError("name a sweep and a file: superpose sweep zip FOLDER FILE.zip")

    from superpose.sweep import zipped

    with _telling():
        zipped(settings[0], settings[1])
    print(f"sweep: {settings[1]}")
    return 0


_VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "status": _status,
    "resume": _resume,
    "verify": _verify,
    "zip": _zip,
}


def _folder(settings: Sequence[str], verb: str) -> Path:
    if len(settings) != 1 or settings[0].startswith("-"):
        raise InputError(f"name one folder: superpose sweep {verb} FOLDER")
    return Path(settings[0])


def _executor(asked: _Where):
    """Where the work is done, as a context that gives an executor."""
    from superpose.sweep import Pool, on_dask

    if asked.on and (asked.timeout or asked.workers):
        raise InputError("--workers and --timeout are this machine's; leave them out with --on")
    return on_dask(asked.on) if asked.on else Pool(asked.workers or None, asked.timeout or None)


def _ended(folder: Path, done) -> int:
    done_cells = int(done.data.done.sum())
    print(f"{done_cells} of {done.data.done.size} cells done: {folder}")
    _list(folder, done.failed)
    if done.stopped:
        print(f"stopped before the end; go on with superpose sweep resume {folder}")
        return 130
    return 1 if done.failed else 0


def _list(folder: Path, failed: dict[str, str], most: int = 20) -> None:
    if failed:
        print(f"{len(failed)} cell{'s' * (len(failed) > 1)} failed:")
    for at, why in list(failed.items())[:most]:
        print(f"  {at}: {why}")
    if len(failed) > most:
        print(f"  and {len(failed) - most} more, in {folder / 'failed'}")


@contextmanager
def _telling():
    """What is wrong with the user's files, or with a cluster, in one line; Ctrl-C for the second time leaves at once."""
    from superpose.progress import say
    from superpose.sweep import StoppedError

    try:
        with refusing("the sweep"):
            yield
    except (StoppedError, TypeError) as error:
        raise InputError(str(error)) from error
    except KeyboardInterrupt:
        say("superpose: interrupted; the chunks at work are lost, and nothing else")
        raise SystemExit(130) from None
