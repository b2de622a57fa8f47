"""Measures what is promised, each against its floor in the same run.

    uv run python -m tests.bench [--quick] [--write FILE] [store|writers|scale|search|turn|…]

Prints Markdown tables; exits 1 when a target is missed in a full run. `--quick` only shows the
figures: it is there to prove that the benchmark runs. `--write` puts them into a document, in
place of what an earlier run wrote there.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import (
    bot,
    compare,
    http_calls,
    local,
    scale,
    search,
    start,
    store,
    tools,
    turn,
    units,
    writers,
)
from tests.bench.document import update_document
from tests.bench.table import Row, render_table


class Part(NamedTuple):
    """A table of its own."""

    about: str | None
    run: Callable[..., list[Row]]
    render: Callable[[Sequence[Row]], str] = render_table
    needs: str = "--group bench"

    @property
    def title(self) -> str:
        """What its module says it is."""
        return (self.about or "").split("\n", 1)[0].rstrip(".")

    def show(self, rows: Sequence[Row]) -> str:
        """Its table, and below it what else its module says of the figures."""
        note = (self.about or "").partition("\n\n")[2].strip()
        return f"{self.render(rows)}\n\n{note}".strip()


PARTS = {
    "store": Part(store.__doc__, store.run),
    "writers": Part(writers.__doc__, writers.run),
    "scale": Part(scale.__doc__, scale.run),
    "search": Part(search.__doc__, search.run),
    "compare": Part(compare.__doc__, compare.run, compare.render),
    "units": Part(units.__doc__, units.run),
    "turn": Part(turn.__doc__, turn.run),
    "bot": Part(bot.__doc__, bot.run),
    "start": Part(start.__doc__, start.run),
    "http": Part(http_calls.__doc__, http_calls.run),
    "tools": Part(tools.__doc__, tools.run),
    "local": Part(local.__doc__, local.run, needs="--extra local"),
}


def main() -> int:
    """Run the parts named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds, no verdict")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put them into a document")
    options = parser.parse_args()
    tables: dict[str, str] = {}
    commands: dict[str, str] = {}
    missed: list[str] = []
    for name in options.parts or PARTS:
        part = PARTS[name]
        rows = part.run(quick=options.quick)
        missed += [row.name.strip() for row in rows if not row.is_kept]
        if rows:
            tables[part.title] = part.show(rows)
            commands[part.title] = f"uv run {part.needs} python -m tests.bench {name}"
            print(f"{part.title}\n\n{tables[part.title]}\n", flush=True)
    if options.write is not None:
        before = options.write.read_text(encoding="utf-8") if options.write.exists() else ""
        written = update_document(before, tables, commands)
        options.write.write_text(written, encoding="utf-8")
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
