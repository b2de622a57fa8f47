"""The embedded back end: conversations in append-only files, shared by processes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from servers.conversations import (
    file_attachments,
    file_changes,
    file_exports,
    file_forks,
    file_imports,
    file_merges,
    file_reads,
)
from servers.conversations.attachment_chunks import Chunk
from servers.conversations.attachment_pages import read_place
from servers.conversations.checks import (
    check_deliveries,
    check_listing,
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
)
from servers.conversations.file_engine import FileEngine, open_file_engine
from servers.conversations.file_expiry import NEVER, Expiry
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_search import FileSearch, open_file_search
from servers.conversations.file_sweeper import Sweeping, swept_now_and_then
from servers.conversations.search_query import parse_search
from servers.conversations.store_values import AttachmentPart, ConversationUpdate

_SEALING = Sealing()
_SWEEPING = Sweeping()


class FileConversationStore:
    """A `ConversationStore` in a directory. Made by `open_file_store`."""

    def __init__(self, engine: FileEngine, search: FileSearch) -> None:
        self._engine = engine
        self._search = search

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

        return await self._engine.read(
            owner,
            conversation_id,
            lambda opened: file_reads.load(
                opened, self._engine.catalogue, limit=limit, before=before
            ),
        )

    async def append_messages(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        """See `ConversationStore`."""
        return await self._engine.change(
            owner,
            conversation_id,
            lambda opened: file_changes.append(opened, messages, expected_version),
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
        saved = await self._engine.change(
            owner,
            conversation_id,
            lambda opened: file_changes.save(opened, messages, expected_version),
        )
        if expected_version is not None:  # else nothing can have been removed or changed
            self._search.forget_soon()
        return saved

    async def annotate_message(
        self, owner: str, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """See `ConversationStore`."""
        check_text("message_id", message_id)
        return await self._engine.change(
            owner,
            conversation_id,
            lambda opened: file_changes.annotate(opened, message_id, annotations),
        )

    async def delete_conversation(self, owner: str, conversation_id: str) -> DeleteResult:
        """See `ConversationStore`."""
        deleted = await self._engine.change(owner, conversation_id, file_changes.delete)
        if deleted.deleted:
            self._search.forget_soon()
        return deleted

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
        return await self._engine.consult(
            lambda: file_reads.list_newest(
                self._engine.catalogue, owner, limit=limit, offset=offset, cursor=cursor, tag=tag
            )
        )

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        """See `ConversationStore`."""
        return await self._engine.read(
            owner, conversation_id, lambda opened: file_reads.get(opened, self._engine.catalogue)
        )

    async def read_version(self, owner: str, conversation_id: str) -> int:
        """See `ConversationStore`."""
        return await self._engine.read(owner, conversation_id, lambda opened: opened.version)

    async def update_conversation(
        self, owner: str, conversation_id: str, update: ConversationUpdate
    ) -> Conversation:
        """See `ConversationStore`."""
        return await self._engine.change(
            owner, conversation_id, lambda opened: file_changes.update(opened, update)
        )

    async def fork_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        up_to_message_id: str | None = None,
        new_conversation_id: str | None = None,
    ) -> Conversation:
        """See `ConversationStore`."""
        return await file_forks.fork(
            self._engine, owner, conversation_id, up_to_message_id, new_conversation_id
        )

    async def merge_conversations(
        self, owner: str, source_ids: Sequence[str], into: str
    ) -> Conversation:
        """See `ConversationStore`."""
        return await file_merges.merge(self._engine, owner, source_ids, into)

    async def export_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        format: ExportFormat = "json",
        cursor: str | None = None,
    ) -> ExportResult:
        """See `ConversationStore`."""
        return await self._engine.read(
            owner,
            conversation_id,
            lambda opened: file_exports.export_page(opened, self._engine.catalogue, format, cursor),
        )

    async def import_conversation(
        self, owner: str, document: ConversationDocument, *, conversation_id: str | None = None
    ) -> ImportResult:
        """See `ConversationStore`."""
        return await self._engine.change(
            owner,
            name_target(document, conversation_id),
            lambda opened: file_imports.import_page(opened, document),
        )

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
        """See `ConversationStore`."""
        return await self._search.search(
            parse_search(
                owner,
                query,
                limit=limit,
                conversation_id=conversation_id,
                role=role,
                since=since,
            )
        )

    async def list_deliveries(
        self, state: str, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveriesResult:
        """See `ConversationStore`."""
        check_deliveries(state, owner, limit)
        return await self._engine.consult(
            lambda: file_reads.list_deliveries(
                self._engine.catalogue, state, owner=owner, limit=limit, cursor=cursor
            )
        )

    async def list_owners(self, *, limit: int = 1_000, cursor: str | None = None) -> OwnersResult:
        """See `ConversationStore`."""
        check_range("limit", limit, 1, MAX_LIST_LIMIT)
        return await self._engine.consult(
            lambda: file_reads.list_owners(self._engine.catalogue, limit=limit, cursor=cursor)
        )

    async def get_stats(self) -> StoreStats:
        """See `ConversationStore`."""
        owners, conversations, messages, size, _ = await self._engine.consult(
            self._engine.catalogue.find_totals
        )
        return StoreStats(
            back_end="file",
            owners=owners,
            conversations=conversations,
            messages=messages,
            bytes=size,
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
        return await self._engine.change(
            owner, conversation_id, lambda opened: file_attachments.put(opened, chunk)
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
        return await self._engine.read(
            owner,
            conversation_id,
            lambda opened: file_attachments.list_page(opened, owner, after, limit),
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
        """See `ConversationStore`."""
        checked("attachment_id", check_attachment_id, attachment_id)
        if length is not None:
            check_range("length", length, 1, MAX_ATTACHMENT_BYTES)
        return await self._engine.read(
            owner,
            conversation_id,
            lambda opened: file_attachments.read(opened, attachment_id, offset, length),
        )


@asynccontextmanager
async def open_file_store(
    directory: Path,
    *,
    durability: Literal["always", "interval"] = "always",
    sealing: Sealing | None = _SEALING,
    expiry: Expiry = NEVER,
    sweeping: Sweeping | None = _SWEEPING,
) -> AsyncGenerator[FileConversationStore]:
    """Open the store in `directory`, which is made if it is missing (its parent is not).

    `sealing`: how older messages are compressed, None for not at all. `expiry`: when conversations
    that are left alone expire. `sweeping`: when what has expired is removed, None for never.

    Raises:
        UnavailableError: The directory can't be used; the text says what to do.
    """
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            open_file_engine(directory, durability=durability, sealing=sealing, expiry=expiry)
        )
        search = await stack.enter_async_context(open_file_search(engine))
        if sweeping is not None:
            await stack.enter_async_context(
                swept_now_and_then(engine, sweeping, search.catch_up, search.forget_what_is_deleted)
            )
        yield FileConversationStore(engine, search)
