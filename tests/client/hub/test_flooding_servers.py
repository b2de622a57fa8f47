"""Servers that print without end: given up at once, ended for certain, left alone for long."""

import json
import logging
import os
import tracemalloc
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from client.hub.backoff import Backoff
from client.hub.errors import HubError, ServerUnavailableError
from client.hub.hub import open_hub
from client.hub.servers import HubServer, StdioTarget
from tests.client.hub.fakes import (
    find_pid,
    first_text,
    http,
    in_memory,
    is_alive,
    stdio,
    wait_gone,
    wait_state,
)
from tests.client.hub.test_http_servers import Forgetful, canned_server

MEBIBYTE = 1024 * 1024


def shell(script: str) -> HubServer:
    return HubServer("flood", StdioTarget("/bin/sh", ["-c", script]))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("yes", "it printed 'y'"),
        ("yes ''", "prints what is no MCP"),
        ("yes '{'", "it printed '{'"),
        ("cat /dev/zero", "no line break within"),
        ("yes '{' | tr -d '\\n'", "no line break within 16,"),
    ],
)
async def test_a_command_that_floods_is_given_up_ended_and_named(
    command: str, reason: str, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    with anyio.fail_after(15):
        async with (
            anyio.create_task_group() as tasks,
            open_hub([shell(f"exec 3>{alive}; {command}"), in_memory()]) as hub,
        ):
            # Its end comes when the last process that holds it has ended.
            tasks.start_soon(anyio.to_thread.run_sync, alive.read_bytes)
            await hub.wait_settled(15)
            status = await wait_state(hub, "flood", "waiting")
            assert "prints what is no MCP" in (status.reason or "")
            assert reason in (status.reason or "")
            assert "check its `command` and `args` in mcp.yml" in (status.reason or "")
            assert not (await hub.call_tool("memory", "echo", {})).is_error


async def test_a_command_that_floods_is_not_tried_again_at_once() -> None:
    with anyio.fail_after(15):
        async with open_hub([shell("exec yes")]) as hub:
            await wait_state(hub, "flood", "waiting")
            with anyio.move_on_after(1) as watch:
                await wait_state(hub, "flood", "connecting")
            assert watch.cancelled_caught


async def test_what_is_left_of_a_server_that_ended_by_itself_is_ended_too(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    with anyio.fail_after(15):
        async with (
            anyio.create_task_group() as tasks,
            open_hub([shell(f"exec 3>{alive}; yes & exec cat >/dev/null")]) as hub,
        ):
            tasks.start_soon(anyio.to_thread.run_sync, alive.read_bytes)
            await hub.wait_settled(15)


async def test_a_line_without_end_takes_no_memory() -> None:
    with anyio.fail_after(15):
        tracemalloc.start()
        try:
            async with open_hub([shell("exec cat /dev/zero")]) as hub:
                await hub.wait_settled(15)
                assert await wait_state(hub, "flood", "waiting")
                _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


@pytest.mark.parametrize("tool", ["lines", "no_line_break"])
async def test_a_server_that_worked_and_then_floods_is_ended_and_comes_back(tool: str) -> None:
    with anyio.fail_after(15):
        async with open_hub([stdio("flood", "floods")]) as hub:
            pid = await find_pid(hub, "flood")
            with pytest.raises(ServerUnavailableError, match=r"went away.*no MCP") as failure:
                await hub.call_tool("flood", tool, {})
            assert failure.value.outcome_unknown
            assert hub.tools() == []
            status = await wait_state(hub, "flood", "waiting")
            assert "\x1b" not in (status.reason or "")
            assert "still here" in (status.reason or "") or tool == "no_line_break"
            await wait_gone(pid)
            await hub.wait_ready(timeout_seconds=10)
            assert await find_pid(hub, "flood") != pid


async def test_a_banner_of_five_hundred_lines_is_passed_over() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("noisy", "floods", "500")]) as hub:
            assert is_alive(await find_pid(hub, "noisy"))


async def test_an_answer_may_be_as_large_as_the_limit_and_no_larger() -> None:
    with anyio.fail_after(30):
        async with open_hub([stdio("large", "floods")]) as hub:
            result = await hub.call_tool("large", "large", {"size": 15 * MEBIBYTE})
            assert len(first_text(result)) == 15 * MEBIBYTE
            with pytest.raises(ServerUnavailableError, match="no line break"):
                await hub.call_tool("large", "large", {"size": 17 * MEBIBYTE})


async def test_a_flood_of_complaints_is_not_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "client.hub"), anyio.fail_after(15):
        async with open_hub([stdio("loud", "floods")]) as hub:
            await hub.call_tool("loud", "complaints", {"size": 3 * MEBIBYTE // 2})
            assert is_alive(await find_pid(hub, "loud"))
    assert 100 <= len(caplog.records) <= 500


async def test_messages_without_end_leave_the_other_servers_usable() -> None:
    message = '{"jsonrpc":"2.0","method":"notifications/message"}'
    with anyio.fail_after(15):
        async with open_hub([shell(f"exec yes '{message}'"), in_memory()]) as hub:
            await hub.wait_ready("memory", timeout_seconds=5)
            for _ in range(10):
                assert not (await hub.call_tool("memory", "echo", {})).is_error


def test_what_speaks_no_mcp_is_left_alone_for_minutes() -> None:
    backoff = Backoff()
    delays = [backoff.next_delay(None, hopeless=True) for _ in range(8)]
    assert 2.5 <= delays[0] <= 5
    assert 150 <= delays[-1] <= 300
    assert backoff.next_delay(None, hopeless=False) <= 30
    assert backoff.next_delay(60, hopeless=True) <= 5


class Endless(Forgetful):
    """An older server whose answer to a call, or to our listening, goes on for ever."""

    def __init__(self, endless: str, content_type: str, body: bytes) -> None:
        super().__init__()
        self.endless = endless
        self.head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode()
        self.body = body * (65_536 // len(body))
        self.sent = 0
        self.is_over = anyio.Event()

    def respond(self, method: str, head: bytes, body: bytes) -> bytes:
        what = json.loads(body)["method"] if body else method
        return self.head if what == self.endless else super().respond(method, head, body)

    async def send(self, stream: SocketStream, answer: bytes) -> None:
        await super().send(stream, answer)
        if answer == self.head:
            with suppress(anyio.BrokenResourceError):
                while True:
                    await super().send(stream, self.body)
                    self.sent += len(self.body)
            self.is_over.set()


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/json", b" ", "over"),
        ("text/html", b"<p>", "content type"),
        ("text/event-stream", b"x", "limit"),
        ("text/event-stream", b"data: " + b"x" * 1_000 + b"\n", "limit"),
        ("text/event-stream", b"data: x\n\n", "parse"),
    ],
)
async def test_an_answer_over_http_without_end_fails_its_call_alone(
    content_type: str, body: bytes, reason: str
) -> None:
    server = Endless("tools/call", content_type, body)
    with anyio.fail_after(30):
        async with canned_server(server) as port, open_hub([http("web", port)]) as hub:
            with pytest.raises(HubError, match=reason):
                await hub.call_tool("web", "odd", {})
            await server.is_over.wait()
            await hub.wait_ready("web", timeout_seconds=10)
    assert server.sent < 40 * MEBIBYTE


async def test_events_without_end_that_are_no_mcp_end_the_connection() -> None:
    server = Endless("GET", "text/event-stream", b"data: x\n\n")
    with anyio.fail_after(30):
        async with canned_server(server) as port, open_hub([http("web", port)]) as hub:
            status = await wait_state(hub, "web", "waiting")
            assert "prints what is no MCP" in (status.reason or "")
            assert "check its `url`" in (status.reason or "")
            await server.is_over.wait()


@pytest.mark.parametrize("body", [b":\n", b"event: x\ndata: y\n\n"], ids=["comment", "unknown"])
async def test_events_without_end_that_mean_nothing_are_read_slowly(body: bytes) -> None:
    server = Endless("GET", "text/event-stream", body)
    with anyio.fail_after(30):
        async with canned_server(server) as port, open_hub([http("web", port)]) as hub:
            for _ in range(20):
                await hub.call_tool("web", "odd", {})
            assert server.sent < 20 * MEBIBYTE
