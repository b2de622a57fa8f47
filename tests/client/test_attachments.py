"""Whole files as attachments, through the hub and a real conversation server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from agentic.config.models import Config, ConversationsConfig
from client.attachments import RemoteAttachments
from client.conversations import ConversationCallError
from client.hub.errors import CallTimedOutError, InvalidArgumentsError, ServerFaultError
from client.hub.errors import UnknownToolError as UnknownServerError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, InProcessTarget
from servers.access.principal import create_operator
from servers.conversations.contract_attachments import MAX_PART_BYTES
from servers.conversations.contract_uris import AttachmentUri
from servers.host import open_server
from tests.client.hub.fakes import in_memory

ID = "../é"


@asynccontextmanager
async def opened(directory: Path) -> AsyncGenerator[Hub]:
    config = Config(conversations=ConversationsConfig(directory=directory))
    callers = create_operator("operator", delegate=True)
    with anyio.fail_after(30):
        async with open_server("conversations", config, callers) as hosted:
            server = HubServer("conversations", InProcessTarget(hosted.server), ours=True)
            async with open_hub([server]) as hub:
                await hub.wait_ready(timeout_seconds=5)
                yield hub


async def put(attachments: RemoteAttachments, data: bytes, attachment_id: str = "a") -> str:
    result = await attachments.put(
        ID, data, name="x.bin", mime_type="a/b", attachment_id=attachment_id
    )
    assert (result.size, result.complete) == (len(data), True)
    return result.uri


async def read(attachments: RemoteAttachments, attachment_id: str = "a") -> list[bytes]:
    parts = [part async for part in attachments.read(AttachmentUri(ID, attachment_id))]
    assert {(part.name, part.mime_type) for part in parts} == {("x.bin", "a/b")}
    assert {part.size for part in parts} == {sum(len(part.data) for part in parts)}
    return [part.data for part in parts]


@pytest.mark.parametrize("size", [0, 1, MAX_PART_BYTES, MAX_PART_BYTES + 1, 5_000_000])
async def test_a_file_of_any_size_comes_back_in_parts(tmp_path: Path, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    async with opened(tmp_path / "store") as hub:
        attachments = RemoteAttachments(hub, "ada")
        await put(attachments, data)
        parts = await read(attachments)
        assert b"".join(parts) == data
        assert max(len(part) for part in parts) <= MAX_PART_BYTES
        await put(attachments, data)
        assert b"".join(await read(attachments)) == data


async def test_other_content_under_an_id_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as hub:
        attachments = RemoteAttachments(hub, "ada")
        await put(attachments, b"one")
        with pytest.raises(ConversationCallError) as refused:
            await put(attachments, b"two")
        assert refused.value.code == "conflict"


async def test_what_is_not_there_is_not_found_whoever_has_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as hub:
        await put(RemoteAttachments(hub, "ada"), b"ada's")
        for owner, attachment_id in (("ada", "b"), ("bob", "a")):
            with pytest.raises(ConversationCallError) as refused:
                await read(RemoteAttachments(hub, owner), attachment_id)
            assert refused.value.code == "not_found"


async def test_the_hub_reads_resources_and_says_why_it_cannot(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as hub:
        uri = await put(RemoteAttachments(hub, "ada"), b"x")
        result = await hub.read_resource("conversations", uri, owner="ada")
        assert [contents.uri for contents in result.contents] == [uri]
        with pytest.raises(ServerFaultError, match="Resource not found") as unknown:
            await hub.read_resource("conversations", uri, owner="bob")
        assert unknown.value.code == -32602
        with pytest.raises(InvalidArgumentsError):
            await hub.read_resource("conversations", "conversation://\ud800", owner="ada")
        with pytest.raises(UnknownServerError, match="no server"):
            await hub.read_resource("nowhere", uri)
        with pytest.raises(CallTimedOutError):
            await hub.read_resource("conversations", uri, owner="ada", timeout_seconds=0)


async def test_a_server_without_resources_is_a_fault_of_its_own() -> None:
    with anyio.fail_after(10):
        async with open_hub([in_memory()]) as hub:
            await hub.wait_ready(timeout_seconds=5)
            with pytest.raises(ServerFaultError):
                await hub.read_resource("memory", "conversation://x")
            attachments = RemoteAttachments(hub, server="memory")
            with pytest.raises(ServerFaultError):
                await read(attachments)
