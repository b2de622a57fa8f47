"""Looking after the files: what is damaged is named, what is whole is kept, nothing is deleted."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_engine import FileEngine, open_file_engine
from servers.conversations.file_findings import Finding
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_upkeep import (
    Step,
    compact,
    find_format_damage,
    find_totals,
    reindex,
    repair,
    verify,
)
from servers.conversations.file_verify_derived import DerivedCheck
from servers.conversations.store_errors import UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user
from tests.servers.conversations.stored_files import file_of, make_indexes_anew, segments_of

SMALL = Sealing(after_bytes=2_000)


async def fill(directory: Path, sealing: Sealing | None = SMALL) -> list[str]:
    async with open_file_store(directory, durability="interval", sealing=sealing) as store:
        for name in (ID, "other"):
            for number in range(30):
                await store.append_messages(OWNER, name, [user(f"m{number}", f"{number} " * 40)])
        await store.annotate_message(OWNER, ID, "m3", {"liked": True})
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="Kept", tags=["t"]))
    return [f"m{number}" for number in range(30)]


async def gather(steps: AsyncIterator[Step]) -> list[Step]:
    with anyio.fail_after(20):
        return [step async for step in steps]


async def find(engine: FileEngine) -> list[Finding]:
    return [
        finding for step in await gather(verify(engine)) for finding in step.examination.findings
    ]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


async def find_derived(directory: Path) -> list[str]:
    async with open_file_engine(directory) as engine:
        with closing(DerivedCheck(engine.directory)) as derived:
            for step in await gather(verify(engine)):
                derived.compare(step.examination)
            assert not any(finding.is_damage for finding in derived.findings())
            return [f"{finding.file} {finding.what}" for finding in derived.findings()]


async def test_a_whole_store_has_no_findings_and_is_not_changed(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    before = {path: path.read_bytes() for path in (tmp_path / "store" / "v1").rglob("*.*")}
    async with open_file_engine(tmp_path / "store") as engine:
        steps = await gather(verify(engine))
        assert [step.examination.findings for step in steps] == [[], []]
        assert sum(step.examination.messages for step in steps) == 60
        assert [(step.number, step.total) for step in steps] == [(1, 2), (2, 2)]
        assert [step.done for step in await gather(repair(engine))] == ["", ""]
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "store" / "damaged").exists()


async def test_a_damaged_record_is_named_by_file_and_line(tmp_path: Path) -> None:
    await fill(tmp_path / "store", None)
    path = file_of(tmp_path / "store")
    lines = path.read_bytes().splitlines(keepends=True)
    flip(path, len(b"".join(lines[:4])) + 60)
    async with open_file_engine(tmp_path / "store") as engine:
        (finding,) = await find(engine)
    assert (finding.file, finding.line) == (f"v1/{path.parent.name}/{path.name}", 5)
    assert finding.is_damage


async def test_missing_lines_and_unfinished_writes_are_told_apart(tmp_path: Path) -> None:
    await fill(tmp_path / "store", None)
    path = file_of(tmp_path / "store")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], *lines[5:]]) + b'{"seq":99,"ki')
    async with open_file_engine(tmp_path / "store") as engine:
        gap, end = await find(engine)
    assert (gap.line, gap.is_damage) == (4, True)
    assert "4 to 5" in gap.what
    assert (end.is_damage, "never acknowledged" in end.what) == (False, True)


async def test_what_can_t_be_read_is_named_and_all_else_looked_after(tmp_path: Path) -> None:
    await fill(tmp_path / "store", None)
    path, other = file_of(tmp_path / "store"), file_of(tmp_path / "store", "other")
    path.rename(tmp_path / "away")
    path.mkdir()
    flip(other, 200)
    (tmp_path / "store/v1/zz").write_bytes(b"")
    async with open_file_engine(tmp_path / "store") as engine:
        found = {finding.file: finding for finding in await find(engine)}
        name, other_name = (f"v1/{each.parent.name}/{each.name}" for each in (path, other))
        assert found.keys() == {name, other_name, "v1/zz"}
        assert "a directory stands where a file should be" in found[name].what
        assert all(finding.is_damage for finding in found.values())
        done = {step.examination.key: step for step in await gather(repair(engine))}
        assert "messages are kept" in done[other.stem].done
        assert done[path.stem].is_left
        assert "move it away" in done[path.stem].done
        path.rmdir()
        (tmp_path / "away").rename(path)
        assert [finding.file for finding in await find(engine)] == ["v1/zz"]


async def test_repair_keeps_what_is_whole_and_the_damaged_files_aside(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store")
    active, segment = file_of(tmp_path / "store"), segments_of(tmp_path / "store")[1]
    flip(segment, 30)
    damaged = {path.name: path.read_bytes() for path in (active, segment)}
    async with open_file_store(tmp_path / "store") as store:
        left = await load_ids(store)
        before = await store.get_conversation(OWNER, ID)
    async with open_file_engine(tmp_path / "store") as engine:
        (finding,) = await find(engine)
        assert finding.file.endswith(segment.name)
        assert "block 1 of 1" in finding.what
        assert "of the records" in finding.what
        done = [step for step in await gather(repair(engine)) if step.done]
        assert len(done) == 1
        assert f"{len(left)} messages are kept" in done[0].done
        assert await find(engine) == []
    kept = {path.name: path.read_bytes() for path in (tmp_path / "store/damaged").rglob("*.*")}
    assert damaged.items() <= kept.items()
    async with open_file_store(tmp_path / "store") as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert (await load_ids(store), loaded.damaged) == (left, 0)
        assert 0 < len(left) < len(ids)
        after = await store.get_conversation(OWNER, ID)
        assert after.version > before.version
        same = ("title", "tags", "created_at", "last_updated")
        assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
        assert {m.message_id: m.annotations for m in loaded.messages}.get("m3") in (
            None,
            {"liked": True},
        )
        assert len((await store.load_conversation(OWNER, "other")).messages) == 30


async def test_repair_drops_lines_that_are_there_twice_and_nothing_else(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", None)
    active = file_of(tmp_path / "store")
    whole = active.read_bytes()
    lines = whole.splitlines(keepends=True)
    doubled = b"".join([*lines[:20], *lines[8:12], *lines[20:]])
    active.write_bytes(doubled)
    async with open_file_engine(tmp_path / "store") as engine:
        assert any("comes after record" in finding.what for finding in await find(engine))
        (done,) = [step.done for step in await gather(repair(engine)) if step.done]
        assert done.startswith("30 messages are kept, lines that are there twice are dropped: 4;")
        assert not any(finding.is_damage for finding in await find(engine))
    (kept,) = (tmp_path / "store/damaged").rglob(active.name)
    assert kept.read_bytes() == doubled
    async with open_file_store(tmp_path / "store") as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert ([m.message_id for m in loaded.messages], loaded.damaged) == (ids, 0)
        assert {m.message_id: m.annotations for m in loaded.messages}["m3"] == {"liked": True}


async def test_a_file_under_another_s_name_is_moved_aside(tmp_path: Path) -> None:
    await fill(tmp_path / "store", None)
    shutil.copy(file_of(tmp_path / "store", "other"), file_of(tmp_path / "store"))
    async with open_file_store(tmp_path / "store") as store:
        with pytest.raises(UnavailableError, match="another conversation"):
            await store.load_conversation(OWNER, ID)
    async with open_file_engine(tmp_path / "store") as engine:
        assert [step.done[:5] for step in await gather(repair(engine)) if step.done] == ["moved"]
    async with open_file_store(tmp_path / "store") as store:
        assert (await store.load_conversation(OWNER, ID)).version == 0
        assert len((await store.load_conversation(OWNER, "other")).messages) == 30
    assert list((tmp_path / "store/damaged").rglob(file_of(tmp_path / "store").name))


async def test_a_whole_conversation_under_another_s_name_gets_its_own_back(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store")
    mine, other = file_of(tmp_path / "store"), file_of(tmp_path / "store", "other")
    for path in (mine, *segments_of(tmp_path / "store")):
        path.unlink()
    for path in (other, *segments_of(tmp_path / "store", "other")):
        path.rename(mine.parent / path.name.replace(other.stem, mine.stem))
    async with open_file_engine(tmp_path / "store") as engine:
        (done,) = [step.done for step in await gather(repair(engine)) if step.done]
        assert done.startswith("30 messages are back under their own name")
        assert await find(engine) == []
    assert len(list((tmp_path / "store/damaged").rglob(f"{mine.stem}.*"))) > 1
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store, "other") == ids
        assert (await store.load_conversation(OWNER, ID)).version == 0
        assert await list_ids(store) == ["other"]


@pytest.mark.parametrize("damage", [b"", b"{}", None])
async def test_a_damaged_format_is_mended_where_conversations_are(
    tmp_path: Path, damage: bytes | None
) -> None:
    await fill(tmp_path / "store", None)
    path = tmp_path / "store" / "FORMAT"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(UnavailableError, match="conversations repair"):
        async with open_file_store(tmp_path / "store"):
            pass
    async with open_file_engine(tmp_path / "store", any_format=True) as engine:
        assert find_format_damage(engine) is not None
        with pytest.raises(UnavailableError, match="conversations repair"):
            await gather(compact(engine, SMALL))
        assert not segments_of(tmp_path / "store")
        await gather(repair(engine))
        assert find_format_damage(engine) is None
    async with open_file_store(tmp_path / "store") as store:
        assert len(await load_ids(store)) == 30


async def test_somebody_else_s_directory_does_not_become_a_store(tmp_path: Path) -> None:
    shard = tmp_path / "theirs" / "v1" / "ab"
    shard.mkdir(parents=True)
    (shard / "abc.jsonl").write_text("not ours\n")
    async with open_file_engine(tmp_path / "theirs", any_format=True) as engine:
        with pytest.raises(UnavailableError, match="right directory"):
            await gather(repair(engine))
    assert not (tmp_path / "theirs" / "FORMAT").exists()


async def test_compacting_changes_no_history(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", None)
    async with open_file_store(tmp_path / "store") as store:
        for number in range(200):
            await store.annotate_message(OWNER, ID, "m3", {"liked": False, "n": "x" * 50 * number})
        before = await store.load_conversation(OWNER, ID)
        size = file_of(tmp_path / "store").stat().st_size
        async with open_file_engine(tmp_path / "store") as engine:
            assert [step.done for step in await gather(compact(engine, SMALL)) if step.done]
            assert await find(engine) == []
        after = await store.load_conversation(OWNER, ID)
        assert after.messages == before.messages
        assert await load_ids(store) == ids
        await store.append_messages(OWNER, ID, [user("more")])
    held = [file_of(tmp_path / "store"), *segments_of(tmp_path / "store")]
    assert sum(path.stat().st_size for path in held) < size / 4


async def test_a_store_in_use_is_verified_and_compacted(tmp_path: Path) -> None:
    async with (
        open_file_store(tmp_path / "store", sealing=SMALL) as store,
        open_file_engine(tmp_path / "store") as engine,
        anyio.create_task_group() as tasks,
    ):

        async def write() -> None:
            for number in range(150):
                await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 200)])

        tasks.start_soon(write)
        for _ in range(5):
            assert [f for f in await find(engine) if f.is_damage] == []
            await gather(compact(engine, Sealing(after_bytes=500)))
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == [f"m{number}" for number in range(150)]


async def test_the_totals_are_those_of_the_files(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    async with open_file_store(tmp_path / "store") as store:
        await store.append_messages("eve", ID, [user("a")])
        await store.delete_conversation("eve", ID)
        await store.put_attachment(OWNER, ID, b"1234", name="a", mime_type="text/plain")
        await store.search_conversations(OWNER, "m1")
    async with open_file_engine(tmp_path / "store") as engine:
        totals = await find_totals(engine)
    assert (totals.owners, totals.conversations, totals.messages, totals.deleted) == (1, 2, 60, 1)
    sealed = [path.stat().st_size for path in (tmp_path / "store").rglob("*.zst")]
    assert (totals.sealed_bytes, totals.sealed_files) == (sum(sealed), len(sealed))
    assert (totals.attachments, totals.attachment_bytes) == (1, 4)
    assert totals.search_bytes == (tmp_path / "store" / "search.sqlite3").stat().st_size > 0


async def test_a_damaged_attachment_is_named_and_moved_aside(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", None)
    async with open_file_store(tmp_path / "store") as store:
        for name in ("a", "b"):
            await store.put_attachment(
                OWNER, ID, b"bytes of " + name.encode(), name=f"{name}.txt", mime_type="text/plain",
                attachment_id=name,
            )  # fmt: skip
        version = await store.read_version(OWNER, ID)
    damaged = sorted((tmp_path / "store").rglob("*.att/*.bin"))[0]
    flip(damaged, 3)
    async with open_file_engine(tmp_path / "store") as engine:
        (finding,) = await find(engine)
        assert finding.file.endswith(f".att/{damaged.stem}")
        assert ".txt” is damaged" in finding.what
        assert [step.done for step in await gather(repair(engine)) if step.done]
        assert await find(engine) == []
    assert len(list((tmp_path / "store/damaged").rglob(f"*{damaged.stem}*"))) == 2
    async with open_file_store(tmp_path / "store") as store:
        assert (await load_ids(store), await store.read_version(OWNER, ID)) == (ids, version)
        assert (await store.get_conversation(OWNER, ID)).stats.attachments == 1


async def test_segments_that_nothing_needs_are_removed_by_compacting(tmp_path: Path) -> None:
    ids = await fill(tmp_path / "store", None)
    active = file_of(tmp_path / "store")
    unsealed = active.read_bytes()
    async with open_file_engine(tmp_path / "store") as engine:
        await engine.change(OWNER, ID, lambda opened: opened.seal(SMALL))
    assert len(segments_of(tmp_path / "store")) > 1
    active.write_bytes(unsealed)  # as if the writer had been killed before it replaced it
    first = segments_of(tmp_path / "store")[0]
    shutil.copy(first, first.with_name(first.name.replace(".1.0.", ".0.0.")))
    async with open_file_engine(tmp_path / "store") as engine:
        findings = await find(engine)
        assert len(findings) == len(segments_of(tmp_path / "store"))
        assert not any(finding.is_damage for finding in findings)
        await gather(compact(engine, None))
        assert await find(engine) == []
    assert segments_of(tmp_path / "store") == []
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == ids


@pytest.mark.parametrize("is_empty", [True, False])
async def test_what_is_sealed_outlives_the_loss_of_the_open_file(
    tmp_path: Path, *, is_empty: bool
) -> None:
    ids = await fill(tmp_path / "store")
    active = file_of(tmp_path / "store")
    active.write_bytes(b"") if is_empty else active.unlink()
    async with open_file_engine(tmp_path / "store") as engine:
        (finding,) = await find(engine)
        assert (finding.file.endswith(active.name), finding.is_damage) == (True, True)
        assert "is missing or empty" in finding.what
        assert [step.is_left for step in await gather(repair(engine)) if step.done] == [False]
        assert await find(engine) == []
    async with open_file_store(tmp_path / "store") as store:
        left = await load_ids(store)
        assert left == ids[: len(left)]
        assert len(left) > 20


@pytest.mark.parametrize("is_empty", [True, False])
async def test_what_an_owner_writes_after_the_open_file_was_lost_follows_what_is_sealed(
    tmp_path: Path, *, is_empty: bool
) -> None:
    ids = await fill(tmp_path / "store")
    active = file_of(tmp_path / "store")
    active.write_bytes(b"") if is_empty else active.unlink()
    sealed = {path: path.read_bytes() for path in segments_of(tmp_path / "store")}
    async with open_file_store(tmp_path / "store", sealing=None) as store:
        await store.append_messages(OWNER, ID, [user("more")])
        *left, last = await load_ids(store)
        assert (left, last) == (ids[: len(left)], "more")
        assert len(left) > 20
    assert {path: path.read_bytes() for path in segments_of(tmp_path / "store")} == sealed
    async with open_file_engine(tmp_path / "store") as engine:
        await gather(repair(engine))
        assert await find(engine) == []
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == [*left, "more"]


async def copy_while_sealing(tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of which the open file was read before it was sealed, and the segments after that."""
    ids = await fill(tmp_path / "store", None)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "store", copy)
    async with open_file_store(tmp_path / "store", sealing=None) as store:
        await store.append_messages(OWNER, ID, [user("late", "x" * 5_000)])
    async with open_file_engine(tmp_path / "store") as engine:
        await engine.change(OWNER, ID, lambda opened: opened.seal(Sealing()))
    (segment,) = segments_of(tmp_path / "store")
    shutil.copy(segment, file_of(copy).parent)
    return copy, ids


async def test_a_segment_that_goes_on_with_its_open_file_is_taken_in_by_repair(
    tmp_path: Path,
) -> None:
    copy, ids = await copy_while_sealing(tmp_path)
    async with open_file_engine(copy) as engine:
        assert [finding.is_damage for finding in await find(engine)] == [True]
        await gather(compact(engine, None))
        assert len(segments_of(copy)) == 1
        assert [step.is_left for step in await gather(repair(engine)) if step.done] == [False]
        assert await find(engine) == []
    async with open_file_store(copy) as store:
        assert await load_ids(store) == [*ids, "late"]


@pytest.mark.parametrize("is_sealed", [True, False])
async def test_what_a_segment_holds_that_is_not_named_is_kept_whatever_its_owner_writes(
    tmp_path: Path, *, is_sealed: bool
) -> None:
    copy, ids = await copy_while_sealing(tmp_path)
    (segment,) = segments_of(copy)
    data = segment.read_bytes()
    async with open_file_store(copy, sealing=None) as store:
        await store.append_messages(OWNER, ID, [user("other")])
    async with open_file_engine(copy) as engine:
        if is_sealed:
            await engine.change(OWNER, ID, lambda opened: opened.seal(Sealing()))
            assert segment.read_bytes() != data
        else:
            what = "holds messages that the conversation has lost"
            assert [finding.what for finding in await find(engine)] == [what]
            await gather(repair(engine))
        assert not any(finding.is_damage for finding in await find(engine))
    (kept,) = (copy / "damaged").rglob(segment.name)
    assert kept.read_bytes() == data
    async with open_file_store(copy) as store:
        assert await load_ids(store) == [*ids, "other"]


async def test_reindexing_makes_listings_and_search_anew(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    async with open_file_store(tmp_path / "store") as store:
        await store.append_messages(OWNER, ID, [user("rare", "a zyzzyva")])
        assert len((await store.search_conversations(OWNER, "zyzzyva")).hits) == 1
    index, search = (tmp_path / "store" / f"{name}.sqlite3" for name in ("index", "search"))
    index.write_bytes(b"no index")
    search.write_bytes(b"no index")
    async with open_file_engine(tmp_path / "store") as engine:
        with anyio.fail_after(20):
            assert (await make_indexes_anew(engine)).messages == 61
    async with open_file_store(tmp_path / "store") as store:
        assert len((await store.list_conversations(OWNER)).conversations) == 2
        assert len((await store.search_conversations(OWNER, "zyzzyva")).hits) == 1


@pytest.mark.slow
async def test_reindexing_takes_in_all_of_a_long_conversation_and_tells_how_far_it_is(
    tmp_path: Path,
) -> None:
    directory, batches = tmp_path / "store", 60
    async with open_file_store(directory, durability="interval") as store:
        for batch in range(batches):
            texts = [" ".join(f"w{batch}x{n}y{i}" for i in range(80)) for n in range(500)]
            await store.append_messages(OWNER, ID, [user(None, text) for text in texts])
    told: list[tuple[str, int, int]] = []
    async with open_file_engine(directory) as engine:
        with anyio.fail_after(120):
            await reindex(engine, lambda what, done, total: told.append((what, done, total)))
    async with open_file_store(directory) as store:
        found = await store.search_conversations(OWNER, f"w{batches - 1}x499y79")
    shares = [done for what, done, _ in told if what == "search"]
    (total,) = {total for what, _, total in told if what == "search"}
    assert len(shares) >= 2
    assert shares == sorted(set(shares))
    assert shares[-1] <= total
    assert (len(found.hits), found.truncated) == (1, False)


WRONG = {
    "index": [
        "UPDATE conversations SET user = user + 1",
        "UPDATE conversations SET facts = x'00' || facts",
        "DELETE FROM tags",
        "DELETE FROM annotations",
    ],
    "search": ["DELETE FROM documents WHERE id = 40"],
}


@pytest.mark.parametrize(("name", "sql"), [(n, sql) for n, all_ in WRONG.items() for sql in all_])
async def test_what_a_derived_file_says_wrongly_is_named_until_it_is_made_anew(
    tmp_path: Path, name: str, sql: str
) -> None:
    directory = tmp_path / "store"
    await fill(directory)
    async with open_file_store(directory) as store:
        assert (await store.search_conversations(OWNER, "7")).hits
        assert await find_derived(directory) == []
        await store.append_messages(OWNER, "other", [user("later", "not yet searched")])
        assert await find_derived(directory) == []
    with closing(sqlite3.connect(directory / f"{name}.sqlite3")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(sql)
    (found,) = await find_derived(directory)
    assert found.startswith(f"{name}.sqlite3 is ")
    assert "conversations reindex" in found
    async with open_file_engine(directory) as engine:
        with anyio.fail_after(20):
            await make_indexes_anew(engine)
    assert await find_derived(directory) == []


@pytest.mark.parametrize("name", ["index", "search"])
async def test_a_derived_file_that_is_damaged_is_named(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "store"
    await fill(directory)
    async with open_file_store(directory) as store:
        assert (await store.search_conversations(OWNER, "7")).hits
    path = directory / f"{name}.sqlite3"
    whole = path.read_bytes()
    for data in (b"no database", whole[:4_096] + b"\xff" * 4_096 + whole[8_192:]):
        path.write_bytes(data)
        (found,) = await find_derived(directory)
        assert found.startswith(f"{path.name} is damaged (")
    path.unlink()
    path.mkdir()
    (found,) = await find_derived(directory)
    assert found.startswith(f"{path.name} is a directory")
    path.rmdir()
    assert await find_derived(directory) == []  # it is made when it is needed


async def find_losses(directory: Path) -> list[str]:
    async with open_file_engine(directory) as engine:
        with closing(DerivedCheck(engine.directory)) as derived:
            for step in await gather(verify(engine)):
                derived.compare(step.examination)
            return [f"{each.file} {each.what}" for each in derived.findings() if each.is_damage]


async def test_what_files_have_lost_is_known_from_the_index(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    await fill(directory, None)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, "gone", [user("hello")])
        await store.append_messages(OWNER, "deleted", [user("hello")])
        assert len((await store.list_conversations(OWNER)).conversations) == 4
        await store.delete_conversation(OWNER, "deleted")
    assert await find_losses(directory) == []
    file_of(directory, "gone").unlink()
    cut = file_of(directory)
    lines = cut.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:20]))
    assert sorted(what.partition(" ")[2] for what in await find_losses(directory)) == [
        "is gone, of which the index knows 1 message; put it back from a copy, if there is one",
        "is shorter than it was: of 30 messages the index had read 18 are left; put it back from a "
        "copy, if there is one",
    ]
    shutil.rmtree(directory / "v1")
    assert len(await find_losses(directory)) == 3
