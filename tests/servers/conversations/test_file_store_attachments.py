"""Attachments in the embedded store: killed uploads, damage, links in the way, a full disk."""

import errno
import os
import random
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import NotFoundError, UnavailableError
from tests.servers.conversations.contract_of_attachments import is_absent, put, read
from tests.servers.conversations.messages import ID, OWNER, list_ids, users
from tests.servers.conversations.own_sync import open_store_with
from tests.servers.conversations.stored_files import attachments_of, file_of
from tests.servers.conversations.uploading_process import (
    CHUNK_BYTES,
    CHUNKS,
    WHOLE,
    put_chunk,
)


def uploader(directory: Path, *more: str) -> list[str]:
    module = "tests.servers.conversations.uploading_process"
    return [sys.executable, "-m", module, str(directory), *more]


@pytest.mark.parametrize(
    "kills",
    [4, pytest.param(20, marks=pytest.mark.crash), pytest.param(60, marks=pytest.mark.long)],
)
async def test_chunks_that_were_acknowledged_survive_kill_9_and_the_upload_goes_on(
    tmp_path: Path, kills: int
) -> None:
    chance = random.Random(11)
    with anyio.fail_after(30 + 10 * kills):
        for number in range(kills):
            directory = tmp_path / str(number)
            wanted = chance.randrange(1, CHUNKS - 5)
            seen = ""
            async with await anyio.open_process(uploader(directory)) as process:
                assert process.stdout
                lines = TextReceiveStream(process.stdout)
                while seen.count("\n") < wanted:
                    seen += await lines.receive()
                await anyio.sleep(chance.random() * 0.003)  # anywhere within a chunk
                process.kill()
                seen += "".join([text async for text in lines])
            acknowledged = seen.count("\n")
            async with open_file_store(directory) as store:
                assert (await put_chunk(store, 0)).size >= acknowledged * CHUNK_BYTES
                results = [await put_chunk(store, chunk) for chunk in range(CHUNKS)]
                assert results[-1].complete
                assert await read(store) == WHOLE


async def test_a_full_disk_is_a_clear_error_and_what_was_acknowledged_stays(
    tmp_path: Path,
) -> None:
    with anyio.fail_after(60):
        done = await anyio.run_process(uploader(tmp_path / "store", "1234567"))
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("failed")] == [lines[12]]
    assert "raise the limit" in lines[12]
    async with open_file_store(tmp_path / "store") as store:
        assert await read(store) == WHOLE


async def test_a_chunk_whose_sync_fails_is_not_there(tmp_path: Path) -> None:
    failures = [errno.EIO, errno.ENOSPC]

    def sync(fd: int) -> None:
        if failures and os.fstat(fd).st_size == 8:
            raise OSError(failures.pop(0), "injected")
        os.fdatasync(fd)

    async with open_store_with(sync, tmp_path / "store") as store:
        await put(store, b"0123", total_size=8)
        for advice in ("disk reported an error", "free some space"):
            with pytest.raises(UnavailableError, match=advice):
                await put(store, b"4567", offset=4, total_size=8)
            assert (await put(store, b"", offset=4, total_size=8)).size == 4
        assert (await put(store, b"4567", offset=4, total_size=8)).complete
        assert await read(store) == b"01234567"


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        await put(store, b"x", "../../name")
        await put(store, b"x", "b", total_size=2)
    folder = attachments_of(tmp_path / "store")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = sorted(folder.iterdir())
    assert len(found) == 4
    assert {stat.S_IMODE(path.lstat().st_mode) for path in found} == {0o600}
    assert not [path for path in found if "name" in path.name]


def plant_folder(folder: Path, outside: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(outside)


def plant_bytes(folder: Path, outside: Path) -> None:
    [path] = folder.glob("*.bin")
    path.unlink()
    path.symlink_to(outside / "secret")


def plant_facts(folder: Path, outside: Path) -> None:
    [path] = folder.glob("*.json")
    shutil.copy(path, outside / "facts")
    path.unlink()
    path.symlink_to(outside / "facts")


def plant_pipe(folder: Path, outside: Path) -> None:
    [path] = folder.glob("*.bin")
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("plant", [plant_folder, plant_bytes, plant_facts, plant_pipe])
async def test_links_in_the_way_are_not_followed(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    directory, outside = tmp_path / "store", tmp_path / "outside"
    outside.mkdir()
    async with open_file_store(directory) as store:
        await put(store, b"0123")
        plant(attachments_of(directory), outside)
        (outside / "secret").write_bytes(b"secret")
        with anyio.fail_after(10):
            with pytest.raises(UnavailableError):
                await read(store)
            with pytest.raises(UnavailableError):
                await put(store, b"01234567")
            before = sorted((path.name, path.read_bytes()) for path in outside.iterdir())
            await store.delete_conversation(OWNER, ID)
            assert await is_absent(store)
            await store.append_messages(OWNER, ID, users(1))
            assert await is_absent(store)
        assert sorted((path.name, path.read_bytes()) for path in outside.iterdir()) == before
        assert (outside / "secret").read_bytes() == b"secret"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("suffix", ["json", "bin"])
@pytest.mark.parametrize("harm", [cut, flip, remove])
async def test_a_damaged_attachment_is_never_shown_and_mended_by_putting_it_again(
    tmp_path: Path, harm: Callable[[Path], None], suffix: str
) -> None:
    data = bytes(range(256)) * 4_096
    async with open_file_store(tmp_path / "store") as store:
        await put(store, data)
        await put(store, b"other", "b")
        [path] = [
            path
            for path in attachments_of(tmp_path / "store").glob(f"*.{suffix}")
            if path.stat().st_size > 100
            and (suffix == "bin" or b'"attachment_id":"a"' in path.read_bytes())
        ]
        harm(path)
        with pytest.raises((UnavailableError, NotFoundError)):
            await read(store)
        assert await read(store, "b") == b"other"
        assert (await put(store, data)).complete
        assert await read(store) == data


async def test_what_a_killed_deletion_left_behind_does_not_come_back(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await put(store, b"old")
        shutil.copytree(attachments_of(directory), tmp_path / "copy")
        await store.delete_conversation(OWNER, ID)
        assert not attachments_of(directory).exists()
        shutil.copytree(tmp_path / "copy", attachments_of(directory))
        assert await is_absent(store)
        assert (await put(store, b"new", "b")).complete
        assert await is_absent(store)
        assert await read(store, "b") == b"new"


async def test_a_deletion_whose_attachments_cannot_be_removed_is_one_nevertheless(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await put(store, b"x")
        (attachments_of(directory) / "in the way").mkdir()
        assert (await store.delete_conversation(OWNER, ID)).deleted
        assert await is_absent(store)
        assert await list_ids(store) == []
        assert b"tombstone" in file_of(directory).read_bytes()
