"""Open files that hold another conversation's lines: each conversation keeps what is its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_upkeep import Step, repair, verify
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.messages import ID, OWNER, load_ids, user
from tests.servers.conversations.stored_files import file_of, index_files, segments_of
from tests.servers.conversations.test_file_store_lost_beginning import sweep

BOB = "bob"
SMALL = Sealing(after_bytes=4_000)
MINE = [f"{OWNER}{number}" for number in range(50)]
THEIRS = [f"{BOB}{number}" for number in range(50)]


async def fill(directory: Path, sealing: Sealing | None) -> None:
    """A conversation of each of two owners: all records but their owners' have the same size."""
    async with open_file_store(directory, durability="interval", sealing=sealing) as store:
        for number in range(50):
            for owner in (OWNER, BOB):
                message = user(f"{owner}{number}", f"said {owner} " * 20)
                await store.append_messages(owner, ID, [message])
        for owner in (OWNER, BOB):
            await store.put_attachment(
                owner, ID, owner.encode(), name="a", mime_type="text/plain", attachment_id="a"
            )


def exchange(mine: Path, theirs: Path) -> None:
    away = mine.with_suffix(".away")
    mine.rename(away)
    theirs.rename(mine)
    away.rename(theirs)


def link(mine: Path, theirs: Path) -> None:
    mine.unlink()
    os.link(theirs, mine)


def append(mine: Path, theirs: Path) -> None:
    mine.write_bytes(mine.read_bytes() + theirs.read_bytes())


def insert(mine: Path, theirs: Path) -> None:
    lines = mine.read_bytes().splitlines(keepends=True)
    mine.write_bytes(b"".join([theirs.read_bytes(), *lines]))


async def mend(directory: Path) -> dict[str, Step]:
    """What repair did by key; nothing is left to be done after it."""
    async with open_file_engine(directory) as engine:
        done = {step.examination.key: step async for step in repair(engine) if step.done}
        assert not [step async for step in verify(engine) if step.examination.is_damaged]
    return done


async def assert_refused(store: FileConversationStore) -> None:
    for limit in (None, 3):
        with pytest.raises(UnavailableError, match=r"another conversation.*conversations repair"):
            await store.load_conversation(OWNER, ID, limit=limit)
    assert not (await store.search_conversations(OWNER, BOB)).hits


async def assert_kept(directory: Path, owner: str, ids: list[str]) -> None:
    async with open_file_store(directory, sealing=None) as store:
        page = await store.load_conversation(owner, ID)
        assert ([message.message_id for message in page.messages], page.damaged) == (ids, 0)
        assert (await store.read_attachment(owner, ID, "a")).data == owner.encode()
        (listed,) = (await store.list_conversations(owner)).conversations
        assert listed.message_count == len(ids)
        assert {hit.message_id for hit in (await store.search_conversations(owner, "said")).hits}
        await store.append_messages(owner, ID, [user("more")])
        assert await load_ids(store, owner=owner) == [*ids, "more"]


@pytest.mark.parametrize("sealing", [SMALL, None])
@pytest.mark.parametrize("mix", [append, insert])
async def test_lines_of_another_behind_or_before_its_own_are_never_shown_and_taken_out(
    tmp_path: Path, sealing: Sealing | None, mix: Callable[[Path, Path], None]
) -> None:
    await fill(tmp_path, sealing)
    mine, theirs = file_of(tmp_path), file_of(tmp_path, owner=BOB)
    async with open_file_store(tmp_path) as store:
        assert len(await load_ids(store)) == 50
        mix(mine, theirs)
        await assert_refused(store)
    async with open_file_store(tmp_path) as store:
        await assert_refused(store)
    mixed = mine.read_bytes()
    done = await mend(tmp_path)
    assert done.keys() == {mine.stem}
    assert done[mine.stem].done.startswith("50 messages are kept, lines of another conversation")
    facts = done[mine.stem].examination.facts
    assert (facts and facts.owner) == OWNER
    (kept,) = (tmp_path / "damaged").rglob(mine.name)
    assert kept.read_bytes() == mixed
    await assert_kept(tmp_path, OWNER, MINE)
    await assert_kept(tmp_path, BOB, THEIRS)


@pytest.mark.parametrize("sealing", [SMALL, None])
async def test_two_open_files_that_were_exchanged_get_their_own_back(
    tmp_path: Path, sealing: Sealing | None
) -> None:
    await fill(tmp_path, sealing)
    exchange(file_of(tmp_path), file_of(tmp_path, owner=BOB))
    async with open_file_store(tmp_path) as store:
        await assert_refused(store)
    done = await mend(tmp_path)
    assert [step.done[:20] for step in done.values()] == ["50 messages are kept"] * 2
    owners = {step.examination.facts and step.examination.facts.owner for step in done.values()}
    assert owners == {OWNER, BOB}
    await assert_kept(tmp_path, OWNER, MINE)
    await assert_kept(tmp_path, BOB, THEIRS)


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_what_is_sealed_outlives_another_s_file_in_the_place_of_the_open_one(
    tmp_path: Path, *, is_indexed: bool
) -> None:
    await fill(tmp_path, SMALL)
    async with open_file_store(tmp_path) as store:
        await store.list_conversations(OWNER)
    link(file_of(tmp_path), file_of(tmp_path, owner=BOB))
    if not is_indexed:
        for path in index_files(tmp_path):
            path.unlink()
    done = (await mend(tmp_path))[file_of(tmp_path).stem]
    async with open_file_store(tmp_path) as store:
        left = await load_ids(store)
    assert 30 < len(left) < 50
    lost = f"at least {50 - len(left)} are lost" if is_indexed else "written after them is lost"
    assert done.done.startswith(f"{len(left)} messages are kept, ")
    assert lost in done.done
    await assert_kept(tmp_path, OWNER, MINE[: len(left)])
    await assert_kept(tmp_path, BOB, THEIRS)


async def test_where_nothing_is_its_own_all_is_set_aside_and_named_by_its_file(
    tmp_path: Path,
) -> None:
    await fill(tmp_path, None)
    link(file_of(tmp_path), file_of(tmp_path, owner=BOB))
    done = await mend(tmp_path)
    assert done.keys() == {file_of(tmp_path).stem}
    (step,) = done.values()
    assert step.done.startswith("moved to damaged/")
    assert "50 messages of another one" in step.done
    assert step.examination.facts is None
    assert not file_of(tmp_path).exists()
    await assert_kept(tmp_path, BOB, THEIRS)


async def test_nothing_sealed_is_removed_because_the_open_file_is_another_s(
    tmp_path: Path,
) -> None:
    await fill(tmp_path, SMALL)
    async with open_file_store(tmp_path, sealing=None) as store:
        version = await store.read_version(BOB, ID)
        await store.save_conversation(BOB, ID, [user("new")], expected_version=version)
    sealed = segments_of(tmp_path)
    link(file_of(tmp_path), file_of(tmp_path, owner=BOB))
    await sweep(tmp_path)
    assert sealed
    assert segments_of(tmp_path) == sealed
    await mend(tmp_path)
    async with open_file_store(tmp_path) as store:
        assert len(await load_ids(store)) > 30
        assert await load_ids(store, owner=BOB) == ["new"]
