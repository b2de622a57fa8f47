"""The commands beside talking: what they print, refuse and leave behind."""

import json
import os
import signal
import stat
import subprocess
import sys
from typing import Any

import anyio
import pytest

from agentic.cli.failures import Failure, UsageError, describe_failure
from agentic.cli.serve import parse_address
from client.conversations import ConversationCallError
from servers.conversations.contract_results import ErrorDetail
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.bot.running_bot import ADA, TOKEN
from tests.fakes.telegram.bot_api import open_bot_api
from tests.fakes.tool_endpoint import answer, answer_json, render, serve_tool_endpoint

SCRIPT = '- {when: ., say: "Hello \\e]0;owned\\a you"}'


@pytest.mark.parametrize(("code", "exit_code"), [("invalid", 2), ("conflict", 1)])
def test_what_the_server_calls_invalid_is_wrong_usage(code: Any, exit_code: int) -> None:
    refused = ConversationCallError(ErrorDetail(code=code, message="no word"))
    assert describe_failure(refused) == Failure("no word", exit_code)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom agentic.__main__ import main\nsys.argv = ['agentic', '--help']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'mcp', 'pydantic', 'rich', 'prompt_toolkit', 'anyio'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "conversations" in done.stdout


async def test_what_is_wrong_is_told_before_the_protocol_is_imported(command: RealCommand) -> None:
    program = (
        "import sys\nfrom agentic.__main__ import main\n"
        "sys.argv = ['agentic', 'ask', '-c', '', 'hello']\n"
        "try: main()\nexcept SystemExit as end: print(end.code)\n"
        "print({'mcp', 'mcp_types', 'httpx2'} & set(sys.modules))"
    )
    with anyio.fail_after(LIMIT_SECONDS):
        done = await anyio.run_process(
            [sys.executable, "-c", program], cwd=command.home, env=command.environment
        )
    assert done.stdout == b"2\nset()\n", done.stderr


@pytest.mark.slow
async def test_a_conversation_is_listed_shown_exported_and_deleted(command: RealCommand) -> None:
    command.script(SCRIPT)
    name = "odd \x1b[31m/../id 日本"
    asked = await command.run("ask", "-c", name, "how\nare you?")
    assert asked.output == "Hello  you\n"

    listed = await command.run("conversations", "list")
    assert r"2 messages  $'odd \u001b[31m/../id 日本'" in listed.output
    shown = await command.run("conversations", "show", name)
    assert "how\nare you?" in shown.output
    assert "Hello  you" in shown.output
    assert "\x1b" not in listed.output + shown.output

    file = command.home / "kept.json"
    exported = await command.run("conversations", "export", name, "-o", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert exported.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert document["format"] == "agentic-conversation/1"
    assert document["conversation"]["conversation_id"] == name
    assert [message["content"] for message in document["messages"]] == [
        "how\nare you?",
        "Hello \x1b]0;owned\x07 you",
    ]
    again = await command.run("conversations", "export", name, "-o", str(file))
    assert again.exit_code == 2
    assert "--force" in again.notes

    readable = await command.run("conversations", "export", name, "--format", "markdown")
    assert readable.output.startswith("# Conversation `odd")
    assert "\n    how\n    are you?\n" in readable.output
    assert "\x1b" not in readable.output

    forked = await command.run("conversations", "fork", name, "--to", "a fork")
    assert (forked.exit_code, forked.output) == (0, "'a fork'\n")
    merged = await command.run("conversations", "merge", name, "a fork", "--into", "m", "--json")
    assert json.loads(merged.output)["message_count"] == 2
    unknown = await command.run("conversations", "merge", name, "nobody", "--into", "n")
    assert (unknown.exit_code, unknown.output) == (1, "")
    assert "There is no conversation nobody" in unknown.notes

    asked_first = await command.run("conversations", "delete", name)
    assert asked_first.exit_code == 2
    deleted = await command.run("conversations", "delete", name, "--yes")
    assert deleted.exit_code == 0
    gone = await command.run("conversations", "show", name)
    assert gone.exit_code == 1
    assert r"There is no conversation $'odd \u001b[31m/../id 日本'" in gone.notes


@pytest.mark.slow
async def test_a_declared_tool_is_tested_against_its_endpoint(command: RealCommand) -> None:
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/users/7", answer_json({"name": "Ada"}))
        command.configure(
            f"""tools:
  look: {{url: '{endpoint.url}/users/{{id}}', method: GET, parameters: {{id: integer}},
    examples: [{{id: 7}}], token: s3cret-token, result: name, retries: 2}}
  change: {{url: '{url}', token: s3cret-token}}
  shut: {{url: '{url}', token: '${{NOT_SET}}'}}
  broken: {{url: '{url}', retries: many}}
"""
        )
        dry = await command.run("tools", "test", "look", "id=8", "--dry-run")
        assert endpoint.requests == []
        looked = await command.run("tools", "test", "tools__look")
        unsent = await command.run("tools", "test", "change")
        shut = await command.run("tools", "test", "shut")
        broken = await command.run("tools", "test", "broken")
    assert (dry.exit_code, dry.output.splitlines()[0]) == (0, f"GET {endpoint.url}/users/8")
    assert "authorization: ***" in dry.output
    assert (looked.exit_code, looked.output.splitlines()[-1]) == (0, "Ada")
    assert unsent.exit_code == 2
    assert "nothing was sent; --yes sends it" in unsent.notes
    assert [each.method for each in endpoint.requests] == ["GET"]
    assert (shut.exit_code, "NOT_SET" in shut.notes) == (1, True)
    assert dry.notes == ""
    assert broken.exit_code != 0
    assert "tools.broken.retries: is text" in broken.notes
    assert "s3cret-token" not in repr([dry, looked, unsent, shut, broken])


@pytest.mark.slow
async def test_the_requests_of_steps_are_shown_as_far_as_they_are_known(
    command: RealCommand,
) -> None:
    async with serve_tool_endpoint() as endpoint:
        endpoint.on("/find", answer_json([7]))
        endpoint.on("/lend/7", answer_json({"loan": 1}))
        command.configure(
            f"""tools:
  find: {{url: '{endpoint.url}/find', method: GET, parameters: {{q: string}}, token: s3cret-token}}
  lend: {{url: '{endpoint.url}/lend/{{id}}', body: json, parameters: {{id: integer}}}}
  both:
    parameters: {{title: string}}
    steps:
      - {{tool: find, name: book, arguments: {{q: '= parameters.title'}}}}
      - {{tool: lend, arguments: {{id: '= book[0]'}}}}
"""
        )
        unsent = await command.run("tools", "test", "both", "title=emma")
        assert endpoint.requests == []
        sent = await command.run("tools", "test", "both", "title=emma", "--yes")
    lines = unsent.output.splitlines()
    assert lines[:2] == ["# step 1: book", f"GET {endpoint.url}/find?q=emma"]
    assert lines[-2:] == ["# step 2: lend", "# lend, known once book has answered"]
    assert (unsent.exit_code, "--yes sends it" in unsent.notes) == (2, True)
    assert (sent.exit_code, sent.output.splitlines()[-1]) == (0, '{"loan":1}')
    assert "s3cret-token" not in repr([unsent, sent])


@pytest.mark.slow
async def test_what_a_tool_links_to_is_saved_in_a_file(command: RealCommand) -> None:
    body = bytes(range(256)) * 3_000
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/", answer(render(body, content_type="application/pdf")))
        command.configure(
            f"tools: {{pdf: {{url: '{url}', method: GET, max_response_bytes: 1000000}}}}\n"
        )
        saved = await command.run("tools", "call", "tools__pdf", "-o", "a.pdf")
        shown = await command.run("tools", "call", "pdf")
        again = await command.run("tools", "call", "tools__pdf", "-o", "a.pdf")
        assert len(endpoint.requests) == 2
    assert (saved.exit_code, saved.output) == (0, "")
    assert saved.notes == "pdf.pdf, application/pdf, 768,000 bytes\n"
    file = command.home / "a.pdf"
    assert file.read_bytes() == body
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "application/pdf, 768,000 bytes" in shown.output
    assert "-o FILE would have saved it" in shown.notes
    assert (again.exit_code, "--force" in again.notes) == (2, True)


@pytest.mark.slow
async def test_declared_tools_are_listed_with_their_limits_and_what_is_wrong(
    command: RealCommand,
) -> None:
    command.configure(
        """tools:
  look: {url: 'http://127.0.0.1:9/', method: GET, retries: 2, rate_limit: 5/minute}
  shut: {url: 'http://127.0.0.1:9/', token: '${NOT_SET}', confirm: true}
  broken: {url: 'http://127.0.0.1:9/', retries: many}
"""
    )
    listed = await command.run("tools", "list")
    assert "tools__look [read-only, GET 127.0.0.1, 30 s, 2 retries, at most 5/minute]: " in (
        listed.output
    )
    assert "POST 127.0.0.1, asks first, 30 s, unavailable: NOT_SET not set" in listed.output
    assert listed.notes == ""
    assert "  broken [left out]: " in listed.output
    assert "given.yml:4: tools.broken.retries: is text" in listed.output
    assert listed.output.index("\n  broken [left out]") < listed.output.index("\nconversations: ")
    [server] = [
        each
        for each in json.loads((await command.run("tools", "list", "--json")).output)
        if each["server"] == "tools"
    ]
    assert list(server["broken"]) == ["broken"]
    [look] = [each for each in server["tools"] if each["tool"] == "look"]
    assert (look["declared"]["source"], look["declared"]["retries"]) == ("mcp.yml", 2)
    for command_name in ("call", "test"):
        refused = await command.run("tools", command_name, "tools__broken", "x=1")
        assert refused.exit_code == 2
        assert "broken is left out: " in refused.notes
        assert "given.yml:4: tools.broken.retries: is text" in refused.notes
    counted = await command.run("tools", "stats")
    assert "left out" not in counted.notes
    unknown = await command.run("tools", "call", "tools__broken_too")
    assert "Left out are broken: `agentic tools list` says why." in unknown.notes


@pytest.mark.slow
async def test_who_stops_reading_hears_no_complaint(command: RealCommand) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with anyio.fail_after(LIMIT_SECONDS):
        done = await anyio.run_process(
            [sys.executable, "-m", "agentic", "tools", "list", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            check=False,
            cwd=command.home,
            env=command.environment,
        )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
async def test_tools_are_listed_and_called(command: RealCommand) -> None:
    listed = await command.run("tools", "list")
    assert "tools__current_time [read-only]: " in listed.output
    assert "conversations: ready" in listed.output

    called = await command.run("tools", "call", "tools", "current_time", "timezone=Asia/Tokyo")
    assert called.exit_code == 0
    assert called.output.startswith("In Tokyo it is ")
    failed = await command.run("tools", "call", "tools__current_time", '{"timezone": "Nowhere"}')
    assert failed.exit_code == 1
    assert "Nowhere" in failed.notes
    unknown = await command.run("tools", "call", "nobody", "nothing")
    assert unknown.exit_code == 2
    assert "conversations, tools" in unknown.notes


@pytest.mark.slow
async def test_a_file_that_lies_around_starts_nothing_before_it_is_trusted(
    command: RealCommand,
) -> None:
    marker = command.home / "started"
    (command.home / "mcp.yml").write_text(
        f"servers: {{other: {{command: touch, args: ['{marker}']}}}}\n"
        "models: {tour: {provider: scripted}}\n",
        encoding="utf-8",
    )
    for arguments in (["ask", "hi"], ["chat"], ["tools", "list"], ["conversations", "list"]):
        refused = await command.run(*arguments)
        assert refused.exit_code == 2
        assert "touch" in refused.notes
        assert "agentic trust" in refused.notes
    assert (await command.run("trust")).exit_code == 2
    assert not marker.exists()

    trusted = await command.run("trust", "--yes")
    assert trusted.exit_code == 0
    assert "touch" in trusted.output
    listed = await command.run("tools", "list")
    assert listed.exit_code == 0
    assert "other: not available" in listed.output
    assert marker.exists()


async def test_a_server_is_served_until_its_client_leaves(command: RealCommand) -> None:
    ended = await command.run("serve", "conversations", stdin=b"no json\n")
    assert ended.exit_code == 0
    assert json.loads(ended.output)["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["serve", "everything"], "conversations, tools"),
        (["serve", "tools", "--http", "localhost"], "HOST:PORT"),
        (["serve", "tools", "--no-auth"], "--http"),
        (["bot"], "TELEGRAM_BOT_TOKEN"),
    ],
)
async def test_what_cannot_be_started_is_told_with_what_to_do(
    command: RealCommand, arguments: list[str], reason: str
) -> None:
    ended = await command.run(*arguments)
    assert ended.exit_code == 2
    assert reason in ended.notes
    assert ended.output == ""


@pytest.mark.slow
async def test_a_token_that_is_none_is_wrong_configuration(command: RealCommand) -> None:
    command.script("- {when: ., say: x}")
    ended = await command.run("bot", environment={"TELEGRAM_BOT_TOKEN": "12:secret but none"})
    assert ended.exit_code == 2
    assert "@BotFather" in ended.notes
    assert "secret" not in ended.notes


@pytest.mark.slow
async def test_a_bot_that_is_told_twice_to_end_ends_in_order(command: RealCommand) -> None:
    async with open_bot_api(TOKEN) as api:
        command.script("- {when: ., say: x}", more=f"bot: {{base_url: '{api.base_url}'}}")
        told = {"TELEGRAM_BOT_TOKEN": TOKEN}
        async with command.started("bot", environment=told) as process:
            with anyio.fail_after(LIMIT_SECONDS):
                api.user_says(ADA, "hello")
                await api.wait_for_message(ADA)
                for _ in range(2):
                    process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0


async def test_a_wrong_configuration_is_one_error_without_a_traceback(
    command: RealCommand,
) -> None:
    command.configure("servers: {x: {url: no address}}\n")
    ended = await command.run("tools", "list")
    assert ended.exit_code == 2
    assert "given.yml" in ended.notes
    assert "url" in ended.notes
    assert "Traceback" not in ended.notes


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("127.0.0.1", 80)),
        ("localhost:65536", ("localhost", 65536)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "8000", "host:", "host:x", "::1:80", "[::1:80", "h:-1", "h:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


@pytest.mark.slow
async def test_a_model_that_lacks_its_key_stops_only_what_asks_it(command: RealCommand) -> None:
    command.configure("models: {m: {provider: openai, model: x, api_key: '${A_KEY_NOBODY_SET}'}}")
    listed = await command.run("conversations", "list")
    asked = await command.run("ask", "hello")
    assert listed.exit_code == 0, listed.notes
    assert asked.exit_code == 2
    assert "A_KEY_NOBODY_SET" in asked.notes


@pytest.mark.slow
async def test_a_reader_that_leaves_early_is_no_accident(command: RealCommand) -> None:
    command.script(f"- say: {'word ' * 20_000}\n")
    for _ in range(3):
        await command.run("ask", "go on", "--conversation", "long")
    show = [sys.executable, "-m", "agentic", "conversations", "show", "long"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        show, stdout=pipe, stderr=pipe, cwd=command.home, env=command.environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(LIMIT_SECONDS) == 1
        assert process.stderr.read() == b""


@pytest.mark.slow
async def test_what_is_stored_is_its_owners_to_read_though_the_shell_takes_that_away(
    command: RealCommand,
) -> None:
    before = os.umask(0o777)
    try:
        assert (await command.run("conversations", "list")).exit_code == 0
    finally:
        os.umask(before)
    data = command.home / ".local"
    found = [(path.is_dir(), path.stat().st_mode) for path in (data, *data.rglob("*"))]
    modes = {(is_folder, stat.S_IMODE(mode)) for is_folder, mode in found}
    assert modes == {(True, 0o700), (False, 0o600)}


@pytest.mark.slow
async def test_a_standard_output_that_was_closed_ends_no_command(command: RealCommand) -> None:
    shell = ["sh", "-c", 'exec "$0" -m agentic "$@" >&-', sys.executable]
    for arguments in (["conversations", "list"], ["token", "create", "phone"]):
        done = await anyio.run_process(
            [*shell, *arguments], check=False, cwd=command.home, env=command.environment
        )
        assert done.returncode == 0, done.stderr
        assert b"standard output" not in done.stderr
