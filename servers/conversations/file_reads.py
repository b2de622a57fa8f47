"""The verbs that read: one conversation on its opened file, and listings from the catalogue."""

from collections.abc import Sequence
from typing import cast

from servers.conversations.contract_attachments import MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_results import (
    ConversationStats,
    ConversationWithStats,
    DeliveriesResult,
    ListResult,
    LoadResult,
    OwnersResult,
)
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.file_catalogue import Catalogue
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_pages import PageEnd
from servers.conversations.file_reader import ConversationReader
from servers.conversations.page_sizes import fit
from servers.conversations.store_errors import StaleCursorError

_OWNERS = ("owners",)


def load(
    opened: ConversationReader, catalogue: Catalogue, *, limit: int | None, before: str | None
) -> LoadResult:
    """A page of messages, or all."""
    scope = ("messages", opened.key)
    place, annotated_later = None, None
    if before is not None:
        place = _read_place(opened, scope, before)
        annotated_later = catalogue.find_annotations(opened, before_seq=place.seq, limit=limit)
    page = opened.read_page(limit, place, annotated_later)
    older = page.older
    return LoadResult.model_construct(  # the messages were checked when they were stored
        conversation_id=opened.conversation_id,
        messages=page.messages,
        next_cursor=older and make_cursor(scope, (opened.generation, older.offset, older.seq)),
        version=opened.version,
        damaged=page.damaged,
    )


def get(opened: ConversationReader, catalogue: Catalogue) -> ConversationWithStats:
    """The conversation's facts and figures."""
    opened.require()
    figures, progress = catalogue.find_figures(opened), opened.progress
    attachments, attachment_bytes = opened.attachments.measure()
    stats = ConversationStats(
        messages_by_role=figures.by_role(),
        bytes=figures.bytes,
        first_message_at=figures.first_at,
        last_message_at=figures.last_at,
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
        attachments=attachments,
        attachment_bytes=attachment_bytes,
        latest_attachments=opened.attachments.latest(MAX_LISTED_ATTACHMENTS),
    )
    conversation = to_conversation(
        opened.facts, progress.version, progress.message_count, progress.updated
    )
    return ConversationWithStats(**conversation.model_dump(), stats=stats)


def list_newest(
    catalogue: Catalogue,
    owner: str,
    *,
    limit: int,
    offset: int,
    cursor: str | None,
    tag: str | None,
) -> ListResult:
    """A page of an owner's conversations."""
    scope = ("conversations", owner) if tag is None else ("conversations", owner, tag)
    after = None
    if cursor is not None:
        after = cast("tuple[str, str]", tuple(read_cursor(cursor, "cursor", scope, (str, str))))
    found = catalogue.select_newest(owner, tag=tag, after=after, offset=offset, limit=limit + 1)
    fitting = fit(found, limit)
    last = fitting[-1] if len(fitting) < len(found) else None
    return ListResult(
        conversations=fitting,
        next_cursor=last and make_cursor(scope, (last.last_updated, last.conversation_id)),
    )


def list_deliveries(
    catalogue: Catalogue, state: str, *, owner: str | None, limit: int, cursor: str | None
) -> DeliveriesResult:
    """A page of messages by delivery state."""
    scope = ("deliveries", state) if owner is None else ("deliveries", state, owner)
    after = None
    if cursor is not None:
        place = read_cursor(cursor, "cursor", scope, (str, str, int))
        after = cast("tuple[str, str, int]", tuple(place))
    found = catalogue.select_deliveries(state, owner=owner, after=after, limit=limit + 1)
    fitting = fit([delivery for delivery, _ in found], limit)
    more = len(fitting) < len(found)
    return DeliveriesResult(
        deliveries=fitting,
        next_cursor=make_cursor(scope, found[len(fitting) - 1][1]) if more else None,
    )


def list_owners(catalogue: Catalogue, *, limit: int, cursor: str | None) -> OwnersResult:
    """A page of owners, by their bytes."""
    after = ""
    if cursor is not None:
        [after] = cast("list[str]", read_cursor(cursor, "cursor", _OWNERS, (str,)))
    found = catalogue.select_owners(after=after, limit=limit + 1)
    page = found[:limit]
    return OwnersResult(
        owners=page,
        next_cursor=make_cursor(_OWNERS, page[-1:]) if len(found) > limit else None,
    )


def _read_place(opened: ConversationReader, scope: Sequence[str], before: str) -> PageEnd:
    cursor = read_cursor(before, "before", scope, (int, int, int))
    generation, offset, seq = cast("tuple[int, int, int]", tuple(cursor))
    if not opened.exists or opened.generation != generation:
        raise StaleCursorError(
            "the history was rewritten since this cursor was made: start without it",
            field="before",
        )
    return PageEnd(offset, seq)
