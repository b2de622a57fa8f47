"""What is to be done to a table, in words and as a call."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Step(NamedTuple):
    """Something that is missing, and what brings it about."""

    text: str
    """What is so afterwards."""
    act: Callable[[], Awaitable[None]]
