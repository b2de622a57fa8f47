"""Files that lost their first lines, or all: what is sealed stays, and the loss is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_sweeper import Sweeper, Sweeping
from servers.conversations.file_upkeep import compact, repair, verify
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.stored_files import file_of, segments_of

SMALL = Sealing(after_bytes=4_000)


def lose_first_line(active: Path) -> None:
    active.write_bytes(active.read_bytes().split(b"\n", 1)[1])


def lose_all(active: Path) -> None:
    active.write_bytes(b"")


def lose_file(active: Path) -> None:
    active.unlink()


async def fill(directory: Path, sealing: Sealing | None) -> list[str | None]:
    """Messages until the open file holds some beside what is sealed."""
    async with open_file_store(directory, sealing=sealing) as store:
        for number in range(50):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 100)])
        return await load_ids(store)


async def sweep(directory: Path) -> None:
    async def nothing(_: float) -> None: ...

    async with open_file_engine(directory) as engine:
        await Sweeper(engine, Sweeping(), nothing).sweep()


async def count_damage(directory: Path) -> int:
    async with open_file_engine(directory) as engine:
        return sum([step.examination.count_damage() async for step in verify(engine)])


@pytest.mark.parametrize("lose", [lose_first_line, lose_all, lose_file])
async def test_what_is_sealed_is_kept_shown_and_the_loss_told(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    ids = await fill(tmp_path, SMALL)
    sealed = {path: path.read_bytes() for path in segments_of(tmp_path)}
    assert sealed
    lose(file_of(tmp_path))
    await sweep(tmp_path)
    assert await count_damage(tmp_path) == 1
    async with open_file_store(tmp_path, sealing=SMALL) as store:
        page = await store.load_conversation(OWNER, ID)
        left = [message.message_id for message in page.messages]
        assert left == (ids if lose is lose_first_line else ids[: len(left)])
        assert page.damaged == 1
        (listed,) = (await store.list_conversations(OWNER)).conversations
        assert (listed.conversation_id, listed.message_count) == (ID, len(left))
        assert (await store.search_conversations(OWNER, "xxx*")).hits
        await store.append_messages(OWNER, ID, [user("more")])
    await sweep(tmp_path)
    assert {path: path.read_bytes() for path in segments_of(tmp_path)} == sealed
    assert await count_damage(tmp_path) >= 1
    async with open_file_engine(tmp_path) as engine:
        async for _ in compact(engine, SMALL):
            pass
    async with open_file_store(tmp_path, sealing=SMALL) as store:
        assert await load_ids(store) == [*left, "more"]


async def test_of_a_file_with_nothing_sealed_each_lost_message_is_counted(tmp_path: Path) -> None:
    ids = await fill(tmp_path, None)
    active = file_of(tmp_path)
    lines = active.read_bytes().splitlines(keepends=True)
    active.write_bytes(b"".join(lines[20:]))
    async with open_file_store(tmp_path) as store:
        page = await store.load_conversation(OWNER, ID)
        left = [message.message_id for message in page.messages]
        assert ids[-len(left) :] == left
        # By what the first record tells: how many messages came before it.
        assert 50 - len(left) <= page.damaged <= 20
        # With it the file tells again whose it is.
        await store.append_messages(OWNER, ID, [user("more")])
    async with open_file_engine(tmp_path) as engine:
        (finding,) = [each async for step in verify(engine) for each in step.examination.findings]
        assert (finding.line, finding.is_damage) == (1, True)
        assert "to 20 not all are there" in finding.what
        async for _ in repair(engine):
            pass
    assert await count_damage(tmp_path) == 0
    async with open_file_store(tmp_path) as store:
        assert await load_ids(store) == [*left, "more"]


async def test_a_file_without_one_whole_line_is_begun_anew_by_the_next_message(
    tmp_path: Path,
) -> None:
    await fill(tmp_path, None)
    active = file_of(tmp_path)
    active.write_bytes(active.read_bytes()[:40])
    async with open_file_store(tmp_path) as store:
        assert await load_ids(store) == []
        await store.append_messages(OWNER, ID, [user("more")])
        assert await load_ids(store) == ["more"]
    assert await count_damage(tmp_path) == 0
