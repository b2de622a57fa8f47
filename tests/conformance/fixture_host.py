"""A program that hosts the fixture server as ours are hosted over HTTP, behind tokens.

python -m tests.conformance.fixture_host TOKENS_FILE ORIGIN
"""

import sys
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.token_file import open_token_file
from servers.access.verifier import TokenVerifier
from servers.hosted import HostedServer
from servers.http_app import HttpSettings
from servers.http_callers import TokenCallers
from servers.http_transport import serve_on_http
from tests.conformance.fixture_server import NAME, create_server


async def main(tokens_file: Path, origin: str) -> None:
    async with open_token_file(tokens_file) as tokens:
        verifier = TokenVerifier(tokens)
        server = create_server(TokenCallers(verifier))
        hosted = HostedServer(NAME, server, frozenset({SCOPE_TOOLS_CALL}), checkpoint)
        settings = HttpSettings(
            host="127.0.0.1", port=0, verifier=verifier, allowed_origins=[origin]
        )
        await serve_on_http([hosted], settings)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
