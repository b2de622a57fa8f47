"""Prints what is no JSON-RPC before, between and after its answers."""

import sys

from tests.fakes.mcp_servers.wire import list_once, send, serve, text, tool


def noise() -> None:
    sys.stdout.buffer.write(b"Listening on \xff\xfe port 3000\n{\n[]\nnull\n\n")
    send({"jsonrpc": "2.0", "id": 4711, "result": {"content": []}})
    send({"jsonrpc": "1.0", "id": [], "method": None})
    sys.stdout.flush()


def main() -> None:
    def call(_name: str, _arguments: object) -> dict[str, object] | None:
        noise()
        return text("in spite of it")

    serve(list_once([tool("echo")]), call)


if __name__ == "__main__":
    main()
