"""MCP over a process's standard streams, however much it prints and whatever that is.

The SDK's own transport keeps a line without end in memory, and parses what is no message for ever.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from io import FileIO
from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from client.hub.complaints import Complaints
from client.hub.incoming import MAX_MESSAGE_BYTES, EndlessLineError, Incoming, StrayLineError
from client.hub.process import open_process, receive, send
from client.hub.servers import StdioTarget

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_MAX_STRAY_BYTES = 65_536
"""Of a line that does not begin as a message does: none is so long but a flood."""
_SAMPLE_BYTES = 500
_FLUSH_SECONDS = 0.5


@asynccontextmanager
async def open_stdio(
    target: StdioTarget, complaints: Complaints
) -> "AsyncGenerator[TransportStreams]":
    """Start the command and speak with it; leaving ends it."""
    heard, incoming = anyio.create_memory_object_stream[Incoming]()
    outgoing, to_say = anyio.create_memory_object_stream[SessionMessage]()
    with heard, incoming, outgoing, to_say:
        async with (
            open_process(target, complaints) as (stdin, stdout),
            anyio.create_task_group() as pumps,
        ):
            said = anyio.Event()
            pumps.start_soon(_hear, stdout, heard)
            pumps.start_soon(_say, stdin, to_say, heard, said)
            try:
                yield incoming, outgoing
            finally:
                # What was accepted is sent, even if that was "never mind".
                outgoing.close()
                with anyio.move_on_after(_FLUSH_SECONDS, shield=True):
                    await said.wait()
                pumps.cancel_scope.cancel()


async def _hear(stdout: FileIO, heard: MemoryObjectSendStream[Incoming]) -> None:
    # The session may be gone before the process is.
    with heard, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        rest = bytearray()
        while chunk := await receive(stdout):
            first, *others = chunk.split(b"\n")
            rest += first
            for line in others:
                await heard.send(_parse(rest))
                rest = bytearray(line)
            if len(rest) > (MAX_MESSAGE_BYTES if _may_be_message(rest) else _MAX_STRAY_BYTES):
                await heard.send(EndlessLineError(f"no line break within {len(rest):,} bytes"))
                return


async def _say(
    stdin: FileIO,
    to_say: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[Incoming],
    said: anyio.Event,
) -> None:
    try:
        async for item in to_say:
            message = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            await send(stdin, message.encode() + b"\n")
    except OSError:
        # It may still live, but it does not listen any more.
        heard.close()
    finally:
        said.set()


def _parse(line: bytearray) -> Incoming:
    if _may_be_message(line):
        # One byte that is no UTF-8 costs a character and not the answer.
        text = line.decode("utf-8", "replace")
        with suppress(ValueError):
            return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    return StrayLineError(line[:_SAMPLE_BYTES].decode("utf-8", "replace"))


def _may_be_message(line: bytearray) -> bool:
    return line[:_MAX_STRAY_BYTES].lstrip().startswith(b"{")
