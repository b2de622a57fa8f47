"""A turn on a terminal: finished blocks are printed once, only what may still change is live."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import assert_never

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from agentic.cli.markdown_stream import MarkdownStream, RenderedMarkdown
from agentic.cli.plain_view import (
    NOT_STORED_YET,
    render_answer,
    render_call,
    render_failure,
    render_outcome,
)
from agentic.cli.terminal_text import TextCleaner, one_line
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

_PAINT_SECONDS = 0.08
_IDLE_SHARE = 4
"""Painting a long block takes longer: then it is done less often, a fifth of the time at most."""


class LiveTurnView:
    """Shows the events of one turn; `paint` draws what may still change."""

    def __init__(self, console: Console, live: Live, *, thoughts: bool) -> None:
        self._console = console
        self._live = live
        self._shows_thoughts = thoughts
        self._answer = MarkdownStream()
        self._thoughts = ""
        self._thought_cleaner = TextCleaner()
        self._running: dict[str, str] = {}
        self._began = perf_counter()
        self._last_kind = ""
        self._wrote_answer = False
        self._awaited = ""
        self._asked = anyio.Event()
        self._is_paused = False

    def show(self, event: TurnEvent) -> None:  # noqa: C901 - one case for each event
        """Take in what happened next."""
        self._awaited = ""
        match event:
            case TextDelta(text):
                self._flush_thoughts()
                self._answer.feed(text)
                self._wrote_answer = True
            case ThoughtDelta(text):
                self._thoughts += self._thought_cleaner.feed(text)
            case ToolStarted():
                self._flush()
                self._running[event.call_id] = self._call(event)
            case ToolFinished():
                self._finish_tool(event)
            case StepFinished():
                self._flush()
            case TurnFinished():
                self._finish(event)
            case TurnFailed():
                self._flush()
                self._print("failure", Text(render_failure(event), style="red"))
            case QuestionAsked():
                self._flush()
                self._asked.set()
            case QuestionAnswered():
                if told := render_answer(event):
                    self._print("tool", Text(told, style="yellow"))
            case TurnStarted():
                pass
            case _:
                assert_never(event)

    def wait(self, state: str) -> None:
        """Show that this is waited for until something happens."""
        self._awaited = state

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """The terminal is another's, as soon as all that came before a question is shown."""
        await self._asked.wait()
        self._asked = anyio.Event()
        self._live.update(Group(), refresh=True)
        self._live.stop()
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False
            self._live.start()
            self._last_kind = "question"

    def stop(self) -> None:
        """Print what was written and begun before the turn was stopped."""
        self._flush()
        for call in self._running.values():
            self._print("tool", Text(f"… {call} was stopped: its outcome is unknown", "yellow"))
        self._running.clear()

    def paint(self) -> None:
        """Print the blocks that are finished and draw the rest over what was drawn before."""
        if self._is_paused:
            return
        finished = self._answer.take_finished()
        with self._console:
            if finished.strip():
                self._print("text", RenderedMarkdown(finished))
            self._live.update(Group(*self._unfinished()), refresh=True)

    def _unfinished(self) -> list[RenderableType]:
        height = max(1, self._console.height - len(self._running) - 4)
        parts: list[RenderableType] = []
        if self._shows_thoughts and self._thoughts.strip():
            last_thoughts = self._thoughts[-self._console.width * height :]
            lines = Text(last_thoughts, style="dim").wrap(self._console, self._console.width)
            parts.append(Group(*lines[-height:]))
        if self._answer.unfinished.strip():
            parts.append(RenderedMarkdown(self._answer.unfinished, last_lines=height))
        waiting = list(self._running.values()) or [self._state()]
        parts += [Spinner("dots", text=Text(line, style="dim", no_wrap=True)) for line in waiting]
        if self._last_kind == "text" or (self._last_kind and self._answer.unfinished.strip()):
            parts.insert(0, Text())
        return parts

    def _state(self) -> str:
        if self._awaited:
            return f"{self._awaited} · Ctrl-C stops waiting"
        doing = "thinking" if self._thoughts else "writing" if self._wrote_answer else "waiting"
        return f"{doing} {perf_counter() - self._began:.0f} s · Ctrl-C stops"

    def _finish(self, event: TurnFinished) -> None:
        if not self._wrote_answer:
            self._answer.feed(event.content)
        self._flush()
        if not event.is_stored:
            self._print("notice", Text(NOT_STORED_YET, style="yellow"))

    def _call(self, event: ToolStarted) -> str:
        return render_call(event.tool, event.arguments, max(24, self._console.width - 12))

    def _finish_tool(self, event: ToolFinished) -> None:
        call = self._running.pop(event.call_id, one_line(event.tool))
        style = "yellow" if event.is_error else "dim"
        self._print("tool", Text(render_outcome(event, call), style=style))

    def _flush(self) -> None:
        self._flush_thoughts()
        rest = self._answer.take_rest()
        if rest.strip():
            self._print("text", RenderedMarkdown(rest))

    def _flush_thoughts(self) -> None:
        thoughts = (self._thoughts + self._thought_cleaner.finish()).strip()
        self._thoughts = ""
        if thoughts and self._shows_thoughts:
            self._print("thoughts", Text(thoughts, style="dim italic"))

    def _print(self, kind: str, what: RenderableType) -> None:
        with self._console:  # one write, so nothing flickers
            # What is printed pushes up what is live: that has to go first, or its lines stay blank.
            self._live.update(Group(), refresh=True)
            if self._last_kind and (kind != self._last_kind or kind == "text"):
                self._console.print()
            self._console.print(what)
        self._last_kind = kind


@asynccontextmanager
async def open_live_view(console: Console, *, thoughts: bool) -> AsyncGenerator[LiveTurnView]:
    """A view that is painted while the context lasts; what was live is gone at its end."""
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
    )
    with live:
        view = LiveTurnView(console, live, thoughts=thoughts)
        async with anyio.create_task_group() as painting:
            painting.start_soon(_keep_painting, view)
            try:
                yield view
            finally:
                painting.cancel_scope.cancel()
                view.stop()
                live.update(Group(), refresh=True)


async def _keep_painting(view: LiveTurnView) -> None:
    while True:
        began = perf_counter()
        view.paint()
        spent = perf_counter() - began
        await anyio.sleep(max(_PAINT_SECONDS, spent * _IDLE_SHARE))
