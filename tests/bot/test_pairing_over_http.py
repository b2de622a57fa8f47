"""Somebody is paired where compose.yaml has the bot: away from the servers, by their token."""

import signal
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from servers.aws.api import create_api
from tests.agentic.cli.real_command import RealCommand
from tests.bot.running_bot import ADA, BOB, TOKEN
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table, open_aws_server
from tests.fakes.telegram.bot_api import FakeBotApi

pytestmark = pytest.mark.slow  # four processes


@contextmanager
def open_store(kind: str) -> Generator[Mapping[str, str]]:
    """What the servers' environment says of the store."""
    if kind == "file":
        yield {}
        return
    with open_aws_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        settings = {"store": kind, "region": REGION, "endpoint_url": address}
        settings["table"] = create_table(create_api("x", REGION, address))
        of_store = {f"AGENTIC_CONVERSATIONS__{k.upper()}": v for k, v in settings.items()}
        yield {**of_store, **CREDENTIALS}


@asynccontextmanager
async def serving(home: Path, given: Mapping[str, str]) -> AsyncGenerator[str]:
    """`agentic serve all`; gives where."""
    home.mkdir()
    arguments = ("serve", "all", "--http", "127.0.0.1:0")
    async with RealCommand(home).started(*arguments, environment=given) as process:
        assert process.stderr is not None
        lines = BufferedByteReceiveStream(process.stderr)
        while b"tools listens at" not in (line := await lines.receive_until(b"\n", 4_096)):
            pass
        yield line.decode().split()[-1].removesuffix("/tools/mcp")


@pytest.mark.parametrize("kind", ["file", "dynamodb"])
async def test_the_code_lets_in_and_is_kept_with_the_servers(
    api: FakeBotApi, tmp_path: Path, kind: str
) -> None:
    token_file = str(tmp_path / "bot.token")
    handed_over = {"AGENTIC_ACCESS__DELEGATE_TOKEN_FILE": token_file}
    command = RealCommand(tmp_path / "bot")
    command.home.mkdir()
    command.script("- {when: ., say: Hello}")
    with anyio.fail_after(90), open_store(kind) as store:
        async with serving(tmp_path / "servers", {**handed_over, **store}) as url:
            given = {"TELEGRAM_BOT_TOKEN": TOKEN, "AGENTIC_BOT__BASE_URL": api.base_url}
            for name in ("conversations", "tools"):
                given[f"AGENTIC_SERVERS__{name.upper()}__URL"] = f"{url}/{name}/mcp"
                given[f"AGENTIC_SERVERS__{name.upper()}__TOKEN_FILE"] = token_file
            async with command.started("bot", environment=given) as process:
                made = await command.run("bot", "--pair", "--as", "ada", environment=given)
                api.user_says(BOB, "hello")
                await api.wait_for_message(BOB)
                api.user_says(ADA, made.output.strip())
                await api.wait_for_message(ADA)
                api.user_says(ADA, "hello")
                *_, reply = await api.wait_for_message(ADA, 2)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0

    assert made.exit_code == 0, made.notes
    assert "Send it to @agentic_bot within 10 minutes" in made.notes
    assert reply["text"] == "Hello"
    assert "I talk only to people" in api.messages(BOB)[0]["text"]
    here = [path for path in command.home.rglob("*") if path.name.startswith("people.sqlite3")]
    assert here == []
