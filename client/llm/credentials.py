"""Which address and which key a vendor's model gets, and that a key goes nowhere else."""

from collections.abc import Mapping
from typing import Literal

from pydantic import SecretStr

from agentic.config.loopback import is_loopback_url
from agentic.config.models import Config, ModelConfig
from agentic.config.rules import check_key
from client.llm.model_spec import Endpoint, is_under, parse_endpoint

Vendor = Literal["anthropic", "openai"]

KEY_VARIABLES: Mapping[Vendor, str] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
}
_ADDRESS_VARIABLES: Mapping[Vendor, str] = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
}
_ADDRESSES: Mapping[Vendor, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
}
_DOMAINS: Mapping[Vendor, tuple[str, ...]] = {
    "anthropic": ("anthropic.com",),
    "openai": ("openai.com", "openai.azure.com"),
}


def find_endpoint(
    vendor: Vendor, wanted: ModelConfig, config: Config, keys: Mapping[str, SecretStr]
) -> Endpoint:
    """Where `wanted` is asked and with what key: its own, else the environment's, else of `keys`.

    The vendor's usual key goes to the vendor, to an address from the environment and to this
    machine; any other server gets only a key that stands beside its address in `mcp.yml`.

    Raises:
        ValueError: The address or the key is none, or the vendor's own service would get no key.
    """
    url = wanted.base_url or config.environment.get(_ADDRESS_VARIABLES[vendor], "").strip()
    key, advice = _find_key(vendor, wanted, config, keys)
    endpoint = parse_endpoint(url or _ADDRESSES[vendor], key=key, key_advice=advice)
    if endpoint.is_vendors_own and not key:
        raise ValueError(f"it has no key: {advice}")
    return endpoint


def find_usual_key(
    vendor: Vendor, config: Config, keys: Mapping[str, SecretStr]
) -> tuple[str, str]:
    """The key that the environment or `keys` holds for this vendor, and where; else empty texts.

    Raises:
        ValueError: It can't be a key.
    """
    variable = KEY_VARIABLES[vendor]
    kept = keys.get(variable)
    for text, source in (
        (config.environment.get(variable, ""), variable),
        (kept.get_secret_value() if kept else "", "the keys file"),
    ):
        if text.strip():
            try:
                return check_key(text), source
            except ValueError as error:
                raise ValueError(f"the key in {source} {error}") from None
    return "", ""


def _find_key(
    vendor: Vendor, wanted: ModelConfig, config: Config, keys: Mapping[str, SecretStr]
) -> tuple[str, str]:
    if wanted.api_key is not None and (key := wanted.api_key.get_secret_value().strip()):
        return key, "check `api_key` of this model in mcp.yml"
    if wanted.base_url and not _may_get_usual_key(vendor, wanted.base_url):
        return "", "give it `api_key` beside its `base_url` in mcp.yml"
    key, source = find_usual_key(vendor, config, keys)
    return key, f"check {source}" if source else f"set {KEY_VARIABLES[vendor]}"


def _may_get_usual_key(vendor: Vendor, url: str) -> bool:
    return is_loopback_url(url) or any(is_under(url, domain) for domain in _DOMAINS[vendor])
