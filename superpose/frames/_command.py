"""What `superpose measure` does: a matrix in a file goes in, numbers, a figure and JSON come out."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from superpose import files, store
from superpose.frames import chance
from superpose.frames._files import Matrix, matrix
from superpose.frames._measured import Measured, measured
from superpose.frames._told import SCHEMA, told
from superpose.interrupts import leaving_at_once

PROBES = 1024
"""How many random vectors are compared with all."""
JSON, VECTORS = "measured.json", "vectors.npz"


def report(
    path: str,
    *,
    tensor: str = "",
    layout: str = "guess",
    center: bool = False,
    link: float = 0.5,
    seed: int = 0,
    out: str = "",
) -> tuple[str, dict[str, Any]]:
    """How a file was understood, and what was measured; it is written to `out`, a .json file or a folder, where that is given.

    Raises ValueError and OSError, in one line, for what is wrong, before the work if it can be known then.
    """
    if not 0 < link < 1:
        raise ValueError(f"--link must be between 0 and 1, got {link}")
    read = matrix(path, tensor, layout)
    with _place(out) as new:
        began, before = time.monotonic(), Path(path).stat()
        try:
            found = measured(read.W, center=center, link=link)
        except (TypeError, ValueError) as error:
            said = str(error).removeprefix("W ")
            raise ValueError(f"{path}: {read.tensor or 'the array'} {said}") from None
        after = Path(path).stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise ValueError(f"{path} was changed while it was read; try again")
        drawn = chance.sample(found.norms[found.dimensionality > 0], found.hidden, probes=PROBES, seed=seed)
        result = {
            "superpose": version("superpose"),
            "schema": SCHEMA,
            "file": path,
            "tensor": read.tensor,
            "type": read.type,
            "layout": read.layout,
            "read": read.said,
            "seed": seed,
            "probes": len(drawn.nearest),
            **told(found, drawn),
            "seconds": round(time.monotonic() - began, 1),
        }
        if new is not None:
            _write(new, result, found, drawn, read, path)
    return read.said, result


@contextmanager
def _place(out: str) -> Iterator[Path | None]:
    """Where results are written: a new file or folder, which takes its place at the end; None for nowhere."""
    if not out:
        yield None
    elif Path(out).suffix == ".json":
        with files.replaced(out, _is_ours) as new:
            yield new
    elif Path(out).suffix in (".png", ".svg", ".npz", ".npy", ".safetensors", ".pdf", ".csv"):
        raise ValueError(f"--out takes a folder or a .json file, got {out}")
    else:
        with store.replaced(Path(out)) as new, leaving_at_once(partial(store.abandon, new)):
            yield new


def _is_ours(path: Path) -> bool:
    found = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(found, dict) and {"schema", "probes", "numbers"} <= set(found)


def _write(new: Path, result, found: Measured, drawn: chance.Sample, read: Matrix, path: str) -> None:
    if new.suffix == ".json":
        new.write_text(as_json(result), encoding="utf-8")
        return
    from superpose import plot
    from superpose.frames._figure import figure

    (new / JSON).write_text(as_json(result), encoding="utf-8")
    with (new / VECTORS).open("wb") as file:
        np.savez(
            file, norm=found.norms, interference=found.interference, dimensionality=found.dimensionality,
            nearest=found.nearest, cosine=found.cosine, cluster=found.cluster,
        )  # fmt: skip
    n, m = result["vectors"], result["dimensions"]
    centered = ", less their mean" if found.centered else ""
    name = " ".join(_short(each) for each in (Path(path).name, read.tensor) if each)
    with plot.style():
        fig = figure(found, drawn, f"{name}: {n:,} vectors in {m:,} dimensions{centered}")
        fig.savefig(new / "figure.png")
        fig.savefig(new / "figure.svg", metadata={"Date": None})


def _short(name: str, most: int = 40) -> str:
    """A name that fits into a title: its end, where it is long."""
    return name if len(name) <= most else f"…{name[-most:]}"


def as_json(result: dict[str, Any]) -> str:
    """A result as JSON, which has no NaN and no infinity: they are null there. A list of numbers is one line."""
    inner = ",\n".join(f"  {json.dumps(name)}: {_json(value)}" for name, value in result.items())
    return f"{{\n{inner}\n}}\n"


def _json(value: Any) -> str:
    if isinstance(value, dict) and any(isinstance(each, dict | list) for each in value.values()):
        return (
            "{\n"
            + ",\n".join(
                f"    {json.dumps(name)}: {json.dumps(_plain(each))}" for name, each in value.items()
            )
            + "\n  }"
        )
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
