"""The ids that the command gives to conversations, and takes."""

import secrets
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
        raise UsageError(f"--conversation: an id {error}.") from None
