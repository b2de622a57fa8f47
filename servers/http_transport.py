"""MCP over streamable HTTP, with an orderly end: what runs is finished, what comes is refused."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import anyio
from anyio import CancelScope
from mcp_types import INTERNAL_ERROR
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ASGIMessage

from servers.hosted import HostedServer
from servers.http_app import HEALTH, METRICS, READINESS, HttpSettings, create_app
from servers.http_connection import WebServer, create_web_server, listen, to_authority
from servers.http_listener import pass_over_told
from servers.http_log import Noted
from servers.http_refusals import refuse
from servers.http_shares import only_listens
from servers.metrics import Metrics

FINISH_SECONDS = 5
"""How long calls that run may go on after the end was asked for."""
MAX_CALL_SECONDS = 900.0
"""How long a call may take at all; a question to the user may wait that long."""


async def serve_on_http(hosted: Sequence[HostedServer], settings: HttpSettings) -> None:
    """Serve each at `/NAME/mcp` until SIGTERM or SIGINT. stderr tells where.

    Raises:
        StartError: The address can't be had.
    """
    listener = listen(settings.host, settings.port)
    authority = to_authority(settings.host, listener.getsockname()[1])
    metrics = Metrics()
    calls = _Calls(create_app(hosted, settings, authority, metrics))
    paths = [HEALTH, READINESS, METRICS, *(each.path for each in hosted)]
    web = create_web_server(Noted(calls, metrics, paths))
    asyncio.get_running_loop().set_exception_handler(pass_over_told)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        # Sessions close first: that ends their standing streams, and so the last connections.
        async with anyio.create_task_group() as tasks, AsyncExitStack() as sessions:
            for each in hosted:
                await sessions.enter_async_context(each.server.session_manager.run())
            tasks.start_soon(web.serve, [listener])
            _announce(hosted, authority)
            await anext(signals)
            await _finish(calls, web, signals)
            web.should_exit = True


def _announce(hosted: Sequence[HostedServer], authority: str) -> None:
    for each in hosted:
        sys.stderr.write(f"{each.name} listens at http://{authority}{each.path}\n")
    sys.stderr.flush()


class _Calls:
    """The application, until the end is asked for. What only listens is not waited for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[CancelScope] = set()
        self._listening: set[CancelScope] = set()
        self._settled = anyio.Event()
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._ending:
            headers = {"retry-after": str(FINISH_SECONDS)}
            stopping = "The server is stopping: try again soon"
            await refuse(503, stopping, headers, code=INTERNAL_ERROR)(scope, receive, send)
        elif scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif only_listens(scope):
            await self._call(CancelScope(), self._listening, scope, receive, send)
        else:
            call = CancelScope(deadline=anyio.current_time() + MAX_CALL_SECONDS)
            await self._call(call, self._running, scope, receive, send)

    async def _call(
        self,
        call: CancelScope,
        calls: set[CancelScope],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        has_begun = has_ended = False

        async def note_and_send(message: ASGIMessage) -> None:
            nonlocal has_begun, has_ended
            has_begun = True
            has_ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        calls.add(call)
        try:
            with call:
                await self._app(scope, receive, note_and_send)
        except anyio.get_cancelled_exc_class():
            if not call.cancel_called:
                raise
            # The event loop's own end: it doesn't wait for the thread the call waits for.
        finally:
            calls.remove(call)
            self._settled.set()
        if not call.cancel_called or has_ended:
            return
        # An answer that was cut off is ended, or uvicorn would log it as the application's fault.
        if has_begun:
            await send({"type": "http.response.body"})
        else:
            cause = "The server stopped during" if self._ending else "The server gave up on"
            text = f"{cause} this call; whether it took effect is unknown"
            await refuse(503, text, code=INTERNAL_ERROR)(scope, receive, send)

    async def end(self) -> None:
        """Refuse new calls and wait for those that run; when the wait is cancelled, so are they."""
        self._ending = True
        for stream in self._listening:
            stream.cancel()
        try:
            while self._running:
                self._settled = anyio.Event()
                await self._settled.wait()
        finally:
            for call in self._running:
                call.cancel()


async def _finish(calls: _Calls, web: WebServer, signals: AsyncIterator[signal.Signals]) -> None:
    async def hurry(waiting: CancelScope) -> None:
        await anext(signals)
        web.force_exit = True
        waiting.cancel()

    with anyio.move_on_after(FINISH_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hurry, tasks.cancel_scope)
            await calls.end()
            tasks.cancel_scope.cancel()
