"""`${VAR}` in values."""

import pytest

from tests.agentic.config.conftest import Place


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${NAME}", "ada"),
        ("x-${NAME}-${NAME}", "x-ada-ada"),
        ("${UNSET:-bob}", "bob"),
        ("${EMPTY:-bob}", "bob"),
        ("${NAME:-bob}", "ada"),
        ("$${NAME}", "${NAME}"),
        ("$NAME costs 5$", "$NAME costs 5$"),
        ("${TRICK}", "{a: [${NAME}]}"),
        ("${UNSET:-a: b}", "a: b"),
    ],
)
def test_a_variable_is_replaced_by_its_text_and_nothing_more(
    place: Place, written: str, value: str
) -> None:
    place.environ |= {"NAME": "ada", "EMPTY": "", "TRICK": "{a: [${NAME}]}"}
    assert place.load(f"owner: '{written}'").owner == value


def test_names_and_keys_are_not_searched_for_variables(place: Place) -> None:
    config = place.load("models: {'${X}': {provider: openai}}")
    assert list(config.models.by_name) == ["${X}"]


@pytest.mark.parametrize(
    "written", ["${}", "${1X}", "${X", "${X:?no}", "${X-y}", "${A:-${B}}", "${a b}"]
)
def test_a_reference_that_is_none_says_how_to_write_one(place: Place, written: str) -> None:
    told = place.fail(f"owner: '{written}'", {"X": "x", "A": "a"})
    assert f"{place.file}:1: owner: should be ${{VAR}}" in told
    assert "$${" in told


def test_a_number_may_come_from_a_variable(place: Place) -> None:
    text = """
limits: {max_steps: "${N}", turn_timeout_seconds: "${T:-2.5}"}
servers: {tools: {enabled: "${ON}"}}
"""
    config = place.load(text, {"N": "10", "ON": "false"})
    assert (config.limits.max_steps, config.limits.turn_timeout_seconds) == (10, 2.5)
    assert config.servers["tools"].enabled is False


def test_every_unset_variable_is_named_with_its_place_and_the_way_out(place: Place) -> None:
    told = place.fail("""owner: "${ONE}"
tools:
  x: {url: "${TWO}/x"}
servers: {f: {command: y, args: ["${THREE}"]}}
""")
    assert told.splitlines() == [
        f"{place.file}:{line}: {path}: the variable {name} is not set: "
        f"set it, or write ${{{name}:-default}}"
        for line, path, name in (
            (1, "owner", "ONE"),
            (4, "servers.f.args[0]", "THREE"),
            (3, "tools.x.url", "TWO"),
        )
    ]


def test_a_missing_credential_costs_only_its_tool_or_server(place: Place) -> None:
    config = place.load("""
tools:
  a: {url: "http://h/a", token: "${A}"}
  b: {url: "http://h/b", headers: {X-Key: "${B}", X-Other: fine}}
  c: {url: "http://h/c", token: "${C}"}
  f: {url: "http://h/f", auth: {basic: {user: ada, password: "${F}"}}}
servers:
  d: {url: "http://h/d", headers: {Authorization: "Bearer ${D}"}}
  e: {command: x, env: {KEY: "${E}", H: "${C}"}}
bot: {token: "${G}"}
""", {"C": "c-secret"})  # fmt: skip
    assert config.tools["a"].token is None
    assert config.tools["f"].missing_variables == ("F",)
    assert config.tools["f"].auth is not None
    assert not config.tools["f"].auth.is_complete
    assert config.tools["a"].missing_variables == ("A",)
    assert config.tools["b"].missing_variables == ("B",)
    assert list(config.tools["b"].headers) == ["X-Other"]
    token = config.tools["c"].token
    assert token is not None
    assert token.get_secret_value() == "c-secret"
    assert config.tools["c"].missing_variables == ()
    assert config.servers["d"].missing_variables == ("D",)
    assert config.servers["d"].headers == {}
    assert config.servers["e"].missing_variables == ("E",)
    assert list(config.servers["e"].env) == ["H"]
    assert config.bot.token is None


def test_an_override_makes_the_variable_unneeded(place: Place) -> None:
    config = place.load("owner: '${UNSET}'", {"AGENTIC_OWNER": "ada"})
    assert config.owner == "ada"


def test_secrets_stand_in_no_text_made_of_the_configuration(place: Place) -> None:
    secret = "hunter2-hunter2-hunter2"
    config = place.load(
        """
tools: {x: {url: "http://u:${S}@h/x?k=${S}", token: "${S}", headers: {X-Key: "${S}"}}}
servers:
  y: {url: "http://h/${S}", headers: {A: "${S}"}}
  z: {command: c, args: ["${S}"], env: {E: "${S}"}}
models: {m: {provider: openai, base_url: "http://h/${S}", api_key: "${S}"}}
bot: {token: "${S}"}
""",
        {"S": secret},
    )
    assert secret not in repr(config)
    assert not any(secret in text for text in (*config.warnings, *config.risks))


def test_errors_show_no_value(place: Place) -> None:
    told = place.fail(
        """
tools:
  x: {url: "${S}", timeout: "${S}", token: [hunter2]}
  y: {url: "http://h", headers: {X: "a\\n${S}"}}
servers:
  y: {url: "${S}"}
  z: {command: c, env: {E: {hunter2: 1}}, offer_to_model: "${S}"}
models: {m: {provider: "${S}", api_key: "a ${S}"}}
bot: {token: "a ${S}", people: {42: "${S}\\t"}}
""",
        {"S": "hunter2", "AGENTIC_LIMITS__MAX_STEPS": "hunter2"},
    )
    assert "hunter2" not in told
    assert len(told.splitlines()) >= 10


def test_a_key_in_the_file_itself_is_warned_about(place: Place) -> None:
    config = place.load("""
models:
  m: {provider: openai, api_key: sk-0123456789-0123456789}
  l: {provider: openai, api_key: none}
tools:
  x:
    url: http://h
    headers: {authorization: Bearer 0123456789-0123456789, Accept: "text/html, text/plain"}
""")
    assert [warning.split(": ")[1] for warning in config.warnings] == [
        "models.m.api_key",
        "tools.x.headers.authorization",
    ]
    assert not any("0123456789" in warning for warning in config.warnings)
