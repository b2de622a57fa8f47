"""Servers that ask, as a person meets them in a terminal; and where there is none."""

import json
import sys
from pathlib import Path

import pytest

from tests.agentic.cli.real_command import RealCommand

ROOT = Path(__file__).resolve().parents[3]
ASKS = ["-m", "tests.fakes.mcp_servers.asks"]
SCRIPT = "- {when: book, call: {tool: new__read_book}, say: 'It said {result}'}"


def configure(command: RealCommand) -> None:
    asks = {"command": sys.executable, "cwd": str(ROOT)}
    servers = {
        "conversations": {"command": "agentic", "args": ["serve", "conversations"]},
        "new": {**asks, "args": [*ASKS, "modern"]},
        "old": {**asks, "args": ASKS},
    }
    command.script(SCRIPT, more=f"servers: {json.dumps(servers)}")


@pytest.mark.slow
async def test_a_form_is_filled_in_during_a_talk(command: RealCommand) -> None:
    configure(command)
    async with command.in_terminal("chat", columns=120) as terminal:
        await terminal.wait_for("conversation default")
        await terminal.wait_for(">")
        terminal.type("book\r")
        await terminal.wait_for("The server new asks you, for new__read_book:")
        await terminal.wait_for(">")
        terminal.type("R\r")
        await terminal.wait_for("at least 2 characters.")
        await terminal.wait_for(">")
        terminal.type("Rome\r")
        await terminal.wait_for("[2] >")
        terminal.type("\r")
        await terminal.wait_for("may be left out")
        await terminal.wait_for(">")
        terminal.type("\r")
        await terminal.wait_for("Send this to new?")
        terminal.type("y\r")
        await terminal.wait_for('"content": {"city": "Rome", "nights": 2}')


@pytest.mark.slow
async def test_a_tool_that_is_called_by_hand_may_ask_too(command: RealCommand) -> None:
    configure(command)
    async with command.in_terminal("tools", "call", "old", "pay", columns=120) as terminal:
        await terminal.wait_for("to open a page of")
        await terminal.wait_for("pay.example.com")
        await terminal.wait_for("Have you gone through it?")
        terminal.type("n\n")
        await terminal.wait_for('{"action": "decline"}')
        assert await terminal.wait_for_end() == 0


@pytest.mark.slow
async def test_in_a_pipe_a_server_is_told_that_nobody_can_be_asked(command: RealCommand) -> None:
    configure(command)
    ended = await command.run("tools", "call", "new", "book")
    assert ended.exit_code == 1
    assert "nobody who could be asked" in ended.notes
