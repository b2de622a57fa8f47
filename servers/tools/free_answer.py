"""An answer without our envelope: JSON, text, a page, a picture or a sound."""

import json
import re
from typing import NoReturn

import httpx2

from servers.tools.html_text import to_text
from servers.tools.results import Media, ToolFailedError

_MEDIA_TYPE = re.compile(r"(image|audio)/(?!svg)[a-z0-9.+-]{1,64}")
_MAX_MEDIA_BYTES = 700_000
"""In base64 the most that clients take in one result (1 MiB)."""
_PAGE = re.compile(r"\s*+(<!doctype html|<html)", re.IGNORECASE)


def find_media(headers: httpx2.Headers, body: bytes) -> Media | None:
    """The picture or sound that an answer is, by its content type; None: it is none.

    Raises:
        ToolFailedError: It is larger than clients take, or some other thing that is no text.
    """
    content_type = _content_type(headers)
    if _MEDIA_TYPE.fullmatch(content_type):
        if len(body) > _MAX_MEDIA_BYTES:
            raise ToolFailedError(
                "too_large",
                f"the endpoint answered with {content_type} of {len(body)} bytes; clients take "
                f"{_MAX_MEDIA_BYTES}: ask for less",
            )
        return Media(content_type, body)
    if b"\0" in body and not content_type.startswith("text/"):
        raise ToolFailedError(
            "failed", "the endpoint's answer is neither text nor JSON, nor a picture or a sound"
        )
    return None


def parse_freely(headers: httpx2.Headers, body: bytes) -> object:
    """JSON if it is some, the readable text of a page, else text."""
    try:
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
    is_page = _content_type(headers) in ("text/html", "application/xhtml+xml")
    return to_text(text) if is_page or _PAGE.match(text) else text


def refuse_constant(name: str) -> NoReturn:
    """For `json.loads`, which takes NaN and Infinity otherwise."""
    raise ValueError(f"{name} is not JSON")


def _content_type(headers: httpx2.Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
