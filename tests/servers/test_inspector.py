"""The MCP Inspector, another implementation's client, at our servers."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.servers.connections import (
    Connections,
    call,
    read_line,
    running,
    serve_command,
)

INSPECTOR = shutil.which("mcp-inspector")

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        INSPECTOR is None,
        reason="mcp-inspector is not on PATH: npm i -g @modelcontextprotocol/inspector (Node 22)",
    ),
]


async def inspect(catalog: Path, *arguments: str) -> dict[str, Any]:
    command = [str(INSPECTOR), "--cli", *arguments]
    environment = {**os.environ, "MCP_CATALOG_PATH": str(catalog)}
    finished = await anyio.run_process(command, env=environment, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    return json.loads(finished.stdout)


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_inspector_lists_tools_and_reads_a_conversation(
    tmp_path: Path, era: str, transport: str
) -> None:
    directory = tmp_path / "conversations"
    catalog = tmp_path / "catalog.json"
    async with Connections(directory, "memory", "auto").connect() as client:
        message = {"role": "user", "content": "read me"}
        await call(client, "append_messages", conversation_id="../x", messages=[message])
        tools = {tool.name for tool in (await client.list_tools()).tools}

    async def check(*target: str) -> None:
        asked = [*target, "--protocol-era", era]
        listed = await inspect(catalog, *asked, "--method", "tools/list", "--strict")
        assert tools == {tool["name"] for tool in listed["tools"]}
        uri = "conversation://..%2Fx"
        read = await inspect(catalog, *asked, "--method", "resources/read", "--uri", uri)
        assert "    read me" in read["contents"][0]["text"]

    with anyio.fail_after(90):
        if transport == "stdio":
            program = tmp_path / "serve"
            arguments = serve_command("stdio", directory, "operator")
            program.write_text(
                f"#!{sys.executable}\nimport os\nos.execv({arguments[0]!r}, {arguments!r})\n"
            )
            program.chmod(0o700)
            await check(str(program))
        else:
            command = serve_command("http", directory, "127.0.0.1:0")
            async with running(command) as process:
                await check((await read_line(process)).split()[-1])
