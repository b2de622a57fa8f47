"""What a source of weights does: it gives parts of the file."""

from collections.abc import Callable, Sequence
from typing import Protocol

from client.weights.partial import Part, PartialFile


class Source(Protocol):
    """Somewhere weights come from."""

    @property
    def retry_delays(self) -> Sequence[float]:
        """Seconds to wait before each further attempt at a part that does not get ahead."""
        ...

    async def fetch(
        self, part: Part, partial: PartialFile, on_arriving: Callable[[int], None]
    ) -> None:
        """Bring in what is missing of a part; several are fetched at once.

        `on_arriving` is told how much of the part is underway where it isn't written yet. Ends
        early only by an error; what came until then is kept.

        Raises:
            SourceError: It did not come whole.
            OSError: It can't be written.
        """
        ...
