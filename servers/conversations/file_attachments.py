"""The verbs of attachments, on an opened conversation: what may be put, and what is read."""

import secrets
from dataclasses import dataclass, replace
from typing import Self

from servers.conversations.checks import check_range, checked
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_ATTACHMENTS,
    MAX_CHUNK_BYTES,
    check_attachment_id,
    check_attachment_name,
    parse_mime_type,
)
from servers.conversations.contract_results import PutAttachmentResult
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.file_attachment_facts import AttachmentFacts, DamagedError
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_reader import ConversationReader
from servers.conversations.store import AttachmentPart
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of an attachment, as they are put."""

    data: bytes
    name: str
    mime_type: str
    attachment_id: str | None
    offset: int
    total_size: int | None

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)

    def checked(self) -> Self:
        """The same with its type as it is stored, if it can be a chunk of any attachment.

        Raises:
            InvalidError: It can't.
        """
        checked("name", check_attachment_name, self.name)
        mime_type = checked("mime_type", parse_mime_type, self.mime_type)
        if self.attachment_id is not None:
            checked("attachment_id", check_attachment_id, self.attachment_id)
        check_range("offset", self.offset, 0, MAX_ATTACHMENT_BYTES)
        if len(self.data) > MAX_CHUNK_BYTES:
            raise TooLargeError(
                f"a chunk has at most {MAX_CHUNK_BYTES} bytes, this one has {len(self.data)}",
                field="data",
            )
        largest, field = (
            (self.end, "data") if self.total_size is None else (self.total_size, "total_size")
        )
        if largest > MAX_ATTACHMENT_BYTES:
            raise TooLargeError(
                f"an attachment has at most {MAX_ATTACHMENT_BYTES} bytes, this would have "
                f"{largest}",
                field=field,
            )
        if self.total_size is not None and self.end > self.total_size:
            raise InvalidError(
                f"the chunk ends at {self.end}, beyond the total_size {self.total_size}",
                field="total_size",
            )
        return replace(self, mime_type=mime_type)

    def begin(self, now: str) -> AttachmentFacts:
        """The facts of a new attachment, before any of its bytes."""
        return AttachmentFacts(
            attachment_id=self.attachment_id or secrets.token_hex(16),
            name=self.name,
            mime_type=self.mime_type,
            total_size=self.total_size,
            created_at=now,
        )


def put(opened: ConversationFile, chunk: Chunk) -> PutAttachmentResult:
    """Store what is new of a chunk."""
    begun = chunk.begin(opened.now)
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
        if not opened.exists:
            opened.append([])
        facts = opened.attachments.write(facts, fresh)
    return PutAttachmentResult(
        attachment_id=facts.attachment_id,
        uri=AttachmentUri(opened.conversation_id, facts.attachment_id).render(),
        size=facts.size,
        complete=facts.is_complete,
    )


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
    for field in ("name", "mime_type", "total_size"):
        if getattr(chunk, field) != getattr(known, field):
            raise ConflictError(
                f"this attachment was begun with another {field}, {getattr(known, field)!r}: give "
                "the same with each chunk, or another attachment_id",
                field=field,
                current_version=opened.version,
            )
    if chunk.offset > known.size:
        raise InvalidError(
            f"{known.size} bytes of this attachment are stored, so the next chunk has the offset "
            f"{known.size}, not {chunk.offset}",
            field="offset",
        )
    overlap = min(known.size, chunk.end) - chunk.offset
    if overlap:
        stored = opened.attachments.read(known, chunk.offset, overlap)
        if stored != chunk.data[:overlap]:
            raise ConflictError(
                f"other bytes of this attachment are stored at {chunk.offset}: give new content "
                "another attachment_id",
                field="data",
                current_version=opened.version,
            )
    return overlap
