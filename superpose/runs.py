"""Running experiments: one into a folder, or all of them with one page about them."""

import hashlib
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from superpose import report, store, sweep
from superpose.experiments import Experiment, experiments
from superpose.progress import console, progress_bar


def run(experiment: Experiment, config, folder: Path) -> report.Result:
    """Run one experiment, and put data, figure, claims and settings at `folder`, whole or not at all.

    Raises OSError where that is not possible: before the work, if that can be known.
    """
    store.check_replaceable(folder)
    keep_compiled()
    began = time.monotonic()
    with _leaving_at_once():
        data = experiment.module().run(config)
    seconds = round(time.monotonic() - began, 1)
    write(experiment, config, data, seconds, folder)
    return report.read(experiment, folder)


def write(experiment: Experiment, config, data, seconds: float, folder: Path) -> None:
    """Put what an experiment gave at `folder`, with figure, claims and settings."""
    made_from = made(experiment, config)
    data = data.assign_attrs({name: json.dumps(value) for name, value in made_from.items()})
    with store.replaced(folder) as new:
        store.save(data, new / "data.zarr")
        _draw(experiment, made_from["config"], data, new)
        store.write_json(made_from | {"seconds": seconds, "drawn_by": _drawn_by()}, new / store.MARK)


def reproduce(
    folder: Path,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    force: bool = False,
    seed: int = 0,
) -> report.Report:
    """Run all experiments, or `only` some, and write one page about all that is there to `folder`.

    An experiment that was run before with the same settings, code and versions is kept, unless `force`;
    so a second call goes on where an interrupted one stopped. One that fails does not stop the others.

    Raises OSError where `folder` cannot be written to.
    """
    report.check_writable(folder)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    keep_compiled()
    known = experiments()
    chosen = list(only) or list(known)
    configs = {name: _config(each, quick, seed) for name, each in known.items()}
    places = {name: folder / "results" / name for name in known}
    again = chosen if force else []
    kept = [
        name
        for name, each in known.items()
        if name not in again and _is_kept(each, configs[name], places[name])
    ]
    results = {name: _redrawn(known[name], places[name]) for name in kept}
    todo = [name for name in chosen if name not in kept]
    n = len(chosen)
    _say(f"{n} experiment{'s' * (n != 1)}: {n - len(todo)} kept, {len(todo)} to run")
    with progress_bar("reproducing", sum(known[name].seconds for name in todo), after=0) as advanced:
        done = 0
        advanced(done)
        for name in todo:
            results[name] = _attempt(known[name], configs[name], places[name])
            _say(f"{name}: {results[name].told}")
            done += known[name].seconds
            advanced(done)
            forget_compiled()
    ordered = [results[name] for name in known if name in results]
    whole = report.Report(
        ordered, left_out=[name for name in known if name not in results], quick=quick, seed=seed
    )
    report.write(whole, folder)
    return whole


def _config(experiment: Experiment, quick, seed):
    config = experiment.module().Config(**(experiment.quick if quick else {}))
    return replace(config, seed=seed)


def made(experiment: Experiment, config) -> dict[str, Any]:
    """What a result is made from, as plain values: config, versions, and a hash of the code."""
    return sweep.settings(config) | {"code": _hash(experiment.path, *_modules(drawing=False))}


def _drawn_by() -> str:
    return _hash(*_modules(drawing=True))


_NOT_COMPUTING = ("cli", "interactive", "runs", "report", "store", "progress")
_DRAWING = ("plot", "fonts", "claims")


def _modules(drawing: bool) -> list[Path]:
    """The files of the library that draw, or those that compute; none of those that do neither."""
    library = Path(report.__file__).parent
    files = [path for path in library.rglob("*.py") if "experiments" not in path.parts]
    files = [
        path for path in files if path.relative_to(library).parts[0].removesuffix(".py") not in _NOT_COMPUTING
    ]
    return sorted(path for path in files if (path.stem in _DRAWING) == drawing)


def _hash(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_kept(experiment, config, place) -> bool:
    """Whether a result of just these settings, code and versions is at `place`."""
    found = store.read_json(place / store.MARK)
    made_from = store.plain(made(experiment, config))
    return isinstance(found, dict) and made_from.items() <= found.items()


def _redrawn(experiment, place) -> report.Result:
    """The result at `place`, with its figure and claims made again if what makes them has changed."""
    mark = store.read_json(place / store.MARK)
    if mark.get("drawn_by") != _drawn_by():
        data = store.load(place)
        with store.replaced(place) as new:
            store.save(data, new / "data.zarr")
            _draw(experiment, mark["config"], data, new)
            store.write_json(mark | {"drawn_by": _drawn_by()}, new / store.MARK)
    return report.read(experiment, place)


def _draw(experiment, config, data, folder) -> None:
    from superpose import plot
    from superpose.claims import Claims

    module = experiment.module()
    claims = Claims(module.claims(data), is_small(experiment, config))
    with plot.style():
        fig = module.figure(data)
        fig.savefig(folder / "figure.png")
        fig.savefig(folder / "figure.svg", metadata={"Date": None})
        if hasattr(module, "animation"):
            module.animation(data).save(folder / "animation.gif", writer="pillow", dpi=80)
    store.write_json(claims.as_dicts(), folder / "claims.json")
    store.write_json(module.notes(data), folder / "notes.json")


def is_small(experiment: Experiment, config: dict[str, Any]) -> bool:
    """Whether these settings are those of the experiment's small version."""
    quick = store.plain(experiment.quick)
    return bool(quick) and quick.items() <= store.plain(config).items()


def _attempt(experiment, config, place) -> report.Result:
    """The result of an experiment, or why there is none."""
    try:
        return run(experiment, config, place)
    except OSError:
        raise
    except Exception as error:
        import traceback

        said = f"{type(error).__name__}: {error}".splitlines()[0]
        where = traceback.extract_tb(error.__traceback__)[-1]
        return report.failed(experiment, config, f"{said} ({Path(where.filename).name}, line {where.lineno})")


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def keep_compiled() -> None:
    """Keep what JAX compiles, so that a second run need not compile again."""
    import jax

    # A cache that cannot be read or written only costs time.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superpose"
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones add up


def forget_compiled() -> None:
    """Let an experiment's programs go: those of all together exhaust the memory maps of a process."""
    import jax

    jax.clear_caches()


def interrupted(*_) -> None:
    """End the process at once: XLA may still be computing, and does not survive an orderly end."""
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # progress bars hide it
    print(f"{cursor}superpose: interrupted; nothing half-done was written", file=sys.stderr)
    sys.stderr.flush()
    os._exit(130)


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Ctrl-C ends the process on the spot: as an exception it can get lost in JAX's callbacks."""
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
