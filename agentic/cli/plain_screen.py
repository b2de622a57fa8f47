"""A talk without a terminal that could do more: a line in, the answer out, no control sequences."""

import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import anyio

from agentic.cli.input_lines import InputLines, outliving_interrupts
from agentic.cli.invocation import note
from agentic.cli.plain_view import PlainTurnView
from agentic.cli.question_view import ask_by_line
from agentic.cli.screen import render_unsent
from client.asking.questions import Answer, Question


class PlainScreen:
    """Standard streams: answers on stdout, everything else on stderr."""

    interrupt_leaves = True

    def __init__(self) -> None:
        self._lines = InputLines()
        self.can_ask = sys.stdin is not None and sys.stdin.isatty()

    async def next_line(self) -> str | None:
        """The next line of stdin."""
        if self.can_ask:
            sys.stderr.write("> ")
            sys.stderr.flush()
        return await self._lines.next_line()

    async def say(self, lines: Iterable[str]) -> None:
        """Write on stderr."""
        for line in lines:
            note(line)

    async def ask(self, question: Question) -> Answer:
        """Ask at a terminal; what is piped in are messages, and no answers."""
        if not self.can_ask:
            return Answer(action="unreachable")
        return await ask_by_line(question, self._lines)

    @asynccontextmanager
    async def open_turn(self) -> AsyncGenerator[PlainTurnView]:
        """A view that writes as it goes; at a terminal, what is typed meanwhile waits."""
        view = PlainTurnView(sys.stdout, sys.stderr)
        if not self.can_ask:
            yield view
            return
        with outliving_interrupts():
            try:
                yield view
            except anyio.get_cancelled_exc_class():
                for line in render_unsent(self._lines.take_typed_ahead()):
                    note(line)
                raise
