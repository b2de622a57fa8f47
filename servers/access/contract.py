"""What crosses the wire about who acts: the `_meta` key for an owner, scopes, names, identities."""

from typing import Literal

from pydantic import BaseModel, Field

PAIRING_ALPHABET = "BCDFGHJKMNPQRSTVWXZ23456789"
"""Of the codes for pairing: without vowels, so that no word is taken for one, and without what
looks like something else."""
PAIRING_GROUPS, PAIRING_GROUP_CHARACTERS = 3, 4
"""So many groups of so many characters."""

OWNER_META_KEY = "agentic/owner"
"""Key in a request's `_meta` under which a delegate names the owner it acts for."""

MAX_OWNER_BYTES = 256
"""Longest owner name, in bytes of UTF-8."""

SCOPE_CONVERSATIONS_READ = "conversations:read"
SCOPE_CONVERSATIONS_WRITE = "conversations:write"
SCOPE_TOOLS_CALL = "tools:call"
SCOPE_DELEGATE = "delegate"
SCOPES = {
    SCOPE_CONVERSATIONS_READ: "read the owner's conversations",
    SCOPE_CONVERSATIONS_WRITE: "add to them, change and delete them",
    SCOPE_TOOLS_CALL: "call tools",
    SCOPE_DELEGATE: "act for any owner, whom each call names",
}
"""Every scope → what it lets a principal do."""


def check_owner(owner: str) -> str:
    """Return `owner` if it can name an owner.

    Raises:
        ValueError: If it is empty, longer than 256 bytes of UTF-8, not encodable, or holds a
        control character.
    """
    try:
        size = len(owner.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("an owner must be valid Unicode") from None
    if not 1 <= size <= MAX_OWNER_BYTES:
        raise ValueError(f"an owner has 1 to {MAX_OWNER_BYTES} bytes of UTF-8, this one has {size}")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in owner):
        raise ValueError("an owner holds no control characters")
    return owner


class Identity(BaseModel):
    """Somebody known elsewhere, and the owner they are here."""

    identity: str = Field(description="Such as telegram:42.")
    owner: str
    paired_at: str = Field(description="RFC 3339, in UTC.")


class IdentitiesResult(BaseModel):
    """All that were paired."""

    identities: list[Identity]


class PairingResult(BaseModel):
    """A code that makes whoever gives it first the owner's."""

    code: str = Field(description="Told this once, and kept nowhere.")
    owner: str
    expires_at: str = Field(description="RFC 3339, in UTC.")


class ClaimResult(BaseModel):
    """What became of a code that somebody gave."""

    outcome: Literal["paired", "wrong", "withdrawn", "none"] = Field(
        description="withdrawn: it was the last try that there was; none: no code is open."
    )
    owner: str | None = Field(default=None, description="Who they are, if paired.")
    tries_left: int | None = Field(default=None, description="If it was wrong.")


class RemoveIdentityResult(BaseModel):
    """Whether there was one."""

    removed: bool
