"""What a message can't hold of a tool's result lies with the conversation afterwards."""

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest

from client.attachments import RemoteAttachments
from client.coordinator.coordinator import Coordinator
from client.coordinator.events import ToolFinished, TurnEvent, TurnFinished
from client.hub.errors import ServerUnavailableError
from client.hub.servers import HubServer, InProcessTarget
from client.linked_results import read_link
from client.llm.protocol import Completion, ToolCall, Usage
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.conversations.contract_uris import parse_attachment_uri
from servers.tools.server import create_server
from tests.assistant import (
    OWNER,
    Assistant,
    Lab,
    ask,
    assert_whole,
    calls,
    open_assistant,
    run_turn,
    said,
)
from tests.fakes.tool_endpoint import Handler, ToolEndpoint, answer, render, serve_tool_endpoint
from tests.servers.tools.conftest import declare

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 3_000
PICTURE = types.ImageContent(
    type="image", data=base64.b64encode(b"\x89PNG" * 60_000).decode(), mime_type="image/png"
)
TEXT = "".join(f"line {number}\n" for number in range(20_000))


@asynccontextmanager
async def open_with_endpoint(
    directory: Path, handler: Handler
) -> AsyncGenerator[tuple[Assistant, ToolEndpoint]]:
    """An assistant with the tool `tools__report`, which asks the endpoint."""
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/", handler)
        declared = declare(
            report={"url": url, "method": "GET", "max_response_bytes": 5_000_000},
        )
        server = create_server(declared, create_operator(OWNER))
        tools = HubServer("tools", InProcessTarget(server), ours=True)
        with anyio.fail_after(30):
            async with open_assistant(directory, more=[tools]) as a:
                yield a, endpoint


def report(number: int = 1) -> Completion:
    call = ToolCall(f"call-{number}", "tools__report", {})
    return Completion(text="", tool_calls=[call], stop_reason="tool_use", usage=Usage(1, 1))


def kept_of(events: list[TurnEvent]) -> list[Mapping[str, Any]]:
    assert isinstance(events[-1], TurnFinished)
    return [link for event in events if isinstance(event, ToolFinished) for link in event.kept]


async def read(a: Assistant, link: Mapping[str, Any]) -> bytes:
    uri = parse_attachment_uri(link["uri"])
    assert uri is not None
    assert uri.conversation_id == "c"
    parts = [part async for part in RemoteAttachments(a.hub, OWNER).read(uri)]
    assert (parts[0].name, parts[0].mime_type) == (link["name"], link["mimeType"])
    return b"".join(part.data for part in parts)


async def attachments(a: Assistant) -> int:
    return len((await a.store.list_attachments("c")).attachments)


@pytest.mark.parametrize(
    ("content_type", "body", "name"),
    [("application/pdf", PDF, "report.pdf"), ("text/plain", TEXT.encode(), "report.txt")],
)
async def test_a_linked_answer_is_there_when_its_server_has_forgotten_it(
    tmp_path: Path, content_type: str, body: bytes, name: str
) -> None:
    model = ScriptedModel([report(), said("There it is.")])
    handler = answer(render(body, content_type=content_type))
    async with open_with_endpoint(tmp_path, handler) as (a, _):
        [link] = kept_of(await run_turn(Coordinator(a.hub, model), ask("The report")))
    async with open_assistant(tmp_path) as later:
        assert await read(later, link) == body
        result = (await later.messages())[2]
    assert (link["name"], link["size"]) == (name, len(body))
    assert isinstance(result.content, list)
    assert result.content[-1] == link
    assert "hour" not in str(result.content)
    assert model.requests[1].messages[-1].content == result.content


async def test_the_same_answer_again_is_the_same_attachment(tmp_path: Path) -> None:
    model = ScriptedModel([report(1), report(2), said("Twice."), report(1), said("Once more.")])
    handler = answer(render(PDF, content_type="application/pdf"))
    async with open_with_endpoint(tmp_path, handler) as (a, endpoint):
        coordinator = Coordinator(a.hub, model)
        links = kept_of(await run_turn(coordinator, ask("The report, twice")))
        links += kept_of(await run_turn(coordinator, ask("Again")))
        assert (len(endpoint.requests), await attachments(a)) == (3, 1)
    assert links == [links[0]] * 3


async def test_pictures_that_fit_stay_and_all_others_are_kept(tmp_path: Path) -> None:
    """Two that would fit alone are together too large for a message."""
    half = types.ImageContent(type="image", data="A" * 200_000, mime_type="image/png")
    odd = types.BlobResourceContents(uri="x://y", blob="aGk=", mime_type="nonsense \x7f")
    damaged = types.AudioContent(type="audio", data="!" * 300_000, mime_type="audio/wav")
    foreign = types.ResourceLink(type="resource_link", uri="file:///a", name="a")

    def draw(_: dict[str, Any]) -> types.CallToolResult:
        embedded = types.EmbeddedResource(type="resource", resource=odd)
        return types.CallToolResult(content=[half, half, PICTURE, embedded, damaged, foreign])

    async with open_assistant(tmp_path, {"read_draw": draw}) as a:
        model = ScriptedModel([calls(("read_draw", {})), said("There.")])
        links = kept_of(await run_turn(Coordinator(a.hub, model), ask("Draw")))
        data = [await read(a, link) for link in links]
        content = (await a.messages())[2].content
    assert data == [base64.b64decode(half.data), base64.b64decode(PICTURE.data), b"hi"]
    assert [link["name"] for link in links] == ["read_draw.png"] * 2 + ["read_draw.bin"]
    assert links[2]["mimeType"] == "application/octet-stream"
    assert isinstance(content, list)
    assert content[0] == {"type": "image", "data": half.data, "mimeType": "image/png"}
    assert content[1:4] == links
    assert content[4]["text"].endswith("left out]")
    assert content[5]["text"] == (
        "[it could not be kept with this conversation: its bytes are damaged]"
    )
    assert content[6]["uri"] == "file:///a"


async def test_a_result_full_of_files_keeps_sixteen(tmp_path: Path) -> None:
    def draw(_: dict[str, Any]) -> types.CallToolResult:
        blobs = [
            types.BlobResourceContents(uri=f"x://{n}", blob=base64.b64encode(b"%d" % n).decode())
            for n in range(17)
        ]
        return types.CallToolResult(
            content=[types.EmbeddedResource(type="resource", resource=blob) for blob in blobs]
        )

    async with open_assistant(tmp_path, {"read_draw": draw}) as a:
        model = ScriptedModel([calls(("read_draw", {})), said("There.")])
        assert len(kept_of(await run_turn(Coordinator(a.hub, model), ask("Draw")))) == 16
        content = (await a.messages())[2].content
    assert isinstance(content, list)
    assert "16 files a result are kept" in content[-1]["text"]


@pytest.mark.parametrize("at", ["put_attachment", "tool-result://"])
async def test_that_an_answer_is_not_kept_is_told_and_ends_nothing(tmp_path: Path, at: str) -> None:
    model = ScriptedModel([report(), said("There it is.")])
    handler = answer(render(PDF, content_type="application/pdf"))
    async with open_with_endpoint(tmp_path, handler) as (a, _):

        def before(server: str, what: str) -> None:
            if what.startswith(at):
                raise ServerUnavailableError(server, f"server {server} is away.")

        a.hub.before = before
        assert kept_of(await run_turn(Coordinator(a.hub, model), ask("The report"))) == []
        content = (await a.messages())[2].content
        a.hub.before = lambda server, what: None
        assert isinstance(content, list)
        assert await read_link(a.hub, "tools", content[1]["uri"], OWNER) == PDF
    server = "tools" if at == "tool-result://" else "conversations"
    assert content[2]["text"] == (
        f"[report.pdf could not be kept with this conversation: server {server} is away; its link "
        "works for an hour at most]"
    )


async def test_another_servers_link_of_that_kind_is_not_followed(tmp_path: Path) -> None:
    """Only a server of ours promises what such links mean."""
    link = types.ResourceLink(type="resource_link", uri="tool-result://x", name="a")
    lab = Lab({"read_it": lambda _: types.CallToolResult(content=[link])})
    other = HubServer("other", InProcessTarget(lab.create_server()))
    call = ToolCall("call-1", "other__read_it", {})
    asked: list[str] = []
    async with open_assistant(tmp_path, more=[other]) as a:
        a.hub.before = lambda _, what: asked.append(what)
        wanted = Completion(text="", tool_calls=[call], stop_reason="tool_use", usage=Usage(1, 1))
        model = ScriptedModel([wanted, said("There.")])
        assert kept_of(await run_turn(Coordinator(a.hub, model), ask("Go"))) == []
    assert "read_it" in asked
    assert link.uri not in asked


async def test_a_turn_that_is_stopped_while_it_keeps_a_file_knows_the_answer(
    tmp_path: Path,
) -> None:
    model = ScriptedModel([report()])
    handler = answer(render(PDF, content_type="application/pdf"))
    async with open_with_endpoint(tmp_path, handler) as (a, _):
        coordinator = Coordinator(a.hub, model)

        def before(_: str, tool: str) -> None:
            if tool == "put_attachment":
                assert coordinator.stop("c", OWNER)

        a.hub.before = before
        await run_turn(coordinator, ask("The report"))
        messages = await a.messages()
    assert_whole(messages)
    assert "application/pdf" in messages[2].text()
    assert not messages[2].is_error


async def test_what_reads_attachments_is_offered_where_there_is_one(tmp_path: Path) -> None:
    model = ScriptedModel([report(), said("There."), said("Hello.")])
    handler = answer(render(TEXT.encode(), content_type="text/plain"))
    async with open_with_endpoint(tmp_path, handler) as (a, _):
        a.hub.offered = {"read_attachment"}
        coordinator = Coordinator(a.hub, model)
        await run_turn(coordinator, ask("The report"))
        await run_turn(coordinator, ask("Hi", conversation_id="other"))
    offered = [
        "conversations__read_attachment" in {tool.name for tool in request.tools}
        for request in model.requests
    ]
    assert offered == [False, True, False]
