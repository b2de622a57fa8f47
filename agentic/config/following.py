"""The declared tools of a configuration file, read again when it changes while a server runs.

Nothing else of the file is ever looked at again: servers and commands stay as they were started.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentic.config.findings import ConfigError, printable
from agentic.config.load import read_again
from agentic.config.locations import read_file
from agentic.config.models import Config
from agentic.config.tools import ToolConfig
from agentic.config.trust import needs_trust

_SECTIONS = ("tools",)
_LOOKS_BEFORE_USE = 2
"""A file that says the same twice is not being written just now, as far as one can know."""
_LOOKS_BEFORE_LOSS = 10
"""Before all tools go: a file may be cut or away for a moment while an editor saves it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The tools as they are to be served, and why they are not what the file says now."""

    tools: Mapping[str, ToolConfig]
    problem: str | None = None


@dataclass(slots=True)
class FollowedTools:
    """What `config.path` declares under `tools:`, beginning with what was read at the start.

    A change that can't be used leaves the last good tools, and so does one of a file that was found
    by itself if it would do what nobody agreed to: until `agentic trust` was run on it.
    """

    config: Config
    reading: Reading = field(init=False)
    _used: str = field(init=False)
    _problem: str = field(default="", init=False)
    """What was wrong in the content that is used."""
    _agreed: frozenset[str] = field(init=False)
    _settled: tuple[int, ...] | None = field(default=None, init=False)
    """What the file looked like when all was known that could be."""
    _held: tuple[str, Config] | None = field(default=None, init=False)
    """A content that waits for trust."""
    _candidate: str = field(default="", init=False)
    _looks: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.reading = Reading(self.config.tools)
        self._used = self.config.sha256
        self._agreed = frozenset(self.config.risks)

    def look(self) -> Reading | None:
        """The new state of things; None: nothing is new. To be called again and again."""
        path = self.config.path
        if path is None:
            return None
        try:
            found = path.stat()
            signature = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if signature == self._settled:
                return None
            data = read_file(path)
        except OSError as error:
            return self._miss(f"{printable(str(path))}: can't be read: {error.strerror}")
        except ConfigError as error:
            return self._miss(str(error))
        digest = hashlib.sha256(data).hexdigest()
        if self._count(digest) < _LOOKS_BEFORE_USE:
            return None
        return self._take_up(digest, data, signature)

    def _count(self, candidate: str) -> int:
        self._looks = self._looks + 1 if candidate == self._candidate else 1
        self._candidate = candidate
        return self._looks

    def _miss(self, problem: str) -> Reading | None:
        return self._tell(problem) if self._count("") >= _LOOKS_BEFORE_LOSS else None

    def _take_up(self, digest: str, data: bytes, signature: tuple[int, ...]) -> Reading | None:
        if digest == self._used:
            self._settled = signature
            return self._tell(self._problem or None)
        try:
            config = self._read(digest, data)
            risks = [each for each in needs_trust(config) if each not in self._agreed]
        except ConfigError as error:
            self._settled = signature
            return self._tell(str(error))
        if risks:  # not settled: somebody may agree to it
            return self._tell(
                f"{printable(str(config.path))} changed and is not trusted. By it, "
                f"{'; '.join(risks)}. Allow that with `agentic trust`"
            )
        # A declaration that can't be used costs its change; its tool stays as it was.
        before = self.reading.tools
        kept = {name: before[name] for name in config.broken_tools if name in before}
        tools = {**config.tools, **kept}
        if not tools and before and self._looks < _LOOKS_BEFORE_LOSS:
            return None
        self._used, self._settled = digest, signature
        self._agreed |= set(config.risks)
        self._problem = "; ".join(text for texts in config.broken_tools.values() for text in texts)
        return self._tell(self._problem or None, tools)

    def _read(self, digest: str, data: bytes) -> Config:
        if self._held is None or self._held[0] != digest:
            self._held = (digest, read_again(self.config, data, _SECTIONS))
        return self._held[1]

    def _tell(
        self, problem: str | None, tools: Mapping[str, ToolConfig] | None = None
    ) -> Reading | None:
        reading = Reading(self.reading.tools if tools is None else tools, problem)
        if reading == self.reading:
            return None
        self.reading = reading
        return reading
