"""Bearer tokens: made, kept hashed in one private file, checked, taken back."""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from agentic.config.findings import ConfigError, printable
from agentic.config.private_files import read_private, update_private
from servers.access.contract import SCOPES, check_owner
from servers.access.principal import Principal

MAX_NAME_CHARACTERS = 64
MAX_TOKENS = 1_000
TEXT_PREFIX = "agentic"
_ID_BYTES = 4
_SECRET_BYTES = 32
_MAX_TEXT_CHARACTERS = 256


class TokenError(Exception):
    """A token can't be made or found; the text says why, for the operator."""


class TokenFactsError(TokenError):
    """No token can be like that."""


def _check_name(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise ValueError(
            f"a token's name has 1 to {MAX_NAME_CHARACTERS} characters that can be printed"
        )
    return name


class Token(BaseModel):
    """What is known of a token. Of its secret only the hash: 256 random bits need no salt."""

    model_config = ConfigDict(frozen=True)

    token_id: str
    name: Annotated[str, AfterValidator(_check_name)]
    owner: Annotated[str, AfterValidator(check_owner)]
    scopes: frozenset[str]
    secret_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)

    def to_principal(self) -> Principal:
        """Who calls with it."""
        return Principal(self.name, self.owner, self.scopes)


_TOKENS = TypeAdapter(dict[str, Token])


class TokenFile:
    """The tokens in one file. A change is there for all processes when it returns.

    All methods raise `ConfigError` when the file can't be used, and may block for milliseconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Token]:
        """All of them, expired ones too, the oldest first."""
        return list(read_private(self._path, _TOKENS).values())

    def create(
        self, name: str, owner: str, scopes: Collection[str], expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        """Make a token; returns it and its text, which is kept nowhere and can't be had again.

        Raises:
            TokenError: The name is taken, there are too many, or something about it is wrong.
        """
        token, text = create_token(name, owner, scopes, expires_at)

        def add(tokens: dict[str, Token]) -> Mapping[str, Token]:
            if any(each.name == name for each in tokens.values()):
                raise TokenError(f"there is a token named {name!r}: revoke it, or choose another")
            if len(tokens) >= MAX_TOKENS:
                raise TokenError(f"there are {MAX_TOKENS:,} tokens: revoke those not in use")
            return {**tokens, token.token_id: token}

        self._update(add)
        return token, text

    def revoke(self, name_or_id: str) -> Token:
        """Take a token back: the next request with it is refused.

        Raises:
            TokenError: There is none of that name or id.
        """
        revoked: list[Token] = []

        def remove(tokens: dict[str, Token]) -> Mapping[str, Token]:
            by_name = (token for token in tokens.values() if token.name == name_or_id)
            token = tokens.get(name_or_id) or next(by_name, None)
            if token is None:
                raise TokenError(f"there is no token {name_or_id!r}")
            revoked.append(token)
            return {key: each for key, each in tokens.items() if each is not token}

        self._update(remove)
        return revoked[0]

    def renew(
        self,
        name: str,
        owner: str,
        scopes: Collection[str],
        hand_over: Callable[[str], None],
        *,
        unless: Callable[[], bool],
    ) -> None:
        """Put a new token in the place of those of this name, and hand its text over before.

        `unless` is asked when nobody else can do the same. What fails in between leaves a text that
        is refused, and `renew` can be called again.

        Raises:
            TokenFactsError: Something about it is wrong.
        """
        token, text = create_token(name, owner, scopes)

        def put(tokens: dict[str, Token]) -> Mapping[str, Token]:
            if unless():
                return tokens
            hand_over(text)
            kept = {key: each for key, each in tokens.items() if each.name != name}
            return {**kept, token.token_id: token}

        self._update(put)

    def _update(self, change: Callable[[dict[str, Token]], Mapping[str, Token]]) -> None:
        # The operator chose the folder, and others may need it.
        update_private(self._path, _TOKENS, change, close_folder=False)


class TokenVerifier:
    """Says who a token is. A change of the file counts from the next call on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int, int] | None = None
        self._tokens: Mapping[str, Token] = {}

    def verify(self, text: str) -> Principal | None:
        """Whom this token stands for, None for one that is unknown, revoked or expired.

        Raises:
            ConfigError: The file can't be read, or is damaged; nobody gets in then.
        """
        self._refresh()
        token_id, secret = _split(text)
        token = self._tokens.get(token_id)
        expected = token.secret_sha256 if token is not None else ""
        is_right = hmac.compare_digest(_hash(secret), expected)
        return token.to_principal() if token and is_right and not token.is_expired() else None

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - for each request: half the time of Path's
        except FileNotFoundError:
            self._read, self._tokens = None, {}
            return
        except OSError as error:
            shown = printable(str(self._path))
            raise ConfigError(f"{shown}: can't be read: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):  # to open a pipe could wait for ever
            raise ConfigError(f"{printable(str(self._path))}: is no plain file")
        version = (found.st_ino, found.st_size, found.st_mtime_ns)
        if version != self._read:
            self._read = None  # what can't be read now is tried again at the next call
            self._tokens = {}
            self._tokens = read_private(self._path, _TOKENS)
            self._read = version


def create_token(
    name: str, owner: str, scopes: Collection[str], expires_at: datetime | None = None
) -> tuple[Token, str]:
    """A new token and its text.

    Raises:
        TokenFactsError: Something about it is wrong.
    """
    if name != name.strip():
        raise TokenFactsError("a token's name neither begins nor ends with a space")
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise TokenFactsError(f"there is no scope {unknown[0]!r}; there are: {', '.join(SCOPES)}")
    if not scopes:
        raise TokenFactsError(f"a token needs a scope; there are: {', '.join(SCOPES)}")
    try:
        _check_name(name)
        check_owner(owner)
    except ValueError as error:
        raise TokenFactsError(str(error)) from None
    token_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    token = Token(
        token_id=token_id,
        name=name,
        owner=owner,
        scopes=frozenset(scopes),
        secret_sha256=_hash(secret),
        created_at=datetime.now(UTC).replace(microsecond=0),
        expires_at=expires_at,
    )
    if token.is_expired():
        raise TokenFactsError("this token would have expired already")
    return token, f"{TEXT_PREFIX}_{token_id}_{secret}"


def _split(text: str) -> tuple[str, str]:
    if len(text) > _MAX_TEXT_CHARACTERS:
        return "", ""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    return (token_id, secret) if prefix == TEXT_PREFIX else ("", "")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
