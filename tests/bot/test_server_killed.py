"""A real bot over HTTP, whose conversation server is killed and comes back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from bot import wording
from servers.conversations.file_store import open_file_store
from tests.bot.running_bot import ADA, CHAT, TOKEN
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.tool_endpoint import Connection, Request, compute, serve_tool_endpoint
from tests.ports import free_port
from tests.servers.http_serving import environment, serving_conversations

pytestmark = pytest.mark.crash

SCRIPT = """
- {when: look, call: {tool: tools__look}, say: 'I {result}'}
- {when: ., say: Hello}
"""


@asynccontextmanager
async def running_bot(
    home: Path, api: FakeBotApi, port: int, tool_url: str
) -> AsyncGenerator[Process]:
    """`agentic bot`, killed at the end."""
    conversations = {
        "url": f"http://127.0.0.1:{port}/conversations/mcp",
        "token_file": f"{home}/bot.token",
    }
    config = {
        "data_directory": str(home / "bot"),
        "servers": {
            "conversations": conversations,
            "tools": {"command": "agentic", "args": ["serve", "tools"]},
        },
        "tools": {"look": {"url": tool_url, "read_only": True}},
        "models": {"s": {"provider": "scripted", "script": str(home / "script.yml")}},
        "bot": {
            "people": {str(ADA): "ada"},
            "base_url": api.base_url,
            "health_file": str(home / "health"),
        },
    }
    (home / "script.yml").write_text(SCRIPT, encoding="utf-8")
    (home / "bot.yml").write_text(json.dumps(config), encoding="utf-8")
    given = {**environment(home, home / "bot.yml"), "TELEGRAM_BOT_TOKEN": TOKEN}
    command = [sys.executable, "-m", "agentic", "bot"]
    with (home / "log").open("ab") as log:
        async with await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=given
        ) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    os.kill(process.pid, signal.SIGKILL)


async def test_what_is_written_and_answered_meanwhile_is_stored_once_and_told_once(
    api: FakeBotApi, tmp_path: Path
) -> None:
    port = free_port()
    serving = partial(
        serving_conversations,
        tmp_path,
        port,
        access=f"delegate_token_file: {tmp_path}/bot.token",
    )
    with anyio.fail_after(150):
        async with serve_tool_endpoint() as endpoint:
            async with serving() as server:

                async def kill_and_answer(request: Request, connection: Connection) -> None:
                    server.kill()
                    await server.wait()
                    await compute(lambda _: "found it")(request, connection)

                url = endpoint.on("/look", kill_and_answer)
                async with running_bot(tmp_path, api, port, url):
                    api.user_says(ADA, "look")
                    await api.wait_for_message(ADA, 2)
                    waits = api.user_says(ADA, "and now?")
            # The bot was killed, too.
            async with running_bot(tmp_path, api, port, url):
                await api.wait_for_message(ADA, 3)
                assert api.confirmed <= waits["update_id"]
                async with serving():
                    said = await api.wait_for_message(ADA, 4)
                    await api.wait_until_confirmed(waits)
        async with open_file_store(tmp_path / "conversations") as store:
            page = await store.load_conversation("ada", CHAT)

    assert [m["text"] for m in said] == [
        "I found it",
        wording.NOT_STORED_YET,
        wording.WAITS_AT_TELEGRAM,
        "Hello",
    ]
    texts = [message.text() for message in page.messages]
    assert texts == ["look", "", "found it", "I found it", "and now?", "Hello"]
    left = [path.name for path in (tmp_path / "bot" / "spool").rglob("*.*")]
    # A kill leaves what it was about to write: that never waited, and is removed later.
    assert not [name for name in left if not name.startswith(".new.")]
