"""The embedded back end: conversations in append-only files, shared by processes."""

import functools
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import anyio
import anyio.to_thread

from servers.access.contract import check_owner
from servers.conversations import file_changes
from servers.conversations.contract import (
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    MAX_OFFSET,
    MAX_PAGE_BYTES,
    AnnotateResult,
    AppendResult,
    Conversation,
    ConversationStats,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    Delivery,
    ListResult,
    LoadResult,
    Message,
    SaveResult,
    check_conversation_id,
    encode_json,
    to_timestamp,
)
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.file_catalogue import Catalogue
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_directory import (
    INDEX_NAME,
    StoreDirectory,
    explain,
    open_directory,
)
from servers.conversations.file_durability import DeferredSync
from servers.conversations.file_index import FileIndex
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_locks import STRIPES, LockStripes, stripe_of
from servers.conversations.file_pages import Place
from servers.conversations.file_state import StateCache
from servers.conversations.store import (
    ConversationError,
    ConversationUpdate,
    InvalidError,
    StaleCursorError,
)

_T = TypeVar("_T")
_Item = TypeVar("_Item", Conversation, Delivery)
_MAX_THREADS = 16


class FileConversationStore:
    """A `ConversationStore` in a directory. Made by `open_file_store`."""

    def __init__(
        self,
        directory: StoreDirectory,
        locks: LockStripes,
        catalogue: Catalogue,
        sync: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._locks = locks
        self._catalogue = catalogue
        self._sync = sync
        self._cache = StateCache()
        # Whoever waits for a conversation waits here, and not in a thread that others need.
        self._lanes = [anyio.Lock(fast_acquire=True) for _ in range(STRIPES)]
        self._threads = anyio.CapacityLimiter(_MAX_THREADS)

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

        def job(opened: ConversationFile) -> LoadResult:
            scope = ("messages", opened.key)
            place = None
            if before is not None:
                cursor = read_cursor(before, "before", scope, (int, int, int))
                generation, offset, seq = cast("tuple[int, int, int]", cursor)
                if not opened.exists or opened.generation != generation:
                    raise StaleCursorError(
                        "the history was rewritten since this cursor was made: start without it",
                        field="before",
                    )
                place = Place(offset, seq)
            page = opened.read_page(
                limit, place, functools.partial(self._catalogue.find_annotations, opened)
            )
            older = page.older
            return LoadResult(
                conversation_id=conversation_id,
                messages=page.messages,
                next_cursor=older
                and make_cursor(scope, (opened.generation, older.offset, older.seq)),
                version=opened.version,
                damaged=page.damaged,
            )

        return await self._read(owner, conversation_id, job)

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
        scope = ("conversations", owner)
        if tag is not None:
            _check_text("tag", tag)
            scope = (*scope, tag)
        after = None
        if cursor is not None:
            if offset:
                raise InvalidError("give offset or cursor, not both", field="cursor")
            after = cast("tuple[str, str]", tuple(read_cursor(cursor, "cursor", scope, (str, str))))
        found = await self._in_thread(
            lambda: self._catalogue.select_newest(
                owner, tag=tag, after=after, offset=offset, limit=limit + 1, now=_now()
            )
        )
        fitting = _fit(found, limit)
        more = len(fitting) < len(found)
        last = fitting[-1] if more else None
        return ListResult(
            conversations=fitting,
            next_cursor=last and make_cursor(scope, (last.last_updated, last.conversation_id)),
        )

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        """See `ConversationStore`."""

        def job(opened: ConversationFile) -> ConversationWithStats:
            opened.require()
            progress, figures = opened.progress, self._catalogue.find_figures(opened)
            conversation = to_conversation(
                opened.facts, progress.version, progress.count, progress.updated
            )
            stats = ConversationStats(
                messages_by_role={
                    role: count
                    for role in ("user", "assistant", "tool", "system")
                    if (count := getattr(figures, role))
                },
                bytes=figures.bytes,
                first_message_at=figures.first_at,
                last_message_at=figures.last_at,
                input_tokens=figures.input_tokens,
                output_tokens=figures.output_tokens,
            )
            return ConversationWithStats(**conversation.model_dump(), stats=stats)

        return await self._read(owner, conversation_id, job)

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
        scope = ("deliveries", state)
        if owner is not None:
            _check_owner(owner)
            scope = (*scope, owner)
        after = None
        if cursor is not None:
            place = read_cursor(cursor, "cursor", scope, (str, str, int))
            after = cast("tuple[str, str, int]", tuple(place))
        found = await self._in_thread(
            lambda: self._catalogue.select_deliveries(
                state, owner=owner, after=after, limit=limit + 1, now=_now()
            )
        )
        fitting = _fit([delivery for delivery, _ in found], limit)
        more = len(fitting) < len(found)
        return DeliveriesResult(
            deliveries=fitting,
            next_cursor=make_cursor(scope, found[len(fitting) - 1][1]) if more else None,
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
            with self._locks.hold(f"{stripe:02}", shared=not write):
                return self._do(opened, job, write=write)

        async with self._lanes[stripe]:
            return await self._in_thread(locked)

    def _do(
        self, opened: ConversationFile, job: Callable[[ConversationFile], _T], *, write: bool
    ) -> _T:
        with closing(opened):
            # Whatever fails below leaves nothing in the cache that the file does not hold.
            opened.open(self._cache.take(opened.key), write=write)
            try:
                result = job(opened)
            except ConversationError:
                self._keep(opened)
                raise
            self._catalogue.note(opened)
            self._keep(opened)
            return result

    def _keep(self, opened: ConversationFile) -> None:
        if opened.state is not None:
            self._cache.put(opened.key, opened.state)

    async def _in_thread(self, job: Callable[[], _T]) -> _T:
        try:
            return await anyio.to_thread.run_sync(job, limiter=self._threads)
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
    with open_directory(directory) as opened, closing(LockStripes(opened.locks_fd)) as locks:
        index = FileIndex(opened.root / INDEX_NAME, lambda: locks.hold("index"))
        with closing(index):
            catalogue = Catalogue(opened, index)
            async with _open_sync(durability) as sync:
                yield FileConversationStore(opened, locks, catalogue, sync)


@asynccontextmanager
async def _open_sync(
    durability: Literal["always", "interval"],
) -> AsyncGenerator[Callable[[int], None]]:
    if durability == "always":
        yield os.fdatasync
        return
    deferred = DeferredSync()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deferred.run)
            yield deferred.note
            tasks.cancel_scope.cancel()
    finally:
        deferred.flush()


def _now() -> str:
    return to_timestamp(datetime.now(UTC))


def _fit(items: Sequence[_Item], limit: int) -> list[_Item]:
    """As many of the first `limit` items as a page holds, but one at least."""
    room = MAX_PAGE_BYTES
    fitting: list[_Item] = []
    for item in items[:limit]:
        room -= len(encode_json(item.model_dump()))
        if room < 0 and fitting:
            break
        fitting.append(item)
    return fitting


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
