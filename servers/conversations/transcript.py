"""The newest messages of a conversation as text for people and models."""

from servers.conversations.contract import MAX_LOAD_LIMIT, Message
from servers.conversations.contract_results import ConversationWithStats
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import StaleCursorError, UnavailableError
from servers.conversations.transcript_text import (
    json_size,
    render_damage,
    render_end,
    render_head,
    render_message,
)

MAX_TRANSCRIPT_BYTES = 512 * 1024

_COUNTS_BYTES = 128
"""For what the head says of numbers and of what was left out."""
_ATTEMPTS = 3
"""A rewrite makes the cursor stale between one page and the next."""


async def render_transcript(
    store: ConversationStore,
    owner: str,
    conversation_id: str,
    *,
    max_bytes: int = MAX_TRANSCRIPT_BYTES,
) -> str:
    """The newest messages as Markdown, at most `max_bytes` of UTF-8, saying what was left out.

    Raises:
        NotFoundError: No such conversation.
        UnavailableError: It was rewritten each time it was read.
    """
    for _ in range(_ATTEMPTS):
        conversation = await store.get_conversation(owner, conversation_id)
        head = render_head(conversation, _render_extent(conversation, _Newest(0)))
        newest = _Newest(max_bytes - len(head.encode()) - _COUNTS_BYTES)
        if await _read(store, owner, conversation_id, newest):
            head = render_head(conversation, _render_extent(conversation, newest))
            return "".join([head, *reversed(newest.rendered)])
    raise UnavailableError("the conversation was rewritten while it was read: read it again")


class _Newest:
    """The newest messages, rendered, newest first: as many as there is room for."""

    def __init__(self, room: int) -> None:
        self.rendered: list[str] = []
        self.damaged = 0
        self.is_all = True
        self._room = room
        # As JSON, in which a quote takes twice its size: clients refuse what is larger than 1 MiB.
        self._json_room = room * 3 // 2

    def take(self, message: Message) -> bool:
        """Take an older message in; False if there is no room for it. The newest is cut to fit."""
        rendered = render_message(message)
        if not self.rendered and not self._fits(rendered):
            rendered = render_end(message, self._room)
            if not self._fits(rendered):
                rendered = render_end(message, self._json_room // 2)
        if not self._fits(rendered):
            self.is_all = False
            return False
        self._room -= len(rendered.encode())
        self._json_room -= json_size(rendered)
        self.rendered.append(rendered)
        return True

    def _fits(self, rendered: str) -> bool:
        return len(rendered.encode()) <= self._room and json_size(rendered) <= self._json_room


async def _read(
    store: ConversationStore, owner: str, conversation_id: str, newest: _Newest
) -> bool:
    """Fill `newest`; False if the conversation was rewritten or deleted meanwhile."""
    before: str | None = None
    while True:  # each page is older than the one before it
        try:
            page = await store.load_conversation(
                owner, conversation_id, limit=MAX_LOAD_LIMIT, before=before
            )
        except StaleCursorError:
            return False
        if page.version == 0:
            return False
        newest.damaged += page.damaged
        before = page.next_cursor
        if not all(map(newest.take, reversed(page.messages))) or before is None:
            return True


def _render_extent(conversation: ConversationWithStats, newest: _Newest) -> str:
    shown = len(newest.rendered)
    # The count was read before the messages were: some may have been appended since.
    count = max(conversation.message_count, shown)
    extent = f"{shown} of {count} message{'' if count == 1 else 's'}, oldest first."
    if not newest.is_all:
        extent += " Older ones are left out."
    if newest.damaged:
        extent += f" {render_damage(newest.damaged)}"
    return extent
