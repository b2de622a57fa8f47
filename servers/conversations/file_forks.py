"""The verb that forks a conversation: a snapshot of it is read while a new file is written."""

import secrets
from collections.abc import Iterator
from typing import NamedTuple

from servers.conversations.checks import check_id, check_text
from servers.conversations.contract import Conversation, SizeError, check_facts
from servers.conversations.file_copies import Source, copy_message, repeat_if_changed
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import Draft
from servers.conversations.file_snapshot import Snapshot
from servers.conversations.file_targets import Plan, write_target
from servers.conversations.store_errors import ConflictError, NotFoundError, TooLargeError


class _Prefix(NamedTuple):
    """What is forked."""

    snapshot: Snapshot
    until_seq: int | None
    message_id: str | None


async def fork(
    engine: FileEngine,
    owner: str,
    conversation_id: str,
    up_to_message_id: str | None,
    new_conversation_id: str | None,
) -> Conversation:
    """Holds no lock while it copies: the source and the target may be written to meanwhile."""
    if up_to_message_id is not None:
        check_text("up_to_message_id", up_to_message_id)
    target = secrets.token_hex(16) if new_conversation_id is None else new_conversation_id
    check_id(target, "new_conversation_id")

    async def attempt(*, locked: bool) -> Conversation:
        prefix = await engine.read(
            owner, conversation_id, lambda opened: _take(opened, up_to_message_id)
        )
        try:
            return await write_target(
                engine, owner, target, lambda opened: _plan(opened, prefix), locked=locked
            )
        finally:
            prefix.snapshot.close()

    return await repeat_if_changed(attempt)


def _take(opened: ConversationReader, message_id: str | None) -> _Prefix:
    opened.require()
    until_seq = None
    if message_id is not None:
        last = opened.find(message_id)
        if last is None:
            raise NotFoundError(
                "there is no such message in this conversation", field="up_to_message_id"
            )
        until_seq = last.progress.seq
    return _Prefix(opened.snapshot(), until_seq, message_id)


def _plan(opened: ConversationReader, prefix: _Prefix) -> Plan:
    if opened.exists:
        raise ConflictError(
            "there is a conversation with the new id already: give another one, or none",
            field="new_conversation_id",
            current_version=opened.version,
        )
    whole = prefix.snapshot.facts
    origin = {"conversation_id": whole.conversation_id}
    if prefix.message_id is not None:
        origin["message_id"] = prefix.message_id
    metadata = {**whole.metadata, "forked_from": origin}
    try:
        check_facts(metadata)
    except SizeError as error:
        raise TooLargeError(
            f"the fork's metadata, which say where it is from, {error}: remove something from "
            f"the conversation's metadata",
            field="metadata",
        ) from None
    facts = opened.bare_facts().model_copy(
        update={"title": whole.title, "tags": whole.tags, "metadata": metadata}
    )
    return Plan(facts, lambda: _draft(Source(prefix.snapshot, prefix.until_seq)))


def _draft(source: Source) -> Iterator[Draft]:
    for stored in source.messages():
        yield copy_message(stored, source.annotations_of(stored.record), {})
