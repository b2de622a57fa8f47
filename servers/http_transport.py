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
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ASGIMessage

from servers.errors import StartError

FINISH_SECONDS = 5
"""How long calls that run may go on after the end was asked for."""
_FLUSH_SECONDS = 1
"""How long clients may take to read the last answers."""
MAX_REQUEST_BYTES = 12 * 1024 * 1024
"""Room for a whole batch of messages as JSON that escapes all that isn't ASCII."""


async def serve_on_http(server: Server[Any], *, name: str, host: str, port: int) -> None:
    """Serve at `http://host:port/name/mcp` until SIGTERM or SIGINT. Port 0 is any; stderr tells.

    Raises:
        StartError: The address can't be had.
    """
    listener = _listen(host, port)
    authority = _to_authority(host, listener.getsockname()[1])
    calls = _Calls(
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
            await _finish(calls, web, signals)
            web.should_exit = True


class _Calls:
    """The application, until the end is asked for. What only listens (GET) is not waited for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[CancelScope] = set()
        self._settled = anyio.Event()
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._ending:
            await _refusal("The server is stopping: try again soon")(scope, receive, send)
        elif scope["method"] == "POST":
            await self._call(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = has_ended = False

        async def note_and_send(message: ASGIMessage) -> None:
            nonlocal has_begun, has_ended
            has_begun = True
            has_ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        call = CancelScope()
        self._running.add(call)
        try:
            with call:
                await self._app(scope, receive, note_and_send)
        except anyio.get_cancelled_exc_class():
            if not call.cancel_called:
                raise
            # The event loop's own end: it doesn't wait for the thread the call waits for.
        finally:
            self._running.remove(call)
            self._settled.set()
        if not call.cancel_called or has_ended:
            return
        # An answer that was cut off is ended, or uvicorn would log it as the application's fault.
        if has_begun:
            await send({"type": "http.response.body"})
        else:
            text = "The server stopped during this call; whether it took effect is unknown"
            await _refusal(text)(scope, receive, send)

    async def end(self) -> None:
        """Refuse new calls and wait for those that run; when the wait is cancelled, so are they."""
        self._ending = True
        try:
            while self._running:
                self._settled = anyio.Event()
                await self._settled.wait()
        finally:
            for call in self._running:
                call.cancel()


def _refusal(message: str) -> Response:
    error = JSONRPCError(
        jsonrpc="2.0", id=None, error=ErrorData(code=INTERNAL_ERROR, message=message)
    )
    return Response(
        error.model_dump_json(exclude_unset=True),
        status_code=503,
        headers={"retry-after": str(FINISH_SECONDS), "connection": "close"},
        media_type="application/json",
    )


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
            timeout_graceful_shutdown=_FLUSH_SECONDS,
        )
    )


async def _finish(calls: _Calls, web: _WebServer, signals: AsyncIterator[signal.Signals]) -> None:
    async def hurry(waiting: CancelScope) -> None:
        await anext(signals)
        web.force_exit = True
        waiting.cancel()

    with anyio.move_on_after(FINISH_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hurry, tasks.cancel_scope)
            await calls.end()
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
