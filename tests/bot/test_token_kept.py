"""The bot's token is nowhere but in the environment it was given in, whatever goes wrong."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

from tests.bot.running_bot import ADA, STRANGER, TOKEN
from tests.bot.test_crash import start_bot
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import (
    CONFLICT,
    SERVER_ERROR,
    DropAfter,
    DropBefore,
    Fault,
    Garbage,
    Status,
    too_many_requests,
)
from tests.ports import free_port

pytestmark = pytest.mark.slow  # processes

SECRET = TOKEN.partition(":")[2].encode()
FAULTS: list[Fault] = [
    DropBefore(),
    DropAfter(),
    SERVER_ERROR,
    Garbage(),
    CONFLICT,
    too_many_requests(0),
    Status(400, "Bad Request: no"),
    Status(403, "Forbidden: bot was blocked by the user"),
]

AT_DEBUG = (
    "import logging, sys; logging.basicConfig(level=logging.DEBUG); "
    "[logging.getLogger(n).setLevel(logging.DEBUG) for n in ('httpx', 'httpcore', 'telegram')]; "
    "from agentic.__main__ import main; sys.exit(main())"
)
"""`python -m agentic` for somebody who looks for a fault in what it stands on."""
FEW = {
    "getMe": [Garbage()],
    "deleteWebhook": [SERVER_ERROR],
    "getUpdates": [CONFLICT, DropAfter()],
    "setWebhook": [too_many_requests(0), DropBefore()],
}
"""Of what is asked until it is answered, with a longer pause each time."""


class Running:
    """`agentic -v bot`, its home, and what it said."""

    def __init__(self, process: Process, home: Path) -> None:
        self.process = process
        self._home = home
        self.said = b""
        self._started: list[bytes] = []
        """Its command line, and what its children were started with."""
        self._heard = anyio.Event()

    async def listen(self) -> None:
        """Take in what it says, to its end."""
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self.said += chunk
            self._heard.set()
            self._heard = anyio.Event()

    async def wait_for(self, words: str) -> None:
        while words.encode() not in self.said:
            await self._heard.wait()

    def look(self) -> None:
        """At what everybody on this machine can see, and at the environments of the children."""
        own = Path(f"/proc/{self.process.pid}")
        self._started.append((own / "cmdline").read_bytes())
        children = (own / "task" / str(self.process.pid) / "children").read_text().split()
        assert children
        for child in children:
            self._started += [
                Path(f"/proc/{child}/{file}").read_bytes() for file in ("cmdline", "environ")
            ]

    def check(self) -> None:
        """Not a byte of the token's secret part is anywhere."""
        left = [path.read_bytes() for path in self._home.rglob("*") if path.is_file()]
        assert left
        assert not [each for each in (*left, *self._started, self.said) if SECRET in each]


@asynccontextmanager
async def agentic_bot(
    home: Path,
    base_url: str,
    *,
    token: str = TOKEN,
    bot: Mapping[str, Any] = {},
    python: Sequence[str] = ("-m", "agentic"),
    **given: str,
) -> AsyncGenerator[Running]:
    """The bot as it is started by its operator; checked when it has ended."""
    config = {
        "models": {"s": {"provider": "scripted", "script": str(home / "script.yml")}},
        "bot": {"people": {str(ADA): "ada"}, "base_url": base_url, **bot},
    }
    (home / "script.yml").write_text("- {when: ., say: Hello}", encoding="utf-8")
    (home / "mcp.yml").write_text(json.dumps(config), encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "MCP_CONFIG_PATH": str(home / "mcp.yml"),
        "TELEGRAM_BOT_TOKEN": token,
        "PYTHONFAULTHANDLER": "1",
        **given,
    }
    command = [sys.executable, *python, "-v", "bot"]
    with anyio.fail_after(120):
        async with await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment, cwd=home
        ) as process:
            running = Running(process, home)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.listen)
                try:
                    yield running
                finally:
                    if process.returncode is None:
                        process.kill()
            running.check()


async def test_when_everything_fails_in_every_way(api: FakeBotApi, tmp_path: Path) -> None:
    """At DEBUG, and in the files of a crash."""
    met: Counter[str] = Counter()

    def choose_fault(method: str, parameters: Mapping[str, Any]) -> Fault | None:
        met[method] += 1
        faults = FEW.get(method, FAULTS)
        return faults[met[method] - 1] if met[method] <= len(faults) else None

    api.choose_fault = choose_fault
    with anyio.fail_after(60):
        async with start_bot(tmp_path / "files", api.base_url):
            api.user_says(STRANGER, "hi")
            for text in ("hello", "/export", *["/help"] * len(FAULTS)):
                api.user_says(ADA, text)
            await api.until(lambda: met["sendMessage"] > len(FAULTS) or None)
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"<bot token>" in each for each in left)
    assert not [each for each in left if SECRET in each]


async def test_by_the_command_with_all_that_it_stands_on_at_debug(
    api: FakeBotApi, tmp_path: Path
) -> None:
    for method in ("getUpdates", "sendMessage"):
        api.fail_next(method, Garbage())
    async with agentic_bot(tmp_path, api.base_url, python=("-c", AT_DEBUG)) as running:
        api.user_says(STRANGER, "hi")
        api.user_says(ADA, "hello")
        await api.wait_for_message(ADA)
        await running.wait_for("DEBUG:telegram")
        await running.wait_for("<bot token>")
        running.look()


async def test_with_a_dead_network_and_a_proxy_that_is_none(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    proxy = dead.replace("//", "//me:password@")
    async with agentic_bot(tmp_path, dead, HTTP_PROXY=proxy, HTTPS_PROXY=proxy) as running:
        await running.wait_for("Telegram can't be reached")
        running.look()
    assert b"password" not in running.said


@pytest.mark.parametrize("proxy", ["socks5://me:password@127.0.0.1:9", "gopher://x:password@y:9"])
async def test_with_a_proxy_of_a_wrong_kind(tmp_path: Path, proxy: str) -> None:
    async with agentic_bot(tmp_path, "https://127.0.0.1:9", ALL_PROXY=proxy) as running:
        assert await running.process.wait() == 2
    assert b"should look like http://HOST:PORT" in running.said
    assert b"password" not in running.said


async def test_with_a_token_that_telegram_does_not_know(api: FakeBotApi, tmp_path: Path) -> None:
    wrong = f"7000000002:{TOKEN.partition(':')[2]}"
    async with agentic_bot(tmp_path, api.base_url, token=wrong) as running:
        assert await running.process.wait() == 2
    assert b"does not accept the bot token" in running.said


async def test_with_something_that_is_no_token(api: FakeBotApi, tmp_path: Path) -> None:
    async with agentic_bot(tmp_path, api.base_url, token=TOKEN.replace(":", " ")) as running:
        assert await running.process.wait() == 2
    assert b"should look like 123456789:AAE" in running.said
    assert api.calls == []


async def test_with_a_webhook_and_an_end_by_a_broken_process(
    api: FakeBotApi, tmp_path: Path
) -> None:
    webhook = {"url": "https://bot.example.org/telegram", "secret": "s" * 20}
    bot = {"listen": f"127.0.0.1:{free_port()}", "webhook": webhook}
    api.fail_next("setWebhook", *FEW["setWebhook"])
    async with agentic_bot(tmp_path, api.base_url, bot=bot) as running:
        await api.wait_for_call("setWebhook", 3)
        running.look()
        running.process.send_signal(signal.SIGABRT)  # with a trace of every thread
        await running.wait_for("Current thread")
