"""Files of one conversation that were mixed up: what is made permanent is in the right order."""

from pathlib import Path

import pytest

from servers.conversations.file_engine import FileEngine, open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_upkeep import repair, verify
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.stored_files import file_of, forget_name, segments_of

IDS = [f"m{number}" for number in range(60)]


async def fill(directory: Path, sealing: Sealing | None) -> None:
    async with open_file_store(directory, durability="interval", sealing=sealing) as store:
        for number, message_id in enumerate(IDS):
            await store.append_messages(OWNER, ID, [user(message_id, "says " * (20 + number))])
            if number == 30:
                await store.annotate_message(OWNER, ID, "m3", {"liked": True})
        await store.annotate_message(OWNER, ID, "m3", {"liked": False})


def exchange(one: Path, other: Path) -> None:
    away = one.with_suffix(".away")
    one.rename(away)
    other.rename(one)
    away.rename(other)


async def find(engine: FileEngine) -> list[str]:
    return [
        f"{finding.file} {finding.what}"
        async for step in verify(engine)
        for finding in step.examination.findings
    ]


async def mend(engine: FileEngine) -> str:
    (done,) = [step.done async for step in repair(engine) if step.done]
    assert await find(engine) == []
    return done


@pytest.mark.parametrize("is_of_before", [True, False])
async def test_exchanged_sealed_files_are_named_and_put_in_order_without_a_loss(
    tmp_path: Path, *, is_of_before: bool
) -> None:
    await fill(tmp_path, Sealing(after_bytes=2_000))
    first, second, third, *_ = segments_of(tmp_path)
    if is_of_before:
        for path in segments_of(tmp_path):
            forget_name(path)
    exchange(first, third)
    async with open_file_store(tmp_path) as store:
        page = await store.load_conversation(OWNER, ID)
        assert page.damaged > 0
        if not is_of_before:
            shown = [message.message_id for message in page.messages]
            assert shown == [message_id for message_id in IDS if message_id in shown]
            assert (await store.load_conversation(OWNER, ID, limit=60)).messages == page.messages
    async with open_file_engine(tmp_path) as engine:
        told = await find(engine)
        assert any(first.name in each for each in told)
        assert any(second.name in each or third.name in each for each in told)
        assert (await mend(engine)).startswith("60 messages are kept; the damaged files")
    async with open_file_store(tmp_path) as store:
        page = await store.load_conversation(OWNER, ID)
        assert ([message.message_id for message in page.messages], page.damaged) == (IDS, 0)
        assert page.messages[3].annotations == {"liked": False}
    assert {path.name for path in (first, second, third)} <= {
        path.name for path in (tmp_path / "damaged").rglob("*.zst")
    }


async def test_older_lines_that_stand_once_more_at_the_end_change_no_order_and_no_version(
    tmp_path: Path,
) -> None:
    await fill(tmp_path, None)
    async with open_file_store(tmp_path, durability="interval") as store:
        for number in range(100):
            await store.update_conversation(OWNER, ID, ConversationUpdate(title=f"{number}"))
    active = file_of(tmp_path)
    lines = active.read_bytes().splitlines(keepends=True)
    async with open_file_store(tmp_path) as store:
        version = await store.read_version(OWNER, ID)
    active.write_bytes(b"".join([*lines, *lines[10:14]]))
    async with open_file_engine(tmp_path) as engine:
        assert "there twice are dropped: 4" in await mend(engine)
    async with open_file_store(tmp_path) as store:
        assert await load_ids(store) == IDS
        assert await store.read_version(OWNER, ID) > version
