"""The ids that the command gives to conversations, takes and shows."""

import secrets
import shlex
from datetime import datetime

from agentic.cli.failures import UsageError
from servers.conversations.contract import check_conversation_id


def create_id(prefix: str) -> str:
    """A new id that tells a person where and when the conversation began."""
    now = datetime.now().astimezone()
    return f"{prefix}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def check_id(conversation_id: str) -> str:
    """`conversation_id` if it can be one.

    Raises:
        UsageError: It can't.
    """
    try:
        return check_conversation_id(conversation_id)
    except ValueError as error:
        raise UsageError(f"The id of a conversation {error}.") from None


def render_id(conversation_id: str) -> str:
    """The id on one line, as a shell takes it: no two look alike, and no character acts or hides.

    What is neither a shell's own nor unprintable stays as it is; else it is quoted, and escaped in
    the way of bash, zsh and POSIX 2024.
    """
    if conversation_id.isprintable():
        readable = "".join(
            "x" if character > "\x7f" else character for character in conversation_id
        )
        return (
            conversation_id if shlex.quote(readable) == readable else shlex.quote(conversation_id)
        )
    return "$'" + "".join(_escape(character) for character in conversation_id) + "'"


def _escape(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}" if ord(character) > 0xFFFF else f"\\u{ord(character):04x}"
