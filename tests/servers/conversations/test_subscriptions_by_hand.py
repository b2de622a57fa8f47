"""Subscriptions written by hand, as clients other than the SDK's may do it."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

from servers.conversations.watch import MAX_WATCHED, MAX_WATCHED_BY_ONE
from tests.servers.connections import running
from tests.servers.connections import serve_command as serve_alone
from tests.servers.http_serving import ALL_SCOPES, VERSIONS, Asker, Era, Serving, serving

X, Y = "conversation://x", "conversation://y"
UPDATED = "notifications/resources/updated"


def append_to(conversation_id: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"conversation_id": conversation_id, "messages": messages}


class Wire:
    """A server on stdio, whose client is this test."""

    def __init__(self, process: Process, era: Era) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._era = era
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def send(self, method: str, params: Mapping[str, Any], request_id: str | None) -> None:
        meta: dict[str, Any] = {}
        if self._era == "modern":
            meta[PROTOCOL_VERSION_META_KEY] = VERSIONS["modern"]
            meta[CLIENT_CAPABILITIES_META_KEY] = {}
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        message["params"] = {**params, **({"_meta": meta} if meta else {})}
        if request_id is not None:
            message["id"] = request_id
        await self._stdin.send(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        return json.loads(await self._lines.receive_until(b"\n", 1_000_000))

    async def end(self) -> None:
        """Leave; the server has nothing to wait for."""
        await self._stdin.aclose()
        with anyio.fail_after(4):
            assert await self.process.wait() == 0


@asynccontextmanager
async def on_stdio(directory: Path, era: Era) -> AsyncGenerator[Wire]:
    with anyio.fail_after(30):
        command = serve_alone("stdio", directory, "operator")
        async with running(command) as process:
            yield Wire(process, era)


async def test_on_stdio_the_older_era_is_told_between_the_answers(tmp_path: Path) -> None:
    async with on_stdio(tmp_path / "c", "older") as wire:
        info = {"name": "test", "version": "1"}
        version = VERSIONS["older"]
        hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        await wire.send("initialize", hello, "i")
        capabilities = (await wire.receive())["result"]["capabilities"]
        assert capabilities["resources"] == {"subscribe": True, "listChanged": False}
        await wire.send("notifications/initialized", {}, None)
        await wire.send("resources/subscribe", {"uri": X}, "s")
        assert await wire.receive() == {"jsonrpc": "2.0", "id": "s", "result": {}}
        await wire.send("tools/call", {"name": "append_messages", "arguments": append_to("x")}, "a")
        first, second = await wire.receive(), await wire.receive()
        [told] = [each for each in (first, second) if "method" in each]
        assert told == {"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": X}}
        await wire.end()


async def test_on_stdio_the_newer_era_is_told_under_its_request(tmp_path: Path) -> None:
    async with on_stdio(tmp_path / "c", "modern") as wire:
        wanted = {"resourceSubscriptions": [X], "toolsListChanged": True}
        await wire.send("subscriptions/listen", {"notifications": wanted}, "l")
        acknowledged = await wire.receive()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        meta = {SUBSCRIPTION_ID_META_KEY: "l"}
        assert acknowledged["params"] == {
            "notifications": {"resourceSubscriptions": [X]},
            "_meta": meta,
        }
        call = {"name": "append_messages", "arguments": append_to("x")}
        await wire.send("tools/call", call, "a")
        first, second = await wire.receive(), await wire.receive()
        [told] = [each for each in (first, second) if "method" in each]
        assert told["params"] == {"uri": X, "_meta": meta}
        await wire.send("notifications/cancelled", {"requestId": "l"}, None)
        await wire.send("tools/call", call, "b")
        assert (await wire.receive())["id"] == "b"  # and no news before it
        await wire.send("subscriptions/listen", {"notifications": wanted}, "m")
        await wire.receive()
        await wire.end()


class Stream:
    """What is told to one client over HTTP."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()

    async def receive(self) -> dict[str, Any]:
        async for line in self._lines:
            if line.startswith("data: {"):
                return json.loads(line[6:])
        raise EOFError

    async def hears(self) -> str:
        told = await self.receive()
        assert told["method"] == UPDATED
        return told["params"]["uri"]

    async def ends(self) -> None:
        """Without any more news."""
        with suppress(EOFError):
            while True:
                assert "result" in await self.receive()


@asynccontextmanager
async def told(
    asker: Asker, uris: Sequence[str], owner: str | None = None
) -> AsyncGenerator[Stream]:
    """A client that subscribed in the way of its era, and is ready to hear."""
    if asker.era == "modern":
        params = {"notifications": {"resourceSubscriptions": uris}}
        async with asker.open("subscriptions/listen", params, owner=owner) as response:
            stream = Stream(response)
            assert "acknowledged" in (await stream.receive())["method"]
            yield stream
        return
    for uri in uris:
        assert (await asker.ask("resources/subscribe", {"uri": uri}, owner=owner)).result == {}
    async with asker.http.stream("GET", asker.url, headers=asker.headers()) as response:
        assert response.status_code == 200
        yield Stream(response)


@asynccontextmanager
async def listening(
    served: Serving, http: httpx2.AsyncClient
) -> AsyncGenerator[dict[str, tuple[Asker, Stream]]]:
    """Ada, Bob and somebody who acts for Bob, in both eras; all want to hear of X and Y."""
    async with AsyncExitStack() as stack:
        found: dict[str, tuple[Asker, Stream]] = {}
        for who, owner, scopes, acting_for in (
            ("ada", "ada", ALL_SCOPES - {"delegate"}, None),
            ("bob", "bob", ALL_SCOPES - {"delegate"}, None),
            ("for bob", "operator", ALL_SCOPES, "bob"),
        ):
            for era in VERSIONS:
                name = f"{who} {era}"
                token = served.create_token(name, owner, scopes)
                asker = Asker(http, served.urls["conversations"], era, token)
                if era == "older":
                    await asker.begin()
                stream = await stack.enter_async_context(told(asker, [X, Y], acting_for))
                found[name] = (asker, stream)
        yield found


@pytest.mark.slow
async def test_over_http_only_subscribers_of_that_owner_are_told_and_only_while_they_may(
    tmp_path: Path,
) -> None:
    async with (
        serving(tmp_path) as served,
        httpx2.AsyncClient(timeout=30) as http,
        listening(served, http) as those,
    ):
        ada, bob = those["ada modern"][0], those["bob modern"][0]
        assert (await ada.call("append_messages", append_to("x"))).error_code is None
        for era in VERSIONS:
            with anyio.fail_after(2):
                assert await those[f"ada {era}"][1].hears() == X
        assert (await bob.call("append_messages", append_to("y"))).error_code is None
        for who in ("bob", "for bob"):
            for era in VERSIONS:
                with anyio.fail_after(2):
                    assert await those[f"{who} {era}"][1].hears() == Y
        for era in VERSIONS:
            served.tokens.revoke(f"bob {era}")
            with anyio.fail_after(5):
                await those[f"bob {era}"][1].ends()
        assert (await ada.call("append_messages", append_to("y"))).error_code is None
        for era in VERSIONS:
            with anyio.fail_after(2):
                assert await those[f"ada {era}"][1].hears() == Y


MANY = [f"conversation://{number}" for number in range(MAX_WATCHED_BY_ONE)]
ENOUGH = MAX_WATCHED // MAX_WATCHED_BY_ONE + 2
"""Clients who together want to hear of more than all may at once."""


async def test_over_http_a_stream_that_was_left_costs_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        url, token = served.urls["conversations"], served.create_token("ada", "ada")
        for _ in range(ENOUGH):
            async with told(Asker(http, url, "modern", token), MANY):
                pass


@pytest.mark.slow  # a thousand requests
async def test_over_http_a_session_that_was_ended_costs_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        url, token = served.urls["conversations"], served.create_token("ada", "ada")
        for _ in range(ENOUGH):
            asker = Asker(http, url, "older", token)
            await asker.begin()
            async with told(asker, MANY):
                ended = await http.delete(asker.url, headers=asker.headers())
                assert ended.status_code == 200
