"""`agentic connect CLIENT`: our servers in another MCP client's configuration."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread
from pydantic import SecretStr

from agentic.cli.connect.client_file import Changes, merge_into_file
from agentic.cli.connect.clients import CLIENTS, McpClient
from agentic.cli.connect.entries import (
    Entry,
    check_url,
    create_local_entry,
    create_remote_entry,
    entry_name,
    find_unsent_variables,
    is_unprotected,
)
from agentic.cli.failures import UsageError
from agentic.cli.input_lines import InputLines
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import clean, one_line, to_json
from agentic.config.children import SECTIONS_OF_SERVERS, SECTIONS_OF_TALKERS
from agentic.config.findings import ConfigError
from agentic.config.locations import find_home
from agentic.config.models import Config
from agentic.config.private_files import OUR_TOKEN, open_plain
from agentic.config.rules import check_key

_MAX_TOKEN_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. `servers` empty: all of ours; `token_file` `-`: standard input."""

    client: str
    servers: Sequence[str] = ()
    url: str | None = None
    token_file: Path | None = None
    write: bool = False
    file: Path | None = None


def connect(invocation: Invocation, wanted: Wanted) -> int:
    """Print the entries, or put them into the client's file."""

    async def work(config: Config) -> None:
        client = _find_client(wanted.client)
        servers = _find_servers(wanted.servers)
        token = await _read_token(wanted)
        place = _find_place(wanted, client, config)
        if wanted.url is None:
            made = {server: create_local_entry(server, config, client) for server in servers}
        else:
            url = check_url(wanted.url)
            made = {server: create_remote_entry(server, url, token, client) for server in servers}
        entries = {entry_name(server): entry for server, entry in made.items()}
        if place is not None and wanted.write:
            _write(place, client, entries, is_default=wanted.file is None, has_token=bool(token))
        else:
            sys.stdout.write(to_json({client.key: entries}) + "\n")
            sys.stdout.flush()
            _tell_where(client, place)
        if wanted.url is None:
            _tell_about_start(servers, config)
        else:
            _tell_about_address(wanted.url, token, client, has_file=wanted.write)

    return invocation.run(work, sections=SECTIONS_OF_TALKERS)


def _find_client(name: str) -> McpClient:
    if name not in CLIENTS:
        raise UsageError(
            f"There is no client {one_line(name)!r} here. Known: {', '.join(CLIENTS)}."
        )
    return CLIENTS[name]


def _find_servers(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in SECTIONS_OF_SERVERS:
            raise UsageError(
                f"{one_line(name)!r} is no server of ours. There are: "
                f"{', '.join(SECTIONS_OF_SERVERS)}."
            )
    return list(dict.fromkeys(names)) or list(SECTIONS_OF_SERVERS)


def _find_place(wanted: Wanted, client: McpClient, config: Config) -> Path | None:
    if wanted.file is not None and not wanted.write:
        raise UsageError("--file goes with --write: it names the file to write into.")
    place = wanted.file or client.find_file(find_home(config.environment))
    if place is None and wanted.write:
        raise UsageError("--write needs --file here: this client has no place that is known.")
    return place


async def _read_token(wanted: Wanted) -> SecretStr | None:
    if wanted.token_file is None:
        return None
    if wanted.url is None:
        raise UsageError("--token-file goes with --url: a local server needs no token.")
    if str(wanted.token_file) == "-":
        text = await InputLines().read_all()
    elif OUR_TOKEN.search(str(wanted.token_file)):
        raise UsageError(
            "--token-file: is a token itself. Put it into a file that only you may read, and give "
            "that file's name; or - to have it read from standard input."
        )
    else:
        text = await to_thread.run_sync(_read_start, wanted.token_file)
    try:
        return SecretStr(check_key(text))
    except ValueError as error:
        raise UsageError(f"--token-file: the token {error}.") from None


def _read_start(path: Path) -> str:
    try:
        with open_plain(path) as file:
            return file.read(_MAX_TOKEN_BYTES).decode("utf-8", "replace")
    except ConfigError as error:
        raise UsageError(
            f"--token-file: {error}. Name - to have the token read from standard input."
        ) from None


def _write(
    place: Path,
    client: McpClient,
    entries: dict[str, Entry],
    *,
    is_default: bool,
    has_token: bool,
) -> None:
    changes = merge_into_file(
        place, client.key, entries, may_make_folder=is_default, is_secret=has_token
    )
    sys.stdout.writelines(f"{clean(line)}\n" for line in _render(changes))
    sys.stdout.flush()
    if changes.made_folder:
        note(
            f"Note: {client.title} seems not to be installed: its folder {changes.file.parent} was "
            "missing and has been made."
        )
    if changes.added or changes.changed:
        note(client.advice)


def _render(changes: Changes) -> list[str]:
    if not changes.added and not changes.changed:
        return [f"{changes.file} has these entries already: nothing was changed."]
    lines = [f"added {name}" for name in changes.added]
    lines += [f"changed {name}" for name in changes.changed]
    lines.append(f"in {changes.file}, where {changes.kept} other entries stay as they were")
    if changes.copy is not None:
        lines.append(f"as it was before: {changes.copy}")
    return lines


def _tell_where(client: McpClient, place: Path | None) -> None:
    if place is None:
        note("This is the usual shape; some clients want `servers`, or another file.")
        return
    note(f"This belongs into {place}; `--write` puts it there. {client.advice}")


def _tell_about_start(servers: Sequence[str], config: Config) -> None:
    if config.path is None:
        note(
            "Note: no mcp.yml is in use. The servers take one that lies in the folder where the "
            f"client starts them; {config.config_directory / 'mcp.yml'}, once it exists and you "
            "connect again, is used from everywhere."
        )
    for server in servers:
        if variables := find_unsent_variables(server, config):
            unset = [name for name in variables if not config.environment.get(name)]
            absent = f" (not set here either: {', '.join(unset)})" if unset else ""
            note(
                f"Note: {server} reads {', '.join(variables)} from its environment{absent}. "
                f"Nothing of that was copied: start the client with it, or add it to `env` of "
                f"{entry_name(server)}."
            )
        configured = config.servers.get(server)
        if configured is not None and configured.url is not None:
            note(
                f"Note: mcp.yml reaches {server} by its url, but this entry starts one here, with "
                "data of its own. For the same one use --url."
            )


def _tell_about_address(
    url: str, token: SecretStr | None, client: McpClient, *, has_file: bool
) -> None:
    if token is None:
        note(
            "Note: without a token only a server that runs with --no-auth lets the client in. Make "
            "one with `agentic token create`, and give it by --token-file FILE (- for stdin)."
        )
    else:
        what = "The file holds" if has_file else "What is printed holds"
        note(f"Warning: {what} the token, which opens your conversations: keep it to yourself.")
        if is_unprotected(url):
            note("Warning: the address is http: the token goes over the network for all to read.")
    if client.remote == "bridge":
        note(
            f"Note: {client.title} starts commands only. This one passes on to the address by "
            "mcp-remote, a program of others that npx (Node.js) fetches. Its own connectors, under "
            "Settings, take no such token: they want a server with OAuth that Anthropic can reach."
        )
