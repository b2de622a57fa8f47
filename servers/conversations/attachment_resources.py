"""Attachments as MCP resources: whole by their plain URI, or in parts of at most 512 KiB."""

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


async def read_attachment(
    store: ConversationStore, owner: str, named: AttachmentUri, uri: str
) -> BlobResourceContents:
    """What `uri` names of an attachment.

    Raises:
        ConversationError: As the store's verb.
    """
    length = named.length
    if length is None and named.offset is not None:
        length = MAX_PART_BYTES
    if length is not None:
        check_range("length", length, 1, MAX_PART_BYTES)
    part = await store.read_attachment(
        owner,
        named.conversation_id,
        named.attachment_id,
        offset=named.offset or 0,
        length=length,
    )
    return BlobResourceContents(
        uri=uri,
        mime_type=part.mime_type,
        blob=await to_thread.run_sync(encode_chunk, part.data),
        _meta={SIZE_META_KEY: part.size, OFFSET_META_KEY: part.offset, NAME_META_KEY: part.name},
    )
