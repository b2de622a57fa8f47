"""A turn that is cancelled at any of its awaits leaves a whole history behind."""

from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from client.coordinator.request import TurnRequest
from client.llm.scripted import ScriptedModel
from tests.assistant import ask, assert_whole, calls, open_assistant, run_turn, said


@pytest.mark.parametrize("resumable", [False, True])
async def test_cancelled_after_any_number_of_awaits(tmp_path: Path, resumable: bool) -> None:
    booked: list[str] = []

    def book(arguments: dict[str, str]) -> str:
        booked.append(arguments["seat"])
        return "booked"

    ended_by_itself = False
    awaits = 0
    async with open_assistant(tmp_path, {"book": book, "read_n": lambda a: "n"}) as a:
        while awaits < 1_000_000:
            seat = str(awaits)
            model = ScriptedModel(
                [calls(("book", {"seat": seat}), ("read_n", {}), text="One moment."), said("Done.")]
            )
            request = ask(
                "Book it", conversation_id=seat, message_id=f"m{seat}", resumable=resumable
            )
            with anyio.fail_after(20):
                ended_by_itself = await cancel_after(awaits, Coordinator(a.hub, model), request)
            messages = await a.messages(seat)
            if not resumable:
                assert_whole(messages)
            assert [m.message_id for m in messages] == [
                f"m{seat}",
                *(f"m{seat}/{n}" for n in range(1, len(messages))),
            ][: len(messages)]
            assert booked.count(seat) <= 1
            if messages:
                again = ScriptedModel([said("Answered later."), said("Again.")])
                last = (await run_turn(Coordinator(a.hub, again), request))[-1]
                assert isinstance(last, TurnFinished)
                assert_whole(await a.messages(seat))
                assert booked.count(seat) <= 1
            if ended_by_itself:
                break
            # How many awaits a turn takes depends on how long the disk takes.
            awaits += max(7, awaits // 20)
    assert ended_by_itself, "the scan must reach the end of the turn"


async def cancel_after(awaits: int, coordinator: Coordinator, request: TurnRequest) -> bool:
    """Whether the turn was over before it was cancelled."""
    finished = False

    async def turn() -> None:
        nonlocal finished
        await run_turn(coordinator, request)
        finished = True
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(turn)
        for _ in range(awaits):
            await checkpoint()
        if not finished:
            group.cancel_scope.cancel()
    return finished
