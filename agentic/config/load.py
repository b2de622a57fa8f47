"""`mcp.yml` and the environment → `Config`: found, read, overridden, expanded, checked."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from agentic.config import trust
from agentic.config.findings import ConfigError, Findings, printable
from agentic.config.locations import (
    FoundFile,
    config_directory,
    decode_text,
    find_file,
    find_home,
    read_bytes,
)
from agentic.config.models import Config
from agentic.config.overrides import apply_overrides
from agentic.config.parse import parse_config
from agentic.config.sift import Sieve
from agentic.config.variables import Expansion, named_variables
from agentic.config.yaml_text import Tree, YamlDocument, YamlTextError, parse_yaml

_ALWAYS = frozenset({"owner", "data_directory"})
_OUR_SERVERS: Mapping[str, dict[str, Tree]] = {
    "conversations": {"command": "agentic", "args": ["serve", "conversations"]},
    "tools": {"command": "agentic", "args": ["serve", "tools"]},
}


def load_config(
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    sections: Collection[str] | None = None,
) -> Config:
    """Read the configuration that a program started with `environ` in `cwd` is to use.

    The file is `MCP_CONFIG_PATH`, else `./mcp.yml`, else `~/.config/agentic/mcp.yml`, else nothing but defaults.
    `AGENTIC_…` variables win over it. What can be lived with stands in `Config.warnings`.

    Our own servers are always there: an entry under `servers:` changes ours of the same name
    (`conversations: {timeout: 5}`), `enabled: false` leaves it out. The tools of `conversations` are offered
    to the model only where its entry says so, since some of them delete.

    A credential whose variable is not set (a header or the token of a tool, a header or an environment variable
    of a server, the bot's token) is left out and named in the entry's `missing_variables`; an unset variable
    anywhere else is an error.

    Args:
        environ: The process's environment; nothing else is read.
        cwd: The current folder, if it is another than the process's.
        sections: Top-level sections this program uses, when it has no business with the others: those keep
            their defaults, and neither their mistakes nor their variables matter.

    Raises:
        ConfigError: The configuration can't be used; says everything that is wrong with it.
    """
    home = find_home(environ)
    cwd = _current_folder() if cwd is None else cwd.absolute()
    found = find_file(environ, cwd, home)
    data = b"" if found is None else read_bytes(found.path)
    document = _read_document(data, found)
    findings = Findings(None if found is None else found.path, document.lines)

    tree = _select(_top_mapping(document, findings), sections)
    tree = apply_overrides(_add_our_servers(tree, sections), environ, findings)
    tree = _select(tree, sections)
    written = tree
    expansion = Expansion(environ, findings)
    expanded = expansion.expand(tree)
    folder = cwd if found is None else found.path.parent
    sifted = Sieve(findings, folder, cwd, home).sift(expanded)
    config = parse_config(sifted, expansion.missing, findings, home)
    return config.model_copy(
        update={
            "path": findings.file,
            "found_by_itself": found is not None and found.by_itself,
            "sha256": hashlib.sha256(data).hexdigest(),
            "risks": trust.find_risks(config, written, findings) if found and found.by_itself else (),
            "warnings": findings.warnings,
            "config_directory": config_directory(home),
            "section_variables": _variables_by_section(document.tree),
            "environment": MappingProxyType(dict(environ)),
        }
    )
