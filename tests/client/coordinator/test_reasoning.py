"""Signed thoughts go back to the model that made them while its calls go on, and to nobody else."""

from pathlib import Path

import pytest

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from tests.assistant import ask, open_assistant, run_turn
from tests.client.llm.vendors import ANTHROPIC, OPENAI, Vendor
from tests.fakes.anthropic_server import SIGNATURE
from tests.fakes.replies import FakeCall, Say

THOUGHTS = "First \x07 the clock, then…"


async def test_thoughts_go_back_unchanged_with_the_results_of_their_calls(tmp_path: Path) -> None:
    steps = [
        Say("Let me see.", thoughts=THOUGHTS, calls=[FakeCall("lab__read_clock", {})]),
        Say("It is 11."),
        Say("You asked for the time."),
    ]
    async with (
        ANTHROPIC.open_server(*steps) as server,
        open_assistant(tmp_path, {"read_clock": lambda a: "11:00"}) as a,
    ):
        coordinator = Coordinator(a.hub, ANTHROPIC.connect(server.base_url))
        finished = (await run_turn(coordinator, ask("Time?")))[-1]
        await run_turn(coordinator, ask("What did I ask?"))
        requests = server.requests
    assert isinstance(finished, TurnFinished)
    content = requests[1]["messages"][1]["content"]
    assert content[0] == {"type": "thinking", "thinking": THOUGHTS, "signature": SIGNATURE}
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]
    assert "thinking" not in str(requests[2]["messages"]), "a turn that is over needs none"


@pytest.mark.parametrize("vendor", [ANTHROPIC, OPENAI])
async def test_another_model_that_goes_on_is_not_shown_them(tmp_path: Path, vendor: Vendor) -> None:
    call = FakeCall("lab__book", {})
    async with (
        ANTHROPIC.open_server(Say(thoughts=THOUGHTS, calls=[call])) as first,
        vendor.open_server(Say("Nobody knows.")) as second,
        open_assistant(tmp_path, {"book": lambda a: "booked"}) as a,
    ):
        request = ask("Book", message_id="m")
        await run_turn(Coordinator(a.hub, ANTHROPIC.connect(first.base_url)), request)
        other = vendor.connect(second.base_url, model="another-model")
        last = (await run_turn(Coordinator(a.hub, other), request))[-1]
        requests = second.requests
    assert isinstance(last, TurnFinished)
    assert "signature" not in str(requests)
