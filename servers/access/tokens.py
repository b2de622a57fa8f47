"""Bearer tokens: what is known of one, how it is made, and whether a text is it."""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from servers.access.contract import SCOPES, check_owner
from servers.access.principal import Principal

MAX_NAME_CHARACTERS = 64
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

    def is_secret(self, secret: str) -> bool:
        """Whether that is its secret; how long it takes tells nothing of it."""
        return hmac.compare_digest(_hash(secret), self.secret_sha256)

    def to_principal(self) -> Principal:
        """Who calls with it."""
        return Principal(self.name, self.owner, self.scopes)


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


def split_text(text: str) -> tuple[str, str]:
    """The id and the secret in a token's text; both empty if it is none."""
    if len(text) > _MAX_TEXT_CHARACTERS:
        return "", ""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    return (token_id, secret) if prefix == TEXT_PREFIX else ("", "")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
