"""What an attachment may be: how large, how named, of which type, and how its bytes are sent.

Pydantic and the standard library only, so that any client can import it.
"""

import base64
import binascii
import re

from servers.conversations.contract import SizeError

MAX_ATTACHMENT_BYTES = 20 * 1024 * 1024
"""What Telegram's bots can fetch of a file, so that whatever comes in there can be kept."""
MAX_CHUNK_BYTES = 2 * 1024 * 1024
"""In one call, before base64: requests are capped at 4 MiB by servers that others built."""
MAX_PART_BYTES = 512 * 1024
"""Of one part that is read: as base64 it stays under the 1 MiB that the SDK's clients of the older
era take at once over HTTP."""
MAX_ATTACHMENTS = 1_000
"""Of one conversation."""
MAX_LISTED_ATTACHMENTS = 100
"""With the facts of a conversation: the latest ones, lest they outgrow a page."""
MAX_ATTACHMENT_ID_CHARACTERS = 256
MAX_NAME_CHARACTERS = 255
MAX_MIME_TYPE_CHARACTERS = 255

SIZE_META_KEY = "agentic/size"
OFFSET_META_KEY = "agentic/offset"
NAME_META_KEY = "agentic/name"
"""Keys in the `_meta` of what is read: the whole attachment's size in bytes, the place of the first
byte in it, and its name."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's word for it
_MIME_TYPE = re.compile(
    rf'({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*)'
)


def check_attachment_id(attachment_id: str) -> str:
    """Return `attachment_id` if it can be one: 1 to 256 characters, no control characters.

    Raises:
        ValueError: It cannot.
    """
    return _check_line(attachment_id, MAX_ATTACHMENT_ID_CHARACTERS)


def check_attachment_name(name: str) -> str:
    """Return `name` if it can be one: 1 to 255 characters to be shown, never a path.

    Raises:
        ValueError: It cannot.
    """
    return _check_line(name, MAX_NAME_CHARACTERS)


def parse_mime_type(text: str) -> str:
    """`text` as a MIME type, in lower case but for its parameters, which are kept as they came.

    Raises:
        ValueError: It is none.
    """
    found = _MIME_TYPE.fullmatch(text) if len(text) <= MAX_MIME_TYPE_CHARACTERS else None
    if found is None:
        raise ValueError(
            f"is a MIME type of at most {MAX_MIME_TYPE_CHARACTERS} characters, such as image/png"
        )
    return found[1].lower() + found[2]


def decode_chunk(text: str) -> bytes:
    """The bytes that `text` stands for in base64.

    Raises:
        SizeError: They are more than a chunk may have.
        ValueError: It is no base64: padded, without spaces or line breaks.
    """
    size = len(text) // 4 * 3 - text[-2:].count("=")
    if size > MAX_CHUNK_BYTES:
        raise SizeError(f"a chunk has at most {MAX_CHUNK_BYTES} bytes, this one has {size}")
    try:
        if len(text) % 4:
            raise ValueError("not padded")
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:
        raise ValueError("is base64, padded with = and without spaces or line breaks") from None


def encode_chunk(data: bytes) -> str:
    """The base64 that `decode_chunk` takes."""
    return base64.b64encode(data).decode("ascii")


def _check_line(text: str, max_characters: int) -> str:
    if not 1 <= len(text) <= max_characters:
        raise ValueError(f"has 1 to {max_characters} characters, this has {len(text)}")
    if _CONTROL.search(text):
        raise ValueError("holds no control characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode (it holds a lone surrogate)") from None
    return text
