"""The embedded store's directory: what it makes, and what it refuses to open."""

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from threading import Barrier

import anyio
import anyio.to_thread
import pytest

from servers.conversations.file_directory import open_directory
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_upkeep import repair
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.contract_of_identity import IDS, OWNERS
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user, users
from tests.servers.conversations.stored_files import file_of, make_old, segments_of


async def expect_refusal(directory: Path, match: str) -> None:
    with pytest.raises(UnavailableError, match=match):
        async with open_file_store(directory):
            pass


async def test_files_and_folders_are_the_users_alone_and_not_named_after_ids(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, "secret-name", [user()])
        await store.list_conversations(OWNER)
        for path in [directory, *directory.rglob("*")]:
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
            assert "secret" not in path.name


async def test_no_id_and_no_owner_leads_out_of_the_directory_or_into_a_name(
    tmp_path: Path,
) -> None:
    ours = re.compile(
        r"FORMAT|v1|[a-z2-7]{2}|locks|\d\d|index|lag|reserve|index\.sqlite3(-wal|-shm)?"
    )
    names = re.compile(r"[a-z2-7]{32}\.(jsonl|att|\d+\.\d+\.jsonl\.zst)|[a-z2-7]{32,}\.(bin|json)")
    async with open_file_store(tmp_path / "store", sealing=Sealing(after_bytes=100)) as store:
        for owner in OWNERS:
            for name in IDS[:3]:
                await store.append_messages(owner, name, [user()])
        for name in IDS:
            await store.append_messages(OWNER, name, users(3))
            await store.put_attachment(
                OWNER, name, b"x", name="../x", mime_type="a/b", attachment_id="../x"
            )
        assert len(await list_ids(store, limit=1_000)) == len(IDS)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    for path in (tmp_path / "store").rglob("*"):
        assert ours.fullmatch(path.name) or names.fullmatch(path.name), path


async def append_and_load(directory: Path) -> None:
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("more")])
        await store.load_conversation(OWNER, ID)


@pytest.mark.parametrize("planted", ["lag", "v1", "segment"])
async def test_what_is_planted_among_the_files_is_not_followed(
    tmp_path: Path, planted: str
) -> None:
    directory, outside = tmp_path / "store", tmp_path / "outside"
    async with open_file_store(directory, sealing=Sealing(after_bytes=1_000)) as store:
        for message in users(10, size=200):
            await store.append_messages(OWNER, ID, [message])
    path = segments_of(directory)[0] if planted == "segment" else directory / planted
    path.rename(outside)
    content = b"" if planted == "v1" else outside.read_bytes()
    path.symlink_to(outside)
    with pytest.raises(UnavailableError, match=r"link"):
        await append_and_load(directory)
    assert planted == "v1" or outside.read_bytes() == content


async def test_an_empty_directory_becomes_a_store_of_the_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir(mode=0o755)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_a_new_directory_is_opened_by_many_at_once(tmp_path: Path) -> None:
    """As by programs in containers that share a volume, which may have the same process id."""

    def start(directory: Path, together: Barrier) -> None:
        together.wait(timeout=5)
        with open_directory(directory):
            pass

    with anyio.fail_after(30):
        for number in range(50):
            directory, together = tmp_path / f"{number}", Barrier(6)
            async with anyio.create_task_group() as tasks:
                for _ in range(together.parties):
                    tasks.start_soon(anyio.to_thread.run_sync, start, directory, together)
            assert [path.name for path in directory.glob("FORMAT*")] == ["FORMAT"]


async def test_what_a_killed_start_left_makes_no_difference_and_is_removed_some_time_later(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    left, own = tmp_path / f"FORMAT.{'0' * 16}.new", tmp_path / "FORMAT.old"
    left.write_bytes(b'{"for')
    with open_directory(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert left.exists()  # somebody may just be about to put it in its place
    own.write_bytes(b"")
    for path in (left, own):
        make_old(path)
    with open_directory(tmp_path):
        pass
    assert [path.exists() for path in (left, own)] == [False, True]


async def test_a_store_behind_a_link_is_opened(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    async with open_file_store(tmp_path / "link") as store:
        await store.append_messages(OWNER, ID, [user("a")])
    async with open_file_store(tmp_path / "real") as store:
        assert await load_ids(store) == ["a"]


async def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    await expect_refusal(tmp_path / "not" / "there", f"there is no directory {tmp_path / 'not'} ")


async def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("hello")
    await expect_refusal(tmp_path / "store", "move it away")
    for below in ("below", "further/below"):
        await expect_refusal(
            tmp_path / "store" / below,
            f"store {tmp_path / 'store' / below}: {tmp_path / 'store'}: ",
        )


async def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tmp_path / "unmounted")
    await expect_refusal(tmp_path / "store", "a link to a place that is not there")


async def test_a_path_that_is_too_long_for_the_indexes_is_told(tmp_path: Path) -> None:
    longest = tmp_path
    while (room := 489 - len(bytes(longest))) > 1:  # and a slash, and `search.sqlite3`
        longest /= "d" * min(room - 1, 150)
    longest.mkdir(parents=True)
    async with open_file_store(longest) as store:
        await store.append_messages(OWNER, ID, [user("a", "apple")])
        assert len((await store.search_conversations(OWNER, "apple")).hits) == 1
    await expect_refusal(
        longest.with_name(f"{longest.name}d"), "has 505 bytes there, and SQLite takes 504"
    )


async def test_a_place_that_takes_no_directory_is_named() -> None:
    await expect_refusal(Path("/proc/self/store"), "no directory can be made in /proc/self")


@pytest.mark.parametrize("name", ["v1", "locks"])
async def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    async with open_file_store(tmp_path / "store"):
        pass
    (tmp_path / "store" / name).rmdir()
    (tmp_path / "store" / name).write_text("hello")
    await expect_refusal(tmp_path / "store", "move it away")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        "\xff\xfe",
        '{"version": 1}',
        '{"format": "agentic-conversations"}',
        '{"format": "agentic-conversations", "version": "1"}',
        '{"format": "agentic-conversations", "version": 0}',
        '{"format": "x", "version": 1}',
    ],
    ids=range(11),
)
async def test_a_damaged_format_refuses_the_start_and_its_way_out_works(
    tmp_path: Path, text: str
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
    (directory / "FORMAT").write_text(text, encoding="latin-1")
    with pytest.raises(UnavailableError, match=r"FORMAT is damaged.* conversations repair"):
        async with open_file_store(directory):
            pass
    async with open_file_engine(directory, any_format=True) as engine:
        async for _ in repair(engine):
            pass
    async with open_file_store(directory) as store:
        assert await load_ids(store) == ["m0", "m1", "m2"]


async def test_a_missing_format_beside_conversations_refuses_the_start(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(3))
    (directory / "FORMAT").unlink()
    await expect_refusal(directory, "FORMAT is missing")
    assert file_of(directory).exists()


async def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory):
        pass
    (directory / "FORMAT").write_text('{"format": "agentic-conversations", "version": 3}')
    await expect_refusal(directory, "update agentic")


async def test_a_running_store_is_refused_when_a_newer_program_took_it_over(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        ours = (directory / "FORMAT").read_bytes()
        (directory / "FORMAT").write_text('{"format": "agentic-conversations", "version": 3}')

        async def go_on() -> None:
            while True:
                await store.append_messages(OWNER, ID, [user("a")])
                await anyio.sleep(0.05)

        with anyio.fail_after(5), pytest.raises(UnavailableError, match=r"has format 3.*restart"):
            await go_on()
        with pytest.raises(UnavailableError, match="has format 3"):
            await store.load_conversation(OWNER, ID)
        (directory / "FORMAT").write_bytes(ours)
        await store.append_messages(OWNER, ID, [user("b")])
        assert await load_ids(store) == ["a", "b"]


async def test_a_format_that_is_a_link_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory):
        pass
    (directory / "FORMAT").rename(tmp_path / "FORMAT")
    (directory / "FORMAT").symlink_to(tmp_path / "FORMAT")
    await expect_refusal(directory, "FORMAT: a symbolic link")


@pytest.mark.parametrize("taken", ["locks", "lag"])
async def test_a_directory_in_the_way_of_a_file_is_named(tmp_path: Path, taken: str) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        if taken == "locks":
            for lock in (directory / "locks").iterdir():
                lock.unlink()
                lock.mkdir()
            named = rf"{directory}/locks/\d\d: a directory stands where a file should be"
        else:
            (directory / "lag").unlink()
            (directory / "lag").mkdir()
            named = f"{directory}/lag: a directory stands where a file should be"
        with pytest.raises(UnavailableError, match=named):
            await store.append_messages(OWNER, ID, [user("b")])


async def test_a_pipe_in_the_place_of_a_file_between_processes_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        for planted in [*(directory / "locks").iterdir(), directory / "lag"]:
            planted.unlink()
            os.mkfifo(planted)
        with pytest.raises(
            UnavailableError, match=r"locks/\d\d: what stands there is no plain file"
        ):
            await store.append_messages(OWNER, ID, [user("b")])
    await expect_refusal(directory, "lag: what stands there is no plain file")


async def test_a_folder_of_files_removed_under_a_running_store_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        shutil.rmtree(directory / "v1")
        with pytest.raises(UnavailableError, match=r"v1.* removed under"):
            await store.append_messages(OWNER, ID, [user("b")])


async def test_a_directory_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    module = "tests.servers.conversations.opening_process"
    command = [sys.executable, "-m", module, str(directory)]
    with anyio.fail_after(30):
        process = await anyio.run_process(command)
    assert process.stdout.decode().startswith(f"cannot open the conversation store {directory}")
    assert "give the user of this process read and write access" in process.stdout.decode()
