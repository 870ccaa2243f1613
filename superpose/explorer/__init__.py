"""The explorer: one HTML file in which toy models train, with no server, no installation and no network.

`page` makes the file's text out of the files beside this one, and `written` puts it somewhere.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import superpose

MODULES = (
    "draws", "worlds", "exact", "engine", "measures", "theory", "tasks", "crew", "state", "python",
    "colors", "views", "playground", "seeds", "phases", "own", "lessons", "share", "app",
)  # fmt: skip
"""The page's JavaScript, each module after those that it imports."""

_HERE = Path(__file__).parent


def page(data: Any = None) -> str:
    """The explorer as one HTML file, with a result in it if there is one.

    All code and style are in the file, and its policy allows exactly these and nothing from any network.
    """
    code, style = _script(), _read("style.css")
    slots = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{_policy(code, style)}">\n'
        f'<meta name="generator" content="superpose {superpose.__version__}">',
        "style": f"<style>{style}</style>",
        "result": "" if data is None else f'<script type="application/json" id="result">{_json(data)}</script>',
        "code": f'<script id="code">{code}</script>',
    }
    return re.sub("<!-- (policy|style|result|code) -->", lambda slot: slots[slot[1]], _read("page.html"))


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
    texts = {name: _read(f"{name}.js") for name in MODULES if (_HERE / f"{name}.js").exists()}
    return joined(texts)


_NAMES = r"\{[\s\w,$]*\}"
_IMPORT = re.compile(rf'^(?:import|export) {_NAMES} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|let|class)\b)", re.MULTILINE)
_TOP = re.compile(r"^(?:async function|function|const|let|class)\*? (\w+)", re.MULTILINE)
_FORBIDDEN = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[(.].*|</script.*|<!--.*", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ ]*)\n", re.MULTILINE)


def joined(texts: dict[str, str]) -> str:
    """ES modules, by name and in order, as one classic script.

    Raises ValueError where a module does what this cannot join: an import that renames or is of a module further
    down, an export without a declaration, a name that is at the top of another module too.

    >>> print(joined({"a": "export const one = 1;\\n", "b": 'import { one } from "./a.js";\\nexport let two = one + one;\\n'}))
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
