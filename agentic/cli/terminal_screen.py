"""A talk in a terminal: line editing and history below, Markdown as it is written above."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from rich.console import Console
from rich.text import Text

from agentic.cli.input_lines import outliving_interrupts, take_typed_ahead, without_echo
from agentic.cli.live_view import LiveTurnView, open_live_view
from agentic.cli.question_view import drop_typed_ahead, put
from agentic.cli.screen import render_unsent
from agentic.cli.terminal_text import clean
from client.asking.questions import Answer, Question

_MAX_KEPT_CHARACTERS = 10_000
"""A longer input is a document that was pasted: it is not kept for the arrow keys."""


class TerminalScreen:
    """A terminal that can move its cursor. While a line is written, Ctrl-C is a key like others."""

    interrupt_leaves = False
    """As a signal it can only have come too late for a turn."""
    can_ask = True

    def __init__(self, history_file: Path, *, thoughts: bool) -> None:
        self._console = Console(highlight=False)
        self._thoughts = thoughts
        self._view: LiveTurnView | None = None
        """Of the turn that was shown last."""
        self._session: PromptSession[str] = PromptSession(
            history=_open_history(history_file),
            key_bindings=_create_keys(),
            output=_create_output(),
        )

    async def next_line(self) -> str | None:
        """What was written; several lines if they were pasted, or made with Alt-Enter."""
        while True:
            try:
                line = await self._session.prompt_async(
                    FormattedText([("bold", "> ")]), handle_sigint=False
                )
            except EOFError:
                return None
            except KeyboardInterrupt:
                if not self._session.default_buffer.text:
                    self._console.print(Text("To leave: Ctrl-D or /quit", style="dim"))
                continue
            return line.encode("utf-8", "replace").decode()

    async def say(self, lines: Iterable[str]) -> None:
        """Print above the line that is being written."""
        text = Text(clean("\n".join(lines)), style="dim")
        if text:
            await run_in_terminal(lambda: self._console.print(text))

    async def ask(self, question: Question) -> Answer:
        """Ask below what is shown. Ctrl-C puts the question away, and Ctrl-D says no."""
        assert self._view is not None, "questions come in a turn"
        async with self._view.paused():
            drop_typed_ahead()
            # A session of its own: an answer is nothing for the arrow keys.
            prompt: PromptSession[str] = PromptSession(output=_create_output())

            async def read(label: str) -> str | None:
                try:
                    return await prompt.prompt_async(label, handle_sigint=False)
                except EOFError:
                    return None

            try:
                return await put(question, self._show_question, read)
            except KeyboardInterrupt:
                return Answer("cancel")

    def _show_question(self, line: str) -> None:
        self._console.print(Text(line, style="bold"))

    @asynccontextmanager
    async def open_turn(self) -> AsyncGenerator[LiveTurnView]:
        """A view that is painted; what is typed meanwhile waits for the next line."""
        with without_echo(), outliving_interrupts():
            try:
                async with open_live_view(self._console, thoughts=self._thoughts) as view:
                    self._view = view
                    yield view
            except anyio.get_cancelled_exc_class():
                for line in render_unsent(take_typed_ahead()):
                    self._console.print(Text(line, style="dim"))
                raise
        self._console.print()


def _create_output() -> Output:
    """Stdout, without asking the terminal where its cursor is.

    A terminal that never answers would hold up each line for a second, and a late answer
    would be taken for input.
    """
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output


class _InputHistory(FileHistory):
    def store_string(self, string: str) -> None:
        if len(string) <= _MAX_KEPT_CHARACTERS:
            super().store_string(string.encode("utf-8", "replace").decode())


def _open_history(file: Path) -> History:
    """The history in `file`, for its owner's eyes only; in memory where there can't be a file."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _InputHistory(file)


def _create_keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def break_line(event: KeyPressEvent) -> None:  # pyright: ignore[reportUnusedFunction] - bound above
        event.current_buffer.insert_text("\n")

    return keys
