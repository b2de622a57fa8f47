"""A client is killed in a turn whose store is away, or while it stores what waited."""

import signal
import sys
from pathlib import Path

import anyio
import pytest

from client.coordinator.events import TurnFinished
from client.llm.scripted import ScriptedModel
from tests.assistant import ask, assert_whole, open_assistant, run_turn, said
from tests.client.spool.dying_process import MESSAGE_ID
from tests.client.spool.outage import Machine


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "waiting"), [("tool", 1), ("reply", 2), ("sent", 2)])
async def test_killed_while_something_waits(tmp_path: Path, moment: str, waiting: int) -> None:
    directory = tmp_path / "assistant"
    assert await is_killed(directory, moment)
    assert Machine(directory / "spool").waiting == waiting
    await check_answered_once(directory)


@pytest.mark.crash
async def test_killed_after_any_number_of_awaits(tmp_path: Path) -> None:
    awaits, waited = 1, 0
    while await is_killed(tmp_path / str(awaits), str(awaits)):
        waited += Machine(tmp_path / str(awaits) / "spool").waiting > 0
        await check_answered_once(tmp_path / str(awaits))
        # How many awaits a turn takes depends on how long the disk takes.
        awaits = int(awaits * 1.2) + 1
        assert awaits < 10_000_000, "the turn never came to its end"
    assert waited, "it was never killed while something waited"


async def is_killed(directory: Path, moment: str) -> bool:
    directory.mkdir()
    module = "tests.client.spool.dying_process"
    with anyio.fail_after(30):
        ended = await anyio.run_process(
            [sys.executable, "-m", module, str(directory), moment], check=False
        )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()
    return ended.returncode != 0


async def check_answered_once(directory: Path) -> None:
    """By the next process, which asks the same again as a bot would."""
    machine, model = Machine(directory / "spool"), ScriptedModel([said("I can't tell.")])
    async with open_assistant(directory / "store", {"book": lambda a: "again"}) as assistant:
        coordinator = machine.create_coordinator(assistant.hub, model)
        request = ask("Book it", message_id=MESSAGE_ID)
        for _ in range(2):
            assert isinstance((await run_turn(coordinator, request))[-1], TurnFinished)
        messages = await assistant.messages()
    assert_whole(messages)
    assert [m.message_id for m in messages] == [
        MESSAGE_ID,
        *(f"{MESSAGE_ID}/{number}" for number in range(1, len(messages))),
    ]
    assert [bool((m.metadata or {}).get("final")) for m in messages].count(True) == 1
    booked = directory / "booked"
    assert not booked.exists() or booked.read_text(encoding="utf-8") == "booked\n"
    assert assistant.lab.calls == []
    survey = machine.folder.survey()
    assert (survey.waiting, survey.aside) == (0, ())
