"""The embedded store while its index is made anew from the files."""

import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from anyio import from_thread, to_thread

from servers.conversations.file_catalogue import CATALOGUE_LAYOUT
from servers.conversations.file_catalogue_check import CatalogueCheck
from servers.conversations.file_directory import INDEX_NAME, key_of
from servers.conversations.file_engine import FileEngine, open_file_engine
from servers.conversations.file_expiry import NEVER
from servers.conversations.file_index import FileIndex
from servers.conversations.file_index_mending import mend_folder
from servers.conversations.file_index_selects import find_totals
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_search import open_file_search
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import OWNER, list_ids, user, users
from tests.servers.conversations.stored_files import file_of, index_files

_T = TypeVar("_T")

COUNT = 12


async def fill(directory: Path) -> None:
    """Conversations in as many folders, no two alike."""
    async with open_file_store(directory, durability="interval") as store:
        for number in range(COUNT):
            await store.append_messages(OWNER, f"c{number}", users(number + 1))
        await store.update_conversation(OWNER, "c3", ConversationUpdate(title="Füße", tags=["t"]))
        await store.annotate_message(OWNER, "c4", "m2", {"delivery": "pending"})
        await store.delete_conversation(OWNER, "c5")
    remove_index(directory)


def remove_index(directory: Path) -> None:
    assert index_files(directory)
    for file in index_files(directory):
        file.unlink()


@asynccontextmanager
async def opened(directory: Path) -> AsyncGenerator[tuple[FileConversationStore, FileEngine]]:
    async with (
        open_file_engine(directory, durability="interval") as engine,
        open_file_search(engine) as search,
    ):
        yield FileConversationStore(engine, search), engine


async def look_at_a_folder(engine: FileEngine) -> bool:
    """A step of the rebuild; whether it was the last one."""
    return await engine.in_thread(lambda: engine.catalogue.go_on_checking(0.0, 0.0))


async def listed(store: FileConversationStore) -> list[object]:
    """All that the index tells of conversations."""
    conversations = (await store.list_conversations(OWNER)).conversations
    tagged = await list_ids(store, tag="t")
    deliveries = (await store.list_deliveries("pending")).deliveries
    figures = [await store.get_conversation(OWNER, c.conversation_id) for c in conversations]
    return [conversations, tagged, deliveries, figures]


async def test_a_rebuilt_index_tells_the_same_as_the_one_that_was_kept_up(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    async with opened(directory) as (store, _):
        await store.append_messages(OWNER, "c4", [user("new")])
        before = await listed(store)
    remove_index(directory)
    async with opened(directory) as (store, _):
        assert await listed(store) == before


async def test_whatever_is_written_while_the_index_is_rebuilt_is_listed_at_its_end(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    async with opened(directory) as (store, engine), open_file_store(directory) as other:
        steps = 0
        while not await look_at_a_folder(engine):
            await store.append_messages(OWNER, f"c{steps}", [user(f"more{steps}")])
            await other.append_messages(OWNER, f"c{COUNT - steps}", [user(f"other{steps}")])
            await store.append_messages(OWNER, f"new{steps}", [user()])
            steps += 1
        assert steps > 5
        await other.delete_conversation(OWNER, "new0")
        expected = await listed(store)
        assert expected == await listed(other)
    remove_index(directory)
    async with opened(directory) as (store, _):
        assert await listed(store) == expected


async def test_two_processes_share_a_rebuild_and_a_lost_one_begins_again(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    async with opened(directory) as (_, one), opened(directory) as (store, two):
        await look_at_a_folder(one)
        await look_at_a_folder(two)
        remove_index(directory)
        done = [False, False]
        while not all(done):
            done = [await look_at_a_folder(engine) for engine in (one, two)]
        assert len(await list_ids(store)) == COUNT - 1
        totals = [await engine.consult(engine.catalogue.find_totals) for engine in (one, two)]
        assert totals[0] == totals[1]
        assert totals[0][:3] == (1, COUNT - 1, sum(range(1, COUNT + 1)) - 6)


async def test_a_row_that_somebody_changed_while_its_file_was_read_stays(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    async with opened(directory) as (store, engine):
        with (
            closing(LockStripes(engine.directory)) as locks,
            closing(FileIndex(directory / INDEX_NAME, locks, CATALOGUE_LAYOUT)) as index,
        ):
            looks = 0

            def run(work: Callable[[sqlite3.Connection], _T]) -> _T:
                nonlocal looks
                looks += 1
                if looks == 2:  # the file was read, its row is to be put in
                    from_thread.run(store.append_messages, OWNER, "c1", [user("late")])
                    from_thread.run(store.get_conversation, OWNER, "c1")
                return index.run(work)

            folder = file_of(directory, "c1").parent.name
            await to_thread.run_sync(lambda: mend_folder(run, engine.directory, folder, range(64)))
            assert looks == 2
            state = index.run(lambda connection: find_totals(connection, NEVER.look()))
        assert state[2] == 3
        await store.append_messages(OWNER, "c1", [user("later")])
        found = await store.get_conversation(OWNER, "c1")
        assert (found.message_count, found.stats.messages_by_role) == (4, {"user": 4})


async def test_an_unusual_file_is_taken_in_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    unfinished, damaged, gone, other, long = (
        file_of(directory, f"c{number}") for number in (6, 7, 8, 9, 10)
    )
    unfinished.write_bytes(unfinished.read_bytes() + b'{"seq":99,"ki')
    damaged.write_bytes(damaged.read_bytes().replace(b'"m3"', b'"m4"', 1))
    gone.write_bytes(b"garbage\n")
    other.write_bytes(long.read_bytes())
    async with opened(directory) as (store, _):
        await store.append_messages(OWNER, "c10", users(100, 100, 1_000))
    remove_index(directory)
    async with opened(directory) as (store, _):
        conversations = (await store.list_conversations(OWNER)).conversations
        counts = {c.conversation_id: c.message_count for c in conversations}
        assert counts == {
            **{f"c{n}": n + 1 for n in range(COUNT) if n not in (5, 8, 9)},
            "c10": 111,
        }
        figures = [await store.get_conversation(OWNER, f"c{n}") for n in (6, 7, 10)]
        assert [f.stats.messages_by_role["user"] for f in figures] == [7, 7, 111]


async def test_how_far_a_rebuild_has_come_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "s"
    await fill(directory)
    async with opened(directory) as (_, engine):
        with (
            closing(LockStripes(engine.directory)) as locks,
            closing(FileIndex(directory / INDEX_NAME, locks, CATALOGUE_LAYOUT)) as index,
            closing(LagSigns(engine.directory)) as signs,
        ):
            CatalogueCheck(engine.directory, index, signs, tell_seconds=0).run()
            assert (
                index.run(lambda connection: find_totals(connection, NEVER.look()))[1] == COUNT - 1
            )
    told = [record for record in caplog.records if "conversation index" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING] * 2
    assert "% done" in told[0].message
    assert f"conversations read: {COUNT}," in told[1].message


@pytest.mark.slow
async def test_appends_are_answered_while_listings_wait_for_a_rebuild(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    count = 800
    async with open_file_store(directory, durability="interval") as store:
        for number in range(count):
            await store.append_messages(OWNER, f"c{number}", [user()])
    remove_index(directory)
    async with open_file_store(directory, durability="interval") as store:
        appended = 0
        answered = anyio.Event()

        async def ask() -> None:
            assert len(await list_ids(store, limit=1)) == 1
            answered.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(40):  # more than there are threads
                    tasks.start_soon(ask)
                while not answered.is_set():
                    await store.append_messages(OWNER, "meanwhile", [user(f"m{appended}")])
                    appended += 1
        assert appended > 3
        first = (await store.list_conversations(OWNER, limit=1)).conversations[0]
        assert (first.conversation_id, first.message_count) == ("meanwhile", appended)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2])
async def test_a_process_killed_while_it_rebuilds_leaves_an_index_that_goes_on(
    tmp_path: Path, seconds: float
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory, durability="interval") as store:
        for number in range(500):
            await store.append_messages(OWNER, f"c{number}", [user()])
    remove_index(directory)
    command = [sys.executable, "-m", "tests.servers.conversations.listing_process", directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n"
        await anyio.sleep(seconds)
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)
    async with open_file_store(directory, durability="interval") as store:
        with anyio.fail_after(20):
            assert len(await list_ids(store, limit=1_000)) == 500


async def test_an_index_whose_parts_contradict_each_other_is_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    names = ["c0", "c1", "c2"]
    async with open_file_store(directory) as store:
        for name in names:
            await store.append_messages(OWNER, name, [user("m", f"apple {name}")])
        assert await list_ids(store) == names[::-1]
    path = directory / INDEX_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    data, key = path.read_bytes(), key_of(OWNER, "c2").encode()
    assert data.count(key + b"\x03") == 1
    path.write_bytes(data.replace(key + b"\x03", key + b"\x02"))  # a key that leads to another row
    async with open_file_store(directory) as store:
        found = await store.search_conversations(OWNER, "apple")
        assert sorted(hit.conversation_id for hit in found.hits) == names
        assert await list_ids(store) == names[::-1]
