"""The explorer: one HTML file in which toy models train, with no server, no installation and no network.

`page` makes the file's text out of the files beside this one, `written` puts it somewhere, `show` and `widget` show it
in a notebook. Each takes your own models, or what says where they are.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import superpose
from superpose import files

__all__ = ["page", "show", "widget", "written"]

MODULES = (
    "draws", "worlds", "exact", "engine", "polytopes", "measures", "theory", "basins", "tasks", "crew", "state", "simulation",
    "python", "dom", "controls", "colors", "svg", "views", "charts", "curve", "playground", "seeds", "diagram", "phasemap", "phases", "own",
    "lessons", "share", "app",
)  # fmt: skip
"""The page's JavaScript, each module after those that it imports."""

_HERE = Path(__file__).parent


def page(data: Any = None, *, at: Mapping[str, Any] | None = None, features: Any = None) -> str:
    """The explorer as one HTML file, with your own models in it if `data` are given.

    `data` are models side by side, what `minimize`, `fit` or `superpose.run` gave, an `xarray.Dataset` with `W`
    (..., hidden, feature), `b` and `loss` on named axes, or the path of a result or of such a dataset. `at` chooses
    among them, by the nearest value on an axis: `at={"density": 0.1}`. `features` is the law that they were trained on,
    so that they can go on training in the page; experiments' results and datasets may say it themselves.

    All code and style are in the file, and its policy allows exactly these and nothing from any network. Raises
    ValueError or TypeError for what cannot be shown, and OSError where nothing can be read.

    >>> page().startswith("<!doctype html>")
    True
    """
    code, style, result = _script(), _read("style.css"), ""
    if data is not None:
        from superpose.explorer._data import described

        told = _json(described(data, at=at, features=features))
        result = f'<script type="application/json" id="result">{told}</script>'
    slots = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{_policy(code, style)}">\n'
        f'<meta name="{_MARK}" content="superpose {superpose.__version__}">',
        "style": f"<style>{style}</style>",
        "result": result,
        "code": f'<script id="code">{code}</script>',
    }
    return re.sub("<!-- (policy|style|result|code) -->", lambda slot: slots[slot[1]], _read("page.html"))


def written(
    path: str | Path, data: Any = None, *, at: Mapping[str, Any] | None = None, features: Any = None
) -> Path:
    """Write the `page` to a file, whole or not at all; returns where it is.

    Raises FileExistsError for a file that is there already, unless it is such a page, and OSError where the file cannot
    be written; ValueError, TypeError and OSError as `page` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     written(Path(folder) / "explorer.html").name
    'explorer.html'
    """
    text = page(data, at=at, features=features)
    with files.replaced(path, _is_ours) as new:
        new.write_text(text, encoding="utf-8")
    return Path(os.path.realpath(path))


def _is_ours(place: Path) -> bool:
    with place.open("rb") as file:
        return f'<meta name="{_MARK}" content="superpose '.encode() in file.read(4000)


def show(
    data: Any = None, *, at: Mapping[str, Any] | None = None, features: Any = None, height: int = 800
) -> "Frame":
    """The `page` in a notebook, `height` pixels high, as the last line of a cell.

    Raises ValueError, TypeError and OSError as `page` does.

    >>> show(height=500).height
    500
    """
    return Frame(page(data, at=at, features=features), height)


def widget(
    data: Any = None,
    *,
    at: Mapping[str, Any] | None = None,
    features: Any = None,
    state: str = "",
    height: int = 800,
) -> Any:
    """The `page` in a notebook as a widget, whose `state` Python can read and set: what its link has from `#` on.

    It is `height` pixels high.

    Raises ImportError without the package anywidget, which `pip install "superpose[widget]"` brings; ValueError, TypeError
    and OSError as `page` does.
    """
    try:
        from superpose.explorer._widget import Explorer
    except ImportError as error:
        raise ImportError(
            f'{error}; the widget needs pip install "superpose[widget]", show needs nothing'
        ) from None
    html = page(data, at=at, features=features)
    return Explorer(page=html, state=state, height=height, sandbox=SANDBOX)


class Frame:
    """A page that shows itself in a notebook, closed off from the notebook's own."""

    def __init__(self, html: str, height: int):
        self.html, self.height = html, height

    def __repr__(self) -> str:
        return f"the explorer, {len(self.html) / 1e3:.0f} KB, which shows itself in a notebook"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="The superposition explorer" sandbox="{SANDBOX}" '
            f'allow="clipboard-write; fullscreen" style="width: 100%; height: {self.height:d}px; border: 0"></iframe>'
        )


SANDBOX = "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
"""What the page in a frame may do: run, save files, and open links in windows of their own; not reach the notebook."""
_MARK = "generator"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(code: str, style: str) -> str:
    """What the page may load and run: its own code and style, known by their hashes, and what it makes itself."""
    return (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(style)}; img-src data: blob:; "
        "worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    """JSON that can stand in HTML: no tag, comment or entity begins in it, and it is one line of JavaScript."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII only
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _script() -> str:
    """The modules as one script in a function: the page runs it, and starts the same text as its Workers."""
    return joined({name: _read(f"{name}.js") for name in MODULES})


_NAMES = r"\{\s*[\w$]+(?:\s*,\s*[\w$]+)*\s*,?\s*\}"
_IMPORT = re.compile(rf'^(?:import|export) {_NAMES} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|let|class)\b)", re.MULTILINE)
_TOP = re.compile(r"^(?:async function|function|const|let|class)\*? (\w+)", re.MULTILINE)
_FORBIDDEN = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[(.].*|</script.*|<!--.*", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ ]*)\n", re.MULTILINE)


def joined(texts: dict[str, str]) -> str:
    r"""ES modules, by name and in order, as one classic script.

    Raises ValueError where a module does what this cannot join: an import that renames or is of a module further
    down, an export without a declaration, a name that is at the top of another module too.

    >>> print(joined({"a": "export const one = 1;\n", "b": 'import { one } from "./a.js";\nexport let two = one + one;\n'}))
    "use strict";
    (() => {
    const one = 1;
    let two = one + one;
    })();
    <BLANKLINE>
    """
    parts: dict[str, str] = {}
    homes: dict[str, str] = {}
    for name, text in texts.items():
        text = _without_comments(text)
        for other in _IMPORT.findall(text):
            if other not in parts:
                raise ValueError(f"{name}.js imports {other}.js, which does not come before it")
        text = _EXPORT.sub("", _IMPORT.sub("", text))
        if found := _FORBIDDEN.search(re.sub(r"/\*\*.*?\*/", "", text)):
            raise ValueError(f"{name}.js has {found[0].strip()!r}, which cannot stand in one script")
        for label in _TOP.findall(text):
            if label in homes:
                raise ValueError(f"{name}.js and {homes[label]}.js both have a {label}")
            homes[label] = name
        parts[name] = text
    return '"use strict";\n(() => {\n' + "".join(parts.values()) + "})();\n"


def _without_comments(text: str) -> str:
    """The text without the comments that have lines of their own, a quarter of it."""
    kept, at = "", 0
    for comment in _COMMENT.finditer(text):
        kept += text[at : comment.start()]
        at = comment.end()
        if kept.count("`") % 2:
            raise ValueError(f"{comment[0].strip()!r} looks like a comment, but is in a template")
    return kept + text[at:]
