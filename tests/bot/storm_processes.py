"""The servers, the bot and its model in a storm: real processes that are killed and come back."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process

from servers.conversations.file_store import open_file_store
from tests.bot.running_bot import TOKEN
from tests.bot.storm import People, owner_of, parts_of, split_slowly
from tests.fakes.openai_server import KEY, MODEL, ChatFormat
from tests.fakes.replies import Say
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.ports import free_port
from tests.servers.http_serving import environment, serve_command, write_config

_DRAFT_SECONDS = 2.0
"""A draft may never come: its connection breaks."""
_STOP_SECONDS = 30.0

Opening = Callable[[], AbstractAsyncContextManager[Process]]


class EchoModel:
    """Chat completions that repeat the labels they are told; slow ones wait for their draft."""

    def __init__(self, api: FakeBotApi) -> None:
        self._api = api
        self._wire = ChatFormat(KEY)
        self.refusals: list[str] = []

    async def handle(self, request: HttpRequest, http: HttpReply) -> None:
        if (refusal := self._wire.refuse(request)) is not None:
            self.refusals.append(refusal.message)
            return
        begin, rest = split_slowly("\n\n".join(parts_of(request.json()["messages"][-1]["content"])))
        await http.begin(200, {"Content-Type": self._wire.content_type})
        if rest:
            for event in self._wire.begin(begin):
                await http.send(event)
            with anyio.move_on_after(_DRAFT_SECONDS):
                await self._api.until(lambda: self._is_shown(begin) or None)
        for event in self._wire.say(Say(rest or begin)):
            await http.send(event)
        await http.end()

    def _is_shown(self, text: str) -> bool:
        chat_id = int(text[1 : text.index(".")])
        return any(text in message["text"] for message in self._api.messages(chat_id))


class Processes:
    """Starts them, and kills each of them some times."""

    def __init__(self, home: Path, api: FakeBotApi, people: People, model_url: str) -> None:
        self._home = home
        self._api = api
        self._people = people
        self._port = free_port()
        self._finished = anyio.Event()
        access = f"delegate_token_file: {home}/bot.token"
        self._environment = environment(home, write_config(home, access=access))
        model = {"provider": "openai", "model": MODEL, "base_url": model_url, "api_key": KEY}
        servers = {
            name: {
                "url": f"http://127.0.0.1:{self._port}/{name}/mcp",
                "token_file": f"{home}/bot.token",
            }
            for name in ("conversations", "tools")
        }
        config = {
            "data_directory": str(home / "bot"),
            "servers": servers,
            "models": {"default": "echo", "echo": model},
            "bot": {"people": dict(people.people), "base_url": api.base_url, "rate": None},
        }
        (home / "bot.yml").write_text(json.dumps(config), encoding="utf-8")

    async def survive(self, kills_of_bot: Sequence[int], kills_of_servers: Sequence[int]) -> None:
        """Have everything answered, with kills when so many answers stand in the chats."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_up, self._serve, kills_of_servers)
            async with anyio.create_task_group() as bot:
                bot.start_soon(self._keep_up, self._answer, kills_of_bot)
                await self._people.write()
                self._people.is_calm = True
                self._finished.set()
            # The bot has come to an end; what it left is with the servers.
            tasks.cancel_scope.cancel()

    async def _keep_up(self, start: Opening, kills: Sequence[int]) -> None:
        for answers in kills:
            async with start():
                await self._api.until(
                    lambda answers=answers: self._people.answered() >= answers or None
                )
        async with start() as process:
            await self._finished.wait()
            if start == self._answer:
                process.send_signal(signal.SIGTERM)
                with anyio.fail_after(_STOP_SECONDS):
                    await process.wait()
            else:
                await anyio.sleep_forever()

    @asynccontextmanager
    async def _serve(self) -> AsyncGenerator[Process]:
        command = serve_command("all", "--http", f"127.0.0.1:{self._port}")
        async with self._start(command, self._environment) as process:
            yield process

    @asynccontextmanager
    async def _answer(self) -> AsyncGenerator[Process]:
        given = {
            **self._environment,
            "MCP_CONFIG_PATH": f"{self._home}/bot.yml",
            "TELEGRAM_BOT_TOKEN": TOKEN,
        }
        async with self._start([sys.executable, "-m", "agentic", "bot"], given) as process:
            yield process

    @asynccontextmanager
    async def _start(
        self, command: Sequence[str], given: dict[str, str]
    ) -> AsyncGenerator[Process]:
        """A process that is killed with -9 on the way out, if it still runs."""
        with (self._home / "log").open("ab") as log:
            async with await anyio.open_process(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=given
            ) as process:
                try:
                    yield process
                finally:
                    if process.returncode is None:
                        process.kill()

    async def check_stored(self) -> None:
        """The store is whole, holds what was said, and nothing waits for it."""
        command = [sys.executable, "-m", "agentic", "conversations", "verify"]
        found = await anyio.run_process(command, env=self._environment, check=False)
        assert found.returncode == 0, found.stdout.decode() + found.stderr.decode()
        spool = self._home / "bot" / "spool"
        # What a kill leaves half written never waited, and is removed later.
        assert not [path for path in spool.rglob("*.*") if not path.name.startswith(".new.")]
        async with open_file_store(self._home / "conversations") as store:
            for chat_id in map(int, self._people.people):
                page = await store.load_conversation(
                    owner_of(chat_id), f"telegram:{chat_id}", limit=500
                )
                self._people.check_stored(chat_id, page.messages)


@asynccontextmanager
async def open_processes(home: Path, api: FakeBotApi, people: People) -> AsyncGenerator[Processes]:
    """With a model that answers on loopback."""
    model = EchoModel(api)
    async with open_http_server(model.handle) as url:
        yield Processes(home, api, people, f"{url}/v1")
    assert not model.refusals, model.refusals
