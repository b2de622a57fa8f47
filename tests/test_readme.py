"""Every command and every block of the README does what the README says."""

import json
import re
import signal
import sys
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.agentic.cli.imports.exports import chatgpt_conversation, chatgpt_message, write_zip
from tests.agentic.cli.real_command import RealCommand, without_the_embedded_model
from tests.fakes.telegram.bot_api import open_bot_api
from tests.fakes.tool_endpoint import answer_json, serve_tool_endpoint

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SCRIPT = """
- when: Tokyo
  call: {tool: tools__current_time, arguments: {timezone: Asia/Tokyo}}
  say: It is late.
"""
EXERCISED = {
    "chat",
    'ask "What time is it in Tokyo?"',
    "--help",
    "bot",
    "bot --pair",
    "tools list",
    "tools call tools__web_search query=mcp",
    "doctor",
    "conversations import export.zip",
    "migrate --from old --to new",
    "connect claude-desktop --write",
    "token create laptop",
    "serve all --http 127.0.0.1:8000",
}
LOCAL = "uv run --extra local agentic chat"
"""Exercised where the weights are: see the marker `weights`."""


def block(language: str) -> str:
    """The one block of this language that is no shell command."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def command(tmp_path: Path) -> RealCommand:
    return RealCommand(tmp_path)


def test_no_command_of_the_readme_is_left_out_here() -> None:
    text = re.sub(r" +#.*", "", README)
    commands = re.findall(r"uv run agentic ([^\n`]+)", text)
    assert {one.strip() for one in commands} == EXERCISED
    assert text.count("uv run --") == text.count(LOCAL) == 1


async def test_one_command_talks(command: RealCommand) -> None:
    command.script("- say: Good morning.\n")
    ended = await command.run("chat", stdin=b"hello\n")
    assert ended.exit_code == 0
    assert "Good morning." in ended.output


async def test_an_account_export_is_brought_in(command: RealCommand) -> None:
    chat = chatgpt_conversation(chatgpt_message("hello"))
    write_zip(command.home / "export.zip", {"conversations.json": [chat]})
    ended = await command.run("conversations", "import", "export.zip")
    assert ended.output == "Imported: 1 message in 1 of 1 conversation.\n"


@pytest.mark.slow  # three processes
async def test_conversations_move_from_one_server_to_another(command: RealCommand) -> None:
    start = "command: agentic, args: [serve, conversations]"
    old, new = (f"env: {{AGENTIC_CONVERSATIONS__DIRECTORY: {name}}}" for name in ("old", "new"))
    command.configure(f"servers: {{old: {{{start}, {old}}}, new: {{{start}, {new}}}}}")
    ended = await command.run("migrate", "--from", "old", "--to", "new")
    assert (ended.exit_code, ended.notes) == (0, "")
    assert "0 conversations" in ended.output


@without_the_embedded_model
async def test_without_a_model_the_ways_to_one_are_listed(command: RealCommand) -> None:
    ended = await command.run("chat", stdin=b"hello\n")
    assert ended.exit_code == 2
    for way in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "Ollama"):
        assert way in ended.notes


async def test_a_question_is_answered_with_a_tool(command: RealCommand) -> None:
    command.script(SCRIPT)
    ended = await command.run("ask", "What time is it in Tokyo?")
    assert (ended.exit_code, ended.output.strip()) == (0, "It is late.")
    assert "tools__current_time" in ended.notes


async def test_help_names_every_command(command: RealCommand) -> None:
    ended = await command.run("--help")
    assert ended.exit_code == 0
    for name in ("chat", "ask", "serve", "bot", "tools", "conversations", "trust"):
        assert name in ended.output


@pytest.mark.slow  # two commands, five processes
async def test_the_tool_in_eight_lines_is_listed_and_called(command: RealCommand) -> None:
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/search", answer_json({"result": ["MCP"]}))
        declared = block("yaml")
        assert len(declared.strip().splitlines()) == 8
        command.configure(declared.replace("https://search.example.com/search", url))
        listed = await command.run("tools", "list")
        called = await command.run("tools", "call", "tools__web_search", "query=mcp")
    assert "web_search" in listed.output
    assert called.exit_code == 0, called.notes
    assert "MCP" in called.output
    assert endpoint.requests[0].params == {"query": "mcp", "limit": 5}


@pytest.mark.slow  # four processes
async def test_another_client_opens_the_conversations_by_the_entry_shown(
    command: RealCommand,
) -> None:
    command.script("- say: Noted.\n")
    await command.run("ask", "I am Ada.", "--conversation", "c")
    entry = json.loads(block("json"))["mcpServers"]["conversations"]
    assert entry["command"] == "uv"
    arguments = entry["args"]
    ours = arguments[arguments.index("agentic") + 1 :]
    assert arguments[:3] == ["run", "--directory", "/path/to/agentic-ai"]
    target = StdioServerParameters(
        command=sys.executable, args=["-m", "agentic", *ours], env=command.environment
    )
    with anyio.fail_after(30):
        async with Client(target) as client:
            result = await client.call_tool("load_conversation", {"conversation_id": "c"})
            transcript = await client.read_resource("conversation://c")
    assert [m["content"] for m in result.structured_content["messages"]] == ["I am Ada.", "Noted."]
    assert "I am Ada." in str(transcript.contents)


async def test_connect_writes_entries_that_the_client_can_start(command: RealCommand) -> None:
    ended = await command.run("connect", "claude-desktop", "--write")
    assert ended.exit_code == 0, ended.notes
    [written] = command.home.rglob("claude_desktop_config.json")
    entry = json.loads(written.read_text())["mcpServers"]
    assert entry.keys() >= {"agentic-conversations", "agentic-tools"}


async def test_the_doctor_finds_nothing_wrong_with_a_fresh_start(command: RealCommand) -> None:
    command.script("- say: hello\n")
    ended = await command.run("doctor")
    assert ended.exit_code == 0, ended.output + ended.notes


@pytest.mark.slow  # all servers, started twice
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_servers_answer_over_http_in_both_eras(command: RealCommand, mode: str) -> None:
    token = (await command.run("token", "create", "laptop")).output.strip()
    with anyio.fail_after(30):
        async with (
            command.started("serve", "all", "--http", "127.0.0.1:0") as process,
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
        ):
            assert process.stderr is not None
            told = b""
            while not (url := re.search(rb"http://\S+/conversations/mcp", told)):
                told += await process.stderr.receive()
            transport = streamable_http_client(url[0].decode(), http_client=http)
            async with Client(transport, mode=mode) as client:
                tools = {tool.name for tool in (await client.list_tools()).tools}
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    named = re.search(r"The tools are ([^;]+) and more;", README)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) <= tools


@pytest.mark.slow  # a bot and its servers
async def test_the_bot_answers_whom_the_variables_name(command: RealCommand) -> None:
    token = "42:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    command.script("- say: Hello from the bot.\n")
    people = re.search(r"AGENTIC_BOT__PEOPLE='(.*?)'", README)
    assert people is not None
    assert "export AGENTIC_OWNER=ada" in README
    async with open_bot_api(token) as api:
        variables = {
            "TELEGRAM_BOT_TOKEN": token,
            "AGENTIC_BOT__PEOPLE": people[1],
            "AGENTIC_OWNER": "ada",
            "AGENTIC_BOT__BASE_URL": api.base_url,
        }
        async with command.started("bot", environment=variables) as process:
            with anyio.fail_after(30):
                api.user_says(42, "hello")
                (reply,) = await api.wait_for_message(42, 1)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
    assert reply["text"] == "Hello from the bot."
    listed = await command.run("conversations", "show", "telegram:42", environment=variables)
    assert "Hello from the bot." in listed.output


@pytest.mark.slow
async def test_the_bot_lets_in_who_sends_the_code_first(command: RealCommand) -> None:
    token = "42:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    command.script("- say: Hello from the bot.\n")
    async with open_bot_api(token) as api:
        variables = {
            "TELEGRAM_BOT_TOKEN": token,
            "AGENTIC_OWNER": "ada",
            "AGENTIC_BOT__BASE_URL": api.base_url,
        }
        async with command.started("bot", environment=variables) as process:
            with anyio.fail_after(60):
                made = await command.run("bot", "--pair", environment=variables)
                code = made.output.strip()
                assert f"open https://t.me/agentic_bot?start={code} there" in made.notes
                api.user_says(43, f"/start {code}")
                await api.wait_for_message(43)
                api.user_says(43, "hello")
                (_, reply) = await api.wait_for_message(43, 2)
                listed = await command.run("bot", "--people", environment=variables)
                removed = await command.run("bot", "--unpair", "43", environment=variables)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
    assert reply["text"] == "Hello from the bot."
    assert re.fullmatch(r"43\tada\tpaired .*\n", listed.output)
    assert removed.exit_code == 0
