"""Serving on stdio and HTTP as a process: start, refusal, end."""

import json
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import Process, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client

from agentic.config.findings import ConfigError
from agentic.config.models import AccessConfig, Config, ConversationsConfig
from servers.access.principal import create_operator
from servers.errors import SetupError
from servers.host import check_conversations, open_server, serve_http
from tests.servers.connections import call, read_line, running, serve_command

INITIALIZE: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class RawClient:
    """Writes and reads lines of a stdio server."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def send(self, line: bytes) -> None:
        await self._stdin.send(line + b"\n")

    async def receive(self) -> dict[str, Any]:
        return json.loads(await self._lines.receive_until(b"\n", 1_000_000))

    async def request(self, request_id: object, method: str, **params: object) -> None:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        await self.send(json.dumps(message).encode())

    async def call_tool(self, request_id: int, tool: str, **arguments: object) -> None:
        await self.request(request_id, "tools/call", name=tool, arguments=arguments)

    async def close(self) -> None:
        await self._stdin.aclose()


@asynccontextmanager
async def initialized(directory: Path) -> AsyncGenerator[tuple[Process, RawClient]]:
    with anyio.fail_after(30):
        async with running(serve_command("stdio", directory, "operator")) as process:
            client = RawClient(process)
            await client.request(0, "initialize", **INITIALIZE)
            assert (await client.receive())["id"] == 0
            await client.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            yield process, client


async def errors_of(process: Process) -> str:
    assert process.stderr is not None
    return b"".join([chunk async for chunk in process.stderr]).decode()


def assert_untroubled(log: str) -> None:
    """Nothing but lines of the access log."""
    assert [line for line in log.splitlines() if " INFO agentic.access: " not in line] == []


async def test_the_end_of_stdin_ends_the_server_after_what_was_asked_is_answered(
    tmp_path: Path,
) -> None:
    async with initialized(tmp_path / "c") as (process, client):
        message = {"role": "user", "content": "x" * 300_000}
        for number in range(5):
            await client.call_tool(
                number, "append_messages", conversation_id="c", messages=[message]
            )
        await client.close()
        answers = [await client.receive() for _ in range(5)]
        assert {answer["id"] for answer in answers} == set(range(5))
        assert not any(answer["result"]["isError"] for answer in answers)
        assert await process.wait() == 0
        assert await errors_of(process) == ""


async def test_a_request_whose_id_is_none_is_refused(tmp_path: Path) -> None:
    async with initialized(tmp_path / "c") as (_, client):
        wrongs: list[Any] = [1.5, None, True, {}, []]
        for wrong in wrongs:
            await client.request(wrong, "tools/call", name="list_conversations", arguments={})
            refused = await client.receive()
            assert (refused["id"], refused["error"]["code"]) == (None, -32600)
            assert "text or a whole number" in refused["error"]["message"]
        cancelled = {"jsonrpc": "2.0", "id": 1.5, "method": "notifications/cancelled"}
        await client.send(json.dumps(cancelled).encode())  # for which nobody waits
        await client.request(1, "ping")
        assert (await client.receive())["id"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_stdio_server_after_what_was_asked_is_answered(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with initialized(tmp_path / "c") as (process, client):
        message = {"role": "user", "content": "x" * 300_000}
        await client.call_tool(1, "append_messages", conversation_id="c", messages=[message])
        await client.call_tool(2, "load_conversation", conversation_id="c")
        assert (await client.receive())["id"] in (1, 2)
        process.send_signal(number)
        assert (await client.receive())["id"] in (1, 2)
        assert await process.wait() == 0
        assert await errors_of(process) == ""


async def test_a_client_that_stops_reading_does_not_keep_the_server(tmp_path: Path) -> None:
    async with initialized(tmp_path / "c") as (process, client):
        message = {"role": "user", "content": "x" * 300_000}
        await client.call_tool(1, "append_messages", conversation_id="c", messages=[message])
        assert (await client.receive())["id"] == 1
        await client.call_tool(
            2, "load_conversation", conversation_id="c"
        )  # more than a pipe holds
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # the second one: equal ones may arrive as one
        with anyio.fail_after(4):  # less than it waits for answers to be read
            assert await process.wait() == 0


async def test_a_broken_stdout_ends_the_server_without_a_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = serve_command("stdio", tmp_path / "c", "operator")
    with anyio.fail_after(30):
        async with running(command, stdout=writing) as process:
            os.close(writing)
            assert process.stdin is not None
            message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
            await process.stdin.send(json.dumps(message).encode() + b"\n")
            assert await process.wait() == 0
            errors = await errors_of(process)
            assert "no longer reads" in errors
            assert "Traceback" not in errors


async def test_every_line_that_asks_something_is_answered(tmp_path: Path) -> None:
    async with initialized(tmp_path / "c") as (_, client):
        await client.send(b"not json")
        assert (await client.receive())["error"]["code"] == -32700
        await client.send(b'{"id": 7, "method": 5}')
        answer = await client.receive()
        assert (answer["id"], answer["error"]["code"]) == (7, -32600)
        await client.send(b"[" * 100_000)
        assert (await client.receive())["error"]["code"] == -32700
        await client.call_tool(8, "load_conversation", conversation_id="\ud800")
        answer = await client.receive()
        assert answer["id"] == 8
        assert answer["result"]["structuredContent"]["error"]["code"] == "invalid"
        await client.request("\ud800", "resources/read", uri="conversation://\ud800")
        answer = await client.receive()
        assert (answer["id"], answer["error"]["code"]) == ("\ud800", -32602)
        await client.send(b"")
        await client.request(9, "ping")
        assert await client.receive() == {"jsonrpc": "2.0", "id": 9, "result": {}}


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (b'{"name": "\\"id\\": 1, [", "arguments": {"id": 5, "x": ' + DEEP + b"}}", "too deeply"),
        (DEEP, "too deeply"),
        (b'{"name": "load_conversation", "limit": ' + b"9" * 5_000 + b"}", "too long"),
    ],
    ids=["deep", "deeper", "long"],
)
async def test_a_request_the_parser_cannot_take_is_answered_under_its_id(
    tmp_path: Path, params: bytes, why: str
) -> None:
    async with initialized(tmp_path / "c") as (_, client):
        method = b'"jsonrpc": "2.0", "method": "tools/call"'
        for request_id in (7, "\u00e9]}"):
            known = b'"id": ' + json.dumps(request_id).encode()
            for line in (
                b"{" + method + b", " + known + b', "params": ' + params + b"}",
                b"{" + method + b', "params": ' + params + b", " + known + b"}",
            ):
                await client.send(line)
                answer = await client.receive()
                assert (answer["id"], answer["error"]["code"]) == (request_id, -32700)
                assert why in answer["error"]["message"]
        for line in (
            b'{"id": 7, "result": ' + params + b"}",  # an answer: its id is not the client's own
            b"{" + method + b', "id": true, "params": ' + params + b"}",
            b"[{" + method + b', "id": 7, "params": ' + params + b"}]",
            b"{" + method + b', "id": 7, "params": ' + params + b'}, "id": 8',
        ):
            await client.send(line)
            answer = await client.receive()
            assert (answer["id"], answer["error"]["code"]) == (None, -32700)


@asynccontextmanager
async def serving_http(directory: Path) -> AsyncGenerator[tuple[Process, str]]:
    with anyio.fail_after(30):
        command = serve_command("http", directory, "127.0.0.1:0")
        async with running(command) as process:
            yield process, (await read_line(process)).split()[-1]


async def test_http_serves_the_name_at_its_path_only(tmp_path: Path) -> None:
    async with serving_http(tmp_path / "c") as (_, url):
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/conversations/mcp")
        async with httpx2.AsyncClient() as http:
            for path in ("/", "/mcp", "/tools/mcp", "/conversations"):
                answer = await http.post(url.replace("/conversations/mcp", path), json={})
                assert answer.status_code == 404


async def test_http_answers_only_to_its_own_host_and_origin(tmp_path: Path) -> None:
    async with serving_http(tmp_path / "c") as (_, url):
        origin = url.removesuffix("/conversations/mcp")
        port = origin.rpartition(":")[2]
        accept = {"accept": "application/json, text/event-stream"}
        ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        async with httpx2.AsyncClient(headers=accept) as http:
            for headers, status in (
                ({"host": f"evil.example:{port}"}, 421),
                ({"host": f"127.0.0.1.evil.example:{port}"}, 421),
                ({"origin": "http://evil.example"}, 403),
                ({"origin": "null"}, 403),
                ({"origin": f"{origin}0"}, 403),
                ({"origin": origin}, 200),
                ({"host": f"localhost:{port}"}, 200),
                ({}, 200),
            ):
                answer = await http.post(url, json=ping, headers=headers)
                assert answer.status_code == status, headers


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_signal_ends_the_http_server_though_a_client_stays_connected(
    tmp_path: Path, era: str
) -> None:
    async with serving_http(tmp_path / "c") as (process, url):
        async with Client(url, mode=era) as client:
            await call(client, "list_conversations")
            process.send_signal(signal.SIGTERM)
            with anyio.fail_after(4):  # less than it waits for calls
                assert await process.wait() == 0
        assert "Traceback" not in await errors_of(process)


@asynccontextmanager
async def half_sent_call(url: str) -> AsyncGenerator[tuple[SocketStream, bytes]]:
    """A request that the server has begun to read, and the rest of it."""
    host, port = url.split("/")[2].split(":")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE})
    head = (
        f"POST /conversations/mcp HTTP/1.1\r\nHost: {host}:{port}\r\nExpect: 100-continue\r\n"
        "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body[:9]}"
    )
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head.encode())
        assert b"100 Continue" in await stream.receive()
        yield stream, body[9:].encode()


async def test_calls_that_arrive_during_the_end_are_refused_and_those_that_run_finish(
    tmp_path: Path,
) -> None:
    async with serving_http(tmp_path / "c") as (process, url), half_sent_call(url) as (call, rest):
        process.send_signal(signal.SIGTERM)
        accept = {"accept": "application/json, text/event-stream"}
        ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        async with httpx2.AsyncClient(headers=accept) as http:
            while (answer := await http.post(url, json=ping)).status_code == 200:
                pass  # the signal has not arrived yet
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "stopping" in answer.json()["error"]["message"]
            assert (await http.get(url)).status_code == 503
            await call.send(rest)
            assert b" 200 OK" in await call.receive()
            with suppress(httpx2.TransportError):  # the listener is closed at last
                while True:
                    assert (await http.post(url, json=ping)).status_code == 503
        assert await process.wait() == 0
        assert_untroubled(await errors_of(process))


@pytest.mark.slow
async def test_a_second_signal_cuts_calls_off_without_a_traceback(tmp_path: Path) -> None:
    async with serving_http(tmp_path / "c") as (process, url), half_sent_call(url) as (call, _):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(4):  # less than it waits for calls
            assert b" 503 Service Unavailable" in await call.receive()
            assert await process.wait() == 0
        assert_untroubled(await errors_of(process))


async def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with anyio.fail_after(30), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = serve_command("http", tmp_path / "c", f"127.0.0.1:{port}")
        async with running(command) as process:
            assert await process.wait() == 1
            error = await errors_of(process)
            assert error.startswith(f"StartError: cannot listen at 127.0.0.1:{port}: ")
            assert "choose another port" in error


async def serve(directory: Path, *, host: str, no_auth: bool, port: int = 0) -> None:
    config = Config(conversations=ConversationsConfig(directory=directory))
    await serve_http(["conversations"], config, host=host, port=port, no_auth=no_auth)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
async def test_http_without_tokens_is_refused_outside_loopback(tmp_path: Path, host: str) -> None:
    with pytest.raises(SetupError, match="agentic token create"):
        await serve(tmp_path / "c", host=host, no_auth=True)


async def test_a_file_of_tokens_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    config = Config(
        conversations=ConversationsConfig(directory=tmp_path / "c"),
        access=AccessConfig(tokens_file=tmp_path),
    )
    with anyio.fail_after(10), pytest.raises(ConfigError, match="is no plain file"):
        await serve_http(["conversations"], config, host="127.0.0.1", port=0, no_auth=False)


async def test_what_is_no_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="70000 is not a port"):
        await serve(tmp_path / "c", host="127.0.0.1", no_auth=True, port=70_000)


async def open_conversations(config: Config, name: str = "conversations") -> None:
    async with open_server(name, config, create_operator("ada")):
        pass


async def test_an_unknown_server_is_refused_with_the_known_names() -> None:
    with pytest.raises(SetupError, match=r"no server 'nope'; there are: conversations, tools"):
        await open_conversations(Config(), "nope")


async def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a store")
    for directory in (in_the_way, in_the_way / "below", tmp_path / "missing" / "below"):
        config = Config(conversations=ConversationsConfig(directory=directory))
        for use in (open_conversations, check_conversations):
            with pytest.raises(SetupError, match=str(directory.parent)):
                await use(config)


async def test_the_first_start_makes_the_place_for_all_data(tmp_path: Path) -> None:
    data = tmp_path / "share" / "agentic"
    config = Config(
        data_directory=data, conversations=ConversationsConfig(directory=data / "conversations")
    )
    await open_conversations(config)
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "conversations").is_dir()


async def test_the_tools_server_is_opened_too() -> None:
    async with (
        open_server("tools", Config(), create_operator("ada")) as hosted,
        Client(hosted.server) as client,
    ):
        assert "current_time" in {tool.name for tool in (await client.list_tools()).tools}
