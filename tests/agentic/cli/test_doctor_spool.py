"""What `agentic doctor` says of what waits on this machine for the store."""

import os
from pathlib import Path

from agentic.cli.doctor.spool import check_spool
from client.spool.folder import MAX_BYTES, Entry, SpoolFolder
from servers.conversations.contract import Message


def fill(directory: Path, number: int) -> Path:
    folder = SpoolFolder(directory)
    text = Message(role="assistant", content="x", message_id="m/1", turn_id="m")
    folder.add(Entry(owner=None, conversation_id=f"c{number}", turn_id="m", messages=[text]))
    return sorted(directory.rglob("*.entry"))[0]


def test_an_empty_spool_is_well_and_is_not_made(tmp_path: Path) -> None:
    [finding] = check_spool(tmp_path / "spool")
    assert (finding.state, finding.summary) == ("ok", "nothing waits for the store")
    assert list(tmp_path.iterdir()) == []


def test_what_waits_is_counted_with_its_time_and_what_to_do(tmp_path: Path) -> None:
    for number in (1, 1, 2):
        fill(tmp_path, number)
    [finding] = check_spool(tmp_path)
    assert finding.state == "warning"
    assert finding.summary.startswith("3 things wait for the store, of 2 conversations, since 20")
    assert "Then `agentic conversations list` stores it" in (finding.fix or "")


def test_what_could_not_be_stored_is_named_with_the_reason_and_the_place(tmp_path: Path) -> None:
    SpoolFolder(tmp_path).set_aside(fill(tmp_path, 1), "gone")
    [_, finding] = check_spool(tmp_path)
    assert finding.state == "warning"
    assert "1 file could not be stored (1: the conversation, or the message" in finding.summary
    assert str(tmp_path / "aside") in (finding.fix or "")


def test_a_full_spool_is_a_problem(tmp_path: Path) -> None:
    os.truncate(fill(tmp_path, 1), int(0.95 * MAX_BYTES))
    assert [finding.state for finding in check_spool(tmp_path)] == ["warning", "problem"]


def test_a_spool_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    [finding] = check_spool(tmp_path / "spool")
    assert (finding.state, "can't be used" in finding.summary) == ("problem", True)
