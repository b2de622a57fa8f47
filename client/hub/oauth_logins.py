"""What is remembered of log-ins at servers of others: one private file, by the server's URL."""

import time
from pathlib import Path

from anyio import to_thread
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken
from pydantic import BaseModel, TypeAdapter

from agentic.config.private_files import read_private, update_private


class Login(BaseModel):
    """Who we are at an authorization server, where that is, and the tokens it gave."""

    client: OAuthClientInformationFull | None = None
    metadata: OAuthMetadata | None = None
    tokens: OAuthToken | None = None
    expires_at: float | None = None


_LOGINS = TypeAdapter(dict[str, Login])


class LoginStorage:
    """The SDK's `TokenStorage` over the file. `client`: one that was registered by hand.

    Its methods raise `ConfigError` when the file can't be used.
    """

    def __init__(
        self, path: Path, url: str, *, client: OAuthClientInformationFull | None = None
    ) -> None:
        self._path = path
        self._url = url
        self._client = client
        self._login = Login(client=client)

    async def restore(self, provider: OAuthClientProvider) -> None:
        """Tell a new provider what its predecessor knew and would not ask for again.

        Without the first it takes an expired token for a good one, without the second it asks for a
        new one at the wrong address.
        """
        logins = await to_thread.run_sync(read_private, self._path, _LOGINS)
        stored = logins.get(self._url, Login())
        self._login = stored.model_copy(update={"client": self._client or stored.client})
        self._context = provider.context
        self._context.token_expiry_time = self._login.expires_at
        self._context.oauth_metadata = self._login.metadata

    @property
    def has_tokens(self) -> bool:
        """Whether somebody has logged in."""
        return self._login.tokens is not None

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens, expired ones too."""
        return self._login.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new tokens, and what is needed to renew them."""
        lifetime = tokens.expires_in
        await self._update(
            Login(
                client=self._context.client_info,
                metadata=self._context.oauth_metadata,
                tokens=tokens,
                expires_at=None if lifetime is None else time.time() + lifetime,
            )
        )

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Who we are there."""
        return self._login.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a new registration; tokens of the former are of no use with it."""
        await self._update(Login(client=client_info))

    async def _update(self, login: Login) -> None:
        def change(logins: dict[str, Login]) -> dict[str, Login]:
            return {**logins, self._url: login}

        await to_thread.run_sync(update_private, self._path, _LOGINS, change)
        self._login = login
