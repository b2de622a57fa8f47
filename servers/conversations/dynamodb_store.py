"""The back end on DynamoDB: conversations that any number of servers share."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from servers.aws.dynamodb import verb
from servers.conversations import (
    dynamodb_attachments,
    dynamodb_changes,
    dynamodb_copies,
    dynamodb_exports,
    dynamodb_listings,
    dynamodb_reads,
    dynamodb_search,
)
from servers.conversations.attachment_chunks import Chunk
from servers.conversations.attachment_pages import read_place
from servers.conversations.checks import (
    check_deliveries,
    check_id,
    check_listing,
    check_owner_name,
    check_range,
    check_text,
    checked,
    name_target,
)
from servers.conversations.contract import (
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    Conversation,
    Message,
    Role,
    to_timestamp,
)
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_LISTED_ATTACHMENTS,
    check_attachment_id,
)
from servers.conversations.contract_documents import ConversationDocument, ExportFormat
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    AttachmentsResult,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ExportResult,
    ImportResult,
    ListResult,
    LoadResult,
    OwnersResult,
    PutAttachmentResult,
    SaveResult,
    SearchResult,
    StoreStats,
    VerbUnits,
)
from servers.conversations.dynamodb_log import repeat_if_changed
from servers.conversations.dynamodb_places import Places
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.search_query import parse_search
from servers.conversations.store_errors import NotFoundError
from servers.conversations.store_values import AttachmentPart, ConversationUpdate


class DynamoDBConversationStore:
    """A `ConversationStore` in a table. Made by `open_dynamodb_store`."""

    def __init__(self, writer: Writer, places: Places) -> None:
        self.writer = writer
        self._places = writer.places = places

    async def load_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
    ) -> LoadResult:
        """See `ConversationStore`."""
        if limit is not None:
            check_range("limit", limit, 1, MAX_LOAD_LIMIT)

        async def attempt() -> LoadResult:
            _begin("load_conversation", owner, conversation_id)
            latest = limit if before is None else None
            state = await self.writer.read(owner, conversation_id, latest=latest)
            return await dynamodb_reads.load(
                self.writer.log, state, _now(), conversation_id, limit, before
            )

        return await repeat_if_changed(attempt)

    async def append_messages(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        """See `ConversationStore`."""
        _begin("append_messages", owner, conversation_id)
        return await dynamodb_changes.append(
            self.writer, owner, conversation_id, messages, expected_version
        )

    async def save_conversation(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> SaveResult:
        """See `ConversationStore`."""
        _begin("save_conversation", owner, conversation_id)
        return await dynamodb_changes.save(
            self.writer, owner, conversation_id, messages, expected_version
        )

    async def annotate_message(
        self, owner: str, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """See `ConversationStore`."""
        check_text("message_id", message_id)
        _begin("annotate_message", owner, conversation_id)
        return await dynamodb_changes.annotate(
            self.writer, owner, conversation_id, message_id, annotations
        )

    async def delete_conversation(self, owner: str, conversation_id: str) -> DeleteResult:
        """See `ConversationStore`."""
        _begin("delete_conversation", owner, conversation_id)
        return await dynamodb_changes.delete(self.writer, owner, conversation_id)

    async def list_conversations(
        self,
        owner: str,
        *,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        tag: str | None = None,
    ) -> ListResult:
        """See `ConversationStore`."""
        check_listing(owner, limit, offset, cursor, tag)
        verb.set("list_conversations")
        return await dynamodb_listings.list_newest(
            self.writer, owner, _now(), limit=limit, offset=offset, cursor=cursor, tag=tag
        )

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        """See `ConversationStore`."""
        state = await self._find("get_conversation", owner, conversation_id)
        facts = await self.writer.log.read_facts(state)
        conversation = dynamodb_reads.to_conversation(state, facts)
        stats = dynamodb_reads.to_stats(state)
        stats = await dynamodb_attachments.measure(self.writer, state, stats)
        return ConversationWithStats(**conversation.model_dump(), stats=stats)

    async def read_version(self, owner: str, conversation_id: str) -> int:
        """See `ConversationStore`."""
        state = await self._read("read_version", owner, conversation_id)
        return dynamodb_changes.version_of(state, _now())

    async def update_conversation(
        self, owner: str, conversation_id: str, update: ConversationUpdate
    ) -> Conversation:
        """See `ConversationStore`."""
        _begin("update_conversation", owner, conversation_id)
        return await dynamodb_changes.update(self.writer, owner, conversation_id, update)

    async def fork_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        up_to_message_id: str | None = None,
        new_conversation_id: str | None = None,
    ) -> Conversation:
        """See `ConversationStore`."""
        new_id = secrets.token_hex(16) if new_conversation_id is None else new_conversation_id
        check_id(new_id, "new_conversation_id")
        if up_to_message_id is not None:
            check_text("up_to_message_id", up_to_message_id)
        _begin("fork_conversation", owner, conversation_id)
        return await repeat_if_changed(
            lambda: dynamodb_copies.fork(
                self.writer, owner, conversation_id, up_to_message_id, new_id
            )
        )

    async def merge_conversations(
        self, owner: str, source_ids: Sequence[str], into: str
    ) -> Conversation:
        """See `ConversationStore`."""
        check_owner_name(owner)
        verb.set("merge_conversations")
        return await repeat_if_changed(
            lambda: dynamodb_copies.merge(self.writer, owner, source_ids, into)
        )

    async def export_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        format: ExportFormat = "json",
        cursor: str | None = None,
    ) -> ExportResult:
        """See `ConversationStore`."""

        async def attempt() -> ExportResult:
            state = await self._find("export_conversation", owner, conversation_id)
            return await dynamodb_exports.export_page(self.writer.log, state, format, cursor)

        return await repeat_if_changed(attempt)

    async def import_conversation(
        self, owner: str, document: ConversationDocument, *, conversation_id: str | None = None
    ) -> ImportResult:
        """See `ConversationStore`."""
        target = name_target(document, conversation_id)
        _begin("import_conversation", owner, target)
        return await dynamodb_changes.import_page(self.writer, owner, document, target)

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
        """See `ConversationStore`; only within one conversation, and not through all of a long one.

        Raises:
            UnsupportedError: Of all conversations.
        """
        wanted = parse_search(
            owner, query, limit=limit, conversation_id=conversation_id, role=role, since=since
        )
        if conversation_id is None:
            raise dynamodb_search.refuse_all()

        async def attempt() -> SearchResult:
            state = await self._read("search_conversations", owner, conversation_id)
            if not state.is_alive(_now()):
                return SearchResult(hits=[], truncated=False)
            return await dynamodb_search.search(self.writer.log, state, wanted)

        return await repeat_if_changed(attempt)

    async def list_deliveries(
        self, state: str, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveriesResult:
        """See `ConversationStore`."""
        check_deliveries(state, owner, limit)
        verb.set("list_deliveries")
        return await dynamodb_listings.list_deliveries(
            self.writer, state, _now(), owner=owner, limit=limit, cursor=cursor
        )

    async def list_owners(self, *, limit: int = 1_000, cursor: str | None = None) -> OwnersResult:
        """See `ConversationStore`."""
        check_range("limit", limit, 1, MAX_LIST_LIMIT)
        verb.set("list_owners")
        return await dynamodb_listings.list_owners(self.writer, _now(), limit=limit, cursor=cursor)

    async def get_stats(self) -> StoreStats:
        """See `ConversationStore`."""
        verb.set("get_stats")
        client = self.writer.client
        table, total = await client.describe_table(), client.units.total
        return StoreStats(
            back_end="dynamodb",
            items=table.get("ItemCount"),
            bytes=table.get("TableSizeBytes", 0),
            counted_since=to_timestamp(client.units.since),
            units=[
                VerbUnits(verb=name, read=total[name, "read"], write=total[name, "write"])
                for name in sorted({name for name, _ in total})
            ],
        )

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
        """See `ConversationStore`."""
        chunk = Chunk(data, name, mime_type, attachment_id, offset, total_size).checked()
        _begin("put_attachment", owner, conversation_id)
        return await dynamodb_attachments.put(
            self.writer, self._places, owner, conversation_id, chunk, _now()
        )

    async def list_attachments(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int = MAX_LISTED_ATTACHMENTS,
        cursor: str | None = None,
    ) -> AttachmentsResult:
        """See `ConversationStore`."""
        after = read_place(owner, conversation_id, limit, cursor)
        state = await self._find("list_attachments", owner, conversation_id)
        return await dynamodb_attachments.list_page(self.writer, state, after, limit)

    async def read_attachment(
        self,
        owner: str,
        conversation_id: str,
        attachment_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
    ) -> AttachmentPart:
        """See `ConversationStore`."""
        checked("attachment_id", check_attachment_id, attachment_id)
        if length is not None:
            check_range("length", length, 1, MAX_ATTACHMENT_BYTES)
        state = await self._read("read_attachment", owner, conversation_id)
        if not state.is_alive(_now()):
            raise NotFoundError("there is no such attachment", field="attachment_id")
        return await dynamodb_attachments.read(
            self.writer, self._places, state, attachment_id, offset, length
        )

    async def _read(self, name: str, owner: str, conversation_id: str) -> State:
        _begin(name, owner, conversation_id)
        return await self.writer.read(owner, conversation_id)

    async def _find(self, name: str, owner: str, conversation_id: str) -> State:
        state = await self._read(name, owner, conversation_id)
        dynamodb_changes.require(state, _now())
        return state


def _begin(name: str, owner: str, conversation_id: str) -> None:
    """Check whose what is meant, and count what it costs under the verb's name."""
    check_owner_name(owner)
    check_id(conversation_id)
    verb.set(name)


def _now() -> str:
    return to_timestamp(datetime.now(UTC))
