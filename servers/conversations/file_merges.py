"""The verb that merges conversations: snapshots of them are read while a new file is written."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from servers.conversations.checks import check_id
from servers.conversations.contract import (
    MAX_MERGE_MESSAGES,
    MAX_MERGE_SOURCES,
    Conversation,
)
from servers.conversations.file_copies import Source, copy_message, repeat_if_changed
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import Draft, to_message
from servers.conversations.file_snapshot import Snapshot
from servers.conversations.file_targets import Plan, write_target
from servers.conversations.merge_plan import Item, Kept, plan_merge
from servers.conversations.store_errors import ConflictError, InvalidError, TooLargeError

_DIGEST_BYTES = 16


async def merge(
    engine: FileEngine, owner: str, source_ids: Sequence[str], into: str
) -> Conversation:
    """Holds no lock while it copies: sources and target may be written to meanwhile."""
    for number, source_id in enumerate(source_ids):
        check_id(source_id, f"source_ids[{number}]")
    check_id(into, "into")
    fields = {source_id: f"source_ids[{n}]" for n, source_id in reversed([*enumerate(source_ids)])}
    wanted = list(dict.fromkeys(source_ids))
    if not 1 <= len(wanted) <= MAX_MERGE_SOURCES:
        raise InvalidError(
            f"1 to {MAX_MERGE_SOURCES} conversations are merged, not {len(wanted)}",
            field="source_ids",
        )

    async def attempt(*, locked: bool) -> Conversation:
        snapshots: dict[str, Snapshot] = {}
        try:
            for source_id in wanted:
                if source_id != into:
                    snapshots[source_id] = await engine.read(
                        owner, source_id, lambda opened, of=source_id: _take(opened, fields[of])
                    )
            return await write_target(
                *(engine, owner, into),
                lambda opened: _plan(opened, wanted, snapshots, fields.get(into)),
                locked=locked,
            )
        finally:
            for snapshot in snapshots.values():
                snapshot.close()

    return await repeat_if_changed(attempt)


def _take(opened: ConversationReader, field: str) -> Snapshot:
    opened.require(field)
    return opened.snapshot()


def _plan(
    opened: ConversationReader,
    source_ids: Sequence[str],
    snapshots: dict[str, Snapshot],
    field: str | None,
) -> Plan:
    """`field`: by which the target is one of the sources, if it is; its snapshot is added."""
    into, target, facts = opened.conversation_id, None, opened.facts
    if field is not None:
        snapshots[into] = _take(opened, field)
        target = source_ids.index(into)
    elif opened.exists:
        raise ConflictError(
            "there is a conversation with this id, which is not among the sources: name it "
            "there as well, or give an id that is free",
            field="into",
            current_version=opened.version,
        )
    else:
        first = snapshots[source_ids[0]].facts
        kept = {"title": first.title, "tags": first.tags, "metadata": first.metadata}
        facts = opened.bare_facts().model_copy(update=kept)
    sources = [Source(snapshots[each], keeps_delivery=each == into) for each in source_ids]
    return Plan(facts, lambda: _draft(sources, target), goes_on=target is not None)


def _draft(sources: Sequence[Source], target: int | None) -> Iterator[Draft] | None:
    total = sum(source.snapshot.progress.message_count for source in sources)
    if total > MAX_MERGE_MESSAGES:
        raise TooLargeError(
            f"at most {MAX_MERGE_MESSAGES} messages are merged, these have {total}: merge fewer "
            f"conversations",
            field="source_ids",
        )
    items = [item for number, source in enumerate(sources) for item in _items(number, source)]
    kept = plan_merge(items, target)
    if target is not None and _is_there(kept, items, target):
        return None
    return _copy(kept, sources)


def _items(number: int, source: Source) -> Iterator[Item]:
    for record, _ in source.messages():
        body = record.body
        content = to_message(body).model_copy(update={"turn_id": None}).content_key()
        yield Item(
            created_at=body["created_at"],
            source=number,
            offset=record.offset,
            message_id=body["message_id"],
            turn_id=body.get("turn_id"),
            digest=hashlib.blake2b(content.encode(), digest_size=_DIGEST_BYTES).digest(),
        )


def _is_there(kept: Sequence[Kept], items: Sequence[Item], target: int) -> bool:
    """Whether the target is already what the merge would make of it."""
    own = [item for item in items if item.source == target]
    return len(own) == len(kept) and all(
        each.annotated_by.source == target
        and (item.message_id, item.turn_id) == (each.message_id, each.turn_id)
        and (item.created_at, item.digest) == (each.item.created_at, each.item.digest)
        for item, each in zip(own, kept, strict=True)
    )


def _copy(kept: Sequence[Kept], sources: Sequence[Source]) -> Iterator[Draft]:
    for each in kept:
        item = each.item
        stored = sources[item.source].read(item.offset)
        annotated = stored
        if each.annotated_by is not item:  # the same message in the target
            annotated = sources[each.annotated_by.source].read(each.annotated_by.offset)
        changes: dict[str, Any] = {}
        if each.message_id != item.message_id:
            changes["message_id"] = each.message_id
        if each.turn_id != item.turn_id:
            changes["turn_id"] = each.turn_id
        annotations = sources[each.annotated_by.source].annotations_of(annotated.record)
        yield copy_message(stored, annotations, changes)
