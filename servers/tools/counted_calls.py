"""A call of a tool, counted with how it ended and what came over the network for it."""

from collections.abc import Mapping

import anyio
import httpx2
from mcp import types

from servers.tools.catalogue import Tool
from servers.tools.results import ToolFailedError
from servers.tools.usage import Usage


class _CountingTransport(httpx2.AsyncBaseTransport):
    """Knows how much the bodies had that came through it."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport
        self._responses: list[httpx2.Response] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        self._responses.append(response)
        return response

    @property
    def bytes_in(self) -> int:
        return sum(response.num_bytes_downloaded for response in self._responses)


async def call_counted(
    usage: Usage,
    tool: Tool,
    arguments: Mapping[str, object],
    transport: httpx2.AsyncBaseTransport,
    owner: str,
) -> types.CallToolResult:
    """As the tool's own `call`."""
    counting = _CountingTransport(transport)
    began = anyio.current_time()
    error: str | None = "cancelled"
    try:
        result = await tool.call(arguments, counting, owner)
        error = "failed" if result.is_error else None
    except ToolFailedError as failure:
        error = failure.detail.code
        raise
    except Exception:
        error = "failed"
        raise
    finally:
        seconds = anyio.current_time() - began
        usage.count(owner, tool.definition.name, error, seconds, counting.bytes_in)
    return result
