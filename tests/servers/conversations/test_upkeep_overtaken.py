"""Looking after the files while others write: what is replaced meanwhile is no damage."""

import fcntl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_catalogue import CATALOGUE_LAYOUT
from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_directory import INDEX_NAME, StoreDirectory, key_of, open_directory
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes, name_of, stripe_of
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_threads import open_job_threads
from servers.conversations.file_upkeep import Step, repair, verify
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.stored_files import segments_of
from tests.servers.conversations.test_upkeep import SMALL, fill, flip, gather

Write = Callable[[FileConversationStore], Awaitable[None]]


async def begin_anew(store: FileConversationStore) -> None:
    await store.delete_conversation(OWNER, ID)
    await store.append_messages(OWNER, ID, [user("new")])


async def save_anew(store: FileConversationStore) -> None:
    version = await store.read_version(OWNER, ID)
    await store.save_conversation(OWNER, ID, [user("new")], expected_version=version)


class OvertakenLocks(LockStripes):
    """Whenever a reader of the conversation lets go of it, somebody else writes what is next."""

    def __init__(self, directory: StoreDirectory, writes: list[Write | None]) -> None:
        super().__init__(directory)
        self.readings = 0
        self._root = directory.root
        self._writes = writes
        self._name = name_of(stripe_of(key_of(OWNER, ID)))
        self._shared: set[int] = set()

    def lock(self, name: str, operation: int, timeout_seconds: float) -> int:
        fd = super().lock(name, operation, timeout_seconds)
        if name == self._name and operation == fcntl.LOCK_SH:
            self._shared.add(fd)
        return fd

    def unlock(self, name: str, fd: int) -> None:
        super().unlock(name, fd)
        if fd in self._shared:
            self._shared.remove(fd)
            self.readings += 1
            if self._writes and (write := self._writes.pop(0)):
                anyio.run(self._overtake, write)

    async def _overtake(self, write: Write) -> None:
        async with open_file_store(self._root, sealing=SMALL, sweeping=None) as store:
            for number in range(10):  # so that something of it is sealed, too
                await store.append_messages(OWNER, ID, [user(f"later{number}", "x" * 300)])
            await write(store)


@asynccontextmanager
async def open_overtaken(path: Path, writes: list[Write | None]) -> AsyncGenerator[FileEngine]:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory(path))
        locks = stack.enter_context(closing(OvertakenLocks(directory, writes)))
        own = stack.enter_context(closing(LockStripes(directory)))
        index = FileIndex(path / INDEX_NAME, own, CATALOGUE_LAYOUT)
        stack.enter_context(closing(index))
        signs = stack.enter_context(closing(LagSigns(directory)))
        async with open_job_threads(1) as threads:
            yield FileEngine(directory, locks, index, signs, threads, sync_data)


def of_damage(steps: list[Step]) -> list[str]:
    findings = [finding for step in steps for finding in step.examination.findings]
    return [f"{finding.file} {finding.what}" for finding in findings if finding.is_damage]


@pytest.mark.parametrize("write", [begin_anew, save_anew])
@pytest.mark.parametrize("times", [1, 2, 100])
async def test_a_conversation_that_is_replaced_while_it_is_read_is_not_damaged(
    tmp_path: Path, write: Write, times: int
) -> None:
    await fill(tmp_path / "store")
    async with open_overtaken(tmp_path / "store", [write] * times) as engine:
        assert of_damage(await gather(verify(engine))) == []
        assert isinstance(engine.locks, OvertakenLocks)
        assert engine.locks.readings < 12


@pytest.mark.parametrize("write", [begin_anew, save_anew])
async def test_repair_sets_nothing_aside_of_a_conversation_that_is_replaced_meanwhile(
    tmp_path: Path, write: Write
) -> None:
    await fill(tmp_path / "store")
    async with open_overtaken(tmp_path / "store", [write]) as engine:
        assert [step.done for step in await gather(repair(engine)) if step.done] == []
    assert not (tmp_path / "store" / "damaged").exists()
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == ["new"]


async def test_what_was_damaged_is_left_as_it_is_if_it_was_replaced_before_its_repair(
    tmp_path: Path,
) -> None:
    await fill(tmp_path / "store")
    flip(segments_of(tmp_path / "store")[1], 30)
    # Once it is opened, once it is made sure of.
    async with open_overtaken(tmp_path / "store", [None, begin_anew]) as engine:
        steps = await gather(repair(engine))
    assert of_damage(steps) != []
    assert [step.done for step in steps if step.done] == []
    assert not (tmp_path / "store" / "damaged").exists()
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == ["new"]


async def test_what_is_damaged_is_told_however_often_others_write(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    flip(segments_of(tmp_path / "store")[1], 30)

    async def nothing(_: FileConversationStore) -> None:
        pass

    async with open_overtaken(tmp_path / "store", [nothing] * 100) as engine:
        (told,) = of_damage(await gather(verify(engine)))
    assert "block 1 of 1" in told
