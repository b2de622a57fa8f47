"""What a client's configuration says to reach one of our servers."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import JsonValue, SecretStr

from agentic.cli.connect.clients import McpClient
from agentic.cli.failures import UsageError
from agentic.config.children import SECTIONS_OF_SERVERS
from agentic.config.locations import CONFIG_PATH_VARIABLE
from agentic.config.loopback import is_loopback_url
from agentic.config.models import Config
from agentic.config.overrides import PREFIX
from agentic.config.private_files import OUR_TOKEN

Entry = dict[str, JsonValue]

_OPEN_SECTIONS = ("OWNER", "DATA_DIRECTORY", "CONVERSATIONS", "ACCESS")
"""Sections that hold no secrets: what the environment sets of them may stand in a file."""
_BRIDGE_VARIABLE = "AUTH_HEADER"


def entry_name(server: str) -> str:
    """Under which name a client knows our server: one that nobody else's has."""
    return f"agentic-{server}"


def create_local_entry(server: str, config: Config, client: McpClient) -> Entry:
    """An entry that starts the server, from whichever folder the client runs in.

    By the interpreter of this installation and not its script, since a script names its interpreter
    in a first line that neither spaces nor long paths survive.
    """
    environment: dict[str, JsonValue] = dict(_find_overrides(server, config))
    if config.path is not None:
        environment[CONFIG_PATH_VARIABLE] = str(config.path.absolute())
    kind: Entry = {"type": "stdio"} if client.names_stdio else {}
    args: list[JsonValue] = ["-P", "-m", "agentic", "serve", server]
    entry: Entry = {**kind, "command": sys.executable, "args": args}
    return {**entry, "env": environment} if environment else entry


def create_remote_entry(server: str, url: str, token: SecretStr | None, client: McpClient) -> Entry:
    """An entry that reaches the server below the address of `agentic serve … --http`."""
    address = f"{url}/{server}/mcp"
    header = None if token is None else f"Bearer {token.get_secret_value()}"
    if client.remote == "bridge":
        return _create_bridge(address, header)
    kind: Entry = {"type": "http"} if client.remote == "typed" else {}
    entry: Entry = {**kind, "url": address}
    return entry if header is None else {**entry, "headers": {"Authorization": header}}


def check_url(url: str) -> str:
    """The address below which our servers are, without a slash at its end.

    Raises:
        UsageError: It is none, or holds what belongs elsewhere.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or not url.isprintable() or " " in url:
        raise UsageError("--url: should be an address such as https://assistant.example.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "--url: holds a user, a query or a fragment: give the bare address, and a token by "
            "--token-file"
        )
    if OUR_TOKEN.search(url):
        raise UsageError("--url: holds a token, which servers would refuse: use --token-file")
    bare = url.rstrip("/")
    for server in SECTIONS_OF_SERVERS:
        if bare.endswith(f"/{server}/mcp"):
            raise UsageError(
                f"--url: leave /{server}/mcp out, it is added for each server. Name the server "
                f"before it if only that one is wanted: `agentic connect CLIENT {server} --url …`"
            )
    return bare


def is_unprotected(url: str) -> bool:
    """Whether a token would travel in the open."""
    return url.lower().startswith("http:") and not is_loopback_url(url)


def is_set_by_us(variable: str) -> bool:
    """Whether a variable of an entry is one of those that are written here."""
    is_override = bool(section := _section_of(variable)) and _is_open(section)
    return is_override or variable in (CONFIG_PATH_VARIABLE, _BRIDGE_VARIABLE)


def find_unsent_variables(server: str, config: Config) -> list[str]:
    """The variables that the server reads and that an entry doesn't hold: they may be secrets."""
    sections = SECTIONS_OF_SERVERS[server]
    named = {
        name
        for section in sections
        for name in config.section_variables.get(section, frozenset[str]())
    }
    overrides = {
        name
        for name, value in config.environment.items()
        if value and (section := _section_of(name)) in sections and not _is_open(section)
    }
    return sorted(named | overrides)


def _find_overrides(server: str, config: Config) -> dict[str, str]:
    """What our environment sets: without it, the server would meet other conversations."""
    paths: dict[str, Path | None] = {
        "AGENTIC_DATA_DIRECTORY": config.data_directory,
        "AGENTIC_CONVERSATIONS__DIRECTORY": config.conversations.directory,
        "AGENTIC_ACCESS__TOKENS_FILE": config.access.tokens_file,
    }
    sections = SECTIONS_OF_SERVERS[server]
    return {
        name: str(paths.get(name.upper(), value))
        for name, value in config.environment.items()
        if value and (section := _section_of(name)) in sections and _is_open(section)
    }


def _section_of(variable: str) -> str:
    """The section that an `AGENTIC_…` variable is about, empty for another."""
    if not variable.startswith(PREFIX):
        return ""
    return variable.removeprefix(PREFIX).partition("__")[0].lower()


def _is_open(section: str) -> bool:
    return section.upper() in _OPEN_SECTIONS


def _create_bridge(address: str, header: str | None) -> Entry:
    """For a client that only starts commands: `mcp-remote`, a program of others (Node.js)."""
    args: list[JsonValue] = ["-y", "mcp-remote", address, "--transport", "http-only"]
    if is_unprotected(address):
        args.append("--allow-http")
    if header is None:
        return {"command": "npx", "args": args}
    # In its environment, where other users of the machine don't see it.
    args += ["--header", f"Authorization:${{{_BRIDGE_VARIABLE}}}"]
    return {"command": "npx", "args": args, "env": {_BRIDGE_VARIABLE: header}}
