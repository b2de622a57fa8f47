"""Whom an error answers: the id of a request, of one too that the JSON parser can't take."""

import json
import re
from itertools import islice
from typing import cast

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
WRONG_ID = "The id of a request has to be text or a whole number"
_MAX_TOKENS = 2_000_000
"""About half a second in which nothing else is done; in a line with more, the id is not found."""


def request_id_of(message: object) -> int | str | None:
    """The id of a request; None for what is not one, whose id may be another's."""
    if not isinstance(message, dict) or "method" not in message:
        return None
    request_id = cast("dict[str, object]", message).get("id")
    if isinstance(request_id, int | str) and not isinstance(request_id, bool):
        return request_id
    return None


def is_request_without_id(message: object) -> bool:
    """Whether who sent it waits for an answer that none can be: its id is no id.

    Of a notification nobody does, whatever stands in it.
    """
    if not isinstance(message, dict) or "id" not in message:
        return False
    method = cast("dict[str, object]", message).get("method")
    is_notification = not isinstance(method, str) or method.startswith("notifications/")
    return not is_notification and request_id_of(cast("object", message)) is None


def find_request_id(line: bytes) -> int | str | None:
    """The id of a request that is nested too deeply, or holds a number too long, to be parsed."""
    try:
        return request_id_of(json.loads(_flatten(line)))
    except (ValueError, RecursionError):
        return None


def _flatten(line: bytes) -> bytes:
    """`line` with null for each array and object inside the outermost one."""
    flat: list[bytes] = []
    depth = begin = 0
    for token in islice(_TOKEN.finditer(line), _MAX_TOKENS):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                if depth == 2:
                    flat += [line[begin : token.start()], b"null"]
            case b"]" | b"}":
                depth -= 1
                begin = token.end() if depth == 1 else begin
            case _:
                pass  # a string: brackets in it are none
    return b"".join([*flat, line[begin:]])
