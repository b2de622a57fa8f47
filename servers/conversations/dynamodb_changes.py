"""The verbs that change a conversation in DynamoDB: what each of them writes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from servers.aws.dynamodb import TakenError
from servers.conversations.contract import (
    MAX_FACTS_CHANGES_BYTES,
    Conversation,
    Message,
    to_timestamp,
)
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    DeleteResult,
    ImportResult,
    SaveResult,
)
from servers.conversations.dynamodb_entries import annotation_item
from servers.conversations.dynamodb_items import EXPIRY
from servers.conversations.dynamodb_plans import Plan, bare_facts
from servers.conversations.dynamodb_reads import (
    find_message,
    read_all,
    revisions_of,
    to_conversation,
)
from servers.conversations.dynamodb_states import Known, State, digest_of
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.facts_changes import change_facts, check_facts_of, merge_facts
from servers.conversations.file_imports import name_all, take_facts
from servers.conversations.file_records import Draft
from servers.conversations.message_drafts import (
    check_batch,
    check_batch_size,
    id_conflict,
    keep_unless_given,
    make_id,
    to_draft,
)
from servers.conversations.store_errors import ConflictError, InvalidError, NotFoundError
from servers.conversations.store_values import ConversationUpdate

_ATTEMPTS = 50


def version_of(state: State, now: str) -> int:
    """The version, 0 if it doesn't exist."""
    return state.ordinal if state.is_alive(now) else 0


def check_version(state: State, now: str, expected: int | None) -> None:
    """Raise `ConflictError` if a caller's expectation is not met."""
    version = version_of(state, now)
    if expected is not None and expected != version:
        raise ConflictError(
            f"the conversation has version {version}, not {expected}: load it, try again",
            field="expected_version",
            current_version=version,
        )


def require(state: State, now: str, field: str = "conversation_id") -> None:
    """Raise `NotFoundError` if there is no such conversation."""
    if not state.is_alive(now):
        raise NotFoundError("there is no such conversation", field=field)


async def append(
    writer: Writer,
    owner: str,
    conversation_id: str,
    messages: Sequence[Message],
    expected_version: int | None,
) -> AppendResult:
    """Add what is not yet stored."""
    check_batch(messages)
    made: dict[int, str] = {}
    result: list[AppendResult] = []

    async def plan(state: State, now: str) -> Plan | None:
        drafts = [to_draft(_named(made, n, message), now) for n, message in enumerate(messages)]
        check_batch_size(drafts)
        recent: Mapping[str, Known] = {}
        if drafts and state.is_alive(now):
            recent = await writer.log.load_recent(state)
        new: dict[str, Draft] = {}
        for draft in drafts:
            message_id = draft.body["message_id"]
            digest = digest_of(draft.body)
            earlier = new.get(message_id)
            known = digest_of(earlier.body) if earlier else None
            if earlier is None and message_id in recent:
                known = recent[message_id].digest
            if known is None:
                new[message_id] = draft
            elif known != digest:
                raise id_conflict(message_id, version_of(state, now))
        if new:
            check_version(state, now, expected_version)
        result[:] = [
            AppendResult(
                conversation_id=conversation_id,
                version=version_of(state, now),
                message_ids=[draft.body["message_id"] for draft in drafts],
                appended=len(new),
                repeated=len(drafts) - len(new),
            )
        ]
        return Plan("messages", list(new.values())) if new else None

    state = await writer.change(owner, conversation_id, plan)
    if result[0].appended:
        return result[0].model_copy(update={"version": state.ordinal})
    return result[0]


async def save(
    writer: Writer,
    owner: str,
    conversation_id: str,
    messages: Sequence[Message],
    expected_version: int | None,
) -> SaveResult:
    """Make the history exactly the list: by adding if that will do, else by a new history."""
    result: list[SaveResult] = []

    async def plan(state: State, now: str) -> Plan | None:
        found = await read_all(writer.log, state, now)
        stored = [each.message for each in found]
        by_id = {str(message.message_id): message for message in stored}
        wanted = [keep_unless_given(by_id, message, now) for message in messages]
        ids = {str(message.message_id) for message in wanted}
        if len(ids) < len(wanted):
            raise InvalidError("the list holds a message_id more than once", field="messages")
        result[:] = [
            SaveResult(
                conversation_id=conversation_id,
                version=version_of(state, now),
                message_count=len(wanted),
                appended=len(ids - by_id.keys()),
                removed=len(by_id.keys() - ids),
            )
        ]
        if wanted == stored:
            return None
        check_version(state, now, expected_version)
        drafts = [to_draft(message, now) for message in wanted]
        if wanted[: len(stored)] == stored:
            return Plan("messages", drafts[len(stored) :])
        if expected_version is None:
            raise ConflictError(
                "this would remove or change stored messages: give the expected_version that the "
                "list is based on, or use append_messages to add",
                field="expected_version",
                current_version=version_of(state, now),
            )
        facts = await writer.log.read_facts(state)
        return Plan("history", drafts, facts, seen=revisions_of(found))

    state = await writer.change(owner, conversation_id, plan)
    now = to_timestamp(datetime.now(UTC))
    return result[0].model_copy(update={"version": version_of(state, now)})


async def annotate(
    writer: Writer,
    owner: str,
    conversation_id: str,
    message_id: str,
    changes: Mapping[str, Any],
) -> AnnotateResult:
    """Put a message's annotations in after the merge, if that changes them."""
    check_facts_of(changes, "annotations", MAX_FACTS_CHANGES_BYTES)
    for _ in range(_ATTEMPTS):
        state = await writer.read(owner, conversation_id, recent=True)
        require(state, to_timestamp(datetime.now(UTC)))
        stored = await find_message(writer.log, state, message_id)
        merged = merge_facts(stored.annotations, changes)
        if merged == stored.annotations:
            return AnnotateResult(message_id=message_id, annotations=merged)
        check_facts_of(merged, "annotations")
        assert state.header is not None
        body = {"message_id": message_id, "annotations": merged}
        item = annotation_item(
            state.pk, state.header.token, stored.place.number, body, stored.stored_at
        )
        revision, item["r"] = stored.revision, stored.revision + 1
        try:
            if revision:
                await writer.client.put(item, "r = :r", {":r": revision})
            else:
                await writer.client.put(item, "attribute_not_exists(r)")
        except TakenError as taken:
            if taken.item is None or taken.item.get("e") != item["e"]:
                continue
        after = await writer.read(owner, conversation_id)
        if after.header is not None and after.header.token == state.header.token:
            return AnnotateResult(message_id=message_id, annotations=merged)
    raise NotFoundError("there is no such message in this conversation", field="message_id")


async def update(
    writer: Writer, owner: str, conversation_id: str, update: ConversationUpdate
) -> Conversation:
    """Write the conversation's facts, if that changes them."""

    async def plan(state: State, now: str) -> Plan | None:
        require(state, now)
        facts = await writer.log.read_facts(state)
        changed = change_facts(facts, update)
        return None if changed == facts else Plan("facts", (), changed)

    state = await writer.change(owner, conversation_id, plan)
    return to_conversation(state, await writer.log.read_facts(state))


async def delete(writer: Writer, owner: str, conversation_id: str) -> DeleteResult:
    """Leave nothing but the number that must not be used again; and that not for ever."""
    deleted = False

    async def plan(state: State, now: str) -> Plan | None:
        nonlocal deleted
        deleted = state.is_alive(now)
        is_there = state.header is not None and state.header.kind != "tombstone"
        return Plan("tombstone") if is_there else None

    state = await writer.change(owner, conversation_id, plan)
    if not deleted and state.header is not None and state.header.kind == "tombstone":
        # Somebody's deletion may have been broken off before all was removed.
        await writer.clean_up(state)
    return DeleteResult(deleted=deleted)


async def remove_expired(writer: Writer, owner: str, conversation_id: str) -> None:
    """Remove a conversation whose time has come, if that is still so."""

    async def plan(state: State, now: str) -> Plan | None:
        is_there = state.header is not None and state.header.kind != "tombstone"
        return Plan("tombstone") if is_there and not state.is_alive(now) else None

    state = await writer.change(owner, conversation_id, plan)
    if state.header is None or state.header.kind == "tombstone":
        await writer.client.write_all([], [(state.pk, EXPIRY)])


async def import_page(
    writer: Writer, owner: str, document: ConversationDocument, conversation_id: str
) -> ImportResult:
    """Add what is not yet stored, and the facts if nothing is."""
    result: list[ImportResult] = []

    async def plan(state: State, now: str) -> Plan | None:
        is_alive = state.is_alive(now)
        known: Mapping[str, Known] = await writer.log.load_recent(state) if is_alive else {}
        new: dict[str, Draft] = {}
        repeated = skipped = 0
        has_all = False
        for message in name_all(document.messages):
            message_id = message.message_id or ""
            if is_alive and not has_all and message_id not in known:
                known, has_all = await writer.log.load_all(state), True
            draft = new.get(message_id)
            digest = known[message_id].digest if message_id in known else None
            if draft is not None:
                digest = digest_of(draft.body)
            made = to_draft(message, now)
            if digest is None:
                new[message_id] = made
            elif digest == digest_of(made.body):
                repeated += 1
            else:
                skipped += 1
        result[:] = [
            ImportResult(
                conversation_id=conversation_id,
                appended=len(new),
                repeated=repeated,
                skipped=skipped,
            )
        ]
        at = min(document.conversation.last_updated or now, now)
        if not is_alive:
            facts = take_facts(bare_facts(state.pk, now), document, now)
            return Plan("history", list(new.values()), facts, at)
        return Plan("messages", list(new.values()), None, at) if new else None

    await writer.change(owner, conversation_id, plan)
    return result[0]


def _named(made: dict[int, str], number: int, message: Message) -> Message:
    """The message with an id, which is the same when the plan is made again."""
    if message.message_id is not None:
        return message
    return message.model_copy(update={"message_id": made.setdefault(number, make_id())})
