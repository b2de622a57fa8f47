"""A store whose directory is moved away while a program uses it."""

import shutil
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user


@pytest.mark.parametrize("moved", ["", "v1"])
@pytest.mark.parametrize("instead", ["nothing", "a copy", "another store"])
async def test_a_running_store_whose_directory_was_moved_is_refused_until_it_is_back(
    tmp_path: Path, moved: str, instead: str
) -> None:
    directory, away = tmp_path / "store", tmp_path / "away"
    path = directory / moved
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        await store.list_conversations(OWNER)
        path.rename(away)
        if instead == "a copy":
            shutil.copytree(away, path)
        elif instead == "another store":
            path.mkdir()

        async def go_on() -> None:
            while True:
                await store.append_messages(OWNER, ID, [user("a")])
                await anyio.sleep(0.05)

        told = f"{path} was moved or removed under the running program.*restart"
        with anyio.fail_after(5), pytest.raises(UnavailableError, match=told):
            await go_on()
        for refused in (
            store.append_messages(OWNER, "new", [user("b")]),
            store.load_conversation(OWNER, ID),
            store.list_conversations(OWNER),
            store.search_conversations(OWNER, "a"),
            store.delete_conversation(OWNER, ID),
        ):
            with pytest.raises(UnavailableError, match=told):
                await refused
        if path.exists():
            shutil.rmtree(path)
        away.rename(path)
        await store.append_messages(OWNER, ID, [user("b")])
        assert await load_ids(store) == ["a", "b"]


async def test_what_a_moved_store_has_is_not_listed_in_the_one_that_stands_there_now(
    tmp_path: Path,
) -> None:
    directory, away = tmp_path / "store", tmp_path / "away"
    async with open_file_store(directory) as moved:
        await moved.append_messages(OWNER, ID, [user("a")])
        await moved.list_conversations(OWNER)
        directory.rename(away)
        shutil.copytree(away, directory)
        async with open_file_store(directory) as store:
            with suppress(UnavailableError):  # from a second later on
                await moved.append_messages(OWNER, "lost", [user("b")])
                await moved.list_conversations(OWNER)
            await store.append_messages(OWNER, "new", [user("b")])
            assert await list_ids(store) == ["new", ID]
    async with open_file_store(directory) as store:
        assert await list_ids(store) == ["new", ID]


async def test_a_link_that_leads_to_the_same_store_again_does_no_harm(
    tmp_path: Path,
) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    async with open_file_store(link) as store:
        await store.append_messages(OWNER, ID, [user("a")])
        real.rename(tmp_path / "renamed")
        link.unlink()
        link.symlink_to(tmp_path / "renamed")
        await anyio.sleep(1.1)  # by then it was looked
        await store.append_messages(OWNER, ID, [user("b")])
        assert await load_ids(store) == ["a", "b"]
