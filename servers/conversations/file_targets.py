"""Writing what a fork or merge makes: its target is locked only while that is put in its place."""

import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import anyio

from servers.conversations.contract import Conversation
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_copies import ChangedMeanwhileError
from servers.conversations.file_directory import StoreDirectory
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_generation import NextGeneration
from servers.conversations.file_history import Place
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import Draft, Facts, Progress, body_of, parse_line

_TOKEN_BYTES = 8


class Plan(NamedTuple):
    """What shall be in the target's place."""

    facts: Facts
    draft: Callable[[], Iterable[Draft] | None]
    """Gives the messages, None if the target is all that already. Called without the lock."""
    goes_on: bool = False
    """Whether the target's own messages are among them, so that what is appended to it follows."""


class _Found(NamedTuple):
    """The target as it was when it was looked at."""

    generation: int
    end: int
    last_line: bytes | None
    progress: Progress
    at: str
    """What `last_updated` shall be."""


MakePlan = Callable[[ConversationReader], Plan]
"""Looks at the target while nobody writes to it."""


async def write_target(
    engine: FileEngine, owner: str, conversation_id: str, make_plan: MakePlan, *, locked: bool
) -> Conversation:
    """Put what is planned in the place of a conversation.

    `locked`: nobody else can write to it meanwhile.

    Raises:
        ChangedMeanwhileError: Somebody did; nothing has changed.
    """
    target = _Target(engine.directory, make_plan)
    try:
        if locked:
            return await engine.change(owner, conversation_id, target.write_at_once)
        await engine.read(owner, conversation_id, target.look)
        await engine.in_thread(target.write)
        return await engine.change(owner, conversation_id, target.put_in_place)
    finally:
        with anyio.CancelScope(shield=True):
            await engine.in_thread(target.close)


class _Target:
    def __init__(self, directory: StoreDirectory, make_plan: MakePlan) -> None:
        self._directory = directory
        self._make_plan = make_plan
        self._plan: Plan
        self._place: Place
        self._found: _Found
        self._new: NextGeneration | None = None

    def look(self, opened: ConversationReader) -> None:
        self._plan = self._make_plan(opened)
        self._place = Place(self._directory, opened.key)
        self._found = _Found(
            opened.generation,
            opened.end,
            opened.line_before(opened.end),
            opened.progress,
            at=max(opened.now, opened.progress.updated),
        )

    def write(self) -> None:
        drafts = self._plan.draft()
        if drafts is not None:
            found, facts, goes_on = self._found, self._plan.facts, self._plan.goes_on
            token = secrets.token_hex(_TOKEN_BYTES)
            self._new = NextGeneration(
                *(self._place, found.progress, found.at, "header", facts, drafts, token),
                with_ids=goes_on,
            )

    def put_in_place(self, opened: ConversationFile) -> Conversation:
        facts, progress = self._plan.facts, self._found.progress
        if self._new is not None:
            later = list(self._find_later(opened, self._new))
            if later:
                self._new.extend(later, max(self._found.at, opened.progress.updated))
            opened.replace(self._new)
            progress = opened.progress
        return to_conversation(facts, progress.version, progress.message_count, progress.updated)

    def write_at_once(self, opened: ConversationFile) -> Conversation:
        self.look(opened)
        self.write()
        return self.put_in_place(opened)

    def close(self) -> None:
        if self._new is not None:
            self._new.close()

    def _find_later(self, opened: ConversationReader, new: NextGeneration) -> Iterator[Draft]:
        """The messages that were appended since the look.

        Raises:
            ChangedMeanwhileError: More than that has happened, or one has an id that `new` has.
        """
        found = self._found
        last_line = opened.line_before(found.end)  # a failed append may have been taken back
        if (opened.generation, last_line) != (found.generation, found.last_line):
            raise ChangedMeanwhileError
        for offset, line in opened.lines_from(found.end, sys.maxsize):
            record = parse_line(offset, line)
            if not self._plan.goes_on or record is None or record.kind != "message":
                raise ChangedMeanwhileError
            if new.may_hold(record.body["message_id"]):
                raise ChangedMeanwhileError
            yield Draft("message", record.body, body_of(line))
