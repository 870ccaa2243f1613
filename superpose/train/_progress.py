"""A progress bar, once the work has taken two seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str, total: int, shown: bool) -> Iterator[Callable]:
    """A progress bar, once the work has taken two seconds; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda done: None
        return
    began = time.monotonic()
    with Progress(console=console, transient=True, disable=False) as bar:
        task = bar.add_task(what, total=total, visible=False)

        def advanced(done):
            bar.update(task, completed=done, visible=time.monotonic() - began > 2)

        yield advanced
