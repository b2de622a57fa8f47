"""Sealed segments tell whose they are: another conversation's are never shown."""

import shutil
from pathlib import Path

from servers.conversations.file_directory import key_of
from servers.conversations.file_engine import FileEngine, open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_upkeep import Step, repair, verify
from tests.servers.conversations.documents import export_pages
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.stored_files import file_of, segments_of

BOB = "bob"
SMALL = Sealing(after_bytes=2_000)


async def fill(directory: Path) -> list[str]:
    """One conversation of each of two owners, of the same size; the ids of the first."""
    async with open_file_store(directory, durability="interval", sealing=SMALL) as store:
        for number in range(30):
            for owner in (OWNER, BOB):
                await store.append_messages(owner, ID, [user(f"{owner}{number}", "said " * 30)])
    return [f"{OWNER}{number}" for number in range(30)]


async def find(engine: FileEngine) -> dict[str, str]:
    return {
        Path(finding.file).name: finding.what
        async for step in verify(engine)
        for finding in step.examination.findings
    }


async def mend(engine: FileEngine) -> list[Step]:
    return [step async for step in repair(engine) if step.done]


async def test_what_is_sealed_of_another_owner_is_not_shown_and_is_put_aside(
    tmp_path: Path,
) -> None:
    ids = await fill(tmp_path)
    mine, theirs = segments_of(tmp_path)[0], segments_of(tmp_path, owner=BOB)[0]
    shutil.copy(theirs, mine)
    async with open_file_store(tmp_path) as store:
        whole = await store.load_conversation(OWNER, ID)
        page = await store.load_conversation(OWNER, ID, limit=30)
        shown = [message.message_id for message in whole.messages]
        assert 0 < len(shown) < 30
        assert shown == ids[-len(shown) :]
        assert page.messages == whole.messages
        assert page.damaged == whole.damaged >= 30 - len(shown)
        assert BOB not in str([page async for page in export_pages(store)])
        found = await store.search_conversations(OWNER, "said", limit=100)
        assert {hit.message_id for hit in found.hits} == set(shown)
    async with open_file_engine(tmp_path) as engine:
        whose = f"belongs to {key_of(BOB, ID)}, so nothing of it is read"
        assert (await find(engine))[mine.name].startswith(whose)
        assert [step.is_left for step in await mend(engine)] == [False]
        assert await find(engine) == {}
    assert list((tmp_path / "damaged").rglob(mine.name))
    async with open_file_store(tmp_path) as store:
        assert await load_ids(store) == shown
        assert len(await load_ids(store, owner=BOB)) == 30


async def test_a_segment_that_lies_alone_under_another_name_is_told(tmp_path: Path) -> None:
    await fill(tmp_path)
    segment = segments_of(tmp_path)[0]
    other = file_of(tmp_path, "other")
    other.parent.mkdir(exist_ok=True)
    alone = other.parent / segment.name.replace(key_of(OWNER, ID), other.stem)
    shutil.copy(segment, alone)
    async with open_file_engine(tmp_path) as engine:
        assert list(await find(engine)) == [alone.name]
        assert [step.is_left for step in await mend(engine)] == [True]
