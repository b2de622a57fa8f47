"""OpenAPI documents as sources of tools: what becomes of operations, and of wrong documents."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentic.config.models import Config
from agentic.config.tools import ToolConfig
from agentic.config.trust import needs_trust, trust
from tests.agentic.config.conftest import Place

BASE = "https://api.example.com/v1"
TEXT = {"type": "string"}


def document(paths: Mapping[str, Any], **root: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "servers": [{"url": BASE}], "paths": paths, **root}


def of_get(*parameters: Mapping[str, Any], **operation: Any) -> dict[str, Any]:
    return {"/x": {"get": {"operationId": "x", "parameters": list(parameters), **operation}}}


def of_post(schema: Any, medium: str = "application/json", **body: Any) -> dict[str, Any]:
    content = {"content": {medium: {"schema": schema}}, **body}
    return {"/x": {"post": {"operationId": "x", "requestBody": content}}}


def load(place: Place, given: Any, entry: str = "operations: [x]", **environ: str) -> Config:
    text = given if isinstance(given, str) else json.dumps(given)
    (place.cwd / "api.json").write_text(text)
    return place.load(f"tools:\n  api:\n    openapi: ./api.json\n    {entry}\n", environ)


def load_x(place: Place, given: Any, entry: str = "operations: [x]", **environ: str) -> ToolConfig:
    config = load(place, given, entry, **environ)
    assert config.broken_tools == {}
    return config.tools["api_x"]


def schema_of(tool: ToolConfig) -> dict[str, Any]:
    return {name: each.to_json_schema() for name, each in tool.parameters.items()}


def broken(config: Config) -> str:
    [text] = config.broken_tools["api"]
    return text


def test_nothing_becomes_a_tool_but_what_is_named(place: Place) -> None:
    paths: dict[str, Any] = {
        "/pets": {"get": {"operationId": "listPets", "summary": "All pets"}, "post": {}},
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": TEXT}],
            "get": {"description": "One pet\nby its id"},
            "delete": {"operationId": "delete pet!"},
        },
    }
    entry = "operations: {listPets: , 'get /pets/{id}': {name: get_pet}, 'delete pet!': }"
    config = load(place, document(paths), entry)
    assert (config.warnings, config.broken_tools) == ([], {})
    assert list(config.tools) == ["api_listPets", "get_pet", "api_delete_pet"]
    listing, one, delete = config.tools.values()
    assert (listing.method, listing.url, listing.title) == ("GET", f"{BASE}/pets", "All pets")
    assert (one.url, one.description) == (f"{BASE}/pets/{{id}}", "One pet\nby its id")
    assert (delete.method, delete.is_destructive, delete.source) == ("DELETE", True, "api")


def test_a_star_stands_for_what_reads_and_for_nothing_else(place: Place) -> None:
    paths: dict[str, Any] = {f"/p{at}": {"get": {}, "delete": {}, "head": {}} for at in range(3)}
    config = load(place, document(paths), "operations: {'*': {timeout: 3}, get /p1: {name: one}}")
    assert list(config.tools) == ["api_get_p0", "api_get_p2", "one"]
    assert [each.timeout_seconds for each in config.tools.values()] == [3, 3, 30]


def test_the_entrys_rules_hold_for_all_operations_and_an_operations_own_win(place: Place) -> None:
    paths: dict[str, Any] = {
        "/a": {"get": {"operationId": "a", "summary": "A"}},
        "/b": {"post": {}},
    }
    entry = """timeout: 5
    rate_limit: 9/minute
    cache_seconds: 60
    confirm: true
    headers: {X-Team: otters}
    operations:
      a: {timeout: 7, description: My words, result: items, confirm: false}
      POST /b: {name: b, retries: 2, idempotent: true}"""
    config = load(place, document(paths), entry)
    a, b = config.tools.values()
    assert (a.timeout_seconds, a.rate_limit, a.cache_seconds, a.confirm) == (
        7, "9/minute", 60, False,
    )  # fmt: skip
    assert (a.description, a.result, a.title) == ("My words", "items", "A")
    assert (b.timeout_seconds, b.cache_seconds, b.confirm, b.retries) == (5, None, True, 2)
    assert b.headers["X-Team"].get_secret_value() == "otters"
    assert config.broken_tools == {}


def test_parameters_go_to_their_places_in_the_styles_of_the_document(place: Place) -> None:
    several = {"type": "array", "items": TEXT}
    paths = {
        "/x/{ids}/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "q", "in": "query", "schema": {"type": "boolean"}},
            ],
            "get": {
                "operationId": "x",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "ids", "in": "path", "required": True, "schema": several},
                    {"name": "id", "in": "query", "schema": TEXT},
                    {"name": "a[]", "in": "query", "schema": several},
                    {"name": "b", "in": "query", "explode": False, "schema": several},
                    {"name": "c", "in": "query", "style": "pipeDelimited", "schema": several},
                    {"name": "X-Lang", "in": "header", "required": True, "schema": several},
                    {"name": "Accept", "in": "header", "schema": TEXT},
                    {"name": "session", "in": "cookie", "schema": TEXT},
                    {"name": "X-Api-Key", "in": "header", "schema": TEXT},
                ],
            },
        }
    }
    tool = load_x(place, document(paths))
    assert tool.url == f"{BASE}/x/{{ids}}/{{id}}"
    assert tool.query == {
        "q": "{q}", "id": "{id_query}", "a[]": "{a}", "b": "{b}", "c": "{c}",
    }  # fmt: skip
    assert {name: each.get_secret_value() for name, each in tool.headers.items()} == {
        "X-Lang": "{X-Lang}"
    }
    assert {name: each.separator for name, each in tool.parameters.items()} == {
        "id": None, "ids": ",", "id_query": None, "a": None, "b": ",", "c": "|", "X-Lang": ",",
        "q": None,
    }  # fmt: skip
    assert tool.parameters["id"].type == "integer"
    required = {name for name, each in tool.parameters.items() if each.required}
    assert required == {"id", "ids", "X-Lang"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 1, "format": "int64"}, {"type": "integer", "minimum": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer"}),
        ({"type": ["number", "null"], "maximum": 2}, {"type": "number", "maximum": 2}),
        ({"oneOf": [{"type": "integer"}, TEXT]}, {"type": "string"}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "string", "enum": [1, 2]}, {"type": "string"}),
        ({"type": "string", "nullable": True, "enum": ["a", None]},
         {"type": "string", "enum": ["a"]}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "array", "items": {"enum": ["a"]}},
         {"type": "array", "items": {"type": "string", "enum": ["a"]}}),
        ({"type": "integer", "minimum": 5, "maximum": 1}, {"type": "integer"}),
        ({"type": "string", "minLength": "x", "maxLength": True}, {"type": "string"}),
        ({}, {"type": "string"}),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, {"type": "integer", "minimum": 3}),
    ],
)  # fmt: skip
def test_a_word_is_asked_for_as_far_as_the_document_can_be_understood(
    place: Place, schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    tool = load_x(place, document(of_get({"name": "a", "in": "query", "schema": schema})))
    assert schema_of(tool) == {"a": expected}


def test_defaults_and_patterns_are_told_and_neither_sent_nor_checked(place: Place) -> None:
    schema = {"type": "string", "default": "a\r\nX-Evil: 1", "pattern": "^(a+)+$"}
    tool = load_x(
        place,
        document(of_get({"name": "X-A", "in": "header", "description": "An a.", "schema": schema})),
    )
    parameter = tool.parameters["X-A"]
    assert (parameter.has_default, parameter.pattern) == (False, None)
    assert parameter.description == r'An a. Pattern: ^(a+)+$ Default: "a\r\nX-Evil: 1"'


def test_a_json_body_becomes_parameters_with_all_that_its_schemas_say(place: Place) -> None:
    schemas: dict[str, Any] = {
        "New": {
            "allOf": [
                {"$ref": "#/components/schemas/Base"},
                {"properties": {"parent": {"$ref": "#/components/schemas/New"}}},
            ]
        },
        "Base": {
            "type": "object",
            "required": ["name", "id"],
            "properties": {
                "id": {"type": "integer", "readOnly": True},
                "name": {"type": "string", "description": "What \x1b[31mit\u200b is called"},
                "size": {"type": "integer", "nullable": True, "exclusiveMinimum": True,
                         "minimum": 0},
                "tags": {"type": "object", "additionalProperties": TEXT},
                "kind": {"oneOf": [{"$ref": "#/components/schemas/Kind"}, {"type": "array",
                         "items": {}}]},
            },
        },
        "Kind": {"type": "string", "enum": ["cat", "dog"]},
    }  # fmt: skip
    given = document(of_post({"$ref": "#/components/schemas/New"}), components={"schemas": schemas})
    tool = load_x(place, given)
    assert (tool.body_kind, tool.body_parameter) == ("json", None)
    schema = schema_of(tool)
    assert [name for name, each in tool.parameters.items() if each.required] == ["name"]
    assert schema["name"] == {"type": "string", "description": "What it is called"}
    assert schema["size"] == {"type": ["integer", "null"], "minimum": 0, "exclusiveMinimum": 0}
    assert schema["tags"] == {"type": "object", "additionalProperties": TEXT}
    assert schema["kind"] == {
        "anyOf": [{"type": "string", "enum": ["cat", "dog"]}, {"type": "array", "items": {}}]
    }
    assert schema["parent"] == {}, "the parent of a parent is what it is"


@pytest.mark.parametrize(
    ("schema", "medium"),
    [
        ({"type": "array", "items": {"type": "object"}}, "application/json"),
        ({"type": "object", "properties": {"$set": {}}}, "application/vnd.api+json"),
        ({"type": "object", "additionalProperties": TEXT}, "application/json; charset=utf-8"),
        ({}, "*/*"),
    ],
)
def test_a_body_that_is_no_set_of_names_is_one_parameter(
    place: Place, schema: dict[str, Any], medium: str
) -> None:
    tool = load_x(place, document(of_post(schema, medium, required=True)))
    assert tool.body_parameter == "body"
    assert tool.parameters["body"].required is True
    kind = tool.headers.get("Content-Type")
    is_own = medium == "application/vnd.api+json"
    assert (None if kind is None else kind.get_secret_value()) == (medium if is_own else None)


def test_a_web_form_is_sent_as_one(place: Place) -> None:
    form = {"properties": {"name": TEXT, "picture": {"type": "object"}}, "required": ["name"]}
    config = load(place, document(of_post(form, "application/x-www-form-urlencoded")))
    assert config.tools["api_x"].body_kind == "form"
    assert list(config.tools["api_x"].parameters) == ["name"]
    [warning] = config.warnings
    assert "operations.x: picture can't be a field of a web form and is left out" in warning


def test_what_is_optional_can_be_left_out(place: Place) -> None:
    body = {"type": "object", "required": ["a"], "properties": {"a": TEXT, "b": TEXT, "c": {}}}
    paths = of_post({"allOf": [body]})
    paths["/x"]["post"]["parameters"] = [{"name": "q", "in": "query", "schema": {"type": "object"}}]
    entry = "operations: {x: {leave_out: [q, b]}}"
    config = load(place, document(paths), entry)
    assert (config.warnings, config.broken_tools) == ([], {})
    assert list(config.tools["api_x"].parameters) == ["a", "c"]
    wrong = load(place, document(paths), "operations: {x: {leave_out: [a]}}")
    assert "leave_out names a, which is no optional parameter of it" in broken(wrong)


SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    "oauth": {"type": "oauth2", "flows": {}},
    "smuggle": {"type": "apiKey", "in": "header", "name": "Host"},
}
Ways = list[dict[str, list[str]]]


def ways(*names: str) -> Ways:
    """Alternatives, each of one way or of several joined by +."""
    return [{each: [] for each in name.split("+") if each} for name in names]


def secured(*ways: Mapping[str, list[str]], **operation: Any) -> dict[str, Any]:
    parameter = {"name": "key", "in": "query", "required": True, "schema": TEXT}
    return document(
        of_get(parameter, **operation),
        security=list(ways),
        components={"securitySchemes": SCHEMES},
    )


@pytest.mark.parametrize(
    ("wanted", "auth"),
    [
        (ways("bearer"), {"bearer"}),
        (ways("oauth"), {"bearer"}),
        (ways("header"), {"header"}),
        (ways("query"), {"query"}),
        (ways("basic", "header"), {"header"}),
        (ways(), {"bearer"}),
    ],
)
def test_a_token_is_sent_as_the_document_wants_it(
    place: Place, wanted: Ways, auth: set[str]
) -> None:
    tool = load_x(place, secured(*wanted), "operations: [x]\n    token: ${K}", K="secret-1")
    assert tool.auth is not None
    assert tool.auth.model_dump(exclude_none=True).keys() == auth
    assert ("key" in tool.parameters) == ("query" not in auth), "the model gives no credential"
    assert "secret-1" not in repr(tool)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (ways("basic"), "wants a user and a password, which a token is not"),
        (ways("cookie"), "wants apiKey cookie, which tools can't give"),
        (ways("header+query"), "a key in the header X-Key and a key in the query as key"),
        (ways("smuggle"), "Host is set for each request; choose another"),
        (ways("nothing"), "names nothing, which securitySchemes lacks"),
    ],
)
def test_a_token_that_can_not_be_sent_as_wanted_is_told(
    place: Place, wanted: Ways, said: str
) -> None:
    assert said in broken(load(place, secured(*wanted), "operations: [x]\n    token: tok-1"))


def test_what_is_needed_is_known_where_there_is_no_credential(place: Place) -> None:
    tool = load_x(place, secured(*ways("header", "basic")))
    assert tool.requires_auth
    assert tool.wants == "a key in the header X-Key or a user and a password"
    assert not load_x(place, secured(*ways("header", ""))).requires_auth
    assert not load_x(place, secured(*ways("header"), security=[])).requires_auth


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        (["http://169.254.169.254/latest"], "leads to http://169.254.169.254/latest, which is no"),
        (["https://169.254.169.254/latest"], "is no host of the public network by https"),
        (["https://93.184.216.34/"], "is no host of the public network by https"),
        (["https://localhost/"], "is no host of the public network by https"),
        (["https://metadata.google.internal/"], "is no host of the public network by https"),
        (["https://0x7f.1/"], "no host of the public network"),
        (["http://api.example.com/"], "write base_url: http://api.example.com/"),
        (["/v1"], "servers: /v1 is no address: give the entry a base_url"),
        (["file:///etc/passwd"], "is no address"),
        (["https://u:p@api.example.com/"], "is no address"),
        (["https://[oops/"], "is no address"),
        ([], "servers: / is no address"),
    ],
)
def test_a_file_leads_into_the_public_network_by_https_only(
    place: Place, servers: list[str], said: str
) -> None:
    given = document(of_get(), servers=[{"url": each} for each in servers])
    config = load(place, given)
    if servers == ["https://0x7f.1/"]:  # public as far as it says; connecting refuses it
        assert config.tools
        return
    assert said in broken(config)
    named = load_x(place, given, "operations: [x]\n    base_url: http://10.0.0.1/api/")
    assert named.url == "http://10.0.0.1/api/x"


def test_variables_of_an_address_have_their_defaults(place: Place) -> None:
    server = {
        "url": "https://{region}.example.com/{stage}/",
        "variables": {"region": {"default": "eu"}, "stage": {"default": "v2"}},
    }
    paths = of_get(servers=[server])
    assert load_x(place, document(paths)).url == "https://eu.example.com/v2/x"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "should be a mapping that begins with openapi"),
        ("[1]", "should be a mapping that begins with openapi"),
        ('{"openapi" "3.0.0"}', "line 1, column 12: is no JSON: "),
        ("openapi: 3.0.0\npaths: {a: [}", "line 2, column "),
        ("[" * 100_000, "nested more than"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"openapi": "3.0.3", "paths": {"/x": {"get": {"x": ' + "9" * 5_000 + "}}}}",
         "a number that is too long"),
        ({"swagger": "2.0", "paths": {}}, "is in the older format Swagger 2; convert it"),
        ({"openapi": "4.0.0", "paths": {}}, "openapi: is 4.0.0, should be 3.0, 3.1 or 3.2"),
        ({"paths": {}}, "openapi: is missing, should be 3.0"),
        ({"openapi": "3.1.0"}, "paths: should be a mapping of paths"),
        (document({}), "has no operation x; see its paths"),
        (document({"/y": {"get": {"operationId": "xs"}}}), "has no operation x; did you mean xs?"),
        (document({"/a": {"get": {"operationId": "x"}}, "/b": {"get": {"operationId": "x"}}}),
         "has 2 operations x; name GET /a and GET /b"),
        (document(of_get({"$ref": "#/nope"})), "paths./x.get.parameters[0]: refers to #/nope, wh"),
        (document(of_get({"$ref": "other.yml#/a"})), "refers to other.yml#/a, outside of the doc"),
        (document(of_get({"$ref": "http://169.254.169.254/"})), "outside of the document"),
        (document(of_get({"$ref": "#/loop"}), loop={"$ref": "#/loop"}), "loop: is a chain of more"),
        (document(of_get({"name": "a", "in": "body"})), "parameters[0]: should have a name, and"),
        (document(of_get(parameters={})), "parameters: should be a list"),
        (document(of_get({"name": "a", "in": "query", "required": True,
                          "schema": {"type": "object"}})),
         "paths./x.get.parameters[0]: a is required and can't be sent as a word"),
        (document(of_get({"name": "a", "in": "cookie", "required": True})), "a is a credential"),
        (document({"/x{a}": {"get": {"operationId": "x"}}}), "has no parameter for {a} of its pat"),
        (document({"/x?a=1": {"get": {"operationId": "x"}}}), "begins with / and has no ? or #"),
        (document({"/../admin": {"get": {"operationId": "x"}}}), "has a step . or .. in its path"),
        (document({"/%2e%2e/a": {"get": {"operationId": "x"}}}), "has a step . or .. in its path"),
        (document(of_post(TEXT, "multipart/form-data", required=True)),
         "paths./x.post.requestBody: takes multipart/form-data, and tools send JSON or web forms"),
        (document(of_post({}, "application/a\r\nX-Evil: 1+json", required=True)),
         "Content-Type should be printable ASCII on one line"),
        (document(of_post([])), "should be a mapping"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_told_with_the_place_in_it(place: Place, given: Any, said: str) -> None:
    config = load(place, given)
    assert config.tools == {}
    told = broken(config)
    assert said in told
    assert told.startswith(f"{place.file}:")
    assert "api.json" in told


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("timeout: 1", "tools.api.operations: is missing"),
        ("operations: []", "tools.api.operations: "),
        ("operations: [1]", "tools.api.operations: should be a list of operations"),
        ("operations: [x, x]", "tools.api.operations: names an operation twice"),
        ("operations: {x: {timeout: 0}}", "tools.api.operations.x.timeout: is out of range"),
        ("operations: {x: {result: 'a['}}", "tools.api.operations.x.result: is no JMESPath"),
        ("operations: {x: {name: 'a b'}}", "tools.api.operations.x.name: a tool's name has"),
        ("operations: {x: {name: current_time}}", "belongs to a built-in tool"),
        ("operations: {x: {name: other}}", "tools.api.operations.x.name: other is another tool's"),
        ("operations: {'*': {name: a}}", "'*' stands for many"),
        ("operations: [x]\n    base_url: ftp://h", "tools.api.base_url: should be an http"),
        ("operations: [x]\n    headers: {X-A: '{a}'}", "tools.api.headers.X-A: is sent as it is"),
        ("operations: [x]\n    token: a\n    auth: {bearer: b}", "tools.api.token: stands beside"),
    ],
)
def test_a_wrong_entry_is_told_with_its_line(place: Place, entry: str, said: str) -> None:
    (place.cwd / "api.json").write_text(json.dumps(document(of_get())))
    text = f"tools:\n  other: {{url: 'https://h/'}}\n  api:\n    openapi: api.json\n    {entry}\n"
    config = place.load(text)
    assert list(config.tools) == ["other"]
    assert said in broken(config)
    assert broken(config).startswith(f"{place.file}:")


def test_unknown_keys_of_an_entry_and_of_an_operation_are_told(place: Place) -> None:
    config = load(place, document(of_get()), "operations: {x: {timout: 1}}\n    url: https://h/")
    operation, url = config.warnings
    assert "tools.api.operations.x.timout: is not known and has no effect; did you" in operation
    assert "tools.api.url: is not known and has no effect" in url
    assert list(config.tools) == ["api_x"]


def test_a_missing_file_and_one_wrong_operation_cost_themselves(place: Place) -> None:
    assert "can't be read: No such file" in broken(
        place.load("tools: {api: {openapi: nope.yml, operations: [x]}}")
    )
    config = load(place, document(of_get()), "operations: [x, y]")
    assert list(config.tools) == ["api_x"]
    assert "tools.api.operations.y: api.json: has no operation y; see its paths" in broken(config)


def test_a_document_may_be_yaml_with_a_path_of_its_own(place: Place) -> None:
    text = f"""
openapi: 3.1.0
servers: [{{url: {BASE}}}]
paths:
  /x:
    get:
      operationId: x
      responses:
        200: {{description: ok}}
"""
    (place.home / "api.yml").write_text(text)
    config = place.load("tools: {api: {openapi: ~/api.yml, operations: [x], timeout: 4}}",
                        {"AGENTIC_TOOLS__API__TIMEOUT": "6"})  # fmt: skip
    assert config.tools["api_x"].timeout_seconds == 6


def test_a_few_references_can_not_stand_for_millions(place: Place) -> None:
    bomb: dict[str, Any] = {
        f"s{at}": {"properties": {name: {"$ref": f"#/schemas/s{at + 1}"} for name in "abcdefgh"}}
        for at in range(10)
    }
    config = load(place, document(of_post({"$ref": "#/schemas/s0"}), schemas={**bomb, "s10": TEXT}))
    assert "makes this operation's schemas larger than 1000 parts" in broken(config)


def test_what_nests_deeply_takes_anything_from_there_on(place: Place) -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(60):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = load_x(place, document(of_post(schema)))
    assert json.dumps(schema_of(tool)).count('"a"') == 12


def test_hidden_text_is_taken_out_of_descriptions_and_long_ones_are_cut(place: Place) -> None:
    hidden = "Lists.\x1b]0;x\x07 \U000e0041\u202eok " + "long " * 1_000
    tool = load_x(place, document(of_get(summary="A\x00b", description=hidden)))
    assert tool.title == "Ab"
    assert tool.description.startswith("Ab\nLists. ok long")
    assert len(tool.description) == 1_001
    enum = {"type": "string", "enum": ["a", "b\u200b"]}
    names = {"type": "object", "properties": {"ok": enum, "no\u202e": TEXT}}
    assert schema_of(load_x(place, document(of_post(names)))) == {"ok": {"type": "string"}}


@pytest.mark.slow
def test_a_hundred_thousand_operations_are_no_reason_to_fail(place: Place) -> None:
    paths = {f"/p{at}": {"get": {"operationId": f"o{at}"}} for at in range(100_000)}
    given = json.dumps(document(paths))
    assert load(place, given, "operations: [o99999]").tools["api_o99999"].url == f"{BASE}/p99999"
    assert "has 100,000 operations that read" in broken(load(place, given, "operations: ['*']"))


@pytest.mark.parametrize(
    ("entry", "risks"),
    [
        ("openapi: api.json, operations: [x]", []),
        ("openapi: api.json, operations: [x], token: '${K}'",
         ["tools.api sends K to https://api.example.com"]),
        ("openapi: api.json, operations: [x], base_url: 'http://10.0.0.1/'",
         ["tools.api sends what the model asks to http://10.0.0.1/"]),
        ("openapi: 'http://router.lan/api', operations: [x]",
         ["tools.api sends requests to http://router.lan/api"]),
        ("openapi: 'https://api.example.com/${K}', operations: [x]",
         ["tools.api sends K to https://api.example.com/${K}"]),
        ("openapi: 'https://api.example.com/api', operations: [x]", []),
    ],
)  # fmt: skip
def test_an_entry_of_a_file_found_by_itself_needs_trust_for_what_it_sends(
    place: Place, entry: str, risks: list[str]
) -> None:
    (place.cwd / "api.json").write_text(json.dumps(document(of_get())))
    config = place.load(f"tools: {{api: {{{entry}}}}}", {"K": "v"})
    assert list(config.risks) == risks


def test_trust_in_a_file_holds_for_the_document_beside_it_as_it_was(place: Place) -> None:
    entry = "operations: [x]\n    token: ${K}"
    trust(load(place, document(of_get()), entry, K="v"))
    assert needs_trust(load(place, document(of_get()), entry, K="v")) == []
    elsewhere = document(of_get(), servers=[{"url": "https://evil.example"}])
    assert needs_trust(load(place, elsewhere, entry, K="v")) == [
        "tools.api sends K to https://evil.example"
    ]
