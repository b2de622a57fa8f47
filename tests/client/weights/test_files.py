"""Weights that are there: recognised, checked when they changed, replaced, removed."""

import os
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from client.weights.errors import BusyError, DamagedError, NoRoomError, WeightsError
from client.weights.own_file import check_own_file
from client.weights.room import Room
from client.weights.store import Arrived, Files, lock_weights, remove_weights, to_readings
from tests.client.weights.file_server import FileServer
from tests.client.weights.small_weights import DATA, Puller, serve_on_hugging_face
from tests.fakes.tiny_gguf import write_tiny_gguf

_LIMIT_SECONDS = 30


@pytest.fixture
async def pulled(server: FileServer, puller: Puller) -> Puller:
    serve_on_hugging_face(server)
    with anyio.fail_after(_LIMIT_SECONDS):
        await puller.ensure()
    puller.seen.clear()
    server.asked.clear()
    return puller


async def test_a_file_with_a_new_time_is_verified_once_more(
    server: FileServer, pulled: Puller
) -> None:
    os.utime(pulled.state.path, (1, 1))
    assert pulled.state.kind == "unchecked"
    with anyio.fail_after(_LIMIT_SECONDS):
        await pulled.ensure()
    assert {each.phase for each in pulled.seen} == {"verifying"}
    assert pulled.state.kind == "ready"
    assert server.asked == []


async def test_a_damaged_file_is_refused_with_the_way_to_get_it_again(
    server: FileServer, pulled: Puller
) -> None:
    damaged = DATA[:1000] + b"?" + DATA[1001:]
    pulled.state.path.write_bytes(damaged)
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(DamagedError, match="agentic models pull small"):
            await pulled.ensure()
        assert pulled.state.path.read_bytes() == damaged
        assert server.asked == []
        path = await pulled.pull()
    assert path.read_bytes() == DATA
    assert "is damaged and comes anew" in pulled.news


async def test_a_file_that_somebody_cut_short_is_seen(pulled: Puller) -> None:
    os.truncate(pulled.state.path, 1_000)
    assert pulled.state.kind == "damaged"
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(DamagedError, match=r"1,000 bytes, not .*agentic models pull small"):
            await pulled.ensure()
        assert pulled.seen == []  # it was not read to know
        assert (await pulled.pull()).read_bytes() == DATA


async def test_a_folder_in_the_place_of_the_file_is_no_file(
    server: FileServer, puller: Puller
) -> None:
    puller.state.path.mkdir(parents=True)
    assert puller.state.kind == "damaged"
    with anyio.fail_after(_LIMIT_SECONDS):
        for get in (puller.ensure, puller.pull):
            with pytest.raises(DamagedError, match=r"small\.gguf .*it is no file: move it away"):
                await get()
    with pytest.raises(DamagedError, match="it is no file: move it away"):
        remove_weights(Files(puller.weights, puller.directory))
    assert puller.state.path.is_dir()
    assert server.asked == []


async def test_a_file_put_there_by_hand_is_taken(server: FileServer, puller: Puller) -> None:
    puller.directory.mkdir()
    puller.state.path.write_bytes(DATA)
    with anyio.fail_after(_LIMIT_SECONDS):
        await puller.ensure()
    assert server.asked == []
    assert puller.state.kind == "ready"


@pytest.mark.parametrize("done", [[10**12, 0, 0], [-1, 0, 0], [0, 0, 1_500_000], [1], []])
async def test_counts_that_can_not_be_are_nothing_kept(puller: Puller, done: list[int]) -> None:
    files = Files(puller.weights, puller.directory)
    puller.directory.mkdir()
    files.partial.touch()
    os.truncate(files.partial, len(DATA))
    record = Arrived(sha256=puller.weights.sha256, done=[1, 0, 0])
    files.arrived.write_text(record.model_dump_json(), encoding="ascii")
    assert (puller.state.kind, puller.state.done_bytes) == ("partial", 1)
    record = Arrived(sha256=puller.weights.sha256, done=done)
    files.arrived.write_text(record.model_dump_json(), encoding="ascii")
    assert (puller.state.kind, puller.state.done_bytes) == ("absent", 0)


async def test_removing_leaves_no_weights(pulled: Puller) -> None:
    files = Files(pulled.weights, pulled.directory)
    to_readings(pulled.directory).mkdir()
    (to_readings(pulled.directory) / "a.read").touch()
    assert remove_weights(files) == len(DATA)
    assert pulled.names == {"small.lock"}
    assert remove_weights(files) == 0


async def test_what_cannot_be_removed_is_explained(pulled: Puller) -> None:
    files = Files(pulled.weights, pulled.directory)
    files.verified.unlink()
    files.verified.mkdir()
    with pytest.raises(
        WeightsError, match=r"verified\.json: .*`agentic models remove small` again"
    ):
        remove_weights(files)
    assert files.ready.read_bytes() == DATA


async def test_what_is_being_fetched_is_not_removed(pulled: Puller) -> None:
    files = Files(pulled.weights, pulled.directory)
    with lock_weights(files), pytest.raises(BusyError):
        remove_weights(files)
    assert pulled.state.kind == "ready"


async def test_too_small_a_disk_is_noticed_before(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    puller.room = Room(read_free_bytes=lambda _path: 65_000_000)
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(NoRoomError, match=r"65 MB free, and 68 MB are needed: free 3 MB"):
            await puller.ensure()
    assert server.asked == []


async def test_a_disk_that_fills_up_keeps_what_came(
    server: FileServer, puller: Puller, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, check=False, timeout=10).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        puller.directory = disk / "models"
        serve_on_hugging_face(server)
        with anyio.fail_after(_LIMIT_SECONDS):
            with pytest.raises(NoRoomError, match="agentic models pull small"):
                await puller.ensure()
            assert puller.state.kind == "partial"
            kept = puller.state.done_bytes
            subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True, timeout=10)
            before = server.sent_bytes
            assert (await puller.ensure()).read_bytes() == DATA
        assert kept > 1_000_000
        assert server.sent_bytes - before == len(DATA) - kept + 1
    finally:
        subprocess.run(["umount", disk], check=True, timeout=10)


async def test_a_place_that_can_not_be_used_is_named(puller: Puller) -> None:
    puller.directory.write_text("in the way")
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(WeightsError, match="cache_directory") as raised:
            await puller.ensure()
    assert str(puller.directory) in str(raised.value)


def test_a_file_of_ones_own_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    with pytest.raises(WeightsError, match=r"own\.gguf can't be read"):
        check_own_file(file)
    file.write_bytes(b"<html>")
    with pytest.raises(DamagedError, match="is no GGUF file"):
        check_own_file(file)
    with pytest.raises(DamagedError, match="is no file"):
        check_own_file(tmp_path)
    write_tiny_gguf(file)
    assert check_own_file(file) == file
    file.write_bytes(b"GGUF" + (99).to_bytes(20, "little"))  # a version for engines alone
    assert check_own_file(file) == file


@pytest.mark.parametrize("left", [4, 30, 5_000, -1])
def test_a_file_of_ones_own_that_was_cut_short_is_seen(tmp_path: Path, left: int) -> None:
    file = write_tiny_gguf(tmp_path / "own.gguf")
    os.truncate(file, left if left > 0 else file.stat().st_size + left)
    with pytest.raises(DamagedError, match=r"own\.gguf was cut short"):
        check_own_file(file)


def test_a_header_that_makes_no_sense_is_looked_at_in_no_time(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    for seed in range(50):
        noise = random.Random(seed).randbytes(500)
        file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + b"\1" + bytes(7) + noise)
        with suppress(DamagedError):
            check_own_file(file)
