"""Requests that HTTP allows or nearly allows, and that mean something else than usual."""

import re
from pathlib import Path

import anyio
import pytest

from tests.servers.http_by_hand import exchange, head
from tests.servers.http_serving import serving

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
