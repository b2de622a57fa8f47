"""Measures what is promised, each against its floor in the same run.

    uv run python -m tests.bench [--quick] [store|search|turn|start|http|local …]

Prints a Markdown table; exits 1 when a target is missed in a full run. `--quick` only shows the
figures: it is there to prove that the benchmark runs.
"""

import argparse
import sys
from collections.abc import Callable

from tests.bench import http_calls, local, search, start, store, turn, writers
from tests.bench.table import Row, render_table

PARTS: dict[str, Callable[..., list[Row]]] = {
    "store": store.run,
    "writers": writers.run,
    "search": search.run,
    "turn": turn.run,
    "start": start.run,
    "http": http_calls.run,
    "local": local.run,
}


def main() -> int:
    """Run the parts named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds, no verdict")
    options = parser.parse_args()
    rows = [row for part in options.parts or PARTS for row in PARTS[part](quick=options.quick)]
    print(render_table(rows))
    missed = [row.name.strip() for row in rows if not row.is_kept]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
