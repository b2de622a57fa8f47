"""The only module that knows every server: opens one, and serves it on stdio or HTTP.

What serving needs is imported when it is done, after logging was set up.
"""

import ipaddress
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentic.config.models import Config
from servers.access.principal import Principal, create_operator
from servers.errors import StartError, UsageError
from servers.faults import ContentFreeFormatter

if TYPE_CHECKING:
    from mcp.server import Server

SERVER_NAMES = ("conversations", "tools")

_MAX_PORT = 65_535


async def serve_stdio(name: str, config: Config, *, delegate: bool) -> None:
    """Serve one client on standard streams.

    With `delegate`, each call says for which owner it acts.

    Raises:
        HostError: It can't be started; the text says why.
    """
    _configure_logging()
    from servers.stdio_transport import serve_on_stdio

    principal = create_operator(config.owner, delegate=delegate)
    async with open_server(name, config, principal) as server:
        await serve_on_stdio(server)


async def serve_http(name: str, config: Config, *, host: str, port: int, no_auth: bool) -> None:
    """Serve over streamable HTTP at `/NAME/mcp` until SIGTERM or SIGINT.

    Raises:
        HostError: It can't be started; the text says why.
    """
    _check_address(host, port, no_auth=no_auth)
    _configure_logging()
    from servers.http_transport import serve_on_http

    principal = create_operator(config.owner)
    async with open_server(name, config, principal) as server:
        await serve_on_http(server, name=name, host=host, port=port)


@asynccontextmanager
async def open_server(
    name: str, config: Config, principal: Principal
) -> AsyncGenerator["Server[Any]"]:
    """The server of that name over what it needs, for one principal.

    Raises:
        HostError: There is none of that name, or what it needs can't be opened.
    """
    match name:
        case "conversations":
            async with _open_conversations(config, principal) as server:
                yield server
        case "tools":
            from servers.tools.server import create_server

            yield create_server(config.tools, principal)
        case _:
            raise UsageError(f"there is no server {name!r}; there are: {', '.join(SERVER_NAMES)}")


@asynccontextmanager
async def _open_conversations(
    config: Config, principal: Principal
) -> AsyncGenerator["Server[Any]"]:
    from anyio import to_thread

    from servers.conversations.file_store import open_file_store
    from servers.conversations.server import create_server
    from servers.conversations.store import ConversationError

    if config.conversations.store != "file":
        raise UsageError("conversations.store: only file is part of this version")
    settings = config.conversations
    async with AsyncExitStack() as stack:
        try:
            await to_thread.run_sync(
                _make_data_directory, config.data_directory, settings.directory
            )
            opening = open_file_store(settings.directory, durability=settings.durability)
            store = await stack.enter_async_context(opening)
        except ConversationError as error:
            raise StartError(f"conversations: {error}") from None
        yield create_server(store, principal)


def _make_data_directory(data: Path, directory: Path) -> None:
    """Make the place for all data, at the first start. One that was named is not made up."""
    if directory.is_relative_to(data):
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"cannot make {data}: {error.strerror}") from None


def _check_address(host: str, port: int, *, no_auth: bool) -> None:
    if not _is_loopback(host):
        raise UsageError(
            f"{host} is not a loopback address. Bearer tokens are not part of this version, so "
            "HTTP is served on 127.0.0.1, ::1 or localhost only, with --no-auth"
        )
    if not no_auth:
        raise UsageError(
            "serving over HTTP needs --no-auth, on a loopback address: bearer tokens are not part "
            "of this version. Every program on this machine can then act as the owner"
        )
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"{port} is not a port: give 1 to {_MAX_PORT}, or 0 for any free one")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ContentFreeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
