"""The verbs of attachments, on an opened conversation: what may be put, and what is read."""

import secrets

from servers.conversations.attachment_chunks import Chunk
from servers.conversations.attachment_pages import to_page
from servers.conversations.checks import check_range
from servers.conversations.contract_attachments import MAX_ATTACHMENTS
from servers.conversations.contract_results import AttachmentsResult, PutAttachmentResult
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.file_attachment_facts import AttachmentFacts, DamagedError
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_reader import ConversationReader
from servers.conversations.store_errors import InvalidError, NotFoundError, UnavailableError
from servers.conversations.store_values import AttachmentPart


def put(opened: ConversationFile, chunk: Chunk) -> PutAttachmentResult:
    """Store what is new of a chunk."""
    begun = _begin(chunk, opened.now)
    try:
        known = _find(opened, chunk.attachment_id)
        overlap = _check_overlap(opened, known or begun, chunk)
    except DamagedError:  # to put it again mends it
        known, overlap = None, _check_overlap(opened, begun, chunk)
    fresh = chunk.data[overlap:]
    if known is None and opened.exists and opened.attachments.count() >= MAX_ATTACHMENTS:
        raise InvalidError(
            f"a conversation has at most {MAX_ATTACHMENTS} attachments: use another one",
            field="attachment_id",
        )
    facts = known or begun
    if known is None or fresh:
        opened.use()  # first: to repeat what is stored writes nothing
        facts = opened.attachments.write(facts, fresh)
    return PutAttachmentResult(
        attachment_id=facts.attachment_id,
        uri=AttachmentUri(opened.conversation_id, facts.attachment_id).render(),
        size=facts.size,
        complete=facts.is_complete,
    )


def list_page(
    opened: ConversationReader, owner: str, after: str | None, limit: int
) -> AttachmentsResult:
    """Those that are complete, from behind one on."""
    opened.require()
    found = opened.attachments.list_after(after, limit + 1)
    return to_page(owner, opened.conversation_id, found, limit)


def read(
    opened: ConversationReader, attachment_id: str, offset: int, length: int | None
) -> AttachmentPart:
    """Bytes of a complete attachment."""
    try:
        facts = _find(opened, attachment_id)
        if facts is None or not facts.is_complete:
            raise NotFoundError("there is no such attachment", field="attachment_id")
        check_range("offset", offset, 0, facts.size)
        wanted = facts.size if length is None else length
        data = opened.attachments.read(facts, offset, wanted)
    except DamagedError:
        raise UnavailableError(
            f"the files of the attachment {attachment_id!r} are damaged: put it again, or restore "
            "them from a back-up"
        ) from None
    return AttachmentPart(facts.name, facts.mime_type, facts.size, offset, data)


def _find(opened: ConversationReader, attachment_id: str | None) -> AttachmentFacts | None:
    if attachment_id is None or not opened.exists:
        return None
    return opened.attachments.find(attachment_id)


def _check_overlap(opened: ConversationReader, known: AttachmentFacts, chunk: Chunk) -> int:
    """How many of the chunk's bytes are stored already."""
    overlap = chunk.overlap(known, opened.version)
    if overlap:
        chunk.check_same(opened.attachments.read(known, chunk.offset, overlap), opened.version)
    return overlap


def _begin(chunk: Chunk, now: str) -> AttachmentFacts:
    """The facts of a new attachment, before any of its bytes."""
    return AttachmentFacts(
        attachment_id=chunk.attachment_id or secrets.token_hex(16),
        name=chunk.name,
        mime_type=chunk.mime_type,
        total_size=chunk.total_size,
        created_at=now,
    )
