"""Progress bars: in a terminal and in a notebook; none where output goes to a file or a pipe.

In a notebook all bars of a cell share one output, which is empty when they are done. That takes IPython's
`display` and nothing else: bars made of widgets (tqdm's, rich's) need ipywidgets in the kernel and in the front
end, and what they leave in a saved notebook is a widget without its state.
"""

import contextvars
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

SURE = 0.1
"""The share of the work that is done before one knows, at the same speed, how long the rest takes; or a minute."""
console = Console(stderr=True)
"""Where a terminal's bars are drawn; with one console for all, bars inside a longer one do not disturb it."""


def say(text: str) -> None:
    """Print a line on standard error, above the bars, with nothing read as markup."""
    console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def progress_bar(
    what: str, total: float | None, shown: bool = True, after: float = 2.0
) -> Iterator[Callable[[float], None]]:
    """A bar that appears `after` some seconds; call what it yields, from any thread, with how much of `total` is done.

    Without a total it only says that it is at work. How long the rest takes is said as soon as that can be known.

    >>> with progress_bar("counting", total=3) as advanced:
    ...     for done in range(1, 4):
    ...         advanced(done)
    """
    bar = _Bar(what, total, after)
    notebook = _marimo() or _jupyter()
    if not shown or not (notebook or console.is_terminal):
        yield lambda done: None
    elif notebook:
        with _in_notebook(bar, notebook):
            yield bar.advance
    else:
        with _Terminal(
            _described(), BarColumn(), _Share(), _Left(), console=console, transient=True
        ) as drawn:
            task = drawn.add_task(what, total=total, bar=bar)

            def advanced(done: float) -> None:
                bar.advance(done)
                drawn.update(task, completed=done)

            yield advanced


def time_left(done: float, total: float, took: float, since: float = 0.0) -> str:
    """How long the rest takes at the same speed, in words; empty as long as nothing is done.

    What is `done` took `took` seconds, and `since` seconds have passed after that.

    >>> time_left(25, 100, took=10), time_left(25, 100, took=10, since=4), time_left(1, 100, took=10)
    ('30 s left', '26 s left', '16 min 30 s left')
    >>> time_left(1, 1000, took=10), time_left(0, 100, took=10), time_left(50, 100, took=1, since=60)
    ('2 h 46 min left', '', '0 s left')
    """
    return f"{duration(max((total - done) / done * took - since, 0))} left" if done > 0 else ""


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(7.2), duration(75), duration(120), duration(7320)
    ('7 s', '1 min 15 s', '2 min', '2 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


class _Bar:
    """What is being done, how much of it is done, and since when."""

    def __init__(self, what: str, total: float | None, after: float):
        self.what, self.total, self.after = what, total, after
        self.done, self.began = 0.0, time.monotonic()
        self.at = self.began

    def advance(self, done: float) -> None:
        self.done, self.at = done, time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.began >= self.after

    @property
    def share(self) -> float:
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else 0.0

    @property
    def percent(self) -> str:
        return "" if self.total is None else f"{self.share:.0%}"

    @property
    def left(self) -> str:
        if self.total is None or (self.share < SURE and self.at - self.began < 60):
            return ""
        return time_left(self.done, self.total, self.at - self.began, time.monotonic() - self.at)

    @property
    def text(self) -> str:
        return f"{self.what} {self.percent}  {self.left}".rstrip()

    @property
    def html(self) -> str:
        share = "" if self.total is None else f' value="{self.share:.3f}"'
        return f"<div>{escape(self.what)} <progress{share} max=1></progress> {self.percent} &nbsp;{self.left}</div>"


class _Terminal(Progress):
    def get_renderables(self):
        yield self.make_tasks_table([task for task in self.tasks if task.fields["bar"].due])


def _described() -> TextColumn:
    return TextColumn("{task.description}", markup=False)


class _Share(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["bar"].percent, style="progress.percentage")


class _Left(ProgressColumn):
    # rich's own estimate looks back 30 seconds: it has none for steps that take minutes.
    def render(self, task: Task) -> Text:
        return Text(task.fields["bar"].left, style="progress.remaining")


_at_work: list[_Bar] = []  # in a notebook, the outermost first


@contextmanager
def _in_notebook(bar: _Bar, notebook) -> Iterator[None]:
    """Draw the bar, or all of them if it is the outermost, from a separate thread until the block ends."""
    _at_work.append(bar)
    outermost, ended = len(_at_work) == 1, threading.Event()

    def draw():
        while not ended.wait(0.25):
            notebook.draw([each for each in _at_work if each.due])
        notebook.draw([])

    # Where output goes is part of the context, which a new thread does not inherit.
    thread = notebook.Thread(target=contextvars.copy_context().run, args=(draw,), daemon=True)
    if outermost:
        thread.start()
    try:
        yield
    finally:
        _at_work.remove(bar)
        if outermost:
            ended.set()
            thread.join()


class _Jupyter:
    """A place in the output of the running cell; also in Colab and VS Code, which have the same kernel."""

    Thread = threading.Thread
    places: dict[str, str] = {}  # the display of the last cell that had a bar  # noqa: RUF012

    def __init__(self, cell: str):
        self.cell, self.shown = cell, ""

    def draw(self, bars: list[_Bar]) -> None:
        from IPython.display import display

        html = "".join(bar.html for bar in bars)
        if html == self.shown:
            return
        self.shown = html
        shown_as: dict[str, Any] = {"text/plain": "\n".join(bar.text for bar in bars)}
        shown_as |= {"text/html": html} if html else {}
        known = self.cell in self.places
        if not known:
            self.places.clear()
            self.places[self.cell] = uuid.uuid4().hex
        display(shown_as, raw=True, display_id=self.places[self.cell], update=known)


def _jupyter() -> _Jupyter | None:
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    return _Jupyter(shell.get_parent().get("header", {}).get("msg_id", ""))


class _Marimo:
    def __init__(self, marimo):
        self.marimo, self.Thread, self.shown = marimo, marimo.Thread, {}

    def draw(self, bars: list[_Bar]) -> None:
        for bar in [*self.shown]:
            if bar not in bars:
                self.shown.pop(bar)[0].__exit__(None, None, None)
        for bar in bars:
            if bar not in self.shown:
                made = self.marimo.status.progress_bar(
                    total=100, title=bar.what, show_rate=False, show_eta=False, remove_on_exit=True
                )
                self.shown[bar] = made, made.__enter__(), 0
            made, drawn, percent = self.shown[bar]
            now = round(100 * bar.share)
            drawn.update(now - percent, subtitle=bar.left)
            self.shown[bar] = made, drawn, now


def _marimo() -> _Marimo | None:
    marimo = sys.modules.get("marimo")
    return _Marimo(marimo) if marimo and marimo.running_in_notebook() else None
