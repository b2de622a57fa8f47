"""`agentic conversations import` as a person runs it."""

import json
import os
import signal
from pathlib import Path

import anyio
import anyio.abc
import pytest

from tests.agentic.cli.imports.exports import (
    chatgpt_conversation,
    chatgpt_message,
    claude_conversation,
    claude_message,
    own_document,
    write_json,
    write_zip,
)
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand

CHAT = chatgpt_conversation(
    chatgpt_message("q"), chatgpt_message("a", "assistant"), title="Tea \x1b[31m\nand more"
)
IMPORT = ("conversations", "import")
ATTACH = ("conversations", "attach", "a")


@pytest.mark.slow
async def test_a_dry_run_says_what_is_in_the_file_and_stores_nothing(command: RealCommand) -> None:
    hidden = chatgpt_conversation(chatgpt_message("", "system"), title="No \x1b[31mwords")
    path = write_zip(command.home / "e.zip", {"conversations.json": [CHAT, hidden]})
    told = await command.run(*IMPORT, str(path), "--dry-run")
    assert (told.exit_code, told.notes) == (0, "")
    assert told.output == (
        "Can be imported: 2 messages in 1 conversation. Nothing was stored.\n"
        "Left out:\n"
        "  hidden messages (instructions, context, memory): 1, in “No [31mwords”\n"
        "  conversations without messages: 1, in “No [31mwords”\n"
    )
    counted = await command.run(
        *IMPORT, "-", "--dry-run", "--json", stdin=json.dumps(CHAT).encode()
    )
    assert counted.exit_code == 0
    assert json.loads(counted.output) == {
        "file": "-",
        "dry_run": True,
        "finished": True,
        "conversations": {"found": 1, "changed": 0, "failed": 0},
        "messages": {"found": 2, "imported": 0, "repeated": 0},
        "cut_messages": 0,
        "cleaned_strings": 0,
        "skipped": [],
        "problems": [],
        "more_problems": 0,
    }
    assert (await command.run("conversations", "list", "--json")).output == "[]\n"


@pytest.mark.slow
async def test_what_can_not_be_imported_is_told_with_the_exit_code(command: RealCommand) -> None:
    missing = await command.run(*IMPORT, "missing.json")
    assert (missing.exit_code, missing.notes) == (2, "Error: There is no file missing.json.\n")
    broken = command.home / "broken.json"
    broken.write_text(json.dumps([CHAT, own_document()])[:-9], encoding="utf-8")
    cut = await command.run(*IMPORT, "broken.json", "--dry-run")
    assert cut.exit_code == 1
    assert "Can be imported: 2 messages in 1 conversation." in cut.output
    assert cut.notes.startswith("Error: broken.json: it breaks off in the middle, after ")
    told = await command.run(*IMPORT, "broken.json", "--dry-run", "--json")
    assert (told.exit_code, json.loads(told.output)["finished"]) == (1, False)
    packed = write_zip(command.home / "e.zip", {"conversations.json": [CHAT]}).read_bytes()
    piped = await command.run(*IMPORT, "-", stdin=packed)
    assert piped.exit_code == 1
    assert "a zip can't be read from a pipe: name the file." in piped.notes


@pytest.mark.slow
async def test_an_account_export_is_imported_once(command: RealCommand) -> None:
    talk = claude_conversation(claude_message("human", "q"), name="Trees")
    members = {"conversations-000.json": [CHAT], "conversations-001.json": [talk]}
    path = write_zip(command.home / "e.zip", members)
    first = await command.run(*IMPORT, str(path))
    assert (first.exit_code, first.notes) == (0, "")
    assert first.output == "Imported: 3 messages in 2 of 2 conversations.\n"
    again = await command.run(*IMPORT, str(path))
    assert again.output == (
        "Imported: 0 messages in 0 of 2 conversations.\nThere already: 3 messages.\n"
    )
    listed = await command.run("conversations", "list", "--tag", "imported")
    assert "2 messages  chatgpt:67aa-c0de (Tea [31m and more)" in listed.output


@pytest.mark.slow
async def test_what_was_exported_and_imported_elsewhere_is_exported_the_same(
    command: RealCommand, tmp_path: Path
) -> None:
    elsewhere = RealCommand(tmp_path / "elsewhere")
    elsewhere.home.mkdir()
    write_json(command.home / "c.json", own_document(1_100))
    assert (await command.run(*IMPORT, "c.json")).exit_code == 0
    exported = await command.run("conversations", "export", "telegram:42")
    piped = await elsewhere.run(*IMPORT, "-", stdin=exported.output.encode())
    assert piped.output == "Imported: 1,100 messages in 1 of 1 conversation.\n"
    second = await elsewhere.run("conversations", "export", "telegram:42")
    first_document, second_document = json.loads(exported.output), json.loads(second.output)
    for document in (first_document, second_document):
        del document["conversation"]["version"]
    assert first_document == second_document


@pytest.mark.slow
async def test_an_import_that_is_stopped_goes_on_when_it_is_run_again(command: RealCommand) -> None:
    write_json(command.home / "c.json", own_document(10_000))
    async with command.in_terminal(*IMPORT, "c.json", columns=120) as terminal:
        await terminal.wait_for("000 messages")
        terminal.interrupt()
        assert await terminal.wait_for_end() == 130
    assert "Stopped. Run the same again, and it goes on from there." in terminal.text
    again = await command.run(*IMPORT, "c.json", "--json")
    assert again.exit_code == 0
    messages = json.loads(again.output)["messages"]
    assert messages["imported"] + messages["repeated"] == 10_000
    assert messages["repeated"] >= 1_000
    assert messages["imported"] >= 1_000


async def wait_until_opened(process: anyio.abc.Process, path: Path) -> None:
    descriptors = Path(f"/proc/{process.pid}/fd")
    with anyio.fail_after(LIMIT_SECONDS):
        while not any(each.resolve() == path for each in descriptors.iterdir()):  # noqa: ASYNC110 - of another process
            await anyio.sleep(0.02)


async def end(process: anyio.abc.Process, number: signal.Signals) -> int:
    process.send_signal(number)
    with anyio.fail_after(5):
        return await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "verb", [IMPORT, ("conversations", "attach", "a")], ids=lambda each: each[1]
)
async def test_the_wait_for_a_pipe_is_ended_by_a_signal(
    command: RealCommand, verb: tuple[str, ...], number: signal.Signals
) -> None:
    pipe = command.home / "pipe"
    os.mkfifo(pipe)
    async with command.started(*verb, "pipe") as process:
        await wait_until_opened(process, pipe)
        assert await end(process, number) == 128 + number
    async with command.started(*verb, "pipe") as process:
        await wait_until_opened(process, pipe)
        with pipe.open("wb", buffering=0) as silent:
            silent.write(b"[")
            assert await end(process, number) == 128 + number


@pytest.mark.slow
async def test_an_import_that_never_comes_to_an_end_is_ended_by_a_signal(
    command: RealCommand,
) -> None:
    pipe = command.home / "pipe"
    os.mkfifo(pipe)
    endless = "printf '[\"'; exec tr '\\0' a </dev/zero"
    async with command.started(*IMPORT, "pipe") as process:
        await wait_until_opened(process, pipe)
        with pipe.open("wb", buffering=0) as given:
            async with await anyio.open_process(["sh", "-c", endless], stdout=given):
                assert await end(process, signal.SIGTERM) == 143


@pytest.mark.slow
async def test_a_pipe_whose_writer_takes_its_time_is_imported(command: RealCommand) -> None:
    pipe = command.home / "pipe"
    os.mkfifo(pipe)
    async with command.started(*IMPORT, "pipe") as process:
        await wait_until_opened(process, pipe)
        with pipe.open("wb", buffering=0) as writer:
            text = json.dumps(CHAT).encode()
            for part in (text[:10], text[10:]):
                writer.write(part)
                await anyio.sleep(0.3)
        with anyio.fail_after(LIMIT_SECONDS):
            assert await process.wait() == 0
    assert (await command.run("conversations", "list")).output.count("\n") == 1
