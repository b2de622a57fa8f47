"""The embedded store's search: what the index finds, checked against the conversations' files."""

import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from operator import itemgetter

import anyio

from servers.conversations.contract import Role
from servers.conversations.contract_results import SearchHit, SearchResult
from servers.conversations.file_directory import SEARCH_NAME, key_of
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_failures import is_of_one
from servers.conversations.file_index import FileIndex, IndexLayout, snapshot
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import to_message
from servers.conversations.file_search_marks import Located, locate
from servers.conversations.file_search_parts import find_parts
from servers.conversations.file_search_rows import (
    SEARCH_SCHEMA,
    SEARCH_SCHEMA_VERSION,
    Candidate,
    find_candidates,
    find_conversation,
    find_origin,
    owner_mark_of,
    to_expression,
)
from servers.conversations.file_search_upkeep import SearchUpkeep, to_milliseconds
from servers.conversations.search_matches import match, score
from servers.conversations.search_query import Search
from servers.conversations.store_errors import UnavailableError
from servers.faults import report_fault

_log = logging.getLogger(__name__)

SEARCH_LAYOUT = IndexLayout(
    "search index of the conversation store",
    SEARCH_SCHEMA_VERSION,
    SEARCH_SCHEMA,
    survives_power_loss=True,
)
_CATCH_UP_SECONDS = 2.0
_FIND_SECONDS = 1.0
_FORGET_SECONDS = 10.0
_STEP_SECONDS = 1.0
_PAUSE_SECONDS = 0.005
"""Long enough for whoever waits for the lock between two steps."""
_WAIT_SECONDS = 4.0
_MAX_CANDIDATES = 500
_MAX_INDEXES = 3
_MAX_READ_WORDS = 400_000
_MILLISECONDS_A_DAY = 86_400_000
_BEFORE_ALL_TIMES = -(2**63)


@dataclass(slots=True)
class _Found:
    """Documents that match, of conversations that exist."""

    origin: str
    """Of the index."""
    documents: list[tuple[Candidate, Located]]
    is_all: bool


@dataclass(frozen=True, slots=True)
class _Text:
    """A document that was read."""

    candidate: Candidate
    conversation_id: str
    message_id: str | None
    role: Role | None
    created_at: str
    text: str


class FileSearch:
    """Search in one store. Made by `open_file_search`."""

    def __init__(
        self, engine: FileEngine, index: FileIndex, upkeep: SearchUpkeep, locks: LockStripes
    ) -> None:
        """`locks`: with which conversations are read, for nothing else."""
        self._engine = engine
        self._locks = locks
        self._reading = threading.Lock()
        self._deleted = anyio.Event()
        self._index = index
        self._upkeep = upkeep

    async def make_anew(self, tell: Callable[[int, int], None]) -> None:
        """Throw the index away and take everything in again; what can't be read is left out.

        `tell` is given, about each second, how many bytes of conversations are in, and of how many.
        """
        await self._engine.in_thread(self._index.discard)
        unread: set[Located] = set()
        before = None
        while not await self._upkeep.catch_up(
            _STEP_SECONDS,
            pause_seconds=_PAUSE_SECONDS,
            wait_seconds=_WAIT_SECONDS,
            unread=unread,
        ):
            done, total = await self._engine.in_thread(self._upkeep.measure)
            come_to = (done, total, len(unread))
            if come_to == before:  # what is left can't be read
                return
            before = come_to
            tell(done, total)

    async def catch_up(self, seconds: float) -> None:
        """See `SearchUpkeep.keep_up`."""
        await self._upkeep.keep_up(seconds)

    def forget_soon(self) -> None:
        """Say that something was deleted whose words may be in the index."""
        self._deleted.set()

    async def forget_what_is_deleted(self, after_seconds: float) -> None:
        """Get rid of such words, each time so long after it was said, until cancelled.

        What fails, or takes too long, is left to the next `catch_up`.
        """
        while True:
            await self._deleted.wait()
            await anyio.sleep(after_seconds)
            self._deleted = anyio.Event()
            try:
                if self._engine.directory.size_of(SEARCH_NAME):
                    await self._upkeep.forget(_FORGET_SECONDS)
            except UnavailableError as error:
                if error.retry_after_seconds is not None:
                    self._deleted.set()  # another process is at it
                else:
                    _log.warning("words of what was deleted can still be searched: %s", error)
            except Exception as error:  # noqa: BLE001 - boundary: nobody waits for it
                report_fault(_log, "getting rid of the words of what was deleted", error)

    async def search(self, wanted: Search) -> SearchResult:
        """What is found, the best first."""
        is_current, found = await self._find_caught_up(wanted)
        now = int(time.time() * 1000)
        once = [1] * len(wanted.terms)
        found.documents.sort(
            key=lambda found: score(once, found[0].words, _age(found[0], now)), reverse=True
        )
        chosen = _choose(found.documents, wanted.limit)
        texts, are_all_read = await self._read(chosen)
        hits = await self._engine.in_thread(lambda: _to_hits(texts, wanted, now))
        is_all = found.is_all and are_all_read and len(chosen) == len(found.documents)
        return SearchResult(
            hits=hits[: wanted.limit],
            truncated=not (is_current and is_all) or len(hits) > wanted.limit,
        )

    async def _find_caught_up(self, wanted: Search) -> tuple[bool, _Found]:
        """Whether all was in the index that was asked, and what it found."""
        asked = await self._ask(lambda connection: _Found(find_origin(connection), [], False))
        for _ in range(_MAX_INDEXES):
            caught_up_on = asked.origin
            is_current = await self._catch_up(wanted.owner)
            asked = await self._ask(lambda connection: self._find(connection, wanted))
            if asked.origin == caught_up_on:
                return is_current, asked
        return False, asked  # made anew again and again

    async def _ask(self, work: Callable[[sqlite3.Connection], _Found]) -> _Found:
        return await self._engine.in_thread(lambda: self._index.run(work))

    async def _catch_up(self, owner: str) -> bool:
        try:
            return await self._upkeep.catch_up(_CATCH_UP_SECONDS, owner)
        except UnavailableError as error:
            if error.retry_after_seconds is None:
                raise  # nobody is at it: what is new would be missed until somebody mends that
            _log.warning("search may miss what is new: %s", error)
            return False

    def _find(self, connection: sqlite3.Connection, wanted: Search) -> _Found:
        deadline = time.monotonic() + _FIND_SECONDS
        with snapshot(connection):
            found = _Found(find_origin(connection), [], True)
            conversation = None
            if wanted.conversation_id is not None:
                key = key_of(wanted.owner, wanted.conversation_id)
                conversation = find_conversation(connection, key)
                if conversation is None:
                    return found
            expression = to_expression(wanted.owner, wanted.terms, conversation, wanted.role)
            since = to_milliseconds(wanted.since) if wanted.since else _BEFORE_ALL_TIMES
            for part in find_parts(connection, owner_mark_of(wanted.owner), since):
                if len(found.documents) >= _MAX_CANDIDATES or time.monotonic() > deadline:
                    found.is_all = False
                    break
                candidates = find_candidates(
                    connection, part, expression, since=since, limit=_MAX_CANDIDATES
                )
                found.is_all = found.is_all and len(candidates) < _MAX_CANDIDATES
                found.documents += self._keep_valid(candidates, wanted.owner)
        return found

    def _keep_valid(
        self, candidates: Sequence[Candidate], owner: str
    ) -> list[tuple[Candidate, Located]]:
        """Those of conversations that exist, and not of an earlier generation."""
        if not candidates:
            return []
        keys = list({candidate.key for candidate in candidates})
        catalogue = self._engine.catalogue
        horizon = catalogue.horizon()
        located = catalogue.consult(lambda connection: locate(connection, keys, horizon))
        return [
            (candidate, place)
            for candidate in candidates
            if (place := located.get(candidate.key))
            and (place.owner, place.generation) == (owner, candidate.generation)
        ]

    async def _read(
        self, documents: Sequence[tuple[Candidate, Located]]
    ) -> tuple[list[_Text], bool]:
        """What they say, where they are still there; whether all of these could be read."""
        by_place: dict[Located, list[Candidate]] = defaultdict(list)
        for candidate, place in documents:
            by_place[place].append(candidate)
        # In one go: the way to a thread and back takes longer than to read a conversation's hits.
        read = await self._engine.in_thread(
            lambda: [
                self._read_conversation(place, candidates) for place, candidates in by_place.items()
            ]
        )
        return [text for texts in read for text in texts or ()], None not in read

    def _read_conversation(
        self, place: Located, candidates: Sequence[Candidate]
    ) -> list[_Text] | None:
        """None if it can't be read.

        Raises:
            OSError: Nor can others.
        """
        try:
            with (
                self._reading,
                self._engine.reading(self._locks, place.owner, place.conversation_id) as opened,
            ):
                if not opened.exists or opened.generation != place.generation:
                    return []
                texts = (_read_text(opened, candidate) for candidate in candidates)
                return [text for text in texts if text is not None]
        except (UnavailableError, OSError) as error:
            if isinstance(error, OSError) and not is_of_one(error):
                raise
            _log.warning("a hit can't be shown: %s", error)
            return None


def _choose(
    documents: Sequence[tuple[Candidate, Located]], limit: int
) -> Sequence[tuple[Candidate, Located]]:
    """Those worth reading, of which the best is decided by their texts."""
    room = _MAX_READ_WORDS
    for number, (candidate, _) in enumerate(documents[: 2 * limit]):
        room -= candidate.words
        if room < 0 and number >= limit:
            return documents[:number]
    return documents[: 2 * limit]


def _read_text(opened: ConversationReader, candidate: Candidate) -> _Text | None:
    facts = opened.facts
    if candidate.offset is None:
        if facts.title is None:
            return None
        return _Text(candidate, opened.conversation_id, None, None, facts.created_at, facts.title)
    record = opened.read_at(candidate.offset)
    if record is None or record.kind != "message":
        return None
    message = to_message(record.body)
    return _Text(
        *(candidate, opened.conversation_id, message.message_id, message.role),
        *(str(message.created_at), message.text()),
    )


def _to_hits(texts: Sequence[_Text], wanted: Search, now: int) -> list[SearchHit]:
    """The best first, the newer one of two equals."""
    scored: list[tuple[float, int, SearchHit]] = []
    for text in texts:
        if wanted.since is not None and text.created_at < wanted.since:
            continue  # the index holds milliseconds
        found = match(text.text, wanted.terms)
        if found is None:  # a title that was changed just now
            continue
        points = score(found.frequencies, found.words, _age(text.candidate, now))
        hit = SearchHit(
            conversation_id=text.conversation_id,
            message_id=text.message_id,
            role=text.role,
            created_at=text.created_at,
            snippet=found.snippet,
            score=round(points, 4),
        )
        scored.append((points, text.candidate.at, hit))
    scored.sort(key=itemgetter(0, 1), reverse=True)
    return [hit for _, _, hit in scored]


def _age(candidate: Candidate, now: int) -> float:
    return (now - candidate.at) / _MILLISECONDS_A_DAY


@asynccontextmanager
async def open_file_search(engine: FileEngine) -> AsyncGenerator[FileSearch]:
    """Open the search index of an opened store; a missing one is made when it is needed."""
    with ExitStack() as stack:
        locks = [stack.enter_context(closing(LockStripes(engine.directory))) for _ in range(3)]
        path = engine.directory.root / SEARCH_NAME
        # Two, so that nobody who searches waits for what is written.
        reading, writing = (
            stack.enter_context(closing(FileIndex(path, each, SEARCH_LAYOUT))) for each in locks[:2]
        )
        # The catalogue's index stays: opened anew, it would be compared with all files.
        for each in (reading, writing):
            engine.directory.idle.add(each.close_idle)
        yield FileSearch(engine, reading, SearchUpkeep(engine, writing, locks[1]), locks[2])
