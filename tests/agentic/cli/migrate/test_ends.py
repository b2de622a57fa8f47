"""What can't be an end of a migration is told by name, with what would be right."""

from pathlib import Path

import pytest

from agentic.cli.failures import UsageError
from agentic.cli.migrate.ends import Given, find_ends
from agentic.config.load import load_config
from client.hub.servers import HttpTarget, StdioTarget

SERVERS = """
conversations: {directory: ./default}
servers:
  old: {command: agentic, args: [serve, conversations],
        env: {AGENTIC_CONVERSATIONS__DIRECTORY: ./o}}
  same: {command: agentic, args: [serve, conversations],
         env: {AGENTIC_CONVERSATIONS__DIRECTORY: o/}}
  default: {command: agentic, args: [serve, conversations], env: {}}
  table: {command: agentic, args: [serve, conversations],
          env: {AGENTIC_CONVERSATIONS__STORE: dynamodb, AGENTIC_CONVERSATIONS__TABLE: one}}
  again: {command: agentic, args: [serve, conversations],
          env: {AGENTIC_CONVERSATIONS__STORE: dynamodb, AGENTIC_CONVERSATIONS__TABLE: one}}
  other: {command: agentic, args: [serve, conversations],
          env: {AGENTIC_CONVERSATIONS__STORE: dynamodb, AGENTIC_CONVERSATIONS__TABLE: two}}
  far: {url: "https://far.example/conversations/mcp", headers: {Authorization: Bearer a, X-Y: b},
        tools: {allow: [nothing]}, enabled: false}
  custom: {command: /bin/other, args: [serve]}
"""
FAR = "https://far.example/conversations/mcp"


def find(home: Path, source: Given, target: Given, **variables: str) -> tuple[object, object]:
    (home / "mcp.yml").write_text(SERVERS)
    environ = {"HOME": str(home), "MCP_CONFIG_PATH": str(home / "mcp.yml"), **variables}
    ends = find_ends(source, target, load_config(environ, cwd=home))
    return ends[0].server.target, ends[1].server.target


def given(place: str, file: Path | None = None, variable: str | None = None) -> Given:
    return Given("--from", place, file, variable)


TO = Given("--to", "custom")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (given("olt"), r"no server 'olt' in mcp.yml \(there are: .*old, .*an address such as http"),
        (given("tools"), "tools is no server of conversations"),
        (given(""), "no server ''"),
        (given("ftp://x/y"), "--from: should be the name of a server"),
        (given("http://"), "should be the name"),
        (given("http://x y/"), "should be the name"),
        (given("http://x:0/"), "should be the name"),
        (given("http://me:secret@x/mcp"), "holds a user.*--from-token-file"),
        (given("http://x/mcp?key=secret"), "holds a user, a query"),
        (given("old", Path("t")), "go with an address: old is started by its command"),
        (given(FAR, Path("missing")), "--from-token-file: missing is empty, or not there"),
        (given(FAR, Path("t"), "T"), "--from-token-file and --from-token-variable exclude"),
        (given(FAR, None, "UNSET"), "--from-token-variable: the token in UNSET is empty"),
        (given(FAR, None, "ODD"), "the token in ODD should be one line"),
        (given("custom"), "lead to the same conversations: custom and custom"),
    ],
)
def test_what_cannot_be_an_end_is_wrong_usage(tmp_path: Path, wrong: Given, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        find(tmp_path, wrong, TO, ODD="two words")
    assert refused.value.exit_code == 2
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("old", "same"),
        ("default", "conversations"),
        ("table", "again"),
        ("far", FAR),
        (FAR, "https://FAR.example/conversations/mcp/"),
    ],
)
def test_two_ways_to_one_server_are_no_two_ends(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(UsageError, match="lead to the same conversations"):
        find(tmp_path, Given("--from", one), Given("--to", other))


@pytest.mark.parametrize(("one", "other"), [("table", "other"), ("table", "old"), ("old", FAR)])
def test_two_places_are_two_ends(tmp_path: Path, one: str, other: str) -> None:
    find(tmp_path, Given("--from", one), Given("--to", other))


def test_our_own_children_act_for_all_owners(tmp_path: Path) -> None:
    old, custom = find(tmp_path, given("old"), TO)
    assert isinstance(old, StdioTarget)
    assert old.args[-1] == "--delegate"
    assert isinstance(custom, StdioTarget)
    assert custom.args == ["serve"]


def test_a_token_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    by_file, _ = find(tmp_path, given("far", file), TO)
    assert by_file == HttpTarget(FAR, {"X-Y": "b"}, file)
    by_variable, _ = find(tmp_path, given("far", None, "T"), TO, T=" secret\n")
    assert by_variable == HttpTarget(FAR, {"X-Y": "b", "Authorization": "Bearer secret"})
    assert "secret" not in repr(by_variable)
    configured, _ = find(tmp_path, given("far"), TO)
    assert configured == HttpTarget(FAR, {"Authorization": "Bearer a", "X-Y": "b"})
