"""Over HTTP, in a process that may open few files."""

import resource
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from servers.http_connection import HEADER_SECONDS
from tests.servers.http_by_hand import asking, assert_serves, exchange, head
from tests.servers.http_serving import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are Linux's"),
]

FILES = 64


@asynccontextmanager
async def silent_connections(port: int, count: int) -> AsyncGenerator[None]:
    async with AsyncExitStack() as opened:
        with anyio.move_on_after(1):  # no more than wait to be accepted
            for _ in range(count):
                await opened.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        yield


async def get_status(port: int, path: str) -> bytes:
    return (await exchange(port, head("GET", path, port, Connection="close")))[9:12]


async def test_connections_that_cannot_be_accepted_are_told_once_and_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        # Later than it has decided how many connections it takes.
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        async with silent_connections(served.port, 3 * FILES):
            await anyio.sleep(3)  # asyncio tries again each second
        assert await get_status(served.port, "/healthz") == b"200"
        [line] = [line for line in served.log.splitlines() if " listens at " not in line]
        assert "too many files are open" in line
        assert f"may open {FILES}: raise the limit (ulimit -n)" in line
        async with asking(served) as asker:
            await assert_serves(asker)


async def test_silent_connections_leave_room_for_calls(tmp_path: Path) -> None:
    async with serving(tmp_path, max_open_files=FILES) as served, asking(served) as asker:
        async with silent_connections(served.port, 3 * FILES):
            with anyio.fail_after(HEADER_SECONDS - 3):  # they are not waited for
                await assert_serves(asker)
                assert await get_status(served.port, "/healthz") == b"200"
        assert "asyncio" not in served.log
        assert served.log.count("too many files are open") <= 1
