"""A process of its own: 200 calls at the same time through one server; prints what they cost.

`python -m tests.servers.tools.many_calls URL` with an endpoint that answers when all have come.
"""

import re
import sys
from pathlib import Path

import anyio
from mcp import Client

from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.servers.tools.conftest import declare

CALLS, TOOLS = 200, 10


def _read_kibibytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


async def main(url: str) -> None:
    tools = {f"t{n}": {"url": f"{url}/meet"} for n in range(TOOLS)}
    server = create_server(declare(warm={"url": f"{url}/warm"}, **tools), create_operator("ada"))
    failed = 0
    async with Client(server) as client:
        await client.call_tool("warm", {})
        before = _read_kibibytes("VmRSS")

        async def call(name: str) -> None:
            nonlocal failed
            failed += bool((await client.call_tool(name, {})).is_error)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for n in range(CALLS):
                    tasks.start_soon(call, f"t{n % TOOLS}")
    print(failed, _read_kibibytes("VmHWM") - before)  # noqa: T201 - read by the test


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
