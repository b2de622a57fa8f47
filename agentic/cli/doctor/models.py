"""Whether each model can be asked: a key that is accepted, a name that is known. Costs nothing."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast
from urllib.parse import quote

from pydantic import SecretStr

from agentic.cli.doctor.bedrock import check_bedrock
from agentic.cli.doctor.embedded import check_embedded
from agentic.cli.doctor.findings import Finding
from agentic.cli.doctor.network import Answer, Network, NoAnswerError
from agentic.config.findings import ConfigError
from agentic.config.keys import load_keys
from agentic.config.models import Config, ModelConfig
from client.llm.available import WAYS, NoModelError, find_models, open_configured
from client.llm.credentials import KEY_VARIABLES, Vendor, find_endpoint
from client.llm.known_models import DEFAULT_MODELS
from client.llm.model_spec import Endpoint
from client.llm.remote import RemoteModel

_LISTS: Mapping[Vendor, str] = {"anthropic": "/v1/models", "openai": "/models"}
_ANTHROPIC_VERSION = "2023-06-01"
_SHOWN_MODELS = 5

Keys = Mapping[str, SecretStr]


def list_model_checks(
    config: Config, network: Network
) -> dict[str, Callable[[], Awaitable[list[Finding]]]]:
    """A check for each configured model, or for all that is found without any."""
    try:
        keys = load_keys(config.config_directory)
    except ConfigError as error:
        finding = Finding("models", "problem", str(error), "Do what it says.")
        return {"models": partial(_tell, finding)}
    if not config.models.by_name:
        return {"models": partial(_check_found, config, keys, network)}
    return {
        f"models/{name}": partial(_check_configured, name, wanted, config, keys, network)
        for name, wanted in config.models.by_name.items()
    }


async def _tell(finding: Finding) -> list[Finding]:
    return [finding]


async def _check_configured(
    name: str, wanted: ModelConfig, config: Config, keys: Keys, network: Network
) -> list[Finding]:
    check = f"models/{name}"
    try:
        found = await open_configured(name, config, keys)
    except NoModelError as error:
        return [Finding(check, "problem", error.reason, f"Change models.{name} in mcp.yml.")]
    match wanted.provider:
        case "anthropic" | "openai":
            return [await _ask_vendor(check, wanted.provider, wanted, config, keys, network)]
        case "bedrock":
            assert isinstance(found.model, RemoteModel)
            return [await check_bedrock(check, found.model)]
        case "local":
            return [await check_embedded(check, wanted, config)]
        case "ollama" | "scripted":
            return [Finding(check, "ok", f"{found.model.name} is there")]


async def _check_found(config: Config, keys: Keys, network: Network) -> list[Finding]:
    """What there is without a word in mcp.yml: by a key, or a running Ollama's."""
    try:
        found = await find_models(config, keys)
    except NoModelError as error:
        return [Finding("models", "problem", error.reason, "Copy the key again, all of it.")]
    if not found:
        summary = "not set up: no key is set, and no Ollama is running"
        fix = f"`agentic chat` offers the ways; one is: {WAYS[0]}."
        return [Finding("models", "warning", summary, fix)]
    findings: list[Finding] = []
    for each in found:
        provider = each.name.partition("/")[0]
        check = f"models/{each.name}"
        if provider == "anthropic" or provider == "openai":
            wanted = ModelConfig(provider=provider)
            finding = await _ask_vendor(check, provider, wanted, config, keys, network)
        elif provider == "local":
            wanted = ModelConfig(provider=provider, model=each.name.partition("/")[2])
            finding = await check_embedded(check, wanted, config)
        else:
            finding = Finding(check, "ok", f"found by {each.source}")
        findings.append(finding)
    return findings


async def _ask_vendor(
    check: str,
    vendor: Vendor,
    wanted: ModelConfig,
    config: Config,
    keys: Keys,
    network: Network,
) -> Finding:
    """Ask for what is known of the model: free with every vendor, and it wants the key."""
    try:
        endpoint = find_endpoint(vendor, wanted, config, keys)
    except ValueError as error:
        return Finding(check, "problem", str(error), f"Set {KEY_VARIABLES[vendor]}.")
    model = wanted.model or DEFAULT_MODELS[vendor]
    headers = _create_headers(vendor, endpoint)
    try:
        listing = _LISTS[vendor]
        answer = await network.get(endpoint, f"{listing}/{quote(model, safe='')}", headers)
        if answer.status == 200 and _ids(answer) is not None:
            accepts = "accepts the key and " if endpoint.key else ""
            return Finding(check, "ok", f"{endpoint.title} {accepts}knows {model}")
        if answer.status in (200, 400, 404, 405):  # compatible servers have the list alone
            answer = await network.get(endpoint, listing, headers)
    except NoAnswerError as error:
        fix = "Check the network, and `base_url` if it is set."
        return Finding(check, "problem", f"{endpoint.title} {error}", fix)
    return _judge(check, endpoint, model, answer)


def _judge(check: str, endpoint: Endpoint, model: str, answer: Answer) -> Finding:
    title, status = endpoint.title, answer.status
    ids = _ids(answer)
    if status in (401, 403):
        summary = f"{title} refuses the key (HTTP {status})"
        advice = endpoint.key_advice
        return Finding(check, "problem", summary, f"{advice[:1].upper()}{advice[1:]}.")
    if status == 429:
        summary = f"{title} says that this key has asked too much, or has no credit left"
        return Finding(check, "warning", summary, "Wait, or look at the account.")
    if status == 404:
        summary = f"{title} has no list of models: whether it knows {model} shows only when asked"
        return Finding(check, "warning", summary, "Try `agentic ask hello`; check `base_url`.")
    if status != 200 or ids is None:
        summary = f"{title} answers with what is no list of models (HTTP {status})"
        return Finding(check, "problem", summary, "Check `base_url`; try again if it is down.")
    if model in ids:
        return Finding(check, "ok", f"{title} has {model}")
    known = ", ".join(ids[:_SHOWN_MODELS]) or "none"
    return Finding(
        check, "problem", f"{title} doesn't list {model}; it has {known}", "Change `model`."
    )


def _create_headers(vendor: Vendor, endpoint: Endpoint) -> dict[str, str]:
    own = {"anthropic-version": _ANTHROPIC_VERSION} if vendor == "anthropic" else {}
    if not endpoint.key:
        return {**own, "authorization": endpoint.basic} if endpoint.basic else own
    if vendor == "anthropic":
        return {**own, "x-api-key": endpoint.key}
    return {**own, "authorization": f"Bearer {endpoint.key}"}


def _ids(answer: Answer) -> list[str] | None:
    """The models that an answer names, None if it names none in any known shape."""
    match answer.value:
        case {"id": str(model)}:
            return [model]
        case {"data": list()}:
            entries = cast("Mapping[str, list[object]]", answer.value)["data"]
            return [model for entry in entries if (model := _id_of(entry)) is not None]
        case _:
            return None


def _id_of(entry: object) -> str | None:
    match entry:
        case {"id": str(model)}:
            return model
        case _:
            return None
