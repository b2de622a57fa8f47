"""Attachments as MCP resources: whole by their plain URI, or in parts of at most 512 KiB."""

from collections.abc import Awaitable, Callable

import anyio
from anyio import to_thread
from mcp_types import BlobResourceContents, ResourceTemplate

from servers.conversations.checks import check_range
from servers.conversations.contract import RESOURCE_SCHEME
from servers.conversations.contract_attachments import (
    MAX_PART_BYTES,
    NAME_META_KEY,
    OFFSET_META_KEY,
    SIZE_META_KEY,
    encode_chunk,
)
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import ConversationError
from servers.conversations.store_values import AttachmentPart
from servers.http_answers import held_until_answered

_PATIENCE_SECONDS = 10.0
_READING_SECONDS = 60.0
"""For 27 MB: who is slower reads in parts, and doesn't keep others from theirs."""
_WHOLE = f"{RESOURCE_SCHEME}{{conversation_id}}/attachments/{{attachment_id}}"
TEMPLATES = (
    ResourceTemplate(
        name="attachment",
        title="Attachment",
        uri_template=_WHOLE,
        description="An attachment of a conversation, whole, as base64 with its own MIME type; "
        f'_meta["{SIZE_META_KEY}"] says how many bytes it has. Both ids are percent-encoded. '
        "Clients that take at most 1 MiB at once read a larger one in parts.",
    ),
    ResourceTemplate(
        name="attachment_part",
        title="Part of an attachment",
        uri_template=_WHOLE + "{?offset,length}",
        description=f"At most {MAX_PART_BYTES // 1024} KiB of an attachment from a byte on; "
        f'_meta["{SIZE_META_KEY}"] says how many bytes the whole has, '
        f'_meta["{OFFSET_META_KEY}"] where this part begins.',
    ),
)


class WholeReads:
    """Lets one large attachment be read whole at a time: it takes 100 MB until it is sent."""

    def __init__(self) -> None:
        self._free = anyio.Semaphore(1)

    async def begin(self, request: object) -> None:
        """Wait for a turn, which lasts until `request` is answered.

        Raises:
            ConversationError: None came in time.
        """
        with anyio.move_on_after(_PATIENCE_SECONDS):
            await self._free.acquire()
            held = held_until_answered(request, _READING_SECONDS)
            if held is None:  # stdio: one client, one answer after the other
                self._free.release()
            else:
                held.callback(self._free.release)
            return
        raise ConversationError(
            "another large attachment is being read whole: try again, or read it in parts, "
            f"with ?offset=0&length={MAX_PART_BYTES} behind its URI and so on",
            retry_after_seconds=_PATIENCE_SECONDS,
        )


async def read_attachment(
    store: ConversationStore,
    owner: str,
    named: AttachmentUri,
    uri: str,
    begin_whole: Callable[[], Awaitable[None]],
) -> BlobResourceContents:
    """What `uri` names of an attachment; `begin_whole` is waited for where that is large.

    Raises:
        ConversationError: As the store's verb.
    """
    length = named.length
    if length is not None:
        check_range("length", length, 1, MAX_PART_BYTES)

    async def read(length: int | None) -> AttachmentPart:
        return await store.read_attachment(
            owner,
            named.conversation_id,
            named.attachment_id,
            offset=named.offset or 0,
            length=length,
        )

    part = await read(length or MAX_PART_BYTES)
    if (length, named.offset) == (None, None) and len(part.data) < part.size:
        await begin_whole()
        part = await read(None)
    return BlobResourceContents(
        uri=uri,
        mime_type=part.mime_type,
        blob=await to_thread.run_sync(encode_chunk, part.data),
        _meta={SIZE_META_KEY: part.size, OFFSET_META_KEY: part.offset, NAME_META_KEY: part.name},
    )
