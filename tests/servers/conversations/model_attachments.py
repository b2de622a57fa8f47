"""Attachments in the model."""

from servers.conversations.attachment_chunks import Chunk
from servers.conversations.contract_attachments import MAX_ATTACHMENTS
from servers.conversations.contract_results import StoredAttachment
from servers.conversations.store_errors import InvalidError
from tests.servers.conversations.model_conversation import Attachment, Held


def to_stored(attachment_id: str, attachment: Attachment) -> StoredAttachment:
    """As it is told of."""
    return StoredAttachment(
        attachment_id=attachment_id,
        name=attachment.name,
        mime_type=attachment.mime_type,
        size=len(attachment.data),
    )


def put_chunk(held: Held, attachment_id: str, chunk: Chunk) -> Attachment:
    """The attachment with the chunk."""
    known = held.attachments.get(attachment_id) if held.lives else None
    attachment = known or Attachment(chunk.name, chunk.mime_type, chunk.total_size)
    for name in ("name", "mime_type", "total_size"):
        if getattr(attachment, name) != getattr(chunk, name):
            raise held.conflict("begun with another one", name)
    stored, start = attachment.data, chunk.offset
    if start > len(stored):
        raise InvalidError(f"{len(stored)} bytes are stored", field="offset")
    overlap = stored[start : start + len(chunk.data)]
    if chunk.data[: len(overlap)] != overlap:
        raise held.conflict("other bytes are stored there", "data")
    if known is None and held.lives and len(held.attachments) >= MAX_ATTACHMENTS:
        raise InvalidError(f"at most {MAX_ATTACHMENTS} attachments", field="attachment_id")
    data = stored + chunk.data[len(overlap) :]
    return Attachment(attachment.name, attachment.mime_type, attachment.total_size, data)
