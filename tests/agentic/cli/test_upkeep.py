"""`agentic conversations verify|repair|compact|reindex|stats`, and the bar of `export`."""

import json
from pathlib import Path

import pytest

from servers.conversations.file_store import open_file_store
from tests.agentic.cli.real_command import RealCommand
from tests.servers.conversations.messages import ID, user
from tests.servers.conversations.stored_files import file_of

OWNER = "owner"


async def fill(command: RealCommand) -> Path:
    directory = command.home / ".local/share/agentic/conversations"
    directory.parent.mkdir(parents=True)
    async with open_file_store(directory) as store:
        for number in range(6):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 50)])
    return directory


@pytest.mark.slow
async def test_damage_is_found_repaired_and_gone(command: RealCommand) -> None:
    directory = await fill(command)
    assert (await command.run("conversations", "verify")).exit_code == 0
    path = file_of(directory, owner=OWNER)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * 50, b"x" * 49 + b"y", 1))
    found = await command.run("conversations", "verify")
    assert found.exit_code == 1
    assert found.output == (
        f"v1/{path.parent.name}/{path.name}:2: is damaged: its checksum does not match\n"
    )
    assert "conversations repair" in found.notes
    as_json = json.loads((await command.run("conversations", "verify", "--json")).output)
    assert (as_json["damaged"], as_json["findings"][0]["line"]) == (1, 2)
    repaired = await command.run("conversations", "repair")
    assert repaired.exit_code == 0
    assert "5 messages are kept" in repaired.output
    assert (await command.run("conversations", "verify")).exit_code == 0
    for name in ("compact", "reindex"):
        assert (await command.run("conversations", name)).exit_code == 0
    stats = json.loads((await command.run("conversations", "stats", "--json")).output)
    assert (stats["conversations"], stats["messages"]) == (1, 5)


@pytest.mark.slow
async def test_what_is_deleted_is_not_counted_as_a_conversation(command: RealCommand) -> None:
    directory = await fill(command)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, "gone", [user("a")])
        await store.delete_conversation(OWNER, "gone")
    read = await command.run("conversations", "verify")
    assert read.notes == "Read 6 messages of 1 conversation.\n"


@pytest.mark.slow
async def test_without_a_store_the_place_is_named(command: RealCommand) -> None:
    for name in ("verify", "repair", "compact", "reindex", "stats"):
        ended = await command.run("conversations", name)
        assert (ended.exit_code, ended.output) == (2, "")
        assert str(command.home / ".local/share/agentic/conversations") in ended.notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "shown"), [("json", "6 of 6 messages"), ("markdown", " characters")]
)
async def test_an_export_into_a_file_shows_how_far_it_is(
    command: RealCommand, format: str, shown: str
) -> None:
    await fill(command)
    file = command.home / "kept"
    arguments = ("conversations", "export", ID, "--format", format)
    async with command.in_terminal(*arguments, "-o", str(file)) as terminal:
        await terminal.wait_for(shown)
        assert await terminal.wait_for_end() == 0
    assert file.read_text(encoding="utf-8").count("x" * 50) == 6
    async with command.in_terminal(*arguments) as terminal:
        assert await terminal.wait_for_end() == 0
    assert "6 of 6" not in terminal.text
    assert terminal.text.count("x" * 50) == 6


@pytest.mark.slow
async def test_making_the_indexes_anew_shows_how_far_it_is(command: RealCommand) -> None:
    await fill(command)
    async with command.in_terminal("conversations", "reindex") as terminal:
        await terminal.wait_for("Listings")
        assert await terminal.wait_for_end() == 0
    assert "Indexed 6 messages of 1 conversation." in terminal.text
