"""Answers that are too large for a message, or no text, are kept for their owner and linked."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult
from mcp_types import (
    BlobResourceContents,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceLink,
    TextResourceContents,
)

from servers.access.principal import create_operator
from servers.tools.charsets import decode
from servers.tools.contract import MAX_RESULT_PART_BYTES, RESULT_SIZE_META_KEY
from servers.tools.kept_answers import KEPT_SECONDS, MAX_BYTES, MAX_OWNER_BYTES, KeptAnswers
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import ToolEndpoint, answer, answer_json, render
from tests.servers.connections import meta_for
from tests.servers.tools.conftest import OpenTools, declare, error_of

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 4


def link_of(result: CallToolResult) -> ResourceLink:
    [_, link] = result.content
    assert isinstance(link, ResourceLink)
    return link


def excerpt_of(result: CallToolResult) -> str:
    assert result.content[0].type == "text"
    return result.content[0].text


async def read(
    client: Client, uri: str, owner: str | None = None
) -> TextResourceContents | BlobResourceContents:
    request = ReadResourceRequest(params=ReadResourceRequestParams(uri=uri, _meta=meta_for(owner)))
    [contents] = (await client.session.send_request(request, ReadResourceResult)).contents
    return contents


def bytes_of(contents: TextResourceContents | BlobResourceContents) -> bytes:
    assert isinstance(contents, BlobResourceContents)
    return base64.b64decode(contents.blob)


@pytest.mark.parametrize(
    ("content_type", "body", "told", "name"),
    [
        ("application/pdf", PDF, "application/pdf", "t.pdf"),
        ("application/pdf", b"%PDF only letters", "application/pdf", "t.pdf"),
        ("Application/Zip; x=y", b"PK\3\4", "application/zip", "t.zip"),
        ("application/octet-stream", b"\xff\xfe\xfd", "application/octet-stream", "t.bin"),
        ("", b"a\0b", "application/octet-stream", "t.bin"),
        ("nonsense \x7f/<>", b"a\0b", "application/octet-stream", "t.bin"),
        ("video/mp4", b"\0\0", "video/mp4", "t.mp4"),
    ],
)
async def test_bytes_are_linked_and_can_be_read(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    content_type: str,
    body: bytes,
    told: str,
    name: str,
) -> None:
    url = endpoint.on("/", answer(render(body, content_type=content_type)))
    async with open_tools(t={"url": url, "method": "GET"}) as client:
        result = await client.call_tool("t", {})
        link = link_of(result)
        contents = await read(client, link.uri)
    assert (link.name, link.mime_type, link.size) == (name, told, len(body))
    assert f"{told}, {len(body):,} bytes" in excerpt_of(result)
    assert result.structured_content == {
        "result": {"uri": link.uri, "name": name, "mime_type": told, "bytes": len(body)}
    }
    assert (bytes_of(contents), contents.mime_type) == (body, told)


async def test_a_credential_that_comes_back_as_bytes_is_blotted_out(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    body = PDF + b"you sent: key-0123456789 \0" + PDF
    url = endpoint.on("/", answer(render(body, content_type="application/pdf")))
    declared = {"url": url, "method": "GET", "auth": {"bearer": "key-0123456789"}}
    async with open_tools(t=declared) as client:
        link = link_of(await client.call_tool("t", {}))
        kept = bytes_of(await read(client, link.uri))
    assert kept == body.replace(b"key-0123456789", b"*" * 14)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/octet-stream", b'{"a": 1}', {"a": 1}),
        ("application/octet-stream", b"plain", "plain"),
        ("application/vnd.api+json", b"[1]", [1]),
        ("text/plain", b"a\0b", "ab"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/json; charset=utf-16", json.dumps(["ü"]).encode("utf-16"), ["ü"]),
        ("application/json; charset=latin-1", '["ü"]'.encode("latin-1"), ["ü"]),
        ("text/plain; charset=shift_jis", "日本語".encode("shift_jis"), "日本語"),
    ],
)
async def test_what_is_text_stays_an_answer(
    endpoint: ToolEndpoint, open_tools: OpenTools, content_type: str, body: bytes, expected: object
) -> None:
    url = endpoint.on("/", answer(render(body, content_type=content_type)))
    async with open_tools(t={"url": url, "method": "GET"}) as client:
        result = await client.call_tool("t", {})
    assert result.structured_content == {"result": expected}


async def test_a_large_answer_is_read_in_parts(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    body = bytes(range(256)) * 4_000
    url = endpoint.on("/", answer(render(body, content_type="image/png")))
    tool = {"url": url, "method": "GET", "max_response_bytes": 2_000_000}
    async with open_tools(t=tool) as client:
        uri = link_of(await client.call_tool("t", {})).uri
        with pytest.raises(MCPError, match=r"1,024,000 bytes: read it in parts, with \?offset=0"):
            await read(client, uri)
        data = b""
        for offset in (0, MAX_RESULT_PART_BYTES):
            part = await read(client, f"{uri}?offset={offset}&length={MAX_RESULT_PART_BYTES}")
            assert part.meta is not None
            assert part.meta[RESULT_SIZE_META_KEY] == len(body)
            data += bytes_of(part)
        assert data == body
        assert bytes_of(await read(client, f"{uri}?offset=9999999&length=1")) == b""
        for length in (0, MAX_RESULT_PART_BYTES + 1):
            with pytest.raises(MCPError, match="length is 1 to"):
                await read(client, f"{uri}?offset=0&length={length}")


@pytest.mark.parametrize("value", ["ä" * 150_000, [{"n": "ä" * 1_000}] * 150])
async def test_a_text_beyond_what_is_read_is_an_excerpt_and_a_link(
    endpoint: ToolEndpoint, open_tools: OpenTools, value: object
) -> None:
    url = endpoint.on("/", answer_json({"result": value}))
    async with open_tools(t={"url": url, "max_response_bytes": 2_000_000}) as client:
        result = await client.call_tool("t", {})
        link = link_of(result)
        contents = await read(client, link.uri)
    assert isinstance(contents, TextResourceContents)
    text = contents.text
    assert (text if isinstance(value, str) else json.loads(text)) == value
    assert link.mime_type == ("text/plain" if isinstance(value, str) else "application/json")
    shown = excerpt_of(result)
    assert shown.startswith(text[:40_000])
    assert f"\n[{len(text) - 40_000:,} more characters; all of it is behind the link]" in shown
    assert len(result.model_dump_json()) < 100_000


async def test_a_declared_output_keeps_its_structure_or_is_too_large(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    paths = {"fits": 200_000, "over": 800_000}
    output = {"type": "string"}
    tools: dict[str, Mapping[str, Any]] = {
        name: {
            "url": endpoint.on(f"/{name}", answer_json({"result": "x" * size})),
            "output": output,
            "max_response_bytes": 2_000_000,
        }
        for name, size in paths.items()
    }
    pdf = endpoint.on("/pdf", answer(render(PDF, content_type="application/pdf")))
    tools["pdf"] = {"url": pdf, "method": "GET", "output": output}
    async with open_tools(**tools) as client:
        result = await client.call_tool("fits", {})
        over = error_of(await client.call_tool("over", {}))
        no_json = error_of(await client.call_tool("pdf", {}))
    assert result.structured_content == {"result": "x" * 200_000}
    assert link_of(result).size == 200_000
    assert (over["code"], "800,000 bytes" in over["message"]) == ("too_large", True)
    assert "application/pdf, and its output in mcp.yml wants JSON" in no_json["message"]


async def test_nobody_reads_what_was_answered_to_another(endpoint: ToolEndpoint) -> None:
    url = endpoint.on("/", answer(render(PDF, content_type="application/pdf")))
    shared = {"url": url, "method": "GET", "cache_seconds": 60, "cache_shared": True}
    server = create_server(declare(t=shared), create_operator("operator", delegate=True))
    with anyio.fail_after(20):
        async with Client(server) as client:
            of_ada = link_of(await client.call_tool("t", {}, meta=meta_for("ada"))).uri
            of_bob = link_of(await client.call_tool("t", {}, meta=meta_for("bob"))).uri
            for uri, owner in ((of_ada, "ada"), (of_bob, "bob")):
                assert bytes_of(await read(client, uri, owner)) == PDF
            told: set[str] = set()
            for uri in (of_ada, of_ada[:-1], f"{of_ada[:-1]}_", f"{of_ada}?offset=0&length=9"):
                with pytest.raises(MCPError, match="Resource not found") as error:
                    await read(client, uri, "bob")
                told.add(str(error.value))
            assert len(told) == 1
            with pytest.raises(MCPError, match="must name the owner"):
                await read(client, of_ada)
            listed = (await client.list_resources(meta=meta_for("ada"))).resources
            assert of_ada not in {resource.uri for resource in listed}


def test_what_is_kept_is_bounded_in_time_and_room_and_the_greatest_gives_way() -> None:
    now = 0.0
    kept = KeptAnswers(now=lambda: now)
    third = b"x" * (MAX_OWNER_BYTES // 3)
    of_ada = [kept.keep("ada", "t", "application/pdf", third).uri for _ in range(3)]
    now = 10.0
    of_ada.append(kept.keep("ada", "t", "application/pdf", third).uri)
    assert [kept.find("ada", uri) is not None for uri in of_ada] == [False, False, True, True]
    whole = kept.keep("ada", "t", "application/pdf", b"x" * MAX_OWNER_BYTES).uri
    assert kept.find("ada", whole) is not None
    assert kept.find("ada", of_ada[-1]) is None

    small = kept.keep("small", "t", "application/pdf", b"x").uri
    for number in range(2 * MAX_BYTES // MAX_OWNER_BYTES):
        kept.keep(f"owner {number}", "t", "application/pdf", third)
        kept.keep(f"owner {number}", "t", "application/pdf", third)
    assert kept.find("ada", whole) is None
    assert kept.find("small", small) is not None
    now = 10.0 + KEPT_SECONDS
    assert kept.find("small", small) is None


GERMAN, JAPANESE, RUSSIAN = "Grüße für 5 €", "日本語テスト", "Привет"


@pytest.mark.parametrize(
    ("text", "encoding", "content_type"),
    [
        (GERMAN, "cp1252", "text/plain; charset=iso-8859-1"),
        (GERMAN, "cp1252", "text/plain"),
        (GERMAN, "utf-8", "text/plain; charset=iso-8859-1"),
        (GERMAN, "utf-8", "text/plain; charset=nonsense"),
        (GERMAN, "cp1252", "text/plain; charset=utf-8"),
        (GERMAN, "utf-8-sig", "text/plain"),
        (GERMAN, "utf-16", "text/plain"),
        (GERMAN, "utf-32", "text/plain; charset=latin-1"),
        (JAPANESE, "utf-16-le", 'text/plain; CHARSET="UTF-16LE"'),
        (JAPANESE, "shift_jis", "text/plain; charset=Shift_JIS"),
        (JAPANESE, "euc-jp", "text/plain; charset=euc-jp"),
        (JAPANESE, "iso2022_jp", "text/plain; charset=iso-2022-jp"),
        (RUSSIAN, "koi8-r", "text/plain; charset=KOI8-R"),
        (f'<meta charset="shift_jis">{JAPANESE}', "shift_jis", "text/html"),
        ("+AGE-", "ascii", "text/plain; charset=utf-7"),
        ("abc", "ascii", "text/plain; charset=rot13"),
        ("abc", "ascii", "text/plain; charset=zlib"),
    ],
)
def test_a_text_is_read_in_the_encoding_that_it_is_in(
    text: str, encoding: str, content_type: str
) -> None:
    assert decode(text.encode(encoding), content_type) == text


def test_a_text_that_was_cut_loses_no_more_than_what_was_cut() -> None:
    assert decode(GERMAN.encode()[:-1], "text/plain; charset=utf-8") == GERMAN[:-1] + "\ufffd"


@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "utf-16", "iso2022_jp", "big5", "x"]))
def test_any_bytes_become_some_text(body: bytes, charset: str) -> None:
    decode(body, f"text/plain; charset={charset}")
