"""Which models can be used now: of `mcp.yml`, else by a key, of Ollama, or the embedded one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from anyio import to_thread
from pydantic import SecretStr

from agentic.config.models import Config, ModelConfig
from client.llm.anthropic import prepare_messages
from client.llm.bedrock import Bedrock
from client.llm.credentials import KEY_VARIABLES, Vendor, find_endpoint, find_usual_key
from client.llm.known_models import DEFAULT_MODELS, KnownModel, look_up
from client.llm.local.create import INSTALL, create_local_model, describe_size, find_local_model
from client.llm.local.engine import is_installed
from client.llm.model_spec import Endpoint, ModelSpec, Provider, parse_endpoint
from client.llm.ollama import find_ollama_model, to_ollama_url
from client.llm.openai import prepare_chat
from client.llm.protocol import LanguageModel
from client.llm.remote import RemoteModel
from client.llm.script_file import load_script
from client.llm.scripted import ScriptedModel
from client.llm.tour import create_tour

WAYS = (
    "set ANTHROPIC_API_KEY to a key of https://platform.claude.com",
    "set OPENAI_API_KEY to a key of https://platform.openai.com",
    "start Ollama (https://ollama.com) with a model that can use tools: `ollama pull qwen3`",
    "describe any compatible server in mcp.yml: "
    "`models: {mine: {provider: openai, base_url: http://localhost:8000/v1, model: NAME}}`",
    "name a model of Amazon Bedrock in mcp.yml, with AWS credentials: "
    "`models: {mine: {provider: bedrock, model: ID, region: REGION}}`",
    "look around without a model: `models: {tour: {provider: scripted}}`",
)


class NoModelError(Exception):
    """No model can be used, or not the one that was asked for; the text lists what can be done."""

    def __init__(self, reason: str) -> None:
        ways = [*WAYS[:-1], _describe_embedded(), WAYS[-1]]
        super().__init__("\n".join([reason, "What you can do:", *(f"- {way}" for way in ways)]))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model that can be used: `name` is the user's own or `provider/model`, `source` whence."""

    name: str
    source: str
    model: LanguageModel


async def find_models(config: Config, keys: Mapping[str, SecretStr]) -> list[AvailableModel]:
    """The models that can be used, the preferred one first.

    Configured models if there are any, without those that lack something; else one by each key
    found in the environment or in `keys` (by variable name); else what a running Ollama has;
    else the embedded model, if its extra and its weights are here.

    Raises:
        NoModelError: A key is there that can't be one.
    """
    if config.models.by_name:
        return [
            found
            for name in _names_in_order(config)
            if (found := await _try(name, config, keys)) is not None
        ]
    by_key: list[AvailableModel] = []
    for vendor in KEY_VARIABLES:
        try:
            key, source = find_usual_key(vendor, config, keys)
            if key:
                model = _create_vendors_model(vendor, ModelConfig(provider=vendor), config, keys)
                by_key.append(AvailableModel(model.name, source, model))
        except ValueError as error:
            raise NoModelError(f"No model of {vendor} can be used: {error}.") from None
    return by_key or await _find_in_ollama(config) or await _find_embedded(config)


async def open_configured(
    name: str, config: Config, keys: Mapping[str, SecretStr]
) -> AvailableModel:
    """The model that `mcp.yml` calls `name`.

    Raises:
        NoModelError: There is none of that name, or it lacks something.
    """
    wanted = config.models.by_name.get(name)
    if wanted is None:
        known = ", ".join(config.models.by_name) or "none"
        raise NoModelError(f"mcp.yml has no model {name!r} under `models:` (it has: {known}).")
    try:
        model = await _create(wanted, config, keys)
    except ValueError as error:
        raise NoModelError(f"The model {name!r} of mcp.yml can't be used: {error}.") from None
    return AvailableModel(name, "mcp.yml", model)


def _names_in_order(config: Config) -> list[str]:
    names = list(config.models.by_name)
    return sorted(names, key=lambda name: name != config.models.default)


async def _try(name: str, config: Config, keys: Mapping[str, SecretStr]) -> AvailableModel | None:
    try:
        return await open_configured(name, config, keys)
    except NoModelError:
        return None


async def _create(
    wanted: ModelConfig, config: Config, keys: Mapping[str, SecretStr]
) -> LanguageModel:
    match wanted.provider:
        case "anthropic" | "openai":
            return _create_vendors_model(wanted.provider, wanted, config, keys)
        case "ollama":
            return await _create_ollama_model(wanted, config)
        case "bedrock":
            return _create_bedrock_model(wanted, config)
        case "local":
            return await to_thread.run_sync(create_local_model, wanted, config)
        case "scripted":
            if wanted.script is None:
                return create_tour()
            reply = await to_thread.run_sync(load_script, wanted.script)
            return ScriptedModel(reply, name=f"scripted/{wanted.script.stem}")


def _create_vendors_model(
    vendor: Vendor, wanted: ModelConfig, config: Config, keys: Mapping[str, SecretStr]
) -> LanguageModel:
    name = wanted.model or DEFAULT_MODELS[vendor]
    endpoint = find_endpoint(vendor, wanted, config, keys)
    spec = _to_spec(vendor, name, endpoint, wanted, look_up(name))
    return RemoteModel(spec, prepare_messages if vendor == "anthropic" else prepare_chat)


async def _create_ollama_model(wanted: ModelConfig, config: Config) -> LanguageModel:
    endpoint = _find_ollama(wanted, config)
    found = await find_ollama_model(endpoint, config.environment, wanted.model)
    if found is None:
        what = f"the model {wanted.model!r}" if wanted.model else "a model that can chat"
        raise ValueError(f"{endpoint.title} is not running, or has not {what}")
    at_v1 = replace(endpoint, base_url=f"{endpoint.base_url}/v1")
    known = KnownModel(found.context_tokens)
    return RemoteModel(_to_spec("ollama", found.name, at_v1, wanted, known), prepare_chat)


def _create_bedrock_model(wanted: ModelConfig, config: Config) -> LanguageModel:
    if not wanted.model:
        raise ValueError("it has no `model`: an id of Amazon Bedrock's, or of an inference profile")
    if wanted.api_key is not None:
        raise ValueError("bedrock takes no `api_key`: set AWS_BEARER_TOKEN_BEDROCK instead")
    # Absent, AWS's own rules find both: AWS_DEFAULT_REGION, the profile, the region's address.
    region = wanted.region or config.environment.get("AWS_REGION") or None
    endpoint = parse_endpoint(wanted.base_url) if wanted.base_url else Endpoint("")
    endpoint = replace(endpoint, key_advice="check the AWS credentials")
    spec = _to_spec("bedrock", wanted.model, endpoint, wanted, look_up(wanted.model))
    return RemoteModel(spec, Bedrock(region).prepare)


async def _find_in_ollama(config: Config) -> list[AvailableModel]:
    wanted = ModelConfig(provider="ollama")
    try:
        model = await _create_ollama_model(wanted, config)
        endpoint = _find_ollama(wanted, config)
    except ValueError:
        return []
    return [AvailableModel(model.name, f"Ollama at {endpoint.base_url}", model)]


async def _find_embedded(config: Config) -> list[AvailableModel]:
    model = await find_local_model(config)
    return [AvailableModel(model.name, "weights on this machine", model)] if model else []


def _describe_embedded() -> str:
    how = "`agentic models pull`" if is_installed() else INSTALL
    return f"let a model answer that runs on this machine ({describe_size()}): {how}"


def _find_ollama(wanted: ModelConfig, config: Config) -> Endpoint:
    host = wanted.base_url or config.environment.get("OLLAMA_HOST", "")
    key = wanted.api_key.get_secret_value().strip() if wanted.api_key else ""
    return parse_endpoint(to_ollama_url(host), key=key)


def _to_spec(
    provider: Provider, name: str, endpoint: Endpoint, wanted: ModelConfig, known: KnownModel
) -> ModelSpec:
    context_tokens = wanted.context_tokens or known.context_tokens
    if wanted.max_output_tokens is not None:
        answer_tokens = min(wanted.max_output_tokens, context_tokens // 2)
    else:
        answer_tokens = min(known.answer_tokens, context_tokens // 4)
    return ModelSpec(
        provider,
        name,
        endpoint,
        context_tokens,
        max(1, answer_tokens),
        wanted.timeout_seconds,
        wanted.temperature,
    )
