"""Exits in the middle of `die`; answers `pid`."""

import os

from tests.fakes.mcp_servers.wire import list_once, serve, text, tool


def main() -> None:
    def call(name: str, _arguments: object) -> dict[str, object] | None:
        if name == "die":
            os._exit(3)
        return text(str(os.getpid()))

    serve(list_once([tool("die"), tool("pid")]), call)


if __name__ == "__main__":
    main()
