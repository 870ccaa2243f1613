"""The executor of one machine: a process for each core, or for each GPU, of which any may die or be stopped."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from glob import glob
from multiprocessing import active_children, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import pebble

from superpose.inputs import whole


class Pool(Executor):
    """Processes that start anew (spawn). One that ends, or needs more than `timeout` seconds for a task, fails that task only.

    With `workers` None: one for each core that this process may use, each of which has that core for itself; or one for
    each GPU that is visible, each of which sees its own only. Raises ValueError for fewer than one, or no time.
    """

    def __init__(self, workers: int | None = None, timeout: float | None = None):
        gpus = _gpus()
        cores = (
            sorted(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else list(range(os.cpu_count() or 1))
        )
        if workers is not None and whole(workers, "workers") < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        if timeout is not None and not 0 < timeout < float("inf"):
            raise ValueError(f"timeout must be above 0 seconds, and finite, got {timeout}")
        self.workers = workers or len(gpus) or len(cores)
        self.timeout = timeout
        context = _Context()
        self._places = places = context.Array("l", self.workers)  # the process that has each place
        self._pool = pebble.ProcessPool(
            self.workers,
            context=context,
            initializer=_begun,
            initargs=(places, cores, gpus, os.getpid()),
        )

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """As of any `concurrent.futures.Executor`; a task that ends its process, or takes too long, is an error of its own."""
        return self._pool.schedule(fn, args=args, kwargs=kwargs, timeout=self.timeout)

    def __exit__(self, kind, error, trace) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any `concurrent.futures.Executor`."""
        if not cancel_futures:
            self._wait_for_those_that_begin()
        self._pool.stop() if cancel_futures else self._pool.close()
        if wait or cancel_futures:
            self._pool.join()

    def _wait_for_those_that_begin(self, most: float = 10.0) -> None:
        """A process that is beginning reads what is gone with the pool, and would say so on standard error."""
        end = time.monotonic() + most
        while time.monotonic() < end:
            begun = self._places[:]
            if not any(isinstance(each, _Process) and each.pid not in begun for each in active_children()):
                return
            time.sleep(0.02)


class _Process(SpawnProcess):
    """A process that does not begin by running the user's script again, as what it is to do is sent to it by value."""

    @staticmethod
    def _Popen(process):  # noqa: N802, multiprocessing's name
        with _STARTING:
            usual = spawn.get_preparation_data
            spawn.get_preparation_data = lambda name: {
                key: value for key, value in usual(name).items() if not key.startswith("init_main")
            }
            try:
                return SpawnProcess._Popen(process)
            finally:
                spawn.get_preparation_data = usual


class _Context(SpawnContext):
    Process = _Process


_STARTING = threading.Lock()


class Here(Executor):
    """Each task at once, in this process."""

    workers = 1
    """How many tasks are computed at a time."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """What `fn` gives or raises, already done."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future


def _gpus() -> list[str]:
    """The GPUs that JAX would use, by name; none where JAX is told to use something else."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() and name != "-1"]
    return [str(at) for at in range(len(glob("/dev/nvidia[0-9]*")))]


def _begun(places, cores: list[int], gpus: list[str], driver: int) -> None:
    """What each process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    _ending_with(driver)
    with places.get_lock():
        at = next((at for at, pid in enumerate(places) if not _alive(pid)), 0)
        places[at] = os.getpid()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[at % len(gpus)]
    else:
        if hasattr(os, "sched_setaffinity"):
            with suppress(OSError):
                os.sched_setaffinity(0, cores[at % len(cores) :: len(places)] or cores)
        _bounded()


def _alive(pid: int) -> bool:
    try:
        if not pid:
            return False
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _ending_with(driver: int) -> None:
    """End this process when its driver ends, however it ends."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != driver:
        os._exit(1)


def _bounded() -> None:
    """Let Python say that memory is short, before the system ends some process or other."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


@contextmanager
def on_dask(address: str) -> Iterator[Executor]:
    """The executor of a Dask cluster. Raises ValueError where there is none, or Dask is not installed."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("clusters need Dask: pip install 'superpose[cluster]'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no Dask scheduler at {address} ({error})") from None
    # What becomes of the cluster is said in a line by who waits for it.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with client:
        yield client.get_executor(retries=0, pure=False)
