"""The verbs of attachments in DynamoDB: bytes in pieces, and a head that says which ones count."""

import secrets

from servers.conversations.attachment_chunks import Chunk
from servers.conversations.attachment_pages import to_page
from servers.conversations.checks import check_range
from servers.conversations.contract_attachments import MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_results import (
    AttachmentsResult,
    ConversationStats,
    PutAttachmentResult,
    StoredAttachment,
)
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.dynamodb_changes import version_of
from servers.conversations.dynamodb_heads import (
    Head,
    Piece,
    find_counter,
    find_head,
    find_heads,
    to_digits,
)
from servers.conversations.dynamodb_items import make_writer, split_partition
from servers.conversations.dynamodb_places import Places
from servers.conversations.dynamodb_plans import Plan
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import NotFoundError, UnavailableError
from servers.conversations.store_values import AttachmentPart

_ATTEMPTS = 50
_SMALL_BYTES = 300_000
"""Of neighbours that become one piece: the head names all of them, and must stay small."""


async def put(
    writer: Writer, places: Places, owner: str, conversation_id: str, chunk: Chunk, now: str
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
        known = await find_head(writer, state, attachment_id) if is_there else None
        overlap = await _check(places, state, known or begun, chunk, now)
        fresh = chunk.data[overlap:]
        if known is not None and not fresh:
            return _to_result(conversation_id, known)
        if not is_there:
            state = await writer.change(owner, conversation_id, _begin)
        head = await _grow(writer, places, state, known, begun, fresh)
        if head is not None and await _is_still_there(writer, state):
            return _to_result(conversation_id, head)
    raise UnavailableError(
        "others write to this attachment all the time: try again", retry_after_seconds=1.0
    )


async def read(
    writer: Writer,
    places: Places,
    state: State,
    attachment_id: str,
    offset: int,
    length: int | None,
) -> AttachmentPart:
    """Bytes of a complete attachment of a conversation that exists."""
    head = await find_head(writer, state, attachment_id)
    if head is None or not head.is_complete:
        raise NotFoundError("there is no such attachment", field="attachment_id")
    check_range("offset", offset, 0, head.size)
    data = await _read(places, state, head, offset, head.size if length is None else length)
    return AttachmentPart(head.name, head.mime_type, head.size, offset, data)


async def list_page(
    writer: Writer, state: State, after: str | None, limit: int
) -> AttachmentsResult:
    """Those that are complete, from behind one on."""
    found: list[StoredAttachment | None] = []
    left = limit + 1
    async for head in find_heads(writer, state, after, limit + 1):
        if head is None or head.is_complete:
            found.append(head and head.to_stored())
            left -= head is not None
        if not left:
            break
    return to_page(*split_partition(state.pk), found, limit)


async def measure(writer: Writer, state: State, stats: ConversationStats) -> ConversationStats:
    """The figures with those of complete attachments."""
    heads = [head async for head in find_heads(writer, state) if head is not None]
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


async def _check(places: Places, state: State, known: Head, chunk: Chunk, now: str) -> int:
    version = version_of(state, now)
    overlap = chunk.overlap(known, version)
    if overlap:
        chunk.check_same(await _read(places, state, known, chunk.offset, overlap), version)
    return overlap


async def _read(places: Places, state: State, head: Head, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    start, end = 0, min(offset + length, head.size)
    for number, piece in enumerate(head.pieces):
        if start < end and start + piece.size > offset:
            first, last = max(offset - start, 0), min(end - start, piece.size)
            place = head.place_of(number)
            parts.append(await places.get(place, state.pk, *piece, first, last))
        start += piece.size
    return b"".join(parts)


async def _grow(
    writer: Writer,
    places: Places,
    state: State,
    known: Head | None,
    begun: Head,
    fresh: bytes,
) -> Head | None:
    """The head with `fresh` bytes, which were put in; None: somebody else was faster."""
    counter = None
    if known is None or (places.current and places.current not in known.places):
        counter = await find_counter(writer, state)
        if known is None:
            counter.check_room()
        counter = await counter.name_bucket(writer, places.current)
        if counter is None:
            return None
    head = known or begun
    name = f"{state.life:016d}#{to_digits(head.attachment_id)}#{make_writer()}"
    useless: tuple[str | None, Piece] | None = None
    if fresh and head.pieces and head.pieces[-1].size + len(fresh) <= _SMALL_BYTES:
        last = head.pieces[-1]
        useless = head.place_of(-1), last
        fresh = await places.get(useless[0], state.pk, *last, 0, last.size) + fresh
    if fresh:
        await places.put(state.pk, name, fresh)
        piece = Piece(name, len(fresh))
        head = head.grown(piece, places.current, instead_of_last=useless is not None)
    if known is not None:
        is_put = await head.replace(writer, state, known)
    else:
        assert counter is not None
        is_put = await head.begin(writer, state, counter)
    if not is_put:
        useless = places.current, Piece(name, len(fresh))
    if useless is not None:
        await places.remove(useless[0], state.pk, *useless[1])
    return head if is_put else None


async def _is_still_there(writer: Writer, state: State) -> bool:
    """Whether the conversation was not deleted meanwhile; else what came after that is removed."""
    now = await writer.read(*split_partition(state.pk))
    if now.header is not None and state.header is not None and now.header.life == state.header.life:
        return True
    await writer.clean_up(now)
    return False


def _to_result(conversation_id: str, head: Head) -> PutAttachmentResult:
    return PutAttachmentResult(
        attachment_id=head.attachment_id,
        uri=AttachmentUri(conversation_id, head.attachment_id).render(),
        size=head.size,
        complete=head.is_complete,
    )
