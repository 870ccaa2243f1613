"""What a sweep is, said once: axes, chunks, variables, and what they are made by. All else on disk follows from it."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from superpose import grid
from superpose.sweep._axes import Values
from superpose.sweep._cells import Setting

FORMAT = 1
"""Grows when older programs cannot read what is written."""

Place = tuple[int, ...]
"""Which chunk: its place along each axis."""


@dataclass(frozen=True)
class Variable:
    """One array of a sweep: its axes after those of the sweep, and its type."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Source:
    """The code that makes a sweep's numbers."""

    name: str
    file: str
    """The file it is in; empty where it was made in a session."""
    text: str
    hash: str


@dataclass(frozen=True)
class Plan:
    """A sweep, but for its numbers."""

    axes: dict[str, Values]
    batched: tuple[str, ...]
    """The axes whose numbers share a program; chunks hold one value of each of the others."""
    fixed: dict[str, Any]
    """Arguments of the cell that are no axes."""
    seeds: int | None
    seed: int
    chunk: tuple[int, ...]
    """How many values of each axis a chunk has."""
    variables: dict[str, Variable]
    attrs: dict[str, Any]
    source: Source
    made: dict[str, str]
    """Versions, the library's code, and the machine."""
    format: int = FORMAT

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(len, self.axes.values()))

    @property
    def n_cells(self) -> int:
        return math.prod(self.shape)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.chunk, strict=True))

    @property
    def n_chunks(self) -> int:
        return math.prod(self.counts)

    def places(self) -> Iterator[Place]:
        return product(*map(range, self.counts))

    def region(self, place: Place) -> tuple[slice, ...]:
        """Which cells a chunk has."""
        return tuple(
            slice(at * size, min((at + 1) * size, n))
            for at, size, n in zip(place, self.chunk, self.shape, strict=True)
        )

    def cells(self, place: Place) -> int:
        return math.prod(each.stop - each.start for each in self.region(place))

    def arguments(self, place: Place) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The numbers of each cell of a chunk, in C order, and what is the same for all of them."""
        own = {name: self.axes[name][part] for name, part in zip(self.axes, self.region(place), strict=True)}
        names = [name for name in self.axes if name in self.batched]
        numbers = grid.points(*(own[name] for name in names))
        same = {name: own[name][0] for name in self.axes if name not in names}
        return expanded(dict(zip(names, numbers, strict=True)), self.batched, self.fixed | same)

    @property
    def setting(self) -> Setting:
        return Setting(tuple(self.axes), self.seeds, self.seed)

    @property
    def last(self) -> str:
        """The variable that is written last: where it is there, its chunk is done."""
        return list(self.variables)[-1]

    @property
    def text(self) -> str:
        """The plan as JSON, with its hash."""
        return json.dumps({"hash": self.hash, "plan": asdict(self)}, indent=1)

    @cached_property
    def hash(self) -> str:
        return hash_of(json.dumps(asdict(self), indent=1))


def expanded(
    numbers: Mapping[str, np.ndarray], batched: tuple[str, ...], others: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arguments before the star as arrays of one length, also those that are no axes, and the others."""
    n = max(map(len, numbers.values()), default=1)
    arrays = {
        name: numbers[name] if name in numbers else np.full(n, others[name])
        for name in batched
        if name in numbers or name in others
    }
    return arrays, {name: value for name, value in others.items() if name not in batched}


def read(text: str) -> Plan:
    """The plan in what `Plan.text` gave. Raises ValueError where it was changed, or is of a newer format."""
    try:
        whole = json.loads(text)
        told, hash = whole["plan"], whole["hash"]
        form = told["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("is damaged") from None
    if isinstance(form, int) and form > FORMAT:
        raise ValueError(f"is of format {form}, which a newer superpose wrote; this one knows up to {FORMAT}")
    if hash_of(json.dumps(told, indent=1)) != hash:
        raise ValueError("is damaged")
    variables = {
        name: Variable(tuple(each["dims"]), tuple(each["shape"]), each["dtype"])
        for name, each in told["variables"].items()
    }
    return Plan(
        **told
        | {
            "axes": {name: tuple(each) for name, each in told["axes"].items()},
            "batched": tuple(told["batched"]),
            "chunk": tuple(told["chunk"]),
            "variables": variables,
            "source": Source(**told["source"]),
        }
    )


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def differences(ours: Plan, theirs: Mapping[str, Any]) -> list[str]:
    """What makes another's numbers others than those of a plan, each in a few words."""
    said = []
    for name, each in theirs.items():
        own = getattr(ours, name)
        if name == "source":
            if own.hash != each.hash:
                said.append(f"the cell {each.name} is other code")
        elif name == "made":
            said += [
                f"{key} was {own.get(key)} and is {each[key]}"
                if key != "code"
                else "superpose's code is other code"
                for key in each
                if key != "machine" and own.get(key) != each[key]
            ]
        elif name == "axes":
            said += [
                f"the axis {axis} was {few(own.get(axis))} and is {few(each.get(axis))}"
                for axis in {**own, **each}
                if own.get(axis) != each.get(axis)
            ]
            if own == each and list(own) != list(each):
                said.append("the axes have another order")
        elif own != each:
            said.append(f"{name} was {own} and is {each}")
    return said


def few(values) -> str:
    if values is None:
        return "not there"
    few = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return ", ".join(few if len(few) < 6 else [*few[:2], "...", few[-1], f"({len(few)} values)"])


def chunked(shape: tuple[int, ...], batched: tuple[bool, ...], most: int) -> tuple[int, ...]:
    """How many values of each axis a chunk of up to `most` cells has: the largest ones are halved until they fit.

    >>> chunked((100, 100, 3), (True, True, False), 1000)
    (25, 25, 1)
    """
    sizes = [n if many else 1 for n, many in zip(shape, batched, strict=True)]
    while math.prod(sizes) > max(1, most):
        largest = max(range(len(sizes)), key=lambda at: sizes[at])
        sizes[largest] = -(-sizes[largest] // 2)
    return tuple(sizes)
