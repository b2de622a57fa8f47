"""What comes from a server on its way to the SDK: counted, and malformed tools taken out."""

import logging
from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse
from mcp_types.methods import parse_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from client.hub.allowance import Allowance

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream

logger = logging.getLogger(__name__)

_MODERN_ENVELOPE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Well over the largest result a tool may sensibly give, and a size that memory has room for."""
_MESSAGES = 10_000
_MESSAGES_PER_SECOND = 1_000
"""More than anybody calls or reports; read no faster, a flood of them is no whole core's work."""

Incoming = SessionMessage | Exception


class StrayLineError(Exception):
    """A line that is no message; its beginning."""


class EndlessLineError(Exception):
    """A line that is longer than any message."""


class IncomingStream:
    """A stream that calls `on_end` when nothing more can come, and hands on results after `sift`.

    The SDK keeps quiet about a process that died idle. What is no message goes to `on_stray`, which
    may say that this is the end.
    """

    def __init__(
        self,
        inner: "ReadStream[Incoming]",
        on_end: Callable[[], None],
        on_stray: Callable[[Exception], bool],
        sift: Callable[[dict[str, Any]], None],
    ) -> None:
        self._inner = inner
        self._on_end = on_end
        self._on_stray = on_stray
        self._sift = sift
        self._allowance = Allowance(_MESSAGES, _MESSAGES_PER_SECOND)

    @property
    def last_context(self) -> Context | None:
        """Where the last message comes from: over HTTP, the context of the request it is about."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage:
        """The next message."""
        while True:
            try:
                item = await self._inner.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                self._on_end()
                raise
            if isinstance(item, SessionMessage):
                break
            if self._on_stray(item):
                raise anyio.EndOfStream
        await self._allowance.spend()
        if isinstance(item.message, JSONRPCResponse):
            self._sift(item.message.result)
        return item

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


def assume_complete(result: dict[str, Any], version: str) -> None:
    """Fill in the type of a result that names none: it is one, and not a question.

    The protocol wants it taken so, but the SDK refuses it.
    """
    if version in MODERN_PROTOCOL_VERSIONS:
        result.setdefault("resultType", "complete")


def drop_malformed_tools(result: dict[str, Any], version: str, server: str) -> None:
    """Take the tools out of a `tools/list` result that would make the SDK refuse all of it."""
    listed = result.get("tools")
    if not isinstance(listed, list):
        return
    tools = cast("list[object]", listed)
    if not _are_valid(tools, version):
        kept = [tool for tool in tools if _are_valid([tool], version)]
        result["tools"] = kept
        logger.warning("server %s: %d malformed tools left out", server, len(tools) - len(kept))


def _are_valid(tools: list[object], version: str) -> bool:
    envelope = _MODERN_ENVELOPE if version in MODERN_PROTOCOL_VERSIONS else {}
    try:
        parse_server_result("tools/list", version, {**envelope, "tools": tools})
    except ValidationError:
        return False
    return True
