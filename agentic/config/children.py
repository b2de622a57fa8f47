"""Our own servers as children: by which command they start, and what each reads of `mcp.yml`."""

from collections.abc import Mapping

from agentic.config.models import ServerConfig

SECTIONS_OF_SERVERS: Mapping[str, frozenset[str]] = {
    "conversations": frozenset({"owner", "data_directory", "conversations", "access"}),
    "tools": frozenset({"owner", "data_directory", "tools", "access"}),
}
"""Our servers by name → the sections each reads, for `load_config(sections=…)`."""

SECTIONS_OF_STORE_USERS = SECTIONS_OF_SERVERS["conversations"] | {"servers"}
"""What a command reads that needs conversations only: a wrong tool is not its matter."""

SECTIONS_OF_TALKERS = frozenset({"servers"}).union(*SECTIONS_OF_SERVERS.values())
"""What a command reads that only talks to servers: a model it never asks can't stop it."""


SECTIONS_OF_ALL_SERVERS = frozenset[str]().union(*SECTIONS_OF_SERVERS.values())
"""What `agentic serve all` reads."""


def runs_our_command(server: ServerConfig) -> bool:
    """Whether its command is `agentic serve NAME` with a name of ours, and nothing else."""
    return server.command == "agentic" and server.args in (
        ["serve", name] for name in SECTIONS_OF_SERVERS
    )
