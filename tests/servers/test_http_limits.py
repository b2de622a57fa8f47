"""What hostile, broken and merely odd clients get over HTTP."""

import re
import signal
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from servers.http_callers import FAILURES_PER_MINUTE
from servers.http_connection import HEADER_SECONDS, READ_SECONDS
from servers.http_guard import BODY_SECONDS, MAX_REQUEST_BYTES
from tests.servers.http_by_hand import (
    SECRET,
    asking,
    assert_serves,
    exchange,
    head,
    read_to_the_end,
)
from tests.servers.http_serving import (
    Era,
    serving,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_wrong_tokens_cost_little_and_keep_nobody_out(tmp_path: Path, count: int) -> None:
    statuses: list[int] = []
    async with serving(tmp_path, limit_seconds=180) as served, asking(served) as right:
        wrong = head(
            "POST", "/tools/mcp", served.port, Authorization=f"Bearer {SECRET}", Content_Length="0"
        )

        async def guess() -> None:
            while len(statuses) < count:
                statuses.append(0)
                answer = await exchange(served.port, wrong)
                statuses[statuses.index(0)] = int(answer[9:12])
                if b" 429 " in answer[:16]:
                    assert re.search(rb"\r\nretry-after: [1-9]", answer)

        began = time.monotonic()
        async with anyio.create_task_group() as guessing:
            for _ in range(8):
                guessing.start_soon(guess)
            while len(statuses) < count:
                await assert_serves(right)
        seconds = time.monotonic() - began
        await assert_serves(right)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= FAILURES_PER_MINUTE * (1 + seconds / 60) + 1
    turned_away = [line for line in served.log.splitlines() if "/tools/mcp 4" in line]
    assert len(turned_away) == statuses.count(401)
    assert SECRET not in served.log


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


async def test_a_body_of_100_megabytes_is_refused_before_it_is_taken_in(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        before = resident_megabytes(served.process.pid)
        token = f"Bearer {asker.token}"
        announced = head(
            "POST", "/tools/mcp", served.port, Authorization=token, Content_Length="100000000"
        )
        answer = await exchange(served.port, announced)
        assert answer[9:12] == b"413"
        assert f"{MAX_REQUEST_BYTES:,} bytes" in answer.decode()

        chunked = head(
            "POST", "/tools/mcp", served.port, Authorization=token, Transfer_Encoding="chunked"
        )
        sent = 0
        async with await anyio.connect_tcp("127.0.0.1", served.port) as stream:
            await stream.send(chunked)
            with suppress(anyio.BrokenResourceError):
                while sent < 100_000_000:
                    await stream.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                    sent += 0x10000
        assert sent < 50_000_000
        assert (await exchange(served.port, head("POST", "/tools/mcp", served.port)))[9:12] == (
            b"401"
        )
        assert resident_megabytes(served.process.pid) < before + 60
        await assert_serves(asker)


async def send_slowly(stream: SocketStream, first: bytes, more: bytes) -> None:
    with suppress(anyio.BrokenResourceError):
        await stream.send(first)
        while more:
            await anyio.sleep(1)
            await stream.send(more)


@pytest.mark.slow
async def test_clients_that_send_slowly_are_left(tmp_path: Path) -> None:
    async with serving(tmp_path, limit_seconds=4 * BODY_SECONDS) as served, asking(served) as asker:
        begun = head(
            "POST",
            "/tools/mcp",
            served.port,
            Authorization=f"Bearer {asker.token}",
            Content_Length="1000",
        )
        ends: dict[str, tuple[float, bytes]] = {}
        began = time.monotonic()

        async def drip(name: str, first: bytes, more: bytes) -> None:
            async with (
                await anyio.connect_tcp("127.0.0.1", served.port) as stream,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(send_slowly, stream, first, more)
                received = await read_to_the_end(stream)
                ends[name] = time.monotonic() - began, received[:12]
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drip, "nothing", b"", b"")
            tasks.start_soon(drip, "header", b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n")
            tasks.start_soon(drip, "body", begun, b"x")
            tasks.start_soon(drip, "no body", begun, b"")
            while len(ends) < 4:
                await assert_serves(asker)
                await anyio.sleep(1)
    assert {name: answer for name, (_, answer) in ends.items()} == {
        "nothing": b"",
        "header": b"",
        "body": b"HTTP/1.1 408",
        "no body": b"HTTP/1.1 408",
    }
    for name, limit in (
        ("nothing", HEADER_SECONDS),
        ("header", HEADER_SECONDS),
        ("body", BODY_SECONDS),
        ("no body", BODY_SECONDS),
    ):
        assert limit - 1 < ends[name][0] < limit + 10


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_left_and_hinders_nobody(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, limit_seconds=3 * READ_SECONDS) as served,
        asking(served, "conversations") as asker,
    ):
        message = {"role": "user", "content": "x" * 400_000}
        arguments = {"conversation_id": "c", "messages": [message]}
        assert (await asker.call("append_messages", arguments)).error_code is None
        loading = asker.http.build_request(
            "POST",
            asker.url,
            headers=asker.headers("tools/call", {"name": "load_conversation"}),
            json=body_of_call("load_conversation", conversation_id="c"),
        )
        lines = [b"POST /conversations/mcp HTTP/1.1"]
        lines += [name + b": " + value for name, value in loading.headers.raw]
        request = b"\r\n".join([*lines, b"", b""]) + loading.read()
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with raw:
            raw.connect(("127.0.0.1", served.port))
            raw.sendall(request * 40)
            answered = served.log.count(" 200 ")
            began = time.monotonic()
            while time.monotonic() - began < READ_SECONDS - 5:
                answer = await asker.call("list_conversations")
                assert answer.error_code is None
                await anyio.sleep(1)
            assert served.log.count(" 200 ") - answered < 70
            while is_open(served.process.pid, raw.getsockname()[1]):
                assert (await asker.call("list_conversations")).error_code is None
        assert time.monotonic() - began < READ_SECONDS + 15
        assert resident_megabytes(served.process.pid) < 200


def body_of_call(tool: str, **arguments: object) -> dict[str, Any]:
    meta: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def is_open(pid: int, peer_port: int) -> bool:
    """Whether the process still has its end of this connection."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    ends = [(line.split()[2], line.split()[3]) for line in lines]
    return any(remote.endswith(f":{peer_port:04X}") and state == "01" for remote, state in ends)


async def test_600_strangers_who_connect_and_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker, AsyncExitStack() as stack:
        silent = [
            await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", served.port))
            for _ in range(600)
        ]
        with anyio.fail_after(HEADER_SECONDS - 5):
            await assert_serves(asker)
            assert await read_to_the_end(silent[0]) == b""
            await silent[-1].send(head("GET", "/healthz", served.port))
            assert (await read_to_the_end(silent[-1])).startswith(b"HTTP/1.1 200")
    assert "Traceback" not in served.log


@pytest.mark.parametrize("path", ["/healthz", "/tools/mcp", "/elsewhere"])
async def test_who_shows_no_token_has_no_connection_left_after_the_answer(
    tmp_path: Path, path: str
) -> None:
    async with serving(tmp_path) as served:
        with anyio.fail_after(HEADER_SECONDS - 5):
            answer = await exchange(served.port, head("GET", path, served.port))
    assert b"connection: close" in answer.lower()


async def test_what_is_no_http_is_refused_and_not_logged(tmp_path: Path) -> None:
    post = b"POST /tools/mcp HTTP/1.1\r\nHost: localhost\r\n"
    async with serving(tmp_path) as served, asking(served) as asker:
        for data in (
            SECRET.encode() + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
            b"GET /" + SECRET.encode() + b" HTTP/9.9\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + SECRET.encode() + b"\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: a\x00b\r\n\r\n",
            post + b"Content-Length: -1\r\n\r\n",
            post + b"Content-Length: 1e9\r\n\r\n",
            post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + SECRET.encode(),
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n",
            b"GET /" + b"y" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            with anyio.fail_after(5):
                answer = await exchange(served.port, data)
            assert answer == b"" or 400 <= int(answer[9:12]) < 502, data[:80]
            assert SECRET.encode() not in answer
            await assert_serves(asker)
    assert SECRET not in served.log
    assert "Traceback" not in served.log


async def test_what_is_no_request_of_mcp_is_refused_and_not_logged(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        for body in (
            b"",
            SECRET.encode(),
            b"[]",
            b"null",
            b'{"jsonrpc": "2.0", "method": "' + SECRET.encode() + b'"',
            b'{"jsonrpc": "2.0", "id": 1, "method": "' + SECRET.encode() + b'"}',
            b'{"jsonrpc": "2.0", "id": 1, "method": 5, "params": "' + SECRET.encode() + b'"}',
            b"[" * 200_000,
            b"9" * 10_000,
            b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}',
            b"\xff" + SECRET.encode(),
        ):
            headers = {**asker.headers("tools/list"), "content-type": "application/json"}
            answer = await asker.http.post(asker.url, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, body[:80]
            await assert_serves(asker)
    assert SECRET not in served.log
    assert "Traceback" not in served.log


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        port = served.port
        bearer = {"Authorization": f"Bearer {served.create_token('laptop', 'ada')}"}
        answers = await exchange(
            port,
            head("POST", "/tools/mcp", port, Content_Length="4", **bearer)
            + b"oops"
            + head("PATCH", "/tools/mcp", port, **bearer)
            + head("GET", "/healthz", port)
            + head("GET", "/readyz", port),  # who showed no token gets one answer
        )
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"400", b"405", b"200"]


async def test_a_token_that_calls_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, access="calls_per_minute: 20") as served,
        asking(served) as busy,
        asking(served, name="other") as other,
    ):
        answers = [await busy.call("current_time") for _ in range(20)]
        assert [answer.status for answer in answers] == [200] * 20
        while (answer := await busy.call("current_time")).status == 200:
            pass  # a slow machine gets some more
        assert answer.status == 429
        assert "laptop calls too often: try again in" in answer.text
        refused = await busy.http.post(busy.url, headers=busy.headers(), json={})
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        await assert_serves(other)


@asynccontextmanager
async def slow_endpoint() -> AsyncGenerator[tuple[int, anyio.Event, anyio.Event]]:
    """An endpoint of a tool that was reached, and answers when it is let go."""
    reached, let_go = anyio.Event(), anyio.Event()

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            reached.set()
            await let_go.wait()
            body = b'{"result": "done"}'
            await stream.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, answer)
            yield port, reached, let_go
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ["modern", "older"])
async def test_sigterm_lets_calls_finish_and_ends_what_only_listens(
    tmp_path: Path, era: Era
) -> None:
    async with slow_endpoint() as (port, reached, let_go):
        config = f"tools: {{wait: {{url: 'http://127.0.0.1:{port}/', description: Waits}}}}"
        async with (
            serving(tmp_path, config=config) as served,
            asking(served, era=era) as asker,
            asking(served, "conversations", "older", name="listener") as listener,
            listener.http.stream("GET", listener.url, headers=listener.headers()) as standing,
        ):
            assert standing.status_code == 200
            answers: list[str] = []

            async def call() -> None:
                answers.append((await asker.call("wait")).text)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await reached.wait()
                served.process.send_signal(signal.SIGTERM)
                while (await asker.http.get(served.origin + "/healthz")).status_code == 200:
                    pass  # the signal has not arrived yet
                let_go.set()
            assert "done" in answers[0]
            with anyio.fail_after(4):  # less than it waits for calls
                assert await served.process.wait() == 0
    assert "Traceback" not in served.log
