"""Whether both ends let a migration do what it will do, found out before it begins."""

from collections.abc import Awaitable

from agentic.cli.compose import require
from agentic.cli.failures import CommandError, UsageError
from agentic.cli.migrate.ends import End
from agentic.cli.migrate.reading import Place
from client.conversations import ConversationCallError
from client.hub.errors import ServerUnavailableError, UnknownToolError
from client.hub.hub import Hub
from client.hub.servers import HttpTarget, StdioTarget

_NOBODY = "nobody"
"""An owner of whom nothing is read or stored: asking for it only shows whether one may."""


async def check_end(hub: Hub, end: End, place: Place, *, writes: bool) -> None:
    """Ask the server for what costs nothing and needs the same rights.

    Raises:
        UsageError: It does not let us.
        CommandError: It is away, or another kind of server.
        HubError: It went away.
    """
    try:
        await require(hub, end.name)
    except ServerUnavailableError:
        [reason] = [status.reason for status in hub.status() if status.name == end.name]
        raise CommandError(
            f"{end.option}: {end.name} is not available: {reason or 'it does not answer yet'}."
            f"{_advise_on_token(end)}"
        ) from None
    await _ask(place.store(None).list_owners(), end, writes=writes)
    await _ask(place.store(_NOBODY).list_conversations(limit=1), end, writes=writes)
    if writes:
        await _ask(place.store(_NOBODY).append_messages(_NOBODY, []), end, writes=writes)


async def _ask(call: Awaitable[object], end: End, *, writes: bool) -> None:
    try:
        await call
    except UnknownToolError:
        raise CommandError(
            f"{end.option}: {end.name} can't say whose conversations it has: it is no server of "
            "conversations, or one of an older version. Update it."
        ) from None
    except ConversationCallError as error:
        if error.code != "forbidden":
            raise
        raise UsageError(
            f"{end.option}: {end.name} refuses: {error}. {_advise(end, writes=writes)}"
        ) from None


def _advise(end: End, *, writes: bool) -> str:
    if isinstance(end.server.target, StdioTarget):
        return "Add --delegate to its args in mcp.yml: a migration acts for all owners."
    scopes = ["conversations:read", *(["conversations:write"] if writes else []), "delegate"]
    wanted = " ".join(f"--scope {scope}" for scope in scopes)
    return (
        f"A migration acts for all owners: make a token with `agentic token create migration "
        f"{wanted}` where that server runs, and give it by {end.option}-token-file."
    )


def _advise_on_token(end: End) -> str:
    match end.server.target:
        case HttpTarget(headers=headers, token_file=None, oauth=None) if not headers:
            return f" If it wants a token, give one by {end.option}-token-file."
        case _:
            return ""
