"""Pages that servers want a person to open: where they lead. Nothing here opens or fetches one."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from client.asking.forms import MAX_MESSAGE_CHARACTERS
from client.hub.plain_text import clean

_MAX_URL_CHARACTERS = 2_048


class PageError(Exception):
    """A page that nobody is shown; the text says why."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a server says, cleaned for a screen, and the page. `host` is as DNS knows it."""

    message: str
    url: str
    host: str
    is_encrypted: bool


def parse_page(message: str, url: str) -> Page:
    """A page as it may be shown.

    Raises:
        PageError: The address is none of the web, is over a limit, or hides where it leads.
    """
    if len(url) > _MAX_URL_CHARACTERS:
        raise PageError(f"its address has {len(url):,} characters, over {_MAX_URL_CHARACTERS:,}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise PageError("its address holds characters that no address has")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise PageError("its address is none") from None
    if parts.scheme not in ("http", "https") or not host:
        raise PageError("its address is no https:// or http:// address")
    if "@" in parts.netloc or "\\" in url:
        raise PageError("its address hides where it leads")
    cleaned = clean(message, MAX_MESSAGE_CHARACTERS)
    return Page(cleaned, url, host, parts.scheme == "https")
