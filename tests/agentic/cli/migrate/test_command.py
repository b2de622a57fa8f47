"""The real command, between real servers."""

import json

import pytest

from servers.conversations.file_store import open_file_store
from tests.agentic.cli.migrate.two_stores import everything, fill
from tests.agentic.cli.real_command import RealCommand

pytestmark = pytest.mark.slow  # each run starts three processes

TWO_STORES = """
servers:
  old: {command: agentic, args: [serve, conversations],
        env: {AGENTIC_CONVERSATIONS__DIRECTORY: ./old}, enabled: false}
  new: {command: agentic, args: [serve, conversations],
        env: {AGENTIC_CONVERSATIONS__DIRECTORY: ./new}}
"""


async def test_one_command_moves_a_store_and_the_next_one_finds_nothing_to_do(
    command: RealCommand,
) -> None:
    command.configure(TWO_STORES)
    async with open_file_store(command.home / "old") as store:
        await fill(store)
        before = await everything(store)
    ended = await command.run("migrate", "--from", "old", "--to", "new", "--json")
    assert (ended.exit_code, ended.notes) == (0, "")
    told = json.loads(ended.output)
    assert (told["from"], told["to"], told["finished"], told["owners"]) == ("old", "new", True, 4)
    assert (told["counts"]["copied"], told["counts"]["messages"]) == (12, 136)
    async with open_file_store(command.home / "new") as store:
        assert await everything(store) == before
    again = await command.run("migrate", "--from", "old", "--to", "new")
    assert again.exit_code == 0
    assert again.output.splitlines() == [
        "Copied: 0 messages and 0 attachments, in 0 of 12 conversations.",
        "Unchanged since an earlier run compared them: 12 conversations.",
        "The same at both ends: 136 messages.",
    ]
