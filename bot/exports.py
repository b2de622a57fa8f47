"""A conversation as one file, sent into a chat."""

import json
from typing import Any, Literal

from bot import wording
from bot.post import Post
from client.conversations import RemoteConversationStore

ExportForm = Literal["markdown", "json"]
_MAX_BYTES = 20_000_000


async def send_export(
    post: Post,
    chat_id: int,
    store: RemoteConversationStore,
    conversation_id: str,
    form: ExportForm = "markdown",
) -> None:
    """Send the whole document; one that is too large is told of.

    Raises:
        HubError, ConversationCallError: It can't be read, or was rewritten meanwhile.
    """
    document = await export_whole(store, conversation_id, form, max_bytes=_MAX_BYTES)
    if document is None:
        await post.say(chat_id, wording.EXPORT_TOO_LARGE)
        return
    ending = "md" if form == "markdown" else "json"
    await post.send_file(chat_id, f"conversation.{ending}", document)


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
