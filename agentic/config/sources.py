"""The OpenAPI documents that `mcp.yml` names, read, and the tools that come of them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentic.config.findings import ConfigError, Findings, WrongFieldError, printable
from agentic.config.locations import read_file
from agentic.config.models import Config
from agentic.config.tool_source import SourceConfig, is_remote
from agentic.config.tools import ToolConfig, check_name

_FOLDER = "openapi"
MAX_TOOLS = 1_000
"""Of all sources."""


@dataclass(frozen=True, slots=True)
class RemoteDocument:
    """A document that is got over the network. `copy`: where the last good one is kept."""

    url: str = field(repr=False)
    private_network: bool
    copy: Path


@dataclass(slots=True)
class Sources:
    """What came of all sources."""

    tools: dict[str, ToolConfig] = field(default_factory=dict[str, ToolConfig])
    waiting: list[str] = field(default_factory=list[str])
    """Those whose document was not got yet."""
    digests: dict[Path, str] = field(default_factory=dict[Path, str])
    """SHA-256 of each file that was read; empty: there was none."""


def find_copy(source: SourceConfig, data_directory: Path) -> Path:
    """Where the document is read: its file, or the last good copy of what an address gave."""
    if not is_remote(source.openapi):
        return Path(source.openapi)
    name = hashlib.sha256(source.openapi.encode("utf-8", "replace")).hexdigest()[:32]
    return data_directory / _FOLDER / f"{name}.json"


def list_remote(config: Config) -> dict[str, RemoteDocument]:
    """The documents to get, by the names of their entries."""
    return {
        name: RemoteDocument(
            source.openapi, source.private_network, find_copy(source, config.data_directory)
        )
        for name, source in config.sources.items()
        if is_remote(source.openapi)
    }


def read_sources(config: Config, findings: Findings) -> Sources:
    """The tools of all sources. What is wrong with one is a finding, and costs what it is about."""
    read = Sources()
    for name, source in config.sources.items():
        _read_source(name, source, config, read, findings)
    return read


def digest_of(path: Path) -> str:
    """As in `Sources.digests`."""
    try:
        return _digest(_read(path))
    except ConfigError:
        return ""


def summarize(data: bytes, documents: Iterable[str]) -> str:
    """One digest of a file and of the digests of the documents that it names."""
    digest = hashlib.sha256(data)
    for each in documents:
        digest.update(each.encode("ascii"))
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    from agentic.config.openapi.document import MAX_DOCUMENT_BYTES

    return read_file(path, max_bytes=MAX_DOCUMENT_BYTES)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_source(
    name: str, source: SourceConfig, config: Config, read: Sources, findings: Findings
) -> None:
    from agentic.config.openapi.document import DocumentError, parse_document
    from agentic.config.openapi.tools import create_tools  # slow, and needed by few

    path = find_copy(source, config.data_directory)
    read.digests[path] = ""
    if is_remote(source.openapi) and not path.exists():
        read.waiting.append(name)
        return
    here = ("tools", name, "openapi")
    try:
        data = _read(path)
        read.digests[path] = _digest(data)
        document = parse_document(data)
    except ConfigError as error:
        findings.add_error(here, str(error))
        return
    except DocumentError as error:
        findings.add_error(here, f"{printable(str(path))}: {error}")
        return
    for made in create_tools(name, source, document):
        place = ("tools", name, "operations", *made.path)
        for note in made.notes:
            findings.add_warning(
                place, f"{note}; name it under leave_out if that is all right ({made.name})"
            )
        if made.tool is not None:
            made.problems += _check_taken(made.name, {*config.tools, *config.composed}, read.tools)
        for problem in made.problems:
            shown = "" if problem.path else f"{path.name}: "
            findings.add_error((*place, *problem.path), f"{shown}{problem.text}")
        if made.tool is not None and not made.problems:
            read.tools[made.name] = made.tool


def _check_taken(
    name: str, declared: Collection[str], made: Mapping[str, ToolConfig]
) -> list[WrongFieldError]:
    try:
        check_name(name)
    except ValueError as error:
        return [WrongFieldError(("name",), f"{printable(name)}: {error}")]
    if name in declared or name in made:
        return [WrongFieldError(("name",), f"{name} is another tool's; choose one")]
    if len(made) >= MAX_TOOLS:
        return [WrongFieldError((), f"is one too many: sources make at most {MAX_TOOLS:,} tools")]
    return []
