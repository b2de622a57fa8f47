"""The spool's files: closed to others, each whole or not, and none of them costs another."""

import hashlib
import os
import stat
from pathlib import Path

import anyio
import pytest
from mcp.types import CallToolResult

from client.llm.scripted import ScriptedModel
from client.spool.aside import SetAside, find_untold
from client.spool.folder import Entry, SpoolError, SpoolFolder
from client.spool.spool import Spool
from servers.conversations.contract import Message
from tests.assistant import OWNER, ask, open_assistant, run_turn, said
from tests.client.spool.outage import Machine


def entry(number: int, *, owner: str = OWNER, text: str = "text") -> Entry:
    turn_id = f"m{number}"
    reply = Message(role="assistant", content=text, message_id=f"{turn_id}/1", turn_id=turn_id)
    return Entry(owner=owner, conversation_id="c", turn_id=turn_id, messages=[reply])


class Nobody:
    """No server to call."""

    async def call_tool(self, *_args: object, **_kwargs: object) -> CallToolResult:
        raise AssertionError("nothing is to be called")


def waiting(folder: SpoolFolder) -> list[Path]:
    return sorted(folder.directory.rglob("*.entry"))


def test_files_and_folders_are_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = SpoolFolder(tmp_path / "data" / "spool")
        folder.add(entry(1))
        folder.add(entry(2))
        folder.set_aside(waiting(folder)[0], "refused")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "data").rglob("*")}
    modes["data"] = (tmp_path / "data").stat().st_mode
    assert len(modes) == 6
    for name, mode in modes.items():
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), name
        assert OWNER not in name


def test_what_waits_is_read_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    folder, other = SpoolFolder(tmp_path / "spool"), SpoolFolder(tmp_path / "spool")
    given = [entry(number) for number in range(1, 12)]
    for number, each in enumerate(given):
        (folder if number % 2 else other).add(each)
    folder.remove(waiting(folder)[0])
    folder.add(given[0])
    assert [each for _, each in folder.read(given[0].key)] == [*given[1:], given[0]]


async def test_of_one_turn_only_what_is_set_aside_first_is_told(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    spool = Spool(Nobody(), folder)
    told: list[str] = []

    async def tell(lost: SetAside) -> None:
        assert lost.entry is not None
        told.append(lost.entry.turn_id)

    for turn, text in ((1, "first"), (1, "second"), (2, "another")):
        folder.add(entry(turn, text=text))
        folder.set_aside(waiting(folder)[0], "gone")
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(spool.tell_set_aside, tell)
                while find_untold(folder.directory):  # noqa: ASYNC110 - files tell nobody
                    await anyio.sleep(0.001)
                tasks.cancel_scope.cancel()
    assert told == ["m1", "m2"]


def test_an_empty_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    assert folder.keys() == []
    assert not folder.directory.exists()
    folder.add(entry(1))
    folder.remove(waiting(folder)[0])
    assert list(folder.directory.iterdir()) == []


def test_it_takes_no_more_than_its_bound_and_what_is_set_aside_counts(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool", max_bytes=3_000)
    folder.add(entry(1, text="a" * 2_000))
    folder.set_aside(waiting(folder)[0], "taken")
    with pytest.raises(SpoolError, match="is full"):
        folder.add(entry(2, text="a" * 2_000))
    folder.add(entry(3))
    [(_, kept)] = folder.read(entry(3).key)
    assert kept == entry(3)


def test_what_a_killed_process_had_not_finished_does_not_count(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    folder.add(entry(1))
    left = folder.directory / ".new.abc"
    left.write_text("half")
    young = folder.survey()
    assert (young.waiting, left.exists()) == (1, True)
    os.utime(left, (0, 0))
    assert folder.survey().waiting == 1
    assert not left.exists()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "later", "another's"])
async def test_a_damaged_file_costs_itself_only_and_is_told(tmp_path: Path, damage: str) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([said("Hi.")] * 3))
        for number in range(1, 4):
            user = Message(role="user", content="?", message_id=f"m{number}", turn_id=f"m{number}")
            await a.store.append_messages("c", [user])
            machine.folder.add(entry(number, text=f"reply {number}"))
        victim = waiting(machine.folder)[1]
        data = victim.read_bytes()
        match damage:
            case "flipped":
                victim.write_bytes(data.replace(b"reply 2", b"reply 5"))
            case "cut":
                victim.write_bytes(data[:-5])
            case "empty":
                victim.write_bytes(b"")
            case "later":
                text = data.partition(b"\n")[2].replace(b"{", b'{"priority": 1, ', 1)
                victim.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            case _:
                other = SpoolFolder(tmp_path / "other")
                other.add(entry(2, owner="bob"))
                victim.write_bytes(waiting(other)[0].read_bytes())
        await run_turn(coordinator, ask("next"))
        texts = [message.text() for message in await a.messages()]
    assert texts == ["?", "?", "?", "reply 1", "reply 3", "next", "Hi."]
    [aside] = machine.folder.survey().aside
    assert aside.suffix == ".damaged"
    assert str(aside) in machine.told[0]
    assert machine.waiting == 0
