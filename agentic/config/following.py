"""The declared tools of a configuration file, read again when it changes while a server runs.

Nothing else of the file is ever looked at again: servers and commands stay as they were started.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentic.config.findings import ConfigError, printable
from agentic.config.load import read_again
from agentic.config.locations import read_file
from agentic.config.models import Config
from agentic.config.sources import RemoteDocument, digest_of, list_remote, summarize
from agentic.config.tool_steps import StepsConfig
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
    composed: Mapping[str, StepsConfig] = field(default_factory=dict[str, StepsConfig])
    remote: Mapping[str, RemoteDocument] = field(default_factory=dict[str, RemoteDocument])
    """The documents to get for them."""
    waiting: tuple[str, ...] = ()
    """The entries whose document was not got yet."""


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
    """What the files looked like when all was known that could be."""
    _documents: Mapping[Path, str] = field(init=False)
    _held: tuple[str, Config] | None = field(default=None, init=False)
    """A content that waits for trust."""
    _candidate: str = field(default="", init=False)
    _looks: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        config = self.config
        self._problem = _describe_broken(config)
        self.reading = Reading(
            config.tools,
            self._problem or None,
            config.composed,
            list_remote(config),
            config.waiting_sources,
        )
        self._documents = config.documents
        self._used = config.state
        self._agreed = frozenset(config.risks)

    def look(self) -> Reading | None:
        """The new state of things; None: nothing is new. To be called again and again."""
        path = self.config.path
        if path is None:
            return None
        try:
            signature = (*_sign(path.stat()), *self._sign_documents())
            if signature == self._settled:
                return None
            data = read_file(path)
        except OSError as error:
            return self._miss(f"{printable(str(path))}: can't be read: {error.strerror}")
        except ConfigError as error:
            return self._miss(str(error))
        digest = summarize(data, (digest_of(each) for each in self._documents))
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
        kept = {name: each for name, each in before.items() if _lacks(config, name, each)}
        tools = {**config.tools, **kept}
        if not tools and before and self._looks < _LOOKS_BEFORE_LOSS:
            return None
        self._used, self._settled = config.state, signature
        self._agreed |= set(config.risks)
        self._problem = _describe_broken(config)
        return self._tell(self._problem or None, tools, config)

    def _read(self, digest: str, data: bytes) -> Config:
        if self._held is None or self._held[0] != digest:
            self._held = (digest, read_again(self.config, data, _SECTIONS))
        config = self._held[1]
        self._documents = config.documents
        return config

    def _sign_documents(self) -> Iterator[int]:
        for path in self._documents:
            try:
                yield from _sign(path.stat())
            except OSError:
                yield 0

    def _keep_composed(
        self, config: Config, tools: Mapping[str, ToolConfig]
    ) -> Mapping[str, StepsConfig]:
        """The tools of steps; of those that became wrong the last good form that has its tools."""
        kept = {
            name: each
            for name, each in self.reading.composed.items()
            if name in config.broken_tools and all(step.tool in tools for step in each.steps)
        }
        return {**config.composed, **kept}

    def _tell(
        self,
        problem: str | None,
        tools: Mapping[str, ToolConfig] | None = None,
        config: Config | None = None,
    ) -> Reading | None:
        reading = (
            replace(self.reading, problem=problem)
            if tools is None or config is None
            else Reading(
                tools,
                problem,
                self._keep_composed(config, tools),
                list_remote(config),
                config.waiting_sources,
            )
        )
        if reading == self.reading:
            return None
        self.reading = reading
        return reading


def _sign(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _describe_broken(config: Config) -> str:
    return "; ".join(text for texts in config.broken_tools.values() for text in texts)


def _lacks(config: Config, name: str, tool: ToolConfig) -> bool:
    """Whether the file wants a tool of before that can't be made any more."""
    if name in config.tools:
        return False
    if tool.source is None:
        return name in config.broken_tools
    source = config.sources.get(tool.source)
    is_missed = tool.source in config.broken_tools or tool.source in config.waiting_sources
    return is_missed and (source is None or tool.operation in source.operations)
