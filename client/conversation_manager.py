"""One conversation as an object: messages are added, read and cleared, kept behind MCP."""

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio

from client.conversation_verbs import ConversationVerbs
from client.conversations import ConversationCallError
from client.response_parser import ResponseParser
from client.same_history import check_holds, read_backwards
from servers.conversations.contract import (
    MAX_LOAD_LIMIT,
    Message,
    Role,
    check_conversation_id,
    to_timestamp,
)
from servers.conversations.contract_results import AppendResult


@dataclass(frozen=True, slots=True)
class Appended:
    """Messages with the ids and times they have now; `repeated` of them were stored before."""

    messages: Sequence[Message]
    repeated: int = 0


class ConversationManager:
    """A conversation's messages. With a store they live there, without one in memory.

    Nothing is fetched before it is asked for, and adding sends only what is new. What was fetched
    is kept as long as the store's version says that nobody else wrote. For use by one task at a
    time, except for adding.

    Methods raise `pydantic.ValidationError` (a ValueError) for what can't be a message, and what
    the store raises: then nothing is added here either.
    """

    def __init__(
        self, conversation_id: str = "default", store: ConversationVerbs | None = None
    ) -> None:
        self.conversation_id = check_conversation_id(conversation_id)
        self._store = store
        self._adding = anyio.Lock()
        self._messages: list[Message] = []
        """Without a store all messages; with one the latest, as of `_version`."""
        self._version: int | None = None
        """The store's version that `_messages` belongs to; None while nothing is known."""
        self._has_beginning = False
        """Whether `_messages` goes back to the conversation's first message."""

    async def add_message(
        self,
        role: Role,
        content: str | list[dict[str, Any]],
        name: str | None = None,
        extract_thoughts: bool = True,  # noqa: FBT001 - kept name and order
        show_thinking: bool = False,  # noqa: FBT001 - kept name and order
        tool_call_id: str | None = None,
        **fields: Any,  # noqa: ANN401 - further fields of Message, validated there
    ) -> Message:
        """Add one message and return it as stored.

        Of an assistant's text, thoughts are taken apart when `extract_thoughts`; the content keeps
        them too when `show_thinking`.
        """
        thoughts: str | None = None
        if role == "assistant" and isinstance(content, str):
            parsed = ResponseParser.parse_response(
                content, extract_thoughts=extract_thoughts, show_thinking=show_thinking
            )
            content, thoughts = parsed.content, parsed.thoughts
        draft: dict[str, Any] = {
            "role": role,
            "content": content,
            "name": name,
            "thoughts": thoughts,
            "tool_call_id": tool_call_id,
            **fields,
        }
        return (await self.append([Message.model_validate(draft)])).messages[0]

    async def add_interaction(
        self,
        user_message: str,
        assistant_message: str,
        extract_thoughts: bool = True,  # noqa: FBT001 - kept name and order
        show_thinking: bool = False,  # noqa: FBT001 - kept name and order
    ) -> None:
        """Add what the user said and what the assistant answered, both or neither."""
        parsed = ResponseParser.parse_response(
            assistant_message, extract_thoughts=extract_thoughts, show_thinking=show_thinking
        )
        await self.append(
            [
                Message(role="user", content=user_message),
                Message(role="assistant", content=parsed.content, thoughts=parsed.thoughts),
            ]
        )

    async def append(self, messages: Sequence[Message]) -> Appended:
        """Add messages, all or none."""
        complete = [_completed(message) for message in messages]
        if self._store is None:
            self._messages.extend(complete)
            return Appended(complete)
        async with self._adding:
            known, self._version = self._version, None  # unless this succeeds, nothing is known
            result, nobody_else_wrote = await self._append_after(self._store, complete, known)
            if nobody_else_wrote and not result.repeated:
                self._messages.extend(complete)
                self._version = result.version
        return Appended(complete, result.repeated)

    async def annotate(self, message_id: str, annotations: Mapping[str, Any]) -> None:
        """Merge facts about a message, by key."""
        if self._store is not None:
            await self._store.annotate_message(self.conversation_id, message_id, annotations)

    async def latest(self, limit: int, *, back_to: str | None = None) -> list[Message]:
        """The latest `limit` messages, and older ones back to the message with the id `back_to`."""
        if self._store is not None and (self._version is None or not self._reaches(limit, back_to)):
            await self._fetch(self._store, limit, back_to)
        start = max(0, len(self._messages) - limit)
        if back_to is not None:
            start = min(start, self._position(back_to))
        wanted = self._messages[start:]
        if self._store is not None and start > limit:  # what is kept does not grow for ever
            self._messages, self._has_beginning = list(wanted), False
        return wanted

    def forget(self) -> None:
        """What was fetched no longer counts: another program may have written."""
        self._version = None

    async def switch_store(self, store: ConversationVerbs) -> None:
        """Go on with the same conversation in another store: read there, and add there.

        Every message that is here has to be there, in the same order, from the first one on; more
        may follow behind them. That is checked, and nothing is copied (`agentic migrate` does).
        What is being added is added before, where it was; what is added meanwhile waits, and goes
        to the new store. Annotations, title and attachments are not compared.

        Raises:
            HistoryDiffersError: The conversation is not there as it is here; this one goes on here.
        """
        async with self._adding:
            await check_holds(store, self.conversation_id, self._read_backwards())
            self._store, self._messages = store, []
            self._version, self._has_beginning = None, False

    async def get_messages(self) -> list[dict[str, Any]]:
        """All messages in chronological order, as JSON, without thoughts."""
        await self._fetch_if_changed()
        return [_without_thoughts(message.to_wire()) for message in self._messages]

    async def get_last_message(self) -> dict[str, Any] | None:
        """The latest message, thoughts included, or None."""
        if self._store is None:
            return self._messages[-1].to_wire() if self._messages else None
        page = await self._store.load_conversation(self.conversation_id, limit=1)
        return page.messages[-1].to_wire() if page.messages else None

    async def clear_messages(self) -> None:
        """Remove all messages; the conversation itself stays, with its title and tags."""
        if self._store is not None:
            page = await self._store.load_conversation(self.conversation_id, limit=1)
            if page.messages:
                await self._store.save_conversation(
                    self.conversation_id, [], expected_version=page.version
                )
        self._messages.clear()
        self._version = None

    async def delete_conversation(self) -> bool:
        """Remove the conversation with all that belongs to it; False if there was none."""
        existed = bool(self._messages)
        if self._store is not None:
            existed = (await self._store.delete_conversation(self.conversation_id)).deleted
        self._messages.clear()
        self._version = None
        return existed

    async def _read_backwards(self) -> AsyncGenerator[Message]:
        if self._store is None:
            for message in reversed(self._messages):
                yield message
            return
        async with aclosing(read_backwards(self._store, self.conversation_id)) as messages:
            async for message in messages:
                yield message

    def _position(self, message_id: str) -> int:
        """Where the message stands in what is kept; behind all where it does not."""
        ids = (n for n, message in enumerate(self._messages) if message.message_id == message_id)
        return next(ids, len(self._messages))

    def _reaches(self, limit: int, back_to: str | None) -> bool:
        count = len(self._messages)
        has_message = back_to is None or self._position(back_to) < count
        return self._has_beginning or (count >= limit and has_message)

    async def _append_after(
        self, store: ConversationVerbs, messages: Sequence[Message], known: int | None
    ) -> tuple[AppendResult, bool]:
        """Append, and whether this came directly after the version that is known."""
        if known is not None:
            try:
                result = await store.append_messages(
                    self.conversation_id, messages, expected_version=known
                )
            except ConversationCallError as error:
                if error.code != "conflict":
                    raise
            else:
                return result, True
        return await store.append_messages(self.conversation_id, messages), False

    async def _fetch_if_changed(self) -> None:
        if self._store is None:
            return
        newest = await self._store.load_conversation(self.conversation_id, limit=1)
        if newest.version != self._version or not self._has_beginning:
            await self._fetch(self._store, None, None)

    async def _fetch(
        self, store: ConversationVerbs, limit: int | None, back_to: str | None
    ) -> None:
        """Read the latest messages, page by page.

        A history that is rewritten meanwhile is read again from its end, twice at most.
        """
        for attempts_left in (2, 1, 0):
            try:
                await self._fetch_once(store, limit, back_to)
            except ConversationCallError as error:
                if error.code != "stale_cursor" or not attempts_left:
                    raise
            else:
                return

    async def _fetch_once(
        self, store: ConversationVerbs, limit: int | None, back_to: str | None
    ) -> None:
        size = MAX_LOAD_LIMIT if limit is None else min(limit, MAX_LOAD_LIMIT)
        page = await store.load_conversation(self.conversation_id, limit=size)
        version, pages = page.version, [page.messages]

        def wanted() -> bool:
            if limit is None or sum(map(len, pages)) < limit:
                return True
            return back_to is not None and not any(
                message.message_id == back_to for messages in pages for message in messages
            )

        while page.next_cursor is not None and wanted():
            page = await store.load_conversation(
                self.conversation_id, limit=size, before=page.next_cursor
            )
            pages.append(page.messages)
        self._messages = [message for messages in reversed(pages) for message in messages]
        self._version, self._has_beginning = version, page.next_cursor is None


def _completed(message: Message) -> Message:
    """With an id, so that appending again is safe, and a time."""
    absent: dict[str, str] = {}
    if message.message_id is None:
        absent["message_id"] = uuid.uuid4().hex
    if message.created_at is None:
        absent["created_at"] = to_timestamp(datetime.now(UTC))
    return message.model_copy(update=absent) if absent else message


def _without_thoughts(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "thoughts"}
