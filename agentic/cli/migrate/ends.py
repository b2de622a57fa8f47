"""The two ends of a migration: servers by name or by URL, as the hub connects to them."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from agentic.cli.failures import UsageError
from agentic.cli.terminal_text import one_line
from agentic.config.children import SECTIONS_OF_SERVERS, runs_our_command
from agentic.config.load import load_config
from agentic.config.models import Config
from agentic.config.private_files import read_private_text
from agentic.config.rules import check_key
from client.hub.from_config import to_hub_servers
from client.hub.servers import HttpTarget, HubServer, StdioTarget


@dataclass(frozen=True, slots=True)
class Given:
    """One end as it was asked for, and where its token is, if it needs one."""

    option: str
    place: str
    token_file: Path | None = None
    token_variable: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """A conversation server that the hub can connect to."""

    option: str
    server: HubServer
    identity: str = field(repr=False)
    """Equal for ends that lead to the same conversations, as far as that can be seen from here."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.server.name


def find_ends(source: Given, target: Given, config: Config) -> tuple[End, End]:
    """Both ends.

    Raises:
        UsageError: One is not known or can't be used, or both are the same.
        ConfigError: The file of a token can't be read.
    """
    ends = _find(source, config), _find(target, config)
    if ends[0].identity == ends[1].identity:
        raise UsageError(
            f"--from and --to lead to the same conversations: {ends[0].name} and {ends[1].name}. "
            "Name two different servers."
        )
    return ends


def _find(given: Given, config: Config) -> End:
    server = _of_url(given) if "://" in given.place else _of_name(given, config)
    server = replace(
        server, ours=True, allow=("*",), deny=(), target=_with_token(server, given, config)
    )
    return End(given.option, server, _identify(server, config))


def _of_url(given: Given) -> HubServer:
    try:
        parts = urlsplit(given.place)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or not given.place.isprintable() or " " in given.place:
        raise UsageError(
            f"{given.option}: should be the name of a server in mcp.yml, or its address such as "
            "http://127.0.0.1:8000/conversations/mcp."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"{given.option}: holds a user, a query or a fragment: give the bare address, and a "
            f"token by {given.option}-token-file."
        )
    return HubServer(name=given.place, target=HttpTarget(given.place))


def _of_name(given: Given, config: Config) -> HubServer:
    server = config.servers.get(given.place)
    if server is None:
        known = ", ".join(config.servers) or "none"
        raise UsageError(
            f"{given.option}: there is no server {one_line(given.place)!r} in mcp.yml (there are: "
            f"{known}). Give one of these, or an address such as "
            "http://127.0.0.1:8000/conversations/mcp."
        )
    if runs_our_command(server) and server.args[1] != "conversations":
        raise UsageError(f"{given.option}: {given.place} is no server of conversations.")
    # Who is moved away from may be switched off for everything else.
    only = {given.place: server.model_copy(update={"enabled": True})}
    return to_hub_servers(config.model_copy(update={"servers": only}), delegate=True)[0]


def _with_token(server: HubServer, given: Given, config: Config) -> HttpTarget | StdioTarget:
    target, option = server.target, f"{given.option}-token"
    assert isinstance(target, HttpTarget | StdioTarget)
    if given.token_file is None and given.token_variable is None:
        return target
    if given.token_file is not None and given.token_variable is not None:
        raise UsageError(f"{option}-file and {option}-variable exclude each other.")
    if isinstance(target, StdioTarget):
        raise UsageError(
            f"{option}-file and {option}-variable go with an address: {server.name} is started by "
            "its command, and needs no token."
        )
    headers = {
        name: value for name, value in target.headers.items() if name.lower() != "authorization"
    }
    if given.token_file is not None:
        if not read_private_text(given.token_file):
            raise UsageError(f"{option}-file: {given.token_file} is empty, or not there.")
        return HttpTarget(target.url, headers, given.token_file.absolute())
    name = given.token_variable or ""
    try:
        token = check_key(config.environment.get(name, ""))
    except ValueError as error:
        raise UsageError(f"{option}-variable: the token in {one_line(name)} {error}.") from None
    return HttpTarget(target.url, {**headers, "Authorization": f"Bearer {token}"})


def _identify(server: HubServer, config: Config) -> str:
    match server.target:
        case HttpTarget(url=url):
            parts = urlsplit(url)
            place = [
                urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
            ]
        case StdioTarget(command=command, args=args, env=env, cwd=cwd):
            is_ours = list(args[:3]) == ["-P", "-m", "agentic"]
            place = (
                _find_place(env, cwd, config)
                if is_ours
                else [command, *args, *sorted(map("=".join, env.items())), str(cwd)]
            )
        case _:
            place = [server.name]
    return hashlib.sha256("\0".join(place).encode()).hexdigest()


def _find_place(env: Mapping[str, str], cwd: Path | None, config: Config) -> list[str]:
    """Where a child of ours keeps its conversations."""
    environ = {**config.environment, **env}
    child = load_config(
        environ, cwd=cwd, sections=SECTIONS_OF_SERVERS["conversations"]
    ).conversations
    match child.store:
        case "file":
            return [os.path.realpath(child.directory)]
        case "dynamodb":
            return [child.table, child.region or "", child.endpoint_url or ""]
