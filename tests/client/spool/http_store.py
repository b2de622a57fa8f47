"""A conversation server: `python -m tests.client.spool.http_store DIRECTORY PORT [older]`."""

import sys
from pathlib import Path

import anyio
import uvicorn
from starlette.types import ASGIApp

from servers.access.principal import create_operator
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server
from tests.assistant import OWNER
from tests.fakes.mcp_servers.friendly import older_only


async def main(directory: str, port: int, *, is_older: bool) -> None:
    async with open_file_store(Path(directory)) as store:
        app: ASGIApp = create_server(store, create_operator(OWNER)).streamable_http_app()
        app = older_only(app) if is_older else app
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    anyio.run(lambda: main(sys.argv[1], int(sys.argv[2]), is_older="older" in sys.argv))
