"""A statement of a paper, what was measured, and whether it holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped

if TYPE_CHECKING:
    import rich.table

Numbers = Any
"""A number, or several: whatever `np.asarray` turns into an array of numbers."""


@dataclass(frozen=True)
class Bounds:
    """What a measured number, or each of several, must lie between, `low` and `high` included; `text` says it in words.

    >>> Bounds(1, 2, "1 to 2").hold(np.array([1.0, 2.5]))
    False
    """

    low: Numbers
    high: Numbers
    text: str

    def hold(self, values: Shaped[np.ndarray, "..."]) -> bool:
        """Whether there are values, all of them numbers, and all within the bounds."""
        same = np.ndim(self.low) == 0 or np.shape(self.low) == values.shape
        return bool(same and values.size and ((self.low <= values) & (values <= self.high)).all())


def about(value: Numbers, within: float, unit: str = "") -> Bounds:
    """`value`, or one value for each number measured, give or take `within`.

    >>> about([5, 7], within=1).text
    '5, 7, each ± 1'
    >>> about(90, 3, " degrees").text
    '90 ± 3 degrees'
    """
    middle = np.asarray(value, float)
    values = ", ".join(f"{number:g}" for number in np.atleast_1d(middle))
    each = ", each" if middle.ndim else ""
    return Bounds(middle - within, middle + within, f"{values}{each} ± {within:g}{unit}")


def exactly(value: Numbers, unit: str = "") -> Bounds:
    """`value` itself, or one value for each number measured: for counts.

    >>> exactly([3, 2, 1, 0]).text
    '3, 2, 1, 0'
    """
    middle = np.asarray(value, float)
    return Bounds(middle, middle, ", ".join(f"{number:g}" for number in np.atleast_1d(middle)) + unit)


def between(low: float, high: float, unit: str = "") -> Bounds:
    """From `low` to `high`, both included.

    >>> between(0.2, 0.5).text
    '0.2 to 0.5'
    """
    return Bounds(low, high, f"{low:g} to {high:g}{unit}")


def at_least(low: float, unit: str = "") -> Bounds:
    """`low` or more.

    >>> at_least(3).text
    '≥ 3'
    """
    return Bounds(low, np.inf, f"≥ {low:g}{unit}")


def at_most(high: float, unit: str = "") -> Bounds:
    """`high` or less.

    >>> at_most(0.02).text
    '≤ 0.02'
    """
    return Bounds(-np.inf, high, f"≤ {high:g}{unit}")


@dataclass(frozen=True)
class Claim:
    """One statement, and how it fared: it holds where every number measured is within the bounds.

    A missing number, NaN, makes a claim fail, and so does the absence of any number.

    >>> Claim("angle", "At right angles", "Introduction", about(90, 3), 91.2, source="the exact optimum").status
    'holds'
    """

    id: str
    """Its name, different from those of the experiment's other claims."""
    statement: str
    """What is said, in one sentence, without the numbers."""
    section: str
    """Where the paper says it, by section or figure; "ours" for what the paper does not say."""
    expected: Bounds
    """What the numbers must lie between."""
    measured: Numbers
    """A number from the dataset, or several; the statement is about each of them."""
    source: str = field(kw_only=True)
    """Where the bounds come from."""
    what: str = field(kw_only=True, default="")
    """What the numbers are, if the statement does not say it, with their unit."""
    number: str = field(kw_only=True, default="{:.3g}")
    """How to write a number."""
    instead: str = field(kw_only=True, default="")
    """Where exact results contradict this claim of a paper: the id of the claim that says what is true."""
    quick: bool = field(kw_only=True, default=True)
    """Whether the small version of the experiment is large enough for it; if not, it is "open" there."""

    def __repr__(self) -> str:
        return f"Claim({_line(self.as_dict())})"

    @property
    def values(self) -> Float[np.ndarray, "..."]:
        """The numbers measured."""
        return np.asarray(self.measured, float)

    @property
    def holds(self) -> bool:
        """Whether all of them are numbers within the bounds."""
        return self.expected.hold(self.values)

    @property
    def status(self) -> str:
        """One of "holds", "differs" where another claim says what is true instead, and "fails"."""
        return "holds" if self.holds else "differs" if self.instead else "fails"

    @property
    def text(self) -> str:
        """The numbers as text; if there are more than ten, their range."""
        numbers = self.values.ravel()
        if numbers.size == 0:
            return "nothing to measure"
        if numbers.size <= 10:
            return ", ".join(map(self.number.format, numbers))
        known = numbers[~np.isnan(numbers)]
        if not known.size:
            return f"{numbers.size} numbers, all missing"
        ends = known.min(), known.max()
        return " to ".join(map(self.number.format, ends)) + f" ({numbers.size} numbers)"

    def as_dict(self, small: bool = False) -> dict[str, Any]:
        """Plain values: what is on the page, and the numbers measured.

        In the `small` version of its experiment, a claim that is not `quick` is "open", whatever was measured.

        >>> claim = Claim("a", "x is 1", "here", about(1, 0.1), 2.0, source="theory", quick=False)
        >>> claim.as_dict()["status"], claim.as_dict(small=True)["status"]
        ('fails', 'open')
        """
        numbers = [None if np.isnan(number) else float(number) for number in self.values.ravel()]
        return {
            "id": self.id,
            "statement": self.statement,
            "section": self.section,
            "what": self.what,
            "expected": self.expected.text,
            "source": self.source,
            "measured": self.text,
            "numbers": numbers,
            "status": "open" if small and not self.quick else self.status,
            "instead": self.instead,
            "quick": self.quick,
        }


@dataclass(frozen=True)
class Score:
    """How many claims hold, how many of a paper's exact results contradict, how many fail, how many are open.

    >>> Score(holds=3, differs=1, fails=0, open=2).text
    '3 of 4 claims hold, 2 open'
    """

    holds: int
    """Claims that hold."""
    differs: int
    """Claims in whose place another claim says what is true."""
    fails: int
    """Claims that fail."""
    open: int = 0
    """Claims for which the experiment was too small."""

    @classmethod
    def of(cls, claims: Sequence[Mapping[str, Any]]) -> "Score":
        """The score of claims as `Claim.as_dict` gives them.

        >>> Score.of([{"status": "holds"}, {"status": "fails"}, {"status": "open"}]).text
        '1 of 2 claims hold, 1 open'
        """
        statuses = [claim["status"] for claim in claims]
        return cls(*map(statuses.count, ("holds", "differs", "fails", "open")))

    @property
    def all(self) -> int:
        """Those that are not open."""
        return self.holds + self.differs + self.fails

    @property
    def text(self) -> str:
        """The score in words."""
        if not self.all and not self.open:
            return "no claim is about these settings"
        return f"{self.holds} of {self.all} claims hold" + (f", {self.open} open" if self.open else "")


class Claims(list[Claim]):
    """An experiment's claims, or those of its `small` version; in a notebook they show themselves as a table.

    Raises ValueError where two have the same id, or `instead` names none of them.

    >>> Claims([Claim("a", "x is 1", "here", about(1, 0.1), 2.0, source="theory")])
    0 of 1 claims hold
    a fails: x is 1; expected 1 ± 0.1, measured 2
    """

    def __init__(self, claims: Iterable[Claim] = (), small: bool = False):
        super().__init__(claims)
        self.small = small
        ids = [claim.id for claim in self]
        twice = {id for id in ids if ids.count(id) > 1}
        lost = {claim.instead for claim in self if claim.instead and claim.instead not in ids}
        if twice or lost:
            raise ValueError(
                f"claims: ids given twice {sorted(twice)}, `instead` without its claim {sorted(lost)}"
            )

    def as_dicts(self) -> list[dict[str, Any]]:
        """Plain values, as `Claim.as_dict` gives them."""
        return [claim.as_dict(self.small) for claim in self]

    def __repr__(self) -> str:
        return "\n".join([Score.of(self.as_dicts()).text, *map(_line, self.as_dicts())])

    def _repr_html_(self) -> str:
        return html(self.as_dicts())


def from_section(section: str, source: str = "") -> Callable[..., Claim]:
    """A function that makes the claims of one section, one per row; bounds come from `source` unless a row says otherwise.

    A row is `id, statement, what, measured, bounds`, and by name any other field of `Claim`.

    >>> says = from_section("Introduction", source="the exact optimum")
    >>> says("pairs", "Antipodal pairs are stored", "cosine", [-0.99, -1], at_most(-0.98))
    Claim(pairs holds: Antipodal pairs are stored; expected cosine: ≤ -0.98, measured -0.99, -1)
    """

    def says(id: str, statement: str, what: str, measured: Numbers, bounds: Bounds, **more: Any) -> Claim:
        return Claim(id, statement, section, bounds, measured, what=what, **{"source": source} | more)

    return says


def as_claims(claims: Callable[..., Iterable[Claim]]) -> Callable[..., Claims]:
    """Turn the claims that a function returns into `Claims`.

    >>> @as_claims
    ... def claims(data):
    ...     return [Claim("a", "x is 1", "here", about(1, 0.1), data, source="theory")]
    >>> claims(1.05)
    1 of 1 claims hold
    a holds: x is 1; expected 1 ± 0.1, measured 1.05
    """

    @wraps(claims)
    def made(*data) -> Claims:
        return Claims(claims(*data))

    return made


def table(claims: Sequence[Mapping[str, Any]]) -> "rich.table.Table":
    """Claims, as `Claim.as_dict` gives them, as a table for the terminal (a `rich.table.Table`).

    >>> claim = Claim("a", "x is 1", "here", about(1, 0.1), 1.0, source="theory")
    >>> table([claim.as_dict()]).row_count
    1
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    color = {"holds": "green", "differs": "yellow", "fails": "red", "open": "dim"}
    rows = Table(box=box.SIMPLE_HEAD, title=Score.of(claims).text, title_justify="left")
    rows.add_column("")
    rows.add_column("claim", ratio=3)
    rows.add_column("expected", ratio=2)
    rows.add_column("measured", ratio=2)
    for claim in claims:
        rows.add_row(
            Text(claim["status"], color[claim["status"]]),
            Text.assemble(claim["statement"], "\n", (claim["section"], "dim")),
            Text(_expected(claim)),
            Text(claim["measured"]),
        )
    return rows


def html(claims: Sequence[Mapping[str, Any]]) -> str:
    """The same as HTML, for notebooks: in colors that can be read on black and on white.

    >>> claim = Claim("a", "x < 1", "here", at_most(1), 0.5, source="theory")
    >>> "x &lt; 1" in html([claim.as_dict()])
    True
    """
    color = {"holds": "#2e9e6b", "differs": "#c77d00", "fails": "#e0503f", "open": "#888888"}
    rows = [
        f'<tr><td style="color: {color[claim["status"]]}"><b>{claim["status"]}</b></td>'
        + "".join(
            f'<td style="text-align: left; white-space: normal; overflow-wrap: anywhere">{cell}</td>'
            for cell in (
                f"{escape(claim['statement'])}<br><small>{escape(claim['section'])}</small>",
                escape(_expected(claim)),
                escape(claim["measured"]),
            )
        )
        + "</tr>"
        for claim in claims
    ]
    head = "".join(
        f'<th style="text-align: left">{name}</th>' for name in ("", "claim", "expected", "measured")
    )
    return (
        f'<table style="max-width: 60rem"><caption style="text-align: left">{Score.of(claims).text}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _line(claim) -> str:
    fared = f"expected {_expected(claim)}, measured {claim['measured']}"
    return f"{claim['id']} {claim['status']}: {claim['statement']}; {fared}"


def _expected(claim) -> str:
    return f"{claim['what']}: {claim['expected']}" if claim["what"] else claim["expected"]
