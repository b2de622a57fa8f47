"""A conversation as text for people and models, in which nobody's words can pass for another's.

Every line of what was said is indented by four spaces, which Markdown shows as it is: no markup, no
HTML, no fence in it means anything. Headings stand at the margin, where no content ever does. Control
characters, line separators and direction overrides are replaced.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from servers.conversations.contract import (
    MAX_LOAD_LIMIT,
    ConversationWithStats,
    Message,
)
from servers.conversations.store import ConversationStore

MAX_TRANSCRIPT_BYTES = 512 * 1024

_INDENT = "    "
_NOT_SHOWN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
"""All controls but tab and line feed, separators some renderers break lines at, and overrides that
show text in another order than it has."""


async def render_transcript(
    store: ConversationStore,
    owner: str,
    conversation_id: str,
    *,
    max_bytes: int = MAX_TRANSCRIPT_BYTES,
) -> str:
    """The newest messages as Markdown of at most `max_bytes` bytes of UTF-8; says what it leaves out.

    Raises:
        NotFoundError: No such conversation.
    """
    conversation = await store.get_conversation(owner, conversation_id)
    room = max_bytes - len(
        _render_head(conversation, conversation.message_count, cut=True).encode()
    )
    newest_first: list[str] = []
    cut = False
    async for message in _newest_first(store, owner, conversation_id):
        rendered = _render_message(message)
        size = len(rendered.encode())
        if size > room:
            cut = not newest_first
            if cut:
                newest_first.append(_keep_end(rendered, room))
            break
        newest_first.append(rendered)
        room -= size
    head = _render_head(conversation, len(newest_first), cut=cut)
    return "".join([head, *reversed(newest_first)])
