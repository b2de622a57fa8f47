"""`agentic token`, and the servers and the client that live by it."""

import json
import os
import re
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from agentic.cli.failures import UsageError
from agentic.cli.token import parse_expiry
from agentic.config.models import Config, ServerConfig
from client.hub.errors import HubError, ServerUnavailableError
from client.hub.from_config import to_hub_servers
from client.hub.hub import Hub, open_hub
from servers.access.delegate_token import ensure_delegate_token
from servers.access.token_file import open_token_file
from tests.agentic.cli.real_command import LIMIT_SECONDS, Ended, RealCommand
from tests.servers.token_file import TokenFile

TEXT = re.compile(r"agentic_[0-9a-f]{8}_[A-Za-z0-9_-]{43}\n")


def tokens_file(command: RealCommand) -> Path:
    return command.home / ".local/share/agentic/tokens.sqlite3"


async def create(command: RealCommand, *arguments: str) -> str:
    done = await command.run("token", "create", *arguments)
    assert done.exit_code == 0, done.notes
    assert TEXT.fullmatch(done.output)
    return done.output.strip()


async def test_a_token_is_printed_alone_and_this_once(command: RealCommand) -> None:
    command.configure("owner: ada\n")
    done = await command.run("token", "create", "laptop")
    assert TEXT.fullmatch(done.output)
    assert "not shown again" in done.notes
    text = done.output.strip()
    assert text not in done.notes
    principal = TokenFile(tokens_file(command)).verify(text)
    assert principal is not None
    assert (principal.name, principal.owner) == ("laptop", "ada")
    assert principal.scopes == {"conversations:read", "conversations:write", "tools:call"}
    assert stat.S_IMODE(tokens_file(command).stat().st_mode) == 0o600

    listed = await command.run("token", "list")
    as_json = await command.run("token", "list", "--json")
    assert "laptop" in listed.output
    assert [token["name"] for token in json.loads(as_json.output)] == ["laptop"]
    for secret in (text, text.split("_", 2)[2], "secret"):
        assert secret not in listed.output + listed.notes + as_json.output + as_json.notes


async def test_a_program_gets_name_and_token_as_json(command: RealCommand) -> None:
    done = await command.run(
        "token",
        "create",
        *("--name", "desk", "--owner", "bob", "--scope", "conversations:read"),
        *("--scope", "delegate", "--expires", "90d", "--json"),
    )
    made: dict[str, Any] = json.loads(done.output)
    assert made["name"] == "desk"
    assert made["owner"] == "bob"
    assert made["scopes"] == ["conversations:read", "delegate"]
    days = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < days <= timedelta(days=90)
    principal = TokenFile(tokens_file(command)).verify(made["token"])
    assert principal is not None
    assert principal.is_delegate


async def test_who_makes_a_token_for_a_delegate_is_told_what_it_lacks(
    command: RealCommand,
) -> None:
    delegate, read = ("--scope", "delegate"), ("--scope", "conversations:read")
    whole = await command.run("token", "create", "whole", *delegate, *read)
    alone = await command.run("token", "create", "alone", *delegate)
    owned = await command.run("token", "create", "owned", *delegate, *read, "--owner", "bob")
    assert [each.exit_code for each in (whole, alone, owned)] == [0, 0, 0]
    assert "Note:" not in whole.notes
    assert "such as --scope conversations:read" in alone.notes
    assert "--owner counts for nothing here" in owned.notes


@pytest.mark.slow
async def test_a_token_is_revoked_by_its_name(command: RealCommand) -> None:
    text = await create(command, "laptop")
    revoked = await command.run("token", "revoke", "laptop")
    assert (revoked.exit_code, revoked.output) == (0, "")
    assert TokenFile(tokens_file(command)).verify(text) is None
    again = await command.run("token", "revoke", "laptop")
    assert (again.exit_code, again.output) == (1, "")
    assert "there is no token 'laptop'" in again.notes
    assert "no tokens yet" in (await command.run("token", "list")).notes


async def test_who_takes_back_the_bots_token_is_told_what_makes_a_new_one(
    command: RealCommand,
) -> None:
    handed_over = command.home / "bot.token"
    async with open_token_file(tokens_file(command)) as tokens:
        await ensure_delegate_token(handed_over, tokens, "owner")
    environment = {"AGENTIC_ACCESS__DELEGATE_TOKEN_FILE": str(handed_over)}
    revoked = await command.run("token", "revoke", "bot", environment=environment)
    assert revoked.exit_code == 0
    assert "restart servers" in revoked.notes


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give one name"),
        (("a", "--name", "b"), "give one name"),
        (("a", "--scope", "admin"), "there are: conversations:read"),
        (("a", "--expires", "tomorrow"), "90d"),
        (("a", "--expires", "2020-01-01"), "is over already"),
        (("a", "--expires", "9999-12-31T23:59:59-12:00"), "90d"),
        (("a", "--no-such-option"), "--no-such-option"),
    ],
)
async def test_wrong_usage_exits_2_and_makes_nothing(
    command: RealCommand, arguments: tuple[str, ...], why: str
) -> None:
    done = await command.run("token", "create", *arguments)
    assert (done.exit_code, done.output) == (2, "")
    assert why in done.notes
    assert "Traceback" not in done.notes
    assert not tokens_file(command).exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("two\nlines",), "name has 1 to 64 characters"),
        (("a", "--owner", "x\ny"), "control characters"),
        (("a", "--owner", "x" * 257), "1 to 256 bytes"),
        (("a", "--owner", ""), "1 to 256 bytes"),  # an unset variable is not the operator
    ],
)
async def test_what_cannot_be_a_token_is_wrong_usage_with_the_reason(
    command: RealCommand, arguments: tuple[str, ...], why: str
) -> None:
    done = await command.run("token", "create", *arguments)
    assert (done.exit_code, done.output) == (2, "")
    assert why in done.notes
    assert TokenFile(tokens_file(command)).load() == []


async def test_a_list_that_goes_into_a_pipe_is_not_cut(command: RealCommand) -> None:
    name, owner = "x" * 64, "o" * 100
    await create(command, name, "--owner", owner, "--expires", "90d")
    [_, line] = (await command.run("token", "list")).output.splitlines()
    shown = line.split()
    assert shown[1:6] == [name, owner, "conversations:read", "conversations:write", "tools:call"]
    assert TokenFile(tokens_file(command)).load()[0].token_id == shown[0]


@pytest.mark.slow
async def test_a_damaged_file_is_told_by_its_path(command: RealCommand) -> None:
    await create(command, "laptop")
    tokens_file(command).write_text("{" * 9_000)
    for arguments in (("create", "b"), ("list",), ("revoke", "laptop")):
        done = await command.run("token", *arguments)
        assert (done.exit_code, done.output) == (2, "")
        assert "tokens.sqlite3: is damaged" in done.notes
        assert "Traceback" not in done.notes


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("30m", NOW + timedelta(minutes=30)),
        ("12h", NOW + timedelta(hours=12)),
        ("90d", NOW + timedelta(days=90)),
        ("2w", NOW + timedelta(weeks=2)),
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 24, tzinfo=UTC)),
        ("20270131", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-01-31T12:00", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_duration_or_the_end_of_a_day(text: str, until: datetime) -> None:
    assert parse_expiry(text, NOW) == until


@pytest.mark.parametrize(
    "text", ["", "0d", "-1d", "1y", "d", "1.5h", "999999w", "2026-02-30", "9999-12-31", "1\n"]
)
def test_what_is_no_expiry_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="should be a duration such as 90d"):
        parse_expiry(text, NOW)


@asynccontextmanager
async def serving(command: RealCommand, *, port: int = 0) -> AsyncGenerator[str]:
    """`agentic serve all --http`, with the port it got."""
    with anyio.fail_after(2 * LIMIT_SECONDS):
        arguments = ("serve", "all", "--http", f"127.0.0.1:{port}")
        async with command.started(*arguments) as process:
            yield await read_port(process)


async def read_port(process: Process) -> str:
    assert process.stderr is not None
    lines = BufferedByteReceiveStream(process.stderr)
    while b"tools listens at" not in (line := await lines.receive_until(b"\n", 4_096)):
        pass
    return line.decode().split(":")[2].split("/")[0]


async def list_tools(command: RealCommand, port: str, token_file: Path) -> Ended:
    """As a client of servers elsewhere."""
    sections = "".join(
        f"  {name}: {{url: 'http://127.0.0.1:{port}/{name}/mcp', token_file: {token_file}}}\n"
        for name in ("conversations", "tools")
    )
    file = command.home / "client.yml"
    file.write_text(f"servers:\n{sections}", encoding="utf-8")
    return await command.run("tools", "list", environment={"MCP_CONFIG_PATH": str(file)})


@pytest.mark.slow
async def test_a_client_with_the_token_in_a_file_uses_the_servers(command: RealCommand) -> None:
    token_file = command.home / "laptop.token"
    async with serving(command) as port:
        done = await command.run("token", "create", "laptop")
        token_file.write_text(done.output)
        token_file.chmod(0o644)
        listed = await list_tools(command, port, token_file)
        assert listed.exit_code == 0, listed.notes
        assert "tools__current_time" in listed.output
        assert "conversations__load_conversation" in listed.output
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600

        await command.run("token", "revoke", "laptop")
        refused = await list_tools(command, port, token_file)
        assert "tools__current_time" not in refused.output
        assert "needs a valid token" in refused.output + refused.notes
        token_file.unlink()
        missing = await list_tools(command, port, token_file)
        assert "holds no token" in missing.output + missing.notes
        for ended in (listed, refused, missing):
            assert done.output.strip() not in ended.output + ended.notes


async def test_a_pipe_in_the_place_of_a_token_is_refused_and_not_waited_for(
    command: RealCommand,
) -> None:
    os.mkfifo(command.home / "pipe")
    refused = await list_tools(command, "9", command.home / "pipe")
    assert "pipe: is a device or a pipe, should be a file" in refused.output + refused.notes


def to_hub(port: str, token_file: Path) -> Config:
    url = f"http://127.0.0.1:{port}/tools/mcp"
    return Config(servers={"tools": ServerConfig(url=url, token_file=token_file)})


async def call_in_the_end(hub: Hub) -> list[str]:
    """As a caller who tries again; what went wrong till it went well."""
    failures: list[str] = []
    while True:
        try:
            await hub.call_tool("tools", "current_time", {})
        except HubError as error:
            failures.append(str(error))
            await anyio.sleep(0.05)
        else:
            return failures


@pytest.mark.slow
async def test_a_client_goes_on_when_its_token_file_appears_and_is_replaced(
    command: RealCommand,
) -> None:
    token_file = command.home / "laptop.token"
    tokens = TokenFile(tokens_file(command))
    async with serving(command) as port:
        servers = to_hub_servers(to_hub(port, token_file), delegate=False)
        async with open_hub(servers) as hub:
            with pytest.raises(ServerUnavailableError, match="holds no token"):
                await hub.call_tool("tools", "current_time", {})
            _, first = tokens.create("laptop", "owner", {"tools:call"})
            token_file.write_text(first)
            await call_in_the_end(hub)
            tokens.revoke("laptop")
            _, second = tokens.create("laptop", "owner", {"tools:call"})
            token_file.write_text(second)
            failures = await call_in_the_end(hub)
            assert failures
            assert all("needs a valid token" in failure for failure in failures)
