"""Comes up when the named pipe given as its argument is opened for writing."""

import sys
from pathlib import Path

from tests.fakes.mcp_servers.wire import list_once, serve, text, tool

if __name__ == "__main__":
    Path(sys.argv[1]).read_bytes()
    serve(list_once([tool("echo")]), lambda _name, _arguments: text("here at last"))
