"""A statement of a paper, what was measured, and whether it holds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Claim:
    """One statement, and how it fared.

    `measured` comes from an experiment's dataset and is text or a number; `holds` follows from
    it. `source` is the place in the paper, or says that the claim is ours.
    """

    id: str
    statement: str
    source: str
    expected: str
    measured: str
    holds: bool

    def as_dict(self) -> dict[str, Any]:
        """
        >>> Claim("a", "x is 1", "here", "1", "2", holds=False).as_dict()["holds"]
        False
        """
        return {**asdict(self), "holds": bool(self.holds)}


def table(claims: Sequence[Claim]):
    """The claims as a table for the terminal (a `rich.table.Table`)."""
    from rich import box
    from rich.table import Table

    held = sum(bool(claim.holds) for claim in claims)
    told = Table(box=box.SIMPLE_HEAD, title=f"{held} of {len(claims)} claims hold", title_justify="left")
    told.add_column("")
    told.add_column("claim", ratio=3)
    told.add_column("expected", ratio=2)
    told.add_column("measured", ratio=2)
    for claim in claims:
        mark = "[green]holds[/]" if claim.holds else "[red]fails[/]"
        told.add_row(mark, f"{claim.statement}\n[dim]{claim.source}[/]", claim.expected, claim.measured)
    return told
