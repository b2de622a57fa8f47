"""How far a pull has come, how fast it is, and how long it will take."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import anyio

from client.weights.partial import Part, PartialFile

_TELL_SECONDS = 0.25
_WINDOW_SECONDS = 10.0

Phase = Literal["connecting", "fetching", "verifying"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a pull."""

    phase: Phase
    source: str
    """Where from, for people: `Hugging Face`; empty when verifying."""
    done_bytes: int
    """Fetched, what earlier pulls brought included; or, when verifying, read."""
    total_bytes: int
    bytes_per_second: float | None = None
    """Over the last seconds; None until it is known."""
    news: str = ""
    """A sentence for the person, given once: why a source isn't used."""

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None while it is unknown or nothing comes."""
        if not self.bytes_per_second:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second


OnProgress = Callable[[Progress], None]


class ProgressTeller:
    """Tells how a pull goes, at what happens and four times a second."""

    def __init__(self, total_bytes: int, on_progress: OnProgress) -> None:
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self._phase: Phase = "connecting"
        self._source = ""
        self._partial: PartialFile | None = None
        self._read_bytes = 0
        self._arriving: dict[Part, int] = {}
        self._readings: deque[tuple[float, int]] = deque()

    def begin(self, phase: Phase, source: str = "", partial: PartialFile | None = None) -> None:
        """Something else begins."""
        self._phase, self._source, self._partial = phase, source, partial
        self._read_bytes = 0
        self._arriving.clear()
        self._readings.clear()
        self.tell()

    def note_arriving(self, part: Part, arriving_bytes: int) -> None:
        """So much of a part is underway, but not in the file yet."""
        self._arriving[part] = arriving_bytes

    def tell_read(self, read_bytes: int) -> None:
        """So much was read to verify it."""
        self._read_bytes = read_bytes
        self.tell()

    async def tell_on(self) -> None:
        """Tell until cancelled."""
        while True:
            self.tell()
            await anyio.sleep(_TELL_SECONDS)

    def tell(self, news: str = "") -> None:
        """Tell how it is now."""
        done = self._count_done()
        rate = self._measure(done)
        self._on_progress(Progress(self._phase, self._source, done, self._total_bytes, rate, news))

    def _count_done(self) -> int:
        partial = self._partial
        if partial is None:
            return self._read_bytes
        return sum(
            max(partial.count_done(part), self._arriving.get(part, 0)) for part in partial.parts
        )

    def _measure(self, done: int) -> float | None:
        now = time.monotonic()
        self._readings.append((now, done))
        while now - self._readings[0][0] > _WINDOW_SECONDS:
            self._readings.popleft()
        began, done_then = self._readings[0]
        return max(0, done - done_then) / (now - began) if now > began else None
