"""Writing to a conversation in DynamoDB: one item at the end of its log, or nothing."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from servers.aws.api import pauses_at_random
from servers.aws.dynamodb import DynamoDBClient, Put, TakenError
from servers.conversations.contract import to_timestamp
from servers.conversations.dynamodb_entries import (
    annotation_item,
    entry_item,
    expiry_item,
    leftovers_item,
    owner_item,
)
from servers.conversations.dynamodb_items import (
    ENTRY,
    EXPIRY,
    LEFTOVERS,
    Header,
    LogItem,
    is_before,
    is_of_life_before,
    log_key,
    partition,
    split_partition,
)
from servers.conversations.dynamodb_log import HistoryChangedError, Log
from servers.conversations.dynamodb_places import Places
from servers.conversations.dynamodb_plans import Plan, Write, make_out
from servers.conversations.dynamodb_reads import read_annotations
from servers.conversations.dynamodb_states import State, StateCache
from servers.conversations.store_errors import ConversationError, UnavailableError

_log = logging.getLogger(__name__)

_TOMBSTONE_DAYS = 30
"""Much longer than anybody remembers a conversation without looking at it anew."""
_SECONDS_A_DAY = 86_400
_STRIPES = 64
_UNKNOWN_ITEMS = 14
"""To be read of a conversation of which nothing is known: about fifty messages."""
_FORGET_SECONDS = 3_600.0
"""What this process knows of a conversation it looks at anew after so long."""
_PATIENCE_SECONDS = 20.0
"""With others that are faster again and again."""
_FREE = "attribute_not_exists(pk)"
_MAX_TOGETHER = 90
"""Items of one transaction: DynamoDB takes 100."""


class Writer:
    """Writes to one table."""

    def __init__(
        self,
        client: DynamoDBClient,
        listing_seconds: float,
        shards: int,
        idle_days: float | None = None,
    ) -> None:
        self.client = client
        self.log = Log(client, idle_days)
        self.idle_days = idle_days
        self.shards = shards
        self.listing_seconds = listing_seconds
        self.places: Places | None = None
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
                if state.header is None or state.header.kind == "tombstone":
                    self._unlisted.pop(pk, None)
                else:
                    await self._put_entry(state)
                self._cache.put(state)

    def _lane(self, pk: str) -> anyio.Lock:
        return self._lanes[hash(pk) % _STRIPES]

    async def _write(self, state: State, plan: Plan, now: str) -> bool:
        """Whether it was written; else somebody else was faster."""
        write = make_out(state, plan, now)
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
        before = copy(state)
        item = LogItem(str(write.item["sk"]), write.header, write.data)
        self.log.take_own(state, item, write.bodies)
        if write.facts is not None:
            state.facts = write.facts
        if write.begins or write.facts is not None:
            state.listed_at = anyio.current_time()
            self._unlisted.pop(state.pk, None)
        elif plan.kind == "messages":
            await self._list_sometimes(state)
        if plan.seen is not None:
            await self._carry_annotations(before, state, plan)
        if write.begins and before.header is not None:
            await self._try_to_clean_up(state)
        if write.begins:
            self._owners.add(split_partition(state.pk)[0])
        return True

    async def _put(self, state: State, write: Write) -> None:
        together = [Put(write.item, _FREE)]
        removed: list[tuple[str, str]] = []
        header = write.header
        if write.header.kind == "tombstone":
            removed += [(state.pk, ENTRY), (state.pk, EXPIRY)]
        elif write.facts is not None:
            entry = entry_item(state.pk, write.ordinal, header, write.facts, self.shards)
            together.append(Put(entry, _FREE if state.header is None else None))
            if write.begins and split_partition(state.pk)[0] not in self._owners:
                together.append(Put(owner_item(state.pk)))
            if header.expires_at is not None:
                together.append(Put(expiry_item(state.pk, header.expires_at)))
            elif state.header is not None:
                removed.append((state.pk, EXPIRY))
        if write.begins and state.header is not None:
            together.append(Put(leftovers_item(state.pk, write.ordinal, header.updated)))
        annotated = write.annotated
        if len(annotated) <= _MAX_TOGETHER:
            together += map(Put, annotated)
            annotated = []
        if len(together) == 1 and not removed:
            await self.client.put(write.item, _FREE)
        else:
            await self.client.write_together(together, removed)
        if annotated:
            await self.client.write_all(annotated)

    async def _is_own(self, pk: str, write: Write, taken: TakenError) -> bool:
        """Whether what stands there is what we wrote, and only its answer was lost."""
        found = taken.item
        if found is None or "h" not in found:
            found = await self.client.get(pk, str(write.item["sk"]))
        return found is not None and found.get("h") == write.item["h"]

    async def _carry_annotations(self, before: State, state: State, plan: Plan) -> None:
        """Put annotations into a new history that came into the old one while it was written.

        Whoever annotates looks afterwards whether the history is still the same, so none is lost.
        """
        if before.header is None or state.header is None:
            return
        numbers = {draft.body["message_id"]: n for n, draft in enumerate(plan.drafts)}
        found = await read_annotations(self.log, before, 0, before.header.count)
        for message_id, annotations, revision in found.values():
            number = numbers.get(message_id)
            if number is None or revision <= (plan.seen or {}).get(message_id, 0):
                continue
            body = {"message_id": message_id, "annotations": annotations}
            item = annotation_item(state.pk, state.header.token, number, body, state.header.updated)
            item["r"] = 1
            with suppress(TakenError):  # somebody annotated it anew
                await self.client.put(item, "attribute_not_exists(r)")

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

    async def _try_to_clean_up(self, state: State) -> None:
        try:
            await self.clean_up(state)
        except UnavailableError as error:
            if state.header is not None and state.header.kind == "tombstone":
                raise  # what was deleted must be gone when that is acknowledged; it may be repeated
            _log.warning("what a conversation no longer needs is removed later: %s", error)

    async def clean_up(self, state: State) -> None:
        """Remove what was there before the history, or the end, that a state is of.

        It may be done again. A tombstone is forgotten some time after it, and not before: what
        lies below it would come back.
        """
        header, pk = state.header, state.pk
        if header is None:
            return
        start = None
        buckets: dict[str, str] = {}
        while True:
            items, start = await self.client.query(
                "pk = :pk", {":pk": pk}, start=start, only="sk, b"
            )
            left = [each for each in items if _is_left_over(str(each["sk"]), header)]
            # What names buckets stays until they are empty, so that this can be broken off.
            buckets |= {str(each["sk"]): str(each["b"]) for each in left if "b" in each}
            await self.client.write_all([], [(pk, str(e["sk"])) for e in left if "b" not in e])
            if start is None:
                break
        if self.places is not None and (buckets or header.life == header.generation):
            names = " ".join(buckets.values()).split()
            await self.places.remove_before(pk, header.life, names)
        await self.client.write_all([], [(pk, sk) for sk in buckets])
        if header.kind == "tombstone":
            until = int(datetime.now(UTC).timestamp()) + _TOMBSTONE_DAYS * _SECONDS_A_DAY
            with suppress(TakenError):  # somebody began anew, or it is forgotten already
                sk = log_key(header.generation)
                await self.client.update(pk, sk, {"t": until}, "attribute_exists(pk)")
        with suppress(TakenError):  # another one began anew, and what it left is to be removed, too
            values = {":v": header.generation}
            await self.client.delete(pk, LEFTOVERS, "attribute_not_exists(pk) OR v <= :v", values)


def _is_left_over(sk: str, header: Header) -> bool:
    return is_before(sk, header.generation, header.token) or is_of_life_before(sk, header.life)


def _is_young(state: State) -> bool:
    return anyio.current_time() - state.read_at < _FORGET_SECONDS
