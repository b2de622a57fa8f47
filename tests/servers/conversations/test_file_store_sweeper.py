"""What the sweeper removes from an embedded store, what it leaves, and who does it when."""

import fcntl
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_expiry import NEVER, Expiry
from servers.conversations.file_search import open_file_search
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_sweeper import Sweeper, Sweeping, Swept
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.contract_of_attachments import is_absent, put, read
from tests.servers.conversations.messages import ID, OWNER, in_seconds, list_ids, load_ids, users
from tests.servers.conversations.stored_files import attachments_of, file_of, make_old

AT_ONCE = Sweeping(first_seconds=0, interval_seconds=0)


@asynccontextmanager
async def swept_by_hand(
    directory: Path, expiry: Expiry = NEVER, sweeping: Sweeping = AT_ONCE
) -> AsyncGenerator[tuple[FileConversationStore, Sweeper]]:
    async with (
        open_file_engine(directory, expiry=expiry) as engine,
        open_file_search(engine) as search,
    ):
        yield FileConversationStore(engine, search), Sweeper(engine, sweeping, search.catch_up)


async def expire(store: FileConversationStore, conversation_id: str = ID) -> None:
    update = ConversationUpdate(expires_at=in_seconds(-1))
    await store.update_conversation(OWNER, conversation_id, update)


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await anyio.sleep(0.01)


async def test_what_has_expired_becomes_a_tombstone_and_the_rest_stays(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        for number in range(20):
            await store.append_messages(OWNER, f"c{number}", users(3))
            await put(store, b"attached", conversation_id=f"c{number}")
        for number in range(0, 20, 2):
            await expire(store, f"c{number}")
        version = (await store.get_conversation(OWNER, "c1")).version
        assert await sweeper.sweep() == Swept(conversations=10)
        for number in range(20):
            is_kept = number % 2 == 1
            conversation_id = f"c{number}"
            assert attachments_of(directory, conversation_id).exists() == is_kept
            assert (b"m0" in file_of(directory, conversation_id).read_bytes()) == is_kept
        assert len(await list_ids(store)) == 10
        assert (await store.get_conversation(OWNER, "c1")).version == version
        assert await read(store, conversation_id="c1") == b"attached"
        again = await store.append_messages(OWNER, "c0", users(1), expected_version=0)
        assert again.version > version
        assert await sweeper.sweep() == Swept()


async def test_what_was_left_alone_for_long_goes_too(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
        await store.append_messages(OWNER, "young", users(3))
    make_old(file_of(directory), days=31)
    async with swept_by_hand(directory, Expiry(30)) as (store, sweeper):
        assert await list_ids(store) == ["young"]
        assert await sweeper.sweep() == Swept(conversations=1)
        assert await list_ids(store) == ["young"]
        assert b"m0" not in file_of(directory).read_bytes()


async def test_a_conversation_begun_anew_meanwhile_stays(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await store.append_messages(OWNER, ID, users(1))
        await expire(store)
    kept = tmp_path / "kept.sqlite3"
    shutil.copy(directory / "index.sqlite3", kept)
    async with swept_by_hand(directory) as (store, _):
        await store.append_messages(OWNER, ID, users(2))
        await put(store, b"new")
    for path in directory.glob("index.sqlite3*"):
        path.unlink()
    shutil.copy(kept, directory / "index.sqlite3")  # it says that the conversation has expired
    async with swept_by_hand(directory) as (store, sweeper):
        assert await sweeper.sweep() == Swept()
        assert await load_ids(store) == ["m0", "m1"]
        assert await read(store) == b"new"


async def test_leftovers_go_when_they_are_old(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await put(store, b"whole")
        await put(store, b"par", "b", total_size=9)
        folder, file = attachments_of(directory), file_of(directory)
        parts = [path for path in folder.iterdir() if path.suffix == ".part"]
        [part] = parts
        stray = [folder / "stray.bin", part.with_suffix(".new")]
        unfinished = [
            file.with_name(f"{file.stem}{token}.jsonl.new") for token in ("", ".0123456789abcdef")
        ]
        trash = file.with_name(f"{file.stem}.0123456789abcdef.trash")
        foreign = file.with_name("notes.new")
        trash.mkdir()
        (trash / "x.bin").write_bytes(b"gone")
        for path in (*stray, *unfinished, foreign):
            path.write_bytes(b"x")
        assert await sweeper.sweep() == Swept(folders=1)
        assert not trash.exists()
        left = [part, part.with_suffix(".bin"), *stray, *unfinished]
        assert all(path.exists() for path in left)

        for path in (*folder.iterdir(), *unfinished, foreign):
            make_old(path)
        assert await sweeper.sweep() == Swept(uploads=4, unfinished=2)
        assert not any(path.exists() for path in left)
        assert foreign.exists()
        assert await read(store) == b"whole"
        assert (await put(store, b"part", "b", total_size=4)).complete


async def test_an_upload_that_is_gone_on_with_stays(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await put(store, b"01", total_size=4)
        for path in attachments_of(directory).iterdir():
            make_old(path)
        await put(store, b"2", offset=2, total_size=4)
        assert await sweeper.sweep() == Swept()
        assert (await put(store, b"3", offset=3, total_size=4)).complete
        for path in attachments_of(directory).iterdir():
            make_old(path)
        assert await sweeper.sweep() == Swept()
        assert await read(store) == b"0123"


async def test_attachments_that_a_killed_deletion_left_go(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await put(store, b"old")
        shutil.copytree(attachments_of(directory), tmp_path / "copy")
        await store.delete_conversation(OWNER, ID)
        shutil.copytree(tmp_path / "copy", attachments_of(directory))
        await sweeper.sweep()
        assert not attachments_of(directory).exists()
        assert await is_absent(store)


async def test_attachments_without_any_file_of_their_conversation_are_left_alone(
    tmp_path: Path,
) -> None:
    """Somebody may be restoring a back-up."""
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await put(store, b"restored")
        kept = file_of(directory).rename(tmp_path / "kept")
        assert await list_ids(store) in ([], [ID])
        assert await sweeper.sweep() == Swept()
        kept.rename(file_of(directory))
        assert await read(store) == b"restored"


async def test_what_is_in_the_way_keeps_nothing_else_from_being_swept(tmp_path: Path) -> None:
    directory, outside = tmp_path / "store", tmp_path / "outside"
    outside.mkdir()
    (outside / "x.part").write_bytes(b"kept")
    make_old(outside / "x.part")
    async with swept_by_hand(directory) as (store, sweeper):
        for number in range(5):
            await store.append_messages(OWNER, f"c{number}", users(1))
            await expire(store, f"c{number}")
            name = file_of(directory, f"c{number}").with_suffix("")
            name.with_suffix(".att").symlink_to(outside)
            name.with_suffix(".0.trash").symlink_to(outside)
        swept = await sweeper.sweep()
        assert swept is not None
        assert swept.conversations == 5
        assert list(outside.iterdir()) == [outside / "x.part"]
        assert not list((directory / "v1").glob("*/*.trash"))
        for number in range(5):
            assert b"m0" not in file_of(directory, f"c{number}").read_bytes()


async def test_what_is_new_can_be_searched_after_a_sweep_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with swept_by_hand(directory) as (store, sweeper):
        await store.append_messages(OWNER, ID, users(3))
        assert not (directory / "search.sqlite3").exists()
        assert await sweeper.sweep() == Swept()
        indexed = (directory / "search.sqlite3").stat().st_mtime_ns
        found = await store.search_conversations(OWNER, "1:xxx")
        assert [hit.message_id for hit in found.hits] == ["m1"]
        assert (directory / "search.sqlite3").stat().st_mtime_ns == indexed


async def test_only_one_sweeps_at_a_time_and_once_in_an_interval(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    hourly = Sweeping(interval_seconds=3_600)
    async with (
        swept_by_hand(directory, sweeping=hourly) as (_, one),
        swept_by_hand(directory, sweeping=hourly) as (_, two),
    ):
        lock = directory / "locks" / "sweeper"
        with lock.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert await one.sweep() is None
        assert await one.sweep() == Swept()
        assert await one.sweep() is None
        assert await two.sweep() is None
        make_old(lock, days=1 / 24)
        assert await two.sweep() == Swept()
        make_old(lock, days=-1)  # the clock was set back since
        assert await one.sweep() == Swept()


async def test_an_opened_store_is_swept_in_the_background(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory, sweeping=None) as store:
        await store.append_messages(OWNER, ID, users(3))
        await expire(store)
        assert b"m0" in file_of(directory).read_bytes()
    async with open_file_store(directory, sweeping=AT_ONCE) as store:
        with anyio.fail_after(10):
            await until(lambda: b"m0" not in file_of(directory).read_bytes())
        assert await list_ids(store) == []


async def test_a_store_that_is_open_for_a_moment_only_is_not_swept(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
    assert not (directory / "locks" / "sweeper").exists()


async def test_a_sweep_that_fails_is_tried_again_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory, sweeping=None) as store:
        await store.append_messages(OWNER, ID, users(3))
        await expire(store)
    in_the_way = directory / "locks" / "sweeper"
    in_the_way.mkdir()
    async with open_file_store(directory, sweeping=AT_ONCE) as store:
        with anyio.fail_after(10):
            await until(lambda: "the conversation store was not swept" in caplog.text)
            await store.append_messages(OWNER, "other", users(1))
            in_the_way.rmdir()
            await until(lambda: b"m0" not in file_of(directory).read_bytes())


async def test_what_fails_in_a_store_that_is_swept_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with open_file_store(tmp_path / "store", sweeping=AT_ONCE):
            raise KeyError


@pytest.mark.parametrize("taken", ["FORMAT", "locks"])
async def test_what_is_in_the_way_of_a_sweep_is_told_in_one_line(
    tmp_path: Path, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory):
        pass
    async with swept_by_hand(directory) as (_, sweeper):
        path = directory / taken
        path.rename(tmp_path / taken)
        path.symlink_to(tmp_path / taken)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sweeper.run)
                await until(lambda: "not swept" in caplog.text)
                tasks.cancel_scope.cancel()
    told = caplog.records[0].getMessage()
    assert told.startswith("the conversation store was not swept: ")
    assert f"{path}: a " in told
    assert "\n" not in told
