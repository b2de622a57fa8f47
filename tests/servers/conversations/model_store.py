"""The contract in plain lists and dicts: a store in memory that other stores are compared with.

It is slow and keeps nothing; what it answers is what the contract says, and nothing about how.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from servers.conversations.attachment_chunks import Chunk
from servers.conversations.checks import check_id, check_owner_name, check_range, check_text
from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    MAX_FACTS_BYTES,
    MAX_FACTS_CHANGES_BYTES,
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    MAX_MERGE_SOURCES,
    MAX_OFFSET,
    MAX_PAGE_BYTES,
    Conversation,
    Message,
    Role,
    check_facts,
    encode_json,
    to_timestamp,
)
from servers.conversations.contract_attachments import MAX_ATTACHMENT_BYTES, MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_documents import ConversationDocument, ExportFormat
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    AttachmentsResult,
    ConversationStats,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    Delivery,
    ExportResult,
    ImportResult,
    ListResult,
    LoadResult,
    OwnersResult,
    PutAttachmentResult,
    SaveResult,
    SearchResult,
    StoreStats,
)
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.search_query import parse_search
from servers.conversations.store_errors import (
    InvalidError,
    NotFoundError,
    StaleCursorError,
    TooLargeError,
)
from servers.conversations.store_values import AttachmentPart, ConversationUpdate
from tests.servers.conversations.model_attachments import put_chunk, to_stored
from tests.servers.conversations.model_conversation import Held, Moment, Tie, by_conversation
from tests.servers.conversations.model_copies import merge_messages, without_delivery
from tests.servers.conversations.model_documents import choose_new, export_page, take_facts
from tests.servers.conversations.model_facts import check, checked_facts, merge_facts
from tests.servers.conversations.model_search import search

_T = TypeVar("_T")
_Item = TypeVar("_Item", Conversation, Delivery)
_TICK = timedelta(microseconds=1)


class ModelStore:
    """A `ConversationStore` in memory."""

    def __init__(self, of_one_time: Tie = by_conversation) -> None:
        """`of_one_time`: whose delivery comes first of what was stored at one time."""
        self._of_one_time = of_one_time
        self._held: dict[tuple[str, str], Held] = {}
        self._now = datetime.now(UTC)
        self._stored = 0

    async def load_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
    ) -> LoadResult:
        if limit is not None:
            check_range("limit", limit, 1, MAX_LOAD_LIMIT)
        held = self._find(owner, conversation_id)
        scope = ("messages", owner, conversation_id)
        end = len(held.messages)
        if before is not None:
            generation, end = read_cursor(before, "before", scope, (int, int))
            if not held.lives or generation != held.generation:
                raise StaleCursorError("rewritten", field="before")
        older = held.messages[: cast("int", end)] if held.lives else []
        page = older if limit is None else older[-_count_fitting(older[::-1], limit) or None :]
        left = len(older) - len(page)
        return LoadResult(
            conversation_id=conversation_id,
            messages=page,
            next_cursor=make_cursor(scope, (held.generation, left)) if left else None,
            version=held.current_version,
            damaged=0,
        )

    async def read_version(self, owner: str, conversation_id: str) -> int:
        return self._find(owner, conversation_id).current_version

    async def append_messages(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        held = self._find(owner, conversation_id)
        if len(messages) > MAX_BATCH_MESSAGES:
            raise InvalidError("too many messages", field="messages")
        whole = [self._complete(message) for message in messages]
        if sum(len(encode_json(message.to_wire())) for message in whole) > MAX_BATCH_BYTES:
            raise TooLargeError("too large a batch", field="messages")
        new: dict[str, Message] = {}
        stored = held.by_id()
        for message in whole:
            message_id = str(message.message_id)
            earlier = new.get(message_id) or stored.get(message_id)
            if earlier is None:
                new[message_id] = message
            elif earlier.content_key() != message.content_key():
                raise held.conflict(f"{message_id!r} has other content")
        if new:
            held.check_version(expected_version)
            held.begin()
            self._store(held, list(new.values()))
        return AppendResult(
            conversation_id=conversation_id,
            version=held.current_version,
            message_ids=[str(message.message_id) for message in whole],
            appended=len(new),
            repeated=len(whole) - len(new),
        )

    async def save_conversation(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> SaveResult:
        held = self._find(owner, conversation_id)
        by_id = held.by_id()
        stored = list(by_id.values())
        wanted = [_keep_unless_given(by_id, self._complete, message) for message in messages]
        ids = {str(message.message_id) for message in wanted}
        if len(ids) < len(wanted):
            raise InvalidError("an id twice", field="messages")
        if wanted != stored:
            held.check_version(expected_version)
            if wanted[: len(stored)] == stored:
                held.begin()
                self._store(held, wanted[len(stored) :])
            elif expected_version is None:
                raise held.conflict("this would drop messages")
            else:
                held.messages, held.stored_at, held.sizes = [], {}, {}
                held.generation += 1
                self._store(held, wanted)
        return SaveResult(
            conversation_id=conversation_id,
            version=held.current_version,
            message_count=len(wanted),
            appended=len(ids - by_id.keys()),
            removed=len(by_id.keys() - ids),
        )

    async def annotate_message(
        self, owner: str, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        check_text("message_id", message_id)
        held = self._require(owner, conversation_id)
        check("annotations", lambda: check_facts(annotations, MAX_FACTS_CHANGES_BYTES))
        message = held.by_id().get(message_id)
        if message is None:
            raise NotFoundError("no such message", field="message_id")
        merged = merge_facts(message.annotations or {}, annotations)
        check("annotations", lambda: check_facts(merged, MAX_FACTS_BYTES))
        place = held.messages.index(message)
        held.messages[place] = message.model_copy(update={"annotations": merged or None})
        return AnnotateResult(message_id=message_id, annotations=merged)

    async def delete_conversation(self, owner: str, conversation_id: str) -> DeleteResult:
        held = self._find(owner, conversation_id)
        deleted = held.lives
        held.exists = False
        return DeleteResult(deleted=deleted)

    async def list_conversations(
        self,
        owner: str,
        *,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        tag: str | None = None,
    ) -> ListResult:
        check_owner_name(owner)
        check_range("limit", limit, 1, MAX_LIST_LIMIT)
        check_range("offset", offset, 0, MAX_OFFSET)
        check_text("tag", tag or "")
        if cursor is not None and offset:
            raise InvalidError("not both", field="cursor")
        scope = ("conversations", owner, *([] if tag is None else [tag]))
        found = [
            held.to_conversation()
            for held in self._held.values()
            if held.lives and held.owner == owner
        ]
        found = [c for c in found if tag is None or tag in c.tags]
        found.sort(key=lambda c: c.conversation_id.encode())
        found.sort(key=lambda c: c.last_updated, reverse=True)
        if cursor is not None:
            at, after = read_cursor(cursor, "cursor", scope, (str, str))
            found = [
                c
                for c in found
                if c.last_updated < str(at)
                or (c.last_updated == at and c.conversation_id.encode() > str(after).encode())
            ]
        found = found[offset:]
        page = found[: _count_fitting(found, limit)]
        last = page[-1] if len(page) < len(found) else None
        return ListResult(
            conversations=page,
            next_cursor=last and make_cursor(scope, (last.last_updated, last.conversation_id)),
        )

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        held = self._require(owner, conversation_id)
        messages = held.messages
        roles = [message.role for message in messages]
        whole = [held.attachments[each] for each in held.whole_attachments()]
        stats = ConversationStats(
            messages_by_role={role: roles.count(role) for role in set(roles)},
            bytes=sum(held.sizes[str(message.message_id)] for message in messages),
            first_message_at=messages[0].created_at if messages else None,
            last_message_at=messages[-1].created_at if messages else None,
            input_tokens=sum(_tokens(message, "input_tokens") for message in messages),
            output_tokens=sum(_tokens(message, "output_tokens") for message in messages),
            attachments=len(whole),
            attachment_bytes=sum(len(attachment.data) for attachment in whole),
            latest_attachments=[
                to_stored(each, held.attachments[each])
                for each in held.whole_attachments()[-MAX_LISTED_ATTACHMENTS:]
            ],
        )
        return ConversationWithStats(**held.to_conversation().model_dump(), stats=stats)

    async def list_attachments(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int = MAX_LISTED_ATTACHMENTS,
        cursor: str | None = None,
    ) -> AttachmentsResult:
        check_owner_name(owner)
        check_id(conversation_id)
        check_range("limit", limit, 1, MAX_LISTED_ATTACHMENTS)
        scope, after = ("attachments", owner, conversation_id), ""
        if cursor is not None:
            after = str(read_cursor(cursor, "cursor", scope, (str,))[0])
        held = self._require(owner, conversation_id)
        later = [each for each in sorted(held.whole_attachments()) if each > after]
        return AttachmentsResult(
            attachments=[to_stored(each, held.attachments[each]) for each in later[:limit]],
            next_cursor=make_cursor(scope, [later[limit - 1]]) if later[limit:] else None,
            damaged=0,
        )

    async def update_conversation(
        self, owner: str, conversation_id: str, update: ConversationUpdate
    ) -> Conversation:
        held = self._require(owner, conversation_id)
        given = {name: getattr(update, name) for name in update.model_fields_set}
        facts = {**held.facts, **checked_facts(held, given)}
        if facts != held.facts:
            held.facts = facts
            held.version += 1
        return held.to_conversation()

    async def list_deliveries(
        self, state: str, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveriesResult:
        check_text("state", state)
        check_range("limit", limit, 1, MAX_LIST_LIMIT)
        if owner is not None:
            check_owner_name(owner)
        scope = ("deliveries", state, *([] if owner is None else [owner]))
        after: Any = ("", "", 0)
        if cursor is not None:
            after = tuple(read_cursor(cursor, "cursor", scope, (str, str, int)))
        found: list[tuple[Moment, Delivery]] = []
        for held in self._held.values():
            if held.lives and owner in (None, held.owner):
                found += [
                    (held.stored_at[str(m.message_id)], _to_delivery(held, m, state))
                    for m in held.messages
                    if _delivery_state(m) == state
                ]
        later = sorted((place, delivery) for place, delivery in found if place > after)
        page = later[: _count_fitting([delivery for _, delivery in later], limit)]
        return DeliveriesResult(
            deliveries=[delivery for _, delivery in page],
            next_cursor=make_cursor(scope, page[-1][0]) if len(page) < len(later) else None,
        )

    async def list_owners(self, *, limit: int = 1_000, cursor: str | None = None) -> OwnersResult:
        check_range("limit", limit, 1, MAX_LIST_LIMIT)
        after = ""
        if cursor is not None:
            after = str(read_cursor(cursor, "cursor", ("owners",), (str,))[0])
        found = {held.owner.encode() for held in self._held.values() if held.lives}
        later = [owner.decode() for owner in sorted(found) if owner > after.encode()]
        return OwnersResult(
            owners=later[:limit],
            next_cursor=make_cursor(("owners",), [later[limit - 1]]) if later[limit:] else None,
        )

    async def get_stats(self) -> StoreStats:
        living = [held for held in self._held.values() if held.lives]
        messages = [message for held in living for message in held.messages]
        return StoreStats(
            back_end="model",
            owners=len({held.owner for held in living}),
            conversations=len(living),
            messages=len(messages),
            bytes=sum(len(encode_json(message.to_wire())) for message in messages),
        )

    async def fork_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        up_to_message_id: str | None = None,
        new_conversation_id: str | None = None,
    ) -> Conversation:
        new_id = secrets.token_hex(16) if new_conversation_id is None else new_conversation_id
        check_id(new_id, "new_conversation_id")
        held = self._require(owner, conversation_id)
        ids = list(held.by_id())
        origin = {"conversation_id": conversation_id}
        if up_to_message_id is not None:
            if up_to_message_id not in ids:
                raise NotFoundError("no such message", field="up_to_message_id")
            ids = ids[: ids.index(up_to_message_id) + 1]
            origin["message_id"] = up_to_message_id
        target = self._find(owner, new_id)
        if target.lives:
            raise target.conflict("not free", "new_conversation_id")
        metadata = {**held.facts["metadata"], "forked_from": origin}
        check("metadata", lambda: check_facts(metadata))
        facts = {**held.facts, "metadata": metadata, "expires_at": None}
        copies = [without_delivery(message) for message in held.messages[: len(ids)]]
        return self._begin_with(target, copies, facts)

    async def merge_conversations(
        self, owner: str, source_ids: Sequence[str], into: str
    ) -> Conversation:
        for number, source_id in enumerate(source_ids):
            check_id(source_id, f"source_ids[{number}]")
        check_id(into, "into")
        wanted = list(dict.fromkeys(source_ids))
        check_range("source_ids", len(wanted), 1, MAX_MERGE_SOURCES)
        for source_id in wanted:
            if not self._find(owner, source_id).lives:
                field = f"source_ids[{source_ids.index(source_id)}]"
                raise NotFoundError("there is no such conversation", field=field)
        target = self._find(owner, into)
        if target.lives and into not in wanted:
            raise target.conflict("not free", "into")
        sources = [self._find(owner, source_id) for source_id in wanted]
        place = wanted.index(into) if into in wanted else None
        merged = merge_messages([source.messages for source in sources], place)
        if place is not None and merged == target.messages:
            return target.to_conversation()
        facts = sources[0].facts | {"expires_at": None} if place is None else target.facts
        return self._begin_with(target, merged, facts)

    async def search_conversations(
        self,
        owner: str,
        query: str,
        *,
        limit: int = 20,
        conversation_id: str | None = None,
        role: Role | None = None,
        since: str | None = None,
    ) -> SearchResult:
        wanted = parse_search(
            owner, query, limit=limit, conversation_id=conversation_id, role=role, since=since
        )
        return search(wanted, self._held.values())

    async def export_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        format: ExportFormat = "json",
        cursor: str | None = None,
    ) -> ExportResult:
        held = self._require(owner, conversation_id)
        return export_page(held, format, cursor)

    async def import_conversation(
        self, owner: str, document: ConversationDocument, *, conversation_id: str | None = None
    ) -> ImportResult:
        if conversation_id is None:
            conversation_id = document.conversation.conversation_id
        if conversation_id is None:
            raise InvalidError("where to?", field="document.conversation.conversation_id")
        held = self._find(owner, conversation_id)
        now = self._tick()
        new, result = choose_new(held, document, conversation_id)
        last_updated = min(document.conversation.last_updated or now, now)
        if not held.lives:
            held.begin()
            take_facts(held, document.conversation, now)
            self._store(held, [self._complete(message) for message in new], last_updated)
        elif new:
            last_updated = max(held.last_updated, last_updated)
            self._store(held, [self._complete(message) for message in new], last_updated)
        return result

    async def put_attachment(
        self,
        owner: str,
        conversation_id: str,
        data: bytes,
        *,
        name: str,
        mime_type: str,
        attachment_id: str | None = None,
        offset: int = 0,
        total_size: int | None = None,
    ) -> PutAttachmentResult:
        held = self._find(owner, conversation_id)
        chunk = Chunk(data, name, mime_type, attachment_id, offset, total_size).checked()
        attachment_id = attachment_id or secrets.token_hex(16)
        attachment = put_chunk(held, attachment_id, chunk)
        if not held.lives:
            held.begin()
            self._store(held, [])
        held.attachments[attachment_id] = attachment
        return PutAttachmentResult(
            attachment_id=attachment_id,
            uri=AttachmentUri(conversation_id, attachment_id).render(),
            size=len(attachment.data),
            complete=attachment.is_complete,
        )

    async def read_attachment(
        self,
        owner: str,
        conversation_id: str,
        attachment_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
    ) -> AttachmentPart:
        held = self._find(owner, conversation_id)
        if length is not None:
            check_range("length", length, 1, MAX_ATTACHMENT_BYTES)
        attachment = held.attachments.get(attachment_id) if held.lives else None
        if attachment is None or not attachment.is_complete:
            raise NotFoundError("there is no such attachment", field="attachment_id")
        size = len(attachment.data)
        check_range("offset", offset, 0, size)
        data = attachment.data[offset:][:length]
        return AttachmentPart(attachment.name, attachment.mime_type, size, offset, data)

    def _begin_with(
        self, held: Held, messages: Sequence[Message], facts: dict[str, Any]
    ) -> Conversation:
        held.begin()
        held.facts = facts
        held.messages, held.stored_at, held.sizes = [], {}, {}
        held.generation += 1
        self._store(held, messages)
        return held.to_conversation()

    def _find(self, owner: str, conversation_id: str) -> Held:
        check_owner_name(owner)
        check_id(conversation_id)
        key = (owner, conversation_id)
        return self._held.setdefault(key, Held(owner, conversation_id))

    def _require(self, owner: str, conversation_id: str) -> Held:
        held = self._find(owner, conversation_id)
        if not held.lives:
            raise NotFoundError("there is no such conversation", field="conversation_id")
        return held

    def _complete(self, message: Message) -> Message:
        made: dict[str, str] = {}
        if message.message_id is None:
            made["message_id"] = secrets.token_hex(16)
        if message.created_at is None:
            made["created_at"] = to_timestamp(datetime.now(UTC))
        check("messages", message.check_size)
        return message.model_copy(update=made)

    def _tick(self) -> str:
        self._now = max(datetime.now(UTC), self._now + _TICK)
        return to_timestamp(self._now)

    def _store(
        self, held: Held, messages: Sequence[Message], last_updated: str | None = None
    ) -> None:
        held.last_updated = last_updated or self._tick()
        held.created_at = held.created_at or held.last_updated
        held.version += len(messages) + 1
        for message in messages:
            self._stored += 1
            tie = self._of_one_time(held, len(held.messages))
            moment = Moment(held.last_updated, tie, self._stored)
            held.stored_at[str(message.message_id)] = moment
            held.sizes[str(message.message_id)] = len(encode_json(message.to_wire()))
            held.messages.append(message)


def _keep_unless_given(
    stored: Mapping[str, Message], complete: Callable[[Message], Message], message: Message
) -> Message:
    earlier = stored.get(message.message_id or "")
    if earlier is None or earlier.content_key() != message.content_key():
        return complete(message)
    annotations = earlier.annotations if message.annotations is None else message.annotations
    return earlier.model_copy(
        update={
            "created_at": message.created_at or earlier.created_at,
            "annotations": annotations or None,
        }
    )


def _count_fitting(items: Sequence[Message] | Sequence[_Item], limit: int) -> int:
    """How many of the first `limit` items a page holds: one at least, if there is one."""
    room = MAX_PAGE_BYTES
    for number, item in enumerate(items[:limit]):
        wire = item.to_wire() if isinstance(item, Message) else item.model_dump()
        room -= len(encode_json(wire))
        if room < 0 and number:
            return number
    return min(limit, len(items))


def _delivery_state(message: Message) -> object:
    delivery = (message.annotations or {}).get("delivery")
    if isinstance(delivery, dict):
        return cast("dict[str, object]", delivery).get("state")
    return delivery


def _to_delivery(held: Held, message: Message, state: str) -> Delivery:
    return Delivery(
        owner=held.owner,
        conversation_id=held.conversation_id,
        message_id=str(message.message_id),
        state=state,
        annotations=message.annotations or {},
    )


def _tokens(message: Message, name: str) -> int:
    usage = (message.metadata or {}).get("usage")
    count = cast("dict[str, object]", usage).get(name) if isinstance(usage, dict) else 0
    return count if type(count) is int and 0 <= count < 2**40 else 0
