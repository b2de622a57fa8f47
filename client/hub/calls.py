"""A request over a live connection (a tool's call, a resource read), and what can become of it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from mcp import MCPError
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    URL_ELICITATION_REQUIRED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestParams,
    ElicitRequestURLParams,
    InputRequiredResult,
    InputResponses,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParamsMeta,
)
from pydantic import TypeAdapter, ValidationError

from client.hub.connection import Connection
from client.hub.elicitation import Answerer, Dialogue, Elicitation, UnanswerableError
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
from client.time_limit import TimeLimit

_PATIENCE_SECONDS = 5.0
"""How long a call waits for a server of ours that is being started again."""

_FIRST_ROUND_SECONDS = 0.05
_MAX_ROUND_SECONDS = 1.0
_MESSAGE_CHARACTERS = 500
_RESULT = TypeAdapter[CallToolResult | InputRequiredResult](CallToolResult | InputRequiredResult)
_CONTENTS = TypeAdapter[ReadResourceResult | InputRequiredResult](
    ReadResourceResult | InputRequiredResult
)
_ResultT = TypeVar("_ResultT")

# What the SDK says when a connection ended under a request.
_SDK_ENDINGS = ("Connection closed", "SSE stream ended")


class _NotSentError(ServerUnavailableError):
    """The request never reached the server."""


class _PagesRequiredError(ServerFaultError):
    """A server of the older era wants pages gone through before it is called again."""

    def __init__(self, server: str, message: str, pages: Sequence[ElicitRequestURLParams]) -> None:
        super().__init__(server, message, code=URL_ELICITATION_REQUIRED)
        self.pages = pages


async def call(
    connection: Connection,
    params: CallToolRequestParams,
    limit_seconds: float,
    answerer: Answerer | None = None,
) -> CallToolResult:
    """Call a tool once, in as many requests as it takes to tell the server what it asks.

    Results are not checked against the tool's output schema. Their readers are models, which take
    any, and our own contracts, which check for themselves; and one regular expression in a foreign
    schema could stop the whole process.

    Raises:
        HubError: As `Hub.call_tool`.
    """
    limit = TimeLimit(limit_seconds)
    dialogue = None if answerer is None else Dialogue(answerer)
    delay = _FIRST_ROUND_SECONDS
    while True:
        try:
            result = await _send(
                connection, params.name, partial(_request, connection, params), limit, dialogue
            )
        except _PagesRequiredError as error:
            await _go_through_pages(connection, error, dialogue)
            continue
        if isinstance(result, CallToolResult):
            return result
        if not result.input_requests:
            # It wants nothing but its own note back.
            await anyio.sleep(delay)
            limit.spend(delay)
            delay = min(2 * delay, _MAX_ROUND_SECONDS)
        responses = await _answer(connection, params.name, result, dialogue)
        params = params.model_copy(
            update={"input_responses": responses, "request_state": result.request_state}
        )


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

    result = await _send(connection, "resources/read", send, TimeLimit(limit_seconds), None)
    if isinstance(result, InputRequiredResult):
        raise _fault(connection, "resources/read", "there is nobody who could be asked")
    return result


async def _send(
    connection: Connection,
    what: str,
    send: Callable[[Live], Awaitable[_ResultT]],
    limit: TimeLimit,
    dialogue: Dialogue | None,
) -> _ResultT:
    """Send once; a request that never reached the server may be sent a second time."""
    with suppress(_NotSentError):
        return await _try(connection, what, send, limit, dialogue)
    return await _try(connection, what, send, limit, dialogue)


async def _try(
    connection: Connection,
    what: str,
    send: Callable[[Live], Awaitable[_ResultT]],
    limit: TimeLimit,
    dialogue: Dialogue | None,
) -> _ResultT:
    server = connection.server
    began = anyio.current_time()
    live = await connection.wait_live(
        began + limit.left, patience_seconds=_PATIENCE_SECONDS if server.ours else 0.0
    )
    limit.spend(anyio.current_time() - began)
    try:
        with limit.running():
            await checkpoint_if_cancelled()  # earlier requests may have taken all the time
            return await live.link.flights.fly(lambda: send(live), dialogue, limit.paused)
    except HubError:
        raise
    except MCPError as error:
        raise _to_hub_error(connection, live, what, error) from None
    except Exception as error:
        # boundary: what a server that breaks the protocol makes the SDK raise can't be listed.
        text = clean(connection.scrub(str(error)), _MESSAGE_CHARACTERS)
        raise ServerFaultError(
            server.name, f"server {server.name} answered {what} against the protocol: {text}"
        ) from error
    live.link.doubt()
    raise CallTimedOutError(
        server.name,
        f"{what} of server {server.name} gave no answer within {limit.seconds:g} s; "
        "whether it took effect is unknown",
        outcome_unknown=True,
    )


async def _request(
    connection: Connection, params: CallToolRequestParams, live: Live
) -> CallToolResult | InputRequiredResult:
    if params.name not in live.tools:
        name = connection.server.name
        raise UnknownToolError(
            name, f"server {name} has no tool {clean(params.name, 80)!r}, or mcp.yml leaves it out"
        )
    return await live.client.session.send_request(CallToolRequest(params=params), _RESULT)


async def _answer(
    connection: Connection,
    tool: str,
    asked: InputRequiredResult,
    dialogue: Dialogue | None,
) -> InputResponses | None:
    """What a person said to what a server of the newer era asks."""
    requests: dict[str, ElicitRequestParams] = {}
    for key, request in (asked.input_requests or {}).items():
        if not isinstance(request, ElicitRequest):
            reason = f"it asks for {clean(request.method, 80)}, which is not supported"
            raise _fault(connection, tool, reason)
        requests[key] = request.params
    if not requests:
        return None
    if dialogue is None:
        raise _fault(connection, tool, "there is nobody who could be asked")
    try:
        elicitation = Elicitation(requests, asked.request_state, is_resumable=True)
        return {**await dialogue.answer(elicitation)}
    except UnanswerableError as error:
        raise _fault(connection, tool, str(error)) from None


async def _go_through_pages(
    connection: Connection, error: _PagesRequiredError, dialogue: Dialogue | None
) -> None:
    """Have a person go through the pages, or fail as the call did."""
    if dialogue is None:
        raise error
    pages = {str(number): page for number, page in enumerate(error.pages, 1)}
    ids = {key: page.elicitation_id or "" for key, page in pages.items()}
    try:
        with connection.flights.awaiting(ids) as done:
            answers = await dialogue.answer(Elicitation(pages, done=done))
    except UnanswerableError as refused:
        raise _fault(connection, "the call", str(refused)) from None
    if any(answer.action != "accept" for answer in answers.values()):
        raise error


def _fault(connection: Connection, what: str, reason: str) -> ServerFaultError:
    name = connection.server.name
    return ServerFaultError(
        name, f"{what} of server {name} asks back before it answers, and got no answer: {reason}"
    )


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
    if error.code == URL_ELICITATION_REQUIRED:
        with suppress(ValidationError, TypeError, AttributeError):
            pages = UrlElicitationRequiredError.from_error(error.error).elicitations
            said = f"server {name} wants the user to open a page before {what}: {text}"
            return _PagesRequiredError(name, said, pages) if pages else ServerFaultError(name, said)
    if error.code == HEADER_MISMATCH:
        # It knows the tool by another schema than the one that was listed.
        link.doubt()
    message = f"server {name} answered {what} with an error: {text}"
    return ServerFaultError(name, message, code=error.code)
