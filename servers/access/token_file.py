"""The tokens of one machine: records in an SQLite file, where JSON held them before."""

import logging
import stat
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from pydantic import Field, TypeAdapter

from agentic.config.findings import ConfigError, printable
from agentic.config.private_files import explain_refusal, read_private
from servers.access.place_lock import hold_place
from servers.access.token_store import Tokens
from servers.access.tokens import Token
from servers.records.errors import RecordsUnavailableError
from servers.records.sqlite_store import open_sqlite_records

_log = logging.getLogger(__name__)
_FORMER: TypeAdapter[dict[str, Token]] = TypeAdapter(
    Annotated[dict[str, Token], Field(min_length=1)]
)
_NO_TOKENS = "is no file of tokens"
_NO_TOKENS_ADVICE = (
    f"{_NO_TOKENS}, or damaged: correct access.tokens_file, or if it held tokens, move it away"
)
_SUFFIX, _FORMER_SUFFIX, _TAKEN_OVER = ".sqlite3", ".json", ".taken-over"


def to_records_file(named: Path) -> Path:
    """The file of records for the file that `access.tokens_file` names: in the place of JSON."""
    if named.suffix == _SUFFIX:
        return named
    return named.with_name(named.name.removesuffix(_FORMER_SUFFIX) + _SUFFIX)


def to_former_file(named: Path) -> Path:
    """Where JSON held tokens before."""
    return named.with_suffix(_FORMER_SUFFIX) if named.suffix == _SUFFIX else named


@asynccontextmanager
async def open_token_file(named: Path) -> AsyncGenerator[Tokens]:
    """Open the tokens of `access.tokens_file`; those in a JSON file of that name are taken over.

    Raises:
        ConfigError: One of the files can't be used.
    """
    async with AsyncExitStack() as stack:
        former = to_former_file(named)
        is_there = await to_thread.run_sync(_is_there, former)
        if is_there:  # before anything is made or renamed: it may be somebody else's
            await to_thread.run_sync(read_private, former, _FORMER, _NO_TOKENS_ADVICE)
        try:
            opening = open_sqlite_records(to_records_file(named))
            tokens = Tokens(await stack.enter_async_context(opening))
        except RecordsUnavailableError as error:
            advice = f". {_advise(former)}" if is_there else ""
            raise ConfigError(f"tokens: {error}{advice}") from None
        if is_there:
            await _take_over(former, tokens)
        yield tokens


async def read_token_file(named: Path) -> list[Token]:
    """The tokens in a file of records and in its JSON of before, both left as they are.

    Raises:
        ConfigError: There is none, or it can't be used.
    """
    former, records = to_former_file(named), to_records_file(named)
    has_former = await to_thread.run_sync(_is_there, former)
    has_records = await to_thread.run_sync(_is_there, records)
    if not has_former and not has_records:
        raise ConfigError(f"{printable(str(named))}: there is no such file")
    found: list[Token] = []
    if has_former:
        read = await to_thread.run_sync(read_private, former, _FORMER, _NO_TOKENS)
        found += read.values()
    if has_records:
        try:
            async with open_sqlite_records(records) as store:
                found += await Tokens(store).load()
        except RecordsUnavailableError as error:
            raise ConfigError(f"tokens: {error}") from None
    return found


async def _take_over(former: Path, tokens: Tokens) -> None:
    """Once: when its tokens are all there, the file gets another name.

    Nobody who could revoke one of them comes before that is done, so none comes back.
    """
    async with hold_place(former):
        found = await to_thread.run_sync(read_private, former, _FORMER, _NO_TOKENS_ADVICE)
        for token in found.values():
            if not await tokens.add(token):
                _log.warning("there is a token named %r already: it stays", token.name)
        await to_thread.run_sync(_put_away, former)


def _is_there(former: Path) -> bool:
    try:
        mode = former.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        # Whether it was ever there is not to be seen where the folder is closed to us.
        place = former.parent if isinstance(error, PermissionError) else former
        reason = explain_refusal(place, error)
        raise ConfigError(f"{printable(str(place))}: can't be read: {reason}") from None
    if not stat.S_ISREG(mode):  # to open a pipe could wait for ever
        raise ConfigError(f"{printable(str(former))}: is no plain file")
    return True


def _advise(former: Path) -> str:
    return (
        f"Tokens are no longer read from JSON such as {printable(str(former))}: they are taken "
        "over into SQLite beside it, which must be writable. Copy the file into such a folder, "
        "and name it there in access.tokens_file"
    )


def _put_away(former: Path) -> None:
    try:
        former.rename(former.with_name(former.name + _TAKEN_OVER))
    except FileNotFoundError:
        return  # another program has taken it over
    except OSError as error:
        shown = printable(str(former))
        raise ConfigError(
            f"{shown}: was taken over, but can't be renamed: {error.strerror}. Remove it, or its "
            f"mount: {printable(str(to_records_file(former)))} holds its tokens now"
        ) from None
