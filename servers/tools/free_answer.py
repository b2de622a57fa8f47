"""An answer without our envelope: JSON, text, a page, or bytes for a program."""

import json
import re
from typing import NoReturn

import httpx2

from servers.tools.charsets import decode
from servers.tools.html_text import to_text
from servers.tools.results import Media

_MEDIA_TYPE = re.compile(r"(image|audio|video|font|model)/(?!svg)[a-z0-9.+-]{1,64}")
_BYTES_TYPE = re.compile(
    r"application/(pdf|zip|gzip|x-gzip|x-tar|x-7z-compressed|vnd\.rar|wasm|epub\+zip|java-archive"
    r"|msword|rtf|vnd\.ms-[a-z0-9.+-]{1,64}"
    r"|vnd\.(openxmlformats-officedocument|oasis\.opendocument)\.[a-z0-9.+-]{1,64})"
)
_TEXT_TYPE = re.compile(r"text/|application/([a-z0-9.+-]{1,64}\+)?(json|xml|yaml|javascript)$")
_NAMEABLE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}")
_UNKNOWN = "application/octet-stream"
_PAGE = re.compile(r"\s*+(<!doctype html|<html)", re.IGNORECASE)


def find_media(headers: httpx2.Headers, body: bytes) -> Media | None:
    """What is no text, by its content type, else by its bytes; None: it is text."""
    content_type = _content_type(headers)
    if _MEDIA_TYPE.fullmatch(content_type) or _BYTES_TYPE.fullmatch(content_type):
        return Media(content_type, body)
    if _TEXT_TYPE.match(content_type) or not _is_for_programs(content_type, body):
        return None
    return Media(content_type if _NAMEABLE.fullmatch(content_type) else _UNKNOWN, body)


def _is_for_programs(content_type: str, body: bytes) -> bool:
    if b"\0" in body:
        return True
    if content_type not in (_UNKNOWN, "binary/octet-stream"):
        return False
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def parse_freely(headers: httpx2.Headers, body: bytes) -> object:
    """JSON if it is some, the readable text of a page, else text."""
    try:
        return parse_json(headers, body)
    except (ValueError, RecursionError):
        text = decode(body, headers.get("content-type", ""))
    is_page = _content_type(headers) in ("text/html", "application/xhtml+xml")
    return to_text(text) if is_page or _PAGE.match(text) else text


def parse_json(headers: httpx2.Headers, body: bytes) -> object:
    """A JSON value, in UTF-8, 16 or 32, or in what the content type says.

    Raises:
        ValueError: It is none.
        RecursionError: It nests too deeply.
    """
    try:
        return json.loads(body, parse_constant=refuse_constant)
    except UnicodeDecodeError:
        text = decode(body, headers.get("content-type", ""))
    return json.loads(text, parse_constant=refuse_constant)


def refuse_constant(name: str) -> NoReturn:
    """For `json.loads`, which takes NaN and Infinity otherwise."""
    raise ValueError(f"{name} is not JSON")


def _content_type(headers: httpx2.Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
