"""A conversation as one file."""

import json
from typing import Any, Literal

from client.conversations import RemoteConversationStore

ExportForm = Literal["markdown", "json"]


async def export_whole(
    store: RemoteConversationStore, conversation_id: str, form: ExportForm, *, max_bytes: int
) -> bytes | None:
    """The whole document, None if it is larger.

    Raises:
        HubError, ConversationCallError: It can't be read, or was rewritten meanwhile.
    """
    pages: list[bytes] = []
    head: dict[str, Any] = {}
    messages: list[Any] = []
    size, cursor = 0, None
    while True:
        page = await store.export_conversation(conversation_id, format=form, cursor=cursor)
        if isinstance(page.document, str):
            pages.append(page.document.encode())
            size += len(pages[-1])
        else:
            head = {name: value for name, value in page.document.items() if name != "messages"}
            messages += page.document["messages"]
            size += len(json.dumps(page.document["messages"]))
        if size > max_bytes:
            return None
        cursor = page.next_cursor
        if cursor is None:
            break
    if form == "markdown":
        return b"".join(pages)
    return json.dumps({**head, "messages": messages}, ensure_ascii=False, indent=1).encode()
