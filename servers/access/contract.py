"""What crosses the wire about who acts: the `_meta` key for an owner, scopes, names."""

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
