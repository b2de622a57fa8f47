"""Tables that a phone can't show side by side, spelled out row by row as lists."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from bot.markdown_source import name_tag, read_events

_MAX_COLUMNS = 40
"""Characters of fixed width that a phone shows in a line, about."""
_BEGINS_BLOCK = re.compile(r"^([-+*>]|#{1,6}|=+|-+)(?=\s|$)")
"""What would make another kind of block of a cell at the beginning of a line."""


@dataclass(slots=True)
class _Table:
    """A table that stands at the margin, by places in the source's bytes."""

    start: int
    end: int = 0
    rows: list[list[str]] = field(default_factory=list[list[str]])
    widths: list[list[int]] = field(default_factory=list[list[int]])
    has_links: bool = False

    def is_readable(self) -> bool:
        """Whether it can be shown in columns, with nothing lost."""
        columns = zip_longest(*self.widths, fillvalue=0)
        width = sum(max(column) + 3 for column in columns) - 3
        return width <= _MAX_COLUMNS and not self.has_links


def spell_out_tables(markdown: str) -> str:
    """The same text, with tables that are too wide, or hold links, as lists of `Column: value`."""
    if "|" not in markdown:
        return markdown
    source = markdown.encode("utf-8")
    pieces: list[bytes] = []
    position = 0
    for table in _find_tables(source):
        if not table.is_readable():
            listed = "\n".join(_list_rows(table.rows)).encode("utf-8")
            pieces += [source[position : table.start], listed, b"\n\n"]
            position = table.end
    return b"".join([*pieces, source[position:]]).decode("utf-8")


def _find_tables(source: bytes) -> Iterator[_Table]:
    """Those that are in nothing else: within a quote or a list each line begins with its mark."""
    depth = 0
    table: _Table | None = None
    for event, (start, end) in read_events(source.decode("utf-8")):
        if depth == 0 and name_tag(event, "Start") == "Table":
            table = _Table(start)
        elif table is not None and depth == 1 and name_tag(event, "End") == "Table":
            table.end = end
            yield table
            table = None
        elif table is not None:
            _read(table, event, source[start:end].decode("utf-8"))
        depth += ("Start" in event) - ("End" in event)


def _read(table: _Table, event: Mapping[str, Any], source: str) -> None:
    match name_tag(event, "Start"):
        case "TableHead" | "TableRow":
            table.rows.append([])
            table.widths.append([])
        case "TableCell":
            table.rows[-1].append(source.strip())
            table.widths[-1].append(0)
        case "Link":
            table.has_links = True
        case _:
            pass
    shown = event.get("Text", event.get("Code", ""))
    if table.widths and table.widths[-1]:
        table.widths[-1][-1] += len(shown)


def _list_rows(rows: list[list[str]]) -> Iterator[str]:
    head, *body = rows
    for row in body:
        lines = [
            _BEGINS_BLOCK.sub(r"\\\1", f"{name}: {cell}" if name else cell)
            for name, cell in zip(head, row, strict=False)
            if cell
        ]
        if lines:
            yield "- " + "\\\n  ".join(lines)
    if not body:
        yield "- " + ", ".join(head)
