"""Servers behind URLs: restarts, refusals, and odd answers."""

import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from client.hub.errors import HubError, ServerFaultError, ServerUnavailableError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HttpTarget, HubServer
from tests.client.hub.fakes import (
    first_text,
    http,
    http_server,
    in_memory,
    wait_state,
)
from tests.ports import free_port

ERAS = pytest.mark.parametrize(
    ("era", "version"),
    [((), "2026-07-28"), (("older",), "2025-11-25")],
    ids=["modern", "older"],
)


@pytest.mark.slow
@ERAS
async def test_a_server_restarted_on_its_port_is_used_again(
    era: tuple[str, ...], version: str
) -> None:
    port = free_port()
    with anyio.fail_after(40):
        async with open_hub([http("web", port, ours=True)]) as hub:
            async with http_server(port, *era):
                await hub.wait_ready(timeout_seconds=15)
                (status,) = hub.status()
                assert status.protocol_version == version
                await hub.call_tool("web", "echo", {})
            async with http_server(port, *era) as again:
                assert await find_pid_in_the_end(hub) == again.pid


async def find_pid_in_the_end(hub: Hub) -> int:
    """As a caller that tries again while nothing was sent: a server takes a second to start."""
    while True:
        try:
            result = await hub.call_tool("web", "about", {})
        except ServerUnavailableError as error:
            if error.outcome_unknown:
                raise
        else:
            return int(result.structured_content["pid"])


@ERAS
async def test_a_server_that_dies_during_calls_leaves_their_outcome_unknown(
    era: tuple[str, ...], version: str
) -> None:
    port = free_port()
    failures: list[HubError] = []
    with anyio.fail_after(20):
        async with http_server(port, *era) as server, open_hub([http("web", port)]) as hub:
            await hub.wait_ready(timeout_seconds=15)

            async def wait_long() -> None:
                with pytest.raises(ServerUnavailableError) as failure:
                    await hub.call_tool("web", "sleep", {"seconds": 60})
                failures.append(failure.value)

            async with anyio.create_task_group() as callers:
                for _ in range(3):
                    callers.start_soon(wait_long)
                await hub.call_tool("web", "echo", {})
                os.kill(server.pid, signal.SIGKILL)
            await wait_state(hub, "web", "connecting", "waiting")
    assert [failure.outcome_unknown for failure in failures] == [True] * 3


@pytest.mark.slow
async def test_an_older_server_that_goes_away_idle_is_noticed() -> None:
    port = free_port()
    with anyio.fail_after(20):
        async with open_hub([http("web", port)]) as hub:
            async with http_server(port, "older"):
                await hub.wait_ready(timeout_seconds=15)
            status = await wait_state(hub, "web", "waiting")
            assert "can't be reached" in (status.reason or "")
            assert hub.tools() == []


ODD = {"name": "odd", "inputSchema": {"type": "object"}}


class Canned:
    """An HTTP server that answers `tools/call` with these bytes, and the rest as it should."""

    def __init__(self) -> None:
        self.answer = b""

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            head, _, body = (await stream.receive()).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            while length and len(body) < int(length[1]):
                body += await stream.receive()
            await self.send(stream, self.respond(head.split()[0].decode(), head, body))

    async def send(self, stream: SocketStream, answer: bytes) -> None:
        await stream.send(answer)

    def respond(self, method: str, head: bytes, body: bytes) -> bytes:
        message = json.loads(body)
        envelope = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        match message["method"]:
            case "server/discover":
                able: dict[str, Any] = {"capabilities": {"tools": {}}}
                return as_json(message, {**envelope, **able, "supportedVersions": ["2026-07-28"]})
            case "tools/list":
                return as_json(message, {**envelope, "tools": [ODD]})
            case _:
                return self.answer


def as_json(message: Mapping[str, Any], result: Mapping[str, Any], *headers: str) -> bytes:
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
    return respond(200, "application/json", json.dumps(answer), *headers)


def respond(status: int, content_type: str, body: str, *headers: str) -> bytes:
    data = body.encode()
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@asynccontextmanager
async def canned_server(canned: Canned) -> AsyncGenerator[int]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, canned.handle)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("later", "takes no call now: HTTP"),
        ('{"jsonrpc": "2.0", "id": null, "error": {"code": -1, "message": "mine"}}', "now: mine"),
    ],
)
async def test_a_call_that_was_turned_away_for_now_had_no_effect(
    status: int, body: str, reason: str
) -> None:
    with anyio.fail_after(15):
        canned = Canned()
        canned.answer = respond(status, "application/json", body, "Retry-After: 1")
        async with canned_server(canned) as port, open_hub([http("web", port)]) as hub:
            with pytest.raises(ServerUnavailableError, match=reason) as failure:
                await hub.call_tool("web", "odd", {})
            assert not failure.value.outcome_unknown
            await hub.wait_ready("web", timeout_seconds=5)


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (respond(401, "application/json", '{"error": "no"}'), ServerFaultError, "401.*headers"),
        (respond(403, "text/plain", "no"), ServerFaultError, "403.*headers"),
        (respond(404, "text/html", "<html>"), ServerFaultError, "404.*url"),
        (respond(500, "text/html", "<html>"), ServerFaultError, "HTTP 500"),
        (respond(502, "text/html", "<html>"), ServerUnavailableError, "HTTP 502"),
        (respond(200, "text/html", "<html>"), ServerFaultError, "content type"),
        (respond(200, "application/json", "{"), ServerFaultError, "JSON"),
        (respond(200, "application/json", "[" * 9_999), ServerFaultError, "JSON"),
        (respond(202, "text/plain", ""), ServerFaultError, "202"),
        (
            respond(302, "text/plain", "", "Location: http://example.com/"),
            ServerFaultError,
            "not followed",
        ),
        (respond(200, "text/event-stream", "data: {\n\n"), ServerFaultError, "parse"),
        (respond(200, "text/event-stream", ""), ServerUnavailableError, "went away"),
        (b"", ServerUnavailableError, "broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ServerUnavailableError, "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ServerFaultError, "content type"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
            ServerUnavailableError,
            "broke",
        ),
        (
            respond(400, "application/json", '{"jsonrpc": "2.0", "id": null, "error": {}}'),
            ServerFaultError,
            "HTTP 400",
        ),
        (
            respond(
                400,
                "application/json",
                '{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "mine"}}',
            ),
            ServerFaultError,
            "mine",
        ),
    ],
)
async def test_an_odd_answer_fails_its_call_in_words_and_nothing_else(
    answer: bytes, error: type[HubError], reason: str
) -> None:
    with anyio.fail_after(15):
        canned = Canned()
        canned.answer = answer
        async with (
            canned_server(canned) as port,
            open_hub([http("web", port), in_memory()]) as hub,
        ):
            for _ in range(2):
                with pytest.raises(error, match=reason) as failure:
                    await hub.call_tool("web", "odd", {})
                assert failure.value.outcome_unknown == (error is ServerUnavailableError)
            assert not (await hub.call_tool("memory", "echo", {})).is_error
            await hub.wait_ready("web", timeout_seconds=5)


class Forgetful(Canned):
    """An older server that forgets its sessions when it is told to, as after a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.session = 1
        self.calls = 0

    def respond(self, method: str, head: bytes, body: bytes) -> bytes:
        if method != "POST":
            return respond(405, "text/plain", "")
        message = json.loads(body)
        session = f"mcp-session-id: {self.session}"
        if message["method"] == "server/discover":
            return respond(400, "text/plain", "what?")
        if message["method"] == "initialize":
            about = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "f", "version": "1"}}
            able: dict[str, Any] = {"capabilities": {"tools": {}}}
            return as_json(message, {**about, **able}, session)
        if session.encode() not in head.lower():
            return respond(404, "text/plain", "Session not found")
        if "id" not in message:
            return respond(202, "text/plain", "")
        if message["method"] == "tools/list":
            return as_json(message, {"tools": [ODD]})
        self.calls += 1
        return as_json(message, {"content": []})


async def test_an_older_server_that_forgot_the_session_is_called_once_over_a_new_one() -> None:
    forgetful = Forgetful()
    with anyio.fail_after(10):
        async with canned_server(forgetful) as port, open_hub([http("web", port)]) as hub:
            for number in range(1, 4):
                await hub.call_tool("web", "odd", {})
                assert forgetful.calls == number
                forgetful.session += 1


async def test_an_answer_of_seventeen_mebibytes_is_refused() -> None:
    result = {"content": [{"type": "text", "text": "x" * 17 * 1024 * 1024}]}
    canned = Canned()
    canned.answer = as_json({"id": 1}, result)
    with anyio.fail_after(30):
        async with canned_server(canned) as port, open_hub([http("web", port)]) as hub:
            with pytest.raises(ServerFaultError, match="over"):
                await hub.call_tool("web", "odd", {})


@pytest.mark.slow
async def test_five_megabytes_arrive_over_http() -> None:
    arguments = {"text": "x" * 3_000_000}
    port = free_port()
    with anyio.fail_after(30):
        async with http_server(port, "older"), open_hub([http("web", port)]) as hub:
            await hub.wait_ready(timeout_seconds=15)
            result = await hub.call_tool("web", "echo", arguments)
    assert first_text(result) == "done"
    assert result.structured_content == arguments


@pytest.mark.slow
async def test_a_token_that_is_refused_is_not_shown() -> None:
    port = free_port()
    target = HttpTarget(f"http://127.0.0.1:{port}/mcp", {"Authorization": "Bearer s3cr3t-s3cr3t"})
    server = HubServer("web", target)
    with anyio.fail_after(10):
        async with open_hub([server]) as hub:
            await hub.wait_settled(5)
            with pytest.raises(ServerUnavailableError) as failure:
                await hub.call_tool("web", "echo", {})
            shown = f"{hub.status()} {failure.value} {failure.value!r} {server!r}"
    assert "s3cr3t" not in shown


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/mcp", "http://host.invalid/mcp", "ftp://x/", ""]
)
async def test_a_url_that_leads_nowhere_is_a_reason(url: str) -> None:
    with anyio.fail_after(10):
        async with open_hub([HubServer("web", HttpTarget(url))]) as hub:
            await hub.wait_settled(8)
            (status,) = hub.status()
            assert status.state != "ready"
            assert status.reason
