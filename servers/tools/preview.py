"""A request in words, for whoever wrote its declaration: secrets are masked."""

from collections.abc import Iterator
from urllib.parse import unquote

from agentic.config.tool_auth import is_credential_name
from agentic.config.tools import ToolConfig
from servers.tools.credentials import (
    hide_long_segments,
    iterate_credentials,
    iterate_query_credentials,
)
from servers.tools.request import PreparedRequest
from servers.tools.untrusted_text import Cleaner

_MASK = "***"


def render_request(config: ToolConfig, request: PreparedRequest) -> Iterator[str]:
    """Lines as HTTP writes them: the method and address, the headers, the body."""
    cleaner = Cleaner(iterate_credentials(config))
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
    target = hide_long_segments(path, _MASK) + (f"?{_mask_query(config, query)}" if query else "")
    yield cleaner.clean(f"{request.method} {origin}{target}")
    auth = config.auth
    own = auth.header.name.lower() if auth is not None and auth.header is not None else ""
    for name, value in request.headers.items():
        is_secret = name == own or is_credential_name(name)
        yield f"{name}: {_MASK if is_secret else cleaner.clean(value)}"
    if auth is not None and auth.oauth is not None:
        yield f"authorization: Bearer {_MASK}"
    if request.content:
        yield ""
        yield cleaner.clean(request.content.decode("utf-8"))


def _mask_query(config: ToolConfig, query: str) -> str:
    own = {name for name, _ in iterate_query_credentials(config)}
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(
        f"{name}{equals}{_MASK if _is_secret(unquote(name), own) else value}"
        for name, equals, value in pairs
    )


def _is_secret(name: str, own: set[str]) -> bool:
    return name in own or is_credential_name(name)
