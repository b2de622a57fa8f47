"""What counts as a server of our own."""

import pytest

from agentic.config.children import SECTIONS_OF_SERVERS, runs_our_command
from agentic.config.models import Config, ServerConfig
from tests.agentic.config.conftest import Place


@pytest.mark.parametrize(
    ("command", "args", "ours"),
    [
        ("agentic", ["serve", "conversations"], True),
        ("agentic", ["serve", "tools"], True),
        ("agentic", ["serve", "nonsense"], False),
        ("agentic", ["serve", "tools", "--no-auth"], False),
        ("agentic", ["bot"], False),
        ("agentic", [], False),
        ("./agentic", ["serve", "tools"], False),
        ("/usr/bin/agentic", ["serve", "tools"], False),
    ],
)
def test_only_our_very_command_is_ours(command: str, args: list[str], ours: bool) -> None:
    assert runs_our_command(ServerConfig(command=command, args=args)) is ours


def test_a_server_reached_by_url_runs_no_command_of_ours() -> None:
    assert not runs_our_command(ServerConfig(url="http://127.0.0.1:1/tools/mcp"))


def test_the_servers_that_are_there_by_default_are_ours(place: Place) -> None:
    servers = place.load().servers
    assert set(servers) == set(SECTIONS_OF_SERVERS)
    assert all(runs_our_command(server) for server in servers.values())


def test_the_sections_of_our_servers_exist() -> None:
    assert frozenset[str]().union(*SECTIONS_OF_SERVERS.values()) <= set(Config.model_fields)


def test_a_server_with_only_its_own_variables_can_load_its_sections(place: Place) -> None:
    text = """
owner: ${ME}
tools: {x: {url: "${HOST}/x", token: "${TOKEN}"}}
models: {m: {provider: openai, base_url: "${MODEL_URL}"}}
"""
    own = {"ME": "ada", "HOST": "http://h", "TOKEN": "t"}
    whole = place.load(text, {**own, "MODEL_URL": "http://m"})
    sections = SECTIONS_OF_SERVERS["tools"]
    named = frozenset[str]().union(*(whole.section_variables.get(each, ()) for each in sections))
    assert named == set(own)
    child = place.load(environ=own, sections=sections)
    assert (child.owner, child.tools) == ("ada", whole.tools)
