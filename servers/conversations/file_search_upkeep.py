"""The search index brought up to date: when somebody searches, and in the background.

Appending never waits for it. One process at a time reads what the index lacks, in small steps.
"""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import anyio

from servers.conversations.file_engine import FileEngine
from servers.conversations.file_index import FileIndex, transaction
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import parse_lines, to_message
from servers.conversations.file_search_marks import (
    Located,
    count_unsearched,
    forget_searched,
    is_marked,
    measure_searched,
    put_searched,
    select_unsearched,
)
from servers.conversations.file_search_purge import drop_unknown, purge_part
from servers.conversations.file_search_rows import (
    Document,
    Held,
    Reading,
    drop_conversation,
    find_held,
    find_marks,
    find_origin,
    is_searched,
    put_reading,
    renew_mark,
)
from servers.conversations.store_errors import UnavailableError

_log = logging.getLogger(__name__)

_LOCK = "searching"
_MIN_WAIT_SECONDS = 0.5
_MAX_QUEUE = 5_000
_STEP_CONVERSATIONS = 500
_STEP_BYTES = 1024 * 1024
_TELL_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
"""Between the steps of what nobody waits for: others have work for the processor."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines of a conversation's file; None where it does not exist any more."""

    located: Located
    generation: int
    start: int
    end: int
    mark: bytes
    is_last: bool
    title: Document | None
    lines: Sequence[tuple[int, bytes]] | None

    def adds_to(self, held: Held | None) -> bool:
        """Whether the index does not hold it yet."""
        if self.lines is None:
            return held is not None
        title = self.title and self.title.text
        return held != Held(self.generation, self.end, self.mark, title)


class SearchUpkeep:
    """Keeps the search index of one store in step with its conversations."""

    def __init__(self, engine: FileEngine, index: FileIndex, locks: LockStripes) -> None:
        self._engine = engine
        self._index = index
        self._locks = locks
        self._turn = anyio.Lock()
        self._told_at = 0.0

    def measure(self) -> tuple[int, int]:
        """How many bytes of the conversations as they are now are in the index, and of how many."""
        return self._engine.catalogue.consult(measure_searched)

    async def catch_up(
        self,
        seconds: float,
        owner: str | None = None,
        *,
        pause_seconds: float = 0.0,
        wait_seconds: float = _MIN_WAIT_SECONDS,
        unread: set[Located] | None = None,
    ) -> bool:
        """Take in what is not yet in the index, of one owner or all, for about so long.

        Returns whether all of it is in. `unread`: what could not be read and is not tried again;
        more is added to it. `pause_seconds`: between steps. `wait_seconds`: at least, for another
        process that writes to the index.

        Raises:
            UnavailableError: The index can't be written now, or another process writes to it.
        """
        deadline = time.monotonic() + seconds
        if await self._engine.consult(lambda: self._is_current(owner)):
            return True
        unread = set() if unread is None else unread
        handled = set(unread)
        queue: deque[Located] = deque()
        while True:
            async with self._turn, self._alone(max(wait_seconds, deadline - time.monotonic())):
                if not queue:
                    lagging = await self._engine.in_thread(lambda: self._find_lagging(owner))
                    # What could not be read, or changed meanwhile, waits for the next call.
                    queue.extend(located for located in lagging if located not in handled)
                    if not queue:
                        return not lagging
                if not await self._step(queue, handled, unread):
                    queue.clear()
                    handled.clear()
            if time.monotonic() > deadline:
                return False
            if pause_seconds:
                await anyio.sleep(pause_seconds)

    async def keep_up(self, seconds: float) -> None:
        """In the background, for about so long: take in what lags, then purge what was deleted.

        Raises:
            UnavailableError: As `catch_up`.
        """
        deadline = time.monotonic() + seconds
        await self.catch_up(seconds, pause_seconds=_PAUSE_SECONDS)
        async with self._turn, self._alone(_MIN_WAIT_SECONDS):
            await drop_unknown(self._engine, self._index)
        await self._purge(deadline)

    async def forget(self, seconds: float) -> None:
        """In the background, for about so long: get rid of the words of what was just deleted.

        Raises:
            UnavailableError: As `catch_up`.
        """
        deadline = time.monotonic() + seconds
        await self.catch_up(seconds, pause_seconds=_PAUSE_SECONDS)
        await self._purge(deadline)

    async def _purge(self, deadline: float) -> None:
        is_stale = True
        while is_stale and time.monotonic() < deadline:
            async with self._turn, self._alone(_MIN_WAIT_SECONDS):
                is_stale = await purge_part(self._engine, self._index)

    @asynccontextmanager
    async def _alone(self, wait_seconds: float) -> AsyncGenerator[None]:
        with ExitStack() as stack:
            hold = self._locks.hold(_LOCK, timeout_seconds=wait_seconds)
            await self._engine.in_thread(lambda: stack.enter_context(hold))
            yield

    def _is_current(self, owner: str | None) -> bool:
        marks = self._index.run(find_marks)
        is_current = self._engine.catalogue.consult(
            lambda connection: (
                is_marked(connection, marks) and not select_unsearched(connection, owner, 1)
            )
        )
        if is_current:
            self._told_at = time.monotonic()
        return is_current

    def _find_lagging(self, owner: str | None) -> list[Located]:
        marks = self._index.run(find_marks)

        def work(connection: sqlite3.Connection) -> list[Located]:
            if not is_marked(connection, marks):
                with transaction(connection):
                    forget_searched(connection, marks[0])
            return select_unsearched(connection, owner, _MAX_QUEUE)

        return self._engine.catalogue.consult(work)

    async def _step(
        self, queue: deque[Located], handled: set[Located], unread: set[Located]
    ) -> bool:
        """Take in some of what waits; False if the index was made anew meanwhile."""
        waiting = list(islice(queue, _STEP_CONVERSATIONS))
        keys = [located.key for located in waiting]

        def look(connection: sqlite3.Connection) -> tuple[str, dict[str, Held]]:
            return find_origin(connection), find_held(connection, keys)

        origin, held = await self._engine.in_thread(lambda: self._index.run(look))
        pieces: list[_Piece] = []
        room = _STEP_BYTES
        for located in waiting:
            if room <= 0:
                break
            piece = await self._read(located, held.get(located.key), room)
            if piece is None:
                unread.add(located)
            else:
                pieces.append(piece)
                room -= piece.end - piece.start
            if piece is None or piece.is_last:
                handled.add(located)
                queue.popleft()
        return await self._engine.in_thread(lambda: self._take_in(pieces, origin, held))

    async def _read(self, located: Located, held: Held | None, room: int) -> _Piece | None:
        """What follows what is held of a conversation; None if it can't be read."""

        def job(opened: ConversationReader) -> _Piece:
            # What has expired is held until it is swept: it may be a clock that runs ahead.
            if opened.state is None or opened.state.deleted:
                end = opened.state.end if opened.state else located.end
                return _Piece(located, opened.generation, end, end, b"", True, None, None)
            goes_on = (
                held is not None
                and held.generation == opened.generation
                and held.mark == opened.mark_at(held.end)
            )
            start = held.end if held and goes_on else 0
            lines = opened.lines_from(start, room)
            end = lines[-1][0] + len(lines[-1][1]) + 1 if lines else start
            is_last = end >= opened.state.end
            facts = opened.facts
            title = Document(None, to_milliseconds(facts.created_at), None, facts.title or "")
            return _Piece(
                *(located, opened.generation, start, end, opened.mark_at(end), is_last),
                *(title if facts.title else None, lines),
            )

        try:
            return await self._engine.read(located.owner, located.conversation_id, job)
        except UnavailableError as error:
            _log.warning("a conversation can't be searched: %s", error)
            return None

    def _take_in(self, pieces: Sequence[_Piece], origin: str, held: Mapping[str, Held]) -> bool:
        """`held` is true of the index of this `origin`; what goes on from it fits no other."""
        new = [piece for piece in pieces if piece.adds_to(held.get(piece.located.key))]
        readings = [_to_reading(piece) for piece in new if piece.lines is not None]

        def work(connection: sqlite3.Connection) -> str | None:
            if find_origin(connection) != origin:
                return None
            if not new:
                return find_marks(connection)[0]
            with transaction(connection):
                for piece in new:
                    if piece.lines is None:
                        drop_conversation(connection, piece.located.key)
                for reading in readings:
                    put_reading(connection, reading)
                return renew_mark(connection)

        mark = self._index.run(work)
        if mark is None:
            return False
        read = [(piece.located.key, piece.generation, piece.end) for piece in pieces]

        def note(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                put_searched(connection, mark, read)
            return count_unsearched(connection)

        left = self._engine.catalogue.consult(note)
        if left and time.monotonic() > self._told_at + _TELL_SECONDS:
            _log.warning("search is brought up to date, conversations left: %d", left)
            self._told_at = time.monotonic()
        return True


def _to_reading(piece: _Piece) -> Reading:
    messages: list[Document] = []
    for record in parse_lines(piece.lines or ()):
        if record is not None and record.kind == "message":
            text = to_message(record.body).text()
            if is_searched(text):
                at = to_milliseconds(record.body["created_at"])
                messages.append(Document(record.offset, at, record.body["role"], text))
    located = piece.located
    return Reading(
        *(located.key, located.owner, piece.generation),
        *(piece.start, piece.end, piece.mark, piece.title, messages),
    )


def to_milliseconds(timestamp: str) -> int:
    """A stored time as milliseconds since 1970."""
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
