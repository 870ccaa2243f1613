"""What users ask for on the command line, and what is wrong with it in one line.

Only what an answer needs is imported, so that `superpose --help` answers at once.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from superpose.papers import Experiment, check_seed, experiments, meant, papers


class InputError(Exception):
    """Something that the user can correct, said in one line."""


def did_you_mean(word: str, known: Iterable[str], between: str = "-") -> str:
    return meant(word.lower().replace("_", between), known)


def experiment_named(name: str) -> Experiment:
    known = experiments()
    if name in papers():
        raise InputError(f"{name} is a paper: superpose reproduce {name}, with its name before --only")
    if name not in known:
        raise InputError(f"there is no experiment {name!r}; {did_you_mean(name.rpartition('/')[2], known)}")
    return known[name]


def check_known_seed(seed) -> None:
    try:
        check_seed(seed)
    except ValueError as error:
        raise InputError(str(error)) from None


def parsed(default, command: str, description: str, args: Sequence[str]) -> Any:
    """The default with what the arguments change; --help prints the help and exits."""
    import contextlib

    import tyro

    if not {"-h", "--help"} & set(args):
        _check_options(_options(default), command, args)
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


def _check_options(known: Sequence[str], command: str, args: Sequence[str]) -> None:
    given = [word.partition("=")[0].replace("_", "-") for word in args if word.startswith("--")]
    for option in given:
        if option in known and option not in ("--at", "--over") and given.count(option) > 1:
            raise InputError(f"{option} is given twice; give it once, with all its values")
        if option not in known:
            raise InputError(
                f"there is no option {option}; {did_you_mean(option, known)} (see superpose {command} --help)"
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


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """What is wrong with the user's files, in one line."""
    from superpose import memory

    try:
        yield
    except OSError as error:
        raise InputError(told(error, what)) from error
    except ValueError as error:
        raise InputError(str(error)) from error
    except Exception as error:
        if not memory.exhausted(error):
            raise
        raise InputError(memory.why(error)) from error


def told(error: OSError, what: str = "the results") -> str:
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
