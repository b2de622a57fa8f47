"""Whose a conversation is stays known when the first record of its file is damaged, at any byte."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from servers.conversations.contract import Message
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_upkeep import repair, verify
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.contract_of_attachments import put
from tests.servers.conversations.messages import OWNER, list_ids, user, users
from tests.servers.conversations.stored_files import file_of, index_files, segments_of

SEALING = Sealing(after_bytes=2_000)
OTHER = "cda"
"""One bit apart."""

Make = Callable[[FileConversationStore, Path, str], Awaitable[object]]
Whole = dict[str, tuple[str | None, list[Message]]]
"""Title and messages of each conversation."""


async def begin(store: FileConversationStore, _: Path, name: str) -> None:
    await store.append_messages(OWNER, name, users(1))
    await store.append_messages(OWNER, name, [user("later")])


async def begin_by_attachment(store: FileConversationStore, _: Path, name: str) -> None:
    await put(store, b"attached", conversation_id=name)


async def go_on_with_an_old_one(store: FileConversationStore, directory: Path, name: str) -> None:
    await store.append_messages(OWNER, name, users(2))
    header, *messages, _ = file_of(directory, name).read_bytes().splitlines(keepends=True)
    assert len(messages) == 2
    file_of(directory, name).write_bytes(header + b"".join(messages))
    await store.annotate_message(OWNER, name, "m0", {"k": 1})


async def fork(store: FileConversationStore, directory: Path, name: str) -> None:
    await begin(store, directory, "source")
    await store.update_conversation(OWNER, "source", ConversationUpdate(title="title"))
    await store.fork_conversation(OWNER, "source", new_conversation_id=name)
    await store.delete_conversation(OWNER, "source")


async def seal(store: FileConversationStore, _: Path, name: str) -> None:
    await store.append_messages(OWNER, name, [user("m0"), user("m1", "x" * 2_000)])


async def seal_and_go_on(store: FileConversationStore, directory: Path, name: str) -> None:
    await seal(store, directory, name)
    await store.append_messages(OWNER, name, [user("later")])


async def load(store: FileConversationStore, name: str) -> tuple[str | None, list[Message]]:
    loaded = await store.load_conversation(OWNER, name)
    if not loaded.version:
        return None, []
    return (await store.get_conversation(OWNER, name)).title, loaded.messages


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << (place % 8)
    file.write_bytes(data)


async def flip_each(
    directory: Path, make: Make, step: int, find: Callable[[Path, str], tuple[Path, int]]
) -> tuple[Whole, str]:
    """As many conversations as one has bytes to flip, each with another one flipped.

    `find`: the file, and how many of its bytes. Returns what there was, and whose last byte it is.
    """
    whole: Whole = {}
    name, size = "", 1_000
    async with open_file_store(directory, durability="interval", sealing=SEALING) as store:
        await store.append_messages(OTHER, "c000", [user("other")])
        for place in range(0, 1_000, step):
            name = f"c{place:03}"
            await make(store, directory, name)
            whole[name] = await load(store, name)
            file, size = find(directory, name)
            flip(file, min(place, size - 1))
            if place >= size - 1:
                break
    for index in index_files(directory):
        index.unlink()
    return whole, name


def find_first_line(directory: Path, name: str) -> tuple[Path, int]:
    file = file_of(directory, name)
    return file, file.read_bytes().index(b"\n") + 1


def find_first_segment(directory: Path, name: str) -> tuple[Path, int]:
    file = segments_of(directory, name)[0]
    return file, file.stat().st_size


async def repair_all(directory: Path) -> None:
    async with open_file_engine(directory) as engine:
        assert not [step for step in [s async for s in repair(engine)] if step.is_left]
        assert not [step for step in [s async for s in verify(engine)] if step.examination.findings]


STEPS = [
    67,
    pytest.param(5, marks=pytest.mark.slow),
    pytest.param(1, marks=pytest.mark.long),
]
MAKE = [begin, begin_by_attachment, go_on_with_an_old_one, fork, seal, seal_and_go_on]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", MAKE)
async def test_a_conversation_whose_first_record_is_damaged_is_listed_whole_and_mended(
    tmp_path: Path, make: Make, step: int
) -> None:
    whole, hit_at_break = await flip_each(tmp_path / "s", make, step, find_first_line)
    for is_mended in (False, True):
        async with open_file_store(tmp_path / "s") as store:
            assert set(await list_ids(store, limit=1_000)) == {*whole}
            assert await list_ids(store, OTHER) == ["c000"]
            for name, stored in whole.items():
                loaded = await store.load_conversation(OWNER, name)
                found = await store.get_conversation(OWNER, name)
                assert found.owner == OWNER
                if name != hit_at_break:  # which may cost the next record as well
                    assert (found.title, loaded.messages) == stored
                    assert found.message_count == len(loaded.messages)
                    assert loaded.damaged == (not is_mended)
        await repair_all(tmp_path / "s")


@pytest.mark.parametrize("step", STEPS)
async def test_a_conversation_whose_first_segment_is_damaged_is_listed_and_mended(
    tmp_path: Path, step: int
) -> None:
    whole, _ = await flip_each(tmp_path / "s", seal_and_go_on, step, find_first_segment)
    for _ in range(2):
        async with open_file_store(tmp_path / "s") as store:
            assert set(await list_ids(store, limit=1_000)) == {*whole}
            for name, (_, messages) in whole.items():
                assert (await load(store, name))[1] in (messages, messages[-1:])
        await repair_all(tmp_path / "s")


@pytest.mark.parametrize("step", STEPS)
async def test_a_deleted_conversation_whose_first_record_is_damaged_stays_deleted(
    tmp_path: Path, step: int
) -> None:
    async def delete(store: FileConversationStore, directory: Path, name: str) -> None:
        await begin(store, directory, name)
        await store.delete_conversation(OWNER, name)

    whole, _ = await flip_each(tmp_path / "s", delete, step, find_first_line)
    for _ in range(2):
        async with open_file_store(tmp_path / "s") as store:
            assert await list_ids(store) == []
            assert await list_ids(store, OTHER) == ["c000"]
            for name in whole:
                assert (await store.load_conversation(OWNER, name)).version == 0
        await repair_all(tmp_path / "s")
