"""What a talk needs of the place where it happens: a terminal, or plain streams."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from agentic.cli.terminal_text import one_line
from client.asking.questions import Answer, Question
from client.coordinator.events import TurnEvent

_MAX_SHOWN_CHARACTERS = 200


class TurnView(Protocol):
    """Shows one turn."""

    def show(self, event: TurnEvent) -> None:
        """Show what happened next."""
        ...

    def wait(self, state: str) -> None:
        """Show what is waited for before anything can happen."""
        ...


class Screen(Protocol):
    """Where a person writes and reads."""

    @property
    def interrupt_leaves(self) -> bool:
        """Whether Ctrl-C while no turn runs ends the talk."""
        ...

    @property
    def can_ask(self) -> bool:
        """Whether there is a person who could answer a question."""
        ...

    async def next_line(self) -> str | None:
        """What was written next; None: the person leaves."""
        ...

    async def say(self, lines: Iterable[str]) -> None:
        """Show lines of our own, also while the person writes."""
        ...

    async def ask(self, question: Question) -> Answer:
        """Put a question to the person, while a turn is shown."""
        ...

    def open_turn(self) -> AbstractAsyncContextManager[TurnView]:
        """Where a turn is shown, as long as it lasts."""
        ...


def render_unsent(lines: Iterable[str]) -> list[str]:
    """What was typed ahead of a turn that is stopped: to send it unasked would surprise."""
    return [f"Not sent: {one_line(line, _MAX_SHOWN_CHARACTERS)}" for line in lines]
