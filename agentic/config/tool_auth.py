"""How a declared tool proves to its endpoint who calls: one way of five."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from agentic.config.findings import WrongFieldError
from agentic.config.frozen import Frozen
from agentic.config.reach import leads_inside
from agentic.config.rules import HEADER_NAME, Url

_CREDENTIAL_NAME = re.compile(
    r"auth(?!ors?\b)|api_?key|(^|[-_.])(key|sig)$|token|secret|cookie|passw|credential|signature",
    re.IGNORECASE,
)
SET_FOR_EACH_REQUEST = ("connection", "content-length", "host", "transfer-encoding")
"""Headers that no declaration can set."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def is_credential_name(name: str) -> bool:
    """Whether a header or query parameter of that name proves who calls."""
    return _CREDENTIAL_NAME.search(name) is not None


def _check_line(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("should be printable ASCII on one line")
    return SecretStr(text)


LineSecret = Annotated[SecretStr, AfterValidator(_check_line)]
"""Empty where its variable is not set."""


class BasicAuth(Frozen):
    """A user and a password."""

    user: str
    password: SecretStr

    @field_validator("user")
    @classmethod
    def _check_user(cls, user: str) -> str:
        if ":" in user:
            raise ValueError("may hold no colon, which ends it")
        return user


class HeaderAuth(Frozen):
    """A header of the endpoint's own choice, such as X-API-Key."""

    name: str
    value: LineSecret

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not HEADER_NAME.fullmatch(name):
            raise ValueError("is no name that a header can have")
        if name.lower() in SET_FOR_EACH_REQUEST:
            raise ValueError(f"{name} is set for each request; choose another")
        return name


class QueryAuth(Frozen):
    """A parameter of the query, such as api_key."""

    name: str = Field(min_length=1)
    value: SecretStr


class OAuthClient(Frozen):
    """OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

    token_url: Url = Field(repr=False)
    client_id: str
    client_secret: SecretStr
    scopes: list[str] = Field(default_factory=list)
    audience: str | None = None
    client_auth: Literal["basic", "body"] = "basic"
    """How the client proves itself: in a header, or in the body as some servers want it."""

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, scopes: list[str]) -> list[str]:
        for scope in scopes:
            if not _SCOPE.fullmatch(scope):
                raise ValueError("holds a scope that is none: a scope has no spaces and no quotes")
        return scopes


class AuthConfig(Frozen):
    """The way, and its secrets, which are shown nowhere."""

    bearer: LineSecret | None = None
    basic: BasicAuth | None = None
    header: HeaderAuth | None = None
    query: QueryAuth | None = None
    oauth: OAuthClient | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        ways = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError("should have one of bearer, basic, header, query, oauth")
        return self

    @property
    def uses_authorization(self) -> bool:
        """Whether it sends the header of that name."""
        named = self.header is not None and self.header.name.lower() == "authorization"
        return named or (self.header is None and self.query is None)

    def iterate_secrets(self) -> Iterator[str]:
        """What has to stay secret, as it was declared."""
        if self.bearer is not None:
            yield self.bearer.get_secret_value()
        if self.basic is not None:
            yield self.basic.password.get_secret_value()
        if self.header is not None:
            yield self.header.value.get_secret_value()
        if self.query is not None:
            yield self.query.value.get_secret_value()
        if self.oauth is not None:
            yield self.oauth.client_secret.get_secret_value()

    @property
    def is_complete(self) -> bool:
        """Whether its secret has a value."""
        return all(self.iterate_secrets())


def check_token_url(client: OAuthClient, *, private_network: bool) -> None:
    """Refuse to send a client's secret in clear over the public network.

    Raises:
        WrongFieldError: It would be.
    """
    url = client.token_url
    if url.startswith("http:") and not leads_inside(url, private_network=private_network):
        raise WrongFieldError(
            ("auth", "oauth", "token_url"),
            "should begin with https, or the secret travels in clear",
        )
