"""Hangs `at_start`, or `on_call` of `hang` for good, deaf to its input's end and to SIGTERM."""

import os
import signal
import sys

from tests.fakes.mcp_servers.wire import list_once, serve, text, tool


def hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def main(when: str) -> None:
    def call(name: str, _arguments: object) -> dict[str, object] | None:
        if name == "hang":
            hang()
        return text(str(os.getpid()))

    if when == "at_start":
        sys.stderr.write(f"pid {os.getpid()}\n")
        sys.stderr.flush()
        hang()
    serve(list_once([tool("hang"), tool("pid")]), call)


if __name__ == "__main__":
    main(sys.argv[1])
