"""A turn whose process is killed at any of its awaits is answered once when it is run again."""

import signal
import sys
from pathlib import Path

import anyio
import pytest

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from client.llm.scripted import ScriptedModel
from tests.assistant import ask, assert_whole, open_assistant, run_turn, said
from tests.client.coordinator.dying_turn import MESSAGE_ID


@pytest.mark.slow
@pytest.mark.parametrize("growth", [2.5, pytest.param(1.1, marks=pytest.mark.crash)])
async def test_killed_after_any_number_of_awaits(tmp_path: Path, growth: float) -> None:
    awaits, deaths = 20, 0
    while await is_killed(tmp_path / str(awaits), awaits):
        deaths += 1
        await check_answered_once(tmp_path / str(awaits))
        # How many awaits a turn takes depends on how long the disk takes.
        awaits = int(awaits * growth) + 1
        assert awaits < 1_000_000, "the turn never came to its end"
    assert deaths > 2


async def is_killed(directory: Path, awaits: int) -> bool:
    directory.mkdir()
    module = "tests.client.coordinator.dying_turn"
    with anyio.fail_after(30):
        ended = await anyio.run_process(
            [sys.executable, "-m", module, str(directory), str(awaits)], check=False
        )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()
    return ended.returncode != 0


async def check_answered_once(directory: Path) -> None:
    model = ScriptedModel([said("I can't tell whether it is booked.")] * 2)
    async with open_assistant(directory / "store", {"book": lambda a: "again"}) as assistant:
        coordinator = Coordinator(assistant.hub, model)
        request = ask("Book it", message_id=MESSAGE_ID)
        for _ in range(2):
            assert isinstance((await run_turn(coordinator, request))[-1], TurnFinished)
        messages = await assistant.messages()
    assert_whole(messages)
    assert [m.role for m in messages].count("user") == 1
    assert [bool((m.metadata or {}).get("final")) for m in messages].count(True) == 1
    booked = directory / "booked"
    assert not booked.exists() or booked.read_text(encoding="utf-8") == "booked\n"
    assert assistant.lab.calls == []
