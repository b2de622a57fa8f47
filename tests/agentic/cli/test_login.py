"""`agentic login`: a page to agree on, and afterwards every command gets in."""

import re
import sys

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.fakes.oauth_server import open_oauth_server
from tests.ports import free_port

PAGE = re.compile(r"http://\S+/as/authorize\S+")


async def read_page(process: Process, said: list[str]) -> str:
    """The URL it shows; all it says goes to `said`."""
    assert process.stderr is not None
    async for text in TextReceiveStream(process.stderr):
        said.append(text)
        if found := PAGE.search("".join(said)):
            return found[0]
    raise AssertionError("".join(said))


@pytest.mark.slow
async def test_after_a_login_the_servers_tools_are_there(command: RealCommand) -> None:
    async with open_oauth_server() as server:
        ours = "conversations: {enabled: false}, tools: {enabled: false}"
        entry = f"{{url: {server.url}, oauth: {{redirect_port: {free_port()}}}}}"
        command.configure(f"servers: {{guarded: {entry}, {ours}}}")
        before = await command.run("tools", "list")
        assert "agentic login" in before.output

        arguments = [sys.executable, "-m", "agentic", "login", "guarded"]
        said: list[str] = []
        with anyio.fail_after(LIMIT_SECONDS):
            async with await anyio.open_process(arguments, env=command.environment) as login:
                page = await read_page(login, said)
                async with httpx2.AsyncClient(follow_redirects=True) as browser:
                    assert (await browser.get(page)).status_code == 200
                assert await login.wait() == 0

        after = await command.run("tools", "list")
        assert "guarded__whoami" in after.output
        assert server.asked == ["register", "authorize", "authorization_code"]


async def test_a_login_at_a_server_without_oauth_names_those_with_it(command: RealCommand) -> None:
    command.configure("servers: {guarded: {url: 'http://127.0.0.1:9/mcp', oauth: {}}}")
    ended = await command.run("login", "tools")
    assert ended.exit_code == 2
    assert "guarded" in ended.notes
