"""Works, and floods when a tool is called: its output, a line of it, or standard error.

`python -m tests.fakes.mcp_servers.floods [BANNER]`: so many lines are printed first.
"""

import itertools
import os
import sys

from tests.fakes.mcp_servers.wire import list_once, serve, text, tool

_TOOLS = ("lines", "no_line_break", "complaints", "large", "pid")


def call(name: str, arguments: dict[str, int]) -> dict[str, object]:
    match name:
        case "lines":
            for _ in itertools.repeat(None):
                sys.stdout.write("debug: \x1b[31mstill here\n")
        case "no_line_break":
            for _ in itertools.repeat(None):
                sys.stdout.write("." * 4096)
        case "complaints":
            sys.stderr.write("y\n" * (arguments["size"] // 2))
            sys.stderr.flush()
        case "large":
            return text("x" * arguments["size"])
        case _:
            pass
    return text(str(os.getpid()))


def main(banner: int) -> None:
    for number in range(banner):
        sys.stdout.write(f"Loading plugin {number}\n")
    sys.stdout.flush()
    serve(list_once([tool(name) for name in _TOOLS]), call)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
