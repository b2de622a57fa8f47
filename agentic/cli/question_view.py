"""A question about a call on a terminal: what will be sent, and nothing that acts there."""

import sys
import termios
from collections.abc import Collection

from agentic.cli.input_lines import InputLines
from agentic.cli.invocation import note
from agentic.cli.terminal_text import one_line, to_json
from client.asking.questions import Answer, Question

PROMPT = "Do it? [y/N] "
_VALUE_CHARACTERS = 2_000


def render_question(question: Question) -> list[str]:
    """Which tool with which arguments, and why this is asked."""
    lines = [f"? {one_line(question.tool, 64)} waits for your yes: {question.reason}."]
    for name, value in question.arguments.items():
        text = to_json(value, indent=None)
        left_out = len(text) - _VALUE_CHARACTERS
        more = f"… and {left_out:,} more characters" if left_out > 0 else ""
        lines.append(f"    {one_line(name, 64)}: {text[:_VALUE_CHARACTERS]}{more}")
    return lines


def parse_answer(text: str) -> Answer:
    """Only a plain yes is one."""
    is_yes = text.strip().lower() in ("y", "yes")
    return Answer(action="accept" if is_yes else "decline")


def drop_typed_ahead() -> None:
    """What was typed before the question was there is no answer to it."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def ask_by_line(question: Question, lines: InputLines) -> Answer:
    """Ask on stderr and read the next line of a terminal."""
    drop_typed_ahead()
    lines.drop()
    for line in render_question(question):
        note(line)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return parse_answer(await lines.next_line() or "")


class CommandAsker:
    """For one question asked by a command: what it allows, else who sits at the terminal."""

    def __init__(self, allowed: Collection[str]) -> None:
        """`allowed`: names of tools as models know them."""
        self.refused: list[str] = []
        """Tools that nobody could be asked about."""
        self._allowed = allowed
        self._lines = InputLines()

    async def ask(self, question: Question) -> Answer:
        """Answer at once if the command or nobody can."""
        if question.tool in self._allowed:
            return Answer(action="accept")
        if all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
            return await ask_by_line(question, self._lines)
        self.refused.append(question.tool)
        return Answer(action="unreachable")
