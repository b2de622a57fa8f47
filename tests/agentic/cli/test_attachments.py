"""`agentic conversations attach` and `attachment`: files go in and come out as they were."""

import json
import os
import stat

import pytest

from tests.agentic.cli.real_command import RealCommand


@pytest.mark.slow
async def test_a_file_is_attached_and_fetched_as_it_was(command: RealCommand) -> None:
    data = os.urandom(700_000)
    file = command.home / "bild ☃.png"
    file.write_bytes(data)
    attached = await command.run("conversations", "attach", "c/1", str(file))
    assert attached.exit_code == 0
    uri = attached.output.strip()
    assert uri.startswith("conversation://c%2F1/attachments/")
    again = await command.run("conversations", "attach", "c/1", str(file), "--json")
    result = json.loads(again.output)
    assert (result["uri"], result["size"], result["complete"]) == (uri, len(data), True)
    named = await command.run(
        "conversations", "attach", "c/1", str(file), "--name", "\x1b[1m", "--type", "text/plain"
    )
    assert named.exit_code == 2
    assert "--name holds no control characters" in named.notes

    shown = await command.run("conversations", "show", "c/1")
    assert f"1 attachment\n{uri}  bild ☃.png, image/png, 700.0 kB\n" in shown.output

    copy = command.home / "copy"
    fetched = await command.run("conversations", "attachment", uri, "-o", str(copy))
    assert (fetched.exit_code, fetched.output) == (0, "")
    assert "image/png, 700,000 bytes" in fetched.notes
    assert copy.read_bytes() == data
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    refused = await command.run(
        "conversations", "attachment", "c/1", result["attachment_id"], "-o", str(copy)
    )
    assert refused.exit_code == 2
    assert "--force" in refused.notes
    forced = await command.run(
        "conversations", "attachment", "c/1", result["attachment_id"], "-o", str(copy), "--force"
    )
    assert forced.exit_code == 0


@pytest.mark.slow
async def test_what_cannot_be_attached_or_fetched_is_said_and_leaves_no_file(
    command: RealCommand,
) -> None:
    (command.home / "large").write_bytes(bytes(20 * 1024 * 1024 + 1))
    (command.home / "small").write_bytes(b"x")
    for arguments, exit_code, words in (
        (["attach", "c", "nothing"], 2, "There is no file nothing"),
        (["attach", "c", "small", "--name", ""], 2, "--name has 1 to"),
        (["attach", "c", "."], 2, "is a folder"),
        (["attach", "c", "large"], 1, "20,971,520 bytes"),
        (["attach", "c", "small", "--type", "x"], 2, "--type is a MIME type"),
        (["attachment", "conversation://c"], 2, "Give the URI"),
        (["attachment", "c", "a", "-o", "nowhere/x"], 2, "There is no folder"),
        (["attachment", "c", "a", "-o", "copy"], 1, "There is no such attachment"),
    ):
        ended = await command.run("conversations", *arguments)
        assert (ended.exit_code, words in ended.notes) == (exit_code, True), ended.notes
    left = {path.name for path in command.home.iterdir() if path.is_file()}
    assert left == {"large", "small"}
