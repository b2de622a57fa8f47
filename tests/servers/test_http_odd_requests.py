"""Requests that HTTP allows or nearly allows, and that mean something else than usual."""

import json
import re
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.ports import free_port
from tests.servers.http_by_hand import asking, exchange, head, read_to_the_end
from tests.servers.http_serving import LIMIT_SECONDS, Asker, serving, serving_conversations

pytestmark = pytest.mark.slow


async def test_a_body_with_two_ends_is_refused_and_what_follows_it_is_not_read(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served:
        port, inner = served.port, head("GET", "/metrics", served.port)
        framing = {"Content_Length": str(5 + len(inner)), "Transfer_Encoding": "chunked"}
        bearer = f"Bearer {served.create_token('laptop', 'ada')}"
        outer = head("POST", "/conversations/mcp", port, Authorization=bearer, **framing)
        with anyio.fail_after(5):
            answers = await exchange(port, outer + b"0\r\n\r\n" + inner)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"400"]
    assert b"connection: close" in answers.lower()
    assert b"send one of them" in answers


async def test_an_upgrade_is_answered_as_if_it_were_not_asked_for_and_not_logged(
    tmp_path: Path,
) -> None:
    upgrade = {"Connection": "Upgrade, close", "Upgrade": "websocket"}
    async with serving(tmp_path) as served:
        with anyio.fail_after(5):
            answer = await exchange(served.port, head("GET", "/healthz", served.port, **upgrade))
    assert answer.startswith(b"HTTP/1.1 200")
    assert "WebSocket" not in served.log
    assert " WARNING " not in served.log


async def listen_after_an_event(asker: Asker) -> tuple[int, str]:
    headers = {**asker.headers(), "last-event-id": "7"}
    async with asker.http.stream("GET", asker.url, headers=headers) as stream:
        return stream.status_code, stream.headers["content-type"]


@pytest.mark.parametrize("server", ["conversations", "tools"])
async def test_who_asks_for_what_came_after_an_event_gets_a_new_stream(
    tmp_path: Path, server: str
) -> None:
    async with serving(tmp_path) as served, asking(served, server, "older") as asker:
        assert await listen_after_an_event(asker) == (200, "text/event-stream")
    assert " ERROR " not in served.log


async def test_so_does_who_needs_no_token(tmp_path: Path) -> None:
    port = free_port()
    async with (
        serving_conversations(tmp_path, port, "--no-auth"),
        httpx2.AsyncClient(timeout=LIMIT_SECONDS) as http,
    ):
        asker = Asker(http, f"http://127.0.0.1:{port}/conversations/mcp", "older")
        await asker.begin()
        assert await listen_after_an_event(asker) == (200, "text/event-stream")


async def test_a_request_whose_token_is_revoked_before_its_last_bytes_came_does_nothing(
    tmp_path: Path,
) -> None:
    arguments = {"conversation_id": "c", "messages": [{"role": "user", "content": "too late"}]}
    params = {"name": "append_messages", "arguments": arguments}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(call).encode()
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older") as revoked,
        asking(served, "conversations", name="other") as other,
    ):
        headers = {
            **revoked.headers(),
            "content-type": "application/json",
            "content-length": str(len(body)),
            "expect": "100-continue",
        }
        async with await anyio.connect_tcp("127.0.0.1", served.port) as stream:
            await stream.send(head("POST", "/conversations/mcp", served.port, **headers))
            assert (await stream.receive()).startswith(b"HTTP/1.1 100")  # the token was looked at
            await stream.send(body[:-20])
            served.tokens.revoke("laptop")
            await stream.send(body[-20:])
            with anyio.fail_after(5):
                answer = await read_to_the_end(stream)
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"nothing was done" in answer
        listing = await other.call("list_conversations")
        assert listing.result["structuredContent"]["conversations"] == []


async def test_a_request_whose_id_is_none_is_refused_and_a_notification_is_not(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served, asking(served, era="older") as asker:

        async def post(method: str, **more: object) -> httpx2.Response:
            body = {"jsonrpc": "2.0", "method": method, **more}
            return await asker.http.post(asker.url, json=body, headers=asker.headers(method))

        for wrong in (1.5, True, None, [1]):
            refused = await post("ping", id=wrong)
            assert refused.status_code == 400, wrong
            assert refused.json()["error"]["code"] == -32600
        assert (await post("notifications/initialized", id=None)).status_code == 202
