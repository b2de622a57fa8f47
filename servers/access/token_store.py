"""The tokens there are, as records that all servers share."""

from collections.abc import Awaitable, Callable, Collection, Generator, Hashable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from agentic.config.findings import ConfigError
from servers.access.tokens import Token, TokenError, create_token
from servers.records.errors import RecordConflictError, RecordsUnavailableError
from servers.records.store import Record, RecordStore

MAX_TOKENS = 1_000
_PREFIX = "token/"
_PAGE = 1_000
_TRIES = 10
"""Of a change while others change the same token."""


class _Kept(NamedTuple):
    record: Record
    token: Token | None
    """None: it is damaged."""


class Tokens:
    """The tokens in a store, each under its name. A change is there for all when it returns.

    All methods raise `ConfigError` when the store can't be used, or holds what is no token.
    """

    def __init__(
        self, store: RecordStore, units: Mapping[tuple[str, str], float] | None = None
    ) -> None:
        self._store = store
        self.units = units
        """What the store has cost so far, where that is counted; see `HostedServer`."""

    def change_mark(self) -> Hashable | None:
        """See `RecordStore`."""
        return self._store.change_mark()

    async def load(self) -> list[Token]:
        """All of them, expired ones too, the oldest first."""
        kept = sorted(await self._list(), key=lambda each: each.record.version)
        return sorted(map(_require, kept), key=lambda token: token.created_at)

    async def create(
        self, name: str, owner: str, scopes: Collection[str], expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        """Make a token; returns it and its text, which is kept nowhere and can't be had again.

        Raises:
            TokenError: The name is taken, there are too many, or something about it is wrong.
        """
        token, text = create_token(name, owner, scopes, expires_at)
        present = await self._list()
        if len(present) >= MAX_TOKENS:
            raise TokenError(f"there are {MAX_TOKENS:,} tokens: revoke those not in use")
        if any(each.token and each.token.token_id == name for each in present):
            raise TokenError(f"{name!r} is the id of another token: choose another name")
        if not await self.add(token):
            raise TokenError(f"there is a token named {name!r}: revoke it, or choose another")
        return token, text

    async def add(self, token: Token) -> bool:
        """Keep a token that was made elsewhere; False if there is one of its name."""
        try:
            await self._put(token, 0)
        except RecordConflictError:
            return False
        return True

    async def revoke(self, name_or_id: str) -> str:
        """Take a token back, and return its name.

        Raises:
            TokenError: There is none of that name or id, or that means two.
        """
        for _ in range(_TRIES):
            found = _find(await self._list(), name_or_id)
            if found is None:
                raise TokenError(f"there is no token {name_or_id!r}")
            try:
                with _clear_errors():
                    await self._store.delete(found.key, found.version)
            except RecordConflictError:
                continue
            return found.key.removeprefix(_PREFIX)
        raise TokenError(f"others change the token {name_or_id!r} all the time: try again")

    async def renew(
        self,
        name: str,
        owner: str,
        scopes: Collection[str],
        hand_over: Callable[[str], Awaitable[None]],
    ) -> None:
        """Put a new token in the place of that of this name, and hand its text over before.

        What fails in between leaves a text that is refused, and `renew` can be called again.

        Raises:
            TokenError: Something about it is wrong.
        """
        for _ in range(_TRIES):
            token, text = create_token(name, owner, scopes)
            with _clear_errors():
                former = await self._store.get(_PREFIX + name)
            await hand_over(text)
            try:
                await self._put(token, former.version if former else 0)
            except RecordConflictError:
                continue
            return
        raise TokenError(f"others change the token {name!r} all the time: try again")

    async def _put(self, token: Token, expected_version: int) -> None:
        value = token.model_dump_json().encode()
        with _clear_errors():
            await self._store.put(_PREFIX + token.name, value, expected_version)

    async def _list(self) -> list[_Kept]:
        found: list[_Kept] = []
        after: str | None = None
        with _clear_errors():
            while True:
                page = await self._store.list(_PREFIX, _PAGE, after)
                found += [_Kept(record, _parse(record)) for record in page.records]
                if (after := page.after) is None:
                    return found


def _parse(record: Record) -> Token | None:
    try:
        token = Token.model_validate_json(record.value)
    except ValidationError:
        return None
    return token if record.key == _PREFIX + token.name else None


def _require(kept: _Kept) -> Token:
    if kept.token is None:
        name = kept.record.key.removeprefix(_PREFIX)
        raise ConfigError(
            f"the token {name!r} is damaged: take it back with `agentic token revoke`, and make it "
            "anew"
        )
    return kept.token


def _find(kept: Collection[_Kept], name_or_id: str) -> Record | None:
    by_id = (each.record for each in kept if each.token and each.token.token_id == name_or_id)
    by_name = (each.record for each in kept if each.record.key == _PREFIX + name_or_id)
    identified, named = next(by_id, None), next(by_name, None)
    if identified and named and identified.key != named.key:
        other = identified.key.removeprefix(_PREFIX)
        raise TokenError(
            f"{name_or_id!r} is the name of one token and the id of another: take the first back "
            f"by its own id, the other by its name, {other!r}"
        )
    return identified or named


@contextmanager
def _clear_errors() -> Generator[None]:
    """A store that can't be used is for the operator to mend."""
    try:
        yield
    except RecordsUnavailableError as error:
        raise ConfigError(f"tokens: {error}") from None
