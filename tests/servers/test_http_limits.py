"""What hostile, broken and merely odd clients get over HTTP."""

import re
import signal
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream
from prometheus_client.parser import text_string_to_metric_families

from servers.http_callers import FAILURES_PER_MINUTE
from servers.http_connection import HEADER_SECONDS, READ_SECONDS
from servers.http_guard import BODY_SECONDS, MAX_REQUEST_BYTES
from tests.servers.http_serving import (
    LIMIT_SECONDS,
    Asker,
    Era,
    Serving,
    environment,
    serve_command,
    serving,
    write_config,
)

SECRET = "mark-of-what-people-wrote"


@asynccontextmanager
async def asking(
    served: Serving, server: str = "tools", era: Era = "modern", *, name: str = "laptop"
) -> AsyncGenerator[Asker]:
    """A client with a token."""
    async with httpx2.AsyncClient(timeout=LIMIT_SECONDS) as http:
        asker = Asker(http, served.urls[server], era, served.create_token(name, "ada"))
        if era == "older":
            await asker.begin()
        yield asker


async def assert_serves(asker: Asker) -> None:
    answer = await asker.call("current_time")
    assert (answer.status, answer.error_code) == (200, None)


async def exchange(port: int, data: bytes) -> bytes:
    """Send this, and read till the server closes."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with suppress(anyio.BrokenResourceError):  # it need not read all
            await stream.send(data)
        return await read_to_the_end(stream)


async def read_to_the_end(stream: SocketStream) -> bytes:
    received = b""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            received += await stream.receive()
    return received


def head(method: str, path: str, port: int, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
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


async def test_a_token_in_the_url_is_refused_and_in_no_log(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token = asker.token or ""
        for query in (
            f"?token={token}",
            f"?access_token={token}",
            f"?a=b&API_KEY={token}",
            f"?%74oken={token}",
            f"?x={token}",
            f"?Authorization=Bearer%20{token}",
        ):
            for path in (asker.url, served.origin + "/healthz", served.origin + "/nothing"):
                answer = await asker.http.post(path + query, headers=asker.headers())
                assert answer.status_code == 400, (path, query)
                assert "revoke" in answer.text
                assert token not in answer.text
        for path in (f"/tools/mcp/{token}", f"/{token}", f"/tools/mcp;token={token}"):
            answer = await asker.http.post(served.origin + path, headers=asker.headers())
            assert answer.status_code == 404
            assert token not in answer.text
        await assert_serves(asker)
    assert token.split("_", 2)[2] not in served.log


async def test_a_token_is_taken_from_its_own_header_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token, right = asker.token or "", asker.headers()
        del right["authorization"]
        for headers in (
            {"cookie": f"token={token}; authorization=Bearer {token}"},
            {"x-api-key": token},
            {"x-authorization": f"Bearer {token}"},
            {"proxy-authorization": f"Bearer {token}"},
            {"authorization": token},
            {"authorization": f"Basic {token}"},
            {"authorization": f"Bearer{token}"},
            {"authorization": f"Bearer {token} {token}"},
            {"authorization": f"Bearer {token}, Bearer {token}"},
        ):
            answer = await asker.http.post(asker.url, headers={**right, **headers}, json={})
            assert answer.status_code == 401, headers
            assert "error=" in answer.headers["www-authenticate"]
            assert answer.json()["error"]["message"].startswith("This needs a valid token")
        answer = await asker.http.post(
            asker.url, headers={**right, "authorization": f"bearer  {token}"}, json={}
        )
        assert answer.status_code == 400  # let in, and told that this is no request


PATHS = ("/conversations/mcp", "/tools/mcp", "/healthz", "/readyz", "/metrics", "/nothing", "/")


async def test_foreign_hosts_and_origins_are_refused_at_every_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token = {"authorization": f"Bearer {asker.token}"}
        foreign: list[tuple[dict[str, str], int]] = [
            ({"host": f"evil.example:{served.port}"}, 421),
            ({"host": "evil.example"}, 421),
            ({"host": f"127.0.0.1.evil.example:{served.port}"}, 421),
            ({"host": f"localhost.:{served.port}"}, 421),
            ({"host": "2130706433"}, 421),
            ({"host": ""}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": f"http://evil.example:{served.port}"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": f"https://127.0.0.1:{served.port}"}, 403),
            ({"origin": f"http://127.0.0.1:{served.port}.evil.example"}, 403),
        ]
        for path in PATHS:
            for headers, status in foreign:
                for method in ("GET", "POST", "OPTIONS"):
                    answer = await asker.http.request(
                        method, served.origin + path, headers={**token, **headers}
                    )
                    assert answer.status_code == status, (method, path, headers)
                    assert "access-control-allow-origin" not in answer.headers
        assert (await exchange(served.port, b"GET /healthz HTTP/1.0\r\n\r\n"))[9:12] == b"421"
        await assert_serves(asker)
    assert "evil" not in served.log


async def test_hosts_and_origins_are_allowed_by_configuration(tmp_path: Path) -> None:
    access = "allowed_hosts: [Assistant.example], allowed_origins: ['https://Chat.example/']"
    async with serving(tmp_path, access=access) as served, asking(served) as asker:
        for headers, status in (
            ({"host": "assistant.example"}, 200),
            ({"host": "ASSISTANT.example:8443"}, 200),
            ({"host": "x.assistant.example"}, 421),
            ({"host": "assistant.example.evil"}, 421),
            ({"host": "assistant.example", "origin": "https://chat.example"}, 200),
            ({"origin": "http://chat.example"}, 403),
            ({"origin": "https://chat.example.evil"}, 403),
            ({"origin": "https://chat.example:444"}, 403),
        ):
            answer = await asker.http.get(served.origin + "/healthz", headers=headers)
            assert answer.status_code == status, headers


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


async def test_600_connections_at_once_are_answered_or_turned_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        request = head("GET", "/healthz", served.port, Connection="close")
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", served.port))
                for _ in range(600)
            ]
            for stream in streams:
                await stream.send(request)
            answers = [int((await read_to_the_end(stream))[9:12]) for stream in streams]
        assert set(answers) <= {200, 503}
        assert 503 in answers  # more than are served at a time
        await assert_serves(asker)
    assert "Traceback" not in served.log


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
        answers = await exchange(
            port,
            head("GET", "/healthz", port)
            + head("GET", "/readyz", port)
            + head("POST", "/tools/mcp", port, Content_Length="2")
            + b"{}"
            + head("GET", "/healthz", port),
        )
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"200", b"401"]
    assert answers.index(b"alive") < answers.index(b"ready") < answers.index(b"valid token")


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


async def test_the_access_log_tells_who_and_how_it_went_but_nothing_of_what(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served, asking(served, "conversations", "older") as asker:
        message = {"role": "user", "content": SECRET, "message_id": SECRET}
        for tool, arguments in (
            ("append_messages", {"conversation_id": SECRET, "messages": [message]}),
            ("load_conversation", {"conversation_id": SECRET}),
            ("load_conversation", {"conversation_id": SECRET, "limit": SECRET}),
            (SECRET, {}),
        ):
            await asker.call(tool, arguments)
        await asker.ask("resources/read", {"uri": f"conversation://{SECRET}"})
        await asker.http.get(f"{served.origin}/{SECRET}?q={SECRET}")
        await asker.http.get(f"{served.origin}/healthz?q={SECRET}")
        headers = {"user-agent": SECRET, "referer": SECRET, "x-forwarded-for": f"{SECRET} fe80::1"}
        await asker.http.post(f"{served.origin}/tools/mcp", headers=headers)
        await asker.http.delete(asker.url, headers=asker.headers())
        session, token = asker.session or "", asker.token or ""
    for hidden in (SECRET, session, token.split("_", 2)[2]):
        assert hidden not in served.log
    line = re.compile(
        r"\S+ \S+ INFO agentic\.access: (127\.0\.0\.1|unknown) (laptop|-) [A-Z]+ "
        r"(/conversations/mcp|/tools/mcp|other) \d{3} \d+\.\d ms"
    )
    lines = [line for line in served.log.splitlines() if " listens at " not in line]
    assert len(lines) >= 8
    assert [text for text in lines if not line.fullmatch(text)] == []


async def wait_for_status(http: httpx2.AsyncClient, url: str, status: int) -> dict[str, Any]:
    while (answer := await http.get(url)).status_code != status:
        pass  # it looks once a second
    return answer.json()


async def test_readiness_names_the_server_whose_store_is_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        ready, away = f"{served.origin}/readyz", tmp_path / "away"
        assert (await http.get(ready)).json() == {
            "status": "ready",
            "servers": {"conversations": "ready", "tools": "ready"},
        }
        served.store.rename(away)
        answer = await wait_for_status(http, ready, 503)
        assert answer["status"] == "not ready"
        assert answer["servers"]["tools"] == "ready"
        assert answer["servers"]["conversations"].startswith("failed; the log has the reason")
        assert (await http.get(f"{served.origin}/healthz")).json() == {"status": "alive"}
        served.store.mkdir()  # another directory is not the one that was opened
        for _ in range(3):
            assert (await http.get(ready)).status_code == 503
        served.store.rmdir()
        away.rename(served.store)
        await wait_for_status(http, ready, 200)
    assert answer["servers"]["conversations"].split()[-1] in served.log


async def test_figures_are_for_this_machine_or_a_token_and_name_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served, "conversations") as asker:
        message = {"role": "user", "content": SECRET}
        arguments = {"conversation_id": SECRET, "messages": [message]}
        assert (await asker.call("append_messages", arguments)).error_code is None
        await asker.call("load_conversation", {"conversation_id": ""})
        await asker.call(SECRET)
        await asker.ask(SECRET)
        await asker.http.get(f"{served.origin}/{SECRET}")
        figures = f"{served.origin}/metrics"
        text = (await asker.http.get(figures)).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        outcomes = {
            (sample.labels["method"], sample.labels["outcome"]): sample.value
            for sample in families["agentic_mcp_requests"].samples
            if sample.name.endswith("_total")
        }
        assert outcomes == {
            ("tools/call", "ok"): 1,
            ("tools/call", "failed"): 1,
            ("tools/call", "error"): 1,
            ("other", "error"): 1,
        }
        assert {"agentic_http_requests", "agentic_mcp_request_seconds"} <= families.keys()
        assert "process_resident_memory_bytes" in families
        for name in (SECRET, "ada", "laptop"):
            assert name not in text
        token = {"authorization": f"Bearer {asker.token}"}
        passed_on: list[dict[str, str]] = [
            {"x-forwarded-for": "127.0.0.1"},
            {"x-forwarded-for": "203.0.113.9"},
            {"forwarded": "for=127.0.0.1"},
            {"x-real-ip": "127.0.0.1"},
            {"via": "1.1 proxy"},
        ]
        for headers in passed_on:
            assert (await asker.http.get(figures, headers=headers)).status_code == 401
            wrong = {**headers, "authorization": "Bearer wrong"}
            assert (await asker.http.get(figures, headers=wrong)).status_code == 401
            assert (await asker.http.get(figures, headers={**headers, **token})).status_code == 200


async def test_a_session_is_of_use_with_its_own_token_and_server_only(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older") as asker,
        asking(served, "conversations", "older", name="other") as other,
    ):
        own, stolen = other.session, asker.session
        other.session = stolen
        assert (await other.ask("tools/list")).status == 404
        for method in ("GET", "DELETE"):
            answer = await other.http.request(method, other.url, headers=other.headers())
            assert answer.status_code == 404
        other.url, other.session = served.urls["tools"], own
        assert (await other.ask("tools/list")).status == 404
        assert (await asker.ask("tools/list")).error_code is None


async def test_methods_that_mean_nothing_here_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "BREW", "GET"):
            for token in (None, asker.token):
                headers = asker.headers()
                headers.pop("authorization")
                if token is not None:
                    headers["authorization"] = f"Bearer {token}"
                answer = await asker.http.request(method, asker.url, headers=headers, content=b"{}")
                assert answer.status_code == (401 if token is None else 405), method
            answer = await asker.http.request(method, f"{served.origin}/healthz")
            assert answer.status_code == 200
        await assert_serves(asker)


async def test_odd_paths_lead_nowhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        only = served.tokens.create("only tools", "ada", {"tools:call"})[1]
        for path in (
            "//conversations/mcp",
            "/conversations/mcp/",
            "/conversations//mcp",
            "/./conversations/mcp",
            "/tools/../conversations/mcp",
            "/tools/mcp/../../conversations/mcp",
            "/tools/%2e%2e/conversations/mcp",
            "/tools/%2E./conversations/mcp",
            "/tools/..%2fconversations/mcp",
            "/conversations/mcp%00",
            "/conversations/mcp;x=1",
            "/CONVERSATIONS/mcp",
            "\\conversations\\mcp",
            "http://127.0.0.1/conversations/mcp",
        ):
            request = head(
                "POST", path, served.port, Authorization=f"Bearer {only}", Content_Length="0"
            )
            answer = await exchange(served.port, request)
            assert answer[9:12] in (b"404", b"400"), path
        for path in ("/conversations/mcp", "/conversations%2fmcp", "/%63onversations/mcp"):
            request = head(
                "POST", path, served.port, Authorization=f"Bearer {only}", Content_Length="0"
            )
            assert (await exchange(served.port, request))[9:12] == b"403"
        await assert_serves(asker)


async def run_serve(home: Path, *arguments: str) -> tuple[int, str]:
    with anyio.fail_after(LIMIT_SECONDS):
        done = await anyio.run_process(
            serve_command(*arguments),
            check=False,
            env=environment(home, write_config(home)),
            cwd=home,
        )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"])
async def test_serving_without_tokens_is_refused_where_others_could_come(
    tmp_path: Path, address: str
) -> None:
    code, errors = await run_serve(tmp_path, "all", "--http", address, "--no-auth")
    assert code == 2
    assert "--no-auth goes with a loopback address only" in errors
    assert "agentic token create" in errors
    assert "Traceback" not in errors


async def test_addresses_that_cannot_be_had_are_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses: Mapping[str, str] = {
            f"127.0.0.1:{port}": "choose another port",
            "no.such.host.invalid:8000": "cannot listen at no.such.host.invalid:8000",
            "x" * 70 + ":8000": "no host's name",
        }
        for address, why in addresses.items():
            code, errors = await run_serve(tmp_path, "all", "--http", address)
            assert code == 1, errors
            assert why in errors.splitlines()[0]
            assert "Traceback" not in errors
