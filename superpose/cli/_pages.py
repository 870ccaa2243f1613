"""`superpose explore`, `view` and `export`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from superpose.cli._arguments import InputError, parsed, refusing, told


def explore(settings: Sequence[str]) -> int:
    @dataclass
    class Explore:
        out: str = "explorer.html"
        """The file that is written. A page that is there already is replaced; any other file is not."""
        no_open: bool = False
        """Write it only; open no browser."""

    about = "Toy models that train in your browser. It writes one HTML file, which needs nothing else and no network."
    asked = parsed(Explore(), "explore", about, settings)
    return _shown(asked.out, asked.no_open)


def view(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class View:
        result: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RESULT")] = ""
        """A result's or a sweep's folder, such as results/intro, or a .zarr or .nc dataset with W (..., hidden, feature), b and loss on named axes."""
        at: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = ()
        """Only the models nearest to this value on an axis, such as density=0.1; may be given for several axes."""
        out: str = ""
        """The file that is written; explorer- and the result's name, unless given."""
        no_open: bool = False
        """Write it only; open no browser."""

    about = "Your models, in your browser: the page of `superpose explore` with a result in it."
    asked = parsed(View(), "view", about, settings)
    if not asked.result:
        raise InputError("name a result: superpose view RESULT, such as results/intro")
    out = asked.out or f"explorer-{_named(asked.result)}.html"
    return _shown(out, asked.no_open, Path(asked.result), _point(asked.at))


def export(settings: Sequence[str]) -> int:
    from typing import Annotated

    import tyro

    @dataclass
    class Export:
        result: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RESULT")] = ""
        """A result's or a sweep's folder, such as results/intro, or a .zarr or .nc dataset with W (..., hidden, feature), b and loss on named axes."""
        at: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")] = ()
        """Only the models nearest to this value on an axis, such as density=0.1; may be given for several axes."""
        all: bool = False
        """Every member, and not only the one of least loss at each point."""
        out: str = ""
        """The .safetensors file that is written, with its card as .json beside it; the result's name, unless given."""

    about = "Trained models as a .safetensors file with a card: superpose.load_model(FILE) gives them back."
    asked = parsed(Export(), "export", about, settings)
    if not asked.result:
        raise InputError("name a result: superpose export RESULT, such as results/intro")

    from superpose import cards

    out = asked.out or f"{_named(asked.result)}.safetensors"
    with refusing("the models"):
        path = cards.export(Path(asked.result), out, at=_point(asked.at), every=asked.all)
        model, card = cards.load_model(path)
    print(f"models: {path} ({model!r}{', ' * bool(card['axes'])}{', '.join(card['axes'])})")
    print(f"card: {path.with_suffix('.json')}")
    return 0


def _named(result: str) -> str:
    return Path(result).resolve().name.removesuffix(".zarr").removesuffix(".nc").removesuffix(".zip")


def _point(given: Sequence[str]) -> dict[str, str]:
    """The values on axes that `--at` names."""
    at: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value) or name in at:
            raise InputError(f"--at takes NAME=VALUE, such as density=0.1, once for an axis; got {each!r}")
        at[name] = value
    return at


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
            told(error, "the page") if about_out else f"{error.strerror}: {error.filename}"
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
