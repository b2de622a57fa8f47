"""What one principal can take of a server over HTTP, and what is left to the others."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import httpx2
import pytest

from servers.http_connection import MAX_CONNECTIONS
from servers.http_sessions import SESSIONS_EACH
from servers.http_shares import STREAMS_EACH
from tests.servers.http_by_hand import asking, assert_serves, head
from tests.servers.http_serving import Asker, serving

pytestmark = pytest.mark.slow


async def open_session(asker: Asker) -> str:
    asker.session = None
    answer = await asker.begin()
    assert (answer.status, answer.error_code) == (200, None)
    assert asker.session is not None
    return asker.session


async def status_in(asker: Asker, session: str) -> int:
    asker.session = session
    return (await asker.ask("tools/list")).status


async def test_who_opens_sessions_on_and_on_loses_its_own_that_was_left_alone_longest(
    tmp_path: Path,
) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older", name="other") as other,
        asking(served, "conversations", "older") as greedy,
    ):
        used = greedy.session or ""
        left_alone = await open_session(greedy)
        assert await status_in(greedy, used) == 200
        more = [await open_session(greedy) for _ in range(SESSIONS_EACH - 1)]
        assert await status_in(greedy, left_alone) == 404
        assert await status_in(greedy, used) == 200
        assert await status_in(greedy, more[-1]) == 200
        assert (await other.ask("tools/list")).status == 200
    assert "Traceback" not in served.log


async def test_sessions_of_a_revoked_token_make_room(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older") as revoked,
        asking(served, "conversations", "older", name="other") as other,
    ):
        session = revoked.session or ""
        served.tokens.revoke("laptop")
        await open_session(other)
        revoked.token = served.create_token("laptop", "ada")  # as if nothing had been
        assert await status_in(revoked, session) == 404


async def test_who_listens_on_too_many_streams_is_told_and_keeps_nobody_out(
    tmp_path: Path,
) -> None:
    listening = {"notifications": {"toolsListChanged": True}}
    async with (
        serving(tmp_path) as served,
        asking(served) as greedy,
        asking(served, name="other") as other,
        AsyncExitStack() as stack,
    ):
        for _ in range(STREAMS_EACH):
            stream = greedy.open("subscriptions/listen", listening)
            assert (await stack.enter_async_context(stream)).status_code == 200
        refused = await greedy.ask("subscriptions/listen", listening)
        assert refused.status == 429
        assert "laptop listens on 64 streams already: end one of them first" in refused.text
        await assert_serves(greedy)
        async with other.open("subscriptions/listen", listening) as response:
            assert response.status_code == 200


async def test_connections_that_a_token_leaves_idle_make_room(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, AsyncExitStack() as stack:
        bearer = f"Bearer {served.create_token('laptop', 'ada')}"
        request = head("PATCH", "/tools/mcp", served.port, Authorization=bearer)
        for _ in range(MAX_CONNECTIONS + 20):
            stream = await stack.enter_async_context(
                await anyio.connect_tcp("127.0.0.1", served.port)
            )
            await stream.send(request)
            assert (await stream.receive()).startswith(b"HTTP/1.1 405")
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{served.origin}/healthz")).status_code == 200
