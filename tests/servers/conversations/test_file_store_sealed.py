"""Older messages in compressed segments: the contract holds, and damage costs what it hits."""

import gc
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from servers.conversations.contract import Message
from servers.conversations.file_directory import key_of, open_directory
from servers.conversations.file_history import Place
from servers.conversations.file_replacing import replace_file
from servers.conversations.file_sealed import SealedSegment, compress, suffix_of
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import ConflictError
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.store_contract import ConversationStoreContract
from tests.servers.conversations.stored_files import file_of, forget_name, index_files, segments_of

SMALL = Sealing(after_bytes=2_000)


@pytest.mark.slow
class TestASealingStore(ConversationStoreContract):
    """The contract, where nearly every other message makes a segment."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[FileConversationStore]:
        sealing = Sealing(after_bytes=500)
        async with open_file_store(tmp_path / "conversations", sealing=sealing) as store:
            yield store


async def fill(directory: Path, count: int = 60, sealing: Sealing | None = SMALL) -> list[str]:
    ids = [f"m{number}" for number in range(count)]
    async with open_file_store(directory, sealing=sealing) as store:
        for message_id in ids:
            await store.append_messages(OWNER, ID, [user(message_id, f"{message_id} says " * 10)])
    return ids


async def test_what_is_sealed_is_read_searched_and_counted_as_before(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store")
    assert len(segments_of(tmp_path / "store")) > 3
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        assert await load_ids(store) == ids
        page = await store.load_conversation(OWNER, ID, limit=7)
        walked = [m.message_id for m in page.messages]
        while page.next_cursor:
            page = await store.load_conversation(OWNER, ID, limit=7, before=page.next_cursor)
            walked[:0] = [m.message_id for m in page.messages]
        assert walked == ids
        assert page.damaged == 0
        repeat = await store.append_messages(OWNER, ID, [user("m0", "m0 says " * 10)])
        assert (repeat.appended, repeat.repeated) == (0, 1)
        await store.annotate_message(OWNER, ID, "m0", {"seen": True})
        assert (await store.load_conversation(OWNER, ID)).messages[0].annotations == {"seen": True}


async def test_copies_are_sealed_as_they_are_made(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", sealing=None)
    assert segments_of(tmp_path / "store") == []
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        await store.fork_conversation(OWNER, ID, new_conversation_id="fork")
        await store.merge_conversations(OWNER, [ID], "merged")
        for copy in ("fork", "merged"):
            assert len(segments_of(tmp_path / "store", copy)) > 3
            page = await store.load_conversation(OWNER, copy, limit=100)
            assert [message.message_id for message in page.messages] == ids


async def test_a_cursor_goes_on_while_messages_are_sealed(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        for number in range(8):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
        page = await store.load_conversation(OWNER, ID, limit=2)
        for number in range(8, 60):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
        page = await store.load_conversation(OWNER, ID, limit=3, before=page.next_cursor)
        assert [m.message_id for m in page.messages] == ["m3", "m4", "m5"]


async def test_another_process_s_sealing_is_seen(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store", sealing=None) as reader:
        await reader.append_messages(OWNER, ID, [user("first")])
        ids = ["first", *await fill(tmp_path / "store", 40)]
        assert await load_ids(reader) == ids
        await reader.append_messages(OWNER, ID, [user("last")])
        assert [
            c.message_count for c in (await reader.list_conversations(OWNER)).conversations
        ] == [42]
    async with open_file_store(tmp_path / "store") as other:
        assert await load_ids(other) == [*ids, "last"]


async def test_a_writer_goes_on_with_what_it_knows_when_another_sealed_it(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory, sealing=None) as one:
        for number in range(3):
            await one.append_messages(OWNER, ID, [user(f"one-{number}", "x" * 50)])
        async with open_file_store(directory, sealing=SMALL) as two:
            for number in range(40):
                await two.append_messages(OWNER, ID, [user(f"two-{number}", "y" * 100)])
        assert len(segments_of(directory)) > 1
        repeats = [user("one-1", "x" * 50), user("two-0", "y" * 100), user("two-39", "y" * 100)]
        result = await one.append_messages(OWNER, ID, [*repeats, user("new")])
        assert (result.repeated, result.appended) == (3, 1)
        with pytest.raises(ConflictError):
            await one.append_messages(OWNER, ID, [user("one-1", "other")])
        loaded = await one.load_conversation(OWNER, ID)
    async with open_file_store(directory) as fresh:
        assert await fresh.load_conversation(OWNER, ID) == loaded
    assert [m.message_id for m in loaded.messages][-2:] == ["two-39", "new"]


async def test_segments_shrink_and_are_plain_zstd(tmp_path: Path) -> None:
    await fill(tmp_path / "store", 400, Sealing(after_bytes=60_000))
    await fill(tmp_path / "plain", 400, None)
    plain = file_of(tmp_path / "plain").stat().st_size
    segments = segments_of(tmp_path / "store")
    sizes = sum(path.stat().st_size for path in [*segments, file_of(tmp_path / "store")])
    assert sizes < plain / 2
    assert segments[0].stat().st_mode & 0o777 == 0o600
    if shutil.which("zstdcat"):
        shown = subprocess.run(["zstdcat", segments[0]], capture_output=True, check=True).stdout
        assert shown.startswith(b'{"seq":1,"kind":"header"')


async def test_a_deletion_and_a_rewrite_leave_no_segment(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        version = (await store.load_conversation(OWNER, ID, limit=1)).version
        kept = [Message(message_id="kept", role="user", content="x")]
        await store.save_conversation(OWNER, ID, kept, expected_version=version)
        assert segments_of(tmp_path / "store") == []
        assert await load_ids(store) == ["kept"]
    await fill(tmp_path / "store")
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        await store.delete_conversation(OWNER, ID)
        assert segments_of(tmp_path / "store") == []
        assert (await store.load_conversation(OWNER, ID)).version == 0


@pytest.mark.parametrize("index", ["kept", "deleted"])
async def test_a_damaged_block_costs_its_own_messages(tmp_path: Path, index: str) -> None:
    ids = await fill(tmp_path / "store")
    damaged = segments_of(tmp_path / "store")[1]
    data = bytearray(damaged.read_bytes())
    data[20] ^= 0xFF
    damaged.write_bytes(data)
    if index == "deleted":
        for path in index_files(tmp_path / "store"):
            path.unlink()
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        loaded = await store.load_conversation(OWNER, ID)
        left = [m.message_id for m in loaded.messages]
        assert loaded.damaged > 0
        # The damaged range holds the lost messages and the record that begins each file.
        assert 0 < len(ids) - len(left) <= loaded.damaged
        assert left == [message_id for message_id in ids if message_id in left]
        await store.append_messages(OWNER, ID, [user("more")])
        assert (await load_ids(store))[-1] == "more"


async def test_a_record_that_was_damaged_before_it_was_sealed_costs_itself(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", 20, None)
    active = file_of(tmp_path / "store")
    active.write_bytes(active.read_bytes().replace(b'"message_id":"m7"', b'"message_id":"n7"'))
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        for number in range(20, 60):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
            ids.append(f"m{number}")
        loaded = await store.load_conversation(OWNER, ID)
    assert segments_of(tmp_path / "store")
    ids.remove("m7")
    assert ([m.message_id for m in loaded.messages], loaded.damaged) == (ids, 1)


async def test_segments_of_a_program_of_before_are_read(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store")
    for path in segments_of(tmp_path / "store"):
        forget_name(path)
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        assert await load_ids(store) == ids


async def test_a_lost_table_costs_nothing_and_a_lost_segment_its_messages(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store")
    first, second, *_ = segments_of(tmp_path / "store")
    first.write_bytes(first.read_bytes()[:-20])
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        assert await load_ids(store) == ids
    second.unlink()
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert loaded.messages[0].message_id == "m0"
        assert loaded.messages[-1].message_id == ids[-1]
        assert loaded.damaged > 0
        assert len(loaded.messages) + loaded.damaged > len(ids)


async def test_a_damaged_first_line_after_sealing_costs_itself(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", 61)
    active = file_of(tmp_path / "store")
    data = bytearray(active.read_bytes())
    assert data.count(b"\n") > 1
    data[30] ^= 0x01
    active.write_bytes(data)
    for path in index_files(tmp_path / "store"):
        path.unlink()
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert ([m.message_id for m in loaded.messages], loaded.damaged) == (ids, 1)
        await store.append_messages(OWNER, ID, [user("more")])
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        assert await load_ids(store) == [*ids, "more"]


async def test_a_writer_killed_between_the_two_steps_of_sealing_loses_nothing(
    tmp_path: Path,
) -> None:
    ids = await fill(tmp_path / "unsealed", 60, None)
    shutil.copytree(tmp_path / "unsealed", tmp_path / "killed")
    await fill(tmp_path / "sealed")
    # The first segment of the other store has the name that the killed writer gave to its own.
    segment = segments_of(tmp_path / "sealed")[0]
    shutil.copy(segment, file_of(tmp_path / "killed").parent / segment.name)
    async with open_file_store(tmp_path / "killed", sealing=SMALL) as store:
        assert await load_ids(store) == ids
        for number in range(60, 90):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
        assert len(await load_ids(store)) == 90
    active = file_of(tmp_path / "killed")
    data = segments_of(tmp_path / "killed")[0].read_bytes()
    assert SealedSegment.parse(data, 0, active.stem).frames
    assert active.stat().st_size < 6_000


async def test_a_disk_without_room_for_a_segment_keeps_the_append(tmp_path: Path) -> None:
    await fill(tmp_path / "store", 5, None)
    blocked = file_of(tmp_path / "store")
    name = f"{blocked.stem}.1.0.jsonl.zst.new"
    (blocked.parent / name).mkdir()  # what is in the way of the segment can't be removed
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        for number in range(5, 30):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
        assert len(await load_ids(store)) == 30
    assert segments_of(tmp_path / "store") == []


async def test_a_large_file_is_sealed_in_several_segments(tmp_path: Path) -> None:
    batch = [user(f"m{number}", f"{number} " * 50) for number in range(100)]
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        await store.append_messages(OWNER, ID, batch)
        await store.append_messages(OWNER, ID, [user("last", "x" * 3_000)])
        assert len(await load_ids(store)) == 101
    sizes = [path.stat().st_size for path in segments_of(tmp_path / "store")]
    assert len(sizes) > 5
    async with open_file_store(tmp_path / "store", sealing=SMALL) as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert (len(loaded.messages), loaded.damaged) == (101, 0)


def test_of_a_large_segment_the_table_is_found_and_only_what_is_there_is_read(
    tmp_path: Path,
) -> None:
    key, suffix = key_of(OWNER, ID), suffix_of(1, 0)
    blocks = [b"%d says\n" % number for number in range(1_000)]
    size = sum(map(len, blocks))
    with open_directory(tmp_path / "store") as directory:
        os.close(replace_file(Place(directory, key), compress(blocks, 3, key, suffix), suffix))
        segment = SealedSegment.open(directory, key, suffix, size)
        assert (len(segment.frames), segment.is_whole, segment.has_table) == (1_000, True, True)
        assert segment.read_block(999) == segment.pread(100, size - 9) == b"999 says\n"
        os.close(replace_file(Place(directory, key), compress(blocks[1:], 3, key, suffix), suffix))
        with pytest.raises(FileNotFoundError):  # another one under the same name
            segment.read_block(500)
        assert segment.pread(100, size - 9) == b"999 says\n"  # it was read before
        directory.remove_files(key, [suffix])
        with pytest.raises(FileNotFoundError):
            segment.read_block(500)


@pytest.mark.parametrize("is_collected", [True, False])
async def test_a_long_load_leaves_the_collection_of_garbage_as_it_was(
    tmp_path: Path, is_collected: bool
) -> None:
    async with open_file_store(tmp_path / "s", durability="interval") as store:
        messages = [user(f"m{number}", "x" * 100_000) for number in range(15)]
        await store.append_messages(OWNER, ID, messages)
        if not is_collected:
            gc.disable()
        try:
            assert len(await load_ids(store)) == 15
            assert gc.isenabled() == is_collected
        finally:
            gc.enable()
