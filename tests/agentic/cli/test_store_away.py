"""The conversation server dies while a question is answered: the answer is given, and kept once."""

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from tests.agentic.cli.real_command import RealCommand
from tests.assistant import assert_whole
from tests.fakes.tool_endpoint import Connection, Request, compute, serve_tool_endpoint
from tests.ports import free_port
from tests.servers.http_serving import serving_conversations

pytestmark = pytest.mark.slow

ROLES = ["user", "assistant", "tool", "assistant", "user", "assistant"]


def configure(command: RealCommand, conversations: str, tool_url: str) -> None:
    command.script(
        "- {when: look, call: {tool: tools__look}, say: 'I {result}'}\n- {when: ., say: Hello}",
        more=f"owner: ada\ntools: {{look: {{url: '{tool_url}', read_only: true}}}}\n"
        f"servers: {{conversations: {conversations}, "
        "tools: {command: agentic, args: [serve, tools]}}",
    )


def waiting(command: RealCommand) -> list[Path]:
    spool = command.home / ".local/share/agentic/spool"
    return [path for path in spool.rglob("*") if path.is_file()]


async def talk_while_it_dies(command: RealCommand, *arguments: str, stdin: bytes = b"") -> None:
    ended = await command.run(*arguments, "-c", "mine", stdin=stdin)
    assert (ended.exit_code, ended.output) == (0, "I found it\n")
    assert ended.notes.count("not stored yet") == 1
    [kept] = waiting(command)
    assert kept.stat().st_mode & 0o077 == 0


async def talk_again(command: RealCommand, *arguments: str, stdin: bytes = b"") -> None:
    again = await command.run(*arguments, "-c", "mine", stdin=stdin)
    assert (again.exit_code, again.output) == (0, "Hello\n")
    assert again.notes.count("What waited for the store is stored now: 3 messages.") == 1
    assert waiting(command) == []


def check(messages: list[Message]) -> None:
    assert [message.role for message in messages] == ROLES
    assert_whole(messages)
    assert messages[3].text() == "I found it"


async def test_an_answer_whose_server_is_killed_before_it_is_stored_is_stored_once_later(
    command: RealCommand,
) -> None:
    port, store = free_port(), command.home / "served"
    async with (
        serve_tool_endpoint() as endpoint,
        serving_conversations(store, port, "--no-auth") as server,
    ):

        async def kill_and_answer(request: Request, connection: Connection) -> None:
            server.kill()
            await server.wait()
            await compute(lambda _: "found it")(request, connection)

        url = f"{{url: 'http://127.0.0.1:{port}/conversations/mcp'}}"
        configure(command, url, endpoint.on("/look", kill_and_answer))
        await talk_while_it_dies(command, "ask", "look")
        async with serving_conversations(store, port, "--no-auth"):
            await talk_again(command, "ask", "again")
    async with open_file_store(store / "conversations") as files:
        check((await files.load_conversation("ada", "mine")).messages)


async def test_in_a_talk_whose_server_is_killed_on_stdio_as_well(command: RealCommand) -> None:
    pid, gone = command.home / "pid", command.home / "gone"
    serve = shlex.join([sys.executable, "-m", "agentic", "serve", "conversations"])
    start = f"test ! -e {gone} && echo $$ > {pid} && exec {serve}"
    async with serve_tool_endpoint() as endpoint:

        async def kill_and_answer(request: Request, connection: Connection) -> None:
            gone.touch()
            os.kill(int(pid.read_text()), signal.SIGKILL)
            await compute(lambda _: "found it")(request, connection)

        server = f"{{command: sh, args: [-c, '{start}'], ours: true}}"
        configure(command, server, endpoint.on("/look", kill_and_answer))
        await talk_while_it_dies(command, "chat", stdin=b"look\n")
        gone.unlink()
        await talk_again(command, "chat", stdin=b"again\n")
    async with open_file_store(command.home / ".local/share/agentic/conversations") as files:
        check((await files.load_conversation("ada", "mine")).messages)
