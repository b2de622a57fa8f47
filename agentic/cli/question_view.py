"""A question on a terminal: what a call will send, or what a server asks; nothing acts there."""

import sys
import termios
from collections.abc import Collection
from typing import assert_never

from agentic.cli.form_view import Read, Show, ask_form, ask_page
from agentic.cli.input_lines import InputLines
from agentic.cli.invocation import note
from agentic.cli.terminal_text import one_line, to_json
from client.asking.questions import Answer, CallQuestion, FormQuestion, PageQuestion, Question

PROMPT = "Do it? [y/N] "
_VALUE_CHARACTERS = 2_000


def render_question(question: CallQuestion) -> list[str]:
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


async def put(question: Question, show: Show, read: Read) -> Answer:
    """Show the question and read what is answered."""
    match question:
        case CallQuestion():
            for line in render_question(question):
                show(line)
            return parse_answer(await read(PROMPT) or "")
        case FormQuestion():
            return await ask_form(question, show, read)
        case PageQuestion():
            return await ask_page(question, show, read)
        case _:
            assert_never(question)


def drop_typed_ahead() -> None:
    """What was typed before the question was there is no answer to it."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def ask_by_line(question: Question, lines: InputLines) -> Answer:
    """Ask on stderr and read the next lines of a terminal."""
    drop_typed_ahead()
    lines.drop()

    async def read(prompt: str) -> str | None:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        return await lines.next_line()

    return await put(question, note, read)


class CommandAsker:
    """For questions asked by a command: what it allows, else who sits at the terminal."""

    def __init__(self, allowed: Collection[str]) -> None:
        """`allowed`: names of tools as models know them."""
        self.can_ask = all(
            stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)
        )
        self.refused: list[str] = []
        """What nobody could be asked, and what helps."""
        self._allowed = allowed
        self._lines = InputLines()

    async def ask(self, question: Question) -> Answer:
        """Answer at once if the command or nobody can."""
        match question:
            case CallQuestion(tool=tool) if tool in self._allowed:
                return Answer(action="accept")
            case _ if self.can_ask:
                return await ask_by_line(question, self._lines)
            case CallQuestion():
                name = one_line(question.tool, 64)
                self.refused.append(
                    f"{name} needs a yes: run this in a terminal, or with --allow {name}."
                )
            case FormQuestion(server=server) | PageQuestion(server=server):
                self.refused.append(
                    f"The server {one_line(server, 64)} asks something: run this in a terminal."
                )
        return Answer(action="unreachable")
