"""Attachments through the conversation server: the tool that puts them, the resources they are."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import BlobResourceContents, ResourceTemplateReference

from servers.conversations.contract_attachments import MAX_CHUNK_BYTES, MAX_PART_BYTES
from servers.conversations.contract_results import PutAttachmentResult
from tests.servers.connections import Connections, call, fail

WHOLE = "conversation://{conversation_id}/attachments/{attachment_id}"
PICTURE: dict[str, Any] = {"conversation_id": "../é", "name": "p.png", "mime_type": "image/png"}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def read(client: Client, uri: str) -> tuple[bytes, str | None, Mapping[str, Any]]:
    [contents] = (await client.read_resource(uri)).contents
    assert isinstance(contents, BlobResourceContents)
    assert contents.uri == uri
    return base64.b64decode(contents.blob), contents.mime_type, dict(contents.meta or {})


async def test_an_attachment_is_put_in_chunks_and_read_whole_and_in_parts(
    connections: Connections,
) -> None:
    data = bytes(range(256)) * 8 * 1_024 + b"the end"
    async with connections.connect() as client:
        whole: dict[str, Any] = {**PICTURE, "attachment_id": "a/1", "total_size": len(data)}
        first = await call(client, "put_attachment", **whole, data=encode(data[:MAX_CHUNK_BYTES]))
        assert first.keys() == PutAttachmentResult.model_fields.keys()
        assert (first["size"], first["complete"]) == (MAX_CHUNK_BYTES, False)
        uri = first["uri"]
        assert uri == "conversation://..%2F%C3%A9/attachments/a%2F1"
        with pytest.raises(MCPError) as incomplete:
            await client.read_resource(uri)
        last = await call(
            client,
            "put_attachment",
            **whole,
            data=encode(data[MAX_CHUNK_BYTES:]),
            offset=MAX_CHUNK_BYTES,
        )
        assert (last["size"], last["complete"]) == (len(data), True)

        part, mime_type, meta = await read(client, f"{uri}?offset=10&length={MAX_PART_BYTES}")
        assert (part, mime_type) == (data[10 : 10 + MAX_PART_BYTES], "image/png")
        assert meta["agentic/size"] == len(data)
        assert (meta["agentic/offset"], meta["agentic/name"]) == (10, "p.png")
        end, _, meta = await read(client, f"{uri}?offset={len(data) - 7}")
        assert (end, meta["agentic/offset"]) == (b"the end", len(data) - 7)
        assert (await read(client, f"{uri}?length=3"))[0] == data[:3]

        with pytest.raises(MCPError) as unknown:
            await client.read_resource(uri + "x")
        for error in (incomplete, unknown):
            assert (error.value.code, error.value.message) == (-32602, "Resource not found")
        stats = (await call(client, "get_conversation", conversation_id="../é"))["stats"]
        assert (stats["attachments"], stats["attachment_bytes"]) == (1, len(data))


async def test_attachments_are_listed_in_pages(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        for number in range(3):
            given = PICTURE | {"attachment_id": f"a{number}", "data": "YQ=="}
            await call(client, "put_attachment", **given)
        listed: list[dict[str, Any]] = []
        paged: dict[str, Any] = {"conversation_id": "../é", "limit": 2}
        page = await call(client, "list_attachments", **paged)
        listed += page["attachments"]
        page = await call(client, "list_attachments", **paged, cursor=page["next_cursor"])
        listed += page["attachments"]
        assert (page["next_cursor"], page["damaged"]) == (None, 0)
        assert sorted(each["attachment_id"] for each in listed) == ["a0", "a1", "a2"]
        assert {(each["name"], each["mime_type"], each["size"]) for each in listed} == {
            ("p.png", "image/png", 1)
        }
        unknown = await fail(client, "list_attachments", conversation_id="unknown")
        assert unknown["code"] == "not_found"
        mistakes: list[dict[str, Any]] = [{"limit": 0}, {"limit": 101}, {"cursor": "x"}]
        for wrong in mistakes:
            error = await fail(client, "list_attachments", **{"conversation_id": "../é"} | wrong)
            assert (error["code"], error["field"]) == ("invalid", *wrong)


async def test_a_text_is_read_as_bytes_too(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        text = "naïve\n".encode("latin-1")
        put = await call(
            client,
            "put_attachment",
            **PICTURE | {"mime_type": "Text/CSV; charset=latin-1"},
            data=encode(text),
        )
        found, mime_type, meta = await read(client, put["uri"])
        assert (found, mime_type) == (text, "text/csv; charset=latin-1")
        assert meta["agentic/size"] == len(text)


TEXT = "".join(f"{number} öß🙂\u2028\U000e0041\x1b\n" for number in range(5_000))


async def test_a_text_is_read_by_a_model_piece_by_piece(in_memory: Connections) -> None:
    """No piece ends within a character, and what people could not see is left out."""
    async with in_memory.connect() as client:
        given = {**PICTURE, "name": "a.txt", "data": encode(TEXT.encode())}
        uri = (await call(client, "put_attachment", **given))["uri"]
        pieces: list[str] = []
        offset: int | None = 0
        while offset is not None:
            found = await call(client, "read_attachment", uri=uri, offset=offset)
            assert (found["name"], found["size"]) == ("a.txt", len(TEXT.encode()))
            pieces.append(found["text"])
            offset = found["next_offset"]
        within = await call(client, "read_attachment", uri=uri, offset=4)
    shown = "".join(f"{number} öß🙂\n" for number in range(5_000))
    assert "".join(pieces) == shown
    assert len(pieces) > 2
    assert within["text"].startswith("ß🙂\n1 ö")


@pytest.mark.parametrize(
    ("data", "given", "code"),
    [
        (b"\x89PNG\xff", {}, "unsupported"),
        (b"a\0b", {}, "unsupported"),
        (b"na\xefve", {}, "unsupported"),
        (b"text", {"offset": 5}, "invalid"),
        (b"text", {"uri": "conversation://c/attachments/other"}, "not_found"),
        (b"text", {"uri": "conversation://c"}, "invalid"),
        (b"text", {"uri": "https://example.com"}, "invalid"),
        (b"text", {"uri": ""}, "invalid"),
    ],
)
async def test_what_is_no_text_or_not_there_is_told_to_the_model(
    in_memory: Connections, data: bytes, given: dict[str, Any], code: str
) -> None:
    async with in_memory.connect() as client:
        put = await call(client, "put_attachment", **PICTURE, data=encode(data))
        error = await fail(client, "read_attachment", **{"uri": put["uri"]} | given)
    assert error["code"] == code
    if code == "unsupported":
        assert "image/png" in error["message"]


async def test_an_empty_attachment_and_the_end_of_one_are_empty_texts(
    in_memory: Connections,
) -> None:
    async with in_memory.connect() as client:
        empty = (await call(client, "put_attachment", **PICTURE, data=""))["uri"]
        short = (
            await call(
                client, "put_attachment", **PICTURE | {"attachment_id": "s"}, data=encode(b"text")
            )
        )["uri"]
        found = [
            await call(client, "read_attachment", uri=empty),
            await call(client, "read_attachment", uri=short, offset=4),
        ]
    assert [(each["text"], each["next_offset"]) for each in found] == [("", None)] * 2


async def test_the_templates_are_listed_and_their_conversation_ids_completed(
    in_memory: Connections,
) -> None:
    async with in_memory.connect() as client:
        await call(client, "put_attachment", **PICTURE, data="")
        templates = (await client.list_resource_templates()).resource_templates
        listed = {template.uri_template for template in templates}
        assert listed == {
            "conversation://{conversation_id}",
            WHOLE,
            WHOLE + "{?offset,length}",
        }
        for template in listed:
            reference = ResourceTemplateReference(uri=template)
            argument = {"name": "conversation_id", "value": ".."}
            found = (await client.complete(reference, argument)).completion
            assert found.values == ["../é"]
        argument = {"name": "attachment_id", "value": ""}
        found = (await client.complete(ResourceTemplateReference(uri=WHOLE), argument)).completion
        assert found.values == []


@pytest.mark.parametrize(
    "uri",
    [
        "conversation://c/attachments/",
        "conversation://c/attachments/b",
        "conversation://d/attachments/a",
        "conversation:///attachments/a",
        "conversation://c/attachments/a/",
        "conversation://c/attachment/a",
        "conversation://c/attachments/a?",
        "conversation://c/attachments/a?x=1",
        "conversation://c/attachments/a?offset=-1",
        "conversation://c/attachments/a?offset=1&offset=1",
        "conversation://c/attachments/a?offset=99999999999",
        "conversation://c/attachments/a#x",
        "conversation://c/attachments/%00",
        "conversation://c/attachments/%ff",
        "conversation://c/attachments/" + "a" * 257,
    ],
)
async def test_what_names_no_attachment_is_not_found(in_memory: Connections, uri: str) -> None:
    async with in_memory.connect() as client:
        await call(
            client,
            "put_attachment",
            **PICTURE | {"conversation_id": "c", "attachment_id": "a"},
            data="YQ==",
        )
        with pytest.raises(MCPError) as refused:
            await client.read_resource(uri)
        assert (refused.value.code, refused.value.message) == (-32602, "Resource not found")


@pytest.mark.parametrize("query", ["offset=2", "length=0", f"length={MAX_PART_BYTES + 1}"])
async def test_a_part_that_cannot_be_one_is_refused_with_the_reason(
    in_memory: Connections, query: str
) -> None:
    async with in_memory.connect() as client:
        uri = (await call(client, "put_attachment", **PICTURE, data="YQ=="))["uri"]
        with pytest.raises(MCPError, match=f"{query.partition('=')[0]} is ") as refused:
            await client.read_resource(f"{uri}?{query}")
        assert refused.value.code == -32602


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"data": "YQ"}, "invalid", "data"),
        ({"data": "YQ==\n"}, "invalid", "data"),
        ({"data": "Y Q=="}, "invalid", "data"),
        ({"data": "YQ==YQ=="}, "invalid", "data"),
        ({"data": "-_=="}, "invalid", "data"),
        ({"data": "é==="}, "invalid", "data"),
        ({"data": 7}, "invalid", "data"),
        ({"data": encode(bytes(MAX_CHUNK_BYTES + 1))}, "too_large", "data"),
        ({"total_size": 20 * 1024 * 1024 + 1}, "too_large", "total_size"),
        ({"total_size": -1}, "invalid", "total_size"),
        ({"total_size": True}, "invalid", "total_size"),
        ({"offset": 1}, "invalid", "offset"),
        ({"offset": 2**63}, "invalid", "offset"),
        ({"name": "a\tb"}, "invalid", "name"),
        ({"name": ""}, "invalid", "name"),
        ({"mime_type": "image"}, "invalid", "mime_type"),
        ({"mime_type": ""}, "invalid", "mime_type"),
        ({"attachment_id": "a\u0085"}, "invalid", "attachment_id"),
        ({"conversation_id": ""}, "invalid", "conversation_id"),
        ({"path": "/etc/passwd"}, "invalid", "path"),
    ],
)
async def test_what_cannot_be_attached_is_refused_by_code_and_field(
    in_memory: Connections, given: dict[str, Any], code: str, field: str
) -> None:
    async with in_memory.connect() as client:
        error = await fail(client, "put_attachment", **PICTURE | {"data": "YQ=="} | given)
        assert (error["code"], error["field"]) == (code, field)
        assert (await call(client, "list_conversations"))["conversations"] == []


async def test_conflicts_and_gaps_say_what_to_do(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        given = {**PICTURE, "attachment_id": "a"}
        await call(client, "put_attachment", **given, data=encode(b"0123"))
        conflict = await fail(client, "put_attachment", **given, data=encode(b"012x"))
        assert (conflict["code"], conflict["field"]) == ("conflict", "data")
        assert "another attachment_id" in conflict["message"]
        gap = await fail(client, "put_attachment", **given, data=encode(b"9"), offset=9)
        assert (gap["code"], gap["field"]) == ("invalid", "offset")
        assert "has the offset 4" in gap["message"]
