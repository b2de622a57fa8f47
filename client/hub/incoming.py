"""What comes from a server on its way to the SDK: its end is told, malformed tools taken out."""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse
from mcp_types.methods import parse_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream

logger = logging.getLogger(__name__)

_MODERN_ENVELOPE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}

Incoming = SessionMessage | Exception


class IncomingStream:
    """A stream that calls `on_end` when nothing more can come, and hands on results after `sift`.

    The SDK keeps quiet about a process that died idle.
    """

    def __init__(
        self,
        inner: "ReadStream[Incoming]",
        on_end: Callable[[], None],
        sift: Callable[[dict[str, Any]], None],
    ) -> None:
        self._inner = inner
        self._on_end = on_end
        self._sift = sift

    async def receive(self) -> Incoming:
        """The next message."""
        try:
            item = await self._inner.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._on_end()
            raise
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse):
            self._sift(item.message.result)
        return item

    async def aclose(self) -> None:
        """Close it."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
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
