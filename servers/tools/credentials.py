"""What a declaration sends to prove who calls, and what must therefore never be shown."""

import base64
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from agentic.config.tools import ToolConfig

_CREDENTIAL_NAME = re.compile(
    r"auth(?!ors?\b)|api_?key|(^|[-_.])(key|sig)$|token|secret|cookie|passw|credential|signature",
    re.IGNORECASE,
)
_LONG_SEGMENT = 20
"""A part of a path with so many characters may be a key, as in the addresses of webhooks."""
_PUBLIC_HEADERS = {"accept", "accept-language", "content-type", "user-agent"}


def create_headers(config: ToolConfig) -> dict[str, str]:
    """The request's own headers, lower case, the credential among them."""
    headers = {
        name.lower(): value.get_secret_value().strip() for name, value in config.headers.items()
    }
    if token := _token(config):
        headers["authorization"] = f"Bearer {token}"
    elif userinfo := _userinfo(config):
        headers.setdefault("authorization", f"Basic {userinfo}")
    return headers


def has_credential(config: ToolConfig) -> bool:
    """Whether the request proves who calls."""
    headers = create_headers(config)
    return any(
        _CREDENTIAL_NAME.search(name) and _without_scheme(value)
        for name, value in (*headers.items(), *_query(config))
    )


def iterate_credentials(config: ToolConfig) -> Iterator[str]:
    """What proves who calls, in each form in which an endpoint may echo it."""
    for name, value in (*create_headers(config).items(), *_query(config)):
        if _CREDENTIAL_NAME.search(name):
            yield value
            yield _without_scheme(value)
    if password := urlsplit(config.url).password:
        yield password
        yield unquote(password)


def iterate_private_values(config: ToolConfig) -> Iterator[str]:
    """The credentials, and what else of headers and URL has no place in an error."""
    yield from iterate_credentials(config)
    yield from (
        value for name, value in create_headers(config).items() if name not in _PUBLIC_HEADERS
    )
    parts = urlsplit(config.url)
    yield from (parts.query, parts.username or "", unquote(parts.username or ""))
    yield from (each for each in parts.path.split("/") if len(each) >= _LONG_SEGMENT)


def _token(config: ToolConfig) -> str:
    return "" if config.token is None else config.token.get_secret_value().strip()


def _userinfo(config: ToolConfig) -> str:
    parts = urlsplit(config.url)
    if not (parts.username or parts.password):
        return ""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _query(config: ToolConfig) -> Iterator[tuple[str, str]]:
    """Names and values, as they are sent and as they are meant."""
    for part in urlsplit(config.url).query.split("&"):
        name, _, value = part.partition("=")
        yield unquote(name), value
        yield from parse_qsl(part)


def _without_scheme(value: str) -> str:
    """A header's value without `Bearer` or the like: empty for a credential that is missing."""
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() in ("bearer", "basic", "token") else value
