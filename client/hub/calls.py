"""A request over a live connection (a tool's call, a resource read), and what can become of it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
from mcp import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParamsMeta,
)
from pydantic import TypeAdapter

from client.hub.connection import Connection
from client.hub.errors import (
    CallTimedOutError,
    HubError,
    ServerFaultError,
    ServerUnavailableError,
    UnknownToolError,
)
from client.hub.http import BROKEN, BUSY, NOT_SENT
from client.hub.link import Live
from client.hub.plain_text import clean

_PATIENCE_SECONDS = 5.0
"""How long a call waits for a server of ours that is being started again."""

_FIRST_ROUND_SECONDS = 0.05
_MAX_ROUND_SECONDS = 1.0
_MESSAGE_CHARACTERS = 500
_RESULT = TypeAdapter[CallToolResult | InputRequiredResult](CallToolResult | InputRequiredResult)
_CONTENTS = TypeAdapter[ReadResourceResult | InputRequiredResult](
    ReadResourceResult | InputRequiredResult
)
_ResultT = TypeVar("_ResultT", CallToolResult, ReadResourceResult)

# What the SDK says when a connection ended under a request.
_SDK_ENDINGS = ("Connection closed", "SSE stream ended")


class _NotSentError(ServerUnavailableError):
    """The request never reached the server."""


async def call(
    connection: Connection,
    tool: str,
    arguments: dict[str, Any],
    meta: RequestParamsMeta | None,
    limit_seconds: float,
) -> CallToolResult:
    """Call a tool once.

    Results are not checked against the tool's output schema. Their readers are models, which take
    any, and our own contracts, which check for themselves; and one regular expression in a foreign
    schema could stop the whole process.

    Raises:
        HubError: As `Hub.call_tool`.
    """
    params = CallToolRequestParams(name=tool, arguments=arguments, _meta=meta)

    async def send(live: Live) -> CallToolResult | InputRequiredResult:
        if tool not in live.tools:
            name = connection.server.name
            raise UnknownToolError(
                name, f"server {name} has no tool {clean(tool, 80)!r}, or mcp.yml leaves it out"
            )
        return await _request(live, params)

    return await _send(connection, tool, send, limit_seconds)


async def read(
    connection: Connection, uri: str, meta: RequestParamsMeta | None, limit_seconds: float
) -> ReadResourceResult:
    """Read a resource.

    Raises:
        HubError: As `Hub.read_resource`.
    """
    request = ReadResourceRequest(params=ReadResourceRequestParams(uri=uri, _meta=meta))

    async def send(live: Live) -> ReadResourceResult | InputRequiredResult:
        return await live.client.session.send_request(request, _CONTENTS)

    return await _send(connection, "resources/read", send, limit_seconds)


async def _send(
    connection: Connection,
    what: str,
    send: Callable[[Live], Awaitable[_ResultT | InputRequiredResult]],
    limit_seconds: float,
) -> _ResultT:
    """Send once; a request that never reached the server may be sent a second time."""
    deadline = anyio.current_time() + limit_seconds
    with suppress(_NotSentError):
        return await _try(connection, what, send, deadline, limit_seconds)
    return await _try(connection, what, send, deadline, limit_seconds)


async def _try(
    connection: Connection,
    what: str,
    send: Callable[[Live], Awaitable[_ResultT | InputRequiredResult]],
    deadline: float,
    limit_seconds: float,
) -> _ResultT:
    server = connection.server
    live = await connection.wait_live(
        deadline, patience_seconds=_PATIENCE_SECONDS if server.ours else 0.0
    )
    try:
        with anyio.fail_after(deadline - anyio.current_time()):
            result = await send(live)
    except HubError:
        raise
    except MCPError as error:
        raise _to_hub_error(connection, live, what, error) from None
    except TimeoutError:
        live.link.doubt()
        raise CallTimedOutError(
            server.name,
            f"{what} of server {server.name} gave no answer within {limit_seconds:g} s; "
            "whether it took effect is unknown",
            outcome_unknown=True,
        ) from None
    except Exception as error:
        # boundary: what a server that breaks the protocol makes the SDK raise can't be listed.
        text = clean(connection.scrub(str(error)), _MESSAGE_CHARACTERS)
        raise ServerFaultError(
            server.name, f"server {server.name} answered {what} against the protocol: {text}"
        ) from error
    if isinstance(result, InputRequiredResult):
        raise ServerFaultError(
            server.name,
            f"{what} of server {server.name} asks back before it answers, which is not supported",
        )
    return result


async def _request(
    live: Live, params: CallToolRequestParams
) -> CallToolResult | InputRequiredResult:
    """Send, and again for as long as the server wants nothing but its own note back."""
    delay = _FIRST_ROUND_SECONDS
    while True:
        result = await live.client.session.send_request(CallToolRequest(params=params), _RESULT)
        if isinstance(result, CallToolResult) or result.input_requests:
            return result
        params = params.model_copy(update={"request_state": result.request_state})
        await anyio.sleep(delay)
        delay = min(2 * delay, _MAX_ROUND_SECONDS)


def _to_hub_error(connection: Connection, live: Live, what: str, error: MCPError) -> HubError:
    name, link = connection.server.name, live.link
    text = clean(connection.scrub(error.message), _MESSAGE_CHARACTERS)
    if error.data == NOT_SENT:
        link.end(text)
        return _NotSentError(name, f"server {name} {text}")
    if error.data == BUSY:
        return ServerUnavailableError(name, f"server {name} takes no call now: {text}")
    if error.code == CONNECTION_CLOSED and (
        link.ended.is_set() or error.data == BROKEN or error.message.startswith(_SDK_ENDINGS)
    ):
        link.doubt()
        return ServerUnavailableError(
            name,
            f"server {name} went away during {what} ({connection.scrub(link.reason) or text}); "
            "whether it took effect is unknown",
            outcome_unknown=True,
        )
    if error.code == HEADER_MISMATCH:
        # It knows the tool by another schema than the one that was listed.
        link.doubt()
    message = f"server {name} answered {what} with an error: {text}"
    return ServerFaultError(name, message, code=error.code)
