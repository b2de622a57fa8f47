"""The embedded store while its index lags, is locked, can't be written or can't be used."""

import signal
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import anyio
import pytest

from servers.conversations.contract_results import AppendResult
from servers.conversations.file_store import open_file_store
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    list_ids,
    load_ids,
    user,
    users,
)
from tests.servers.conversations.stored_files import file_of, index_files
from tests.servers.conversations.writing_process import SHARED

PENDING = {"delivery": "pending"}


@contextmanager
def locked_index(directory: Path) -> Generator[None]:
    """Nobody can write to the index, as if a process that writes to it were stopped."""
    path = directory / "index.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


async def test_listings_see_what_another_store_could_not_write_to_the_index(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        await one.append_messages(OWNER, ID, users(2))
        assert await list_ids(two) == [ID]
        with locked_index(directory):
            await one.append_messages(OWNER, "new", [user("a", annotations=PENDING)])
            await one.append_messages(OWNER, ID, users(3))
        listed = (await two.list_conversations(OWNER)).conversations
        assert [(c.conversation_id, c.message_count) for c in listed] == [(ID, 3), ("new", 1)]
        assert len((await two.list_deliveries("pending")).deliveries) == 1
        with locked_index(directory):
            await one.delete_conversation(OWNER, "new")
        assert await list_ids(two) == await list_ids(one) == [ID]


async def test_listings_see_what_is_not_in_the_index_though_the_signs_of_it_were_removed(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        await one.append_messages(OWNER, ID, users(2))
        assert await list_ids(two) == await list_ids(one) == [ID]
        (directory / "lag").unlink()
        with locked_index(directory):
            await one.append_messages(OWNER, "new", [user("a")])
        assert await list_ids(two) == ["new", ID]


@pytest.mark.parametrize("is_repeated", [False, True])
async def test_listings_see_what_a_writer_wrote_that_was_killed_before_it_wrote_the_index(
    tmp_path: Path, is_repeated: bool
) -> None:
    directory = tmp_path / "store"
    command = [sys.executable, "-m", "tests.servers.conversations.dying_process", str(directory)]
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, SHARED, [user("first")])
        await store.append_messages(OWNER, ID, [user()])
        assert await list_ids(store) == [ID, SHARED]
        with anyio.fail_after(30):
            died = await anyio.run_process(command, check=False)
        assert died.returncode == -signal.SIGKILL
        if is_repeated:
            repeated = await store.append_messages(OWNER, SHARED, [user("last", "last")])
            assert repeated.repeated == 1
        listed = (await store.list_conversations(OWNER)).conversations
        assert [(c.conversation_id, c.message_count) for c in listed] == [(SHARED, 2), (ID, 1)]
        assert (await store.append_messages(OWNER, SHARED, [user("more")])).appended == 1
        assert (await store.list_conversations(OWNER)).conversations[0].message_count == 3


async def test_a_locked_index_hardly_delays_appends_and_listings_stay_right(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(1))
        assert await list_ids(store) == [ID]
        results: list[AppendResult] = []

        async def append(number: int) -> None:
            results.append(await store.append_messages(OWNER, f"c{number}", [user()]))

        with anyio.fail_after(2), locked_index(directory):
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    tasks.start_soon(append, number)
            assert [result.appended for result in results] == [1] * 30
            assert len(await list_ids(store)) == 31
            await store.append_messages(OWNER, ID, users(2))
            assert (await list_ids(store))[0] == ID
        assert len(await list_ids(store)) == 31
        assert (await store.get_conversation(OWNER, ID)).message_count == 2


@pytest.mark.parametrize("harm", ["locked", "directory"])
async def test_all_reading_works_without_an_index_that_can_be_written(
    tmp_path: Path, harm: str
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(9))
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="t", tags=["x"]))
        await store.annotate_message(OWNER, ID, "m1", {**PENDING, "n": 1})
        found = await store.get_conversation(OWNER, ID)
        deliveries = await store.list_deliveries("pending")
    for file in index_files(directory):
        file.unlink()
    if harm == "directory":
        (directory / "index.sqlite3").mkdir()
    else:
        async with open_file_store(directory) as store:
            await list_ids(store, "nobody")
        with closing(sqlite3.connect(directory / "index.sqlite3")) as connection, connection:
            connection.execute("DELETE FROM conversations")
    with nullcontext() if harm == "directory" else locked_index(directory):
        async with open_file_store(directory) as store:
            page = await store.load_conversation(OWNER, ID, limit=5)
            older = await store.load_conversation(OWNER, ID, limit=5, before=page.next_cursor)
            assert [m.message_id for m in older.messages] == ["m0", "m1", "m2", "m3"]
            assert older.messages[1].annotations == {**PENDING, "n": 1}
            assert await store.get_conversation(OWNER, ID) == found
            assert await list_ids(store, tag="x") == [ID]
            assert await store.list_deliveries("pending") == deliveries
            await store.append_messages(OWNER, "new", users(1))
            assert await list_ids(store) == ["new", ID]
            await store.delete_conversation(OWNER, ID)
            assert await list_ids(store) == ["new"]


async def test_a_conversation_cut_after_its_header_is_empty_to_all_verbs(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
    file = file_of(directory)
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"\n") + 1])
    for index in index_files(directory):
        index.unlink()
    async with open_file_store(directory) as store:
        found = await store.get_conversation(OWNER, ID)
        assert (found.message_count, found.stats.messages_by_role) == (0, {})
        loaded = await store.load_conversation(OWNER, ID)
        assert (loaded.messages, loaded.version) == ([], found.version)
        listed = (await store.list_conversations(OWNER)).conversations
        assert [(c.conversation_id, c.version) for c in listed] == [(ID, found.version)]
        assert (await store.append_messages(OWNER, ID, users(1))).version > found.version


@pytest.mark.parametrize("content", [b"garbage\n", None])
async def test_a_conversation_whose_facts_are_lost_still_has_figures(
    tmp_path: Path, content: bytes | None
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
    file = file_of(directory)
    file.write_bytes(content or file.read_bytes().replace(b'"header"', b'"hender"'))
    for index in index_files(directory):
        index.unlink()
    async with open_file_store(directory) as store:
        found = await store.get_conversation(OWNER, ID)
        ids = await load_ids(store)
        assert found.stats.messages_by_role == ({"user": len(ids)} if ids else {})
        assert found.last_updated


async def test_nothing_of_a_deleted_conversation_is_left_in_any_file(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(
            OWNER, ID, [user("a", "SECRET0", annotations={"delivery": "SECRET1"})]
        )
        change = ConversationUpdate(title="SECRET2", tags=["SECRET3"], metadata={"x": "SECRET4"})
        await store.update_conversation(OWNER, ID, change)
        await store.append_messages(OWNER, "other", users(1))
        assert len(await list_ids(store)) == 2
        await store.delete_conversation(OWNER, ID)
        for path in directory.rglob("*"):
            assert path.is_dir() or b"SECRET" not in path.read_bytes(), path
