"""`mcp.yml` and the environment → `Config`: found, read, overridden, expanded, checked."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from agentic.config.findings import ConfigError, Findings, KeyPath, printable
from agentic.config.locations import (
    FoundFile,
    config_directory,
    decode_text,
    find_current_folder,
    find_file,
    find_home,
    read_file,
)
from agentic.config.models import Config
from agentic.config.overrides import apply_overrides
from agentic.config.parse import parse_config
from agentic.config.shape import ROOT
from agentic.config.sift import Sieve
from agentic.config.sources import find_copy, read_sources, summarize
from agentic.config.tool_source import is_remote
from agentic.config.tool_steps import check_steps
from agentic.config.trust import find_risks
from agentic.config.variables import Expansion, find_variables
from agentic.config.yaml_text import Tree, YamlTextError, parse_yaml

_OUR_SERVERS: Mapping[str, dict[str, Tree]] = {
    "conversations": {
        "command": "agentic",
        "args": ["serve", "conversations"],
        "offer_to_model": ["search_conversations", "read_attachment"],
    },
    "tools": {"command": "agentic", "args": ["serve", "tools"]},
}
_IN_DATA_DIRECTORY = (("conversations", "directory", "conversations"),)


def load_config(
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    sections: Collection[str] | None = None,
) -> Config:
    """Read the configuration for a program that was started with `environ` in `cwd`.

    The file is `MCP_CONFIG_PATH`, else `./mcp.yml`, else `~/.config/agentic/mcp.yml`, else there is
    none and defaults hold. `AGENTIC_…` variables win over it. What can be lived with stands in
    `Config.warnings`.

    Our own servers are there in any case: an entry under `servers:` by the name of one changes it
    (`conversations: {timeout: 5}`), and `enabled: false` leaves it out. Of the tools of
    `conversations` only search is offered to the model unless the entry says more: some delete.

    A credential whose variable is not set (a tool's `token` or header, a server's header or
    variable, the bot's token) is left out, and its tool or server says so in `missing_variables`.
    Anywhere else an unset variable is an error.

    Args:
        environ: The process's environment; nothing else is read.
        cwd: The current folder, if it is not the process's.
        sections: The only top-level sections this program uses. The others keep their defaults, and
            neither their mistakes nor their variables matter; a section that nobody knows is told.

    Raises:
        ConfigError: The configuration can't be used; names everything that was found wrong.
    """
    home = find_home(environ)
    cwd = find_current_folder() if cwd is None else cwd.absolute()
    found = find_file(environ, cwd, home)
    return _read(environ, found, b"" if found is None else read_file(found.path), cwd, sections)


def read_again(config: Config, data: bytes, sections: Collection[str]) -> Config:
    """What the file of `config` would make of the same program if it held `data`.

    Raises:
        ConfigError: It can't be used; names everything that was found wrong.
    """
    if config.path is None:
        raise ConfigError("there was no configuration file")
    found = FoundFile(config.path, by_itself=config.found_by_itself)
    return _read(config.environment, found, data, find_current_folder(), sections)


def _read(
    environ: Mapping[str, str],
    found: FoundFile | None,
    data: bytes,
    cwd: Path,
    sections: Collection[str] | None,
) -> Config:
    home = find_home(environ)
    file_tree, lines = _parse_file(found, data)
    findings = Findings(None if found is None else found.path, lines)

    tree = _select(file_tree, sections)
    tree = _add_our_servers(apply_overrides(tree, environ, findings, sections))
    expansion = Expansion(environ, findings)
    sieve = Sieve(findings, cwd if found is None else found.path.parent, cwd, home)
    sifted = sieve.sift_mapping(expansion.expand_mapping(tree))
    completed = _add_directories(sifted, home)
    parsed = parse_config(completed, expansion.missing, findings)
    config = _check_steps(_add_sources(parsed, findings), findings)

    found_by_itself = found is not None and found.by_itself
    return config.model_copy(
        update={
            "path": findings.file,
            "found_by_itself": found_by_itself,
            "sha256": summarize(data, _list_beside(config)),
            "state": summarize(data, config.documents.values()),
            "risks": find_risks(config, tree, findings) if found_by_itself else (),
            "warnings": findings.warnings,
            "config_directory": config_directory(home),
            "section_variables": {name: find_variables(part) for name, part in file_tree.items()},
            "environment": MappingProxyType(dict(environ)),
        }
    )


def _add_sources(config: Config, findings: Findings) -> Config:
    """With the tools of the sources; what is wrong with one costs what it is about."""
    if not config.sources:
        return config
    read = read_sources(config, findings)
    broken = {**config.broken_tools, **findings.take_errors_below("tools")}
    return config.model_copy(
        update={
            "tools": {**config.tools, **read.tools},
            "waiting_sources": tuple(read.waiting),
            "documents": read.digests,
            "broken_tools": broken,
        }
    )


def _check_steps(config: Config, findings: Findings) -> Config:
    """Without the tools of steps that call what isn't there."""
    for name, problem in check_steps(config.composed, config.tools):
        findings.add_error(("tools", name, *problem.path), problem.text)
    wrong = findings.take_errors_below("tools")
    if not wrong:
        return config
    kept = {name: each for name, each in config.composed.items() if name not in wrong}
    broken = {**config.broken_tools, **wrong}
    return config.model_copy(update={"composed": kept, "broken_tools": broken})


def _list_beside(config: Config) -> Iterator[str]:
    """The digests of documents that are files, which somebody gave away with the configuration."""
    for source in config.sources.values():
        if not is_remote(source.openapi):
            yield config.documents[find_copy(source, config.data_directory)]


def _parse_file(
    found: FoundFile | None, data: bytes
) -> tuple[dict[str, Tree], Mapping[KeyPath, int]]:
    """The sections and the lines they stand on; an empty file has none.

    Raises:
        ConfigError: It is no YAML, or something else than sections.
    """
    if found is None:
        return {}, {}
    shown = printable(str(found.path))
    try:
        document = parse_yaml(decode_text(data, found.path))
    except YamlTextError as error:
        raise ConfigError(f"{shown}: {error}") from None
    match document.tree:
        case dict() as tree:
            return tree, document.lines
        case None:
            return {}, {}
        case _:
            raise ConfigError(f"{shown}: should hold sections, such as `servers:` and `tools:`")


def _select(tree: dict[str, Tree], sections: Collection[str] | None) -> dict[str, Tree]:
    # What nobody knows is told in any case, and what it holds doesn't matter.
    unknown: dict[str, Tree] = {name: None for name in tree if name not in ROOT.names}
    wanted = ROOT.names.keys() if sections is None else sections
    return unknown | {name: part for name, part in tree.items() if name in wanted}


def _add_our_servers(tree: dict[str, Tree]) -> dict[str, Tree]:
    servers = tree.get("servers")
    if servers is None:
        servers = {}
    if not isinstance(servers, dict):
        return tree
    completed: dict[str, Tree] = {**_OUR_SERVERS, **servers}
    for name, ours in _OUR_SERVERS.items():
        entry = completed[name]
        if entry is None:
            completed[name] = ours
        elif isinstance(entry, dict):
            has_way = entry.get("command") is not None or entry.get("url") is not None
            kept = ("offer_to_model",) if has_way else tuple(ours)
            completed[name] = {key: ours[key] for key in kept if key in ours} | entry
    return {**tree, "servers": completed}


def _add_directories(tree: dict[str, Tree], home: Path) -> dict[str, Tree]:
    """What lies below the home or the data directory unless it is told otherwise."""
    data = tree.get("data_directory", str(home / ".local" / "share" / "agentic"))
    cache = tree.get("cache_directory", str(home / ".cache" / "agentic"))
    completed = {**tree, "data_directory": data, "cache_directory": cache}
    for section, key, name in _IN_DATA_DIRECTORY:
        part = tree.get(section, {})
        if isinstance(part, dict) and isinstance(data, str):
            completed[section] = {key: str(Path(data) / name), **part}
    return completed
