"""The embedded back end: conversations in append-only files, shared by processes."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread

from servers.access.contract import check_owner
from servers.conversations import file_changes, file_reads
from servers.conversations.contract import (
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    MAX_OFFSET,
    AnnotateResult,
    AppendResult,
    Conversation,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ListResult,
    LoadResult,
    Message,
    SaveResult,
    check_conversation_id,
    encode_json,
)
from servers.conversations.file_catalogue import Catalogue
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_directory import INDEX_NAME, StoreDirectory, open_directory
from servers.conversations.file_durability import open_sync
from servers.conversations.file_failures import explain
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import STRIPES, LockStripes, name_of, stripe_of
from servers.conversations.file_state import StateCache
from servers.conversations.file_threads import JobThreads
from servers.conversations.store import (
    ConversationError,
    ConversationUpdate,
    InvalidError,
)

_T = TypeVar("_T")
_MAX_THREADS = 16


class FileConversationStore:
    """A `ConversationStore` in a directory. Made by `open_file_store`."""

    def __init__(
        self,
        directory: StoreDirectory,
        locks: LockStripes,
        index: FileIndex,
        signs: LagSigns,
        threads: JobThreads,
        sync: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._locks = locks
        self._signs = signs
        self._catalogue = Catalogue(directory, index, signs)
        self._sync = sync
        self._cache = StateCache()
        # Whoever waits for a conversation waits here, and not in a thread that others need.
        self._lanes = [anyio.Lock(fast_acquire=True) for _ in range(STRIPES)]
        self._threads = threads

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
            _check_range("limit", limit, 1, MAX_LOAD_LIMIT)

        return await self._read(
            owner,
            conversation_id,
            lambda opened: file_reads.load(opened, self._catalogue, limit=limit, before=before),
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
        return await self._change(
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
        return await self._change(
            owner,
            conversation_id,
            lambda opened: file_changes.save(opened, messages, expected_version),
        )

    async def annotate_message(
        self, owner: str, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """See `ConversationStore`."""
        _check_text("message_id", message_id)
        return await self._change(
            owner,
            conversation_id,
            lambda opened: file_changes.annotate(opened, message_id, annotations),
        )

    async def delete_conversation(self, owner: str, conversation_id: str) -> DeleteResult:
        """See `ConversationStore`."""
        return await self._change(owner, conversation_id, file_changes.delete)

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
        _check_owner(owner)
        _check_range("limit", limit, 1, MAX_LIST_LIMIT)
        _check_range("offset", offset, 0, MAX_OFFSET)
        if tag is not None:
            _check_text("tag", tag)
        if cursor is not None and offset:
            raise InvalidError("give offset or cursor, not both", field="cursor")
        return await self._in_thread(
            lambda: file_reads.list_newest(
                self._catalogue, owner, limit=limit, offset=offset, cursor=cursor, tag=tag
            )
        )

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        """See `ConversationStore`."""
        return await self._read(
            owner, conversation_id, lambda opened: file_reads.get(opened, self._catalogue)
        )

    async def update_conversation(
        self, owner: str, conversation_id: str, update: ConversationUpdate
    ) -> Conversation:
        """See `ConversationStore`."""
        return await self._change(
            owner, conversation_id, lambda opened: file_changes.update(opened, update)
        )

    async def list_deliveries(
        self, state: str, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveriesResult:
        """See `ConversationStore`."""
        _check_text("state", state)
        _check_range("limit", limit, 1, MAX_LIST_LIMIT)
        if owner is not None:
            _check_owner(owner)
        return await self._in_thread(
            lambda: file_reads.list_deliveries(
                self._catalogue, state, owner=owner, limit=limit, cursor=cursor
            )
        )

    async def _read(
        self, owner: str, conversation_id: str, job: Callable[[ConversationFile], _T]
    ) -> _T:
        return await self._with_file(owner, conversation_id, job, write=False)

    async def _change(
        self, owner: str, conversation_id: str, job: Callable[[ConversationFile], _T]
    ) -> _T:
        return await self._with_file(owner, conversation_id, job, write=True)

    async def _with_file(
        self,
        owner: str,
        conversation_id: str,
        job: Callable[[ConversationFile], _T],
        *,
        write: bool,
    ) -> _T:
        _check_owner(owner)
        try:
            check_conversation_id(conversation_id)
        except ValueError as error:
            raise InvalidError(f"a conversation_id {error}", field="conversation_id") from None
        opened = ConversationFile(self._directory, owner, conversation_id, self._sync)
        stripe = stripe_of(opened.key)

        def locked() -> _T:
            with self._locks.hold(name_of(stripe), shared=not write), closing(opened):
                if not write:
                    return self._do(opened, job)
                with self._signs.writing(stripe) as sign:
                    result = self._do(opened, job)
                    sign.lags = not self._catalogue.note(opened)
                    return result

        async with self._lanes[stripe]:
            return await self._in_thread(locked)

    def _do(self, opened: ConversationFile, job: Callable[[ConversationFile], _T]) -> _T:
        # Whatever else fails leaves nothing in the cache that the file does not hold.
        opened.open(self._cache.take(opened.key))
        try:
            result = job(opened)
        except ConversationError:
            self._keep(opened)
            raise
        self._keep(opened)
        return result

    def _keep(self, opened: ConversationFile) -> None:
        if opened.state is not None:
            self._cache.put(opened.key, opened.state)

    async def _in_thread(self, job: Callable[[], _T]) -> _T:
        try:
            return await self._threads.run(job)
        except OSError as error:
            raise explain(error, "the conversation store could not do this") from error


@asynccontextmanager
async def open_file_store(
    directory: Path, *, durability: Literal["always", "interval"] = "always"
) -> AsyncGenerator[FileConversationStore]:
    """Open the store in `directory`, which is made if it is missing (its parent is not).

    Raises:
        UnavailableError: The directory can't be used; the text says what to do.
    """
    stack, threads = ExitStack(), JobThreads(_MAX_THREADS)
    try:
        opened = await threads.run(lambda: stack.enter_context(open_directory(directory)))
        locks = stack.enter_context(closing(LockStripes(opened)))
        index = stack.enter_context(closing(FileIndex(opened.root / INDEX_NAME, locks)))
        signs = stack.enter_context(closing(LagSigns(opened)))
        async with open_sync(durability) as sync:
            yield FileConversationStore(opened, locks, index, signs, threads, sync)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(threads.close)
            await anyio.to_thread.run_sync(stack.close)


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidError(f"{field} is {low} to {high}, not {value}", field=field)


def _check_text(field: str, text: str) -> None:
    try:
        encode_json(text)
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def _check_owner(owner: str) -> None:
    try:
        check_owner(owner)
    except ValueError as error:
        raise InvalidError(str(error), field="owner") from None
