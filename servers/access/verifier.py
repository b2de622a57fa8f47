"""Who calls: whom a bearer token stands for, from what was last read of the tokens."""

import time
from collections.abc import Hashable, Mapping

import anyio

from servers.access.principal import Principal
from servers.access.token_store import Tokens
from servers.access.tokens import Token, split_text

KNOWN_SECONDS = 1.0
"""So long what was read counts where only reading tells of changes (DynamoDB)."""


class TokenVerifier:
    """Says who a token is.

    On one machine a change counts from the next call on, elsewhere after `known_seconds` at most.
    """

    def __init__(self, tokens: Tokens, *, known_seconds: float = KNOWN_SECONDS) -> None:
        self._tokens = tokens
        self._known_seconds = known_seconds
        self._known: Mapping[str, Token] = {}
        self._mark: Hashable | None = None
        self._read_at: float | None = None
        """None: nothing was read, or it failed."""
        self._reading = anyio.Lock()

    async def verify(self, text: str) -> Principal | None:
        """Whom this token stands for, None for one that is unknown, revoked or expired.

        Raises:
            ConfigError: The tokens can't be read, or one is damaged; nobody gets in then.
        """
        if not self._is_fresh():
            async with self._reading:  # who waited finds what another one has read
                if not self._is_fresh():
                    await self._read()
        return self.verify_known(text)

    def verify_known(self, text: str) -> Principal | None:
        """The same, by what was last read: who is let in is looked at anew with each `verify`."""
        token_id, secret = split_text(text)
        token = self._known.get(token_id)
        if token is None or not token.is_secret(secret) or token.is_expired():
            return None
        return token.to_principal()

    def knows(self, principal: Principal) -> bool:
        """Whether some token stands for it, by what was last read."""
        return any(
            token.to_principal() == principal and not token.is_expired()
            for token in self._known.values()
        )

    def _is_fresh(self) -> bool:
        if self._read_at is None:
            return False
        mark = self._tokens.change_mark()
        if mark is None:
            return time.monotonic() - self._read_at < self._known_seconds
        return mark == self._mark

    async def _read(self) -> None:
        mark, began = self._tokens.change_mark(), time.monotonic()
        try:
            tokens = await self._tokens.load()
        except Exception:
            self._known, self._read_at = {}, None
            raise
        self._known = {token.token_id: token for token in tokens}
        self._mark, self._read_at = mark, began
