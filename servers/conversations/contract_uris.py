"""The URIs of conversations and their attachments: made, and taken apart.

Pydantic and the standard library only, so that any client can import it.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from servers.conversations.contract import RESOURCE_SCHEME, check_conversation_id
from servers.conversations.contract_attachments import check_attachment_id

_ENCODED = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]-]|%[0-9A-Fa-f]{2})+"
"""RFC 3986: unreserved, escapes, and reserved characters that end nothing; lenient on input."""
_CONVERSATION = re.compile(f"{re.escape(RESOURCE_SCHEME)}({_ENCODED})")
_ATTACHMENT = re.compile(
    rf"{re.escape(RESOURCE_SCHEME)}({_ENCODED})/attachments/({_ENCODED})(?:\?(.*))?"
)
_NUMBER = re.compile(r"(offset|length)=(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AttachmentUri:
    """Which attachment, and which part of it; all of it where neither number is given."""

    conversation_id: str
    attachment_id: str
    offset: int | None = None
    length: int | None = None

    def render(self) -> str:
        """The URI, percent-encoded outside RFC 3986's unreserved characters."""
        numbers = {"offset": self.offset, "length": self.length}
        query = "&".join(f"{name}={given}" for name, given in numbers.items() if given is not None)
        uri = f"{to_uri(self.conversation_id)}/attachments/{quote(self.attachment_id, safe='')}"
        return f"{uri}?{query}" if query else uri


def to_uri(conversation_id: str) -> str:
    """A conversation's URI, percent-encoded outside RFC 3986's unreserved characters."""
    return RESOURCE_SCHEME + quote(conversation_id, safe="")


def parse_uri(uri: str) -> str | None:
    """The id of the conversation that a URI names, None if it can't name one."""
    found = _CONVERSATION.fullmatch(uri)
    try:
        return check_conversation_id(_decode(found[1])) if found else None
    except ValueError:
        return None


def parse_attachment_uri(uri: str) -> AttachmentUri | None:
    """What a URI names of an attachment, None if it can't name any."""
    found = _ATTACHMENT.fullmatch(uri)
    if found is None:
        return None
    numbers: dict[str, int] = {}
    for part in found[3].split("&") if found[3] is not None else ():
        number = _NUMBER.fullmatch(part)
        if number is None or number[1] in numbers:
            return None
        numbers[number[1]] = int(number[2])
    try:
        conversation_id = check_conversation_id(_decode(found[1]))
        attachment_id = check_attachment_id(_decode(found[2]))
    except ValueError:
        return None
    return AttachmentUri(
        conversation_id, attachment_id, numbers.get("offset"), numbers.get("length")
    )


def _decode(encoded: str) -> str:
    return unquote_to_bytes(encoded).decode("utf-8")
