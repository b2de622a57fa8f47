"""What a server wrote on its standard error: logged as it comes, the last lines kept."""

import logging
from collections import deque
from collections.abc import Callable

from client.hub.allowance import Allowance
from client.hub.plain_text import clean

logger = logging.getLogger(__name__)

_LINE_CHARACTERS = 500
_KEPT_LINES = 20
_LOGGED_LINES = 200
_LOGGED_LINES_PER_SECOND = 5
"""A server that floods its standard error must not flood our log."""


class Complaints:
    """The standard error of one process."""

    def __init__(self, server: str, scrub: Callable[[str], str]) -> None:
        self._server = server
        self._scrub = scrub
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._rest = b""
        self._logged = Allowance(_LOGGED_LINES, _LOGGED_LINES_PER_SECOND)

    def add(self, chunk: bytes) -> None:
        """Take what was read."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > 4 * _LINE_CHARACTERS:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines[-_LOGGED_LINES:]:
            text = clean(self._scrub(line.decode("utf-8", "replace")), _LINE_CHARACTERS)
            if not text:
                continue
            self._lines.append(text)
            if self._logged.take():
                logger.info("%s: %s", self._server, text)

    def last_words(self) -> str:
        """The last lines, as far as they fit into a sentence."""
        self.add(b"\n")
        words = ""
        for line in reversed(self._lines):
            if words and len(line) + len(words) > _LINE_CHARACTERS:
                break
            words = f"{line} / {words}" if words else line
        return words
