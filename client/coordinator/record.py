"""What a turn produces, and how it is stored: numbered, in order, once."""

from collections.abc import Mapping, Sequence
from typing import Any

from client.asking.stored import is_open
from client.conversation_manager import ConversationManager
from client.conversations import ConversationCallError
from client.coordinator.history import tool_uses, unknown_result
from client.spool.folder import Entry
from client.spool.spool import Spool
from client.store_absence import PATIENCE_SECONDS, try_for
from servers.conversations.contract import Message, encode_json

_FLUSH_BYTES = 1024 * 1024
"""What waits is kept well under the size of one batch."""


class TurnTakenError(Exception):
    """Another program stores answers to the same message."""


class TurnRecord:
    """A turn's messages: what is stored, what was produced since, and what of it still waits.

    Ids are `<turn_id>/1`, `/2`, …: a second program that answers the same message collides with the
    first instead of doubling it, and storing again after an error stores once.
    """

    def __init__(
        self,
        conversation: ConversationManager,
        turn_id: str,
        *,
        owner: str | None = None,
        spool: Spool | None = None,
        joined: Sequence[str] = (),
    ) -> None:
        """`owner` is whose conversation it is; `spool` takes what can't be stored now.

        `joined`: user messages before the turn's own that it answers, too.
        """
        self.turn_id = turn_id
        self._begins_with = joined[0] if joined else turn_id
        self.is_stored = True
        """Whether all that was flushed is in the store; else the last of it waits in the spool."""
        self.open_step: Message | None = None
        """After `load`: the message with calls of an earlier run about which nobody has answered.
        """
        self._conversation = conversation
        self._owner = owner
        self._spool = spool
        self._stored: Sequence[Message] = ()
        self._produced: list[Message] = []
        self._flushed = 0
        self._number = 0

    @property
    def messages(self) -> list[Message]:
        """The conversation as it is now, this turn's newest messages included."""
        return [*self._stored, *self._produced]

    async def load(self, limit: int) -> Message | None:
        """Read the conversation, back to this turn's beginning at least; gives its reply if any.

        Calls that an earlier run of this turn had started get the result that nothing is known of
        them.
        """
        self._stored = await self._conversation.latest(limit, back_to=self._begins_with)
        mine = [m for m in self._stored if m.turn_id == self.turn_id and m.role != "user"]
        for message in mine:
            if message.role == "assistant" and (message.metadata or {}).get("final"):
                return message
        self._number = len(mine)
        self.open_step = None
        answered = {message.tool_call_id for message in mine if message.role == "tool"}
        for message in mine:
            for call in tool_uses(message):
                if call["id"] in answered:
                    continue
                if is_open(message, call):
                    self.open_step = message
                else:
                    self.add(unknown_result(message, call))
        return None

    def call_ids(self) -> set[str]:
        """The ids of all calls of this turn so far, those of an earlier run included."""
        mine = (message for message in self.messages if message.turn_id == self.turn_id)
        return {call["id"] for message in mine for call in tool_uses(message)}

    def add(self, message: Message) -> Message:
        """Give the message its id and keep it to be stored."""
        self._number += 1
        numbered = message.model_copy(
            update={"message_id": f"{self.turn_id}/{self._number}", "turn_id": self.turn_id}
        )
        self._produced.append(numbered)
        return numbered

    def add_assistant(
        self,
        content: str | list[dict[str, Any]],
        metadata: Mapping[str, Any],
        **fields: Any,  # noqa: ANN401 - further fields of Message
    ) -> Message:
        """Keep a message of the assistant."""
        return self.add(
            Message(role="assistant", content=content, metadata=dict(metadata), **fields)
        )

    async def annotate(self, message_id: str, annotations: Mapping[str, Any]) -> None:
        """Store facts about a message that is stored.

        Raises:
            HubError, ConversationCallError: They are not stored.
        """
        await try_for(
            PATIENCE_SECONDS, lambda: self._conversation.annotate(message_id, annotations)
        )

    def open_uses(self, message: Message) -> list[dict[str, Any]]:
        """The calls of `open_step` that wait for an answer."""
        answered = {m.tool_call_id for m in self.messages if m.turn_id == self.turn_id}
        uses = tool_uses(message)
        return [use for use in uses if use["id"] not in answered and is_open(message, use)]

    async def flush_if_large(self) -> None:
        """Store what waits, if it is so much that one batch might not hold it with more."""
        waiting = self._produced[self._flushed :]
        if sum(len(encode_json(message.to_wire())) for message in waiting) > _FLUSH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Store what waits, or spool it when the store is away for some seconds.

        Raises:
            TurnTakenError: Another program answers this message.
            HubError, ConversationCallError: It could not be stored, nor spooled; it still waits.
        """
        waiting = self._produced[self._flushed :]
        if not waiting:
            return
        try:
            await self._store(waiting)
        except ConversationCallError as error:
            if error.code == "conflict":
                raise TurnTakenError from error
            raise
        self._flushed += len(waiting)

    async def _store(self, waiting: Sequence[Message]) -> None:
        async def append() -> None:
            await self._conversation.append(waiting)

        if self._spool is None:
            await try_for(PATIENCE_SECONDS, append)
            return
        entry = Entry(
            owner=self._owner,
            conversation_id=self._conversation.conversation_id,
            turn_id=self.turn_id,
            messages=list(waiting),
        )
        self.is_stored = await self._spool.store(entry, append)
