"""`agentic connect`: what it prints is started and called by a client that is not ours."""

import json
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.agentic.cli.real_command import LIMIT_SECONDS, Ended, RealCommand

pytestmark = pytest.mark.slow

TOKEN = "agentic_0a1b2c3d_a-token-of-the-tests"
ERAS = ("auto", "legacy")
CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode", "generic")


def servers_of(ended: Ended) -> dict[str, Any]:
    """The entries that were printed, in the client's shape."""
    assert ended.exit_code == 0, ended.notes
    document = json.loads(ended.output)
    [key] = document
    assert key == ("servers" if "VS Code" in ended.notes else "mcpServers")
    return document[key]


def how_started(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry says which process is started."""
    return {key: entry.get(key) for key in ("command", "args", "env", "cwd", "url")}


async def call_started(
    entry: Mapping[str, Any], home: Path, era: str, tool: str, arguments: dict[str, Any]
) -> Any:
    """Start an entry as a desktop program does: nearly no environment, the root as its folder."""
    assert Path(entry["command"]).is_absolute()
    parameters = StdioServerParameters(
        command=entry["command"],
        args=entry["args"],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **(entry.get("env") or {})},
        cwd="/",
    )
    with anyio.fail_after(LIMIT_SECONDS):
        async with Client(parameters, mode=era) as client:
            listed = {each.name for each in (await client.list_tools()).tools}
            assert tool in listed
            result = await client.call_tool(tool, arguments)
    assert not result.is_error
    return result.structured_content


async def test_the_printed_entries_start_from_anywhere_and_meet_the_same_conversations(
    command: RealCommand,
) -> None:
    command.script("- say: Noted.\n", more="conversations: {directory: ./kept here}\nowner: ada\n")
    await command.run("ask", "-c", "desk", "I am Ada.")
    starts: list[dict[str, Any]] = []
    for client in CLIENTS:
        entries = servers_of(await command.run("connect", client))
        assert list(entries) == ["agentic-conversations", "agentic-tools"]
        starts.append({name: how_started(entry) for name, entry in entries.items()})
    assert starts == starts[:1] * len(CLIENTS)  # so it is enough to start one's

    loading = "load_conversation", {"conversation_id": "desk"}
    for era in ERAS:
        loaded = await call_started(starts[0]["agentic-conversations"], command.home, era, *loading)
        assert [each["content"] for each in loaded["messages"]] == ["I am Ada.", "Noted."]
        asking = "current_time", {"timezone": "Asia/Tokyo"}
        told = await call_started(starts[0]["agentic-tools"], command.home, era, *asking)
        assert told["utc_offset"] == "+09:00"


async def test_what_the_environment_sets_is_kept_but_for_secrets(command: RealCommand) -> None:
    command.configure(
        "models: {t: {provider: scripted}}\n"
        "tools: {w: {url: 'http://127.0.0.1:9/', token: '${SEARCH_TOKEN}'}}\n"
    )
    variables = {
        "AGENTIC_OWNER": "ada",
        "AGENTIC_CONVERSATIONS__DIRECTORY": "elsewhere",
        "AGENTIC_TOOLS__W__HEADERS": '{"x-key": "sekret-header"}',
        "SEARCH_TOKEN": "sekret-search",
    }
    await command.run("ask", "-c", "x", "Hello?", environment=variables)
    printed = await command.run("connect", "claude-desktop", environment=variables)
    entries = servers_of(printed)

    environment = entries["agentic-conversations"]["env"]
    assert environment == {
        "AGENTIC_OWNER": "ada",
        "AGENTIC_CONVERSATIONS__DIRECTORY": str(command.home / "elsewhere"),
        "MCP_CONFIG_PATH": str(command.home / "given.yml"),
    }
    loaded = await call_started(
        entries["agentic-conversations"],
        command.home,
        "auto",
        "load_conversation",
        {"conversation_id": "x"},
    )
    assert len(loaded["messages"]) == 2
    assert "sekret" not in printed.output + printed.notes
    assert "AGENTIC_TOOLS__W__HEADERS, SEARCH_TOKEN" in printed.notes
    without = await command.run("connect", "claude-desktop", "tools")
    assert "not set here either: SEARCH_TOKEN" in without.notes


async def test_each_client_gets_its_own_shape(command: RealCommand) -> None:
    command.configure("owner: ada\n")
    stdio = {each: servers_of(await command.run("connect", each, "tools")) for each in CLIENTS}
    kinds = {each: entries["agentic-tools"].get("type") for each, entries in stdio.items()}
    assert kinds == {
        "claude-desktop": None,
        "claude-code": "stdio",
        "cursor": None,
        "vscode": "stdio",
        "generic": None,
    }

    address = "https://assistant.example/tools/mcp"
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    token_file = command.home / "token"
    token_file.write_text(f"{TOKEN}\n", encoding="utf-8")
    remote = ("tools", "--url", "https://assistant.example/", "--token-file", str(token_file))
    shapes: dict[str, Any] = {}
    for each in CLIENTS:
        printed = await command.run("connect", each, *remote)
        assert "keep it to yourself" in printed.notes
        shapes[each] = servers_of(printed)["agentic-tools"]
    assert shapes["cursor"] == {"url": address, "headers": authorization}
    for each in ("claude-code", "vscode", "generic"):
        assert shapes[each] == {"type": "http", "url": address, "headers": authorization}
    bridge = shapes["claude-desktop"]
    assert bridge["command"] == "npx"
    assert address in bridge["args"]
    assert TOKEN not in " ".join(bridge["args"])
    assert bridge["env"] == {"AUTH_HEADER": f"Bearer {TOKEN}"}


@asynccontextmanager
async def serving(command: RealCommand) -> AsyncGenerator[str]:
    """Our own server over HTTP; gives the address to connect to."""
    serve = ("serve", "conversations", "--http", "127.0.0.1:0", "--no-auth")
    async with command.started(*serve) as process:
        assert process.stderr is not None
        told = b""
        with anyio.fail_after(LIMIT_SECONDS):
            while not (url := re.search(rb"(http://\S+?)/conversations/mcp", told)):
                told += await process.stderr.receive()
        yield url[1].decode()
        process.send_signal(signal.SIGTERM)


async def test_a_printed_remote_entry_reaches_a_server_over_http(command: RealCommand) -> None:
    clients = [client for client in CLIENTS if client != "claude-desktop"]  # it starts a bridge
    async with serving(command) as url:
        for client, era in zip(clients, cycle(ERAS), strict=False):
            connect = ("connect", client, "conversations", "--url", url, "--token-file", "-")
            ended = await command.run(*connect, stdin=TOKEN.encode())
            entry = servers_of(ended)["agentic-conversations"]
            with anyio.fail_after(LIMIT_SECONDS):
                async with (
                    httpx2.AsyncClient(headers=entry["headers"]) as http,
                    Client(streamable_http_client(entry["url"], http_client=http), mode=era) as mcp,
                ):
                    result = await mcp.call_tool("list_conversations", {})
            assert result.structured_content is not None
            assert result.structured_content["conversations"] == [], client


OTHERS = (
    '{\n    "zeta": 1.5,\n    "mcpServers": {\n        "other": {"command": "x", "args": []},\n'
    '        "agentic-tools": {"command": "old", "disabled": true, "env": {"SEARCH_TOKEN": "kept"}}'
    '\n    },\n    "alpha": ["\\ud83d\\ude00", "Z\u00fcrich", null]\n}\n'
)


async def test_writing_keeps_everything_else_and_leaves_a_copy(command: RealCommand) -> None:
    command.configure("owner: ada\n")
    file = command.home / "client.json"
    file.write_text(OTHERS, encoding="utf-8")
    file.chmod(0o640)
    write = ("connect", "cursor", "--write", "--file", str(file))
    written = await command.run(*write)

    assert written.exit_code == 0
    assert "added agentic-conversations" in written.output
    assert "changed agentic-tools" in written.output
    after = json.loads(file.read_text(encoding="utf-8"))
    before = json.loads(OTHERS)
    assert [*after] == ["zeta", "mcpServers", "alpha"]
    assert (after["zeta"], after["alpha"]) == (before["zeta"], before["alpha"])
    assert [*after["mcpServers"]] == ["other", "agentic-tools", "agentic-conversations"]
    assert after["mcpServers"]["other"] == before["mcpServers"]["other"]
    tools = after["mcpServers"]["agentic-tools"]
    assert tools["command"] == sys.executable
    assert tools["disabled"] is True
    assert tools["env"] == {
        "SEARCH_TOKEN": "kept",
        "MCP_CONFIG_PATH": str(command.home / "given.yml"),
    }
    assert '    "zeta"' in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    [copy] = command.home.glob("client.json.bak-*")
    assert copy.read_text(encoding="utf-8") == OTHERS

    again = await command.run(*write)
    assert "nothing was changed" in again.output
    assert json.loads(file.read_text(encoding="utf-8")) == after
    assert len([*command.home.iterdir()]) == 3  # given.yml, the file and one copy


async def test_a_link_is_written_through(command: RealCommand) -> None:
    dotfiles = command.home / "dotfiles"
    dotfiles.mkdir()
    target = dotfiles / "cursor.json"
    target.write_text('\ufeff{"mcpServers": {}}', encoding="utf-8")
    link = command.home / ".cursor" / "mcp.json"
    link.parent.mkdir()
    link.symlink_to(target)

    written = await command.run("connect", "cursor", "--write")
    assert written.exit_code == 0, written.notes
    assert link.is_symlink()
    assert len(json.loads(target.read_text(encoding="utf-8"))["mcpServers"]) == 2
    assert len([*dotfiles.glob("cursor.json.bak-*")]) == 1


async def test_a_client_that_is_not_there_gets_its_file_and_the_person_is_told(
    command: RealCommand,
) -> None:
    written = await command.run("connect", "claude-desktop", "--write")
    assert written.exit_code == 0
    assert "seems not to be installed" in written.notes
    [file] = command.home.rglob("claude_desktop_config.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*json.loads(file.read_text(encoding="utf-8"))] == ["mcpServers"]

    nowhere = command.home / "no" / "folder.json"
    refused = await command.run("connect", "cursor", "--write", "--file", str(nowhere))
    assert refused.exit_code == 1
    assert f"{nowhere}: can't be used: No such file or directory" in refused.notes


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_file_that_may_not_be_written_is_left_alone(command: RealCommand) -> None:
    folder = command.home / "closed"
    folder.mkdir()
    file = folder / "client.json"
    file.write_text("{}", encoding="utf-8")
    folder.chmod(0o500)
    try:
        refused = await command.run("connect", "cursor", "--write", "--file", str(file))
    finally:
        folder.chmod(0o700)
    assert refused.exit_code == 1
    assert "Permission denied" in refused.notes
    assert file.read_text(encoding="utf-8") == "{}"


async def test_a_place_that_is_no_file_is_refused(command: RealCommand) -> None:
    loop = command.home / "loop"
    loop.symlink_to(loop)
    os.mkfifo(command.home / "pipe")
    for place in (command.home, command.home / "pipe", loop, Path("/proc/version")):
        refused = await command.run("connect", "cursor", "--write", "--file", str(place))
        assert refused.exit_code == 1, place
        assert "Traceback" not in refused.notes
    assert not [*command.home.glob("*.bak-*")]


async def test_a_file_with_a_token_is_closed_to_others_and_a_way_back_leaves_none(
    command: RealCommand,
) -> None:
    file = command.home / "client.json"
    file.write_text("{}", encoding="utf-8")
    file.chmod(0o644)
    write = ("connect", "vscode", "conversations", "--write", "--file", str(file))
    remote = (*write, "--url", "http://assistant.example:8000", "--token-file", "-")
    written = await command.run(*remote, stdin=TOKEN.encode())
    assert written.exit_code == 0
    assert "goes over the network for all to read" in written.notes
    assert TOKEN not in written.output + written.notes
    assert TOKEN in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    again = await command.run(*remote, stdin=TOKEN.encode())
    assert "nothing was changed" in again.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert (await command.run(*write)).exit_code == 0
    assert TOKEN not in file.read_text(encoding="utf-8")
    for copy in command.home.glob("client.json.bak-*"):
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("emacs",), "claude-desktop, claude-code, cursor, vscode, generic"),
        (("cursor", "users"), "conversations, tools"),
        (("generic", "--write"), "--file"),
        (("cursor", "--file", "x"), "--write"),
        (("cursor", "--token-file", "x"), "--url"),
        (("cursor", "--url", "assistant.example"), "should be an address"),
        (("cursor", "--url", "https://me:pw@assistant.example"), "bare address"),
        (("cursor", "--url", "https://x.example/tools/mcp"), "leave /tools/mcp out"),
        (("cursor", "--url", "https://x.example", "--token-file", "/dev/null"), "- to have"),
        (("cursor", "--url", "https://x.example", "--token-file", "pipe"), "a device or a pipe"),
        (("cursor", "--url", "https://x.example", "--token-file", TOKEN), "is a token itself"),
        (("cursor", "--url", f"https://x.example/{TOKEN}"), "holds a token"),
    ],
)
async def test_wrong_usage_is_refused_with_what_would_be_right(
    command: RealCommand, arguments: tuple[str, ...], reason: str
) -> None:
    os.mkfifo(command.home / "pipe")
    refused = await command.run("connect", *arguments)
    assert refused.exit_code == 2
    assert refused.output == ""
    assert reason in refused.notes
    assert TOKEN not in refused.notes


async def test_a_file_that_lies_around_is_not_made_lasting_before_it_is_trusted(
    command: RealCommand,
) -> None:
    text = "servers: {other: {command: touch, args: [x]}}\n"
    (command.home / "mcp.yml").write_text(text, encoding="utf-8")
    refused = await command.run("connect", "cursor", "--write")
    assert refused.exit_code == 2
    assert "agentic trust" in refused.notes
    assert not (command.home / ".cursor").exists()
