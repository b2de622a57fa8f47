"""The embedded store over files that were cut, flipped, swapped, planted or deleted."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    assistant,
    list_ids,
    load_by_pages,
    load_ids,
    user,
    users,
)
from tests.servers.conversations.stored_files import file_of, index_files

FIRST = ["m0", "m1", "m2"]
LAST = ["x", "y"]


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A store with three messages, facts, an annotation, then a batch of two; and one untouched."""
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, "other", users(2))
        for message in users(3):
            await store.append_messages(OWNER, ID, [message])
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="title", tags=["t"]))
        await store.annotate_message(OWNER, ID, "m1", {"delivery": "pending"})
        await store.append_messages(OWNER, ID, [user("x"), assistant("y")])
    return directory


async def test_a_file_cut_anywhere_in_its_last_write_opens_with_all_before_it(
    directory: Path,
) -> None:
    file = file_of(directory)
    whole = file.read_bytes()
    last_write = whole.index(b'"message_id":"x"')
    last_write = whole.rindex(b"\n", 0, last_write) + 1
    for size in {*range(last_write, len(whole), 2), len(whole) - 1}:
        file.write_bytes(whole[:size])
        async with open_file_store(directory) as store:
            loaded = await store.load_conversation(OWNER, ID)
            assert [m.message_id for m in loaded.messages] == FIRST
            assert loaded.damaged == 0
            assert loaded.messages[1].annotations == {"delivery": "pending"}
            assert (await store.append_messages(OWNER, ID, [user("x"), user("z")])).appended == 2
            assert await load_ids(store) == [*FIRST, "x", "z"]


async def test_a_damaged_last_break_costs_nothing_that_another_process_appended(
    directory: Path,
) -> None:
    async with open_file_store(directory) as one, open_file_store(directory) as other:
        await one.append_messages(OWNER, ID, [user("one")])
        await other.append_messages(OWNER, ID, [user("two")])
        await one.append_messages(OWNER, ID, [user("three")])
        file = file_of(directory)
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        await other.append_messages(OWNER, ID, [user("four")])
        assert await load_ids(other) == [*FIRST, *LAST, "one", "two", "three", "four"]
        assert (await one.append_messages(OWNER, ID, [user("three")])).repeated == 1


async def test_nothing_is_left_of_an_interrupted_write_that_was_longer_than_the_next(
    directory: Path,
) -> None:
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("long1", "x" * 5_000), user("long2")])
    file = file_of(directory)
    file.write_bytes(file.read_bytes()[:-10])
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("short")])
    async with open_file_store(directory) as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert [m.message_id for m in loaded.messages] == [*FIRST, *LAST, "short"]
        assert loaded.damaged == 0


async def test_a_file_cut_anywhere_opens_with_the_complete_writes_before(directory: Path) -> None:
    file = file_of(directory)
    whole = file.read_bytes()
    for size in range(0, len(whole), 7):
        file.write_bytes(whole[:size])
        written = [i for i in FIRST if f'"message_id":"{i}","role"'.encode() in whole[:size]]
        async with open_file_store(directory) as store:
            ids = await load_ids(store)
            assert ids in (written, written[:-1], [*FIRST, *LAST])
            await store.append_messages(OWNER, ID, [user("new")])
            assert await load_ids(store) == [*ids, "new"]
            assert await load_ids(store, "other") == ["m0", "m1"]


async def test_a_flipped_byte_costs_its_record_and_is_counted(directory: Path) -> None:
    file = file_of(directory)
    whole = file.read_bytes()
    breaks = [position for position, byte in enumerate(whole) if byte == ord("\n")]
    for position in {*range(0, len(whole), 3), *breaks}:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        file.write_bytes(flipped)
        async with open_file_store(directory) as store:
            loaded = await store.load_conversation(OWNER, ID)
            ids = [m.message_id for m in loaded.messages]
            missing = {*FIRST, *LAST} - set(ids)
            is_break = position in breaks
            assert len(missing) <= (2 if is_break else 1)
            assert loaded.damaged == (0 if position == len(whole) - 1 else 2 if is_break else 1)
            paged = [i for page in await load_by_pages(store, 2) for i in page]
            assert paged == ids


async def test_a_damaged_conversation_is_written_on_and_its_versions_are_not_used_again(
    directory: Path,
) -> None:
    file = file_of(directory)
    whole = file.read_bytes()
    async with open_file_store(directory) as store:
        known = (await store.load_conversation(OWNER, ID)).version
    chance = random.Random(3)
    for _ in range(150):
        flipped = bytearray(whole)
        position = chance.randrange(len(whole))
        flipped[position] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        async with open_file_store(directory) as store:
            ids = await load_ids(store)
            result = await store.append_messages(OWNER, ID, [user("new")])
            assert result.version > known
            loaded = await store.load_conversation(OWNER, ID)
            assert [m.message_id for m in loaded.messages] == [*ids, "new"]
            assert set(await list_ids(store)) == {ID, "other"}
            assert await load_ids(store, "other") == ["m0", "m1"]


async def test_a_file_of_garbage_is_counted_as_damaged_and_left_to_be_written_on(
    directory: Path,
) -> None:
    chance = random.Random(5)
    for size in (1, 100, 70_000, 3_000_000):
        file_of(directory).write_bytes(chance.randbytes(size) + b"\n")
        async with open_file_store(directory) as store:
            loaded = await store.load_conversation(OWNER, ID, limit=10)
            assert loaded.messages == []
            assert loaded.damaged > 0
            result = await store.append_messages(OWNER, ID, [user("new")])
            assert result.version > loaded.version
            assert await load_ids(store) == ["new"]
            assert set(await list_ids(store)) == {ID, "other"}


async def test_damage_is_counted_in_the_page_it_lies_in(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        for message in users(10):
            await store.append_messages(OWNER, ID, [message])
        file = file_of(tmp_path / "store")
        file.write_bytes(file.read_bytes().replace(b'"message_id":"m4"', b'"message_id":"m5"'))
        newest = await store.load_conversation(OWNER, ID, limit=3)
        middle = await store.load_conversation(OWNER, ID, limit=3, before=newest.next_cursor)
        oldest = await store.load_conversation(OWNER, ID, limit=9, before=middle.next_cursor)
        assert (newest.damaged, middle.damaged, oldest.damaged) == (0, 1, 0)
        assert [m.message_id for m in middle.messages] == ["m3", "m5", "m6"]
        assert oldest.next_cursor is None


@pytest.mark.parametrize(("first", "last"), [(8, 12), (9, 13)])
async def test_lines_that_are_there_twice_are_shown_once(
    tmp_path: Path, first: int, last: int
) -> None:
    async with open_file_store(tmp_path / "store") as store:
        for message in users(10):
            await store.append_messages(OWNER, ID, [message])
        await store.annotate_message(OWNER, ID, "m9", {"seen": True})
        whole = await store.load_conversation(OWNER, ID)
        file = file_of(tmp_path / "store")
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([*lines[:last], *lines[first:last], *lines[last:]]))
        for limit in (None, 20):
            page = await store.load_conversation(OWNER, ID, limit=limit)
            assert (page.messages, page.damaged) == (whole.messages, 0)


async def test_a_file_of_another_conversation_is_not_taken_for_this_one(directory: Path) -> None:
    shutil.copy(file_of(directory, "other"), file_of(directory))
    async with open_file_store(directory) as store:
        with pytest.raises(UnavailableError, match="another conversation"):
            await store.load_conversation(OWNER, ID)
        assert await list_ids(store) == ["other"]


def plant_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def plant_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def plant_directory(path: Path, _: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [plant_link, plant_pipe, plant_directory])
async def test_what_is_planted_in_place_of_a_file_is_not_followed(
    directory: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    target = tmp_path / "target"
    file_of(directory).rename(target)
    content = target.read_bytes()
    plant(file_of(directory), target)
    async with open_file_store(directory) as store:
        for call in (
            store.load_conversation(OWNER, ID),
            store.append_messages(OWNER, ID, [user("new")]),
        ):
            with pytest.raises(UnavailableError, match=r"in the way|should be"):
                await call
        assert await list_ids(store) == ["other"]
    assert target.read_bytes() == content


async def test_planted_links_of_folders_locks_and_new_files_are_not_followed(
    directory: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    file = file_of(directory)
    shutil.move(file.parent, elsewhere)
    file.parent.symlink_to(elsewhere)
    async with open_file_store(directory) as store:
        with pytest.raises(UnavailableError):
            await store.append_messages(OWNER, ID, [user("new")])
        assert await list_ids(store) == ["other"]
    file.parent.unlink()
    shutil.move(elsewhere, file.parent)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file.with_name(f"{file.stem}.new").symlink_to(victim)
    for lock in (directory / "locks").iterdir():
        lock.unlink()
        lock.symlink_to(victim)
    async with open_file_store(directory) as store:
        with pytest.raises(UnavailableError, match="link"):
            await store.load_conversation(OWNER, ID)
    for lock in (directory / "locks").iterdir():
        lock.unlink()
    async with open_file_store(directory) as store:
        await store.delete_conversation(OWNER, ID)
        await store.append_messages(OWNER, ID, [user("new")])
        assert await load_ids(store) == ["new"]
    assert victim.read_text() == "precious"


def delete_index(directory: Path) -> None:
    for file in index_files(directory):
        file.unlink()


def overwrite_index(directory: Path) -> None:
    for file in index_files(directory):
        file.write_bytes(random.Random(1).randbytes(50_000))


def damage_index_pages(directory: Path) -> None:
    file = directory / "index.sqlite3"
    content = bytearray(file.read_bytes())
    content[4096:] = random.Random(1).randbytes(len(content) - 4096)
    file.write_bytes(content)


def truncate_index(directory: Path) -> None:
    file = directory / "index.sqlite3"
    file.write_bytes(file.read_bytes()[:5000])


def empty_index(directory: Path) -> None:
    (directory / "index.sqlite3").write_bytes(b"")


def put_link_in_place_of_index(directory: Path) -> None:
    delete_index(directory)
    victim = directory.parent / "victim"
    victim.write_bytes(b"")
    (directory / "index.sqlite3").symlink_to(victim)


HARM = [
    delete_index,
    overwrite_index,
    damage_index_pages,
    truncate_index,
    empty_index,
    put_link_in_place_of_index,
]


@pytest.mark.parametrize("harm", HARM)
async def test_a_harmed_index_is_made_anew_from_the_files(
    directory: Path, harm: Callable[[Path], None]
) -> None:
    async with open_file_store(directory) as store:
        listed = await store.list_conversations(OWNER)
        found = await store.get_conversation(OWNER, ID)
        deliveries = await store.list_deliveries("pending")
        page = await store.load_conversation(OWNER, ID, limit=2)
        older = await store.load_conversation(OWNER, ID, limit=2, before=page.next_cursor)
    assert len(deliveries.deliveries) == 1
    harm(directory)
    async with open_file_store(directory) as store:
        assert await store.load_conversation(OWNER, ID, limit=2, before=page.next_cursor) == older
    harm(directory)
    async with open_file_store(directory) as store:
        assert await store.list_deliveries("pending") == deliveries
        assert await store.list_conversations(OWNER) == listed
        assert await list_ids(store, tag="t") == [ID]
    harm(directory)
    async with open_file_store(directory) as store:
        assert await store.get_conversation(OWNER, ID) == found
        await store.append_messages(OWNER, "new", [user()])
        assert len(await list_ids(store)) == 3
    harm(directory)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("more")])
        assert (await store.get_conversation(OWNER, ID)).stats.messages_by_role["user"] == 5
        assert (await list_ids(store))[0] == ID
    victim = directory.parent / "victim"
    assert not victim.exists() or victim.read_bytes() == b""


async def test_an_index_deleted_under_a_running_store_is_made_anew(directory: Path) -> None:
    async with open_file_store(directory) as store, open_file_store(directory) as second:
        before = await store.list_conversations(OWNER)
        delete_index(directory)
        assert await store.list_conversations(OWNER) == before
        delete_index(directory)
        await second.append_messages(OWNER, "new", [user("n", annotations={"delivery": "pending"})])
        assert await list_ids(store) == ["new", *(c.conversation_id for c in before.conversations)]
        assert len((await store.list_deliveries("pending")).deliveries) == 2


async def test_an_index_put_back_from_an_old_copy_catches_up(directory: Path) -> None:
    old = {file: file.read_bytes() for file in index_files(directory)}
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, "other", users(5))
        await store.append_messages(OWNER, "new", users(1))
        await store.delete_conversation(OWNER, ID)
    for file in index_files(directory):
        file.unlink()
    for file, content in old.items():
        file.write_bytes(content)
    async with open_file_store(directory) as store:
        assert await list_ids(store) == ["new", "other"]
        listed = await store.list_conversations(OWNER)
        assert [c.message_count for c in listed.conversations] == [1, 5]
        assert (await store.list_deliveries("pending")).deliveries == []


async def test_files_put_in_and_taken_out_are_noticed_at_the_next_opening(
    directory: Path, tmp_path: Path
) -> None:
    async with open_file_store(directory) as store:
        assert len(await list_ids(store)) == 2
    shutil.move(file_of(directory), tmp_path / "aside")
    async with open_file_store(directory) as store:
        assert await list_ids(store) == ["other"]
        assert await load_ids(store) == []
    shutil.move(tmp_path / "aside", file_of(directory))
    async with open_file_store(directory) as store:
        assert set(await list_ids(store)) == {ID, "other"}
        assert await load_ids(store) == [*FIRST, *LAST]


async def test_files_changed_under_a_running_store_are_read_anew(directory: Path) -> None:
    file = file_of(directory)
    old = file.read_bytes()
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("more")])
        file.write_bytes(old)
        assert await load_ids(store) == [*FIRST, *LAST]
        assert (await store.append_messages(OWNER, ID, [user("more")])).appended == 1
        assert await load_ids(store) == [*FIRST, *LAST, "more"]
        file.unlink()
        assert (await store.load_conversation(OWNER, ID)).version == 0
