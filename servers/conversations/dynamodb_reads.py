"""The verbs that read one conversation in DynamoDB."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from servers.conversations.contract import MAX_PAGE_BYTES, Conversation, Message, encode_json
from servers.conversations.contract_results import ConversationStats, LoadResult
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.dynamodb_items import DamagedError, annotation_key, figures_of
from servers.conversations.dynamodb_log import Found, Log
from servers.conversations.dynamodb_states import Place, State
from servers.conversations.file_records import Facts, to_message
from servers.conversations.store_errors import NotFoundError, StaleCursorError, UnavailableError

Annotated = Mapping[int, tuple[str, dict[str, Any], int]]
"""By number of a message: its id, its annotations, and how often they were put in."""

_WHOLE_ITEMS = 500
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it is now."""

    place: Place
    body: Mapping[str, Any]
    """As it was stored."""
    annotations: Mapping[str, Any]
    stored_at: str = ""
    """What the conversation's `last_updated` was with it."""
    revision: int = 0
    """How often its annotations were put in since."""

    @property
    def message(self) -> Message:
        """As it is given out."""
        return to_message(self.body, self.annotations)


def to_conversation(state: State, facts: Facts) -> Conversation:
    """A conversation that exists."""
    header = state.header
    assert header is not None
    return Conversation(
        conversation_id=facts.conversation_id,
        owner=facts.owner,
        title=facts.title,
        tags=facts.tags,
        metadata=facts.metadata,
        created_at=facts.created_at,
        last_updated=header.updated,
        message_count=header.count,
        version=state.ordinal,
        expires_at=facts.expires_at,
    )


async def read_annotations(log: Log, state: State, first: int, last: int) -> Annotated:
    """The annotations that were put in of the messages with these numbers."""
    header = state.header
    assert header is not None
    values = {
        ":pk": state.pk,
        ":first": annotation_key(header.token, first),
        ":last": annotation_key(header.token, last),
    }
    found: dict[int, tuple[str, dict[str, Any], int]] = {}
    start = None
    while True:
        items, start = await log.client.query(
            "pk = :pk AND sk BETWEEN :first AND :last", values, start=start
        )
        for item in items:
            number = int(str(item["sk"]).rpartition("#")[2])
            told = parse_annotations(str(item.get("e")))
            if told is not None:
                found[number] = str(item.get("i")), told, cast("int", item.get("r", 0))
        if start is None:
            return found


def parse_annotations(text: str) -> dict[str, Any] | None:
    """What an item says; None if it is not as we write it."""
    import json

    try:
        told: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", told) if isinstance(told, dict) else None


def annotate_found(found: Found, annotated: Annotated) -> list[Stored]:
    """An item's messages with their annotations."""
    stored: list[Stored] = []
    for number, body in enumerate(found.messages or (), found.place.number):
        message_id, later, revision = annotated.get(number, ("", _NONE, 0))
        is_later = message_id == body["message_id"]
        annotations = later if is_later else body.get("annotations") or {}
        place = found.place._replace(number=number)
        revision = revision if is_later else 0
        stored.append(Stored(place, body, annotations, found.stored_at, revision))
    return stored


async def read_all(log: Log, state: State, now: str) -> list[Stored]:
    """All messages that can be read, in order; none of a conversation that isn't there."""
    return [each async for each in iterate(log, state, now)]


def revisions_of(stored: Sequence[Stored]) -> dict[str, int]:
    """How often each message was annotated since it was stored, by its id."""
    return {each.body["message_id"]: each.revision for each in stored}


async def iterate(log: Log, state: State, now: str) -> AsyncIterator[Stored]:
    """The same, one by one."""
    if not state.is_alive(now) or state.header is None:
        return
    annotated = await read_annotations(log, state, 0, state.header.count)
    async for found in log.forward(state, items=_WHOLE_ITEMS):
        for each in annotate_found(found, annotated):
            yield each


async def load(
    log: Log, state: State, now: str, conversation_id: str, limit: int | None, before: str | None
) -> LoadResult:
    """A page of the latest messages, or of those before a place; all without a limit."""
    scope = ("messages", state.pk)
    place = None if before is None else _read_place(state, now, scope, before)
    result = LoadResult(
        conversation_id=conversation_id, messages=[], next_cursor=None, version=0, damaged=0
    )
    header = state.header
    if not state.is_alive(now) or header is None:
        return result
    if limit is None:
        return await _load_all(log, state, result, place)
    taken: list[tuple[Place, dict[str, Any]]] = []
    damaged, room, is_full = 0, MAX_PAGE_BYTES, False
    async for found in log.backward(state, place, items=state.items_for(limit)):
        if found.messages is None:
            damaged += found.expected
            continue
        for number, body in reversed(list(enumerate(found.messages, found.place.number))):
            if place is not None and number >= place.number:
                continue
            room -= len(encode_json(body))
            if taken and (len(taken) == limit or room < 0):
                is_full = True
                break
            taken.append((found.place._replace(number=number), body))
        if is_full or (len(taken) == limit and taken[-1][0].number == 0):
            break
    return await _finish(log, state, result, scope, taken[::-1], damaged)


async def _finish(
    log: Log,
    state: State,
    result: LoadResult,
    scope: tuple[str, ...],
    taken: list[tuple[Place, dict[str, Any]]],
    damaged: int,
) -> LoadResult:
    header = state.header
    assert header is not None
    messages: list[Message] = []
    cursor = None
    if taken:
        first, last = taken[0][0].number, taken[-1][0].number
        annotated = await read_annotations(log, state, first, last)
        sizes: list[int] = []
        for place, body in taken:
            message_id, later, _ = annotated.get(place.number, (None, None, 0))
            changed = later if message_id == body["message_id"] else None
            messages.append(to_message(body, changed))
            sizes.append(len(encode_json(messages[-1].to_wire())))
        dropped = _count_too_many(sizes)
        messages = messages[dropped:]
        oldest = taken[dropped][0]
        if oldest.number:
            position = (header.generation, int(oldest.is_log), oldest.item, oldest.number)
            cursor = make_cursor(scope, position)
    return LoadResult.model_construct(
        conversation_id=result.conversation_id,
        messages=messages,
        next_cursor=cursor,
        version=state.ordinal,
        damaged=damaged,
    )


def _count_too_many(sizes: list[int]) -> int:
    """How many of the oldest a page has no room for, now that all is annotated."""
    room = MAX_PAGE_BYTES
    for kept, size in enumerate(reversed(sizes)):
        room -= size
        if room < 0 and kept:
            return len(sizes) - kept
    return 0


async def _load_all(log: Log, state: State, result: LoadResult, place: Place | None) -> LoadResult:
    assert state.header is not None
    annotated = await read_annotations(log, state, 0, state.header.count)
    messages: list[Message] = []
    damaged = 0
    async for found in log.forward(state, items=_WHOLE_ITEMS):
        if found.messages is None:
            damaged += found.expected
        messages += [
            each.message
            for each in annotate_found(found, annotated)
            if place is None or each.place.number < place.number
        ]
    return LoadResult.model_construct(
        conversation_id=result.conversation_id,
        messages=messages,
        next_cursor=None,
        version=state.ordinal,
        damaged=damaged,
    )


def _read_place(state: State, now: str, scope: tuple[str, ...], before: str) -> Place:
    values = read_cursor(before, "before", scope, (int, int, int, int))
    generation, is_log, index, number = cast("tuple[int, int, int, int]", tuple(values))
    header = state.header
    if header is None or not state.is_alive(now) or header.generation != generation:
        raise StaleCursorError(
            "the history was rewritten since this cursor was made: start without it",
            field="before",
        )
    return Place(bool(is_log), index, number)


def to_stats(state: State) -> ConversationStats:
    """The figures of a conversation, attachments left out."""
    assert state.header is not None
    figures = figures_of(state.header)
    return ConversationStats(
        messages_by_role=figures.by_role(),
        bytes=figures.bytes,
        first_message_at=figures.first_at,
        last_message_at=figures.last_at,
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
    )


async def find_message(log: Log, state: State, message_id: str) -> Stored:
    """A message by its id, however old.

    Raises:
        NotFoundError: There is none.
        UnavailableError: It can't be read.
    """
    recent = await log.load_recent(state)
    known = recent.get(message_id) or (await log.load_all(state)).get(message_id)
    header = state.header
    if known is None or header is None:
        raise NotFoundError("there is no such message in this conversation", field="message_id")
    try:
        item = await log.read_item(state.pk, known.place.key(header.token))
        messages, _ = await log.read_payload(state.pk, item)
        body = messages[known.place.number - item.first]
    except (DamagedError, IndexError):
        raise UnavailableError(
            f"the message {message_id!r} can't be read: its item in the table is damaged"
        ) from None
    number = known.place.number
    annotated = await read_annotations(log, state, number, number)
    return annotate_found(Found(known.place, 1, [body], item.header.updated), annotated)[0]
