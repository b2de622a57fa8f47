"""Whether a `mcp.yml` that was found by itself may do what it says.

Whoever unpacks somebody else's folder and types `agentic chat` in it has not agreed to run its
commands, nor to send keys and conversations to its addresses. What stays on this machine needs no
trust, nor does what the environment set.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from agentic.config.children import runs_our_command
from agentic.config.findings import Findings, KeyPath, dotted, printable
from agentic.config.loopback import is_loopback_url
from agentic.config.models import Config, ServerConfig
from agentic.config.private_files import read_private, update_private
from agentic.config.reach import leads_inside
from agentic.config.tool_source import SourceConfig, is_remote
from agentic.config.tools import ToolConfig
from agentic.config.variables import find_variables
from agentic.config.yaml_text import Tree

_FILE_NAME = "trusted.json"
_TRUSTED = TypeAdapter(dict[str, list[str]])
"""Absolute path of a file → SHA-256 of each content of it that was trusted."""


def needs_trust(config: Config) -> list[str]:
    """What the file would do that nobody agreed to yet, in words; empty: go ahead.

    Raises:
        ConfigError: The list of trusted files can't be read, or is damaged.
    """
    if not config.risks:
        return []
    trusted = read_private(config.config_directory / _FILE_NAME, _TRUSTED)
    return [] if config.sha256 in trusted.get(str(config.path), ()) else list(config.risks)


def trust(config: Config) -> None:
    """Agree to this content of this file, as it was read into `config`.

    Raises:
        ConfigError: That can't be written down.
    """

    def add(trusted: dict[str, list[str]]) -> Mapping[str, list[str]]:
        digests = trusted.get(str(config.path), [])
        return {**trusted, str(config.path): [*digests, config.sha256]}

    if needs_trust(config):
        update_private(config.config_directory / _FILE_NAME, _TRUSTED, add)


def find_risks(config: Config, written: Mapping[str, Tree], findings: Findings) -> tuple[str, ...]:
    """What needs trust. Shown as `written`, before variables were replaced: that is no secret."""
    search = _Search(written, findings)
    risks: list[str] = []
    for name, server in config.servers.items():
        risks += search.find_in_server(name, server) if server.enabled else ()
    for name, tool in _iterate_own(config):
        risks += search.find_in_tool(name, tool)
    for name, source in config.sources.items():
        made = [each.url for each in config.tools.values() if each.source == name]
        risks += search.find_in_source(name, source, made)
    for name, composed in config.composed.items():
        called = [config.tools[each.tool].url for each in composed.steps]
        risks += search.find_in_steps(name, called)
    for name, model in config.models.by_name.items():
        path = ("models", name, "base_url")
        risks += search.find_address(path, model.base_url, "a key and conversations")
    for name in config.agents:
        if sent := search.list_variables(("agents", name)):
            risks.append(f"{dotted(('agents', name))} tells the model {sent}")
    path = ("conversations", "endpoint_url")
    risks += search.find_address(path, config.conversations.endpoint_url, "conversations")
    path = ("bot", "base_url")
    risks += search.find_address(path, config.bot.base_url, "the bot's token and messages")
    return tuple(risks)


def _iterate_own(config: Config) -> Iterator[tuple[str, ToolConfig]]:
    """The tools that have an entry of their own."""
    return ((name, tool) for name, tool in config.tools.items() if tool.source is None)


class _Search:
    """Looks through what was written in a file."""

    def __init__(self, written: Mapping[str, Tree], findings: Findings) -> None:
        self._written = written
        self._findings = findings

    def find_in_server(self, name: str, server: ServerConfig) -> Iterator[str]:
        """Another command, ours with an environment or folder of its own, or a far address."""
        here = ("servers", name)
        from_file = [
            key for key in ("command", "args", "env", "cwd") if self._is_from_file((*here, key))
        ]
        if server.command is not None and from_file:
            words = [self._show((*here, "command")), *self._show_list((*here, "args"))]
            if not runs_our_command(server):
                yield f"{dotted(here)} starts {shlex.join(words)}"
            elif server.env or server.cwd is not None:
                given = ", ".join(key for key in from_file if key in ("env", "cwd"))
                yield f"{dotted(here)} starts our server with {given} of its own"
        yield from self.find_address((*here, "url"), server.url, "conversations")

    def find_in_tool(self, name: str, tool: ToolConfig) -> Iterator[str]:
        """Where a credential is sent, or what the model asks inside of the private network."""
        here: KeyPath = ("tools", name)
        sent = self.list_variables(here)
        if not sent and leads_inside(tool.url, private_network=tool.private_network):
            sent = "what the model asks"
        if sent:
            yield from self.find_address((*here, "url"), tool.url, sent)
        if tool.auth is not None and tool.auth.oauth is not None:
            path = (*here, "auth", "oauth", "token_url")
            yield from self.find_address(path, tool.auth.oauth.token_url, sent or "a credential")

    def find_in_source(self, name: str, source: SourceConfig, urls: Sequence[str]) -> Iterator[str]:
        """Where its document is got, and where its operations are called."""
        here: KeyPath = ("tools", name)
        sent = self.list_variables(here)
        is_private = source.private_network
        if is_remote(source.openapi) and (
            sent or leads_inside(source.openapi, private_network=is_private)
        ):
            yield from self.find_address((*here, "openapi"), source.openapi, sent or "requests")
        if source.auth is not None and source.auth.oauth is not None:
            path = (*here, "auth", "oauth", "token_url")
            yield from self.find_address(path, source.auth.oauth.token_url, sent or "a credential")
        if source.base_url is not None:
            if sent or leads_inside(source.base_url, private_network=is_private):
                asked = sent or "what the model asks"
                yield from self.find_address((*here, "base_url"), source.base_url, asked)
        elif not is_remote(source.openapi) and sent:
            for origin in sorted({_origin_of(url) for url in urls}):
                yield f"{dotted(here)} sends {sent} to {origin}"

    def find_in_steps(self, name: str, urls: Sequence[str]) -> Iterator[str]:
        """Where a variable goes that a tool of steps hands to the tools it calls."""
        here: KeyPath = ("tools", name)
        if sent := self.list_variables(here):
            for origin in sorted({_origin_of(url) for url in urls if not is_loopback_url(url)}):
                yield f"{dotted(here)} sends {sent} to {origin}"

    def find_address(self, path: KeyPath, url: str | None, sent: str) -> Iterator[str]:
        """An address in the file that is not on this machine."""
        if url is not None and self._is_from_file(path) and not is_loopback_url(url):
            yield f"{dotted(path[:-1])} sends {sent} to {self._show(path)}"

    def list_variables(self, path: KeyPath) -> str:
        """The names of the variables that an entry uses, which may hold keys."""
        return ", ".join(sorted(find_variables(self._at(path))))

    def _is_from_file(self, path: KeyPath) -> bool:
        return self._at(path) is not None and self._findings.find_variable(path) is None

    def _at(self, path: KeyPath) -> Tree:
        value: Tree = dict(self._written)
        for part in path:
            value = value.get(str(part)) if isinstance(value, dict) else None
        return value

    def _show(self, path: KeyPath) -> str:
        return printable(str(self._at(path)))

    def _show_list(self, path: KeyPath) -> list[str]:
        values = self._at(path)
        return [printable(str(value)) for value in values] if isinstance(values, list) else []


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
