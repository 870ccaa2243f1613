"""The command line: `superpose list`, `run NAME`, `explore`, `view` and `export RESULT`, `reproduce`, `verify`, `score`, `world`, `measure` and `sweep`.

Only what an answer needs is imported, so that `superpose --help` answers at once.
"""

import io
import sys
import warnings
from collections.abc import Sequence

from superpose import interrupts
from superpose.cli import _dictionaries, _experiments, _frames, _pages, _sweep
from superpose.cli._arguments import InputError, did_you_mean

HELP = """\
superpose: the laboratory for superposition in neural networks

usage:
  superpose list               the papers' experiments: what each shows, and how long it takes
  superpose run NAME           run one; its figure, data and claims go to results/NAME
  superpose run NAME --help    its settings
  superpose explore            toy models that train in your browser: one page, which needs no network
  superpose view RESULT        the same page with the models of a result in it; --help says of which
  superpose export RESULT      its trained models as a .safetensors file with a card, for superpose.load_model or anyone
  superpose reproduce          run all; a page a paper with every figure and claim, and an index, go to report/
  superpose reproduce PAPER    run those of one paper
  superpose reproduce --help   how to run some of them, or small versions
  superpose verify FOLDER      whether every file of a result, of results or of a report is as it was written
  superpose score DICTIONARY   how much of the truth a dictionary has, made by any library; --help says of which kinds
  superpose world              named worlds whose features are known
  superpose world NAME         samples of one, in a file, to make dictionaries of
  superpose measure FILE       numbers of vectors in real weights, beside those of random ones; --help says more
  superpose sweep FILE.py      cells of your own at every point of a grid, here or on a cluster; --help says how
  superpose --version

examples:
  superpose run intro
  superpose run intro --densities 1 0.3 0.05 --members 100 --out /tmp/results
  superpose run phase-diagram --quick
  superpose explore --out superposition.html
  superpose view results/intro
  superpose export results/intro --at density=0.1 --out intro.safetensors
  superpose reproduce --quick
  superpose reproduce --only intro phase-diagram
  superpose verify results
  superpose world independent --samples 100000 --out independent.npz
  superpose score mine.safetensors --world independent --out scores.json
  superpose measure model.safetensors --tensor wte.weight --out wte
  superpose sweep cells.py --over "density=geomspace(1,0.01,20)" --seeds 10 --out sweeps/first

exit status: 0 no claim fails (of a paper's claims, some differ from what is so; another
claim then says that instead); 1 it ran, but a claim fails, or an experiment did; 2 bad input
or an unusable output folder
"""


COMMANDS = {
    "list": _experiments.listed,
    "run": _experiments.run,
    "explore": _pages.explore,
    "view": _pages.view,
    "export": _pages.export,
    "reproduce": _experiments.reproduce,
    "verify": _experiments.verify,
    "score": _dictionaries.score,
    "world": _dictionaries.world,
    "measure": _frames.measure,
    "sweep": _sweep.sweep,
}


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
        case [word, *settings] if word in COMMANDS:
            return COMMANDS[word](settings)
        case [word, *_]:
            raise InputError(f"unknown command {word!r}; {did_you_mean(word, COMMANDS)}")
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
