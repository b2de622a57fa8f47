"""Our own servers as children: which are ours, how they are started, what they are given."""

import sys
from collections.abc import Mapping

from agentic.config.locations import CONFIG_PATH_VARIABLE
from agentic.config.models import Config, ServerConfig
from agentic.config.overrides import PREFIX

SECTIONS_OF_SERVERS: Mapping[str, frozenset[str]] = {
    "conversations": frozenset({"owner", "data_directory", "conversations", "access"}),
    "tools": frozenset({"owner", "data_directory", "tools", "access"}),
}
"""Our servers by name → the sections of `mcp.yml` each reads, for `load_config(sections=…)`."""


def runs_our_command(server: ServerConfig) -> bool:
    """Whether its command is `agentic serve NAME` with a name of ours, and nothing else."""
    return server.command == "agentic" and server.args in (
        ["serve", name] for name in SECTIONS_OF_SERVERS
    )


def is_ours(name: str, server: ServerConfig) -> bool:
    """Whether the server under this name is told for which owner a call acts."""
    if server.ours is not None:
        return server.ours
    return runs_our_command(server) if server.url is None else name in SECTIONS_OF_SERVERS


def create_command(server: ServerConfig) -> tuple[str, ...]:
    """The words that start a server; none for one that is reached by URL.

    Ours is started by this very interpreter and not looked up: neither PATH nor a folder `agentic`
    in the current folder (hence `-P`) can put another program in its place.
    """
    if server.command is None:
        return ()
    if runs_our_command(server):
        return (sys.executable, "-P", "-m", "agentic", *server.args)
    return (server.command, *server.args)


def create_environment(config: Config, server: ServerConfig) -> dict[str, str]:
    """The variables that a child gets, beyond the few that the system needs.

    Ours gets the configuration's place, every `AGENTIC_…` variable and those that its sections
    name; any gets what its own entry holds.
    """
    given: dict[str, str] = {}
    if runs_our_command(server):
        sections = SECTIONS_OF_SERVERS[server.args[1]]
        named = {name for each in sections for name in config.section_variables.get(each, ())}
        given = {
            name: value
            for name, value in config.environment.items()
            if name in named or name.startswith(PREFIX)
        }
        if config.path is not None:
            given[CONFIG_PATH_VARIABLE] = str(config.path)
    return given | {name: value.get_secret_value() for name, value in server.env.items()}
