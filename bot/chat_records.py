"""What is kept of each chat: the metadata of its first conversation, `telegram:<chat>`.

So it is there after a restart and on any machine, whichever conversation the chat has come to.
"""

from collections.abc import Mapping

from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller


class ChatRecords:
    """Read once, and merged by key.

    Methods raise `HubError` and `ConversationCallError` when the store can't say, and may be
    called again.
    """

    def __init__(self, hub: ToolCaller) -> None:
        self._hub = hub
        self._records: dict[tuple[str, int], Mapping[str, object]] = {}
        """By owner and chat; as many as there are people who may talk."""

    async def load(self, owner: str, chat_id: int) -> Mapping[str, object]:
        """All of it."""
        if (owner, chat_id) not in self._records:
            store = RemoteConversationStore(self._hub, owner)
            try:
                conversation = await store.get_conversation(first_conversation(chat_id))
                found: Mapping[str, object] = conversation.metadata
            except ConversationCallError as error:
                if error.code != "not_found":
                    raise
                found = {}
            self._records[owner, chat_id] = found
        return self._records[owner, chat_id]

    async def merge(
        self, owner: str, chat_id: int, facts: Mapping[str, object], *, may_create: bool = True
    ) -> bool:
        """Keep these; None removes. Where there is no conversation an empty one is made.

        False: there is none, and it may not be made.
        """
        store = RemoteConversationStore(self._hub, owner)
        all_there_is = {**await self.load(owner, chat_id), **facts}
        merged = {name: value for name, value in all_there_is.items() if value is not None}
        try:
            await store.update_conversation(first_conversation(chat_id), metadata=dict(facts))
        except ConversationCallError as error:
            if error.code != "not_found":
                raise
            if not may_create:
                return False
            await store.create_empty(first_conversation(chat_id), metadata=merged)
        self._records[owner, chat_id] = merged
        return True


def first_conversation(chat_id: int) -> str:
    """The id of the conversation that a chat begins with."""
    return f"telegram:{chat_id}"
