"""The log of a conversation in DynamoDB, read from either end."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import anyio
from pydantic import ValidationError

from servers.aws.dynamodb import Attributes, DynamoDBClient
from servers.conversations.contract import REPEAT_WINDOW_MESSAGES
from servers.conversations.dynamodb_items import (
    DamagedError,
    Header,
    LogItem,
    decode_payload,
    history_key,
    log_key,
    ordinal_of,
    part_key,
    split_partition,
    to_log_item,
)
from servers.conversations.dynamodb_states import Known, Place, State, digest_of, remember
from servers.conversations.file_records import Facts
from servers.conversations.store_errors import UnavailableError

_PAGE_ITEMS = 16
_WHOLE_PAGE_ITEMS = 500
_READINGS = 4
_T = TypeVar("_T")
_BETWEEN = "pk = :pk AND sk BETWEEN :first AND :last"


class Found(NamedTuple):
    """An item with its messages, in order; None: they can't be read."""

    place: Place
    """Of its first message."""
    expected: int
    """How many messages it holds."""
    messages: list[dict[str, Any]] | None
    stored_at: str = ""


class HistoryChangedError(UnavailableError):
    """A conversation was rewritten or deleted while it was read."""

    def __init__(self) -> None:
        super().__init__(
            "the conversation was rewritten or deleted, more than once, while it was read: try "
            "again",
            retry_after_seconds=1.0,
        )


async def repeat_if_changed(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """What `attempt` gives; made anew when what it reads was rewritten meanwhile."""
    for _ in range(_READINGS - 1):
        with suppress(HistoryChangedError):
            return await attempt()
    return await attempt()


class Log:
    """Reads logs of one table."""

    def __init__(self, client: DynamoDBClient, idle_days: float | None = None) -> None:
        """`idle_days`: after how many that nothing was written a conversation expires."""
        self.client = client
        self._idle_days = idle_days

    async def read_state(self, pk: str, known: State | None) -> State:
        """How a conversation stands now; what is `known` is taken over if it still holds.

        Raises:
            UnavailableError: The end of its log can't be read.
        """
        state, _ = await self.read_latest(pk, known, 1)
        return state

    async def read_latest(
        self, pk: str, known: State | None, items: int
    ) -> tuple[State, Sequence[Attributes]]:
        """The same, with so many of the log's latest items, the newest first."""
        values = {":pk": pk, ":first": log_key(0), ":last": "M~"}
        latest, _ = await self.client.query(_BETWEEN, values, forward=False, limit=items)
        if not latest:
            return self._begin(pk), ()
        return await self._bring_up(pk, known, _parse(pk, latest[0])), latest

    async def _bring_up(self, pk: str, known: State | None, item: LogItem) -> State:
        if known is not None and known.ordinal == ordinal_of(item.sk):
            known.read_at = anyio.current_time()
            return known
        if known is not None and known.header and known.header.token == item.header.token:
            return await self._catch_up(known, item)
        return self._take(self._begin(pk), item, await self._messages_or_none(pk, item))

    def _begin(self, pk: str) -> State:
        return State(pk, read_at=anyio.current_time(), idle_days=self._idle_days)

    async def _catch_up(self, state: State, last: LogItem) -> State:
        if state.recent is None:
            return self._take(state, last, await self._messages_or_none(state.pk, last))
        start: Mapping[str, Any] | None = None
        values = {
            ":pk": state.pk,
            ":first": log_key(state.ordinal + 1),
            ":last": last.sk,
        }
        while True:
            items, start = await self.client.query(_BETWEEN, values, start=start)
            for attributes in items:
                item = _parse(state.pk, attributes)
                self._take(state, item, await self._messages_or_none(state.pk, item))
            if start is None:
                return state

    def take_own(self, state: State, item: LogItem, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take over an item that was just written."""
        self._take(state, item, messages)

    def _take(
        self, state: State, item: LogItem, messages: Sequence[Mapping[str, Any]] | None
    ) -> State:
        before, header = state.header, item.header
        if before is None or before.token != header.token:
            state.recent = OrderedDict() if header.count == header.added else None
        if before is None or before.facts_at != header.facts_at:
            state.facts = None
        state.ordinal, state.header = ordinal_of(item.sk), header
        state.read_at = anyio.current_time()
        if state.recent is not None:
            for number, body in enumerate(messages or (), item.first):
                remember(state.recent, Place(True, state.ordinal, number), body)
        return state

    async def _messages_or_none(self, pk: str, item: LogItem) -> list[dict[str, Any]] | None:
        try:
            return (await self.read_payload(pk, item))[0]
        except DamagedError:
            return None

    async def read_payload(
        self, pk: str, item: LogItem
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Messages and facts of an item, its parts put together.

        Raises:
            DamagedError: It can't be read.
        """
        data = item.data
        if item.header.parts:
            data = b"".join([part async for part in self._read_parts(pk, item)])
        messages, facts = decode_payload(data)
        if len(messages) != item.header.added:
            raise DamagedError("it holds another number of messages than it says")
        return messages, facts

    async def _read_parts(self, pk: str, item: LogItem) -> AsyncIterator[bytes]:
        for number in range(item.header.parts):
            part = await self.client.get(pk, part_key(item.sk, item.header.writer, number))
            data = part and part.get("d")
            if not isinstance(data, bytes):
                raise DamagedError("a part of it is missing")
            yield data

    async def read_item(self, pk: str, sk: str) -> LogItem:
        """An item by its key.

        Raises:
            DamagedError: It is not there, or not as we write it.
        """
        item = await self.client.get(pk, sk)
        if item is None:
            raise DamagedError("it is missing")
        return to_log_item(item)

    async def read_facts(self, state: State) -> Facts:
        """Title and the like; bare ones where they are lost."""
        if state.facts is None:
            state.facts = await self._read_facts(state)
        return state.facts

    async def _read_facts(self, state: State) -> Facts:
        owner, conversation_id = split_partition(state.pk)
        header = state.header
        bare = Facts(
            owner=owner,
            conversation_id=conversation_id,
            created_at=header.updated if header else "",
        )
        if header is None:
            return bare
        try:
            item = await self.read_item(state.pk, log_key(header.facts_at))
            _, held = await self.read_payload(state.pk, item)
            given = {"owner": owner, "conversation_id": conversation_id}
            return Facts.model_validate((held or {}) | given)
        except (DamagedError, ValidationError):
            return bare

    async def load_recent(self, state: State) -> OrderedDict[str, Known]:
        """The latest messages by id: 4,096 at least, or all."""
        if state.recent is None:
            found: list[tuple[str, Known]] = []
            async for item in self.backward(state, items=_WHOLE_PAGE_ITEMS):
                found += _known_of(item)[::-1]
                if len(found) >= REPEAT_WINDOW_MESSAGES:
                    break
            state.recent = OrderedDict(reversed(found))
        return state.recent

    async def load_all(self, state: State) -> OrderedDict[str, Known]:
        """The same of all messages, however many."""
        recent = await self.load_recent(state)
        header = state.header
        if header is None or len(recent) >= header.count:
            return recent
        found: list[tuple[str, Known]] = []
        async for item in self.forward(state, items=_WHOLE_PAGE_ITEMS):
            found += _known_of(item)
        state.recent = OrderedDict(found)
        return state.recent

    async def backward(
        self, state: State, before: Place | None = None, *, items: int = _PAGE_ITEMS
    ) -> AsyncIterator[Found]:
        """The items that hold messages, the newest first; from that on which holds `before`."""
        header = state.header
        if header is None:
            return
        after = header.count if before is None else None
        async for found in self._backward(state, header, before, items):
            if after is not None and found.place.number + found.expected < after:
                yield await self._miss(
                    state, found.place, found.place.number + found.expected, after
                )
            yield found
            after = found.place.number
        if after:
            yield await self._miss(state, Place(True, header.generation, 0), 0, after)

    async def _backward(
        self, state: State, header: Header, before: Place | None, items: int
    ) -> AsyncIterator[Found]:
        if before is None or before.is_log:
            last = state.ordinal if before is None else before.item
            for attributes in state.latest if before is None else ():
                last = ordinal_of(str(attributes["sk"])) - 1
                found = await self._to_found(state.pk, attributes)
                if found is not None and found.place.item >= header.generation:
                    yield found
            if last >= header.generation:
                keys = log_key(header.generation), log_key(last)
                async for found in self._read(state.pk, *keys, items, forward=False):
                    yield found
        whole = header.whole
        if whole:
            last = before.item if before is not None and not before.is_log else whole - 1
            keys = history_key(header.token, 0), history_key(header.token, last)
            async for found in self._read(state.pk, *keys, items, forward=False):
                yield found

    async def forward(
        self, state: State, start: Place | None = None, *, items: int = _PAGE_ITEMS
    ) -> AsyncIterator[Found]:
        """The same, the oldest first."""
        header = state.header
        if header is None:
            return
        number = 0 if start is None else None
        async for found in self._forward(state, header, start, items):
            if number is not None and found.place.number > number:
                yield await self._miss(state, found.place, number, found.place.number)
            yield found
            number = found.place.number + found.expected
        if number is not None and number < header.count:
            place = Place(True, state.ordinal, number)
            yield await self._miss(state, place, number, header.count)

    async def _miss(self, state: State, place: Place, first: int, end: int) -> Found:
        """What says that items are missing; unless the whole history went meanwhile.

        Raises:
            HistoryChangedError: It did.
        """
        now = await self.read_state(state.pk, None)
        if now.header is None or state.header is None or now.header.token != state.header.token:
            raise HistoryChangedError
        return Found(place._replace(number=first), end - first, None)

    async def _forward(
        self, state: State, header: Header, start: Place | None, items: int
    ) -> AsyncIterator[Found]:
        whole = header.whole
        if whole and (start is None or not start.is_log):
            first = start.item if start else 0
            keys = history_key(header.token, first), history_key(header.token, whole - 1)
            async for found in self._read(state.pk, *keys, items, forward=True):
                yield found
        first = start.item if start is not None and start.is_log else header.generation
        keys = log_key(first), log_key(state.ordinal)
        async for found in self._read(state.pk, *keys, items, forward=True):
            yield found

    async def _read(
        self, pk: str, first: str, last: str, items: int, *, forward: bool
    ) -> AsyncIterator[Found]:
        values = {":pk": pk, ":first": first, ":last": last}
        start: Mapping[str, Any] | None = None
        while True:
            page, start = await self.client.query(
                _BETWEEN, values, forward=forward, limit=items, start=start
            )
            for attributes in page:
                found = await self._to_found(pk, attributes)
                if found is not None:
                    yield found
            if start is None:
                return

    async def _to_found(self, pk: str, attributes: Attributes) -> Found | None:
        """None: it holds no messages, or tells not even which; then they will be missing."""
        sk = str(attributes["sk"])
        is_log, index = sk.startswith("M#"), int(sk.rpartition("#")[2])
        try:
            item = to_log_item(attributes)
        except DamagedError:
            return None
        place = Place(is_log, index, item.first)
        if not item.header.added:
            return None
        messages = await self._messages_or_none(pk, item)
        return Found(place, item.header.added, messages, item.header.updated)


def _known_of(found: Found) -> list[tuple[str, Known]]:
    return [
        (body["message_id"], Known(found.place._replace(number=number), digest_of(body)))
        for number, body in enumerate(found.messages or (), found.place.number)
    ]


def _parse(pk: str, item: Attributes) -> LogItem:
    try:
        return to_log_item(item)
    except DamagedError:
        owner, conversation_id = split_partition(pk)
        raise UnavailableError(
            f"the item {item['sk']} of the conversation {conversation_id!r} of {owner!r} can't be "
            "read: somebody else wrote it; restore it from a back-up of the table, or remove it"
        ) from None
