"""Getting into servers that want a person's consent (OAuth 2.1), and staying in."""

import logging
from importlib import metadata
from typing import NoReturn

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl, ValidationError

from agentic.config.findings import ConfigError
from client.hub.oauth_consent import Consent, redirect_uri
from client.hub.oauth_logins import LoginStorage
from client.hub.servers import OAuth

LOG_IN_ERRORS = (OAuthFlowError, ConfigError, ValidationError)
"""What a request that `create_auth`'s result authorizes may raise, beside what any may."""

_AGAIN = "wants your consent: run `agentic login` with its name"


async def create_auth(url: str, oauth: OAuth) -> httpx2.Auth:
    """What authorizes requests to `url`.

    Raises:
        OAuthFlowError: Nobody has logged in yet, and nobody can be asked.
        ConfigError: The file of log-ins can't be used.
    """
    # What it logs it raises too, and there it is told once.
    logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL)
    redirect = AnyUrl(redirect_uri(oauth.redirect_port))
    storage = LoginStorage(oauth.file, url, client=_known_client(oauth, redirect))
    consent = Consent(oauth.show, oauth.redirect_port) if oauth.show else None

    provider = OAuthClientProvider(
        url,
        OAuthClientMetadata(
            client_name="agentic",
            software_id="agentic-ai",
            software_version=metadata.version("agentic-ai"),
            redirect_uris=[redirect],
        ),
        storage,
        redirect_handler=consent.remember if consent else _refuse,
        callback_handler=consent.wait if consent else _refuse,
        client_metadata_url=oauth.client_metadata_url,
    )
    await storage.restore(provider)
    if consent is None and not storage.has_tokens:
        raise OAuthFlowError(_AGAIN)
    return provider


async def _refuse(*_: str) -> NoReturn:
    """Either of the handlers, where nobody can be asked."""
    raise OAuthFlowError(_AGAIN)


def describe_log_in_error(error: Exception) -> str:
    """What went wrong, without what a faulty answer held: it may be a token."""
    if isinstance(error, ValidationError):
        return "the authorization server answered against the protocol"
    return str(error).partition("\n")[0]


def _known_client(oauth: OAuth, redirect: AnyUrl) -> OAuthClientInformationFull | None:
    if oauth.client_id is None:
        return None
    return OAuthClientInformationFull(
        client_id=oauth.client_id,
        client_secret=oauth.client_secret,
        redirect_uris=[redirect],
        # The one method that every authorization server has for clients with a secret.
        token_endpoint_auth_method="client_secret_basic" if oauth.client_secret else "none",
    )
