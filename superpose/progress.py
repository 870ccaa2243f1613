"""Progress bars, all on one console: nothing where nobody looks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

console = Console(stderr=True)
"""Where bars are drawn; with one console for all, bars inside of a longer one do not disturb it."""


@contextmanager
def progress_bar(
    what: str, total: int, shown: bool = True, after: float = 2.0
) -> Iterator[Callable[[float], None]]:
    """A bar that appears after so many seconds of work; call what it yields with how much is done."""
    if not (shown and console.is_terminal):
        yield lambda done: None
        return
    began = time.monotonic()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, visible=False)

        def advanced(done: float) -> None:
            bar.update(task, completed=done, visible=time.monotonic() - began >= after)

        yield advanced
