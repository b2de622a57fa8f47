"""What the arguments of the verbs must be, for every back end."""

from datetime import UTC, datetime, timedelta

from servers.records.errors import InvalidRecordError

MAX_KEY_BYTES = 512
MAX_VALUE_BYTES = 256 * 1024
MAX_LIST_LIMIT = 1_000
PAGE_BYTES = 1024 * 1024
_MAX_VERSION = 2**53 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_key(key: str, field: str = "key") -> None:
    """Raise `InvalidRecordError` if it can't be a key."""
    if not key:
        raise InvalidRecordError(field, "is empty")
    check_prefix(key, field)


def check_prefix(prefix: str, field: str = "prefix") -> None:
    """Raise `InvalidRecordError` if no key can begin so."""
    try:
        size = len(prefix.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidRecordError(field, "must be valid Unicode") from None
    if size > MAX_KEY_BYTES:
        raise InvalidRecordError(
            field, f"has at most {MAX_KEY_BYTES} bytes of UTF-8, this one has {size:,}"
        )
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in prefix):
        raise InvalidRecordError(field, "holds no control characters")


def check_value(value: bytes) -> None:
    """Raise `InvalidRecordError` if it is too large."""
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidRecordError(
            "value", f"has at most {MAX_VALUE_BYTES:,} bytes, this one has {len(value):,}"
        )


def check_version(expected_version: int) -> None:
    """Raise `InvalidRecordError` if no record can be of that version."""
    if not 0 <= expected_version <= _MAX_VERSION:
        raise InvalidRecordError("expected_version", f"is 0 to {_MAX_VERSION:,}")


def check_limit(limit: int) -> None:
    """Raise `InvalidRecordError` if a page can't be that long."""
    if not 1 <= limit <= MAX_LIST_LIMIT:
        raise InvalidRecordError("limit", f"is 1 to {MAX_LIST_LIMIT:,}")


def to_microseconds(expires_at: datetime | None) -> int | None:
    """The moment as stored.

    Raises:
        InvalidRecordError: It has no offset, or is before 1970.
    """
    if expires_at is None:
        return None
    if expires_at.tzinfo is None or expires_at < _EPOCH:
        raise InvalidRecordError("expires_at", "has an offset from UTC, and is after 1970")
    return (expires_at - _EPOCH) // timedelta(microseconds=1)


def to_moment(microseconds: int | None) -> datetime | None:
    """The moment that is stored."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
