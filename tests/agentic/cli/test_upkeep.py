"""`agentic conversations verify|repair|compact|reindex|stats`, and the bar of `export`."""

import json
import sys
from pathlib import Path

import anyio
import pytest

from servers.conversations.file_store import open_file_store
from servers.conversations.store_values import ConversationUpdate
from tests.agentic.cli.real_command import RealCommand, open_in_terminal
from tests.servers.conversations.messages import ID, in_seconds, user
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact", "export"])
async def test_results_go_where_they_are_sent_while_a_bar_is_shown(
    command: RealCommand, name: str
) -> None:
    directory = await fill(command)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user(None, "y" * 50_000) for _ in range(5)])
    arguments = [name, ID] if name == "export" else [name]
    shell = ["sh", "-c", 'exec "$0" -m agentic conversations "$@" > results', sys.executable]
    async with open_in_terminal(
        [*shell, *arguments], command.home, command.environment, 80, 24
    ) as terminal:
        assert await terminal.wait_for_end() == 0
    results = (command.home / "results").read_text(encoding="utf-8")
    if name == "export":
        assert len(json.loads(results)["messages"]) == 11
    else:
        assert results.startswith(f"{OWNER}: {ID}: ")


@pytest.mark.slow
async def test_a_full_standard_output_is_told_as_such(command: RealCommand) -> None:
    await fill(command)
    shell = ["sh", "-c", 'exec "$0" -m agentic conversations "$@" > /dev/full', sys.executable]
    async with open_in_terminal(
        [*shell, "export", ID], command.home, command.environment, 80, 24
    ) as terminal:
        assert await terminal.wait_for_end() == 1
    assert "Error: standard output: No space left on device" in terminal.text


@pytest.mark.slow
async def test_attachments_of_what_has_expired_are_not_counted(command: RealCommand) -> None:
    directory = await fill(command)
    async with open_file_store(directory, sweeping=None) as store:
        for name in (ID, "gone"):
            await store.append_messages(OWNER, name, [user("a")])
            await store.put_attachment(OWNER, name, b"abc", name="a", mime_type="text/plain")
        soon = ConversationUpdate(expires_at=in_seconds(0.1))
        await store.update_conversation(OWNER, "gone", soon)
        await anyio.sleep(0.2)
    stats = json.loads((await command.run("conversations", "stats", "--json")).output)
    assert (stats["conversations"], stats["attachments"], stats["attachment_bytes"]) == (1, 1, 3)


@pytest.mark.slow
async def test_what_stands_in_the_way_of_a_store_is_named(command: RealCommand) -> None:
    directory = await fill(command)
    kept = directory.with_name("kept")
    directory.rename(kept)
    for obstacle, words in (
        (directory.touch, "a file or link stands where a directory should be"),
        (lambda: directory.symlink_to("away"), "is a link to a place that is not there"),
    ):
        obstacle()
        ended = await command.run("conversations", "verify")
        directory.unlink()
        assert (ended.exit_code, words in ended.notes) == (2, True), ended.notes
    assert not directory.with_name("away").exists()
