"""The real command, between real servers."""

import json
import os
import signal
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from servers.access.contract import (
    SCOPE_CONVERSATIONS_READ,
    SCOPE_CONVERSATIONS_WRITE,
    SCOPE_DELEGATE,
)
from servers.conversations.file_store import open_file_store
from tests.agentic.cli.migrate.two_stores import everything, fill
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.servers.conversations.messages import users
from tests.servers.http_serving import serving

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


async def fill_with_many(home: Path, count: int) -> dict[str, object]:
    async with open_file_store(home / "old", durability="interval") as store:
        for number in range(count):
            owner = f"owner-{number % 3}"
            await store.append_messages(owner, f"c{number}", users(5, size=200))
        return await everything(store)


async def wait_for_copies(home: Path, count: int) -> None:
    """Until so many conversations are at the target."""
    with anyio.fail_after(LIMIT_SECONDS):
        while len(list((home / "new").glob("v1/*/*.jsonl"))) < count:  # noqa: ASYNC110 - files
            await anyio.sleep(0.01)


def children_of(process: Process) -> list[int]:
    """Of the first one to the last one that it started."""
    told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in told.split()]


async def test_killed_twice_it_goes_on_and_everything_is_there_once(command: RealCommand) -> None:
    command.configure(TWO_STORES)
    before = await fill_with_many(command.home, 80)
    for number, order in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        async with command.started("migrate", "--from", "old", "--to", "new") as process:
            await wait_for_copies(command.home, number * 12)
            process.send_signal(order)
            with anyio.fail_after(LIMIT_SECONDS):
                assert await process.wait() == (130 if order == signal.SIGINT else -order)
                assert process.stderr is not None
                told = b"".join([chunk async for chunk in process.stderr])
        assert (b"Run the same again" in told) == (order == signal.SIGINT)
    ended = await command.run("migrate", "--from", "old", "--to", "new", "--json")
    assert ended.exit_code == 0, ended.notes
    counts = json.loads(ended.output)["counts"]
    assert 0 < counts["copied"] < 80 - 12
    assert counts["unchanged"] > 0
    async with open_file_store(command.home / "new") as store:
        assert await everything(store) == before


async def test_a_server_that_dies_in_the_middle_is_waited_for(command: RealCommand) -> None:
    command.configure(TWO_STORES)
    before = await fill_with_many(command.home, 60)
    async with command.started("migrate", "--from", "old", "--to", "new") as process:
        for number in (10, 30):
            await wait_for_copies(command.home, number)
            os.kill(children_of(process)[-1], signal.SIGKILL)
        with anyio.fail_after(LIMIT_SECONDS):
            assert await process.wait() == 0
    async with open_file_store(command.home / "new") as store:
        assert await everything(store) == before


async def test_over_http_a_token_has_to_allow_it(command: RealCommand) -> None:
    command.configure(TWO_STORES)
    before = await fill_with_many(command.home, 3)
    scopes = {SCOPE_CONVERSATIONS_READ, SCOPE_DELEGATE}
    (served_home := command.home / "served").mkdir()
    async with serving(served_home) as served:
        to = ("migrate", "--from", "old", "--to", served.urls["conversations"])
        reader = served.create_token("reader", "operator", scopes)
        writer = served.create_token("writer", "operator", scopes | {SCOPE_CONVERSATIONS_WRITE})
        for token, exit_code, told in (
            (None, 1, "give one by --to-token-file."),
            (reader, 2, "this needs the scope conversations:write. A migration acts"),
            (writer, 0, ""),
        ):
            with_token = () if token is None else ("--to-token-variable", "TOKEN")
            variables = {} if token is None else {"TOKEN": token}
            ended = await command.run(*to, *with_token, environment=variables)
            assert ended.exit_code == exit_code, ended.notes
            assert told in ended.notes
            assert exit_code == 0 or ended.notes.startswith(f"Error: --to: {to[-1]} ")
    async with open_file_store(served_home / "conversations") as store:
        assert await everything(store) == before


async def test_a_bar_shows_how_far_it_has_come(command: RealCommand) -> None:
    command.configure(TWO_STORES)
    await fill_with_many(command.home, 30)
    async with command.in_terminal("migrate", "--from", "old", "--to", "new") as terminal:
        await terminal.wait_for("of 30 conversations, ")
        await terminal.wait_for("The same at both ends: 150 messages.")
        assert await terminal.wait_for_end() == 0


async def test_what_is_not_the_same_is_named_and_the_command_has_failed(
    command: RealCommand,
) -> None:
    command.configure(TWO_STORES)
    await fill_with_many(command.home, 3)
    async with open_file_store(command.home / "new") as store:
        await store.append_messages("owner-1", "c1", users(1, start=7))
    ended = await command.run("migrate", "--from", "old", "--to", "new")
    assert ended.exit_code == 1
    assert ended.notes.startswith("Error: c1 of owner-1: message 1 is another one there")
    assert "Not the same: 1 conversation." in ended.output
