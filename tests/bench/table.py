"""The rows that benchmarks give, and how they are shown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; where a target exists, `limit` is the most it may be."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_kept(self) -> bool:
        return self.limit is None or self.value <= self.limit


def render_table(rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = ["| what | measured | target |", "|---|---|---|"]
    for row in rows:
        target = "" if row.limit is None else f"≤ {row.limit:g} {row.unit}"
        mark = "" if row.is_kept else " **missed**"
        lines.append(f"| {row.name} | {row.value:.3g} {row.unit} | {target}{mark} |")
    return "\n".join(lines)
