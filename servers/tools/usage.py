"""Who called which tool how often: counted in memory, and added now and then to what is stored."""

import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta

import anyio
from pydantic import BaseModel, ValidationError

from servers.records.errors import RecordConflictError, RecordError
from servers.records.store import Record, RecordStore
from servers.tools.figures import Figures

FLUSH_SECONDS = 5.0
"""So much is lost if the process is killed."""
KEPT_DAYS = 90
_SECONDS_WHILE_AWAY = 60.0
_MAX_FLUSH_SECONDS = 10.0
_MAX_WAITING = 10_000
_MAX_TOOLS = 1_000
"""Declarations come and go, and so do names."""
_TRIES = 10
_PAGE = 1_000

_logger = logging.getLogger(__name__)

Counted = tuple[str, str, date]
"""The owner, the tool, the day in UTC."""


class Usage:
    """Calls by owner, tool and day, and `totals` by tool since the start.

    Without `open_records` all is forgotten at the end. `today` is in UTC.
    """

    def __init__(
        self,
        open_records: Callable[[], Awaitable[RecordStore]] | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._open_records = open_records
        self._today = today
        self._store: RecordStore | None = None
        self._waiting: dict[Counted, Figures] = {}
        self._is_counting = anyio.Event()
        self._one_at_a_time = anyio.Lock()
        self._is_away = False
        self.totals: dict[str, Figures] = {}

    def count(
        self, owner: str, tool: str, error: str | None, seconds: float, bytes_in: int
    ) -> None:
        """Add a call that has ended; `error` is the code of one that failed."""
        if tool in self.totals or len(self.totals) < _MAX_TOOLS:
            self.totals.setdefault(tool, Figures()).count(error, seconds, bytes_in)
        key = (owner, tool, self._today())
        if key in self._waiting or len(self._waiting) < _MAX_WAITING:
            self._waiting.setdefault(key, Figures()).count(error, seconds, bytes_in)
        self._is_counting.set()

    async def read(self, since: date, owner: str | None = None) -> dict[tuple[str, str], Figures]:
        """What was counted since that day, by owner and tool; of one owner, or of all.

        Raises:
            RecordsUnavailableError: What is stored can't be read.
        """
        found: dict[tuple[str, str], Figures] = {}
        async with self._one_at_a_time:
            for (whose, tool, day), figures in self._waiting.items():
                if day >= since and owner in (None, whose):
                    found.setdefault((whose, tool), Figures()).add(figures)
            store = await self._open()
            if store is None:
                return found
            prefix = "" if owner is None else f"{_hash(owner)}/"
            after = None if owner is None else f"{prefix}{since}"
            while True:
                page = await store.list(prefix, _PAGE, after)
                for record in page.records:
                    kept = _parse(record)
                    if kept is not None and record.key.split("/")[1] >= since.isoformat():
                        found.setdefault((kept.owner, kept.tool), Figures()).add(kept.figures)
                if (after := page.after) is None:
                    return found

    async def store_regularly(self) -> None:
        """Add to the store what was counted, every few seconds in which something was."""
        while True:
            await self._is_counting.wait()
            await anyio.sleep(_SECONDS_WHILE_AWAY if self._is_away else FLUSH_SECONDS)
            self._is_counting = anyio.Event()
            await self.store_now()

    async def store_now(self) -> None:
        """Add to the store what was counted; what can't be stored waits. Takes 10 s at most."""
        # Not left when its task is cancelled: what was half done would be counted twice.
        with anyio.move_on_after(_MAX_FLUSH_SECONDS, shield=True):
            async with self._one_at_a_time:
                try:
                    if self._waiting and (store := await self._open()) is not None:
                        for key in list(self._waiting):
                            await self._add(store, key)
                        self._is_away = False
                except RecordError as error:
                    if not self._is_away:
                        _logger.warning("figures of tools can't be stored now: %s", error)
                    self._is_away = True
                    self._is_counting.set()

    async def _open(self) -> RecordStore | None:
        if self._store is None and self._open_records is not None:
            self._store = await self._open_records()
        return self._store

    async def _add(self, store: RecordStore, key: Counted) -> None:
        figures = self._waiting.pop(key)
        is_stored = False
        try:
            is_stored = await _add_to_record(store, key, figures)
        finally:
            if not is_stored:
                self._waiting.setdefault(key, Figures()).add(figures)
                self._is_counting.set()


@asynccontextmanager
async def open_usage(
    open_records: Callable[[], AbstractAsyncContextManager[RecordStore]],
) -> AsyncGenerator[Usage]:
    """Counts into a store, which is opened when there is something to store or to read."""
    async with AsyncExitStack() as stack:
        usage = Usage(lambda: stack.enter_async_context(open_records()))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(usage.store_regularly)
                yield usage
                tasks.cancel_scope.cancel()
        finally:
            await usage.store_now()


class _Kept(BaseModel):
    """The value of a record."""

    owner: str
    tool: str
    figures: Figures


async def _add_to_record(store: RecordStore, key: Counted, figures: Figures) -> bool:
    """Whether it was possible: others may add to the same record all the time."""
    owner, tool, day = key
    name = f"{_hash(owner)}/{day}/{tool}"
    ends_at = datetime.combine(day, time(), UTC) + timedelta(days=KEPT_DAYS + 1)
    for _ in range(_TRIES):
        record = await store.get(name)
        kept = (record and _parse(record)) or _Kept(owner=owner, tool=tool, figures=Figures())
        kept.figures.add(figures)
        value = kept.model_dump_json().encode()
        try:
            await store.put(name, value, record.version if record else 0, ends_at)
        except RecordConflictError:
            continue
        return True
    return False


def _parse(record: Record) -> _Kept | None:
    try:
        return _Kept.model_validate_json(record.value)
    except ValidationError:
        _logger.warning("the record %s holds no figures of tools: it is left out", record.key)
        return None


def _hash(owner: str) -> str:
    """For keys, which are shorter than owners may be; any name fits."""
    return hashlib.sha256(owner.encode()).hexdigest()[:32]
