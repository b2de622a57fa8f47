"""Which calls wait for a person's yes: by the tool, and by what the model has read."""

import hashlib
import json
from collections.abc import Iterable

from client.hub.servers import HubTool
from servers.conversations.contract import Message

UNTRUSTED = "untrusted"
"""Key of a message's metadata: whether others wrote what it says."""

IMPORTED = "imported"
"""Key of a message's annotations: true, if it was taken in from a file."""

_MARKS = ("imported_from", IMPORTED, "forwarded", UNTRUSTED)


def why_held(tool: HubTool, *, read_untrusted: bool) -> str | None:
    """Why a call needs a yes, as the end of "asked because …"; None: it does not.

    What a server says about its tool can add a question, and `read_only` spares only the third.
    """
    if tool.confirm:
        return "this tool always asks"
    if tool.read_only:
        return None
    if tool.says_destructive:
        return "it may change or delete what can't be brought back"
    if read_untrusted:
        return "the assistant has read text that others wrote, which may be behind this"
    return None


def is_from_outside(tool: HubTool) -> bool:
    """Whether others may have written what the tool gives: all may, but what ours rule out."""
    return not (tool.ours and tool.own_words)


def shows_untrusted(messages: Iterable[Message]) -> bool:
    """Whether anything that others wrote is among what a model is shown.

    A tool's result of which nothing is known counts as theirs.
    """
    return any(map(_is_untrusted, messages))


def _is_untrusted(message: Message) -> bool:
    metadata = message.metadata or {}
    if (message.annotations or {}).get(IMPORTED):
        return True  # whatever the file said of itself
    if message.role == "tool":
        return metadata.get(UNTRUSTED) is not False
    return message.role == "system" or any(metadata.get(mark) for mark in _MARKS)


def fingerprint(tool: HubTool) -> str:
    """Changes with anything that a server says about its tool."""
    definition = tool.definition
    told = [definition.name, definition.description, definition.input_schema]
    flags = [tool.title, tool.read_only, tool.says_destructive, tool.open_world, tool.confirm]
    text = json.dumps([*told, *flags], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
