"""How a turn is shown: in a terminal and as plain text."""

import io
import re
from collections.abc import Sequence

import anyio
import pytest
from rich.console import Console

from agentic.cli.live_view import open_live_view
from agentic.cli.plain_view import PlainTurnView
from client.coordinator.events import (
    StepFinished,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
)
from client.llm.protocol import TextDelta, ThoughtDelta, Usage

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

KEPT = {"name": "re\nport\x1b[2J.pdf", "size": 1234, "uri": "conversation://c/attachments/a"}

TURN: Sequence[TurnEvent] = (
    TurnStarted("c", "t"),
    ThoughtDelta("I had better \x1b[31m"),
    ThoughtDelta("look"),
    TextDelta("Let me see."),
    StepFinished(1, Usage(), has_tool_calls=True),
    ToolStarted("1", "a__good", {"q": "x\x1b]0;owned\x07"}),
    ToolStarted("2", "a__bad", {}),
    ToolFinished("2", "a__bad", is_error=True, text="no \x1b[2Jway\nat all", seconds=0.25),
    ToolFinished("1", "a__good", is_error=False, text="ok", seconds=1.0, kept=[KEPT]),
    TextDelta("Found **it"),
    TextDelta("**.\n\n- one\n- two\x1b"),
    TextDelta("[31m\n\nDone."),
    StepFinished(2, Usage(), has_tool_calls=False),
    TurnFinished("c", "t", "t/1", "Found **it**.\n\n- one\n- two\n\nDone."),
)


class _Screen:
    """What stays on a terminal of this size, as far as our view moves its cursor."""

    def __init__(self, *, columns: int = 60, lines: int = 12) -> None:
        self.output = io.StringIO()
        self.console = Console(
            file=self.output,
            width=columns,
            height=lines,
            force_terminal=True,
            color_system="standard",
            force_interactive=True,
        )

    def text(self) -> str:
        rows = [""]
        row = 0
        for part in re.split(r"(\x1b\[[0-?]*[@-~]|\n|\r)", self.output.getvalue()):
            if part == "\n":
                row += 1
                rows += [""] * (row - len(rows) + 1)
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\x1b[2K":
                rows[row] = ""
            elif not part.startswith(("\x1b", "\r")):
                rows[row] += part
        return "\n".join(line.rstrip() for line in rows)


async def _show(screen: _Screen, events: Sequence[TurnEvent], *, thoughts: bool = True) -> str:
    with anyio.fail_after(10):
        async with open_live_view(screen.console, thoughts=thoughts) as view:
            for event in events:
                view.show(event)
                view.paint()
    return screen.text()


async def test_what_stays_in_the_terminal_is_each_part_once_and_in_order() -> None:
    shown = (await _show(_Screen(), TURN)).split("\n")
    assert [line for line in shown if line] == [
        "I had better look",
        "Let me see.",
        "✗ a__bad() 0.2 s: no way at all",
        '✓ a__good(q="x\\u001b]0;owned\\u0007") 1.0 s',
        "  kept: re port.pdf, 1,234 bytes,",
        "conversation://c/attachments/a",
        "Found it.",
        " • one",
        " • two",
        "Done.",
    ]


async def test_thoughts_can_be_left_out() -> None:
    assert "better" not in await _show(_Screen(), TURN, thoughts=False)


@pytest.mark.parametrize("columns", [1, 20, 200])
async def test_a_reply_longer_than_the_screen_is_shown_whole_and_leaves_no_gap(
    columns: int,
) -> None:
    items = "\n".join(f"{number}. i{number}" for number in range(10, 50))
    pieces = [TextDelta(items[start : start + 7]) for start in range(0, len(items), 7)]
    code = TextDelta("\n\n```\n" + "\n".join(f"c{n}" for n in range(40)) + "\n```\n\nThe end.")
    shown = await _show(_Screen(columns=columns, lines=8), [*pieces, code])
    if columns > 1:
        assert re.findall(r"i\d\d", shown) == [f"i{number}" for number in range(10, 50)]
        assert re.findall(r"c\d+", shown) == [f"c{number}" for number in range(40)]
    if columns == 200:  # where the line that says what is done is one line
        assert "\n\n\n\n" not in shown


async def test_what_was_running_when_the_turn_was_stopped_is_told() -> None:
    shown = await _show(_Screen(), TURN[:7])
    assert "… a__good" in shown
    assert shown.count("was stopped") == 2


async def test_a_failure_is_told_below_what_was_written() -> None:
    failed = TurnFailed("c", "t", "model", "The model \x1b[31mbroke off.", "ab12")
    shown = await _show(_Screen(), [TextDelta("Half an ans"), failed])
    assert " ".join(shown.split()) == "Half an ans The model broke off. (reference ab12)"


async def test_a_reply_that_is_not_stored_yet_is_told_once_in_each_view() -> None:
    events = (TextDelta("Found it."), TurnFinished("c", "t", "t/1", "Found it.", is_stored=False))
    shown = " ".join((await _show(_Screen(), events)).split())
    notes = io.StringIO()
    view = PlainTurnView(io.StringIO(), notes)
    for event in events:
        view.show(event)
    for text in (shown, notes.getvalue()):
        assert text.count("not stored yet") == 1


async def test_a_reply_that_was_stored_before_is_shown_without_being_streamed() -> None:
    assert "Found it." in await _show(_Screen(), [TURN[0], TURN[-1]])


def test_plain_text_has_the_answer_on_one_stream_and_the_rest_on_the_other() -> None:
    answers, notes = io.StringIO(), io.StringIO()
    view = PlainTurnView(answers, notes)
    for event in TURN:
        view.show(event)
    assert answers.getvalue() == "Let me see.\nFound **it**.\n\n- one\n- two\n\nDone.\n"
    assert notes.getvalue().splitlines() == [
        "✗ a__bad() 0.2 s: no way at all",
        '✓ a__good(q="x\\u001b]0;owned\\u0007") 1.0 s',
        "  kept: re port.pdf, 1,234 bytes, conversation://c/attachments/a",
    ]
    assert not _SEQUENCE.search(answers.getvalue() + notes.getvalue())
