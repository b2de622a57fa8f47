"""`agentic token create|list|revoke`, on the tokens of the servers."""

import re
import sys
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agentic.cli.failures import CommandError, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.stored_times import render_time
from agentic.cli.terminal_text import one_line, to_json
from agentic.config.models import Config
from servers.access.contract import SCOPE_DELEGATE, SCOPES
from servers.access.delegate_token import DELEGATE_NAME
from servers.access.token_file import read_token_file
from servers.access.tokens import Token, TokenError, TokenFactsError
from servers.token_opening import find_tokens_file, open_tokens

_SECTIONS = frozenset({"owner", "data_directory", "access", "conversations"})
_PIPED_WIDTH = 1_000
"""More than the longest token needs: what is cut off tells a program nothing."""
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def create_token(
    invocation: Invocation,
    name: str,
    owner: str | None,
    scopes: Collection[str] | None,
    expires: str | None,
    *,
    as_json: bool,
) -> int:
    """Make it and print it: the token alone, so that it can go into a file or a variable."""

    async def work(config: Config) -> None:
        wanted = scopes or SCOPES.keys() - {SCOPE_DELEGATE}
        _check_scopes(wanted)
        until = None if expires is None else parse_expiry(expires, datetime.now(UTC))
        acts_for = config.owner if owner is None else owner
        try:
            async with open_tokens(config) as tokens:
                token, text = await tokens.create(name, acts_for, wanted, until)
        except TokenFactsError as error:
            raise UsageError(f"{error}.") from None
        except TokenError as error:
            raise CommandError(f"{error}.") from None
        if as_json:
            sys.stdout.write(to_json({**_to_facts(token), "token": text}) + "\n")
        else:
            sys.stdout.write(text + "\n")
            note(f"Keep it now: it is not shown again. {_describe(token)}")
        _tell_of_delegate(token, is_owner_given=owner is not None)

    return invocation.run(work, sections=_SECTIONS)


def list_tokens(invocation: Invocation, *, as_json: bool) -> int:
    """A table of them, or one JSON array."""

    async def work(config: Config) -> None:
        async with open_tokens(config) as opened:
            tokens = await opened.load()
        if as_json:
            sys.stdout.write(to_json([_to_facts(token) for token in tokens]) + "\n")
        elif tokens:
            width = None if sys.stdout.isatty() else _PIPED_WIDTH
            Console(highlight=False, markup=False, width=width).print(_to_table(tokens))
        else:
            note("There are no tokens yet: make one with `agentic token create NAME`.")

    return invocation.run(work, sections=_SECTIONS)


def revoke_token(invocation: Invocation, name: str) -> int:
    """Take it back."""

    async def work(config: Config) -> None:
        try:
            async with open_tokens(config) as tokens:
                revoked = await tokens.revoke(name)
        except TokenError as error:
            raise CommandError(f"{error}: `agentic token list` shows which there are.") from None
        note(f"Revoked {one_line(revoked)}: {_tell_when(config)}.")
        if (
            revoked.partition("@")[0] == DELEGATE_NAME
            and config.access.delegate_token_file is not None
        ):
            note(
                "The servers make the bot a new token when they start: restart them "
                "(docker compose restart servers), or it stays shut out."
            )

    return invocation.run(work, sections=_SECTIONS)


def copy_tokens(invocation: Invocation, file: Path) -> int:
    """Bring those of a file to where tokens are kept now; the file stays as it is."""

    async def work(config: Config) -> None:
        found = await read_token_file(file)
        async with open_tokens(config) as tokens:
            known = {token.token_id for token in await tokens.load()}
            missing = [token for token in found if token.token_id not in known]
            for token in missing:
                if await tokens.add(token):
                    note(f"Copied {_describe(token)}")
                else:
                    note(f"Not copied: there is another token named {one_line(token.name)}.")
        if not missing:
            note("Nothing to copy: all its tokens are there.")

    return invocation.run(work, sections=_SECTIONS)


def _tell_when(config: Config) -> str:
    if find_tokens_file(config) is None:
        return "it is refused by every server within two seconds"
    return "its next request is refused"


def parse_expiry(text: str, now: datetime) -> datetime:
    """The moment that a duration (`90d`) or a date (the end of that day, UTC) means.

    Raises:
        UsageError: It means none, or one that is over.
    """
    try:
        if duration := _DURATION.fullmatch(text):
            until = now + timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        else:
            until = _parse_moment(text)
            until = until.replace(tzinfo=until.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--expires {text}: should be a duration such as 90d or 12h, or a date such as "
            "2027-01-31."
        ) from None
    if until <= now:
        raise UsageError(f"--expires {text}: is over already.")
    return until


def _parse_moment(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
    return datetime.combine(day, time()) + timedelta(days=1)


def _check_scopes(scopes: Collection[str]) -> None:
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise UsageError(f"--scope {unknown[0]}: there is none; there are: {', '.join(SCOPES)}.")


def _tell_of_delegate(token: Token, *, is_owner_given: bool) -> None:
    if SCOPE_DELEGATE not in token.scopes:
        return
    if is_owner_given:
        note(
            "Note: --owner counts for nothing here: with the scope delegate, each call names the "
            "owner it acts for."
        )
    if len(token.scopes) == 1:
        note(
            "Note: alone, that is for looking after the store (owners, figures, deliveries, "
            "pairing): to act for an owner it needs what it is to do, such as "
            "--scope conversations:read."
        )


def _to_facts(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "owner": token.owner,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "expired": token.is_expired(),
    }


def _describe(token: Token) -> str:
    return (
        f"{one_line(token.name)} ({token.token_id}) acts for "
        f"{'any owner' if SCOPE_DELEGATE in token.scopes else one_line(token.owner)}, may "
        f"{', '.join(sorted(token.scopes))}, and {_render_expiry(token)}."
    )


def _render_expiry(token: Token) -> str:
    if token.expires_at is None:
        return "never expires"
    when = render_time(token.expires_at.isoformat())
    return f"expired {when}" if token.is_expired() else f"expires {when}"


def _to_table(tokens: Collection[Token]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "name", "owner", "scopes", "made", "until"):
        table.add_column(heading, no_wrap=heading in ("id", "made"), overflow="fold")
    for token in tokens:
        table.add_row(
            token.token_id,
            one_line(token.name),
            "any" if SCOPE_DELEGATE in token.scopes else one_line(token.owner),
            " ".join(sorted(token.scopes)),
            render_time(token.created_at.isoformat()),
            _render_expiry(token),
        )
    return table
