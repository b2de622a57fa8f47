"""A chunk of an attachment as it is put: can it be one, and does it fit what is there."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

from servers.conversations.checks import check_range, checked
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_CHUNK_BYTES,
    check_attachment_id,
    check_attachment_name,
    parse_mime_type,
)
from servers.conversations.store_errors import ConflictError, InvalidError, TooLargeError


class Begun(Protocol):
    """An attachment as far as it has come."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as in the contract
    @property
    def mime_type(self) -> str: ...  # noqa: D102
    @property
    def total_size(self) -> int | None: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102


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

    def overlap(self, known: Begun, version: int) -> int:
        """How many of its bytes are stored already, if it fits what is `known`.

        Raises:
            ConflictError: It was begun as something else.
            InvalidError: There would be a gap before it.
        """
        for field in ("name", "mime_type", "total_size"):
            if getattr(self, field) != getattr(known, field):
                raise ConflictError(
                    f"this attachment was begun with another {field}, {getattr(known, field)!r}: "
                    "give the same with each chunk, or another attachment_id",
                    field=field,
                    current_version=version,
                )
        if self.offset > known.size:
            raise InvalidError(
                f"{known.size} bytes of this attachment are stored, so the next chunk has the "
                f"offset {known.size}, not {self.offset}",
                field="offset",
            )
        return min(known.size, self.end) - self.offset

    def check_same(self, stored: bytes, version: int) -> None:
        """Raise `ConflictError` if what is stored at its offset is something else."""
        if stored != self.data[: len(stored)]:
            raise ConflictError(
                f"other bytes of this attachment are stored at {self.offset}: give new content "
                "another attachment_id",
                field="data",
                current_version=version,
            )
