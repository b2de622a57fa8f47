"""An embedded store whose writes reach the disk by what a test says: it may fail, or kill."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

from servers.conversations.file_catalogue import CATALOGUE_LAYOUT
from servers.conversations.file_directory import INDEX_NAME, open_directory
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_search import open_file_search
from servers.conversations.file_store import FileConversationStore
from servers.conversations.file_threads import open_job_threads


@asynccontextmanager
async def open_store_with(
    sync: Callable[[int], None], path: Path
) -> AsyncGenerator[FileConversationStore]:
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(open_directory(path))
        locks = stack.enter_context(closing(LockStripes(directory)))
        index = FileIndex(path / INDEX_NAME, locks, CATALOGUE_LAYOUT)
        stack.enter_context(closing(index))
        signs = stack.enter_context(closing(LagSigns(directory)))
        threads = await stack.enter_async_context(open_job_threads(1))
        engine = FileEngine(directory, locks, index, signs, threads, sync)
        search = await stack.enter_async_context(open_file_search(engine))
        yield FileConversationStore(engine, search)
