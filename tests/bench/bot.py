"""The bot with 200 chats, and a model that takes a second

What is the bot's own: from the moment when a message is with Telegram until its answer arrives
there, less what the model took of it; so what the servers, the store's disk and the stand-in for
Telegram take counts as the bot's. `agentic bot` runs with its servers beside it, as it is started
by default; the stand-ins for Telegram and the model are another process on the same cores. Messages
come 15 in a second: Telegram takes 30 in a second from a bot, and so they wait for nothing but the
bot. When all 200 come in one moment, that limit makes the last one wait, 6.7 s at least.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import anyio
from anyio.abc import Process

from tests.bench.table import Row
from tests.fakes.openai_server import KEY, MODEL, ChatFormat
from tests.fakes.replies import Say
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api
from tests.fakes.telegram.faults import Fault, too_many_requests

_TOKEN = "7000000001:AAF-a_token_of_this_benchmark_only"
_CHATS = 200
_PER_SECOND = 15
_ROUNDS = 3
_MODEL_SECONDS = 1.0
_ANSWER = "A short answer of about as many words as people usually get from an assistant. " * 3
_MAX_OWN_MS = 150
_MAX_MEGABYTES = 150
_LIMIT_SECONDS = 240
_FLOODED, _BLOCKED = 1, 2


class Street:
    """People who write, the model that answers them, and when each of it happened."""

    def __init__(self, api: FakeBotApi, chats: int) -> None:
        self.api = api
        self.chats = range(1, chats + 1)
        self.is_flooded = False
        self._wire = ChatFormat(KEY)
        self._written: dict[int, float] = {}
        self._model: dict[int, float] = {}
        self._own: list[float] = []
        self._waiting: set[int] = set()
        api.choose_fault = self.note

    async def answer(self, request: HttpRequest, http: HttpReply) -> None:
        """Take a second, as a model."""
        began = anyio.current_time()
        said = str(request.json()["messages"][-1]["content"])
        await anyio.sleep(_MODEL_SECONDS)
        await http.begin(200, {"Content-Type": self._wire.content_type})
        for event in self._wire.say(Say(_ANSWER)):
            await http.send(event)
        await http.end()
        self._model[int(said.split()[-1])] = anyio.current_time() - began

    def note(self, method: str, parameters: Mapping[str, Any]) -> Fault | None:
        """Take down when an answer arrives; for `FakeBotApi.choose_fault`."""
        chat_id = parameters.get("chat_id", 0)
        if method not in ("sendMessage", "editMessageText"):
            return None
        if self.is_flooded and chat_id == _FLOODED:
            return too_many_requests(2)
        if {chat_id} <= self._model.keys() & self._written.keys() and (
            "reply_markup" not in parameters  # with a button to stop it is not all of it
        ):
            took = anyio.current_time() - self._written.pop(chat_id)
            self._own.append(took - self._model.pop(chat_id))
            self._waiting.discard(chat_id)
        return None

    async def write(self, per_second: float | None) -> list[float]:
        """Everybody writes once, in one moment or so many in a second; the bot's own times."""
        self._own = []
        for chat_id in self.chats:
            if per_second is not None:
                await anyio.sleep(1 / per_second)
            if self.is_flooded and chat_id in (_FLOODED, _BLOCKED):
                self.api.user_says(chat_id, f"I am {chat_id}")
                continue
            self._written[chat_id] = anyio.current_time()
            self._waiting.add(chat_id)
            self.api.user_says(chat_id, f"How are you today? I am number {chat_id}")
        await self.api.until(lambda: not self._waiting or None)
        return self._own


@asynccontextmanager
async def running_bot(street: Street, home: Path, model_url: str) -> AsyncGenerator[Process]:
    """`agentic bot`, stopped at the end."""
    model = {"provider": "openai", "model": MODEL, "base_url": f"{model_url}/v1", "api_key": KEY}
    people = {str(chat_id): f"person-{chat_id}" for chat_id in street.chats}
    config = {
        "models": {"default": "slow", "slow": model},
        "bot": {"people": people, "base_url": street.api.base_url},
    }
    file = home / "mcp.yml"
    file.write_text(json.dumps(config), encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "MCP_CONFIG_PATH": str(file),
        "TELEGRAM_BOT_TOKEN": _TOKEN,
    }
    command = [sys.executable, "-m", "agentic", "bot"]
    with (home / "log").open("wb") as log:
        async with await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        ) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)


def read_figure(process: Process, name: str) -> float:
    """A figure of `/proc/PID/status`, in MB."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1_024


def read_processor_seconds(process: Process) -> float:
    """What the process, without its children, has used."""
    fields = (
        Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(*, chats: int, rounds: int) -> list[Row]:
    """All in one moment; then evenly; then with a chat that is flooded and one that is shut."""
    async with open_bot_api(_TOKEN) as api:
        street = Street(api, chats)
        with tempfile.TemporaryDirectory() as directory, anyio.fail_after(_LIMIT_SECONDS):
            async with (
                open_http_server(street.answer) as model_url,
                running_bot(street, Path(directory), model_url) as process,
            ):
                await api.wait_for_call("setMyCommands")
                began = anyio.current_time()
                await street.write(None)
                all_at_once = anyio.current_time() - began
                used = read_processor_seconds(process)
                own = [ms for _ in range(rounds) for ms in await street.write(_PER_SECOND)]
                used = read_processor_seconds(process) - used
                street.is_flooded = True
                api.person(_BLOCKED).blocks()
                beside = await street.write(_PER_SECOND)
                peak = read_figure(process, "VmHWM")
    return [
        Row(f"a message in each of {chats} chats in one moment, all answered", all_at_once, "s"),
        Row("the bot's own of a turn, median", median(own) * 1e3, "ms"),
        Row("  95 of 100 turns", p95(own), "ms", limit=_MAX_OWN_MS),
        Row("  the same beside a flooded and a blocked chat", p95(beside), "ms", limit=_MAX_OWN_MS),
        Row("  processor time of the bot's process", used / len(own) * 1e3, "ms"),
        Row("memory of the bot's process at its most", peak, "MB", limit=_MAX_MEGABYTES),
    ]


def p95(times: list[float]) -> float:
    """In milliseconds."""
    return quantiles(times, n=20)[-1] * 1e3


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    return anyio.run(lambda: measure(chats=20 if quick else _CHATS, rounds=1 if quick else _ROUNDS))
