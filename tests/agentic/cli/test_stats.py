"""`conversations stats` and `tools stats` over MCP: of servers elsewhere, and on DynamoDB."""

import json

import httpx2
import pytest

from servers.aws.api import create_api
from tests.agentic.cli.real_command import RealCommand
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table, open_aws_server
from tests.servers.http_serving import ALL_SCOPES, OWN_SCOPES, Asker, serving

pytestmark = pytest.mark.slow  # some processes each

STATS = "conversations", "stats"


async def test_a_server_elsewhere_tells_whoever_acts_for_all(command: RealCommand) -> None:
    home = command.home / "served"
    home.mkdir()
    async with serving(home) as served:
        url = served.urls["conversations"]
        for scopes in (ALL_SCOPES - {"delegate"}, ALL_SCOPES):
            token = served.create_token(f"of {len(scopes)}", "ada", scopes)
            command.configure(f"servers: {{conversations: {{url: '{url}', token_file: token}}}}")
            (command.home / "token").write_text(token)
            (command.home / "token").chmod(0o600)
            told = await command.run(*STATS)
            if "delegate" not in scopes:
                assert (told.exit_code, told.output) == (2, "")
                assert "--scope conversations:read --scope delegate" in told.notes
    assert told.exit_code == 0
    assert told.output.split()[:4] == ["back", "end", "file", "owners"]


async def test_on_dynamodb_the_units_of_each_verb_are_told(
    command: RealCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with open_aws_server() as address:
        table = create_table(create_api("x", REGION, address))
        command.configure(
            f"conversations: {{store: dynamodb, table: {table}, region: {REGION}, "
            f"endpoint_url: '{address}'}}"
        )
        told = await command.run(*STATS, environment=CREDENTIALS)
        assert told.exit_code == 0
        assert "units consumed by" in told.output
        assert "servers.conversations.url" in told.notes
        as_json = await command.run(*STATS, "--json", environment=CREDENTIALS)
    stats = json.loads(as_json.output)
    assert (stats["back_end"], stats["items"], stats["units"]) == ("dynamodb", 0, [])
    assert stats["counted_since"]


async def test_the_use_of_tools_is_told_of_oneself_and_to_a_delegate_of_all(
    command: RealCommand,
) -> None:
    home = command.home / "served"
    home.mkdir()
    async with serving(home) as served, httpx2.AsyncClient() as http:
        token = served.create_token("delegate", "ada", ALL_SCOPES)
        asker = Asker(http, served.urls["tools"], "modern", token)
        for owner, zone in (("ada", "UTC"), ("bob", "UTC"), ("bob", "Nowhere")):
            await asker.call("current_time", {"timezone": zone}, owner=owner)
        command.configure(
            f"servers: {{tools: {{url: '{served.urls['tools']}', token_file: token}}}}"
        )
        (command.home / "token").touch(0o600)
        (command.home / "token").write_text(token)
        of_all = await command.run("tools", "stats", "--all", "--since", "1d")
        (command.home / "token").write_text(served.create_token("own", "bob", OWN_SCOPES))
        own = await command.run("tools", "stats", "--json")
        refused = await command.run("tools", "stats", "--all")
        wrong = await command.run("tools", "stats", "--since", "lately")
    head, bob, ada = of_all.output.splitlines()
    assert head.split()[:3] == ["owner", "tool", "calls"]
    assert (bob.split()[:3], bob.split()[-2:]) == (["bob", "current_time", "2"], ["invalid", "1"])
    assert (ada.split()[:3], ada.split()[-1]) == (["ada", "current_time", "1"], "none")
    [told] = json.loads(own.output)["usage"]
    assert (told["owner"], told["calls"]) == ("bob", 2)
    assert (refused.exit_code, refused.output) == (2, "")
    assert "--scope tools:call --scope delegate" in refused.notes
    assert (wrong.exit_code, "not lately" in wrong.notes) == (2, True)
