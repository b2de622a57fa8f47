"""The HTTP client under every provider."""

from functools import cache
from typing import TYPE_CHECKING

from agentic.config.loopback import is_loopback_url
from client.llm.model_spec import Endpoint

if TYPE_CHECKING:
    from ssl import SSLContext

    from httpx2 import AsyncClient

_CONNECT_SECONDS = 10.0


def create_http_client(endpoint: Endpoint, timeout_seconds: float) -> "AsyncClient":
    """A client for `endpoint` that follows no redirect, so that a key goes nowhere else.

    Proxies of the environment are not used for this machine. Reads certificates and its library
    from disk, the first time: call it in a thread.
    """
    from httpx2 import AsyncClient, Timeout

    trust_env = not is_loopback_url(endpoint.base_url)
    return AsyncClient(
        base_url=endpoint.base_url,
        timeout=Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=trust_env,
        verify=_read_certificates(trust_env=trust_env),
    )


@cache
def _read_certificates(*, trust_env: bool) -> "SSLContext":
    """Once for all clients: it takes 30 ms of processor time and a megabyte."""
    from httpx2 import create_ssl_context

    return create_ssl_context(trust_env=trust_env)
