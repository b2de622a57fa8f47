"""Tools of OpenAPI documents: what is sent, and documents that are got from an address."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from agentic.config.following import FollowedTools
from agentic.config.load import load_config
from servers.access.principal import create_operator
from servers.tools.server import ToolsServer, create_server
from tests.fakes.tool_endpoint import Hanging, ToolEndpoint, answer, answer_json, render
from tests.servers.tools.conftest import error_of, text_of
from tests.servers.tools.test_reread import until

POLL_SECONDS = 0.01
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
WORDS = {"type": "array", "items": {"type": "string"}}
PATHS: dict[str, Any] = {
    "/pets/{id}": {
        "get": {
            "operationId": "getPet",
            "parameters": [
                ID,
                {"name": "fields", "in": "query", "explode": False, "schema": WORDS},
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
            ],
        },
        "put": {
            "operationId": "putPet",
            "parameters": [ID],
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}, "id": {"type": "integer"}},
                        }
                    }
                }
            },
        },
    }
}
SECURITY: dict[str, Any] = {
    "security": [{"key": []}],
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "k"}}},
}


def document(paths: Mapping[str, Any] = PATHS, **root: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": paths, **root}


def serve(folder: Path, entry: str, **environ: str) -> ToolsServer:
    """A server of `tools: {pets: …}`, which looks at the file again and again."""
    (folder / "mcp.yml").write_text(f"tools:\n  pets: {{{entry}}}\n")
    path = str(folder / "mcp.yml")
    config = load_config({"HOME": str(folder), "MCP_CONFIG_PATH": path, **environ}, cwd=folder)
    followed = FollowedTools(config)
    return create_server(
        config.tools,
        create_operator("ada"),
        look=followed.look,
        first=followed.reading,
        poll_seconds=POLL_SECONDS,
        refresh_seconds=0.05,
    )


async def list_names(client: Client) -> list[str]:
    listed = await client.list_tools(cache_mode="refresh")
    return [tool.name for tool in listed.tools if tool.name != "current_time"]


def lists(client: Client, *names: str) -> Callable[[], Awaitable[bool]]:
    """Whether it lists these. On a busy machine a document may come after the first list."""

    async def is_so() -> bool:
        return await list_names(client) == list(names)

    return is_so


def tells(server: ToolsServer, text: str) -> Callable[[], Awaitable[bool]]:
    """Whether it tells newcomers this."""

    async def is_so() -> bool:
        return text in str(server.instructions)

    return is_so


async def test_a_documents_operations_are_called_as_it_says(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document(**SECURITY)))
    endpoint.on("/v1/pets/7", answer_json({"name": "Rex", "echo": "tok-12345"}))
    server = serve(
        tmp_path,
        "openapi: api.json, operations: [getPet, putPet], token: '${TOKEN}', "
        f"base_url: '{endpoint.url}/v1/'",
        TOKEN="tok-12345",
    )
    with anyio.fail_after(60):
        async with Client(server) as client:
            assert await list_names(client) == ["pets_getPet", "pets_putPet"]
            got = await client.call_tool(
                "pets_getPet", {"id": 7, "fields": ["a", "b,c"], "X-Trace": "t"}
            )
            put = await client.call_tool("pets_putPet", {"id": 1, "id_path": 7, "name": "Rex"})
            wrong = await client.call_tool("pets_getPet", {"id": 7, "k": "mine"})
    assert got.structured_content == {"result": {"name": "Rex", "echo": "[redacted]"}}
    assert not put.is_error
    first, second = endpoint.requests
    assert (first.method, first.target) == ("GET", "/v1/pets/7?fields=a,b%2Cc&k=tok-12345")
    assert first.headers["x-trace"] == "t"
    assert (second.method, second.target) == ("PUT", "/v1/pets/7?k=tok-12345")
    assert second.json == {"name": "Rex", "id": 1}
    assert error_of(wrong)["message"] == "k is unknown; known: id, fields, X-Trace"


async def test_a_tool_without_the_credential_that_its_document_wants_says_which(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document(**SECURITY)))
    entry = f"openapi: api.json, operations: [getPet], base_url: '{endpoint.url}'"
    with anyio.fail_after(60):
        async with Client(serve(tmp_path, entry)) as client:
            failed = await client.call_tool("pets_getPet", {"id": 7})
    assert text_of(failed) == (
        "Unavailable: pets_getPet needs a credential (a key in the query as k). Set "
        "tools.pets.token in mcp.yml, for example token: ${PETS_TOKEN}, and start the server again."
    )
    assert endpoint.requests == []


async def test_a_document_at_an_address_is_got_and_kept(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    url = endpoint.on("/api/openapi.json", answer_json(document(servers=[{"url": "v1"}])))
    endpoint.on("/api/v1/pets/7", answer_json({"ok": True}))
    entry = f"openapi: '{url}', operations: [getPet]"
    with anyio.fail_after(60):
        async with Client(serve(tmp_path, entry)) as client:
            await until(lists(client, "pets_getPet"))
            assert not (await client.call_tool("pets_getPet", {"id": 7})).is_error
    asked = endpoint.requests[0]
    assert (asked.method, asked.target, asked.body) == ("GET", "/api/openapi.json", b"")
    [copy] = (tmp_path / ".local/share/agentic/openapi").iterdir()
    assert copy.stat().st_mode & 0o077 == 0

    endpoint.on("/api/openapi.json", answer(render(b"", status=500)))
    with anyio.fail_after(60):
        async with Client(serve(tmp_path, entry)) as client:
            assert await list_names(client) == ["pets_getPet"], "of the copy"


async def test_a_document_that_changes_changes_the_tools_and_a_broken_one_does_not(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    url = endpoint.on("/openapi.json", answer_json(document()))
    server = serve(tmp_path, f"openapi: '{url}', operations: ['*']")
    with anyio.fail_after(60):
        async with Client(server) as client:
            await until(lists(client, "pets_getPet"))
            renamed = json.loads(json.dumps(PATHS).replace("getPet", "readPet"))
            endpoint.on("/openapi.json", answer_json(document(renamed)))
            await until(lists(client, "pets_readPet"))
            endpoint.on("/openapi.json", answer(render(b"openapi: 3.1.0")))
            said = "tools.pets.openapi: paths: should be a mapping of paths to their operations"
            await until(tells(server, said))
            assert await list_names(client) == ["pets_readPet"]


@pytest.mark.slow
async def test_a_document_that_stays_away_delays_the_first_list_and_no_more(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    hanging = Hanging()
    url = endpoint.on("/openapi.json", hanging)
    entry = f"openapi: '{url}', operations: [getPet]}}\n  other: {{url: '{endpoint.url}/other'"
    endpoint.on("/other", answer_json({"result": 1}))
    with anyio.fail_after(60):
        async with Client(serve(tmp_path, entry)) as client:
            await hanging.arrived.wait()
            before = anyio.current_time()
            assert await list_names(client) == ["other"]
            assert anyio.current_time() - before > 2, "it waits up to five seconds"
            before = anyio.current_time()
            assert await list_names(client) == ["other"]
            assert anyio.current_time() - before < 2
            assert not (await client.call_tool("other", {})).is_error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (render(b"", status=404), "the address answered HTTP 404; the last good copy stays"),
        (render(b"", status=302, headers={"Location": "http://169.254.169.254/?k=1"}),
         "answered HTTP 302 to http://169.254.169.254/; give the final address"),
        (render(b"{}"), "openapi: is missing, should be 3.0, 3.1 or 3.2"),
        (render(b"xx", headers={"Content-Encoding": "gzip"}), "answered with broken gzip"),
        (render(b"", headers={"Content-Encoding": "br"}), "an encoding that was not asked for"),
        (b"SSH-2.0-x\r\n\r\n", "its host can't be reached"),
    ],
)  # fmt: skip
async def test_an_address_that_gives_no_document_is_told(
    endpoint: ToolEndpoint, tmp_path: Path, given: bytes, said: str
) -> None:
    endpoint.on("/openapi.json", answer(given))
    server = serve(tmp_path, f"openapi: '{endpoint.url}/openapi.json', operations: [getPet]")
    with anyio.fail_after(60):
        async with Client(server) as client:
            await until(tells(server, said))
            assert await list_names(client) == []
    assert not (tmp_path / ".local/share/agentic/openapi").exists()


@pytest.mark.parametrize(
    "server",
    ["http://169.254.169.254/latest", "https://evil.example/", "//evil.example/",
     "http://127.0.0.1:1/"],
)  # fmt: skip
async def test_a_document_at_an_address_leads_to_its_own_host_only(
    endpoint: ToolEndpoint, tmp_path: Path, server: str
) -> None:
    url = endpoint.on("/openapi.json", answer_json(document(servers=[{"url": server}])))
    tools = serve(tmp_path, f"openapi: '{url}', operations: [getPet], token: tok-1")
    with anyio.fail_after(60):
        async with Client(tools) as client:
            await until(tells(tools, "the document is from another host"))
            assert await list_names(client) == []
    assert all(each.target == "/openapi.json" for each in endpoint.requests)
    assert all("authorization" not in each.headers for each in endpoint.requests)


async def test_an_address_that_hides_where_it_leads_is_not_followed(tmp_path: Path) -> None:
    server = serve(tmp_path, "openapi: 'http://0x7f.1/openapi.json', operations: [getPet]")
    with anyio.fail_after(60):
        async with Client(server):
            await until(tells(server, "the address 0x7f.1 is in an unusual form"))


async def test_a_file_that_changes_is_read_again_and_a_broken_one_keeps_the_tools(
    tmp_path: Path,
) -> None:
    api = tmp_path / "api.json"
    api.write_text(json.dumps(document()))
    entry = "openapi: api.json, operations: [getPet, putPet], base_url: 'https://h.example'"
    server = serve(tmp_path, entry)
    with anyio.fail_after(60):
        async with Client(server) as client:
            assert await list_names(client) == ["pets_getPet", "pets_putPet"]
            api.write_text(json.dumps(document())[:-1])
            await until(tells(server, "api.json: line 1, column"))
            assert await list_names(client) == ["pets_getPet", "pets_putPet"]
            api.write_text(json.dumps(document({"/a": {"get": {"operationId": "getPet"}}})))
            await until(tells(server, "has no operation putPet"))
            assert await list_names(client) == ["pets_getPet", "pets_putPet"]
            (tmp_path / "mcp.yml").write_text(
                f"tools: {{pets: {{{entry.replace(', putPet', '')}}}}}\n"
            )
            await until(lists(client, "pets_getPet"))
            assert server.instructions is None


async def test_the_calls_of_one_api_share_its_rate_and_its_token(
    endpoint: ToolEndpoint, tmp_path: Path
) -> None:
    """But for an operation that has a rate of its own; a changed title costs nobody the count."""
    names = ("a", "b", "own")
    paths = {f"/{name}": {"get": {"operationId": name}} for name in names}
    (tmp_path / "api.json").write_text(json.dumps(document(paths)))
    for name in names:
        endpoint.on(f"/{name}", answer_json(name))
    token_url = endpoint.on("/token", answer_json({"access_token": "t", "expires_in": 3600}))
    oauth = f"{{token_url: '{token_url}', client_id: c, client_secret: '${{S}}'}}"
    entry = (
        f"openapi: api.json, base_url: '{endpoint.url}', auth: {{oauth: {oauth}}}, timeout: 5, "
        "rate_limit: 2/hour, operations: {a: {}, b: {%s}, own: {rate_limit: 3/hour}}"
    )
    server = serve(tmp_path, entry % "", S="hunter2")
    with anyio.fail_after(60):
        async with Client(server) as client:
            assert not (await client.call_tool("pets_a", {})).is_error
            assert not (await client.call_tool("pets_b", {})).is_error
            for _ in range(3):
                assert not (await client.call_tool("pets_own", {})).is_error
            changed = f"tools:\n  pets: {{{entry % 'title: Other'}}}\n"
            (tmp_path / "mcp.yml").write_text(changed)

            async def is_changed() -> bool:
                listed = await client.list_tools(cache_mode="refresh")
                return any(tool.title == "Other" for tool in listed.tools)

            await until(is_changed)
            over = [error_of(await client.call_tool(f"pets_{name}", {})) for name in names]
    assert {error["code"] for error in over} == {"unavailable"}
    assert all("try again in" in error["message"] for error in over)
    assert [request.target for request in endpoint.requests].count("/token") == 1
