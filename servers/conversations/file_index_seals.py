"""What rows of the index hold, under checksums and keys: SQLite does not see flipped bits."""

import zlib
from typing import Any

from pydantic_core import PydanticSerializationError

from servers.conversations.contract import encode_json
from servers.conversations.file_directory import key_of
from servers.conversations.file_records import Facts, parse_json

_CHECKSUM_BYTES = 8


def seal(belongs_to: str, data: bytes) -> bytes:
    """JSON with a checksum that also tells whose it is."""
    return b"%08x%b" % (_checksum(belongs_to, data), data)


def seal_facts(key: str, facts: Facts) -> bytes:
    """A conversation's facts."""
    try:
        data = facts.model_dump_json().encode()  # a quarter of the time, but not 255 levels
    except PydanticSerializationError:
        data = encode_json(facts.model_dump())
    return seal(key, data)


def unseal(belongs_to: str, blob: bytes | str) -> Any:  # noqa: ANN401 - JSON
    """The value.

    Raises:
        ValueError: It is damaged, or another row's.
    """
    # SQLite's own damage may make another type of it.
    data = blob[_CHECKSUM_BYTES:] if isinstance(blob, bytes) else b""
    if not data or blob[:_CHECKSUM_BYTES] != b"%08x" % _checksum(belongs_to, data):
        raise ValueError("a row fails its checksum")
    return parse_json(data)


def unseal_facts(key: str, blob: bytes, owner: str | None) -> dict[str, Any]:
    """The facts of a row that was found under this owner, if one was asked for."""
    facts = unseal(key, blob)
    if owner not in (None, facts["owner"]):
        raise ValueError("a row stands under another owner")
    return facts


def prove_names(key: str, owner: object, conversation_id: object) -> tuple[str, str]:
    """Owner and id as a row has them, which its key proves.

    Raises:
        ValueError: They are another conversation's, or no text.
    """
    if (
        isinstance(owner, str)
        and isinstance(conversation_id, str)
        and key_of(owner, conversation_id) == key
    ):
        return owner, conversation_id
    raise ValueError("a row has not the names that it stands for")


def _checksum(belongs_to: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(belongs_to.encode()))
