"""Writing to a conversation in DynamoDB: one item at the end of its log, or nothing."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import anyio

from servers.conversations.contract import to_timestamp
from servers.conversations.dynamodb_blobs import Blobs
from servers.conversations.dynamodb_client import DynamoDBClient, TakenError, pauses_at_random
from servers.conversations.dynamodb_entries import (
    annotation_item,
    entry_item,
    expiry_item,
    owner_item,
)
from servers.conversations.dynamodb_items import (
    ENTRY,
    EXPIRY,
    Attributes,
    Header,
    Kind,
    LogItem,
    encode_payload,
    figures_of,
    first_ordinal,
    group,
    history_key,
    is_before,
    is_of_life_before,
    log_key,
    make_token,
    make_writer,
    part_key,
    partition,
    split_partition,
    split_parts,
)
from servers.conversations.dynamodb_log import HistoryChangedError, Log, State, StateCache
from servers.conversations.figures import Figures
from servers.conversations.file_projection import delivery_state
from servers.conversations.file_records import Draft, Facts
from servers.conversations.store_errors import ConversationError, UnavailableError

_log = logging.getLogger(__name__)

_STRIPES = 64
_UNKNOWN_ITEMS = 14
"""To be read of a conversation of which nothing is known: about fifty messages."""
_FORGET_SECONDS = 3_600.0
"""What this process knows of a conversation it looks at anew after so long."""
_TOMBSTONE_DAYS = 30
"""Much longer than anybody remembers a conversation without looking at it anew."""
_SECONDS_A_DAY = 86_400
_PATIENCE_SECONDS = 20.0
"""With others that are faster again and again."""
_FREE = "attribute_not_exists(pk)"
_WHOLE_MESSAGES = 16
_WHOLE_BYTES = 48 * 1024
"""Of the items that a history begins with: a page of the latest messages needs a few of them."""
_MAX_TOGETHER = 90
"""Items of one transaction: DynamoDB takes 100."""


@dataclass(slots=True)
class Plan:
    """What a verb writes."""

    kind: Kind
    drafts: Sequence[Draft] = ()
    facts: Facts | None = None
    """If they change, or the conversation begins with them."""
    at: str | None = None
    """What `last_updated` shall be, unless it is later already; now if absent."""


@dataclass(slots=True)
class _Write:
    """A plan, made out for a place in the log."""

    ordinal: int
    item: Attributes
    header: Header
    data: bytes
    bodies: Sequence[dict[str, Any]]
    facts: Facts | None
    begins: bool
    before: list[Attributes] = field(default_factory=list[Attributes])
    """What it refers to, which is written first and means nothing without it."""
    annotated: list[Attributes] = field(default_factory=list[Attributes])


class Writer:
    """Writes to one table."""

    def __init__(self, client: DynamoDBClient, listing_seconds: float, shards: int) -> None:
        self.client = client
        self.log = Log(client)
        self.shards = shards
        self.listing_seconds = listing_seconds
        self.blobs: Blobs | None = None
        """What is removed with a conversation beside its items."""
        self._cache = StateCache()
        self._lanes = [anyio.Lock() for _ in range(_STRIPES)]
        self._unlisted: dict[str, float] = {}
        self._owners: set[str] = set()
        """Those that are known to be told of."""

    async def read(
        self, owner: str, conversation_id: str, *, recent: bool = False, latest: int | None = None
    ) -> State:
        """How a conversation stands now.

        With its `recent` messages' ids, or with the items of its `latest` messages.
        """
        pk = partition(owner, conversation_id)
        async with self._lane(pk):
            known = self._cache.take(pk)
            items = 1
            if latest is not None:
                items = known.items_for(latest) if known else _UNKNOWN_ITEMS
            state, found = await self.log.read_latest(pk, known, items)
            if recent:
                await self.log.load_recent(state)
            self._cache.put(state)
            return replace(state, latest=found if latest is not None else ())

    async def change(
        self,
        owner: str,
        conversation_id: str,
        plan: Callable[[State, str], Awaitable[Plan | None]],
    ) -> State:
        """Write what `plan` makes of the state at a time; it is asked again if somebody was faster.

        Returns the state after it.

        Raises:
            ConversationError: `plan` raised it, of a state that was the latest.
            UnavailableError: Others were faster all the time.
        """
        pk = partition(owner, conversation_id)
        async with self._lane(pk):
            state = self._cache.take(pk)
            is_fresh = False
            pauses, deadline = pauses_at_random(), anyio.current_time() + _PATIENCE_SECONDS
            while anyio.current_time() < deadline:
                if state is None or not (is_fresh or _is_young(state)):
                    state, is_fresh = await self.log.read_state(pk, state), True
                now = to_timestamp(datetime.now(UTC))
                try:
                    planned = await plan(state, now)
                except HistoryChangedError:
                    state, is_fresh = await self.log.read_state(pk, None), True
                    continue
                except ConversationError:
                    if is_fresh:
                        self._cache.put(state)
                        raise
                    state, is_fresh = await self.log.read_state(pk, state), True
                    continue
                if planned is None and not is_fresh:
                    # What repeats is there; but who finds nothing to change must have looked.
                    state, is_fresh = await self.log.read_state(pk, state), True
                    continue
                if planned is None or await self._write(state, planned, now):
                    self._cache.put(state)
                    return copy(state)
                await anyio.sleep(next(pauses))
                state, is_fresh = await self.log.read_state(pk, state), True
        raise UnavailableError(
            "others write to this conversation all the time: try again", retry_after_seconds=1.0
        )

    async def list_what_waits(self, *, older_than: float) -> None:
        """Write the entries of conversations whose last messages are not listed yet."""
        due = [pk for pk, since in self._unlisted.items() if since <= older_than]
        for pk in due:
            async with self._lane(pk):
                state = await self.log.read_state(pk, self._cache.take(pk))
                if state.header is not None and state.header.kind != "tombstone":
                    await self._put_entry(state)
                self._unlisted.pop(pk, None)
                self._cache.put(state)

    def _lane(self, pk: str) -> anyio.Lock:
        return self._lanes[hash(pk) % _STRIPES]

    async def _write(self, state: State, plan: Plan, now: str) -> bool:
        """Whether it was written; else somebody else was faster."""
        write = self._make_out(state, plan, now)
        if write.before:
            await self.client.write_all(write.before)
        try:
            await self._put(state, write)
        except TakenError as taken:
            if not await self._is_own(state.pk, write, taken):
                with suppress(UnavailableError):
                    keys = [(state.pk, str(item["sk"])) for item in write.before]
                    await self.client.write_all([], keys)
                return False
        had_something = state.header is not None
        item = LogItem(str(write.item["sk"]), write.header, write.data)
        self.log.take_own(state, item, write.bodies)
        if write.facts is not None:
            state.facts = write.facts
        if write.begins or write.facts is not None:
            state.listed_at = anyio.current_time()
            self._unlisted.pop(state.pk, None)
        elif plan.kind == "messages":
            await self._list_sometimes(state)
        if write.begins and had_something:
            await self._clean_up(state)
        if write.begins:
            self._owners.add(split_partition(state.pk)[0])
        return True

    async def _put(self, state: State, write: _Write) -> None:
        together: list[tuple[Attributes, str | None]] = [(write.item, _FREE)]
        removed: list[tuple[str, str]] = []
        header = write.header
        if write.header.kind == "tombstone":
            removed += [(state.pk, ENTRY), (state.pk, EXPIRY)]
        elif write.facts is not None:
            entry = entry_item(state.pk, write.ordinal, header, write.facts, self.shards)
            together.append((entry, _FREE if state.header is None else None))
            if write.begins and split_partition(state.pk)[0] not in self._owners:
                together.append((owner_item(state.pk), None))
            if header.expires_at is not None:
                together.append((expiry_item(state.pk, header.expires_at), None))
            elif state.header is not None:
                removed.append((state.pk, EXPIRY))
        annotated = write.annotated
        if len(annotated) <= _MAX_TOGETHER:
            together += [(item, None) for item in annotated]
            annotated = []
        if len(together) == 1 and not removed:
            await self.client.put(write.item, _FREE)
        else:
            await self.client.write_together(together, removed)
        if annotated:
            await self.client.write_all(annotated)

    async def _is_own(self, pk: str, write: _Write, taken: TakenError) -> bool:
        """Whether what stands there is what we wrote, and only its answer was lost."""
        found = taken.item
        if found is None or "h" not in found:
            found = await self.client.get(pk, str(write.item["sk"]))
        return found is not None and found.get("h") == write.item["h"]

    def _make_out(self, state: State, plan: Plan, now: str) -> _Write:
        known = state.header
        is_alive = state.is_alive(now)
        ordinal = first_ordinal() if known is None else state.ordinal + 1
        is_end = plan.kind == "tombstone"
        begins = is_end or plan.kind == "history" or not is_alive
        kind: Kind = "history" if begins and not is_end else plan.kind
        facts = plan.facts
        if facts is None and begins and not is_alive and not is_end:
            facts = bare_facts(state.pk, now)
        before = known if known is not None and not begins else None
        updated = now if known is None else max(now, known.updated)
        if plan.at is not None:
            updated = max(plan.at, known.updated) if known and is_alive else plan.at
        if plan.kind == "facts" and known is not None:
            updated = known.updated
        figures = figures_of(before) if before else Figures()
        for draft in plan.drafts:
            figures.add_message(draft.body, len(draft.encoded))
        token = before.token if before else make_token(ordinal)
        header = Header(
            kind=kind,
            generation=before.generation if before else ordinal,
            token=token,
            life=known.life if known and is_alive and not is_end else ordinal,
            count=(before.count if before else 0) + len(plan.drafts),
            added=len(plan.drafts),
            whole=before.whole if before else 0,
            updated=updated,
            facts_at=ordinal if facts is not None or known is None else known.facts_at,
            expires_at=_expiry(known if is_alive else None, facts),
            writer=make_writer(),
            figures=tuple(figures.as_row()),
        )
        return self._encode(state.pk, ordinal, header, plan, facts, begins=begins)

    def _encode(
        self,
        pk: str,
        ordinal: int,
        header: Header,
        plan: Plan,
        facts: Facts | None,
        *,
        begins: bool,
    ) -> _Write:
        sk, drafts = log_key(ordinal), plan.drafts
        before: list[Attributes] = []
        first = header.count - header.added
        if begins and len(drafts) > _WHOLE_MESSAGES:
            before = _to_history(pk, header, drafts)
            whole = sum(str(item["sk"]).startswith("G#") for item in before)
            header = header.model_copy(update={"whole": whole, "added": 0})
            drafts = ()
        given = facts.model_dump(exclude={"owner", "conversation_id"}) if facts else None
        data = encode_payload([draft.encoded for draft in drafts], given)
        parts = split_parts(data)
        if parts:
            header = header.model_copy(update={"parts": len(parts)})
            before += [
                {"pk": pk, "sk": part_key(sk, header.writer, number), "d": part}
                for number, part in enumerate(parts)
            ]
        item: dict[str, str | int | bytes] = {
            "pk": pk,
            "sk": sk,
            "h": header.to_json(),
            "d": b"" if parts else data,
        }
        if header.kind == "tombstone":
            item["t"] = int(datetime.now(UTC).timestamp()) + _TOMBSTONE_DAYS * _SECONDS_A_DAY
        annotated: list[Attributes] = [
            annotation_item(pk, header.token, number, draft.body, header.updated)
            for number, draft in enumerate(plan.drafts, first)
            if delivery_state(draft.body.get("annotations") or {}) is not None
        ]
        if begins:  # its name is its own: nothing can be in the way
            before, annotated = before + annotated, []
        bodies = [draft.body for draft in drafts]
        return _Write(ordinal, item, header, data, bodies, facts, begins, before, annotated)

    async def _list_sometimes(self, state: State) -> None:
        now = anyio.current_time()
        if now - state.listed_at >= self.listing_seconds:
            await self._put_entry(state)
        else:
            self._unlisted.setdefault(state.pk, now)

    async def _put_entry(self, state: State) -> None:
        """Bring the entry in listings up; what is acknowledged does not depend on it."""
        assert state.header is not None
        try:
            facts = await self.log.read_facts(state)
            entry = entry_item(state.pk, state.ordinal, state.header, facts, self.shards)
            changes = {name: entry[name] for name in ("o", "s", "e", "v")}
            await self.client.update(state.pk, ENTRY, changes, "attribute_exists(pk) AND v < :v")
        except TakenError:
            pass  # it is deleted, or somebody knows more
        except UnavailableError as error:
            _log.warning("a conversation's place in listings lags behind: %s", error)
            self._unlisted.setdefault(state.pk, anyio.current_time())
            return
        state.listed_at = anyio.current_time()
        self._unlisted.pop(state.pk, None)

    async def _clean_up(self, state: State) -> None:
        """Remove what nothing refers to any more. It may be done again."""
        header = state.header
        assert header is not None
        try:
            await self.remove_old(state.pk, state.ordinal, header)
        except UnavailableError as error:
            if header.kind == "tombstone":
                raise  # what was deleted must be gone when that is acknowledged; it may be repeated
            _log.warning("what a conversation no longer needs is not yet removed: %s", error)

    async def remove_old(self, pk: str, ordinal: int, header: Header) -> None:
        """Remove what was there before the history, or the end, that began at `ordinal`."""
        start = None
        while True:
            items, start = await self.client.query("pk = :pk", {":pk": pk}, start=start, only="sk")
            keys = [str(item["sk"]) for item in items]
            old = [
                (pk, sk)
                for sk in keys
                if is_before(sk, ordinal, header.token) or is_of_life_before(sk, header.life)
            ]
            await self.client.write_all([], old)
            if start is None:
                break
        if self.blobs is not None and header.life == ordinal:
            await self.blobs.remove_before(pk, header.life)


def bare_facts(pk: str, now: str) -> Facts:
    """The facts of a conversation that nobody has told anything about."""
    owner, _, conversation_id = pk.partition("\n")
    return Facts(owner=owner, conversation_id=conversation_id, created_at=now)


def _to_history(pk: str, header: Header, drafts: Sequence[Draft]) -> list[Attributes]:
    items: list[Attributes] = []
    sizes = [len(draft.encoded) for draft in drafts]
    for number, piece in enumerate(group(sizes, _WHOLE_MESSAGES, _WHOLE_BYTES)):
        sk = history_key(header.token, number)
        data = encode_payload([draft.encoded for draft in drafts[piece]], None)
        parts = split_parts(data)
        of_piece = header.model_copy(
            update={
                "count": piece.stop,
                "added": piece.stop - piece.start,
                "parts": len(parts),
                "figures": (),
                "kind": "messages",
            }
        )
        items += [
            {"pk": pk, "sk": part_key(sk, header.writer, place), "d": part}
            for place, part in enumerate(parts)
        ]
        items.append({"pk": pk, "sk": sk, "h": of_piece.to_json(), "d": b"" if parts else data})
    return items


def _expiry(known: Header | None, facts: Facts | None) -> str | None:
    if facts is not None:
        return facts.expires_at
    return known.expires_at if known else None


def _is_young(state: State) -> bool:
    return anyio.current_time() - state.read_at < _FORGET_SECONDS
