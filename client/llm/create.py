"""The model that answers: the one asked for, else the configured one, else what can be found."""

from collections.abc import Mapping

from pydantic import SecretStr

from agentic.config.models import Config
from client.llm.available import NoModelError, find_models, open_configured
from client.llm.protocol import LanguageModel


async def create_model(
    config: Config, name: str | None, keys: Mapping[str, SecretStr]
) -> LanguageModel:
    """The model called `name` in `mcp.yml`; without a name its default one, or the best found.

    `keys` are those of the keys file, by the variables they stand for. Nothing is asked of a model
    yet, except of Ollama which ones it has.

    Raises:
        NoModelError: It can't be used, or none can; the text lists what can be done.
    """
    chosen = name or config.models.default or next(iter(config.models.by_name), None)
    if chosen is not None:
        return (await open_configured(chosen, config, keys)).model
    found = await find_models(config, keys)
    if not found:
        raise NoModelError(
            "There is no language model: no key is set, no Ollama is running, "
            "and no embedded model is here."
        )
    return found[0].model
