"""Wrong files: one error that names everything, and warnings for what can be lived with."""

import os
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agentic.config.findings import ConfigError
from agentic.config.load import load_config
from agentic.config.models import Config, ServerConfig
from tests.agentic.config.conftest import Place


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        ("tools: {x: {url: 'http://h', timeout: soon}}",
         "tools.x.timeout", "is text, should be a number above 0 and at most 600"),
        ("tools: {x: {url: 'http://h', timeout: -1}}",
         "tools.x.timeout", "is out of range, should be a number above 0"),
        ("tools: {x: {url: 'http://h', timeout: 1e9}}",
         "tools.x.timeout", "is out of range, should be a number above 0"),
        ("tools: {x: {url: 'http://h', timeout: true}}",
         "tools.x.timeout", "is true or false, should be a number"),
        ("tools: {x: {url: 'http://h', timeout: .nan}}", "tools.x.timeout", "should be a number"),
        ("tools: {x: {url: 'http://h', timeout: 1e99}}", "tools.x.timeout", "out of range"),
        ("tools: {x: {description: no url}}", "tools.x.url", "is missing, should be text"),
        ("tools: {x: {url: }}", "tools.x.url", "is missing, should be text"),
        ("tools: {x: }", "tools.x", "is empty, should be a mapping"),
        ("tools: [a]", "tools", "is a list, should be a mapping"),
        ("tools: {x: {url: 'http://h', requires_auth: maybe}}",
         "tools.x.requires_auth", "is text, should be true or false"),
        ("tools: {x: {url: 'http://h', headers: {A: [b]}}}",
         "tools.x.headers.A", "is a list, should be text"),
        ("tools: {x: {url: 'http://h', headers: {A: }}}",
         "tools.x.headers.A", "is empty, should be text"),
        ("servers: {x: {}}", "servers.x", "either a command (stdio) or a url"),
        ("servers: {x: {command: a, url: 'http://h'}}",
         "servers.x", "either a command (stdio) or a url"),
        ("servers: {x: {url: 'ftp://h'}}", "servers.x.url", "http or https address"),
        ("servers: {x: {url: h.example.com/mcp}}", "servers.x.url", "http or https address"),
        ("servers: {x: {url: 'http://a b'}}", "servers.x.url", "http or https address"),
        ("servers: {x: {url: 'http://h:99999'}}", "servers.x.url", "http or https address"),
        ("servers: {x: {url: 'http://h', headers: {'A B': c}}}",
         "servers.x.headers", "name that can't be a header's"),
        ('servers: {x: {url: "http://h", headers: {A: "b\\r\\nC: d"}}}',
         "servers.x.headers", "on one line"),
        ("servers: {a__b: {command: c}}", "servers.a__b", "a server's name has 1 to 32"),
        ("servers: {a.b: {command: c}}", "servers.a.b", "a server's name has 1 to 32"),
        ("servers: {%s: {command: c}}" % ("x" * 33),
         f"servers.{'x' * 33}", "a server's name has 1 to 32"),
        ("servers: {x: {command: c, args: a b}}", "servers.x.args", "is text, should be a list"),
        ("servers: {x: {command: c, args: [{a: b}]}}", "servers.x.args[0]", "is a mapping"),
        ("servers: {x: {command: c, env: {A=B: c}}}",
         "servers.x.env.A=B", "no name of an environment variable"),
        ("servers: {x: {command: c, env: {A: true}}}",
         "servers.x.env.A", "is true or false, should be text (put it in quotes)"),
        ("servers: {x: {command: c, offer_to_model: 7.5}}",
         "servers.x.offer_to_model", "should be true or false or a list"),
        ("servers: {x: {command: c, timeout: 0}}", "servers.x.timeout", "out of range"),
        ("servers: {x: {command: c, timeout: 1e9}}", "servers.x.timeout", "at most 86,400"),
        ("servers: {x: {command: c, cwd: ~bob}}", "servers.x.cwd", "write the path in full"),
        ("servers: 5", "servers", "is a number, should be a mapping"),
        ("models: {default: smart}", "models.default", "names no model; define one"),
        ("models: {default: smrt, smart: {provider: openai}}",
         "models.default", "did you mean smart?"),
        ("models: {smart: {provider: gemini}}",
         "models.smart.provider", "should be one of anthropic, openai, ollama, bedrock"),
        ("models: {smart: {}}", "models.smart.provider", "is missing, should be one of anthropic"),
        ("models: {smart: {provider: openai, price: {input: 3}}}",
         "models.smart.price.output", "is missing, should be a number at least 0"),
        ("models: {smart: {provider: openai, base_url: localhost}}",
         "models.smart.base_url", "http or https address"),
        ("models: {smart: {provider: openai, api_key: 'a b'}}",
         "models.smart.api_key", "without spaces"),
        ("models: {smart: {provider: openai, temperature: hot}}",
         "models.smart.temperature", "is text, should be a number"),
        ("models: {smart: {provider: openai, temperature: nan}}",
         "models.smart.temperature", "is text, should be a number"),
        ("agents: {a: {model: smart}}", "agents.a.model", "names no model"),
        ("agents: {'': {}}", "agents.", "a name has one character or more"),
        ("models: {'': {provider: local}}", "models.", "a name has one character or more"),
        ('models: {"a\\e": {provider: local}}',
         "models.a\\x1b", "all of which can be printed"),
        ("conversations: {store: disk}",
         "conversations.store", "is text, should be one of file, dynamodb"),
        ("conversations: {store: a-key-of-some-length}",
         "conversations.store", "is text, should be one of file, dynamodb"),
        ("conversations: {directory: ''}", "conversations.directory", "is empty, should be a path"),
        ("conversations: {directory: 5}",
         "conversations.directory", "is a number, should be a path"),
        ('conversations: {directory: "a\\0b"}', "conversations.directory", "NUL"),
        ("bot: {people: {ada: ada}}", "bot.people.ada", "a Telegram user id is a number"),
        ("bot: {people: {042: ada}}", "bot.people.042", "a Telegram user id is a number"),
        ("bot: {people: {42: ''}}", "bot.people.42", "1 to 256 bytes"),
        ("bot: {people: {42: }}", "bot.people.42", "is empty, should be text"),
        ("bot: {rate: 5}", "bot.rate", "messages per second, minute or hour, such as"),
        ("bot: {rate: 5/day}", "bot.rate", "messages per second, minute or hour, such as"),
        ("bot: {people: [42]}", "bot.people", "is a list, should be a mapping"),
        ('bot: {people: {42: "a\\nb"}}', "bot.people.42", "control character"),
        ("bot: {poll_timeout_seconds: 51}",
         "bot.poll_timeout_seconds", "at least 0 and at most 50"),
        ("owner: true", "owner", "is true or false, should be text (put it in quotes)"),
        ("owner: ''", "owner", "1 to 256 bytes"),
        (f"owner: {'ä' * 129}", "owner", "1 to 256 bytes"),
        ("owner: [ada]", "owner", "is a list, should be text"),
        ("limits: {max_steps: 2.5}",
         "limits.max_steps", "is a number, should be a whole number above 0"),
        ("limits: {max_steps: 0}", "limits.max_steps", "is out of range"),
        ("limits: {max_turn_cost: -1}", "limits.max_turn_cost", "is out of range"),
    ],
)  # fmt: skip
def test_a_wrong_value_says_file_line_path_what_and_what_would_be_right(
    place: Place, text: str, path: str, what: str
) -> None:
    if path.startswith("tools."):  # costs its tool only
        config = place.load(f"# the first line\n{text}\n")
        [[finding]] = config.broken_tools.values()
        assert config.tools == {}
    else:
        [finding] = place.fail(f"# the first line\n{text}\n").splitlines()
    assert finding.startswith(f"{place.file}:2: {path}: ")
    assert what in finding


def test_a_model_made_by_hand_shows_no_wrong_value_either() -> None:
    with pytest.raises(ValidationError) as caught:
        ServerConfig(url="hunter2")
    assert "hunter2" not in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once(place: Place) -> None:
    told = place.fail(
        "owner: ''\nlimits: {max_steps: x, max_turn_tokens: y}\nservers: {s: {url: '${U}'}}\n",
        {"AGENTIC_BOT__POLL_TIMEOUT_SECONDS": "z"},
    )
    assert {line.split(": ")[1] for line in told.splitlines()} == {
        "owner",
        "limits.max_steps",
        "limits.max_turn_tokens",
        "servers.s.url",
        "bot.poll_timeout_seconds",
    }


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("ownr: ada", "ownr", "did you mean owner?"),
        ("mcpServers: {}", "mcpServers", "did you mean servers?"),
        ("tools: {x: {url: 'http://h', timout: 5}}", "tools.x.timout", "did you mean timeout?"),
        ("tools: {x: {url: 'http://h', timeout_seconds: 5}}",
         "tools.x.timeout_seconds", "did you mean timeout?"),
        ("limits: {max-steps: 5}", "limits.max-steps", "did you mean max_steps?"),
        ("models: {m: {provider: openai, price: {input: 1, output: 1, cached: 1}}}",
         "models.m.price.cached", "known here: input, output"),
        ("servers: {x: {command: c, missing_variables: [A]}}",
         "servers.x.missing_variables", "known here"),
        ("found_by_itself: false", "found_by_itself", "known here"),
        ("environment: {A: b}", "environment", "known here"),
        ("risks: []", "risks", "known here"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_a_warning_with_the_nearest_known_name(
    place: Place, text: str, path: str, hint: str
) -> None:
    config = place.load(f"\n{text}\n")
    [warning] = config.warnings
    assert warning.startswith(f"{place.file}:2: {path}: is not known and has no effect; ")
    assert hint in warning
    assert (config.path, config.found_by_itself) == (place.file, True)
    assert "A" not in config.environment


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"- a\n- b\n", "should hold sections"),
        (b"just text", "should hold sections"),
        (b"owner: ada\nowner: bob\n", "line 2, column 1: the key owner stands on line 1 already"),
        (b"owner:\n\tada: 1\n", "line 2, column 1: indent with spaces"),
        (b"owner: ada\nx: \xff\n", ":2: is not UTF-8"),
        ("owner: ada".encode("utf-16"), ":1: is not UTF-8"),
        (b"owner: a\0b", "line 1: a forbidden character"),
        (b'owner: "\\uD800"', ":"),  # libyaml refuses it, the pure parser leaves it to us
        (b"#" * 1_000_001, "is larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(place: Place, data: bytes, told: str) -> None:
    place.file.write_bytes(data)
    text = place.fail()
    assert text.startswith(str(place.file))
    assert told in text


def test_a_byte_order_mark_is_no_trouble(place: Place) -> None:
    place.file.write_bytes(b"\xef\xbb\xbfowner: ada\r\n")
    assert place.load().owner == "ada"


def test_a_folder_in_place_of_the_file_says_where_it_may_come_from(place: Place) -> None:
    place.file.mkdir()
    assert "is a folder, should be a file (Docker" in place.fail()


def test_a_link_to_nothing_is_an_error(place: Place) -> None:
    place.file.symlink_to("gone")
    assert "can't be read: No such file" in place.fail()


def test_a_link_to_itself_is_an_error(place: Place) -> None:
    place.file.symlink_to(place.file)
    assert "can't be read: Too many levels" in place.fail()


def test_settings_at_home_that_cannot_be_reached_are_an_error_and_not_defaults(
    place: Place,
) -> None:
    folder = place.home / ".config"
    folder.symlink_to(folder)
    assert "mcp.yml: can't be read: Too many levels" in place.fail()


def test_a_pipe_is_refused_and_not_waited_for(place: Place) -> None:
    os.mkfifo(place.file)
    assert "a device or a pipe" in place.fail()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_says_so(place: Place) -> None:
    place.file.write_text("owner: ada")
    place.file.chmod(0)
    assert "can't be read: Permission denied" in place.fail()


def test_what_a_file_says_cannot_steer_the_terminal(place: Place) -> None:
    [warning] = place.load('"\\e[2Jx\\u202e": 1').warnings
    assert "\\x1b[2Jx\\u202e: is not known" in warning


_WORDS = st.sampled_from(
    [
        *Config.model_fields,
        "x",
        "url",
        "command",
        "env",
        "headers",
        "timeout",
        "default",
        "provider",
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["${X}", "${X:-1}", "$${", "${", "http://h", "anthropic", "~", "<<", "1e9", "*a"]
    ),
)
_TREES = st.recursive(
    _LEAVES,
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(_WORDS | st.text(max_size=4), below, max_size=5)
    ),
    max_leaves=25,
)


def render(tree: object) -> str:
    """Flow YAML, without the safety of a YAML library."""
    if isinstance(tree, dict):
        pairs = cast("dict[str, object]", tree).items()
        return "{" + ", ".join(f"{key}: {render(value)}" for key, value in pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(render(item) for item in cast("list[object]", tree)) + "]"
    return str(tree)


def load_or_refuse(place: Place, data: bytes, environ: dict[str, str]) -> Config | None:
    place.file.write_bytes(data)
    try:
        return load_config({"HOME": str(place.home), **environ}, cwd=place.cwd)
    except ConfigError:
        return None


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(sections=st.dictionaries(st.sampled_from(list(Config.model_fields)), _TREES, max_size=4))
def test_no_tree_does_more_than_raise_a_config_error(
    place: Place, sections: dict[str, object]
) -> None:
    config = load_or_refuse(place, render(sections).encode("utf-8", "replace"), {"X": "x"})
    assert config is None or Path.is_absolute(config.data_directory)


@FUZZ
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
def test_no_bytes_do_more_than_raise_a_config_error(place: Place, data: bytes) -> None:
    config = load_or_refuse(place, data, {})
    assert config is None or config.owner == "owner" or b"owner" in data


@FUZZ
@given(
    path=st.lists(_WORDS | st.text(max_size=4), min_size=1, max_size=5),
    text=_TREES.map(render) | st.text(max_size=20),
)
def test_no_variable_does_more_than_raise_a_config_error(
    place: Place, path: list[str], text: str
) -> None:
    config = load_or_refuse(
        place, b"servers: {x: {command: c}}", {f"AGENTIC_{'__'.join(path)}": text}
    )
    assert config is None or config.servers
