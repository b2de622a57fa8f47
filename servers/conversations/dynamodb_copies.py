"""The verbs that copy in DynamoDB: forks and merges, written as a new history."""

import hashlib
from collections.abc import Sequence
from typing import Any

from servers.conversations.checks import check_id
from servers.conversations.contract import MAX_MERGE_MESSAGES, MAX_MERGE_SOURCES, Conversation
from servers.conversations.dynamodb_changes import require, version_of
from servers.conversations.dynamodb_plans import Plan, bare_facts
from servers.conversations.dynamodb_reads import Stored, read_all, revisions_of, to_conversation
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.facts_changes import check_facts_of
from servers.conversations.file_records import Draft, Facts, make_draft, to_message
from servers.conversations.merge_plan import Item, Kept, plan_merge
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)

_DELIVERY = "delivery"
_DIGEST_BYTES = 16


async def fork(
    writer: Writer, owner: str, conversation_id: str, up_to_message_id: str | None, new_id: str
) -> Conversation:
    """A new conversation of the messages up to one."""
    source = await writer.read(owner, conversation_id)
    facts: list[Facts] = []

    async def plan(state: State, now: str) -> Plan | None:
        require(source, now)
        messages = await read_all(writer.log, source, now)
        origin = {"conversation_id": conversation_id}
        if up_to_message_id is not None:
            ids = [each.body["message_id"] for each in messages]
            if up_to_message_id not in ids:
                raise NotFoundError(
                    "there is no such message in this conversation", field="up_to_message_id"
                )
            messages = messages[: ids.index(up_to_message_id) + 1]
            origin["message_id"] = up_to_message_id
        if state.is_alive(now):
            raise ConflictError(
                "there is a conversation with this id: give another one, or none",
                field="new_conversation_id",
                current_version=version_of(state, now),
            )
        old = await writer.log.read_facts(source)
        metadata = {**old.metadata, "forked_from": origin}
        check_facts_of(metadata, "metadata")
        begun = bare_facts(state.pk, now).model_copy(
            update={"title": old.title, "tags": old.tags, "metadata": metadata}
        )
        facts[:] = [begun]
        return Plan("history", [_copy(each, {}, each) for each in messages], begun)

    state = await writer.change(owner, new_id, plan)
    return to_conversation(state, facts[0])


async def merge(writer: Writer, owner: str, source_ids: Sequence[str], into: str) -> Conversation:
    """The messages of several conversations in one."""
    for number, source_id in enumerate(source_ids):
        check_id(source_id, f"source_ids[{number}]")
    check_id(into, "into")
    wanted = list(dict.fromkeys(source_ids))
    if not 1 <= len(wanted) <= MAX_MERGE_SOURCES:
        raise InvalidError(
            f"1 to {MAX_MERGE_SOURCES} conversations are merged, not {len(wanted)}",
            field="source_ids",
        )
    others = {each: await writer.read(owner, each) for each in wanted if each != into}

    async def plan(state: State, now: str) -> Plan | None:
        states = others | {into: state}
        for source_id in wanted:
            require(states[source_id], now, f"source_ids[{source_ids.index(source_id)}]")
        if state.is_alive(now) and into not in wanted:
            raise ConflictError(
                "the target exists and is none of the sources: name it among them to merge into "
                "it, or give another id",
                field="into",
                current_version=version_of(state, now),
            )
        total = sum(header.count for each in wanted if (header := states[each].header))
        if total > MAX_MERGE_MESSAGES:
            raise TooLargeError(
                f"at most {MAX_MERGE_MESSAGES} messages are merged, these have {total}: merge "
                f"fewer conversations",
                field="source_ids",
            )
        sources = [await read_all(writer.log, states[each], now) for each in wanted]
        target = wanted.index(into) if into in wanted else None
        items = [item for n, source in enumerate(sources) for item in _items(n, source)]
        kept = plan_merge(items, target)
        if target is not None and _is_there(kept, items, target):
            return None
        if target is not None:
            facts = await writer.log.read_facts(state)
        else:
            first = await writer.log.read_facts(states[wanted[0]])
            facts = bare_facts(state.pk, now).model_copy(
                update={"title": first.title, "tags": first.tags, "metadata": first.metadata}
            )
        seen = None if target is None else revisions_of(sources[target])
        return Plan("history", [_take(each, sources, target) for each in kept], facts, seen=seen)

    state = await writer.change(owner, into, plan)
    return to_conversation(state, await writer.log.read_facts(state))


def _items(number: int, source: Sequence[Stored]) -> list[Item]:
    return [
        Item(
            created_at=each.body["created_at"],
            source=number,
            offset=place,
            message_id=each.body["message_id"],
            turn_id=each.body.get("turn_id"),
            digest=_digest(each),
        )
        for place, each in enumerate(source)
    ]


def _digest(stored: Stored) -> bytes:
    content = to_message(stored.body).model_copy(update={"turn_id": None}).content_key()
    return hashlib.blake2b(content.encode(), digest_size=_DIGEST_BYTES).digest()


def _is_there(kept: Sequence[Kept], items: Sequence[Item], target: int) -> bool:
    """Whether the target is already what the merge would make of it."""
    own = [item for item in items if item.source == target]
    return len(own) == len(kept) and all(
        each.annotated_by.source == target
        and (item.message_id, item.turn_id) == (each.message_id, each.turn_id)
        and (item.created_at, item.digest) == (each.item.created_at, each.item.digest)
        for item, each in zip(own, kept, strict=True)
    )


def _take(kept: Kept, sources: Sequence[Sequence[Stored]], target: int | None) -> Draft:
    item, by = kept.item, kept.annotated_by
    changes: dict[str, Any] = {}
    if kept.message_id != item.message_id:
        changes["message_id"] = kept.message_id
    if kept.turn_id != item.turn_id:
        changes["turn_id"] = kept.turn_id
    annotated = sources[by.source][by.offset]
    return _copy(
        sources[item.source][item.offset], changes, annotated, keeps_delivery=by.source == target
    )


def _copy(
    stored: Stored, changes: dict[str, Any], annotated: Stored, *, keeps_delivery: bool = False
) -> Draft:
    body = {name: value for name, value in stored.body.items() if name != "annotations"} | changes
    annotations = {
        name: value
        for name, value in annotated.annotations.items()
        if keeps_delivery or name != _DELIVERY
    }
    if annotations:
        body["annotations"] = annotations
    return make_draft("message", body)
