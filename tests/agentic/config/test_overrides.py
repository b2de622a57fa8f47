"""`AGENTIC_…` variables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, cast, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from agentic.config.models import Config, ModelsConfig
from agentic.config.shape import ROOT, Shape
from tests.agentic.config.conftest import Place

BASE = """
servers: {s: {command: c}}
tools: {t: {url: "http://h"}}
models: {m: {provider: openai, price: {input: 1, output: 2}}}
agents: {a: {}}
"""
NAMES = {"servers": "s", "tools": "t", "models": "m", "agents": "a"}
AUTH = {
    "bearer": "b",
    "basic": "{user: u, password: p}",
    "header": "{name: n, value: v}",
    "query": "{name: n, value: v}",
    "oauth": "{token_url: 'https://h/token', client_id: c, client_secret: s}",
}
IMPOSSIBLE_BESIDE_BASE = {("servers", "s", "url")}


def scalar_paths(
    shape: Shape, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Every place of a plain value that has a name of its own, down the models."""
    keys = [*shape.names, *([NAMES[path[0]]] if shape.others and len(path) == 1 else [])]
    for key in keys:
        child = shape.child(key)
        assert child is not None
        if child.is_plain:
            yield (*path, key), child
        else:
            yield from scalar_paths(child, (*path, key))


def sample(path: tuple[str, ...], shape: Shape) -> str:
    if path == ("models", "default") or (path[-1:] == ("model",) and path[0] == "agents"):
        return "m"
    if path[-1].endswith("url"):
        return "http://127.0.0.1:9/x"
    if path[-1] in ("rate", "rate_limit"):
        return "7/minute"
    if path == ("bot", "listen"):
        return "127.0.0.1:7"
    if path[-1] == "secret":
        return "sixteen-letters-"
    if get_origin(shape.kind) is Literal:
        return str(get_args(shape.kind)[-1])
    samples: Mapping[object, str] = {
        bool: "true", int: "7", float: "7.5", Path: "/somewhere", str: "word", SecretStr: "word",
    }  # fmt: skip
    return samples[shape.kind]


def base_for(path: tuple[str, ...]) -> str:
    """BASE, and beside the value what it can't be without."""
    match path:
        case ("bot", "webhook", _):
            webhook = "{url: 'http://h/x', secret: other-letters-of-16}"
            return f"{BASE}bot: {{listen: '127.0.0.1:1', webhook: {webhook}}}\n"
        case ("tools", "t", "auth", way, *_):
            beside = f", auth: {{{way}: {AUTH[way]}}}"
        case ("tools", "t", "cache_seconds" | "cache_shared"):
            beside = ", read_only: true, cache_seconds: 1"
        case ("tools", "t", "body_parameter"):
            beside = ", body: json, parameters: {word: string}"
        case _:
            beside = ""
    return BASE.replace('"http://h"', f'"http://h"{beside}')


def value_at(config: Config, path: tuple[str, ...]) -> object:
    value: object = config
    for part in path:
        if isinstance(value, ModelsConfig):
            value = value.default if part == "default" else value.by_name[part]
        elif isinstance(value, BaseModel):
            fields = type(value).model_fields.items()
            value = getattr(
                value, next(name for name, info in fields if part in (info.alias, name))
            )
        else:
            value = cast("Mapping[str, object]", value)[part]
    return value


PATHS = [(path, shape) for path, shape in scalar_paths(ROOT) if path not in IMPOSSIBLE_BESIDE_BASE]


@pytest.mark.parametrize(("path", "shape"), PATHS, ids=[".".join(path) for path, _ in PATHS])
def test_every_plain_value_can_be_set_by_the_environment(
    place: Place, path: tuple[str, ...], shape: Shape
) -> None:
    text = sample(path, shape)
    config = place.load(base_for(path), {f"AGENTIC_{'__'.join(path).upper()}": text})
    value = value_at(config, path)
    found = value.get_secret_value() if isinstance(value, SecretStr) else value
    typed: Mapping[object, object] = {bool: True, int: 7, float: 7.5, Path: Path("/somewhere")}
    assert found == typed.get(shape.kind, text)
    assert config.warnings == []


def test_there_are_many_such_values() -> None:
    assert len(PATHS) > 40


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("AGENTIC_BOT__PEOPLE",
         "{43: bob, 44: eve}", ("bot", "people"), {"43": "bob", "44": "eve"}),
        ("AGENTIC_BOT__PEOPLE", '{"43": "bob"}', ("bot", "people"), {"43": "bob"}),
        ("AGENTIC_BOT__PEOPLE__43", "bob", ("bot", "people"), {"42": "ada", "43": "bob"}),
        ("AGENTIC_SERVERS__S_1__ARGS",
         "[a, 5, 'b c']", ("servers", "s-1", "args"), ["a", "5", "b c"]),
        ("AGENTIC_SERVERS__S_1__OFFER_TO_MODEL",
         "false", ("servers", "s-1", "offer_to_model"), False),
        ("AGENTIC_SERVERS__S_1__OFFER_TO_MODEL",
         "[a]", ("servers", "s-1", "offer_to_model"), ["a"]),
        ("AGENTIC_SERVERS__S_1__TOOLS__DENY",
         "['x*']", ("servers", "s-1", "tools", "deny"), ["x*"]),
        ("AGENTIC_servers__S-1__Cwd", "/x", ("servers", "s-1", "cwd"), Path("/x")),
        ("AGENTIC_TOOLS__A__B__TIMEOUT", "5", ("tools", "a__b", "timeout"), 5.0),
        ("AGENTIC_TOOLS__A__B__PARAMETERS__N__DEFAULT",
         "5", ("tools", "a__b", "parameters", "n", "default"), 5),
        ("AGENTIC_MODELS__BIG_ONE__MODEL", "x", ("models", "Big.One", "model"), "x"),
        ("AGENTIC_MODELS__NEW", "{provider: ollama}", ("models", "new", "provider"), "ollama"),
        ("AGENTIC_OWNER", "{a: b}", ("owner",), "{a: b}"),
        ("AGENTIC_OWNER", "${HOME}", ("owner",), "${HOME}"),
        ("AGENTIC_OWNER", "no", ("owner",), "no"),
        ("AGENTIC_OWNER", "", ("owner",), "ada"),
        ("AGENTIC_LIMITS", "{max_steps: 3}", ("limits", "max_steps"), 3),
    ],
)  # fmt: skip
def test_the_environment_wins_over_the_file(
    place: Place, name: str, text: str, path: tuple[str, ...], value: object
) -> None:
    config = place.load(
        """
owner: ada
bot: {people: {42: ada}}
servers: {s-1: {command: c, cwd: /y}}
tools: {a__b: {url: "http://h", parameters: {n: {type: integer, default: 1}}}}
models: {Big.One: {provider: openai}}
limits: {max_steps: 5}
""",
        {name: text},
    )
    assert value_at(config, path) == value
    assert config.warnings == []


def test_names_of_variables_for_a_server_keep_their_case(place: Place) -> None:
    config = place.load(BASE, {"AGENTIC_SERVERS__S__ENV__API_KEY": "k"})
    assert config.servers["s"].env["API_KEY"].get_secret_value() == "k"


def test_a_url_replaces_the_command_of_the_file_and_of_the_defaults(place: Place) -> None:
    text = """
servers: {tools: {command: agentic, args: [serve, tools], env: {A: b}, cwd: /x, timeout: 5}}
"""
    config = place.load(
        text,
        {
            "AGENTIC_SERVERS__TOOLS__URL": "http://tools:8000/tools/mcp",
            "AGENTIC_SERVERS__CONVERSATIONS__URL": "http://127.0.0.1:1/mcp",
        },
    )
    tools, conversations = config.servers["tools"], config.servers["conversations"]
    assert (tools.url, tools.command, tools.args, tools.env, tools.cwd) == (
        "http://tools:8000/tools/mcp", None, [], {}, None,
    )  # fmt: skip
    assert tools.timeout_seconds == 5
    assert (conversations.url, conversations.command, conversations.args) == (
        "http://127.0.0.1:1/mcp", None, [],
    )  # fmt: skip
    assert conversations.offer_to_model == ["search_conversations", "read_attachment"]


def test_a_command_replaces_the_url_of_the_file(place: Place) -> None:
    config = place.load(
        "servers: {x: {url: 'http://h', headers: {A: b}}}",
        {"AGENTIC_SERVERS__X__COMMAND": "run", "AGENTIC_SERVERS__X__ARGS": "[a]"},
    )
    server = config.servers["x"]
    assert (server.command, server.args, server.url, server.headers) == ("run", ["a"], None, {})


def test_both_ways_from_the_environment_are_an_error(place: Place) -> None:
    told = place.fail(
        environ={"AGENTIC_SERVERS__X__COMMAND": "run", "AGENTIC_SERVERS__X__URL": "http://h"}
    )
    assert "servers.x: should have either a command (stdio) or a url (HTTP)" in told


def test_our_servers_survive_a_section_from_the_environment(place: Place) -> None:
    config = place.load(environ={"AGENTIC_SERVERS": "{x: {url: 'http://h'}}"})
    assert set(config.servers) == {"conversations", "tools", "x"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AGENTIC_OWNR", "AGENTIC_OWNER"),
        ("AGENTIC_LIMITS__MAX_STEP", "AGENTIC_LIMITS__MAX_STEPS"),
        ("AGENTIC_SERVERS__S__URI", "AGENTIC_SERVERS__S__URL"),
        ("AGENTIC_CONVERSATION__DIRECTORY", "AGENTIC_CONVERSATIONS"),
        ("AGENTIC_OWNER__NAME", None),
        ("AGENTIC_", None),
        ("AGENTIC___OWNER", None),
        ("AGENTIC_PATH", None),
        ("AGENTIC_FOUND_BY_ITSELF", None),
        ("AGENTIC_ENVIRONMENT", None),
        ("AGENTIC_TOOLS__T__MISSING_VARIABLES", None),
    ],
)
def test_a_variable_that_names_nothing_is_a_warning(
    place: Place, name: str, meant: str | None
) -> None:
    config = place.load(BASE, {name: "false"})
    [warning] = config.warnings
    assert warning.startswith(f"{name}: names nothing in mcp.yml")
    assert meant is None or warning.endswith(f"did you mean {meant}?")


def test_two_spellings_of_one_name_are_a_warning(place: Place) -> None:
    config = place.load(environ={"AGENTIC_OWNER": "ada", "AGENTIC_Owner": "bob"})
    assert config.owner == "bob"
    assert "too" in config.warnings[0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("AGENTIC_LIMITS__MAX_STEPS",
         "many", "limits.max_steps: is text, should be a whole number above 0"),
        ("AGENTIC_BOT__PEOPLE", "{42: ada", "bot.people: line 1, column"),
        ("AGENTIC_BOT__PEOPLE", "ada", "bot.people: is text, should be a mapping"),
        ("AGENTIC_SERVERS__S__ARGS", "a b", "servers.s.args: is text, should be a list"),
        ("AGENTIC_SERVERS", "5", "servers: is a number, should be a mapping"),
        ("AGENTIC_CONVERSATIONS__STORE",
         "dynamdb", 'conversations.store: is "dynamdb", should be one of file, dynamodb'),
        ("AGENTIC_OWNER", "a\udcffb", "owner: holds NUL or half a character"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_variable(place: Place, name: str, text: str, told: str) -> None:
    assert place.fail(BASE, {name: text}).startswith(f"{name}: {told}")
