"""Ctrl-C ends a command at once, whatever it is doing.

As an exception it would be lost in callbacks of JAX, turned into another by libraries that are being imported, and XLA,
which may still be computing, does not survive an orderly end.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def leaving_at_once(first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """In this block Ctrl-C ends the process, after a call of `first`; it does so only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(Exception):
            first()
        end()

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end() -> None:
    """End the process at once, with a line that says so and the status 130 of one that was interrupted."""
    cursor = "\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else ""  # progress bars hide it
    with suppress(OSError):  # not through a stream, which the process may be writing to
        os.write(2, f"{cursor}superpose: interrupted; nothing half-done was written\n".encode())
    os._exit(130)
