"""Tools of steps: what each step is given, what the whole gives, and what is told of a failure."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from agentic.config.following import FollowedTools
from agentic.config.load import load_config
from agentic.config.models import Config
from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import Hanging, ToolEndpoint, answer, answer_json, compute, render
from tests.servers.tools.conftest import error_of

STEPS = """
  lend:
    parameters: {title: string, days: {type: integer, default: 14}}
    steps:
      - {tool: find, name: book, arguments: {q: "= parameters.title"}}
      - tool: lend_book
        arguments: {id: "= book[0].id", days: "= parameters.days", note: literal, gone: "= book.x"}
    result: "{loan: lend_book.loan, title: book[0].title}"
"""


def load(folder: Path, url: str, steps: str = STEPS) -> Config:
    (folder / "mcp.yml").write_text(f"""
tools:
  find: {{url: '{url}/find', method: GET, parameters: {{q: string}}, token: tok-12345}}
  lend_book:
    url: {url}/books/{{id}}/loans
    body: json
    only_in_steps: true
    idempotent: true
    parameters: {{id: string, days: integer, note: string, gone: {{type: string, default: d}}}}
{steps}""")
    environ = {"HOME": str(folder), "MCP_CONFIG_PATH": str(folder / "mcp.yml")}
    return load_config(environ, cwd=folder)


async def call(config: Config, name: str, arguments: dict[str, Any]) -> CallToolResult:
    followed = FollowedTools(config)
    server = create_server(config.tools, create_operator("ada"), first=followed.reading)
    with anyio.fail_after(30):
        async with Client(server) as client:
            return await client.call_tool(name, arguments)


async def test_values_pass_from_step_to_step_and_the_result_is_made_of_all(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    endpoint.on("/find", answer_json([{"id": "b/7", "title": "Emma"}]))
    endpoint.on("/books/b%2F7/loans", answer_json({"loan": 1}))
    config = load(tmp_path, endpoint.url)
    assert config.broken_tools == {}
    result = await call(config, "lend", {"title": "emma & co", "request_id": "mine"})
    assert result.structured_content == {"result": {"loan": 1, "title": "Emma"}}
    found, lent = endpoint.requests
    assert found.target == "/find?q=emma%20%26%20co"
    assert lent.json == {"days": 14, "note": "literal", "gone": "d"}
    assert [each.headers["x-request-id"] for each in endpoint.requests] == ["mine-1", "mine-2"]
    assert lent.headers["idempotency-key"] == "mine-2"


async def test_a_tool_of_steps_is_listed_as_one_with_the_hints_of_all(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    more = f"""
  remove: {{url: '{endpoint.url}/x', method: DELETE, confirm: true}}
  read: {{steps: [{{tool: find, arguments: {{q: a}}}}]}}
  drop: {{steps: [{{tool: find, arguments: {{q: a}}}}, {{tool: remove}}]}}
"""
    config = load(tmp_path, endpoint.url, STEPS + more)
    followed = FollowedTools(config)
    with anyio.fail_after(30):
        async with Client(
            create_server(config.tools, create_operator("ada"), first=followed.reading)
        ) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == ["current_time", "find", "remove", "lend", "read", "drop"]

    def hints(name: str) -> tuple[bool | None, bool | None, bool]:
        told = tools[name].annotations
        assert told is not None
        return told.read_only_hint, told.destructive_hint, bool(tools[name].meta)

    assert hints("read") == (True, False, False)
    assert hints("lend") == (False, None, False)
    assert hints("drop") == (False, True, True)
    assert tools["drop"].description == "Calls find, remove, in this order."


@pytest.mark.parametrize(
    ("steps", "handlers", "code", "said"),
    [
        ("- {tool: lend_book, name: first, arguments: {id: a, days: 1, note: n}}\n"
         "      - {tool: find, arguments: {q: a}}",
         {"/books/a/loans": answer_json({}), "/find": answer(render(b"", status=503))},
         "failed", "step 2 (find): the endpoint answered HTTP 503; done before, and not taken back:"
         " first"),
        ("- {tool: find, arguments: {q: a}}\n"
         "      - {tool: lend_book, arguments: {id: '= find', days: 1, note: n}}",
         {"/find": answer_json({"a": 1})},
         "failed", "step 2 (lend_book): id must be a string, not an object"),
        ("- {tool: find, arguments: {q: a}}\n"
         "      - {tool: find, name: b, arguments: {q: '= length(find)'}}",
         {"/find": answer_json(5)},
         "failed", "step 2 (b): a function in length(find) got something else than it takes"),
        ("- {tool: find, arguments: {q: a}}\n    result: length(find)",
         {"/find": answer_json(5)}, "failed", "result: a function in length(find) got"),
        ("- {tool: lend_book, arguments: {id: a, days: 1, note: n}}\n    timeout: 0.2",
         {"/books/a/loans": Hanging()},
         "timeout", "step 1 (lend_book): not over within 0.2 seconds; whether it took effect is"),
    ],
)  # fmt: skip
async def test_a_step_that_fails_ends_it_and_says_what_was_done(
    endpoint: ToolEndpoint,
    tmp_path: Path,
    steps: str,
    handlers: dict[str, Any],
    code: str,
    said: str,
) -> None:
    for path, handler in handlers.items():
        endpoint.on(path, handler)
    config = load(tmp_path, endpoint.url, f"  all:\n    steps:\n      {steps}\n")
    assert config.broken_tools == {}
    error = error_of(await call(config, "all", {}))
    assert error["code"] == code
    assert said in error["message"]


async def test_a_step_is_left_out_where_its_condition_gives_nothing(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    steps = """
  all:
    parameters: {really: boolean}
    steps:
      - {tool: find, arguments: {q: a}}
      - {tool: find, name: more, when: parameters.really, arguments: {q: b}}
    result: "[find, more]"
"""
    endpoint.on("/find", answer_json("x"))
    config = load(tmp_path, endpoint.url, steps)
    left_out = await call(config, "all", {"really": False})
    assert left_out.structured_content == {"result": ["x", None]}
    assert len(endpoint.requests) == 1
    taken = await call(config, "all", {"really": True})
    assert taken.structured_content == {"result": ["x", "x"]}


async def test_what_a_step_answers_stays_in_its_place_and_holds_no_secret(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    endpoint.on("/find", answer_json([{"id": "../admin?x=", "title": "tok-12345"}]))
    result = await call(load(tmp_path, endpoint.url), "lend", {"title": "a"})
    assert error_of(result)["code"] == "failed"
    assert endpoint.requests[-1].target == "/books/..%2Fadmin%3Fx%3D/loans"
    endpoint.on("/find", answer_json([{"id": "http://169.254.169.254", "title": "tok-12345"}]))
    endpoint.on("/books/http%3A%2F%2F169.254.169.254/loans", compute(lambda _: 1))
    kept = await call(load(tmp_path, endpoint.url), "lend", {"title": "a"})
    assert kept.structured_content == {"result": {"loan": None, "title": "[redacted]"}}


async def test_a_large_answer_of_a_step_reaches_the_next_whole(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    endpoint.on("/find", answer_json({"text": "x" * 200_000, "last": "end"}))
    steps = "  all: {steps: [{tool: find, arguments: {q: a}}], result: find.last}\n"
    result = await call(load(tmp_path, endpoint.url, steps), "all", {})
    assert result.structured_content == {"result": "end"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("steps: []", "tools.all.steps: "),
        ("steps: [{arguments: {}}]", "tools.all.steps[0].tool: is missing, should be text"),
        ("steps: [{tool: nope}]", "tools.all.steps[0].tool: nope is no tool of the file"),
        ("steps: [{tool: all}]", "tools.all.steps[0].tool: all is a tool of steps itself"),
        ("steps: [{tool: lend}]", "tools.all.steps[0].tool: lend is a tool of steps itself"),
        ("steps: [{tool: current_time}]", "current_time is no tool of the file"),
        ("steps: [{tool: find}, {tool: find}]", "steps[1]: is known as find, and so is another"),
        ("steps: [{tool: find, name: parameters}]", "is known as parameters, and so is another"),
        ("steps: [{tool: find, name: 'a b'}]", "steps[0].name: has 1 to 64 of a-z"),
        ("steps: [{tool: find, when: 'a['}]", "steps[0].when: is no JMESPath expression"),
        ("steps: [{tool: find, arguments: {q: {x: ['= a[']}}}]", "steps[0].arguments: q is no JME"),
        ("result: 'a[', steps: [{tool: find}]", "tools.all.result: is no JMESPath"),
        ("timeout: 0, steps: [{tool: find}]", "tools.all.timeout: is out of range"),
        (f"steps: {json.dumps([{'tool': 'find', 'name': f's{at}'} for at in range(11)])}",
         "tools.all.steps: "),
    ],
)  # fmt: skip
def test_a_wrong_tool_of_steps_costs_itself(tmp_path: Path, entry: str, said: str) -> None:
    config = load(tmp_path, "https://h.example", f"{STEPS}  all: {{{entry}}}\n")
    assert list(config.tools) == ["find", "lend_book"]
    assert list(config.composed) == ["lend"]
    [told] = config.broken_tools["all"]
    assert said in told
