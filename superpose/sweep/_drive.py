"""The driver: hands chunks to an executor, tries again what died, and writes down what fails."""

import errno
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    TimeoutError,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpose.progress import say
from superpose.sweep import _disk
from superpose.sweep._plan import Place, Plan
from superpose.sweep._task import Done, work

RETRIES = 3
"""How often a chunk is tried again whose worker died."""
IN_FLIGHT = 1000
"""How many chunks an executor of others has at once: enough for any cluster, and few enough for its scheduler."""
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)


class StoppedError(RuntimeError):
    """A sweep that cannot go on by itself; what is done stays done."""


@dataclass
class Outcome:
    """What a driver did."""

    chunks: int = 0
    cells: int = 0
    seconds: float = 0.0
    """The time that tasks took, all together."""
    lost: dict[Place, str] = field(default_factory=dict)
    """Chunks that could not be computed, and why."""
    stopped: bool = False
    """Whether it was asked to stop before the end."""


def drive(
    folder: Path,
    plan: Plan,
    cell: bytes,
    places: Iterable[Place],
    executor: Executor,
    *,
    timeout: float | None = None,
    advanced: Callable[[float], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Compute chunks until none is left, or `stop` says so; then those that are at work are waited for.

    Raises StoppedError where the executor or the disk cannot go on.
    """
    todo, tries, outcome = deque(places), Counter[Place](), Outcome()
    at_work: dict[Future, Place] = {}
    most = 3 * executor.workers if hasattr(executor, "workers") else IN_FLIGHT
    while at_work or (todo and not stop()):
        while todo and len(at_work) < most and not stop():
            place = todo.popleft()
            try:
                at_work[executor.submit(work, str(folder), plan.hash, cell, place)] = place
            except (BrokenExecutor, RuntimeError) as error:
                raise StoppedError(f"the executor takes no more tasks ({_line(error)})") from error
            if hasattr(executor, "inline"):
                break
        if stop():
            outcome.stopped = True
            for future in [each for each in at_work if each.cancel()]:
                del at_work[future]
        for future in wait(at_work, timeout=0.2, return_when=FIRST_COMPLETED).done:
            place = at_work.pop(future)
            said = _ended(future)
            if isinstance(said, Done):
                outcome.chunks += 1
                outcome.seconds += said.seconds
                outcome.cells += plan.cells(place)
                advanced(outcome.cells)
                continue
            tries[place] += 1
            if isinstance(said, BrokenExecutor | CancelledError) and not stop():
                raise StoppedError(f"the executor broke ({_line(said)})") from said
            if isinstance(said, OSError) and said.errno in _NO_PLACE:
                raise said
            died = not isinstance(said, TimeoutError)
            if died and tries[place] <= RETRIES:
                todo.append(place)
                continue
            outcome.lost[place] = (
                f"it died {tries[place]} times, the last time of {_line(said)}"
                if died
                else f"it took longer than {timeout:g} s"
            )
            _disk.note(folder, place, {"chunk": outcome.lost[place]})
            advanced(outcome.cells)
    return outcome


def _ended(future: Future) -> Any:
    """What a task gave, or its error, of whatever executor it is."""
    try:
        return future.result()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error


def _line(error: BaseException) -> str:
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields whether to stop: Ctrl-C once lets the chunks at work end, and twice does not. In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = 0

    def heard(*_) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyboardInterrupt
        say(
            "superpose: the chunks at work are being finished; Ctrl-C again leaves at once, and loses only these"
        )

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield lambda: asked > 0
    finally:
        signal.signal(signal.SIGINT, before)
