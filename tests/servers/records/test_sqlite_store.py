"""Records in an SQLite file: the contract, other processes, the file itself."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import anyio
import pytest

from servers.records.errors import RecordsUnavailableError
from servers.records.sqlite_store import SqliteRecordStore, open_sqlite_records
from tests.servers.records.record_contract import RecordStoreContract, count_up, soon

DYING = """
import sys, anyio
from pathlib import Path
from servers.records.sqlite_store import open_sqlite_records

async def main():
    async with open_sqlite_records(Path(sys.argv[1])) as store:
        version = 0
        while True:
            version = await store.put("a", b"x" * 50_000, version)
            print(version, flush=True)

anyio.run(main)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new/records.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SqliteRecordStore]:
    async with open_sqlite_records(path) as store:
        yield store


@pytest.fixture
async def second(path: Path) -> AsyncGenerator[SqliteRecordStore]:
    async with open_sqlite_records(path) as store:
        yield store


class TestSqliteRecordStore(RecordStoreContract):
    """All of the contract."""


async def _count_up(path: Path) -> list[int]:
    made: list[int] = []

    async def write() -> None:
        async with open_sqlite_records(path) as store:
            made.extend(await count_up(store, "a", 2))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(write)
    return made


def count_up_in_process(path: Path) -> list[int]:
    return anyio.run(_count_up, path)


@pytest.mark.slow  # two processes
async def test_of_sixteen_writers_in_processes_none_loses_a_change(path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(count_up_in_process, [path] * 2, timeout=60))
    async with open_sqlite_records(path) as store:
        found = await store.get("a")
    assert found is not None
    assert found.value == b"32"
    assert len({version for each in made for version in each}) == 32


@pytest.mark.slow  # a process
async def test_what_a_killed_process_was_told_of_is_there(path: Path) -> None:
    with anyio.fail_after(60):
        command = [sys.executable, "-c", DYING, str(path)]
        async with await anyio.open_process(command, stdin=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            told = b""
            while told.count(b"\n") < 5:
                told += await process.stdout.receive()
            process.kill()
            told += b"".join([chunk async for chunk in process.stdout])
    last = int(told.rpartition(b"\n")[0].split()[-1])
    async with open_sqlite_records(path) as store:
        found = await store.get("a")
        assert found is not None
        assert found.version >= last
        assert found.value == b"x" * 50_000
        assert await store.put("a", b"", found.version) > found.version


async def test_all_its_files_and_a_new_folder_are_for_their_owner_only(
    path: Path, store: SqliteRecordStore
) -> None:
    before = os.umask(0)
    try:
        await store.put("a", b"x", 0)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_open_to_others_is_closed_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_sqlite_records(path):
        pass
    path.chmod(0o644)
    async with open_sqlite_records(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was open to others" in caplog.text


@pytest.mark.parametrize("data", [b"{}", b"x" * 9_000, b"SQLite format 3\0" + b"\xff" * 5_000])
async def test_a_damaged_file_is_named_and_left_as_it_is(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    path.chmod(0o644)
    with pytest.raises(RecordsUnavailableError, match=r"records\.sqlite3: is damaged"):
        async with open_sqlite_records(path):
            pass
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE places (url TEXT)")
    other.close()
    path.chmod(0o644)
    data = path.read_bytes()
    with pytest.raises(RecordsUnavailableError, match="is the database of another program"):
        async with open_sqlite_records(path):
            pass
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_damage_while_it_is_open_is_told_by_each_verb(
    path: Path, store: SqliteRecordStore
) -> None:
    await store.put("a", b"x", 0)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("DROP TABLE records")
    other.close()
    for ask in (store.get("a"), store.put("a", b"x", 0), store.delete("a"), store.list()):
        with pytest.raises(RecordsUnavailableError, match=r"records\.sqlite3: is damaged"):
            await ask


async def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 9")
    other.close()
    with pytest.raises(RecordsUnavailableError, match="is of format 9"):
        async with open_sqlite_records(path):
            pass


async def test_a_file_that_was_replaced_is_opened_anew(
    path: Path, tmp_path: Path, store: SqliteRecordStore
) -> None:
    await store.put("a", b"x", 0)
    mark = store.change_mark()
    async with open_sqlite_records(tmp_path / "other") as other:
        await other.put("b", b"y", 0)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    (tmp_path / "other").replace(path)
    assert store.change_mark() != mark
    assert await store.get("a") is None
    assert await store.get("b")


async def test_a_file_that_is_gone_is_missed_until_a_back_up_is_there(
    path: Path, store: SqliteRecordStore
) -> None:
    version = await store.put("a", b"x", 0)
    async with open_sqlite_records(path.with_name("copy")) as copy:
        await copy.put("b", b"y", 0)
    await store.put("a", b"z" * 9_000, version)
    path.rename(path.with_name("moved"))
    for _ in range(2):
        with pytest.raises(RecordsUnavailableError, match=r"has gone, .* stop the servers"):
            await store.get("a")
    with pytest.raises(RecordsUnavailableError, match="has gone"):  # as another program
        async with open_sqlite_records(path):
            pass
    assert not path.exists()
    path.with_name("copy").rename(path)
    assert await store.get("a") is None
    assert await store.get("b")
    async with open_sqlite_records(path.with_name("moved")) as moved:
        found = await moved.get("a")
        assert found is not None
        assert found.value == b"z" * 9_000


async def test_what_was_moved_away_with_its_files_is_made_anew_by_the_next_start_only(
    path: Path, store: SqliteRecordStore
) -> None:
    await store.put("a", b"x", 0)
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    with pytest.raises(RecordsUnavailableError, match="has gone"):
        await store.get("a")
    async with open_sqlite_records(path) as started:
        assert await started.get("a") is None


async def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with anyio.fail_after(10), pytest.raises(RecordsUnavailableError, match="no plain file"):
        async with open_sqlite_records(path):
            pass


async def test_a_place_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsUnavailableError, match="file/x: can't be used: Not a directory"):
        async with open_sqlite_records(tmp_path / "file/x"):
            pass


@pytest.mark.slow  # the whole time that others are waited for
async def test_who_keeps_it_locked_is_waited_for_and_told(
    path: Path, store: SqliteRecordStore
) -> None:
    version = await store.put("a", b"x", 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with anyio.fail_after(30):
        with pytest.raises(RecordsUnavailableError, match="locked for 5 seconds") as locked:
            await store.put("a", b"y", version)
        assert locked.value.retry_after_seconds
        assert await store.get("a")
    other.close()
    await store.put("a", b"y", version)


async def test_expired_records_are_removed_by_the_way(path: Path, store: SqliteRecordStore) -> None:
    version = await store.put("gone", b"very-secret", 0, soon())
    await store.put("gone", b"very-secret", version, soon(-1))
    await store.put("a", b"x", 0)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM records").fetchone() == (1,)
    other.close()
