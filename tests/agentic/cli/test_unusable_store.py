"""A place that can't hold conversations: told at once, as the wrong configuration that it is."""

import pytest

from tests.agentic.cli.real_command import RealCommand
from tests.bot.running_bot import TOKEN

pytestmark = pytest.mark.slow

SCRIPT = "- {when: ., say: x}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "hello"],
        ["chat"],
        ["bot"],
        ["conversations", "list"],
        ["conversations", "show", "x"],
        ["serve", "conversations"],
    ],
)
async def test_whatever_needs_it_says_what_is_wrong_and_what_to_do(
    command: RealCommand, arguments: list[str]
) -> None:
    (command.home / "file").write_text("in the way", encoding="utf-8")
    command.script(SCRIPT, more="conversations: {directory: file/below}")
    ended = await command.run(*arguments, environment={"TELEGRAM_BOT_TOKEN": TOKEN})
    assert ended.exit_code == 2
    assert ended.output == ""
    assert ended.notes == (
        f"Error: conversations: cannot open the conversation store {command.home}/file/below: "
        f"{command.home}/file: a file or link stands where a directory should be: move it away\n"
    )


async def test_a_place_for_data_that_cannot_be_made_is_named(command: RealCommand) -> None:
    command.configure("data_directory: /proc/nowhere/agentic")
    ended = await command.run("conversations", "list")
    assert ended.exit_code == 2
    assert "/proc/nowhere" in ended.notes
    assert "data_directory" in ended.notes


async def test_a_table_without_a_region_is_told_with_what_to_set(command: RealCommand) -> None:
    command.script(SCRIPT, more="conversations: {store: dynamodb}")
    ended = await command.run("ask", "hello")
    assert ended.exit_code == 2
    assert "no AWS region is set: set conversations.region, or AWS_REGION" in ended.notes


async def test_what_needs_no_conversations_goes_on_without_them(command: RealCommand) -> None:
    command.configure("conversations: {directory: nowhere/below}")
    ended = await command.run("tools", "list")
    assert ended.exit_code == 0
    assert "conversations: not available" in ended.output
    assert f"there is no directory {command.home}/nowhere" in ended.output
    assert "tools: ready" in ended.output


async def test_only_the_place_that_the_server_will_use_counts(command: RealCommand) -> None:
    command.configure(
        "conversations: {directory: nowhere/below}\n"
        "servers: {conversations: {command: agentic, args: [serve, conversations], "
        f"env: {{AGENTIC_CONVERSATIONS__DIRECTORY: '{command.home}/kept'}}}}}}\n"
    )
    ended = await command.run("conversations", "list")
    assert (ended.exit_code, ended.notes) == (0, "There are no conversations yet.\n")
    assert (command.home / "kept").is_dir()
