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


@pytest.mark.parametrize("step", [90, pytest.param(9, marks=pytest.mark.crash)])
async def test_killed_after_any_number_of_awaits(tmp_path: Path, step: int) -> None:
    deaths = 0
    for awaits in range(1, 2_000, step):
        directory = tmp_path / str(awaits)
        directory.mkdir()
        if not await is_killed(directory, awaits):
            break
        deaths += 1
        await check_answered_once(directory)
    else:
        pytest.fail("the turn never came to its end")
    assert deaths > 2


async def is_killed(directory: Path, awaits: int) -> bool:
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
