"""A conversation as it was at some moment, to be read without its lock."""

import os
from dataclasses import dataclass

from servers.conversations.file_history import History
from servers.conversations.file_records import Facts, Progress


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation as it was, whatever is appended to it meanwhile. Whoever takes it closes it.

    When it is rewritten or deleted meanwhile, reading may raise `FileNotFoundError`.
    """

    history: History
    generation: int
    end: int
    progress: Progress
    facts: Facts

    def close(self) -> None:
        """Close its file."""
        os.close(self.history.fd)
