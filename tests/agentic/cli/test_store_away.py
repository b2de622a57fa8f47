"""The conversation server dies while a question is answered: the answer is given, and kept once."""

import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from servers.conversations.file_store import open_file_store
from tests.agentic.cli.real_command import LIMIT_SECONDS, Ended, RealCommand
from tests.assistant import assert_whole
from tests.fakes.tool_endpoint import Connection, Request, compute, serve_tool_endpoint
from tests.ports import free_port
from tests.servers.http_serving import environment, serve_command, write_config

pytestmark = pytest.mark.slow


@asynccontextmanager
async def serving(home: Path, port: int) -> AsyncGenerator[Process]:
    """A conversation server at this port, killed at the end if it still runs."""
    home.mkdir(exist_ok=True)
    command = serve_command("conversations", "--http", f"127.0.0.1:{port}", "--no-auth")
    given = environment(home, write_config(home))
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, env=given) as process:
        try:
            assert process.stderr is not None
            with anyio.fail_after(LIMIT_SECONDS):
                while b"listens at" not in await process.stderr.receive():
                    pass
            yield process
        finally:
            if process.returncode is None:
                process.kill()


def configure(command: RealCommand, port: int, tool_url: str) -> None:
    url = f"http://127.0.0.1:{port}/conversations/mcp"
    command.script(
        "- {when: look, call: {tool: tools__look}, say: 'I {result}'}\n- {when: ., say: Hello}",
        more=f"tools: {{look: {{url: '{tool_url}', read_only: true}}}}\n"
        f"servers: {{conversations: {{url: '{url}'}}, "
        "tools: {command: agentic, args: [serve, tools]}}",
    )


async def test_an_answer_whose_server_is_killed_before_it_is_stored_is_stored_once_later(
    command: RealCommand,
) -> None:
    port, store = free_port(), command.home / "served"
    async with serve_tool_endpoint() as endpoint, serving(store, port) as server:

        async def kill_and_answer(request: Request, connection: Connection) -> None:
            server.send_signal(signal.SIGKILL)
            await server.wait()
            await compute(lambda _: "found it")(request, connection)

        configure(command, port, endpoint.on("/look", kill_and_answer))
        ended: Ended = await command.run("ask", "-c", "mine", "look")
        assert (ended.exit_code, ended.output) == (0, "I found it\n")
        assert ended.notes.count("not stored yet") == 1
        spool = command.home / ".local/share/agentic/spool"
        [waiting] = [path for path in spool.rglob("*") if path.is_file()]
        assert waiting.stat().st_mode & 0o077 == 0

        async with serving(store, port):
            again = await command.run("ask", "-c", "mine", "again")
            assert (again.exit_code, again.output) == (0, "Hello\n")
            assert "stored now" in again.notes
    async with open_file_store(store / "conversations") as files:
        messages = (await files.load_conversation("ada", "mine")).messages
    first = ["user", "assistant", "tool", "assistant"]
    assert [message.role for message in messages] == [*first, "user", "assistant"]
    assert_whole(messages)
    assert messages[3].text() == "I found it"
    assert [path for path in spool.rglob("*") if path.is_file()] == []
