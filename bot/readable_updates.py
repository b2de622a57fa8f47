"""Updates as PTB can read them: one that it can't would keep all others from coming.

It raises at what its version of the Bot API has otherwise, and polling ends without a word.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from telegram import Update

_HEAD = ("message_id", "date", "chat", "from")
"""What says that somebody wrote, whatever it was."""

logger = logging.getLogger(__name__)


def mend_poll(body: bytes, bring: Callable[[Sequence[Mapping[str, Any]]], None]) -> bytes:
    """An answer to `getUpdates` with what PTB can read, by the updates' ids; `bring` is told of it.

    Telegram counts ids up as things happen; in another order updates would be answered in that,
    and confirmed in part. What is no such answer stays as it is.
    """
    try:
        answer: Any = json.loads(body)
        updates = sorted(answer["result"], key=lambda update: update["update_id"])
    except (ValueError, TypeError, KeyError):
        return body
    readable = [make_readable(each) for each in updates]
    bring(readable)
    return json.dumps({**answer, "result": readable}).encode()


def make_readable(update: Mapping[str, Any]) -> dict[str, Any]:
    """The update, or what PTB can read of it: that somebody wrote, or only that there was one."""
    bare: dict[str, Any] = {"update_id": update["update_id"]}
    if _is_readable(update):
        return dict(update)
    message: object = update.get("message")
    if isinstance(message, Mapping):
        known = cast("Mapping[str, Any]", message)
        head = {**bare, "message": {name: known[name] for name in _HEAD if name in known}}
        if _is_readable(head):
            return head
    return bare


def _is_readable(update: Mapping[str, Any]) -> bool:
    try:
        Update.de_json(dict(update), None)
    except Exception:  # boundary: whatever PTB runs into
        logger.exception("An update could not be read as it is")
        return False
    return True
