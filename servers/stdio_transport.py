"""MCP on standard streams, with an orderly end.

The SDK's own transport reads in a thread that only another line can end, and drops what it can't
parse. This one ends at once when stdin ends or SIGTERM or SIGINT arrives, after the calls that run
have been answered; a second signal doesn't wait for them.
"""

import json
import logging
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import anyio
from anyio import CancelScope, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from servers.request_ids import (
    WRONG_ID,
    find_request_id,
    is_request_without_id,
    request_id_of,
)
from servers.stdio_streams import WireEnd, claimed_standard_streams

FINISH_SECONDS = 5.0
"""How long calls that run may go on after the end was asked for."""
_FLUSH_SECONDS = 1.0
"""How long the client may take to read the last answers."""

logger = logging.getLogger(__name__)


async def serve_on_stdio(server: Server[Any]) -> None:
    """Serve the client on stdin and stdout until it leaves or the process is told to end.

    Raises:
        StartError: A standard stream is closed.
    """
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    with claimed_standard_streams() as (stdin, stdout):
        calls = _Calls()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wake_when_cancelled, stdin, stdout)
            tasks.start_soon(_end_on_signals, stdin, tasks.cancel_scope)
            tasks.start_soon(_read, stdin, to_server, to_client.clone(), calls)
            written = anyio.Event()
            tasks.start_soon(_write, stdout, from_server, calls, written)
            tasks.start_soon(_end_when_set, written, tasks.cancel_scope)
            await server.run(from_client, to_client, server.create_initialization_options())
            with anyio.move_on_after(_FLUSH_SECONDS):
                await written.wait()
            tasks.cancel_scope.cancel()


class _Calls:
    """Requests that were read and are not answered yet, by id."""

    def __init__(self) -> None:
        self._ids: set[int | str] = set()
        self._changed = anyio.Event()

    def note_read(self, message: JSONRPCMessage) -> None:
        match message:
            case JSONRPCRequest(method="subscriptions/listen"):
                pass  # it is answered at its end, which nobody waits for
            case JSONRPCRequest():
                self._ids.add(message.id)
            case JSONRPCNotification(method="notifications/cancelled", params=params):
                self._settle((params or {}).get("requestId"))  # will not be answered
            case _:
                pass

    def note_written(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._settle(message.id)

    def _settle(self, request_id: object) -> None:
        if isinstance(request_id, int | str):
            self._ids.discard(request_id)
        self._changed.set()

    async def wait_until_settled(self) -> None:
        while self._ids:
            self._changed = anyio.Event()
            await self._changed.wait()


async def _wake_when_cancelled(stdin: WireEnd, stdout: WireEnd) -> None:
    """Let the threads go however the connection ends: a task waits for its thread."""
    try:
        await anyio.sleep_forever()
    finally:
        stdin.wake()
        stdout.wake()


async def _end_on_signals(stdin: WireEnd, everything: CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        await anext(signals)
        stdin.wake()
        await anext(signals)
        everything.cancel()


async def _end_when_set(event: anyio.Event, everything: CancelScope) -> None:
    await event.wait()
    everything.cancel()


async def _read(
    stdin: WireEnd,
    to_server: MemoryObjectSendStream[SessionMessage | Exception],
    to_client: MemoryObjectSendStream[SessionMessage],
    calls: _Calls,
) -> None:
    async with to_server, to_client:
        async for line in _lines(stdin):
            try:
                message = _parse(line)
            except _NoMessageError as error:
                await to_client.send(SessionMessage(error.answer))
            else:
                calls.note_read(message)
                await to_server.send(SessionMessage(message))
        with anyio.move_on_after(FINISH_SECONDS):
            await calls.wait_until_settled()


async def _lines(stdin: WireEnd) -> AsyncGenerator[bytes]:
    """Lines that aren't blank, until the input ends (a last one may be unfinished) or is woken."""
    thread = anyio.CapacityLimiter(1)  # not one of those the store needs
    unfinished: list[bytes] = []
    while chunk := await to_thread.run_sync(stdin.read, limiter=thread):
        unfinished.append(chunk)
        if b"\n" in chunk:
            *lines, rest = b"".join(unfinished).split(b"\n")
            unfinished = [rest]
            for line in filter(bytes.strip, lines):
                yield line
    last = b"".join(unfinished)
    if chunk is not None and last.strip():
        yield last


async def _write(
    stdout: WireEnd,
    from_server: MemoryObjectReceiveStream[SessionMessage],
    calls: _Calls,
    written: anyio.Event,
) -> None:
    thread = anyio.CapacityLimiter(1)
    try:
        async with from_server:
            async for item in from_server:
                line = _render(item.message)
                if not await to_thread.run_sync(stdout.write, line, limiter=thread):
                    break
                calls.note_written(item.message)
    except OSError as error:
        logger.warning("the client no longer reads: %s", error.strerror)
    finally:
        written.set()


class _NoMessageError(Exception):
    """A line is no JSON-RPC message."""

    def __init__(self, code: int, message: str, request_id: int | str | None = None) -> None:
        super().__init__(message)
        error = ErrorData(code=code, message=message)
        self.answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def _parse(line: bytes) -> JSONRPCMessage:
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        message = _parse_leniently(line)
    # The SDK takes a request whose id is no id for a notification, which nobody answers.
    if isinstance(message, JSONRPCNotification) and b'"id"' in line:
        with suppress(RecursionError):
            if is_request_without_id(json.loads(line)):
                raise _NoMessageError(INVALID_REQUEST, WRONG_ID)
    return message


def _parse_leniently(line: bytes) -> JSONRPCMessage:
    # JSON allows what pydantic's parser refuses, such as the escape of a lone surrogate; the call
    # that holds one is to be answered.
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _NoMessageError(PARSE_ERROR, "This line is not JSON") from None
    except RecursionError:
        text = "This message is nested too deeply"
        raise _NoMessageError(PARSE_ERROR, text, find_request_id(line)) from None
    except ValueError:
        text = (
            f"A number in this message is too long: at most {sys.get_int_max_str_digits()} digits"
        )
        raise _NoMessageError(PARSE_ERROR, text, find_request_id(line)) from None
    try:
        return jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        text = "This line is not a JSON-RPC message"
        raise _NoMessageError(INVALID_REQUEST, text, request_id_of(value)) from None


def _render(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except PydanticSerializationError:
        # A lone surrogate from the request, repeated in an error: JSON's escape can say it.
        return json.dumps(message.model_dump(by_alias=True, exclude_unset=True)).encode() + b"\n"
