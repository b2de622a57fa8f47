"""`agentic serve NAME`: one MCP server on stdio, or one or all on HTTP."""

from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation
from agentic.config.children import SECTIONS_OF_ALL_SERVERS, SECTIONS_OF_SERVERS
from agentic.config.models import Config

ALL = "all"


def serve(
    invocation: Invocation, name: str, *, delegate: bool, http: str | None, no_auth: bool
) -> int:
    """Serve until the client leaves, or until told to stop."""

    async def work(config: Config) -> None:
        from servers.host import SERVER_NAMES, serve_http, serve_stdio

        if http is None:
            if no_auth:
                raise UsageError("--no-auth goes with --http: on stdio the caller is the operator.")
            if name == ALL:
                raise UsageError("all goes with --http: a client on stdio speaks to one server.")
            await serve_stdio(name, config, delegate=delegate)
            return
        if delegate:
            raise UsageError("--delegate goes with stdio: over HTTP a token's scope says it.")
        host, port = parse_address(http)
        names = SERVER_NAMES if name == ALL else (name,)
        await serve_http(names, config, host=host, port=port, no_auth=no_auth)

    # An unknown name is refused by the host, which knows them. Over HTTP each server needs to know
    # where conversations are, because tokens and figures are there.
    sections = SECTIONS_OF_ALL_SERVERS if http is not None else SECTIONS_OF_SERVERS.get(name, ())
    return invocation.run(work, sections=sections, log_level=None)


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, with an IPv6 address in brackets; `:PORT` is this machine.

    Raises:
        UsageError: It is none.
    """
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not separator or not port.isdecimal() or not port.isascii() or (":" in host) != bracketed:
        raise UsageError(
            f"--http {text}: should be HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; "
            "port 0 is any free one."
        )
    return host or "127.0.0.1", int(port[:6])
