"""`servers:` of `mcp.yml` as the hub's entries: what is ours, and what each child is told."""

import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from agentic.config.load import load_config
from client.hub.from_config import to_hub_servers
from client.hub.hub import open_hub
from client.hub.servers import HttpTarget, HubServer, StdioTarget

ENVIRONMENT = {
    "HOME": "/home/ada",
    "PATH": "/usr/bin",
    "TZ": "Europe/Zurich",
    "AGENTIC_OWNER": "ada",
    "SEARCH_KEY": "search-secret",
    "MODEL_KEY": "model-secret",
    "GITHUB_TOKEN": "github-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "UNRELATED": "unrelated-secret",
}


def read(
    tmp_path: Path,
    text: str,
    *,
    delegate: bool = False,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> dict[str, HubServer]:
    path = tmp_path / "mcp.yml"
    path.write_text(text)
    config = load_config({**environment, "MCP_CONFIG_PATH": str(path)}, cwd=tmp_path)
    return {server.name: server for server in to_hub_servers(config, delegate=delegate)}


def stdio_target(server: HubServer) -> StdioTarget:
    assert isinstance(server.target, StdioTarget)
    return server.target


def test_our_servers_are_started_as_this_very_program(tmp_path: Path) -> None:
    servers = read(tmp_path, "")
    assert list(servers) == ["conversations", "tools"]
    for name, server in servers.items():
        target = stdio_target(server)
        assert server.ours
        assert target.command == sys.executable
        assert list(target.args) == ["-P", "-m", "agentic", "serve", name]


def test_our_children_are_delegates_only_when_asked(tmp_path: Path) -> None:
    text = "servers: {other: {command: other, args: [serve, x]}}"
    plain = read(tmp_path, text)
    delegates = read(tmp_path, text, delegate=True)
    assert [stdio_target(server).args[-1] for server in delegates.values()] == [
        "--delegate",
        "--delegate",
        "x",
    ]
    assert all("--delegate" not in stdio_target(server).args for server in plain.values())


def test_a_child_of_ours_gets_what_its_section_names_and_no_more(tmp_path: Path) -> None:
    servers = read(
        tmp_path,
        """
tools: {search: {url: "https://example.com/${SEARCH_KEY}", description: searches}}
models: {a: {provider: openai, model: m, api_key: "${MODEL_KEY}"}}
""",
    )
    shared = {"HOME", "TZ", "AGENTIC_OWNER", "MCP_CONFIG_PATH"}
    tools = stdio_target(servers["tools"]).env
    assert set(tools) - {"HOME"} == (shared | {"SEARCH_KEY"}) - {"HOME"}
    assert tools["MCP_CONFIG_PATH"] == str(tmp_path / "mcp.yml")
    conversations = stdio_target(servers["conversations"]).env
    assert set(conversations) - {"HOME"} == shared - {"HOME"}


def test_without_a_file_a_child_looks_in_the_same_places(tmp_path: Path) -> None:
    config = load_config({**ENVIRONMENT, "HOME": str(tmp_path)}, cwd=tmp_path)
    for server in to_hub_servers(config, delegate=False):
        target = stdio_target(server)
        assert "MCP_CONFIG_PATH" not in target.env
        assert target.cwd is None


def test_credentials_of_aws_go_to_the_conversations_on_dynamodb_alone(tmp_path: Path) -> None:
    servers = read(tmp_path, "conversations: {store: dynamodb, table: talks, region: eu-central-1}")
    assert "AWS_SECRET_ACCESS_KEY" in stdio_target(servers["conversations"]).env
    assert "AWS_SECRET_ACCESS_KEY" not in stdio_target(servers["tools"]).env


@pytest.mark.parametrize(
    ("entry", "ours"),
    [
        ("{command: agentic, args: [serve, tools]}", True),
        ("{command: agentic, args: [serve, tools], ours: false}", False),
        ("{command: agentic, args: [chat]}", False),
        ("{command: /elsewhere/agentic, args: [serve, tools]}", False),
        ("{command: /elsewhere/agentic, args: [serve, tools], ours: true}", True),
        ("{url: 'https://example.com/mcp'}", False),
        ("{url: 'https://example.com/mcp', ours: true}", True),
    ],
)
def test_what_is_ours(tmp_path: Path, entry: str, *, ours: bool) -> None:
    server = read(tmp_path, f"servers: {{it: {entry}}}")["it"]
    assert server.ours is ours
    if not ours and isinstance(server.target, StdioTarget):
        assert dict(server.target.env) == {}


def test_a_url_under_one_of_our_names_is_ours(tmp_path: Path) -> None:
    servers = read(tmp_path, "servers: {conversations: {url: 'https://example.com/mcp'}}")
    assert servers["conversations"].ours
    assert isinstance(servers["conversations"].target, HttpTarget)


def test_an_entry_is_taken_over_whole_and_shows_no_secret(tmp_path: Path) -> None:
    servers = read(
        tmp_path,
        """
servers:
  github:
    url: https://example.com/mcp
    headers: {Authorization: "Bearer ${GITHUB_TOKEN}"}
    tools: {allow: ["list_*"], deny: [list_secrets]}
    offer_to_model: [list_issues]
    timeout: 7
  files: {command: files-server, args: [--all], env: {KEY: "${GITHUB_TOKEN}"}, cwd: data}
  off: {command: x, enabled: false}
""",
    )
    github, files = servers["github"], servers["files"]
    assert github.target == HttpTarget(
        "https://example.com/mcp", {"Authorization": "Bearer github-secret"}
    )
    assert (list(github.allow), list(github.deny)) == (["list_*"], ["list_secrets"])
    assert (github.offer_to_model, github.timeout_seconds) == (["list_issues"], 7)
    assert files.target == StdioTarget(
        "files-server", ["--all"], {"KEY": "github-secret"}, tmp_path / "data"
    )
    assert "off" not in servers
    assert "secret" not in repr(servers).replace("list_secrets", "")


async def test_a_foreign_child_sees_only_what_its_entry_names(tmp_path: Path) -> None:
    servers = read(
        tmp_path,
        f"""
servers:
  it: {{command: {sys.executable}, args: [-m, tests.fakes.mcp_servers.friendly], env: {{X: y}}}}
""",
    )
    with anyio.fail_after(15):
        async with open_hub([servers["it"]]) as hub:
            about = (await hub.call_tool("it", "about", {}, owner="ada")).structured_content
    safe = {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}
    assert set(about["environment"]) - safe == {"X"}
    assert "agentic/owner" not in about["meta"]
