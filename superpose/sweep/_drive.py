"""The driver: hands chunks to an executor, tries again what died, and writes down what fails."""

import errno
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    TimeoutError,
)
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from superpose.progress import say
from superpose.sweep import _disk
from superpose.sweep._plan import Place, Plan
from superpose.sweep._task import line, work

RETRIES = 3
"""How often a chunk is tried again whose worker died."""
IN_FLIGHT = 1000
"""How many chunks an executor of others has at once: enough for any cluster, and few enough for its scheduler."""
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)


class StoppedError(RuntimeError):
    """A sweep that cannot go on by itself; what is done stays done."""


def drive(
    folder: Path,
    plan: Plan,
    cell: bytes,
    places: Iterable[Place],
    executor: Executor,
    *,
    advanced: Callable[[float], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Compute chunks until none is left, or `stop` says so; then those that are at work are waited for.

    Returns whether it was stopped before the end. Raises StoppedError where the executor cannot go on, and OSError where the disk cannot.
    """
    todo, tries, cells, stopped = deque(places), Counter[Place](), 0, False
    at_work: dict[Future, Place] = {}
    ended: SimpleQueue[Future] = SimpleQueue()
    most = 3 * executor.workers if hasattr(executor, "workers") else IN_FLIGHT
    while at_work or (todo and not stop()):
        while todo and len(at_work) < most and not stop():
            place = todo.popleft()
            try:
                future = executor.submit(work, str(folder), plan.hash, cell, place)
            except (BrokenExecutor, RuntimeError) as error:
                raise StoppedError(f"the executor takes no more tasks ({line(error)})") from error
            at_work[future] = place
            future.add_done_callback(ended.put)
        if stop():
            stopped = True
            for future in at_work:
                future.cancel()  # those that have not begun
        try:
            future = ended.get(timeout=0.2)
        except Empty:
            continue
        place, raised = at_work.pop(future), _error(future)
        if raised is None:
            cells += plan.cells(place)
            advanced(cells)
        elif isinstance(raised, BrokenExecutor | CancelledError):
            if not stop():
                raise StoppedError(f"the executor broke ({line(raised)})") from raised
        elif isinstance(raised, OSError) and raised.errno in _NO_PLACE:
            raise raised
        elif tries[place] < RETRIES and not isinstance(raised, TimeoutError):
            tries[place] += 1
            todo.append(place)
        else:
            limit = getattr(executor, "timeout", None)
            why = (
                f"it took longer than {limit:g} s"
                if isinstance(raised, TimeoutError) and limit
                else f"it died {tries[place] + 1} times, the last time of {line(raised)}"
            )
            _disk.note(folder, place, {"chunk": why})
    return stopped


def _error(future: Future) -> BaseException | None:
    """What a task raised, of whatever executor it is."""
    try:
        future.result()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


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
