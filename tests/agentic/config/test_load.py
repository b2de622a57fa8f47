"""Finding the file, defaults, our servers, paths, sections."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentic.config.load import load_config
from tests.agentic.config.conftest import Place

SEED_EXAMPLE = """
# mcp.yml example
tools:
  web_search:
    url: "https://mcp-search-service.example.com/search"
    description: "Search the web for information"
    timeout: 10
    parameters:
      query:
        type: "string"
        description: "The search query"
      limit:
        type: "integer"
        description: "Maximum number of results"
        default: 5

  email_sender:
    url: "https://mcp-email-service.example.com/send"
    description: "Send an email to a recipient"
    requires_auth: true
    timeout: 15
    parameters:
      to:
        type: "string"
        description: "Recipient's email address"
      subject:
        type: "string"
        description: "Email subject"
      body:
        type: "string"
        description: "Email body content"
"""

FULL_EXAMPLE = """
owner: ada
servers:
  conversations:
    {command: agentic, args: [serve, conversations], offer_to_model: [search_conversations]}
  tools:         {command: agentic, args: [serve, tools]}
  github:
    url: https://mcp.example.com/mcp
    headers: {Authorization: "Bearer ${GITHUB_TOKEN}"}
    tools: {allow: ["list_*"]}
tools:
  web_search:
    url: https://search.example.com
    description: Search
    timeout: 10
    parameters: {query: {type: string}, limit: {type: integer, default: 5}}
models:
  default: smart
  smart: {provider: anthropic, model: claude-x, price: {input: 3.0, output: 15.0}}
conversations: {store: file, directory: data}
bot: {people: {42: ada}}
limits: {max_steps: 3}
agents: {brief: {instructions: Be brief., model: smart}}
"""


def test_without_a_file_our_servers_and_defaults_hold(place: Place) -> None:
    config = place.load()
    data = place.home / ".local/share/agentic"
    assert (config.path, config.found_by_itself, config.warnings) == (None, False, [])
    assert config.owner == "owner"
    assert {name: server.args for name, server in config.servers.items()} == {
        "conversations": ["serve", "conversations"],
        "tools": ["serve", "tools"],
    }
    assert config.data_directory == data
    assert config.conversations.directory == data / "conversations"
    assert config.access.tokens_file is None
    assert config.config_directory == place.home / ".config/agentic"


def test_the_seed_example_loads_unchanged_and_means_our_servers(place: Place) -> None:
    config = place.load(SEED_EXAMPLE)
    assert config.warnings == []
    assert config.risks == ()
    assert set(config.servers) == {"conversations", "tools"}
    search, email = config.tools["web_search"], config.tools["email_sender"]
    assert search.url == "https://mcp-search-service.example.com/search"
    assert search.timeout_seconds == 10
    assert search.parameters["limit"].default == 5
    assert email.requires_auth
    assert list(email.parameters) == ["to", "subject", "body"]


def test_a_full_file_loads_with_what_it_says(place: Place) -> None:
    config = place.load(FULL_EXAMPLE, {"GITHUB_TOKEN": "t0ken"})
    assert config.warnings == []
    assert config.owner == "ada"
    assert config.servers["conversations"].offer_to_model == ["search_conversations"]
    github = config.servers["github"]
    assert github.headers["Authorization"].get_secret_value() == "Bearer t0ken"
    assert github.tools.allow == ["list_*"]
    assert config.models.default == "smart"
    price = config.models.by_name["smart"].price
    assert price is not None
    assert (price.input, price.output) == (3, 15)
    assert config.conversations.directory == place.cwd / "data"
    assert config.bot.people == {"42": "ada"}
    assert config.limits.max_steps == 3
    assert config.agents["brief"].model == "smart"


def test_the_named_file_wins_over_the_one_here_and_that_over_the_one_at_home(place: Place) -> None:
    at_home = place.home / ".config/agentic/mcp.yml"
    at_home.parent.mkdir(parents=True)
    at_home.write_text("owner: home")
    assert (place.load().owner, place.load().found_by_itself) == ("home", False)
    here = place.load("owner: here")
    assert (here.owner, here.found_by_itself, here.path) == ("here", True, place.file)
    named = place.cwd / "named.yml"
    named.write_text("owner: named")
    config = place.load(environ={"MCP_CONFIG_PATH": "named.yml"})
    assert (config.owner, config.found_by_itself, config.path) == ("named", False, named)


def test_a_file_in_the_home_of_configurations_is_not_found_by_itself(place: Place) -> None:
    own = place.home / ".config/agentic"
    own.mkdir(parents=True)
    (own / "mcp.yml").write_text("owner: ada")
    config = load_config({"HOME": str(place.home)}, cwd=own)
    assert not config.found_by_itself


def test_the_path_of_the_file_may_start_at_home(place: Place) -> None:
    (place.home / "mine.yml").write_text("owner: ada")
    assert place.load(environ={"MCP_CONFIG_PATH": "~/mine.yml"}).owner == "ada"


def test_an_empty_path_variable_counts_as_unset(place: Place) -> None:
    assert place.load("owner: ada", {"MCP_CONFIG_PATH": ""}).owner == "ada"


@pytest.mark.parametrize("named", ["gone.yml", "~bob/mcp.yml", "x\0y", "x" * 5000])
def test_a_named_file_that_is_not_there_is_an_error(place: Place, named: str) -> None:
    text = place.fail("owner: ada", {"MCP_CONFIG_PATH": named})
    assert text.startswith("MCP_CONFIG_PATH: ")
    assert "correct it" in text


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "---\n", "null\n", "servers:\ntools:\n"])
def test_a_file_that_says_nothing_means_defaults(place: Place, text: str) -> None:
    config = place.load(text)
    assert set(config.servers) == {"conversations", "tools"}
    assert config.warnings == []


def test_our_servers_stay_beside_foreign_ones_unless_switched_off(place: Place) -> None:
    config = place.load("""
servers:
  files: {command: npx, args: [-y, files]}
  tools: {enabled: false}
  conversations: {timeout: 5}
""")
    assert config.servers["conversations"].args == ["serve", "conversations"]
    assert config.servers["conversations"].timeout_seconds == 5
    assert not config.servers["tools"].enabled
    assert config.servers["files"].offer_to_model is True


def test_of_the_tools_of_conversations_those_for_models_are_offered_unasked(place: Place) -> None:
    elsewhere = place.load("servers: {conversations: {url: 'http://127.0.0.1:1/mcp'}}")
    assert elsewhere.servers["conversations"].offer_to_model == [
        "search_conversations",
        "read_attachment",
    ]
    wanted = place.load("servers: {conversations: {offer_to_model: true}}")
    assert wanted.servers["conversations"].offer_to_model is True


def test_the_first_model_answers_unless_another_is_the_default(place: Place) -> None:
    models = "models: {b: {provider: openai}, a: {provider: anthropic}%s}"
    assert place.load(models % "").models.default == "b"
    assert place.load(models % ", default: a").models.default == "a"


def test_relative_paths_start_at_the_file_and_those_of_the_environment_here(place: Place) -> None:
    folder = place.home / "settings"
    folder.mkdir()
    file = folder / "mcp.yml"
    file.write_text("""
conversations: {directory: ./data}
access: {tokens_file: ~/tokens.json}
servers: {x: {command: ./run.sh, cwd: sub}, y: {command: npx}}
models: {m: {provider: scripted, script: replies.yml}}
""")
    config = place.load(
        environ={"MCP_CONFIG_PATH": str(file), "AGENTIC_MODELS__M__SCRIPT": "other.yml"}
    )
    assert config.conversations.directory == folder / "data"
    assert config.access.tokens_file == place.home / "tokens.json"
    assert config.servers["x"].command == str(folder / "run.sh")
    assert config.servers["x"].cwd == folder / "sub"
    assert config.servers["y"].command == "npx"
    assert config.models.by_name["m"].script == place.cwd / "other.yml"


def test_the_data_directory_moves_what_lies_in_it(place: Place) -> None:
    config = place.load("data_directory: /srv/agentic")
    assert config.conversations.directory == Path("/srv/agentic/conversations")


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_usable_home_the_system_is_asked(place: Place, home: str | None) -> None:
    environ = {} if home is None else {"HOME": home}
    config = load_config(environ, cwd=place.cwd)
    assert config.data_directory.is_absolute()
    assert place.cwd not in config.data_directory.parents


def test_a_program_is_not_bothered_by_sections_it_does_not_use(place: Place) -> None:
    text = """
owner: ada
conversations: {directory: data}
models: {m: {provider: nonsense, base_url: "${UNSET}"}}
tools: {x: {timeout: soon}}
"""
    environ = {"AGENTIC_TOOLS__X__TIMEOUT": "never", "AGENTIC_BOT__PEOPLE": "{"}
    config = place.load(text, environ, frozenset({"owner", "conversations"}))
    assert (config.owner, config.conversations.directory) == ("ada", place.cwd / "data")
    assert (config.tools, config.models.by_name, config.warnings) == ({}, {}, [])
    assert "models.m.provider" in place.fail(text)


@pytest.mark.parametrize("sections", [None, frozenset({"owner", "tools"})])
def test_a_section_that_nobody_knows_is_told_by_every_program(
    place: Place, sections: frozenset[str] | None
) -> None:
    text = 'toools: {x: {url: "${UNSET}"}}'
    config = place.load(text, {}, sections)
    (warning,) = config.warnings
    assert "toools: is not known and has no effect; did you mean tools?" in warning


def test_the_environment_is_kept_and_never_shown(place: Place) -> None:
    config = place.load(environ={"SECRET": "hunter2"})
    assert config.environment["SECRET"] == "hunter2"
    assert "hunter2" not in repr(config)
    assert "hunter2" not in config.model_dump_json()


def test_the_variables_of_each_section_are_known(place: Place) -> None:
    config = place.load(
        "tools: {x: {url: 'http://h/${A:-a}', token: '${B}', description: '$${C}'}}\nowner: ${D:-d}"
    )
    assert config.section_variables["tools"] == {"A", "B"}
    assert config.section_variables["owner"] == {"D"}


def test_loading_imports_neither_the_protocol_nor_an_event_loop(place: Place) -> None:
    place.file.write_text("owner: ada")
    program = (
        "import sys; from agentic.config.load import load_config; load_config({'HOME': '/'});"
        "print([m for m in ('mcp', 'anyio', 'asyncio', 'servers', 'client') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=place.cwd,
        env={"PYTHONPATH": root, "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "[]\n"
