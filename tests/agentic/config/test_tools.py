"""Declarations of tools: what each field takes, and what a wrong one is told."""

import pytest
from pydantic import ValidationError

from agentic.cli.doctor.configuration import read_configuration
from agentic.config.rate_limit import RateLimit, parse_rate_limit
from agentic.config.templates import parse_template
from agentic.config.tools import BUILT_IN_NAMES, ToolConfig
from servers.tools.builtin import CurrentTime
from tests.agentic.config.conftest import Place

ID = "parameters: {id: integer}"


@pytest.mark.parametrize(
    ("fields", "field", "what"),
    [
        ("method: PSOT", "method", 'is "PSOT", should be one of GET, POST, PUT, PATCH, DELETE'),
        ("method: GET, body: json", "body", "GET sends none"),
        ("body: xml", "body", "should be one of params, json, form, none"),
        ("query: {q: '{word}'}", "query.q", "{word}, which is no parameter; there are: none"),
        (f"query: {{q: 'a{{id'}}, {ID}", "query.q", "has a { that belongs to no {parameter}"),
        (f"query: {{q: 'id}}'}}, {ID}", "query.q", "has a } that belongs to no {parameter}"),
        ("query: {q: [a]}", "query.q", "is a list, should be text"),
        ("query: {q: 'x{a}'}, parameters: {a: {type: string, required: false}}",
         "query.q", "needs a in each call: make it required"),
        ("query: {q: 'x{a}'}, parameters: {a: {type: array, items: string}}",
         "query.q", "a place for one value, and a is an array"),
        ("query: {q: '{a}'}, parameters: {a: {type: object}}",
         "parameters.a", "can't be sent as a word"),
        ("method: GET, query: {id: fixed}, parameters: {id: string}",
         "query.id", "is a parameter's name, too; write id: '{id}'"),
        ("method: GET, parameters: {a: {type: array}}", "parameters.a", "can't be sent as a word"),
        ("body: form, parameters: {a: object}", "parameters.a", "use body: json"),
        ("headers: {X-Id: 'v{id}'}, parameters: {id: {type: string, nullable: true}}",
         "headers.X-Id", "needs id in each call"),
        ("headers: {X-Id: '{id}'}, parameters: {id: {type: array, items: string}}",
         "headers.X-Id", "id is an array: give it a separator"),
        ("method: GET, parameters: {a: {schema: {}}}", "parameters.a", "can't be sent as a word"),
        ("parameters: {a: {schema: {type: strin}}}", "parameters.a.schema", "is no JSON Schema"),
        ("parameters: {a: {schema: {}, minimum: 1}}", "parameters.a", "minimum goes into schema"),
        ("parameters: {a: {description: b}}", "parameters.a", "should have a type"),
        ("parameters: {a: {type: string, separator: ','}}", "parameters.a",
         "separator is for type array"),
        (f"body_parameter: id, {ID}", "body_parameter", "goes with body: json"),
        (f"body: json, body_parameter: x, {ID}",
         "body_parameter", "names x, which is no parameter"),
        (f"body: json, body_parameter: id, query: {{i: '{{id}}'}}, {ID}",
         "body_parameter", "names id, which has a place already"),
        ("body: json, body_parameter: a, parameters: {a: object, b: string}",
         "body_parameter", "need a place in url, query or headers: b"),
        ("headers: {Host: evil}", "headers", "Host is set for each request; leave it out"),
        ("result: 'a['", "result", "is no JMESPath expression: "),
        ("result: ''", "result", "is no JMESPath expression: "),
        ("output: {type: strin}", "output", "is no JSON Schema: type "),
        ("output: {$ref: 'https://evil.example/x'}", "output", "written out, without $ref"),
        ("output: {properties: {a: {$ref: '#'}}}", "output", "written out, without $ref"),
        (f"examples: [{{id: 1}}, {{id: one}}], {ID}",
         "examples[1]", 'must be an integer, not the string "one"'),
        ("examples: [{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]", "examples", "a list"),
        ("auth: {}", "auth", "should have one of bearer, basic, header, query, oauth"),
        ("auth: {bearer: a, query: {name: k, value: v}}", "auth", "should have one of bearer"),
        ("auth: {bearer: \"a\\nb\"}", "auth.bearer", "printable ASCII on one line"),
        ("auth: {basic: {user: 'a:b', password: c}}", "auth.basic.user", "no colon"),
        ("auth: {basic: {user: a}}", "auth.basic.password", "is missing"),
        ("auth: {header: {name: 'a b', value: c}}", "auth.header.name", "no name that a header"),
        ("auth: {oauth: {token_url: 'http://far.example/t', client_id: i, client_secret: s}}",
         "auth.oauth.token_url", "should begin with https, or the secret travels in clear"),
        ("auth: {oauth: {token_url: 'https://h/t', client_id: i, client_secret: s, scopes: [a b]}}",
         "auth.oauth.scopes", "a scope has no spaces"),
        ("auth: {bearer: a}, token: b", "token", "stands beside auth; keep one of them"),
        ("auth: {bearer: a}, headers: {authorization: b}",
         "headers.Authorization", "is set by auth; keep one of them"),
        ("retries: 11", "retries", "is out of range, should be a whole number at least 0 and at"),
        ("rate_limit: often", "rate_limit", "such as 10/minute"),
        ("rate_limit: 0/second", "rate_limit", "such as 10/minute"),
        ("cache_seconds: 5", "cache_seconds", "is for tools that are read_only: true"),
        ("method: GET, cache_shared: true", "cache_shared", "goes with cache_seconds"),
        ("method: DELETE, read_only: true", "read_only", "DELETE is for changing something"),
        ("read_only: true, destructive: true", "destructive", "read-only destroys nothing"),
        ("method: GET, destructive: true", "destructive", "read-only destroys nothing"),
        ("read_only: true, idempotent: false", "idempotent", "may always be repeated"),
    ],
)  # fmt: skip
def test_a_wrong_field_costs_its_tool_and_is_told_with_file_line_tool_and_field(
    place: Place, fields: str, field: str, what: str
) -> None:
    text = f"tools:\n  good: {{url: 'http://h'}}\n  bad: {{url: 'http://h', {fields}}}\n"
    config = place.load(text)
    assert list(config.tools) == ["good"]
    [told] = config.broken_tools["bad"]
    assert told.startswith(f"{place.file}:3: tools.bad.{field}: ")
    assert what in told


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://{id}.example/", "may have {parameters} in path and query only"),
        ("http://h:80/{ID}", "{ID}, which is no parameter; there are: id"),
        ("http://{id}@h/", "may have {parameters} in path and query only"),
        ("http://h/a/../b", "has a step . or .. in its path"),
        ("http://h/{id}/.", "has a step . or .. in its path"),
        ("http://h/a{", "has a { that belongs to no {parameter}"),
        ("http://h/?q={i d}", "http or https address"),
    ],
)
def test_an_address_with_a_place_that_is_none_is_told(place: Place, url: str, what: str) -> None:
    config = place.load(f"tools: {{x: {{url: '{url}', {ID}}}}}")
    [told] = config.broken_tools["x"]
    assert told.startswith(f"{place.file}:1: tools.x.url: ")
    assert what in told


@pytest.mark.parametrize("name", ["a b", "wetter/heute", "", "x" * 129, "größe", "current_time"])
def test_a_name_that_no_tool_can_have_costs_that_tool(place: Place, name: str) -> None:
    config = place.load(f"tools: {{good: {{url: 'http://h'}}, '{name}': {{url: 'http://h'}}}}")
    assert list(config.tools) == ["good"]
    [[told]] = config.broken_tools.values()
    assert "choose another" in told if name == "current_time" else "1 to 128 of a-z" in told


def test_the_names_that_are_taken_are_the_server_s_own() -> None:
    assert (CurrentTime().definition.name,) == BUILT_IN_NAMES


def test_what_is_wrong_elsewhere_is_told_together_with_wrong_tools(place: Place) -> None:
    told = place.fail("owner: ''\ntools: {x: {url: 'http://h', retries: many}}\n").splitlines()
    assert [line.split(": ")[1] for line in told] == ["owner", "tools.x.retries"]


def test_an_entry_of_the_environment_that_is_wrong_costs_its_tool(place: Place) -> None:
    config = place.load("tools: {x: {url: 'http://h'}}", {"AGENTIC_TOOLS__X__RETRIES": "many"})
    assert config.broken_tools["x"][0].startswith("AGENTIC_TOOLS__X__RETRIES: tools.x.retries: is")


def test_a_way_to_prove_who_calls_is_shown_nowhere() -> None:
    ways: list[dict[str, object]] = [
        {"bearer": "s3cret"},
        {"basic": {"user": "ada", "password": "s3cret"}},
        {"header": {"name": "X-Key", "value": "s3cret"}},
        {"query": {"name": "key", "value": "s3cret"}},
        {
            "oauth": {
                "token_url": "https://u:s3cret@h/t",
                "client_id": "c",
                "client_secret": "s3cret",
            }
        },
    ]
    for way in ways:
        config = ToolConfig.model_validate(
            {"url": "http://h", "auth": way, "query": {"k": "s3cret"}}
        )
        assert "s3cret" not in repr(config) + str(config)
        assert config.auth is not None
        assert config.auth.is_complete


@pytest.mark.parametrize(
    ("auth", "field"),
    [
        ("{bearer: SECRET}", "bearer"),
        ("{basic: {user: ada, password: SECRET}}", "basic.password"),
        ("{header: {name: X-Key, value: SECRET}}", "header.value"),
        ("{query: {name: key, value: SECRET}}", "query.value"),
        ("{oauth: {token_url: 'https://h/t', client_id: c, client_secret: SECRET}}",
         "oauth.client_secret"),
    ],
)  # fmt: skip
def test_a_secret_in_plain_text_is_warned_of_and_one_in_a_variable_may_be_missing(
    place: Place, auth: str, field: str
) -> None:
    text = f"tools: {{t: {{url: 'http://h', auth: {auth}}}}}"
    [warning] = place.load(text.replace("SECRET", "sekret-0123456789-0123456789")).warnings
    assert f"tools.t.auth.{field}: holds a secret in plain text" in warning
    assert "sekret" not in warning
    missing = place.load(text.replace("SECRET", "'${NOT_SET}'"))
    assert missing.warnings == []
    assert missing.tools["t"].missing_variables == ("NOT_SET",)
    set_now = place.load(text.replace("SECRET", "'${NOT_SET}'"), {"NOT_SET": "k"})
    assert set_now.tools["t"].auth is not None
    assert set_now.tools["t"].auth.is_complete


def test_the_doctor_names_a_wrong_declaration_as_a_problem_and_looks_at_the_rest(
    place: Place,
) -> None:
    place.file.write_text("tools: {x: {url: 'http://h', retries: many}, y: {url: 'http://h'}}")
    reading = read_configuration({"HOME": str(place.home)}, place.file)
    assert reading.is_whole
    assert reading.config is not None
    assert list(reading.config.tools) == ["y"]
    [problem] = [each for each in reading.findings if each.state == "problem"]
    assert (problem.check, "tools.x.retries: is text" in problem.summary) == ("tools/x", True)


def test_a_credential_has_no_place_for_what_a_model_says() -> None:
    key = {"url": "http://h", "headers": {"X-API-Key": "{key}"}}
    with pytest.raises(ValidationError, match=r"headers\.X-API-Key: names the parameter"):
        ToolConfig.model_validate({**key, "parameters": {"key": "string"}})
    assert ToolConfig.model_validate(key).places.names == frozenset()


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/minute", RateLimit(10, 60)),
        (" 2 / second ", RateLimit(2, 1)),
        ("7/hour", RateLimit(7, 3_600)),
    ],
)
def test_a_rate_is_calls_in_seconds(text: str, rate: RateLimit) -> None:
    assert parse_rate_limit(text) == rate


def test_a_doubled_brace_is_a_literal_one() -> None:
    template = parse_template('{{"id": "{id}"}}{id}')
    assert template.names == ("id",)
    assert template.fill(lambda name: name.upper()) == '{"id": "ID"}ID'
