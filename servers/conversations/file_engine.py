"""How the embedded store runs a verb: in a thread, under its lock, on an opened conversation."""

import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import anyio
import anyio.to_thread

from servers.conversations.checks import check_id, check_owner_name
from servers.conversations.file_catalogue import CATALOGUE_LAYOUT, Catalogue
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_directory import INDEX_NAME, StoreDirectory, open_directory
from servers.conversations.file_durability import open_sync
from servers.conversations.file_expiry import NEVER, Expiry
from servers.conversations.file_failures import explain, is_out_of_files
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes, name_of, stripe_of
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_state import StateCache
from servers.conversations.file_threads import JobThreads, open_job_threads
from servers.conversations.store_errors import ConversationError, UnavailableError

_T = TypeVar("_T")
_Opened = TypeVar("_Opened", bound=ConversationReader)
_MAX_THREADS = 16
_STEP_SECONDS = 0.25


class FileEngine:
    """What all verbs stand on. Made by `open_file_engine`."""

    def __init__(
        self,
        directory: StoreDirectory,
        locks: LockStripes,
        index: FileIndex,
        signs: LagSigns,
        threads: JobThreads,
        sync: Callable[[int], None],
        sealing: Sealing | None = None,
        expiry: Expiry = NEVER,
    ) -> None:
        self.directory = directory
        self.catalogue = Catalogue(directory, index, signs, expiry)
        self.locks = locks
        self._sync = sync
        self._sealing = sealing
        self._expiry = expiry
        self._cache = StateCache()
        self._checking = anyio.Lock(fast_acquire=True)
        self._threads = threads

    async def read(
        self, owner: str, conversation_id: str, job: Callable[[ConversationReader], _T]
    ) -> _T:
        """What `job` says of a conversation's opened file, while nobody writes to it."""
        _check_names(owner, conversation_id)
        opened = ConversationReader(
            self.directory, owner, conversation_id, self._sync, self._expiry
        )
        stripe = stripe_of(opened.key)

        def locked() -> _T:
            with self.locks.hold(name_of(stripe), shared=True), closing(opened):
                return self._do(opened, job)

        return await self._in_lane(stripe, locked)

    async def change(
        self, owner: str, conversation_id: str, job: Callable[[ConversationFile], _T]
    ) -> _T:
        """The same for a job that writes: nobody else reads or writes meanwhile.

        What it relied on and what it wrote is on disk when this returns.
        """
        _check_names(owner, conversation_id)
        opened = ConversationFile(
            self.directory, owner, conversation_id, self._sync, self._sealing, self._expiry
        )
        stripe = stripe_of(opened.key)

        def locked() -> _T:
            with closing(opened):
                with self.locks.hold(name_of(stripe)):
                    is_first = self.catalogue.notes.announce(stripe, opened.key)
                    result = self._do(opened, job)
                    self.catalogue.notes.note(stripe, opened, is_first=is_first)
                # Other processes go on meanwhile; what several wrote, the disk takes at once.
                self._settle(opened, stripe)
                return result

        return await self._in_lane(stripe, locked)

    @contextmanager
    def reading(
        self, locks: LockStripes, owner: str, conversation_id: str
    ) -> Generator[ConversationReader]:
        """An opened file while nobody writes to it, for whoever reads many within one thread.

        `locks`: the caller's own, so that no verb of this process waits in vain.

        Raises:
            OSError: It can't be read.
            UnavailableError: Another process has kept it locked, or it is another conversation's.
        """
        opened = ConversationReader(
            self.directory, owner, conversation_id, self._sync, self._expiry
        )
        with locks.hold(name_of(stripe_of(opened.key)), shared=True), closing(opened):
            opened.open(self._cache.take(opened.key))
            yield opened
            self._keep(opened)

    async def under_lock(self, key: str, job: Callable[[], _T]) -> _T:
        """Do what needs a conversation's files, whatever is in them, while nobody uses them."""
        stripe = stripe_of(key)

        def locked() -> _T:
            with self.locks.hold(name_of(stripe)):
                return job()

        return await self._in_lane(stripe, locked)

    async def in_thread(self, job: Callable[[], _T]) -> _T:
        """Do what needs no conversation's lock."""
        return await self._in_lane(None, job)

    async def _in_lane(self, stripe: int | None, job: Callable[[], _T]) -> _T:
        def checked() -> _T:
            try:
                self.directory.format.check()
                return job()
            except OSError as error:
                if is_out_of_files(error):
                    self.directory.idle.close()  # not all is opened by way of it
                raise

        # Whoever waits for a conversation waits for its lane, and not in a thread that others need.
        try:
            return await self._threads.run(checked, stripe)
        except OSError as error:
            what = "the conversation store could not do this"
            raise explain(error, what, self.directory.root) from error

    async def consult(self, job: Callable[[], _T]) -> _T:
        """Do what asks the catalogue about many conversations.

        If that is to be made anew it is waited for in steps, which can be given up in between, and
        in one thread at most.
        """
        since = time.monotonic()
        while not self.catalogue.is_checked:
            async with self._checking:
                if await self.in_thread(
                    lambda: self.catalogue.go_on_checking(since, _STEP_SECONDS)
                ):
                    break
        return await self.in_thread(job)

    def _do(self, opened: _Opened, job: Callable[[_Opened], _T]) -> _T:
        # Whatever else fails leaves nothing in the cache that the file does not hold.
        opened.open(self._cache.take(opened.key))
        try:
            result = job(opened)
        except ConversationError:
            self._keep(opened)
            raise
        self._keep(opened)
        return result

    def _settle(self, opened: ConversationFile, stripe: int) -> None:
        try:
            opened.settle()
        except OSError:
            with suppress(UnavailableError), self.locks.hold(name_of(stripe)):
                self.catalogue.notes.announce(stripe, opened.key)
                self._cache.take(opened.key)
                opened.take_back()
            raise

    def _keep(self, opened: ConversationReader) -> None:
        if opened.state is not None:
            self._cache.put(opened.key, opened.state)


@lru_cache(maxsize=4_096)
def _check_names(owner: str, conversation_id: str) -> None:
    check_owner_name(owner)
    check_id(conversation_id)


@asynccontextmanager
async def open_file_engine(
    directory: Path,
    *,
    durability: Literal["always", "interval"] = "always",
    sealing: Sealing | None = None,
    expiry: Expiry = NEVER,
    any_format: bool = False,
) -> AsyncGenerator[FileEngine]:
    """Open `directory`, which is made if it is missing (its parent is not).

    `any_format`: see `open_directory`.

    Raises:
        UnavailableError: The directory can't be used; the text says what to do.
    """
    stack = ExitStack()
    try:
        async with open_job_threads(_MAX_THREADS) as threads:
            opened = await threads.run(
                lambda: stack.enter_context(open_directory(directory, any_format=any_format))
            )
            locks = stack.enter_context(closing(LockStripes(opened)))
            index = stack.enter_context(
                closing(FileIndex(opened.root / INDEX_NAME, locks, CATALOGUE_LAYOUT))
            )
            signs = stack.enter_context(closing(LagSigns(opened)))
            async with open_sync(durability, opened.idle) as sync:
                engine = FileEngine(opened, locks, index, signs, threads, sync, sealing, expiry)
                try:
                    yield engine
                finally:
                    with anyio.CancelScope(shield=True):
                        await threads.run(engine.catalogue.notes.bring_on_all)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(stack.close)
