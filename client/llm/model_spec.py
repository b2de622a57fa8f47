"""Which model is asked, where, with what key and within what limits."""

import base64
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

Provider = Literal["anthropic", "openai", "ollama", "bedrock"]

_VENDORS = {
    "anthropic.com": "Anthropic",
    "openai.com": "OpenAI",
    "openai.azure.com": "Azure OpenAI",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's address, without user and password, and what proves who we are there."""

    base_url: str
    """Empty: the vendor's library finds it."""
    key: str = field(default="", repr=False)
    basic: str = field(default="", repr=False)
    """Value of an Authorization header, from user and password in the address."""
    key_advice: str = "check the key"

    @property
    def title(self) -> str:
        """How people call it."""
        parts = urlsplit(self.base_url)
        names = (name for domain, name in _VENDORS.items() if is_under(self.base_url, domain))
        vendor = next(names, None)
        return vendor or f"The model server at {parts.scheme}://{parts.netloc}{parts.path}"

    @property
    def is_vendors_own(self) -> bool:
        """One of the vendors' own services, which need a key and follow their newest rules."""
        return any(is_under(self.base_url, domain) for domain in _VENDORS)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that a provider needs to ask one model. `timeout_seconds`: without any news from it."""

    provider: Provider
    model: str
    endpoint: Endpoint
    context_tokens: int
    max_output_tokens: int
    timeout_seconds: float = 120.0
    temperature: float | None = None

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


def parse_endpoint(url: str, *, key: str = "", key_advice: str = "check the key") -> Endpoint:
    """An endpoint from an address that may hold user and password.

    Raises:
        ValueError: It is no http(s) address.
    """
    parts = _split(url)
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    basic = f"Basic {base64.b64encode(credentials).decode()}" if parts.username else ""
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Endpoint(bare.rstrip("/"), key, basic, key_advice)


def is_under(url: str, domain: str) -> bool:
    """Whether `url` leads to `domain` or to a name below it."""
    host = urlsplit(url).hostname or ""
    return host == domain or host.endswith(f".{domain}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_address = False
        parts = urlsplit("")
    if not is_address:
        raise ValueError("must be an address such as http://localhost:8000/v1")
    return parts
