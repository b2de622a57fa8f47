"""docs/tools.md: every tool that it declares loads without a word, and does what it says."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from mcp import Client

from agentic.config.following import FollowedTools
from agentic.config.load import load_config
from agentic.config.models import Config
from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import ToolEndpoint, answer_json, serve_tool_endpoint

TEXT = (Path(__file__).parents[1] / "docs" / "tools.md").read_text()
[DOCUMENT] = re.findall(r"```yaml\n(openapi:.*?)```", TEXT, re.DOTALL)
"""The OpenAPI document, which lies beside `mcp.yml`."""
EXAMPLES = re.findall(r"```yaml\n(tools:\n.*?)```", TEXT, re.DOTALL)
SECRETS = {"EXAMPLE_TOKEN": "tok-12345", "BILLING_SECRET": "sec-12345", "PETSTORE_KEY": "key-12345"}


@dataclass(frozen=True)
class Expected:
    """A call, what the endpoint gets, what it answers, and what the caller gets."""

    target: str
    method: str = "GET"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    body: object = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    answer: object = field(default_factory=lambda: {"ok": True})
    result: object = field(default_factory=lambda: {"ok": True})


EXPECTED = {
    "web_search": Expected(
        "/search", "POST", {"query": "mcp"}, body={"query": "mcp", "limit": 5},
        answer={"result": ["found"]}, result=["found"],
    ),
    "find_users": Expected(
        "/teams/otters/users?q=ada&fields=id%2Cname&page=1",
        arguments={"team": "otters", "name": "ada"},
        answer={"items": [{"name": "Ada"}]}, result=["Ada"],
    ),
    "rename_user": Expected(
        "/users/7", "PATCH", {"id": 7, "name": "Ada"}, body={"name": "Ada"},
        headers={"x-reason": "asked by chat"},
        answer={"id": 7, "name": "Ada"}, result={"id": 7, "name": "Ada"},
    ),
    "with_bearer": Expected("/bearer", headers={"authorization": "Bearer tok-12345"}),
    "with_password": Expected("/basic", headers={"authorization": "Basic YWRhOnRvay0xMjM0NQ=="}),
    "with_header": Expected("/header", headers={"x-api-key": "tok-12345"}),
    "with_query": Expected("/query?api_key=tok-12345"),
    "list_invoices": Expected("/invoices", headers={"authorization": "Bearer given-1"}),
    "exchange_rate": Expected("/latest?base=CHF", arguments={"currency": "CHF"}),
    "send_invoice": Expected("/invoices/a%2F1/send", "POST", {"number": "a/1"}),
    "delete_invoice": Expected("/invoices/a1", "DELETE", {"number": "a1"}),
    "petstore_listPets": Expected(
        "/v1/pets?limit=2&tags=a,b", arguments={"limit": 2, "tags": ["a", "b"]},
        headers={"x-api-key": "key-12345"},
    ),
    "rename_pet": Expected(
        "/v1/pets/7", "PATCH", {"petId": 7, "name": "Rex"}, body={"name": "Rex"},
        headers={"x-api-key": "key-12345", "content-type": "application/json"},
    ),
    "find_book": Expected("/find?q=Emma", arguments={"q": "Emma"}),
    "lend_book": Expected(
        "/books/7/loans", "POST", {"title": "Emma"}, body={"days": 14},
        answer={"loan": 1}, result={"title": "Emma", "loan": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(at) for at in range(len(EXAMPLES))])
async def test_each_example_does_what_is_written_beside_it(example: str, tmp_path: Path) -> None:
    async with serve_tool_endpoint() as endpoint:
        here = re.sub(r"https://\w+\.example\.com", endpoint.url, example)
        if "openapi:" in here:  # which may not lead to this machine by itself
            here = here.replace("    token:", f"    base_url: {endpoint.url}/v1\n    token:")
            (tmp_path / "petstore.yml").write_text(DOCUMENT)
        (tmp_path / "mcp.yml").write_text(here)
        config = load_config({"HOME": str(tmp_path), **SECRETS}, cwd=tmp_path)
        assert (config.warnings, config.broken_tools) == ([], {})
        assert config.tools
        with anyio.fail_after(20):
            first = FollowedTools(config).reading
            server = create_server(config.tools, create_operator("ada"), first=first)
            async with Client(server) as client:
                for name in expected_names(config):
                    expected = EXPECTED[name]
                    path = urlsplit(expected.target).path
                    endpoint.on(path, answer_json(expected.answer))
                    endpoint.on("/oauth/token", answer_json({"access_token": "given-1"}))
                    if name == "lend_book":
                        endpoint.on("/find", answer_json([{"id": 7, "title": "Emma"}]))
                    result = await client.call_tool(name, expected.arguments)
                    assert result.structured_content == {"result": expected.result}
                    _check(endpoint, expected)


def expected_names(config: Config) -> list[str]:
    """Of the tools that are served."""
    own = [name for name, tool in config.tools.items() if not tool.only_in_steps]
    return [*own, *config.composed]


def _check(endpoint: ToolEndpoint, expected: Expected) -> None:
    *before, request = endpoint.requests
    assert (request.method, request.target) == (expected.method, expected.target)
    assert expected.headers.items() <= request.headers.items()
    if expected.body is not None:
        sent = request.json
        assert sent.get("params", sent) == expected.body
    if request.target == "/invoices":
        assert parse_qs(before[-1].body.decode()) == {
            "grant_type": ["client_credentials"],
            "scope": ["invoices.read"],
            "audience": [endpoint.url],
        }


def test_each_declared_tool_of_the_document_is_tried() -> None:
    named = re.findall(r"(?m)^  (\w+):$", "\n".join(EXAMPLES))
    made = {"petstore": ["petstore_listPets", "rename_pet"], "lend_copy": []}
    assert [each for name in named for each in made.get(name, [name])] == list(EXPECTED)
    assert TEXT.count("```yaml") == len(EXAMPLES) + 1
