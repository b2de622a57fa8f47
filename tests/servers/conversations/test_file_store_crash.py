"""The embedded store among processes: many at once, killed, out of disk, out of luck."""

import errno
import fcntl
import os
import random
import shutil
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

import anyio
import pytest
from anyio import create_task_group, to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from servers.conversations.file_directory import open_directory
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user, users
from tests.servers.conversations.own_sync import open_store_with
from tests.servers.conversations.stored_files import file_of
from tests.servers.conversations.writing_process import SHARED


def writer(directory: Path, name: str, count: int, *more: str) -> list[str]:
    module = "tests.servers.conversations.writing_process"
    return [sys.executable, "-m", module, str(directory), name, str(count), *more]


async def read_lines(process: Process) -> list[str]:
    assert process.stdout
    return "".join([text async for text in TextReceiveStream(process.stdout)]).splitlines()


async def test_two_processes_append_to_one_conversation_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    count = 100
    with anyio.fail_after(120):
        async with open_file_store(directory) as store:
            async with anyio.create_task_group() as tasks:
                for name in ("p", "q"):
                    tasks.start_soon(anyio.run_process, writer(directory, name, count))
                for number in range(count):
                    await store.append_messages(OWNER, SHARED, [user(f"r-{number}-a")])
                    await store.load_conversation(OWNER, SHARED, limit=5)
            ids = await load_ids(store, SHARED)
            assert len(ids) == len(set(ids)) == 5 * count
            for name in ("p", "q", "r"):
                numbers = [
                    int(str(i).split("-")[1]) for i in ids if i and i[0] == name and i[-1] == "a"
                ]
                assert numbers == list(range(count))
            listed = {
                c.conversation_id: c for c in (await store.list_conversations(OWNER)).conversations
            }
            assert listed[SHARED].message_count == 5 * count
            assert listed["p"].message_count == listed["q"].message_count == 2 * count
            stats = (await store.get_conversation(OWNER, SHARED)).stats
            assert stats.messages_by_role == {"user": 5 * count}


@pytest.mark.slow
async def test_sixteen_processes_on_one_conversation_and_on_sixteen_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    count, names = 25, [f"p{number}" for number in range(16)]
    with anyio.fail_after(240):
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(anyio.run_process, writer(directory, name, count))
    async with open_file_store(directory) as store:
        assert set(await list_ids(store)) == {SHARED, *names}
        ids = await load_ids(store, SHARED)
        assert len(ids) == len(set(ids)) == 16 * 2 * count
        for name in names:
            mine = [f"{name}-{number}-{half}" for number in range(count) for half in "ab"]
            assert [i for i in ids if str(i).startswith(f"{name}-")] == mine
            assert await load_ids(store, name) == mine


async def test_what_another_process_did_is_seen_at_once(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "s") as one, open_file_store(tmp_path / "s") as two:
        await one.append_messages(OWNER, ID, users(3))
        assert await load_ids(two) == await load_ids(one)
        assert await list_ids(two) == [ID]
        version = (await two.append_messages(OWNER, ID, users(3, start=2))).version
        assert (await one.load_conversation(OWNER, ID)).version == version
        assert (await one.append_messages(OWNER, ID, users(5))).repeated == 5
        await two.annotate_message(OWNER, ID, "m0", {"delivery": "pending"})
        assert len((await one.list_deliveries("pending")).deliveries) == 1
        await one.save_conversation(OWNER, ID, users(2), expected_version=version)
        assert await load_ids(two) == ["m0", "m1"]
        await two.delete_conversation(OWNER, ID)
        assert (await one.load_conversation(OWNER, ID)).version == 0
        await one.append_messages(OWNER, ID, [user("m0", "other")], expected_version=0)
        assert [m.content for m in (await two.load_conversation(OWNER, ID)).messages] == ["other"]
        assert await list_ids(two) == [ID]


@pytest.mark.parametrize(
    "kills",
    [
        10,
        pytest.param(50, marks=pytest.mark.crash),
        pytest.param(150, marks=pytest.mark.long),
    ],
)
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, kills: int) -> None:
    directory = tmp_path / "store"
    chance = random.Random(7)
    acknowledged = -1
    with anyio.fail_after(30 + 5 * kills):
        for _ in range(kills):
            async with await anyio.open_process(writer(directory, "p", 100_000)) as process:
                assert process.stdout
                lines = TextReceiveStream(process.stdout)
                wanted = chance.randrange(1, 60)
                seen = ""
                while seen.count("\n") < wanted:
                    seen += await lines.receive()
                await anyio.sleep(chance.random() * 0.003)  # anywhere within an append
                process.kill()
                seen += "".join([text async for text in lines])
            acknowledged = max(acknowledged, *(int(n) for n in seen.split("\n")[:-1]))
            async with open_file_store(directory) as store:
                for conversation_id in (SHARED, "p"):
                    loaded = await store.load_conversation(OWNER, conversation_id)
                    ids = [message.message_id for message in loaded.messages]
                    assert loaded.damaged == 0
                    assert len(ids) % 2 == 0
                    assert ids == [f"p-{n}-{half}" for n in range(len(ids) // 2) for half in "ab"]
                    assert len(ids) >= 2 * (acknowledged + 1)
                    found = await store.get_conversation(OWNER, conversation_id)
                    assert found.message_count == found.stats.messages_by_role["user"] == len(ids)
                assert set(await list_ids(store)) == {SHARED, "p"}


async def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    with anyio.fail_after(60):
        async with await anyio.open_process(
            writer(directory, "p", 100, "30000"), stderr=None
        ) as process:
            lines = await read_lines(process)
        assert process.returncode == 0
    failures = [line for line in lines if line.startswith("failed")]
    assert len(failures) == 1
    assert "raise the limit" in failures[0]
    assert [line for line in lines if line not in failures] == [str(n) for n in range(100)]
    async with open_file_store(directory) as store:
        for conversation_id in (SHARED, "p"):
            loaded = await store.load_conversation(OWNER, conversation_id)
            assert [m.message_id for m in loaded.messages] == [
                f"p-{number}-{half}" for number in range(100) for half in "ab"
            ]
            assert loaded.damaged == 0
        assert len(await list_ids(store)) == 2


async def test_a_failed_sync_is_an_error_that_stores_nothing(tmp_path: Path) -> None:
    failures = [errno.EIO, errno.ENOSPC]

    def sync(fd: int) -> None:
        if failures and os.fstat(fd).st_size > 600:
            raise OSError(failures.pop(0), "injected")
        os.fdatasync(fd)

    async with open_store_with(sync, tmp_path / "store") as store:
        version = (await store.append_messages(OWNER, ID, [user("a")])).version
        for advice in ("disk reported an error", "free some space"):
            with pytest.raises(UnavailableError, match=advice):
                await store.append_messages(OWNER, ID, [user("b", "x" * 300)])
            loaded = await store.load_conversation(OWNER, ID)
            assert [m.message_id for m in loaded.messages] == ["a"]
            assert (loaded.version, loaded.damaged) == (version, 0)
        result = await store.append_messages(OWNER, ID, [user("b", "y" * 300)])
        assert result.appended == 1
    async with open_file_store(tmp_path / "store") as reopened:
        assert await load_ids(reopened) == ["a", "b"]


async def test_others_append_while_the_disk_takes_an_append(tmp_path: Path) -> None:
    syncing, synced = Event(), Event()

    def sync(fd: int) -> None:
        syncing.set()
        assert synced.wait(10)
        os.fdatasync(fd)

    async with open_file_store(tmp_path / "store") as other:
        await other.append_messages(OWNER, ID, [user("a")])
        async with open_store_with(sync, tmp_path / "store") as store, create_task_group() as tasks:
            tasks.start_soon(store.append_messages, OWNER, ID, [user("b")])
            with anyio.fail_after(10):
                await to_thread.run_sync(syncing.wait)
                await other.append_messages(OWNER, ID, [user("c")])
            synced.set()
        assert await load_ids(other) == ["a", "b", "c"]
        assert await list_ids(other) == [ID]


async def test_what_somebody_else_may_just_be_syncing_is_on_disk_when_it_is_repeated(
    tmp_path: Path,
) -> None:
    synced: list[int] = []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)

    async with (
        open_file_store(tmp_path / "store") as other,
        open_store_with(sync, tmp_path / "store") as store,
    ):
        await other.append_messages(OWNER, ID, [user("a")])
        for _ in range(2):  # once is enough
            assert (await store.append_messages(OWNER, ID, [user("a")])).repeated == 1
            assert len(synced) == 1
        await other.append_messages(OWNER, ID, [user("b")])
        assert (await store.append_messages(OWNER, ID, [user("a")])).repeated == 1
        assert len(synced) == 2


async def test_a_failed_sync_takes_nothing_back_that_others_built_on(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as other:
        await other.append_messages(OWNER, ID, [user("a")])
        failing, appended = Event(), Event()

        def sync(fd: int) -> None:
            if not appended.is_set():
                failing.set()
                assert appended.wait(10)
                raise OSError(errno.EIO, "injected")
            os.fdatasync(fd)

        async def fail(store: FileConversationStore) -> None:
            with pytest.raises(UnavailableError, match="disk reported an error"):
                await store.append_messages(OWNER, ID, [user("b")])

        async with open_store_with(sync, tmp_path / "store") as store:
            async with create_task_group() as tasks:
                tasks.start_soon(fail, store)
                with anyio.fail_after(10):
                    await to_thread.run_sync(failing.wait)
                    await other.append_messages(OWNER, ID, [user("c")])
                appended.set()
            result = await store.append_messages(OWNER, ID, [user("b"), user("d")])
            assert (result.repeated, result.appended) == (1, 1)
            loaded = await other.load_conversation(OWNER, ID)
            assert [m.message_id for m in loaded.messages] == ["a", "b", "c", "d"]
            assert loaded.damaged == 0
            [listed] = (await other.list_conversations(OWNER)).conversations
            assert listed.message_count == 4


async def test_who_read_what_was_taken_back_then_reads_what_was_written_there_instead(
    tmp_path: Path,
) -> None:
    async with open_file_store(tmp_path / "store") as other:
        await other.append_messages(OWNER, ID, [user("a")])
        failing, seen = Event(), Event()

        def sync(fd: int) -> None:
            if not seen.is_set():
                failing.set()
                assert seen.wait(10)
                raise OSError(errno.EIO, "injected")
            os.fdatasync(fd)

        async def fail(store: FileConversationStore) -> None:
            with pytest.raises(UnavailableError, match="disk reported an error"):
                await store.append_messages(OWNER, ID, [user("b", "x" * 300)])

        async with open_store_with(sync, tmp_path / "store") as store:
            async with create_task_group() as tasks:
                tasks.start_soon(fail, store)
                with anyio.fail_after(10):
                    await to_thread.run_sync(failing.wait)
                    await load_ids(other)
                seen.set()
            instead = [user("c", "y" * 900)]
            await store.append_messages(OWNER, ID, instead)
        assert (await other.append_messages(OWNER, ID, instead)).repeated == 1
        await other.append_messages(OWNER, ID, [user("d")])
        assert await load_ids(other) == ["a", "c", "d"]
        assert (await other.load_conversation(OWNER, ID)).version == 5


async def test_a_repeat_whose_sync_fails_is_an_error_and_is_synced_the_next_time(
    tmp_path: Path,
) -> None:
    failures, synced = [errno.EIO], 0

    def sync(fd: int) -> None:
        nonlocal synced
        if failures:
            raise OSError(failures.pop(), "injected")
        synced += 1

    async with (
        open_file_store(tmp_path / "store") as other,
        open_store_with(sync, tmp_path / "store") as store,
    ):
        await other.append_messages(OWNER, ID, [user("a")])
        before = file_of(tmp_path / "store").read_bytes()
        with pytest.raises(UnavailableError, match="disk reported an error"):
            await store.append_messages(OWNER, ID, [user("a")])
        assert (await store.append_messages(OWNER, ID, [user("a")])).repeated == 1
        assert synced == 1
        assert file_of(tmp_path / "store").read_bytes() == before


async def test_a_cancelled_append_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        with anyio.fail_after(30):
            for number in range(30):
                with anyio.move_on_after(number * 0.0001):
                    await store.append_messages(OWNER, ID, users(3, start=3 * number))
                ids = await load_ids(store)
                assert len(ids) % 3 == 0
            await store.append_messages(OWNER, ID, users(90))
        assert sorted(await load_ids(store), key=str) == sorted(f"m{n}" for n in range(90))


async def test_a_stopped_holder_of_a_lock_ends_in_an_error_and_not_in_waiting_for_ever(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory(tmp_path / "store"))
        holder, waiting = (stack.enter_context(closing(LockStripes(directory))) for _ in range(2))
        with (
            holder.hold("00"),
            pytest.raises(UnavailableError, match="another process"),
            waiting.hold("00", timeout_seconds=0.05),
        ):
            pass
        with waiting.hold("00", shared=True), holder.hold("00", shared=True):
            pass


@pytest.mark.parametrize("done", ["removed", "moved", "moved with its folder"])
async def test_a_lock_whose_file_is_not_there_any_more_still_locks(
    tmp_path: Path, done: str
) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory(tmp_path / "store"))
        one, two = (stack.enter_context(closing(LockStripes(directory))) for _ in range(2))
        with one.hold("00"):
            pass
        locks = tmp_path / "store" / "locks"
        if done == "removed":
            (locks / "00").unlink()
        elif done == "moved":
            (locks / "00").rename(tmp_path / "00")
        else:
            locks.rename(tmp_path / "locks")
        with (
            one.hold("00"),
            pytest.raises(UnavailableError),
            two.hold("00", timeout_seconds=0.05),
        ):
            pass


@pytest.mark.slow
async def test_whoever_waits_for_a_stopped_process_is_told_in_less_than_five_seconds(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        with ExitStack() as stack:
            for path in (directory / "locks").iterdir():
                fcntl.flock(stack.enter_context(path.open("rb")), fcntl.LOCK_EX)
            start = anyio.current_time()
            with pytest.raises(UnavailableError, match="another process") as told:
                await store.append_messages(OWNER, ID, [user("b")])
            assert anyio.current_time() - start < 5
        assert told.value.retry_after_seconds
        assert await load_ids(store) == ["a"]


async def test_locks_whose_folder_was_removed_under_a_running_store_are_made_anew(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        await one.append_messages(OWNER, ID, [user("a")])
        assert await list_ids(two) == [ID]
        for make_anew in (True, False):
            shutil.rmtree(directory / "locks")
            if make_anew:
                (directory / "locks").mkdir()
            for number in range(70):
                await one.append_messages(OWNER, f"c{number}", users(1))
                await two.append_messages(OWNER, f"c{number}", users(1))
            assert len(await list_ids(two, limit=1_000)) == 71


async def test_with_interval_durability_all_is_there_after_closing(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store", durability="interval") as store:
        for number in range(300):
            await store.append_messages(OWNER, f"c{number % 150}", [user(f"m{number}")])
    async with open_file_store(tmp_path / "store") as store:
        assert len(await list_ids(store, limit=1_000)) == 150
        assert await load_ids(store, "c7") == ["m7", "m157"]
