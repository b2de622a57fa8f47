"""The verbs of attachments in DynamoDB: bytes in pieces, and a head that says which ones count."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from servers.aws.dynamodb import Attributes, Put, TakenError
from servers.conversations.attachment_chunks import Chunk
from servers.conversations.attachment_pages import to_page
from servers.conversations.checks import check_range
from servers.conversations.contract_attachments import MAX_ATTACHMENTS, MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_results import (
    AttachmentsResult,
    ConversationStats,
    PutAttachmentResult,
    StoredAttachment,
)
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.dynamodb_blobs import Blobs
from servers.conversations.dynamodb_changes import version_of
from servers.conversations.dynamodb_items import make_writer, split_partition
from servers.conversations.dynamodb_plans import Plan
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store import AttachmentPart
from servers.conversations.store_errors import InvalidError, NotFoundError, UnavailableError

_ATTEMPTS = 50
_FREE = "attribute_not_exists(pk)"
_DIGITS = 32
_SMALL_BYTES = 300_000
"""Of neighbours that become one piece: the head names all of them, and must stay small."""


class Piece(NamedTuple):
    """Bytes of an attachment that were put together."""

    name: str
    size: int


class Head(BaseModel):
    """What an attachment is, and how far it has come."""

    model_config = ConfigDict(frozen=True)

    attachment_id: str
    name: str
    mime_type: str
    total_size: int | None
    begun_at: str
    pieces: tuple[Piece, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return sum(piece.size for piece in self.pieces)

    @property
    def is_complete(self) -> bool:
        """Whether it can be read."""
        return self.total_size is None or self.size == self.total_size

    def to_stored(self) -> StoredAttachment:
        """As it is told of."""
        return StoredAttachment(
            attachment_id=self.attachment_id,
            name=self.name,
            mime_type=self.mime_type,
            size=self.size,
        )


async def put(
    writer: Writer, blobs: Blobs, owner: str, conversation_id: str, chunk: Chunk, now: str
) -> PutAttachmentResult:
    """Store what is new of a chunk."""
    attachment_id = chunk.attachment_id or secrets.token_hex(16)
    begun = Head(
        attachment_id=attachment_id,
        name=chunk.name,
        mime_type=chunk.mime_type,
        total_size=chunk.total_size,
        begun_at=now,
    )
    for _ in range(_ATTEMPTS):
        state = await writer.read(owner, conversation_id)
        is_there = state.is_alive(now)
        known = await _find(writer, state, attachment_id) if is_there else None
        overlap = await _check(blobs, state, known or begun, chunk, now)
        fresh = chunk.data[overlap:]
        count = await _count(writer, state) if is_there and known is None else 0
        if known is not None and not fresh:
            return _to_result(conversation_id, known)
        if not is_there:
            state = await writer.change(owner, conversation_id, _begin)
        assert state.header is not None
        head = known or begun
        name = f"{state.header.life:016d}#{_safe(attachment_id)}#{make_writer()}"
        pieces, replaced = head.pieces, None
        if fresh and pieces and pieces[-1].size + len(fresh) <= _SMALL_BYTES:
            pieces, replaced = pieces[:-1], pieces[-1]
            fresh = (
                await blobs.get(state.pk, replaced.name, replaced.size, 0, replaced.size) + fresh
            )
        if fresh:
            await blobs.put(state.pk, name, fresh)
            head = head.model_copy(update={"pieces": (*pieces, Piece(name, len(fresh)))})
        is_put = await _put_head(writer, state, head, known, count)
        useless = replaced if is_put else Piece(name, len(fresh))
        if useless is not None:
            await blobs.remove(state.pk, useless.name, useless.size)
        if is_put and await _is_still_there(writer, state):
            return _to_result(conversation_id, head)
    raise UnavailableError(
        "others write to this attachment all the time: try again", retry_after_seconds=1.0
    )


async def read(
    writer: Writer, blobs: Blobs, state: State, attachment_id: str, offset: int, length: int | None
) -> AttachmentPart:
    """Bytes of a complete attachment of a conversation that exists."""
    head = await _find(writer, state, attachment_id)
    if head is None or not head.is_complete:
        raise NotFoundError("there is no such attachment", field="attachment_id")
    check_range("offset", offset, 0, head.size)
    data = await _read(blobs, state, head, offset, head.size if length is None else length)
    return AttachmentPart(head.name, head.mime_type, head.size, offset, data)


async def list_page(
    writer: Writer, state: State, after: str | None, limit: int
) -> AttachmentsResult:
    """Those that are complete, from behind one on."""
    found: list[StoredAttachment | None] = []
    left = limit + 1
    async for head in _heads(writer, state, after, limit + 1):
        if head is None or head.is_complete:
            found.append(head and head.to_stored())
            left -= head is not None
        if not left:
            break
    return to_page(*split_partition(state.pk), found, limit)


async def measure(writer: Writer, state: State, stats: ConversationStats) -> ConversationStats:
    """The figures with those of complete attachments."""
    heads = [head async for head in _heads(writer, state) if head is not None]
    whole = sorted((head for head in heads if head.is_complete), key=lambda head: head.begun_at)
    return stats.model_copy(
        update={
            "attachments": len(whole),
            "attachment_bytes": sum(head.size for head in whole),
            "latest_attachments": [head.to_stored() for head in whole[-MAX_LISTED_ATTACHMENTS:]],
        }
    )


async def _begin(state: State, now: str) -> Plan | None:
    return None if state.is_alive(now) else Plan("messages")


async def _check(blobs: Blobs, state: State, known: Head, chunk: Chunk, now: str) -> int:
    version = version_of(state, now)
    overlap = chunk.overlap(known, version)
    if overlap:
        chunk.check_same(await _read(blobs, state, known, chunk.offset, overlap), version)
    return overlap


async def _read(blobs: Blobs, state: State, head: Head, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    start, end = 0, min(offset + length, head.size)
    for piece in head.pieces:
        if start < end and start + piece.size > offset:
            first, last = max(offset - start, 0), min(end - start, piece.size)
            parts.append(await blobs.get(state.pk, piece.name, piece.size, first, last))
        start += piece.size
    return b"".join(parts)


async def _find(writer: Writer, state: State, attachment_id: str) -> Head | None:
    assert state.header is not None
    item = await writer.client.get(state.pk, _key(state.header.life, attachment_id))
    return None if item is None else _parse(item)


async def _heads(
    writer: Writer, state: State, after: str | None = None, items: int | None = None
) -> AsyncIterator[Head | None]:
    """Those of a life by their keys, from behind one on, so many at once. None: damaged."""
    assert state.header is not None
    life = state.header.life
    values = {
        ":pk": state.pk,
        ":first": f"F#{life:016d}#" if after is None else _key(life, after),
        ":last": f"F#{life:016d}#~",
    }
    start = None
    while True:
        found, start = await writer.client.query(
            "pk = :pk AND sk BETWEEN :first AND :last", values, limit=items, start=start
        )
        for item in found:
            if after is None or item["sk"] != values[":first"]:
                yield _parse(item)
        if start is None:
            return


async def _count(writer: Writer, state: State) -> int:
    """How many attachments there are, if there may be one more.

    Raises:
        InvalidError: There may not.
    """
    assert state.header is not None
    counter = await writer.client.get(state.pk, _counter_key(state.header.life))
    count = int(counter["v"]) if counter is not None else 0
    if count >= MAX_ATTACHMENTS:
        raise InvalidError(
            f"a conversation has at most {MAX_ATTACHMENTS} attachments: use another one",
            field="attachment_id",
        )
    return count


async def _is_still_there(writer: Writer, state: State) -> bool:
    """Whether the conversation was not deleted meanwhile; else what came after that is removed."""
    now = await writer.read(*split_partition(state.pk))
    if now.header is not None and state.header is not None and now.header.life == state.header.life:
        return True
    await writer.clean_up(now)
    return False


async def _put_head(
    writer: Writer, state: State, head: Head, known: Head | None, count: int
) -> bool:
    """Whether it was put in; else somebody else was faster. `count`: of attachments before it."""
    assert state.header is not None
    item: Attributes = {
        "pk": state.pk,
        "sk": _key(state.header.life, head.attachment_id),
        "e": head.model_dump_json(),
    }
    try:
        if known is None:
            counter = {"pk": state.pk, "sk": _counter_key(state.header.life), "v": count + 1}
            is_first = Put(counter, _FREE)
            grows = Put(counter, "v = :v", {":v": count})
            await writer.client.write_together([Put(item, _FREE), grows if count else is_first])
        else:
            await writer.client.put(item, "e = :e", {":e": known.model_dump_json()})
    except TakenError as taken:
        return taken.item is not None and taken.item.get("e") == item["e"]
    return True


def _parse(item: Attributes) -> Head | None:
    try:
        return Head.model_validate_json(str(item.get("e")))
    except ValidationError:
        return None


def _key(life: int, attachment_id: str) -> str:
    return f"F#{life:016d}#{_safe(attachment_id)}"


def _counter_key(life: int) -> str:
    return f"N#{life:016d}"


def _safe(attachment_id: str) -> str:
    """As part of a key, which has 1,024 bytes."""
    return hashlib.sha256(attachment_id.encode()).hexdigest()[:_DIGITS]


def _to_result(conversation_id: str, head: Head) -> PutAttachmentResult:
    return PutAttachmentResult(
        attachment_id=head.attachment_id,
        uri=AttachmentUri(conversation_id, head.attachment_id).render(),
        size=head.size,
        complete=head.is_complete,
    )
