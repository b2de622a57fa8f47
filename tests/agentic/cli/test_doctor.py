"""`agentic doctor`: what is said of a machine in each state, by the real command."""

import json
import re
from pathlib import Path

import anyio
import pytest

from agentic.cli.doctor.machine import judge_disk, satisfies
from tests.agentic.cli.doctor_findings import PATIENCE, TOUR, examine, only
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server
from tests.fakes.telegram.bot_api import open_bot_api

TOKEN = "42:sekretAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.slow
async def test_a_new_machine_is_well_and_nothing_stays_behind(command: RealCommand) -> None:
    command.configure(TOUR)
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 0, ended.output
    assert only(found, "models/tour")[0] == "ok"
    for name in ("conversations", "tools"):
        state, text = only(found, f"servers/{name}")
        assert state == "ok", text
        assert "protocol 2026-07-28" in text
    assert only(found, "store")[0] == "ok"
    assert only(found, "bot")[0] == "ok"
    assert "not set up" in only(found, "bot")[1]
    assert only(found, "clock") == (
        "ok",
        "unknown: nobody answered whose clock could be asked ",
    )
    assert "mcp 2." in only(found, "versions")[1]
    for room in ("config", "spool", "files", "disk", "memory"):
        assert only(found, room)[0] == "ok"
    listed = await command.run("conversations", "list", "--json")
    assert "agentic-doctor" not in listed.output


@pytest.mark.slow
async def test_servers_that_are_down_say_why(command: RealCommand) -> None:
    words = r"printf '\033]0;owned\007no \033[31mlicence sekretvalue\n' >&2; exit 3"
    servers = {
        "absent": {"command": "no-such-command-anywhere"},
        "dying": {"command": "sh", "args": ["-c", words], "env": {"LICENCE_KEY": "sekretvalue"}},
        "far": {
            "url": "http://me:sekretpw@127.0.0.1:9/mcp",
            "headers": {"Authorization": "Bearer ${NOT_SET_ANYWHERE}"},
        },
    }
    command.configure(json.dumps({"models": {"t": {"provider": "scripted"}}, "servers": servers}))
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    assert only(found, "servers/conversations")[0] == "ok"
    assert only(found, "store")[0] == "ok"
    state, text = only(found, "servers/absent")
    assert state == "problem"
    assert "no-such-command-anywhere can't be used" in text
    assert "servers.absent" in text
    state, text = only(found, "servers/dying")
    assert (state, "no licence ***" in text) == ("problem", True), text
    down, left_out = found["servers/far"]
    assert down["state"] == "problem"
    assert "can't be reached" in down["summary"]
    assert left_out["state"] == "warning"
    assert "NOT_SET_ANYWHERE" in left_out["summary"]

    async with command.in_terminal("doctor", *PATIENCE) as terminal:
        await terminal.wait_for("Servers")
        assert await terminal.wait_for_end() == 1
    assert "no licence ***" in " ".join(terminal.text.split())
    assert b"\x1b]0" not in terminal.raw
    for text in (ended.output, ended.notes, terminal.text):
        assert "sekret" not in text


@pytest.mark.slow
async def test_a_server_that_hangs_holds_nothing_up_for_long(command: RealCommand) -> None:
    command.configure(f"{TOUR}servers: {{hang: {{command: sleep, args: ['60']}}}}\n")
    with anyio.fail_after(25):  # ten on a machine that does nothing else
        ended, found = await examine(command)
    state, text = only(found, "servers/hang")
    assert state == "warning"
    assert "not there yet" in text
    assert ended.exit_code in (0, 1)


@pytest.mark.slow
async def test_a_store_that_can_not_be_written_is_a_problem_with_its_cause(
    command: RealCommand,
) -> None:
    (command.home / "taken").write_text("a file", encoding="utf-8")
    command.configure(f"{TOUR}conversations: {{directory: taken}}\n")
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    state, text = only(found, "servers/conversations")
    assert state == "problem"
    assert "taken" in text
    assert only(found, "store")[0] == "problem"
    assert only(found, "servers/tools")[0] == "ok"

    command.configure(f"{TOUR}servers: {{conversations: {{enabled: false}}}}\n")
    _, found = await examine(command, *PATIENCE)
    assert "switched off" in only(found, "store")[1]


@pytest.mark.slow
async def test_a_store_behind_a_token_that_names_its_owner_for_each_call_is_looked_at(
    command: RealCommand,
) -> None:
    handed_over = command.home / "for-the-bot"
    command.configure(f"access: {{delegate_token_file: '{handed_over}'}}\n")
    async with command.started("serve", "conversations", "--http", "127.0.0.1:0") as process:
        assert process.stderr is not None
        told = b""
        with anyio.fail_after(LIMIT_SECONDS):
            while not (url := re.search(rb"http://\S+/conversations/mcp", told)):
                told += await process.stderr.receive()
        address = url[0].decode()
        command.configure(
            f"{TOUR}servers:\n  tools: {{enabled: false}}\n"
            f"  conversations: {{url: '{address}', token_file: '{handed_over}'}}\n"
        )
        ended, found = await examine(command, *PATIENCE)
        process.terminate()
    assert only(found, "servers/conversations")[0] == "ok"
    assert only(found, "store")[0] == "ok"
    assert handed_over.read_text(encoding="utf-8").strip() not in ended.output + ended.notes


@pytest.mark.slow
async def test_a_broken_configuration_leaves_the_rest_to_be_looked_at(
    command: RealCommand,
) -> None:
    command.configure("models: {a: {provider: nobody}}\nlimits: {max_steps: many}\n")
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 2
    assert len(found["config"]) == 2
    assert all(each["state"] == "problem" for each in found["config"])
    assert "models.a.provider" in found["config"][0]["summary"]
    assert only(found, "servers/tools")[0] == "ok"
    assert only(found, "store")[0] == "ok"

    command.configure("models: [\n")
    ended, found = await examine(command)
    assert ended.exit_code == 2
    assert only(found, "config")[0] == "problem"
    assert {"disk", "memory", "versions", "files", "clock"} <= found.keys()

    absent = await command.run("--config", "/nowhere/mcp.yml", "doctor")
    assert absent.exit_code == 2
    assert "there is no file /nowhere/mcp.yml" in absent.output
    assert "Disk" in absent.output


@pytest.mark.slow
async def test_warnings_leave_the_exit_code_alone(command: RealCommand) -> None:
    command.configure(
        f"{TOUR}serverz: {{}}\n"
        "tools: {w: {url: 'http://127.0.0.1:9/', token: '${NOT_SET_ANYWHERE}'}}\n"
    )
    keys = command.home / ".config" / "agentic" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text("{}", encoding="utf-8")
    keys.chmod(0o644)
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 0, ended.output
    assert [each["state"] for each in found["config"]] == ["ok", "warning"]
    assert "did you mean servers?" in found["config"][1]["summary"]
    assert "NOT_SET_ANYWHERE" in only(found, "tools/w")[1]
    state, text = only(found, "files")
    assert state == "warning"
    assert f"chmod 600 {keys}" in text


@pytest.mark.slow
async def test_a_file_of_tokens_or_of_people_that_is_damaged_is_a_problem(
    command: RealCommand,
) -> None:
    command.configure(f"{TOUR}data_directory: data\n")
    data = command.home / "data"
    assert (await command.run("token", "create", "laptop")).exit_code == 0
    _, found = await examine(command, *PATIENCE)
    assert only(found, "files")[0] == "ok"
    names = ("tokens", "people")
    for name in names:
        (data / f"{name}.sqlite3").write_bytes(b"x" * 9_000)
        (data / f"{name}.sqlite3").chmod(0o600)
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    _, *problems = found["files"]
    for name, problem in zip(names, problems, strict=True):
        assert problem["state"] == "problem"
        assert f"{name}.sqlite3: is damaged" in problem["summary"]
        assert (data / f"{name}.sqlite3").read_bytes() == b"x" * 9_000


@pytest.mark.slow
async def test_a_token_is_wanted_from_no_device(command: RealCommand) -> None:
    server = "url: 'http://127.0.0.1:9/tools/mcp', token_file: /dev/zero"
    command.configure(f"{TOUR}servers: {{tools: {{{server}}}}}\n")
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    assert only(found, "files")[0] == "problem"
    assert "/dev/zero is no plain file" in only(found, "files")[1]
    assert "/dev/zero: is a device or a pipe" in only(found, "servers/tools")[1]


@pytest.mark.slow
async def test_tokens_of_a_former_file_are_looked_at_and_stay_there(command: RealCommand) -> None:
    file = command.home / "tokens.json"
    command.configure(f"{TOUR}access: {{tokens_file: tokens.json}}\n")
    file.write_text('{"laptop": {}}', encoding="utf-8")
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    assert "tokens.json: is no file of tokens" in found["files"][-1]["summary"]
    assert file.read_text(encoding="utf-8") == '{"laptop": {}}'


@pytest.mark.slow
async def test_a_file_that_lies_around_is_not_acted_upon(command: RealCommand) -> None:
    marker = command.home / "started"
    (command.home / "mcp.yml").write_text(
        f"servers: {{other: {{command: touch, args: ['{marker}']}}}}\n", encoding="utf-8"
    )
    ended, found = await examine(command)
    assert ended.exit_code == 1
    assert "agentic trust" in found["config"][-1]["fix"]
    assert not any(check.startswith(("servers", "models", "bot", "store")) for check in found)
    assert not marker.exists()


@pytest.mark.slow
async def test_the_bot_is_asked_who_it_is(command: RealCommand) -> None:
    async with open_bot_api(TOKEN) as api:
        command.configure(f"{TOUR}bot: {{base_url: '{api.base_url}', people: {{42: ada}}}}\n")
        _, right = await examine(command, environment={"TELEGRAM_BOT_TOKEN": TOKEN})
        ended, wrong = await examine(command, environment={"TELEGRAM_BOT_TOKEN": f"{TOKEN}x"})
        _, torn = await examine(command, environment={"TELEGRAM_BOT_TOKEN": f"{TOKEN}\nx"})
        methods = {call.method for call in api.calls}
    assert [each["state"] for each in right["bot"]] == ["ok", "ok"]
    assert "@agentic_bot" in right["bot"][0]["summary"]
    assert "getUpdates" not in methods  # it would interrupt a bot that runs
    assert wrong["bot"][0]["state"] == "problem"
    assert "@BotFather" in wrong["bot"][0]["fix"]
    assert "sekret" not in ended.output + ended.notes
    assert only(torn, "bot")[0] == "problem"


@pytest.mark.slow
async def test_a_webhook_and_an_empty_list_of_people_are_told(command: RealCommand) -> None:
    async def answer(request: HttpRequest, http: HttpReply) -> None:
        assert request.path.startswith(f"/bot{TOKEN}/")
        url = "https://elsewhere.example/hook"
        result = {"username": "b", "url": url, "pending_update_count": 3}
        body = json.dumps({"ok": True, "result": result}).encode()
        await http.send_whole(200, body, {"Content-Type": "application/json"})

    async with open_http_server(answer) as url:
        command.configure(f"{TOUR}bot: {{base_url: '{url}', token: '{TOKEN}'}}\n")
        ended, found = await examine(command)
    who, webhook, people = found["bot"]
    assert (who["state"], webhook["state"], people["state"]) == ("ok", "problem", "ok")
    assert "409" in webhook["summary"]
    assert "deleteWebhook" in webhook["fix"]
    assert "agentic bot --pair" in people["fix"]
    assert "sekret" not in ended.output


@pytest.mark.slow
async def test_a_check_that_breaks_is_itself_a_finding(command: RealCommand) -> None:
    command.configure(f"{TOUR}data_directory: /{'long' * 100}\nconversations: {{directory: c}}\n")
    ended, found = await examine(command, *PATIENCE)
    assert ended.exit_code == 1
    state, text = only(found, "disk")
    assert state == "problem"
    assert "File name too long" in text
    assert only(found, "store")[0] == "ok"


def test_little_room_is_a_warning_and_none_a_problem() -> None:
    states = [judge_disk(Path("/data"), mb * 1_000_000).state for mb in (500, 499, 50, 49, 0)]
    assert states == ["ok", "warning", "warning", "problem", "problem"]


@pytest.mark.parametrize(
    ("version", "clauses", "fits"),
    [
        ("2.3.0", "<3,>=2.3", True),
        ("2.2.9", "<3,>=2.3", False),
        ("3.0", "<3,>=2.3", False),
        ("3.0.0", "<=3", True),
        ("10.0", ">=9.1", True),
        ("2.4rc1", ">=2.4", True),
        ("anything", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, clauses: str, *, fits: bool) -> None:
    assert satisfies(version, clauses) is fits
