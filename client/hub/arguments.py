"""Arguments as they may be sent: plain JSON, of sane depth and size."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from client.hub.errors import InvalidArgumentsError

MAX_ARGUMENTS_BYTES = 4 * 1024 * 1024
"""What servers built on the SDK accept as one request over HTTP, minus room for its envelope."""

_MAX_DEPTH = 104
"""The deepest that servers of ours take, a document of 103 levels among the other arguments."""
_ENVELOPE_BYTES = 16 * 1024


def check_arguments(server: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return `arguments` as a dict if they can be sent.

    A lone surrogate would end a stdio connection, and a message that is too deep is never answered,
    so both are refused here.

    Raises:
        InvalidArgumentsError: Not JSON, NaN or infinite, not valid Unicode, too deep, or too large.
    """
    try:
        plain = dict(arguments)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidArgumentsError(
            server, "the arguments hold half of a surrogate pair, which is no text; remove it"
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentsError(server, f"the arguments are not JSON: {error}") from None
    if not all(isinstance(name, str) for name in cast("Iterable[object]", plain)):
        raise InvalidArgumentsError(server, "the arguments are not JSON: a name is not text")
    if size > MAX_ARGUMENTS_BYTES - _ENVELOPE_BYTES:
        raise InvalidArgumentsError(
            server,
            f"the arguments have {size:,} bytes; at most 4 MiB can be sent, so send less at a time",
        )
    # There is no depth without brackets, and few arguments have this many.
    if text.count("{") + text.count("[") > _MAX_DEPTH and depth_of(plain) > _MAX_DEPTH:
        raise InvalidArgumentsError(
            server, f"the arguments are nested over {_MAX_DEPTH} levels deep"
        )
    return plain


def depth_of(value: object) -> int:
    """How many levels there are; a number or an empty object is one."""
    depth, layer = 0, [value]
    while layer:
        depth += 1
        layer = [child for item in layer for child in _children(item)]
    return depth


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("Iterable[object]", value) if isinstance(value, list | tuple) else ()
