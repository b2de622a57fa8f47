"""What a declaration sends to prove who calls, and what must therefore never be shown."""

import base64
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr

from agentic.config.tool_auth import OAuthClient, is_credential_name
from agentic.config.tools import ToolConfig

_LONG_SEGMENT = 20
"""A part of a path with so many characters may be a key, as in the addresses of webhooks."""
_PUBLIC_HEADERS = {"accept", "accept-language", "content-type", "user-agent"}


def create_headers(config: ToolConfig) -> dict[str, str]:
    """The request's own headers, lower case, the credential among them."""
    headers = {
        name.lower(): value.get_secret_value().strip() for name, value in config.headers.items()
    }
    auth = config.auth
    if token := _token(config):
        headers["authorization"] = f"Bearer {token}"
    elif auth is not None and auth.basic is not None:
        basic = auth.basic
        headers["authorization"] = f"Basic {to_basic(basic.user, basic.password)}"
    elif auth is not None and auth.header is not None:
        headers[auth.header.name.lower()] = auth.header.value.get_secret_value()
    elif userinfo := _userinfo(config):
        headers.setdefault("authorization", f"Basic {userinfo}")
    return headers


def has_credential(config: ToolConfig) -> bool:
    """Whether the request proves who calls."""
    if config.auth is not None:
        return config.auth.is_complete
    headers = create_headers(config)
    return any(
        is_credential_name(name) and _without_scheme(value)
        for name, value in (*headers.items(), *_query(config))
    )


def iterate_credentials(config: ToolConfig) -> Iterator[str]:
    """What proves who calls, in each form in which an endpoint may echo it."""
    for name, value in (*create_headers(config).items(), *_query(config)):
        if is_credential_name(name):
            yield value
            yield _without_scheme(value)
    if password := urlsplit(config.url).password:
        yield password
        yield unquote(password)
    if config.auth is not None:
        for secret in config.auth.iterate_secrets():
            yield secret
            yield quote(secret, safe="")
            yield quote_plus(secret)
        if (header := config.auth.header) is not None:
            yield _without_scheme(header.value.get_secret_value())
        if (client := config.auth.oauth) is not None:
            yield to_client_basic(client)


def iterate_private_values(config: ToolConfig) -> Iterator[str]:
    """The credentials, and what else of headers and URL has no place in an error."""
    yield from iterate_credentials(config)
    yield from (
        value for name, value in create_headers(config).items() if name not in _PUBLIC_HEADERS
    )
    parts = urlsplit(config.url)
    yield from (parts.query, parts.username or "", unquote(parts.username or ""))
    yield from (each for each in parts.path.split("/") if len(each) >= _LONG_SEGMENT)


def iterate_query_credentials(config: ToolConfig) -> Iterator[tuple[str, str]]:
    """What `auth` adds to the query."""
    if config.auth is not None and config.auth.query is not None:
        yield config.auth.query.name, config.auth.query.value.get_secret_value()


def to_client_basic(client: OAuthClient) -> str:
    """How an OAuth client proves itself: encoded first (RFC 6749, section 2.3.1)."""
    secret = quote_plus(client.client_secret.get_secret_value())
    return to_basic(quote_plus(client.client_id), SecretStr(secret))


def to_basic(user: str, password: SecretStr) -> str:
    """User and password as `Basic` authentication wants them."""
    return base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode("ascii")


def hide_long_segments(path: str, mask: str) -> str:
    """A path without what may be a key in it."""
    return "/".join(mask if len(each) >= _LONG_SEGMENT else each for each in path.split("/"))


def _token(config: ToolConfig) -> str:
    token = config.token if config.auth is None else config.auth.bearer
    return "" if token is None else token.get_secret_value().strip()


def _userinfo(config: ToolConfig) -> str:
    parts = urlsplit(config.url)
    if not (parts.username or parts.password):
        return ""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return to_basic(user, SecretStr(password))


def _query(config: ToolConfig) -> Iterator[tuple[str, str]]:
    """Names and values, as they are sent and as they are meant."""
    for part in urlsplit(config.url).query.split("&"):
        name, _, value = part.partition("=")
        yield unquote(name), value
        yield from parse_qsl(part)
    yield from ((name, value) for name, value in config.query.items() if "{" not in value)


def _without_scheme(value: str) -> str:
    """A header's value without `Bearer` or the like: empty for a credential that is missing."""
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() in ("bearer", "basic", "token") else value
