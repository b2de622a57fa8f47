"""Tokens in the table of conversations, shared by servers on several machines."""

import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from agentic.config.findings import ConfigError
from agentic.config.models import Config
from servers.access.delegate_token import ensure_delegate_token
from servers.access.principal import Principal
from servers.access.token_file import open_token_file
from servers.access.token_store import Tokens
from servers.access.verifier import KNOWN_SECONDS, TokenVerifier
from servers.aws.dynamodb import DynamoDBClient
from servers.records.dynamodb_store import DynamoDBRecordStore, to_unavailable
from servers.token_opening import (
    find_tokens_file,
    name_delegate,
    open_tokens,
    tell_of_left_behind,
)
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table
from tests.fakes.dynamodb_wire import refuse, watch
from tests.servers.http_serving import (
    LIMIT_SECONDS,
    OWN_SCOPES,
    Asker,
    environment,
    serve_command,
)

READ = {"conversations:read"}


@pytest.fixture
def table(api: Any) -> str:
    return create_table(api)


def configure(folder: Path, aws: str, table: str, **access: object) -> Config:
    section = {"store": "dynamodb", "table": table, "region": REGION, "endpoint_url": aws}
    given = {"data_directory": folder, "conversations": section, "access": access}
    return Config.model_validate(given)


def to_yaml(aws: str, table: str) -> str:
    return (
        f"owner: ada\nconversations: {{store: dynamodb, table: {table}, region: {REGION}, "
        f"endpoint_url: '{aws}'}}\n"
    )


@asynccontextmanager
async def two_machines(tmp_path: Path, aws: str, table: str) -> AsyncGenerator[list[Tokens]]:
    first, second = (configure(tmp_path / name, aws, table) for name in "ab")
    async with open_tokens(first) as here, open_tokens(second) as there:
        yield [here, there]


async def until_it_is(verifier: TokenVerifier, text: str, *, good: bool) -> Principal | None:
    """Asked again and again, as streams do; what is known may be a moment old."""
    with anyio.fail_after(30):
        while True:
            principal = await verifier.verify(text)
            if (principal is not None) == good:
                return principal
            await anyio.sleep(0.02)


async def test_what_is_known_is_read_again_after_a_second(api: Any, table: str) -> None:
    tokens = Tokens(DynamoDBRecordStore(DynamoDBClient(api, table, to_unavailable), "access"))
    assert KNOWN_SECONDS <= 1
    never, always = (TokenVerifier(tokens, known_seconds=seconds) for seconds in (0, 3_600))
    with watch(api) as wire:
        for _ in range(3):
            await always.verify("")
        assert wire.operations == ["Query"]
        for _ in range(3):
            await never.verify("")
        assert wire.operations == ["Query"] * 4


async def test_a_token_made_on_one_machine_is_good_on_all_until_it_is_revoked_on_any(
    tmp_path: Path, aws: str, table: str
) -> None:
    async with two_machines(tmp_path, aws, table) as (here, there):
        verifier = TokenVerifier(there, known_seconds=0.1)
        assert await verifier.verify("agentic_00000000_x") is None
        _, text = await here.create("laptop", "ada", READ)
        assert await until_it_is(verifier, text, good=True) is not None
        await here.revoke("laptop")
        assert await until_it_is(verifier, text, good=False) is None
        assert verifier.verify_known(text) is None
        assert await there.load() == []
    assert not list(tmp_path.iterdir()), "nothing is kept on the machine"


async def test_many_calls_at_once_read_the_table_once(api: Any, table: str) -> None:
    tokens = Tokens(DynamoDBRecordStore(DynamoDBClient(api, table, to_unavailable), "access"))
    _, text = await tokens.create("laptop", "ada", READ)
    verifier = TokenVerifier(tokens, known_seconds=3_600)
    with watch(api) as wire:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(verifier.verify, f"agentic_{number:08x}_{text[17:]}")
        assert wire.operations == ["Query"]


async def test_a_table_that_is_away_lets_nobody_in_and_is_back_at_once(
    api: Any, table: str
) -> None:
    client = DynamoDBClient(api, table, to_unavailable, deadline_seconds=0.2)
    tokens = Tokens(DynamoDBRecordStore(client, "access"))
    _, text = await tokens.create("laptop", "ada", READ)
    verifier = TokenVerifier(tokens)
    with watch(api) as wire:
        wire.faults = [refuse("InternalServerError", 500)] * 1_000
        with pytest.raises(ConfigError, match="is busy"):
            await verifier.verify(text)
        assert verifier.verify_known(text) is None
        wire.faults = []
        assert await verifier.verify(text)


async def test_each_machine_has_a_token_of_its_own_for_its_bot(
    tmp_path: Path, aws: str, table: str
) -> None:
    async with two_machines(tmp_path, aws, table) as both:
        for tokens, name in zip(both, ("bot@a", "bot@b"), strict=True):
            await ensure_delegate_token(tmp_path / name, tokens, "ada", name)
        for name in ("bot@a", "bot@b"):
            principal = await TokenVerifier(both[0]).verify((tmp_path / name).read_text().strip())
            assert principal is not None
            assert (principal.name, principal.is_delegate) == (name, True)


def test_a_file_that_is_named_holds_the_tokens_whatever_the_store(tmp_path: Path) -> None:
    named = tmp_path / "t.sqlite3"
    config = configure(tmp_path, "http://127.0.0.1:1", "conversations", tokens_file=named)
    assert find_tokens_file(config) == named
    assert name_delegate(config) == "bot"
    shared = configure(tmp_path, "http://127.0.0.1:1", "conversations")
    assert find_tokens_file(shared) is None
    assert name_delegate(shared).startswith("bot@")
    alone = Config.model_validate({"data_directory": tmp_path})
    assert find_tokens_file(alone) == tmp_path / "tokens.sqlite3"


@pytest.mark.slow  # runs the command
async def test_tokens_of_files_are_told_of_at_start_and_copied(
    tmp_path: Path, aws: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure(tmp_path, aws, table)
    await tell_of_left_behind(config)
    assert not caplog.text
    file = tmp_path / "tokens.sqlite3"
    async with open_token_file(file) as tokens:
        _, text = await tokens.create("laptop", "ada", READ)
        await tokens.create("desk", "ada", READ)
    await tell_of_left_behind(config)
    assert f"`agentic token copy {file}` brings them there" in caplog.text
    async with open_tokens(config) as shared:
        await shared.create("desk", "bob", READ)
        assert await TokenVerifier(shared).verify(text) is None
        told = await Machine(tmp_path / "a", to_yaml(aws, table)).run("token", "copy", str(file))
        assert [line.partition(" (")[0] for line in told] == [
            "Copied laptop",
            "Not copied: there is another token named desk.",
        ]
        principal = await TokenVerifier(shared).verify(text)
        assert principal == Principal("laptop", "ada", frozenset(READ))
        assert {token.owner for token in await shared.load() if token.name == "desk"} == {"bob"}


async def test_a_table_that_is_not_there_is_told_with_the_fix(tmp_path: Path, aws: str) -> None:
    async with open_tokens(configure(tmp_path, aws, "nowhere")) as tokens:
        with pytest.raises(ConfigError, match="create-table"):
            await TokenVerifier(tokens).verify("")


@pytest.mark.slow  # two servers and the command
async def test_servers_on_two_machines_know_what_the_command_took_back_on_a_third(
    tmp_path: Path, aws: str, table: str
) -> None:
    text = to_yaml(aws, table)
    command = Machine(tmp_path / "command", text)
    async with (
        Machine(tmp_path / "a", text).serving() as first,
        Machine(tmp_path / "b", text).serving() as second,
        httpx2.AsyncClient(timeout=60) as http,
    ):
        async with open_tokens(configure(tmp_path, aws, table)) as tokens:
            _, token = await tokens.create("laptop", "ada", OWN_SCOPES)
        urls = [f"{url}/conversations/mcp" for url in (first, second)]
        askers = [Asker(http, url, "older", token) for url in urls]
        for asker in askers:
            await until_status(asker, 200)
        said = {"conversation_id": "c", "messages": [{"role": "user", "content": "hi"}]}
        assert (await askers[0].call("append_messages", said)).error_code is None
        loaded = await askers[1].call("load_conversation", {"conversation_id": "c"})
        assert "hi" in loaded.text
        figures = await http.get(f"{first}/metrics", headers=askers[0].headers())
        assert 'agentic_dynamodb_units_total{kind="read",verb="list_records"}' in figures.text
        async with http.stream("GET", askers[1].url, headers=askers[1].headers()) as stream:
            assert stream.status_code == 200
            await command.run("token", "revoke", "laptop")
            with anyio.fail_after(20):  # two seconds, on a machine that is not busy
                async for _ in stream.aiter_text():
                    pass
        for asker in askers:
            await until_status(asker, 401)


async def until_status(asker: Asker, status: int) -> None:
    with anyio.fail_after(30):
        while True:
            if (await asker.begin()).status == status:
                return
            await anyio.sleep(0.1)


class Machine:
    """A folder that knows the table, and runs `agentic` there."""

    def __init__(self, home: Path, config: str) -> None:
        home.mkdir()
        file = home / "mcp.yml"
        file.write_text(config)
        self._given = {**environment(home, file), **CREDENTIALS}

    async def run(self, *arguments: str) -> list[str]:
        """What it says to a person."""
        with anyio.fail_after(LIMIT_SECONDS):
            program = [sys.executable, "-m", "agentic", *arguments]
            ended = await anyio.run_process(program, env=self._given)
        return ended.stderr.decode().splitlines()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        program = serve_command("conversations", "--http", "127.0.0.1:0")
        async with await anyio.open_process(
            program, stdin=subprocess.DEVNULL, env=self._given
        ) as process:
            try:
                assert process.stderr is not None
                told = b""
                with anyio.fail_after(LIMIT_SECONDS):
                    while not (url := re.search(rb"(http://\S+)/conversations/mcp", told)):
                        told += await process.stderr.receive()
                yield url[1].decode()
            finally:
                process.kill()
