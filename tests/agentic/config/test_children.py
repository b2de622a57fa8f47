"""Our servers as children, and foreign ones."""

import subprocess
import sys

import pytest

from agentic.config.children import (
    SECTIONS_OF_SERVERS,
    create_command,
    create_environment,
    is_ours,
    runs_our_command,
)
from agentic.config.load import load_config
from agentic.config.models import ServerConfig
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
    server = ServerConfig(command=command, args=args)
    assert runs_our_command(server) is ours
    assert is_ours("x", server) is ours
    expected = (sys.executable, "-P", "-m", "agentic", *args) if ours else (command, *args)
    assert create_command(server) == expected


def test_an_address_is_ours_under_our_name_or_when_it_says_so() -> None:
    server = ServerConfig(url="http://h/mcp")
    assert is_ours("conversations", server)
    assert not is_ours("github", server)
    assert is_ours("mine", ServerConfig(url="http://h/mcp", ours=True))
    assert not is_ours(
        "tools", ServerConfig(command="agentic", args=["serve", "tools"], ours=False)
    )
    assert create_command(server) == ()


def test_a_folder_named_agentic_in_the_current_folder_is_not_started(place: Place) -> None:
    (place.cwd / "agentic").mkdir()
    (place.cwd / "agentic/__init__.py").write_text("print('hijacked')")
    (place.cwd / "agentic/__main__.py").write_text("print('hijacked')")
    server = place.load().servers["tools"]
    executable, safe, *_ = create_command(server)
    program = [executable, safe, "-c", "import importlib.util as u; print(u.find_spec('agentic'))"]
    done = subprocess.run(
        program, cwd=place.cwd, capture_output=True, text=True, timeout=30, check=True
    )
    assert str(place.cwd) not in done.stdout


def test_our_child_gets_its_file_and_its_variables_and_can_load_with_them(place: Place) -> None:
    text = """
owner: ${ME}
tools: {x: {url: "${HOST}/x", token: "${TOKEN}"}}
models: {m: {provider: openai, api_key: "${MODEL_KEY}"}}
servers: {tools: {env: {EXTRA: "${E}"}}}
"""
    secrets = {"ME": "ada", "HOST": "http://h", "TOKEN": "t", "MODEL_KEY": "k", "E": "e"}
    config = place.load(text, {**secrets, "AGENTIC_LIMITS__MAX_STEPS": "5", "OTHER": "o"})
    given = create_environment(config, config.servers["tools"])
    assert given == {
        "MCP_CONFIG_PATH": str(place.file),
        "AGENTIC_LIMITS__MAX_STEPS": "5",
        "ME": "ada",
        "HOST": "http://h",
        "TOKEN": "t",
        "EXTRA": "e",
    }
    sections = SECTIONS_OF_SERVERS["tools"]
    child = load_config({"HOME": str(place.home), **given}, cwd=place.home, sections=sections)
    assert child.owner == "ada"
    assert child.tools == config.tools
    assert child.conversations == config.conversations


def test_our_child_without_a_file_gets_no_path(place: Place) -> None:
    config = place.load(environ={"AGENTIC_OWNER": "ada"})
    assert create_environment(config, config.servers["conversations"]) == {"AGENTIC_OWNER": "ada"}


def test_a_foreign_child_gets_only_what_its_entry_names(place: Place) -> None:
    config = place.load(
        "servers: {x: {command: c, env: {KEY: '${K}', MODE: fast, N: 5, GONE: '${GONE}'}}}",
        {"K": "k", "AGENTIC_OWNER": "ada", "OTHER": "o"},
    )
    given = create_environment(config, config.servers["x"])
    assert given == {"KEY": "k", "MODE": "fast", "N": "5"}
