"""The embedded store on a disk that is full or read-only, and in a process out of files."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_directory import key_of
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_upkeep import compact, verify
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.flooded_process import SPARE
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user
from tests.servers.conversations.writing_process import OWNER as WRITER

_SIZE = "2m"


def mount(*arguments: str) -> bool:
    command = ["mount", *arguments]
    return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(place)):
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], timeout=10, check=True)


async def count_findings(directory: Path, *, of_damage: bool = False) -> int:
    """`of_damage`: of damage alone, not of what a write left that the disk had no room for."""
    async with open_file_engine(directory) as engine:
        found = [found async for step in verify(engine) for found in step.examination.findings]
    return sum(finding.is_damage or not of_damage for finding in found)


async def fill(store: FileConversationStore, acknowledged: list[str]) -> None:
    """Append until that fails."""
    with anyio.fail_after(60):
        while True:
            message_id = f"m{len(acknowledged)}"
            content = os.urandom(10_000).hex()
            await store.append_messages(OWNER, ID, [user(message_id, content)])
            acknowledged.append(message_id)


@pytest.mark.parametrize("sealing", [None, Sealing(after_bytes=100_000)], ids=["plain", "sealing"])
async def test_on_a_full_disk_what_was_acknowledged_stays_and_space_makes_it_work_again(
    small_disk: Path, sealing: Sealing | None
) -> None:
    directory, filler = small_disk / "store", small_disk / "filler"
    filler.write_bytes(bytes(500_000))
    acknowledged: list[str] = []
    async with open_file_store(directory, sealing=sealing) as store:
        with pytest.raises(UnavailableError, match="the disk is full: free some space"):
            await fill(store, acknowledged)
        assert len(acknowledged) > 10
        for name in ("new", ID):
            with pytest.raises(UnavailableError, match="the disk is full: free some space"):
                await store.append_messages(OWNER, name, [user(content="x" * 400_000)])
        assert await load_ids(store) == acknowledged
        assert await list_ids(store) == [ID]
    async with open_file_store(directory, sealing=sealing) as store:
        assert await load_ids(store) == acknowledged
        assert await list_ids(store) == [ID]
        filler.unlink()
        await store.append_messages(OWNER, ID, [user("more", "x" * 100_000)])
        await store.append_messages(OWNER, "new", [user("a")])
        assert await load_ids(store) == [*acknowledged, "more"]
        assert await list_ids(store) == ["new", ID]
    assert await count_findings(directory) == 0


async def test_on_a_full_disk_a_conversation_can_be_deleted_and_that_makes_room(
    small_disk: Path,
) -> None:
    directory = small_disk / "store"
    async with open_file_store(directory, sealing=Sealing(after_bytes=200_000)) as store:
        await store.append_messages(OWNER, "other", [user("kept")])
        with pytest.raises(UnavailableError, match="the disk is full"):
            await fill(store, [])
        fill_up(small_disk / "filler")
        for _ in range(2):
            with pytest.raises(UnavailableError, match="the disk is full"):
                await store.append_messages(OWNER, "other", [user(content="x" * 10_000)])
            assert (await store.delete_conversation(OWNER, ID)).deleted
            assert await list_ids(store) == ["other"]
            with pytest.raises(UnavailableError, match="the disk is full"):
                await fill(store, [])
            fill_up(small_disk / "filler")
    async with open_file_store(directory) as store:
        (directory / "reserve").unlink()
        fill_up(small_disk / "filler")
        with pytest.raises(UnavailableError, match="the disk is full"):
            await store.delete_conversation(OWNER, ID)
        (small_disk / "filler").unlink()
        assert (await store.delete_conversation(OWNER, ID)).deleted
        await store.append_messages(OWNER, "other", [user("more")])
        assert await load_ids(store, "other") == ["kept", "more"]
        assert await list_ids(store) == ["other"]
    assert await count_findings(directory, of_damage=True) == 0


async def test_on_a_full_disk_compacting_says_what_it_could_not_do_and_does_the_rest(
    small_disk: Path,
) -> None:
    directory, filler = small_disk / "store", small_disk / "filler"
    filler.write_bytes(bytes(100_000))
    async with open_file_store(directory, sealing=None) as store:
        await store.append_messages(OWNER, "short", [user("a", "x" * 100_000)])
        with pytest.raises(UnavailableError, match="the disk is full"):
            await fill(store, [])
    filler.unlink()
    async with open_file_engine(directory) as engine:
        steps = [step async for step in compact(engine, Sealing())]
    told = {step.examination.key: step for step in steps}
    short, long = told[key_of(OWNER, "short")], told[key_of(OWNER, ID)]
    assert (short.done, short.is_left) == ("compressed", False)
    assert long.done.startswith("not compacted: ")
    assert long.done.endswith("the disk is full: free some space and try again")
    assert long.is_left


def fill_up(path: Path) -> None:
    """Take all that is left of a disk."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))


async def test_a_disk_that_is_read_only_is_named_and_harms_nothing(small_disk: Path) -> None:
    directory = small_disk / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(UnavailableError, match="read-only: mount it writable"):
        async with open_file_store(directory):
            pass
    assert mount("-o", "remount,rw", str(small_disk))
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("b")])
        assert await load_ids(store) == ["a", "b"]


async def append_with_few_files(directory: Path, count: int, spare: int) -> list[str]:
    module = "tests.servers.conversations.crowded_process"
    arguments = [str(directory), str(count), str(spare)]
    with anyio.fail_after(60):
        done = await anyio.run_process([sys.executable, "-m", module, *arguments])
    return done.stdout.decode().splitlines()


async def test_a_process_that_may_open_few_files_uses_many_conversations(tmp_path: Path) -> None:
    count = 60
    lines = await append_with_few_files(tmp_path / "store", count, 20)
    assert lines == [f"c{number}" for number in range(count)]


async def test_a_process_out_of_files_says_so_and_loses_nothing(tmp_path: Path) -> None:
    directory, count = tmp_path / "store", 60
    lines = await append_with_few_files(directory, count, 1)
    failures = [line for line in lines if line.startswith("failed")]
    assert len(failures) == 1
    assert "too many files are open: raise the limit" in failures[0]
    names = [f"c{number}" for number in range(count)]
    assert [line for line in lines if line not in failures] == names
    async with open_file_store(directory) as store:
        for name in names:
            assert await load_ids(store, name, WRITER) == [name]
        assert set(await list_ids(store, WRITER)) == set(names)
    assert await count_findings(directory) == 0


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["always", "interval"])
async def test_a_process_out_of_files_works_again_when_the_flood_is_over(
    tmp_path: Path, durability: str
) -> None:
    module = "tests.servers.conversations.flooded_process"
    with anyio.fail_after(60):
        command = [sys.executable, "-m", module, str(tmp_path), durability]
        done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [line for line in lines if line[0] in {"lost", "doubled"}] == []
    assert [int(spare) for spare, *_ in lines] == list(SPARE)
    enough = [int(spare) for spare, before, _, _ in lines if before == "-"]
    assert enough[0] <= 10  # the index and a part of the search index, and what a call needs
    assert enough == [spare for spare in SPARE if spare >= enough[0]]
    assert enough == [int(spare) for spare, _, _, after in lines if after == "-"]
    assert any(int(refused) for _, before, refused, _ in lines if before == "-")
    assert b"is damaged" not in done.stderr
