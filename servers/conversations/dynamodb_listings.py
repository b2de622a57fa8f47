"""The verbs that list over conversations in DynamoDB: from the index, which may lag a little."""

import heapq
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from servers.aws.dynamodb import Attributes
from servers.conversations.contract import Conversation
from servers.conversations.contract_results import (
    DeliveriesResult,
    Delivery,
    ListResult,
    OwnersResult,
)
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.dynamodb_entries import Entry, listing_of, to_entry
from servers.conversations.dynamodb_idle import days_before, is_left_alone
from servers.conversations.dynamodb_items import (
    CLEANING,
    DELIVERIES,
    EXPIRIES,
    INDEX,
    OWNERS,
    DamagedError,
    entry_place,
    split_partition,
)
from servers.conversations.dynamodb_reads import parse_annotations
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.page_sizes import fit

_PAGE_ITEMS = 50
_OWNERS_SCOPE = ("owners",)


async def list_newest(
    writer: Writer,
    owner: str,
    now: str,
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
    found: list[Conversation] = []
    async for conversation, written in _merge_shards(writer, owner, after, limit + offset + 1):
        if tag is not None and tag not in conversation.tags:
            continue
        if conversation.expires_at is not None and conversation.expires_at <= now:
            continue
        if is_left_alone(written, now, writer.idle_days):
            continue
        if offset:
            offset -= 1
            continue
        found.append(conversation)
        if len(found) > limit:
            break
    fitting = fit(found, limit)
    last = fitting[-1] if len(fitting) < len(found) else None
    return ListResult(
        conversations=fitting,
        next_cursor=last and make_cursor(scope, (last.last_updated, last.conversation_id)),
    )


async def _merge_shards(
    writer: Writer, owner: str, after: tuple[str, str] | None, wanted: int
) -> AsyncIterator[Entry]:
    """The entries of all shards in order, each read as far as it is needed."""
    shards = [
        _read_shard(writer, listing_of(owner, n), after, wanted) for n in range(writer.shards)
    ]
    heads: list[tuple[tuple[str, str], int, Entry]] = []

    async def push(number: int) -> None:
        async for place, entry in shards[number]:
            key = place, entry.conversation.conversation_id
            heapq.heappush(heads, (key, number, entry))
            return

    for number in range(writer.shards):
        await push(number)
    while heads:
        _, number, entry = heapq.heappop(heads)
        yield entry
        await push(number)


async def _read_shard(
    writer: Writer, listing: str, after: tuple[str, str] | None, wanted: int
) -> AsyncIterator[tuple[str, Entry]]:
    first = "" if after is None else entry_place(*after)
    async for item in _query(writer, listing, first or "0", min(wanted, 1_000)):
        try:
            entry = to_entry(item)
        except DamagedError:
            continue  # somebody made it by hand; the conversation itself is as it was
        place = str(item["s"])
        if after is not None and not _is_after(entry.conversation, after):
            continue
        yield place, entry


def _is_after(conversation: Conversation, after: tuple[str, str]) -> bool:
    at, conversation_id = after
    return conversation.last_updated < at or (
        conversation.last_updated == at
        and conversation.conversation_id.encode() > conversation_id.encode()
    )


async def list_deliveries(
    writer: Writer, state: str, now: str, *, owner: str | None, limit: int, cursor: str | None
) -> DeliveriesResult:
    """A page of messages by delivery state, the oldest first."""
    scope = ("deliveries", state) if owner is None else ("deliveries", state, owner)
    after = ("", "", "")
    if cursor is not None:
        place = read_cursor(cursor, "cursor", scope, (str, str, str))
        after = cast("tuple[str, str, str]", tuple(place))
    states: dict[str, State] = {}
    found: list[tuple[tuple[str, str, str], Delivery]] = []
    async for item in _query(writer, f"{DELIVERIES}{state}", after[0] or "0", _PAGE_ITEMS):
        key = str(item["s"]), str(item["pk"]), str(item["sk"])
        if key <= after or (owner is not None and split_partition(key[1])[0] != owner):
            continue
        delivery = await _to_delivery(writer, states, item, state, now)
        if delivery is not None:
            found.append((key, delivery))
        if len(found) > limit:
            break
    fitting = fit([delivery for _, delivery in found], limit)
    more = len(fitting) < len(found)
    return DeliveriesResult(
        deliveries=fitting,
        next_cursor=make_cursor(scope, found[len(fitting) - 1][0]) if more else None,
    )


async def _to_delivery(
    writer: Writer, states: dict[str, State], item: Attributes, state: str, now: str
) -> Delivery | None:
    """None: its conversation is gone, or was rewritten."""
    pk = str(item["pk"])
    owner, conversation_id = split_partition(pk)
    if pk not in states:
        states[pk] = await writer.read(owner, conversation_id)
    header = states[pk].header
    token = str(item["sk"]).split("#")[1]
    annotations = parse_annotations(str(item.get("e")))
    if header is None or not states[pk].is_alive(now) or header.token != token:
        return None
    if annotations is None:
        return None
    return Delivery(
        owner=owner,
        conversation_id=conversation_id,
        message_id=str(item.get("i")),
        state=state,
        annotations=annotations,
    )


async def list_owners(writer: Writer, now: str, *, limit: int, cursor: str | None) -> OwnersResult:
    """A page of owners who have conversations, by their bytes."""
    after = None
    if cursor is not None:
        (after,) = read_cursor(cursor, "cursor", _OWNERS_SCOPE, (str,))
    found: list[str] = []
    async for item in _query(writer, OWNERS, str(after or "\x01"), limit + 1):
        owner = str(item["s"])
        if owner == after or not await _has_conversations(writer, owner, now):
            continue
        found.append(owner)
        if len(found) > limit:
            break
    page = found[:limit]
    return OwnersResult(
        owners=page,
        next_cursor=make_cursor(_OWNERS_SCOPE, page[-1:]) if len(found) > limit else None,
    )


async def _has_conversations(writer: Writer, owner: str, now: str) -> bool:
    found = await list_newest(writer, owner, now, limit=1, offset=0, cursor=None, tag=None)
    return bool(found.conversations)


async def find_expired(writer: Writer, now: str, limit: int) -> list[tuple[str, str]]:
    """Owner and id of conversations whose time has come."""
    values = {":o": EXPIRIES, ":s": now}
    items, _ = await writer.client.query("o = :o AND s <= :s", values, index=INDEX, limit=limit)
    return [split_partition(str(item["pk"])) for item in items]


async def find_idle(writer: Writer, now: str) -> AsyncIterator[tuple[str, str]]:
    """Owner and id of all conversations that were left alone for too long, as far as listed."""
    if writer.idle_days is None:
        return
    oldest = entry_place(days_before(now, writer.idle_days), "")
    async for told in _query(writer, OWNERS, "\x01", _PAGE_ITEMS):
        for shard in range(writer.shards):
            listing = listing_of(str(told["s"]), shard)
            async for item in _query(writer, listing, oldest, _PAGE_ITEMS):
                try:
                    entry = to_entry(item)
                except DamagedError:
                    continue
                if is_left_alone(entry.written_at, now, writer.idle_days):
                    yield split_partition(str(item["pk"]))


async def find_left_over(writer: Writer, until: str, limit: int) -> list[tuple[str, str]]:
    """Owner and id of conversations of which something was to be removed since `until`."""
    values = {":o": CLEANING, ":s": until}
    items, _ = await writer.client.query("o = :o AND s <= :s", values, index=INDEX, limit=limit)
    return [split_partition(str(item["pk"])) for item in items]


async def _query(writer: Writer, listing: str, first: str, items: int) -> AsyncIterator[Attributes]:
    start: Mapping[str, Any] | None = None
    values = {":o": listing, ":s": first}
    while True:
        page, start = await writer.client.query(
            "o = :o AND s >= :s", values, index=INDEX, limit=items, start=start
        )
        for item in page:
            yield item
        if start is None:
            return
