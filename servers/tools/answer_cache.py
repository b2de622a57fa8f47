"""Results that are used again for a while, within limits of count and size; asked for once."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

import anyio
from mcp import types

from servers.tools.results import ToolFailedError

_MAX_ENTRIES = 256
_MAX_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class _Entry:
    result: types.CallToolResult
    ends_at: float
    size: int


@dataclass(slots=True)
class _Asking:
    """A call that is under way, and what it gave; neither if it was given up."""

    is_over: anyio.Event = field(default_factory=anyio.Event)
    result: types.CallToolResult | None = None
    failure: ToolFailedError | None = None


class AnswerCache:
    """Of one tool. What was used least recently goes first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._size = 0
        self._under_way: dict[Hashable, _Asking] = {}

    async def get(
        self, key: Hashable, ask: Callable[[], Awaitable[types.CallToolResult]]
    ) -> types.CallToolResult:
        """What was kept under `key`, else what `ask` gives: of equal calls at once one is made.

        A result that holds a link is nobody else's.

        Raises:
            ToolFailedError: As `ask`; whoever waited for that call fails with it.
        """
        while (result := self._find(key)) is None:
            asking = self._under_way.get(key)
            if asking is None:
                return await self._ask(key, ask)
            await asking.is_over.wait()
            if asking.failure is not None:
                raise asking.failure
            if asking.result is not None and _has_link(asking.result):
                return await ask()
            if asking.result is not None:  # too large to be kept
                return asking.result
        return result

    async def _ask(
        self, key: Hashable, ask: Callable[[], Awaitable[types.CallToolResult]]
    ) -> types.CallToolResult:
        asking = self._under_way[key] = _Asking()
        try:
            result = asking.result = await ask()
        except ToolFailedError as error:
            asking.failure = error
            raise
        else:
            if not _has_link(result):
                self._keep(key, result)
            return result
        finally:
            del self._under_way[key]
            asking.is_over.set()

    def _find(self, key: Hashable) -> types.CallToolResult | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if anyio.current_time() >= entry.ends_at:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.result

    def _keep(self, key: Hashable, result: types.CallToolResult) -> None:
        size = len(result.model_dump_json())
        if size > _MAX_BYTES:
            return
        if key in self._entries:
            self._remove(key)
        self._entries[key] = _Entry(result, anyio.current_time() + self._seconds, size)
        self._size += size
        while len(self._entries) > _MAX_ENTRIES or self._size > _MAX_BYTES:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: Hashable) -> None:
        self._size -= self._entries.pop(key).size


def _has_link(result: types.CallToolResult) -> bool:
    return any(block.type == "resource_link" for block in result.content)
