"""Sends what waits for one conversation, in order; what can't be stored is set aside and told."""

from collections.abc import Callable

from anyio.to_thread import run_sync

from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.hub.errors import HubError
from client.spool.folder import WHY, Entry, Reason, SpoolFolder
from client.store_absence import STORE_SECONDS, is_passing

Tell = Callable[[str], None]


async def send_waiting(
    hub: ToolCaller, folder: SpoolFolder, key: str, tell: Tell
) -> frozenset[str]:
    """Store what waits; gives the turns that another program has answered.

    Raises:
        HubError, ConversationCallError: The store is away; what it has not got still waits.
    """
    sending = _Sending(hub)
    stored = 0
    for path, entry in await run_sync(lambda: list(folder.read(key))):
        why = await sending.send(entry) if entry else "damaged"
        if why is None:
            await run_sync(folder.remove, path)
            stored += len(entry.messages) if entry else 0
            continue
        aside = await run_sync(folder.set_aside, path, why)
        name = repr(entry.conversation_id) if entry else "a conversation"
        tell(f"What waited for the store in {name} was not stored: {WHY[why]}. It is in {aside}")
    if sending.came_later:
        tell(
            f"What waited for the store in {sending.came_later!r} is stored now, after messages "
            "that came there meanwhile."
        )
    elif stored:
        messages = "1 message" if stored == 1 else f"{stored} messages"
        tell(f"What waited for the store is stored now: {messages}.")
    return frozenset(turn for turn, why in sending.lost.items() if why == "taken")


class _Sending:
    """What is known while the entries of one conversation are sent."""

    def __init__(self, hub: ToolCaller) -> None:
        self._hub = hub
        self._known: set[str] = set()
        """Turns whose user message is stored."""
        self.lost: dict[str, Reason] = {}
        """Turns of which something can't be stored: then nothing of what follows it is."""
        self.came_later: str | None = None
        """The conversation, if somebody went on with it."""

    async def send(self, entry: Entry) -> Reason | None:
        """Store it; None: done, or there is nothing to do."""
        is_of_question = entry.message_id == entry.turn_id
        if entry.turn_id in self.lost and not is_of_question:
            return self.lost[entry.turn_id]
        store = RemoteConversationStore(self._hub, entry.owner, timeout_seconds=STORE_SECONDS)
        try:
            if entry.messages:
                await self._append(store, entry)
            elif entry.message_id is not None:
                await store.annotate_message(
                    entry.conversation_id, entry.message_id, entry.annotations
                )
        except (HubError, ConversationCallError) as error:
            if is_passing(error):
                raise
            why = _to_reason(error)
            if not entry.messages and why == "gone":
                return None  # what it was about was deleted
            self.lost.setdefault(entry.turn_id, why)
            return why
        return None

    async def _append(self, store: RemoteConversationStore, entry: Entry) -> None:
        """Append, if the message that is answered is there: a deleted one must not come back."""
        if entry.turn_id not in self._known:
            page = await store.load_conversation(entry.conversation_id, limit=1)
            if not any(message.turn_id == entry.turn_id for message in page.messages):
                await store.annotate_message(entry.conversation_id, entry.turn_id, {})
                self.came_later = entry.conversation_id
            self._known.add(entry.turn_id)
        await store.append_messages(entry.conversation_id, entry.messages)


def _to_reason(error: HubError | ConversationCallError) -> Reason:
    match error:
        case ConversationCallError(code="conflict"):
            return "taken"
        case ConversationCallError(code="not_found"):
            return "gone"
        case _:
            return "refused"
