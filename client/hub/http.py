"""A server behind a URL, where a request that fails costs itself and not the whole connection."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import httpx2
from mcp.client.streamable_http import (
    streamable_http_client,
)
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR

from agentic.config.findings import ConfigError
from agentic.config.private_files import read_private_text
from client.hub.allowance import Allowance
from client.hub.incoming import MAX_MESSAGE_BYTES
from client.hub.oauth import LOG_IN_ERRORS, create_auth, describe_log_in_error
from client.hub.servers import HttpTarget

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

NOT_SENT = "not-sent"
"""`data` of an error for a request that never reached the server, so it may be sent again."""
BROKEN = "broken"
"""`data` of an error for a request whose connection broke, so its outcome is unknown."""
BUSY = "busy"
"""`data` of an error for a request that was turned away, and may be sent again a little later."""

_CONNECT_SECONDS = 10.0
_MIN_READ_SECONDS = 300.0
_MIN_ASKING_SECONDS = 3_600.0
"""A server may say nothing while a person thinks; limits.question_timeout_seconds is the limit."""
_NOT_SENT_ERRORS = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
_EVENT_LINES = 30_000
_EVENT_LINES_PER_SECOND = 3_000
"""Three for a message: as many as over stdio."""
_PIECE_BYTES = 4_096
_SESSION_HEADER = "mcp-session-id"
_LIMITS = httpx2.Limits(keepalive_expiry=3.0)
"""Servers on Node close what was idle for 5 s; a call sent at that moment would be lost."""
_GATEWAY_STATUSES = (502, 503, 504)
_BUSY_STATUSES = (429, 503)


@asynccontextmanager
async def open_http(
    target: HttpTarget,
    timeout_seconds: float,
    on_end: Callable[[str], None],
    on_doubt: Callable[[], None],
    *,
    can_ask: bool = False,
) -> "AsyncGenerator[TransportStreams]":
    """Speak to the URL.

    `on_end` is called with the reason when the server has forgotten us, `on_doubt` when a request
    failed on its way.
    """
    least = _MIN_ASKING_SECONDS if can_ask else _MIN_READ_SECONDS
    read_seconds = max(least, timeout_seconds + _CONNECT_SECONDS)
    timeout = httpx2.Timeout(_CONNECT_SECONDS, read=read_seconds, pool=None)
    # Certificates and tokens are read from files.
    created = await anyio.to_thread.run_sync(_create_client, target, on_end, on_doubt, timeout)
    if target.oauth is not None:
        created.auth = await create_auth(target.url, target.oauth)
    async with (
        created as http_client,
        streamable_http_client(
            target.url, http_client=http_client, max_sse_event_size=MAX_MESSAGE_BYTES
        ) as streams,
    ):
        yield streams


def _create_client(
    target: HttpTarget,
    on_end: Callable[[str], None],
    on_doubt: Callable[[], None],
    timeout: httpx2.Timeout,
) -> "_Client":
    headers = dict(target.headers)
    if target.token_file is not None:
        token = read_private_text(target.token_file)
        if not token:
            raise ConfigError(
                f"{target.token_file}: holds no token: our servers make one at their first start "
                "where access.delegate_token_file says"
            )
        headers["authorization"] = f"Bearer {token}"
    return _Client(on_end, on_doubt, headers, timeout)


class _Client(httpx2.AsyncClient):
    """Answers a request that failed as a server would: with a JSON-RPC error.

    The SDK's transport lets an exception of one request end all the others with it, and says of a
    status of 400 and over only that it was an error.
    """

    def __init__(
        self,
        on_end: Callable[[str], None],
        on_doubt: Callable[[], None],
        headers: Mapping[str, str],
        timeout: httpx2.Timeout,
    ) -> None:
        super().__init__(headers=headers, timeout=timeout, limits=_LIMITS)
        self._on_end = on_end
        self._on_doubt = on_doubt

    async def send(
        self,
        request: httpx2.Request,
        **settings: Any,  # noqa: ANN401 - passed on as they are
    ) -> httpx2.Response:
        """Send, and give an answer in any case."""
        try:
            response = await super().send(request, **settings)
            if response.is_error or (_is_json(response) and not response.has_redirect_location):
                response = await _load(request, response)
        except httpx2.RequestError as error:
            self._on_doubt()
            return _create_failure(request, error)
        except LOG_IN_ERRORS as error:
            reason = describe_log_in_error(error)
            # The next attempt finds what somebody who logs in meanwhile has left.
            self._on_end(reason)
            return _create_error(request, INTERNAL_ERROR, reason)
        if _is_event_stream(response):
            response.stream = _PacedStream(response.stream)
        if response.status_code == 404 and _SESSION_HEADER in request.headers:
            self._on_end("the server was restarted and has forgotten this session")
            return _create_error(request, CONNECTION_CLOSED, "the session is over", NOT_SENT)
        if response.status_code == 401:
            self._on_doubt()  # a token that was replaced in its file is read at the next connection
        if response.status_code in _BUSY_STATUSES and "retry-after" in response.headers:
            return _create_error(request, CONNECTION_CLOSED, _tell_reason(response), BUSY)
        if response.is_error and not _is_rpc_error(response):
            return _create_status_error(request, response)
        return response


class _PacedStream(httpx2.AsyncByteStream):
    """Events, no faster than their lines can be looked at while other things are done.

    The SDK takes each chunk at a go, and passes over comments and unknown events for ever.
    """

    def __init__(self, inner: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> None:
        # An asynchronous client's responses have no other.
        self._inner = cast("httpx2.AsyncByteStream", inner)
        self._lines = Allowance(_EVENT_LINES, _EVENT_LINES_PER_SECOND)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            for start in range(0, len(chunk), _PIECE_BYTES):
                piece = chunk[start : start + _PIECE_BYTES]
                await self._lines.spend(piece.count(b"\n") + piece.count(b"\r"))
                yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _load(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """The response with its body, which is read here so that what goes wrong is noticed here."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_MESSAGE_BYTES:
                return _create_error(
                    request, INTERNAL_ERROR, f"the answer is over {MAX_MESSAGE_BYTES:,} bytes"
                )
    finally:
        await response.aclose()
    headers = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name not in ("content-encoding", "content-length", "transfer-encoding")
    ]
    return httpx2.Response(
        response.status_code, headers=headers, content=bytes(body), request=request
    )


def _is_event_stream(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


def _is_rpc_error(response: httpx2.Response) -> bool:
    return _find_rpc_error(response) is not None


def _find_rpc_error(response: httpx2.Response) -> str | None:
    """The message of the JSON-RPC error that the body is, if it is one."""
    if not _is_json(response):
        return None
    try:
        match json.loads(response.content):
            case {"jsonrpc": "2.0", "error": {"code": int(), "message": str(message)}}:
                return message
            case _:
                return None
    except (ValueError, RecursionError):
        return None


def _tell_reason(response: httpx2.Response) -> str:
    return _find_rpc_error(response) or f"HTTP {response.status_code} {response.reason_phrase}"


def _create_failure(request: httpx2.Request, error: httpx2.RequestError) -> httpx2.Response:
    what = str(error) or type(error).__name__
    if isinstance(error, _NOT_SENT_ERRORS):
        return _create_error(request, CONNECTION_CLOSED, f"can't be reached ({what})", NOT_SENT)
    return _create_error(request, CONNECTION_CLOSED, f"the connection broke ({what})", BROKEN)


def _create_status_error(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    status = response.status_code
    text = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status == 401 and "resource_metadata" in response.headers.get("www-authenticate", ""):
        text += "; give this server `oauth: {}` in mcp.yml and run `agentic login` with its name"
    elif status in (401, 403):
        text += "; check the server's `headers` or `token_file` in mcp.yml"
    elif status == 404:
        text += "; check the server's `url` in mcp.yml"
    if status in _GATEWAY_STATUSES:
        return _create_error(request, CONNECTION_CLOSED, text, BROKEN)
    return _create_error(request, INTERNAL_ERROR, text)


def _create_error(
    request: httpx2.Request, code: int, message: str, data: str | None = None
) -> httpx2.Response:
    error = {"code": code, "message": message, "data": data}
    answer = {"jsonrpc": "2.0", "id": None, "error": error}
    return httpx2.Response(503, json=answer, request=request)
