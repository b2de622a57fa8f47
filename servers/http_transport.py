"""MCP over streamable HTTP at `/NAME/mcp` on a loopback address, with an orderly end."""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from anyio import CancelScope
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from servers.errors import StartError

FINISH_SECONDS = 5
"""How long calls that run may go on after the end was asked for."""
MAX_REQUEST_BYTES = 12 * 1024 * 1024
"""Room for a whole batch of messages as JSON that escapes all that isn't ASCII."""


async def serve_on_http(server: Server[Any], *, name: str, host: str, port: int) -> None:
    """Serve at `http://host:port/name/mcp` until SIGTERM or SIGINT. Port 0 is any; stderr tells.

    Raises:
        StartError: The address can't be had.
    """
    listener = _listen(host, port)
    authority = _to_authority(host, listener.getsockname()[1])
    calls = _RunningCalls(
        server.streamable_http_app(
            streamable_http_path=f"/{name}/mcp",
            max_request_body_size=MAX_REQUEST_BYTES,
            transport_security=_security(authority),
        )
    )
    web = _create_web_server(calls)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        # Sessions close first: that ends their standing streams, and so the last connections.
        async with anyio.create_task_group() as tasks, server.session_manager.run():
            tasks.start_soon(web.serve, [listener])
            sys.stderr.write(f"{name} listens at http://{authority}/{name}/mcp\n")
            sys.stderr.flush()
            await anext(signals)
            web.should_exit = True
            await _finish(calls, web, signals)


class _RunningCalls:
    """The application, counting the requests that carry calls (streams that only listen don't)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running = 0
        self._settled = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
            self._settled.set()

    async def wait_until_settled(self) -> None:
        while self._running:
            self._settled = anyio.Event()
            await self._settled.wait()


class _WebServer(uvicorn.Server):
    """uvicorn, whose end is decided here."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: uvicorn would let them kill the process after its own end."""
        yield


def _create_web_server(app: ASGIApp) -> _WebServer:
    return _WebServer(
        uvicorn.Config(
            app,
            lifespan="off",  # sessions end before connections do, not after them
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=FINISH_SECONDS + 1,
        )
    )


async def _finish(
    calls: _RunningCalls, web: _WebServer, signals: AsyncIterator[signal.Signals]
) -> None:
    async def hurry(waiting: CancelScope) -> None:
        await anext(signals)
        web.force_exit = True
        waiting.cancel()

    with anyio.move_on_after(FINISH_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hurry, tasks.cancel_scope)
            await calls.wait_until_settled()
            tasks.cancel_scope.cancel()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise StartError(
            f"cannot listen at {_to_authority(host, port)}: {error.strerror}. If another program "
            "uses this port, end it or choose another port (0 is any free one)"
        ) from None
    return listener


def _to_authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _security(authority: str) -> TransportSecuritySettings:
    """Hosts by their loopback names at any port, as behind a tunnel; web pages only of our own."""
    names = {"127.0.0.1", "localhost", "[::1]", authority.rpartition(":")[0]}
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[f"{name}:*" for name in sorted(names)],
        allowed_origins=[f"http://{authority}"],
    )
