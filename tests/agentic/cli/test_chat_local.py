"""`agentic chat` with the embedded model: usable while it loads, and whole when it is stopped."""

import re
from pathlib import Path

import anyio
import pytest

from client.llm.local.engine import is_installed
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server
from tests.fakes.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.skipif(not is_installed(), reason="the extra `local` is not installed")
PROMPT = ">"
_ON_ITS_WAY = re.compile(
    r"(asking [\w ]+ for the model|getting the model from [\w ]+: 0 %) · Ctrl-C stops waiting"
)
"""Nobody answers: who is asked changes, but never that nothing has come."""


@pytest.mark.slow
async def test_a_talk_goes_on_while_its_model_is_on_its_way(command: RealCommand) -> None:
    command.configure("models: {mine: {provider: local}}\n")
    async with open_http_server(_hang) as url:
        slow_line = {"HTTPS_PROXY": url, "PIP_INDEX_URL": f"{url}/simple"}
        async with command.in_terminal("chat", environment=slow_line) as terminal:
            await terminal.wait_for("is being loaded; /help and /tools answer meanwhile")
            await terminal.wait_for(PROMPT)
            terminal.type("/help\r")
            await terminal.wait_for("/new")
            terminal.type("/tools\r")
            await terminal.wait_for("tools: ")  # ready or still starting
            await terminal.wait_for(PROMPT)
            terminal.type("hello\r")
            await terminal.wait_for("Ctrl-C stops waiting")
            assert _ON_ITS_WAY.search(terminal.text)
            terminal.type("and this\r")
            terminal.interrupt()
            await terminal.wait_for("Not sent: and this")
            await terminal.wait_for("The message was not sent")
            await terminal.wait_for("the next start")
            await terminal.wait_for(PROMPT)
            terminal.type("/quit\r")
            assert await terminal.wait_for_end() == 0
    shown = await command.run("conversations", "list", "--json")
    assert shown.output.strip() == "[]"


@pytest.mark.slow
async def test_a_plain_terminal_tells_what_was_typed_ahead(command: RealCommand) -> None:
    command.configure("models: {mine: {provider: local}}\n")
    async with open_http_server(_hang) as url:
        plain = {"HTTPS_PROXY": url, "PIP_INDEX_URL": f"{url}/simple", "TERM": "dumb"}
        async with command.in_terminal("chat", environment=plain) as terminal:
            await terminal.wait_for(PROMPT)
            terminal.type("hello\rthis\r")
            await terminal.wait_for("asking")
            terminal.type("and this\r")
            terminal.interrupt()
            await terminal.wait_for("Not sent: this")
            await terminal.wait_for("Not sent: and this")
            await terminal.wait_for("Stopped.")
            await terminal.wait_for(PROMPT)
            terminal.type("/quit\r")
            assert await terminal.wait_for_end() == 0


@pytest.mark.slow
async def test_the_first_run_offers_it_with_its_size(command: RealCommand) -> None:
    # Nothing is to be fetched in a test: there is no way out.
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    async with command.in_terminal("chat", environment=closed) as terminal:
        await terminal.wait_for("4  a model that runs on this machine: 1,117 MB download, about 2")
        await terminal.wait_for(PROMPT)
        terminal.type("4\r")
        await terminal.wait_for("local/qwen2.5-coder-1.5b · conversation default")
        await terminal.wait_for(PROMPT)
        terminal.type("/quit\r")
        assert await terminal.wait_for_end() == 0


@pytest.mark.slow
async def test_without_a_terminal_it_is_used_unasked(command: RealCommand) -> None:
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    ended = await command.run("ask", "hello", environment={**closed, "PIP_RETRIES": "0"})
    assert ended.exit_code == 1
    assert "using the one on this machine (1,117 MB download" in ended.notes
    assert "agentic models pull" in ended.notes


@pytest.mark.slow
async def test_a_model_of_ones_own_answers(command: RealCommand) -> None:
    write_tiny_gguf(command.home / "noise.gguf")
    command.configure(
        "models: {mine: {provider: local, path: noise.gguf, max_output_tokens: 20}}\n"
    )
    async with command.in_terminal("chat") as terminal:
        await terminal.wait_for("local/noise")
        await terminal.wait_for("The model is ready.")
        await terminal.wait_for(PROMPT)
        (child,) = _children_with("engine_process.py", terminal.process.pid)
        terminal.process.kill()
        await terminal.wait_for_end()
    with anyio.fail_after(LIMIT_SECONDS):
        while Path(f"/proc/{child}").exists():  # noqa: ASYNC110 - processes tell nobody but their parents
            await anyio.sleep(0.02)


@pytest.mark.slow
async def test_a_model_that_can_not_be_loaded_is_told_without_a_word_of_messages(
    command: RealCommand,
) -> None:
    (command.home / "own.gguf").write_bytes(b"GGUF" + bytes(5_000))
    command.configure("models: {mine: {provider: local, path: own.gguf}}\n")
    async with command.in_terminal("chat") as terminal:
        await terminal.wait_for("The engine can't load")
        assert "not sent" not in terminal.text
        terminal.type("hello\r")
        await terminal.wait_for("The message was not sent. The engine can't load")
        terminal.type("/quit\r")
        assert await terminal.wait_for_end() == 0


async def test_a_file_that_is_no_model_ends_the_command_with_its_name(command: RealCommand) -> None:
    (command.home / "notes.gguf").write_text("no model", encoding="utf-8")
    command.configure("models: {mine: {provider: local, path: notes.gguf}}\n")
    ended = await command.run("ask", "hello")
    assert ended.exit_code == 2
    assert "notes.gguf is no GGUF file" in ended.notes


async def _hang(request: HttpRequest, http: HttpReply) -> None:
    await http.wait_for_departure()


def _children_with(word: str, parent: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="ascii", errors="replace")
            command = (folder / "cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if word in command and int(fields.rpartition(") ")[2].split()[1]) == parent:
            found.append(int(folder.name))
    return found
