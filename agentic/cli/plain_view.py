"""A turn as plain text: the answer on one stream as it is written, the rest on another."""

import json
import time
from collections.abc import Mapping
from typing import Any, TextIO, assert_never

from agentic.cli.terminal_text import TextCleaner, clean, one_line
from client.asking.questions import CallQuestion, FormQuestion, PageQuestion
from client.coordinator.events import (
    QuestionAnswered,
    QuestionAsked,
    StepFinished,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
)
from client.llm.protocol import TextDelta, ThoughtDelta

NOT_STORED_YET = (
    "This answer is not stored yet: the conversation store is away. It waits on this machine, and "
    "is stored when the store is back; `agentic doctor` shows what waits."
)
_WAITING_LINE_SECONDS = 5.0
_MAX_URI_CHARACTERS = 4_096


class PlainTurnView:
    """Shows the events of one turn, without control sequences; `answers` None: not the answer."""

    def __init__(self, answers: TextIO | None, notes: TextIO) -> None:
        self._answers = answers
        self._notes = notes
        self._cleaner = TextCleaner()
        self._at_line_start = True
        self._wrote_answer = False
        self._arguments: dict[str, str] = {}
        self._awaited = ""
        self._told_at = 0.0

    def show(self, event: TurnEvent) -> None:  # noqa: C901 - one case for each event
        """Show what happened next."""
        match event:
            case TextDelta(text):
                self._write(self._cleaner.feed(text))
            case ToolStarted():
                self._arguments[event.call_id] = render_call(event.tool, event.arguments)
            case ToolFinished():
                call = self._arguments.pop(event.call_id, one_line(event.tool))
                self._note(render_outcome(event, call))
            case StepFinished():
                self._end_line()
            case TurnFinished():
                if not self._wrote_answer:
                    self._write(clean(event.content))
                self._end_line()
                if not event.is_stored:
                    self._note(NOT_STORED_YET)
            case TurnFailed():
                self._end_line()
                self._note(render_failure(event))
            case QuestionAnswered():
                self._end_line()
                if told := render_answer(event):
                    self._note(told)
            case TurnStarted() | ThoughtDelta() | QuestionAsked():
                pass
            case _:
                assert_never(event)

    def wait(self, state: str) -> None:
        """Say now and then what is waited for."""
        what, now = state.partition(":")[0], time.monotonic()
        if what != self._awaited or now - self._told_at >= _WAITING_LINE_SECONDS:
            self._awaited, self._told_at = what, now
            self._note(f"{state} …")

    def _write(self, text: str) -> None:
        if text and self._answers:
            self._answers.write(text)
            self._answers.flush()
            self._wrote_answer = True
            self._at_line_start = text.endswith("\n")

    def _end_line(self) -> None:
        self._write(self._cleaner.finish())
        if not self._at_line_start:
            self._write("\n")

    def _note(self, line: str) -> None:
        self._notes.write(line + "\n")
        self._notes.flush()


def render_call(tool: str, arguments: Mapping[str, Any], max_width: int = 100) -> str:
    """A tool's call on one line, such as `tools__current_time(timezone="Europe/Rome")`."""
    given = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in arguments.items()
    )
    return f"{one_line(tool, 64)}({one_line(given, max(1, max_width - len(tool) - 2))})"


def render_outcome(event: ToolFinished, call: str) -> str:
    """How a tool's call ended, on one line; why, if it failed. Below it each file that is kept."""
    line = f"✓ {call} {event.seconds:.1f} s"
    if event.is_error:
        line = f"✗ {call} {event.seconds:.1f} s: {one_line(event.text)}"
    return "\n".join([line, *map(_render_kept, event.kept)])


def _render_kept(link: Mapping[str, Any]) -> str:
    uri = one_line(link["uri"], _MAX_URI_CHARACTERS)
    return f"  kept: {one_line(link['name'])}, {link['size']:,} bytes, {uri}"


def render_answer(event: QuestionAnswered) -> str | None:
    """Why a call was not made or a server not answered, on one line; None if it was."""
    reasons = {
        "decline": "you declined",
        "cancel": "you stopped here",
        "expired": "no answer came in time",
        "unreachable": "it needs a yes, and nobody can be asked here",
    }
    reason = reasons.get(event.answer.action)
    if reason is None:
        return None
    match event.question:
        case CallQuestion(tool=tool):
            return f"✗ {one_line(tool, 64)} was not called: {reason}"
        case FormQuestion(server=server) | PageQuestion(server=server):
            reason = reason.replace("it needs a yes, and nobody", "nobody")
            return f"✗ {one_line(server, 64)} got no answer: {reason}"


def render_failure(event: TurnFailed) -> str:
    """Why there is no reply, and under which reference the log has more."""
    reference = f" (reference {one_line(event.reference)})" if event.reference else ""
    return one_line(event.message, 2_000) + reference
