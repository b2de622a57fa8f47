"""Calls that are made again for a while where a server is away; all that a migration asks may be.

Reads change nothing, and what it writes has one effect however often it is said.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
from mcp_types import CallToolResult, ReadResourceResult
from pydantic import ValidationError

from client.attachments import ToolsAndResources
from client.hub.errors import CallTimedOutError, ServerUnavailableError
from servers.conversations.contract_results import ErrorResult

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the second attempt and each one after it."""
_MAX_PAUSE_SECONDS = 30.0
_BUSY_ATTEMPTS = 3
"""Of a call that is answered with `unavailable`: a server may be busy, or what it reads damaged."""

T = TypeVar("T")


class PatientHub:
    """A hub that does not give up at once."""

    def __init__(self, hub: ToolsAndResources, pauses: Sequence[float] = PAUSES_SECONDS) -> None:
        self._hub = hub
        self._pauses = pauses

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> CallToolResult:
        """See `Hub.call_tool`."""

        async def call() -> CallToolResult:
            return await self._hub.call_tool(
                server, tool, arguments, owner=owner, timeout_seconds=timeout_seconds
            )

        result = await self._try(call)
        for pause in self._pauses[: _BUSY_ATTEMPTS - 1]:
            wanted = _find_wanted_pause(result, pause)
            if wanted is None:
                break
            await anyio.sleep(min(wanted, _MAX_PAUSE_SECONDS))
            result = await self._try(call)
        return result

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ReadResourceResult:
        """See `Hub.read_resource`."""
        return await self._try(
            lambda: self._hub.read_resource(
                server, uri, owner=owner, timeout_seconds=timeout_seconds
            )
        )

    async def _try(self, ask: Callable[[], Awaitable[T]]) -> T:
        for pause in self._pauses:
            try:
                return await ask()
            except (ServerUnavailableError, CallTimedOutError):
                await anyio.sleep(pause)
        return await ask()


def _find_wanted_pause(result: CallToolResult, usual: float) -> float | None:
    """How long to wait before the call is made again; None if it has its answer."""
    if not result.is_error:
        return None
    try:
        detail = ErrorResult.model_validate(result.structured_content).error
    except ValidationError:
        return None
    return (detail.retry_after_seconds or usual) if detail.code == "unavailable" else None
