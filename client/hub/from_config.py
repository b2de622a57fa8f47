"""`servers:` of `mcp.yml` → what the hub connects to, each with the environment it is due."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from agentic.config.children import SECTIONS_OF_SERVERS, runs_our_command
from agentic.config.locations import BY_ITSELF_VARIABLE, CONFIG_PATH_VARIABLE
from agentic.config.models import Config, OAuthConfig, ServerConfig
from client.hub.servers import HttpTarget, HubServer, OAuth, Show, StdioTarget

_SHARED_SECTIONS = frozenset({"owner", "data_directory"})
_HARMLESS = frozenset(
    {"TZ", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
"""Variables about the machine and its way out, without which our servers would behave unlike us."""


def to_hub_servers(config: Config, *, delegate: bool, show: Show | None = None) -> list[HubServer]:
    """The enabled servers, in the order of the file.

    With `delegate`, our own children are started so that each call says for which owner it acts.
    `show` shows a person the page of a server that wants their consent; without it none is asked.
    """
    return [
        _to_hub_server(name, server, config, delegate=delegate, show=show)
        for name, server in config.servers.items()
        if server.enabled
    ]


def _to_hub_server(
    name: str, server: ServerConfig, config: Config, *, delegate: bool, show: Show | None
) -> HubServer:
    ours = _is_ours(name, server)
    target: HttpTarget | StdioTarget
    if server.url is not None:
        oauth = server.oauth and _to_oauth(server.oauth, config.config_directory, show)
        target = HttpTarget(server.url, _reveal(server.headers), server.token_file, oauth)
    elif ours:
        target = _to_our_target(server, config, delegate=delegate)
    else:
        target = StdioTarget(server.command or "", server.args, _reveal(server.env), server.cwd)
    return HubServer(
        name=name,
        target=target,
        ours=ours,
        allow=server.tools.allow,
        deny=server.tools.deny,
        offer_to_model=server.offer_to_model,
        timeout_seconds=server.timeout_seconds,
    )


def _to_oauth(oauth: OAuthConfig, config_directory: Path, show: Show | None) -> OAuth:
    secret = oauth.client_secret
    return OAuth(
        file=config_directory / "logins.json",
        show=show,
        redirect_port=oauth.redirect_port,
        client_id=oauth.client_id,
        client_secret=secret.get_secret_value() if secret else None,
        client_metadata_url=oauth.client_metadata_url,
    )


def _is_ours(name: str, server: ServerConfig) -> bool:
    if server.ours is not None:
        return server.ours
    return name in SECTIONS_OF_SERVERS if server.url is not None else runs_our_command(server)


def _to_our_target(server: ServerConfig, config: Config, *, delegate: bool) -> StdioTarget:
    if not runs_our_command(server):
        env = {**_our_environment(config, _SHARED_SECTIONS), **_reveal(server.env)}
        return StdioTarget(server.command or "", server.args, env, server.cwd)
    sections = SECTIONS_OF_SERVERS[server.args[1]]
    env = {**_our_environment(config, sections), **_reveal(server.env)}
    # The same program as this one, wherever `agentic` may be in PATH; -P keeps modules that lie in
    # the current folder out of it.
    args = ["-P", "-m", "agentic", *server.args, *(["--delegate"] if delegate else [])]
    return StdioTarget(sys.executable, args, env, server.cwd)


def _our_environment(config: Config, sections: frozenset[str]) -> dict[str, str]:
    """What a child needs to read the same configuration as we did.

    Without a file it inherits our current folder, looks in the same places and finds none either.
    """
    named = frozenset[str]().union(
        *(config.section_variables.get(name, frozenset()) for name in sections)
    )
    uses_aws = "conversations" in sections and config.conversations.store == "dynamodb"
    env = {
        name: value
        for name, value in config.environment.items()
        if name in named
        or name in _HARMLESS
        or name.startswith("AGENTIC_")
        or (uses_aws and name.startswith("AWS_"))
    }
    if config.path is not None:
        env[CONFIG_PATH_VARIABLE] = str(Path(config.path).absolute())
        if config.found_by_itself:  # what it may do without trust is the same for the child
            env[BY_ITSELF_VARIABLE] = "1"
    return env


def _reveal(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in secrets.items()}
