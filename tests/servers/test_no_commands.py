"""No command can be added or changed over the network, by whoever may do most."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import ValidationError

from tests.servers.http_serving import ALL_SCOPES, Asker, Serving, serving
from tests.servers.minimal_arguments import make_arguments

pytestmark = pytest.mark.slow  # starts servers

TELLING = {"command", "args", "env", "cwd", "config", "server", "servers", "headers", "url", "path"}
"""Arguments by which a server or its configuration would be named."""
METHODS = ("POST", "PUT", "PATCH", "DELETE")
PATHS = ("/", "/mcp.yml", "/config", "/servers", "/metrics", "/readyz", "/tools/mcp/../mcp.yml")


def plant(marker: Path) -> str:
    return f"servers: {{planted: {{command: touch, args: ['{marker}']}}}}\n"


def content_of(home: Path) -> dict[str, bytes]:
    """All files but those that hold what people store."""
    return {
        str(file): file.read_bytes()
        for file in home.rglob("*")
        if file.is_file()
        and file.relative_to(home).parts[0] != "conversations"
        and ".sqlite3" not in file.name
    }


def name_all(tool: dict[str, Any], text: str) -> dict[str, Any]:
    """Arguments that the tool takes, with `text` wherever a text may stand."""
    properties: dict[str, dict[str, Any]] = tool["inputSchema"].get("properties", {})
    texts = {name: text for name, each in properties.items() if each.get("type") == "string"}
    free = {name: text for name in texts if "enum" not in properties[name]}
    try:
        return {**make_arguments(tool["inputSchema"], free), **free}
    except (AssertionError, ValidationError):  # it takes no such text: it is sent all the same
        return free


async def ask_for_everything(served: Serving, asker: Asker, text: str) -> int:
    """Call each tool, and what no server has; returns how many tools there are."""
    tools = (await asker.ask("tools/list")).result["tools"]
    for tool in tools:
        assert not TELLING & tool["inputSchema"].get("properties", {}).keys(), tool["name"]
        for planted in (text, "../../mcp.yml", "/mcp.yml"):
            await asker.call(tool["name"], name_all(tool, planted), owner="ada")
    for method in ("config/set", "servers/add", "tools/add", "resources/write", "roots/list"):
        params = {"uri": f"file://{served.home}/mcp.yml", "name": "planted", "command": "touch"}
        answer = await asker.ask(method, {**params, "value": text}, owner="ada")
        assert "result" not in answer.message
    for uri in (f"file://{served.home}/mcp.yml", "conversation://..%2F..%2Fmcp.yml", "config://"):
        answer = await asker.ask("resources/read", {"uri": uri}, owner="ada")
        assert "data_directory" not in answer.text
    return len(tools)


async def test_nothing_that_is_sent_adds_or_changes_a_command(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    text = plant(marker)
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        token = served.create_token("all", "operator", ALL_SCOPES)
        before = content_of(tmp_path)
        assert str(tmp_path / "mcp.yml") in before
        listed: dict[str, int] = {}
        for name, url in served.urls.items():
            listed[name] = await ask_for_everything(served, Asker(http, url, "modern", token), text)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/yaml"}
        headers |= {"AGENTIC_SERVERS__PLANTED__COMMAND": "touch", "MCP_CONFIG_PATH": str(marker)}
        for method in METHODS:
            for path in (*PATHS, "/conversations/mcp", "/tools/mcp"):
                url = f"{served.origin}{path}?config={marker}"
                await http.request(method, url, content=text, headers=headers)
        for name, url in served.urls.items():
            tools = (await Asker(http, url, "modern", token).ask("tools/list")).result["tools"]
            assert len(tools) == listed[name] > 0
        assert content_of(tmp_path) == before
    assert not marker.exists()
