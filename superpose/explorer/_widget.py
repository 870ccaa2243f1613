"""The page as a widget: what it and Python tell each other is its state."""

from pathlib import Path

import anywidget
import traitlets


class Explorer(anywidget.AnyWidget):
    """The explorer. `state` is what its link has from `#` on: it changes as the page does, and the page with it."""

    _esm = Path(__file__).with_name("widget.js").read_text(encoding="utf-8")

    page = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(800).tag(sync=True)
    sandbox = traitlets.Unicode().tag(sync=True)

    def __repr__(self) -> str:
        return f"the explorer, as a widget; its state is {self.state or 'not known yet'!r}"
