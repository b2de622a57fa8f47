"""Which model answers; and on a terminal without any, what can be done about it at once."""

import sys

from anyio import to_thread

from agentic.cli.failures import UsageError
from agentic.cli.input_lines import InputLines, is_terminal, without_echo
from agentic.cli.invocation import note
from agentic.config.findings import ConfigError
from agentic.config.keys import load_keys, save_key
from agentic.config.models import Config, ModelConfig
from client.llm.available import NoModelError
from client.llm.configured import DEFAULT_AGENT, find_default_name
from client.llm.create import create_model
from client.llm.local.create import INSTALL, create_local_model, describe_size
from client.llm.local.engine import is_installed
from client.llm.protocol import ChosenModel, LanguageModel
from client.llm.tour import create_tour

_MIN_KEY_CHARACTERS = 10
_CHOICES = """What shall answer?
  1  a model of Anthropic or OpenAI: paste a key; a file only you can read keeps it
  2  a model of Ollama on this machine: it is looked for again
  3  no model: a scripted tour that shows what is here
{embedded}
  q  nothing: leave"""
_EMBEDDED = "  4  a model that runs on this machine: {size}"
_NOT_INSTALLED = "     (one that runs on this machine, {size}: {how})"


async def choose_model(config: Config, name: str | None, *, may_ask: bool = False) -> ChosenModel:
    """The model called `name`, else the configured or found one, else the person's choice.

    Raises:
        NoModelError: There is none, and nobody to ask; the text lists what can be done.
        UsageError: The person chose nothing.
    """
    agent = config.agents.get(DEFAULT_AGENT)
    name = name or (agent and agent.model)
    try:
        model = await create_model(config, name, load_keys(config.config_directory))
    except NoModelError as error:
        if name or config.models.by_name:
            raise
        if may_ask and is_terminal():
            note(error.reason)
            return ChosenModel(await _ask(config))
        if not is_installed():
            raise
        # Who installs the extra wants this model: its weights come when it is first used.
        note(f"No model is configured: using the one on this machine ({describe_size()}).")
        return ChosenModel(await _create_embedded(config))
    configured = config.models.by_name.get(name or find_default_name(config) or "")
    return ChosenModel(model, configured.price if configured else None)


async def _ask(config: Config) -> LanguageModel:
    lines = InputLines()
    while True:
        note(_CHOICES.format(embedded=_describe_embedded()))
        answer = await _read(lines, "> ")
        try:
            match answer.strip().lower():
                case "1":
                    _keep_key(config, await _read_hidden(lines, "The key (it is not shown): "))
                case "2":
                    pass
                case "3":
                    return create_tour()
                case "4":
                    return await _create_embedded(config)
                case "q":
                    raise UsageError("No model was chosen.")
                case _:
                    continue
            return await create_model(config, None, load_keys(config.config_directory))
        except (ConfigError, NoModelError, ValueError) as error:
            note(error.reason if isinstance(error, NoModelError) else str(error))


async def _create_embedded(config: Config) -> LanguageModel:
    return await to_thread.run_sync(create_local_model, ModelConfig(provider="local"), config)


def _describe_embedded() -> str:
    text = _EMBEDDED if is_installed() else _NOT_INSTALLED
    return text.format(size=describe_size(), how=INSTALL)


async def _read(lines: InputLines, prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = await lines.next_line()
    if line is None:
        raise UsageError("No model was chosen.")
    return line


async def _read_hidden(lines: InputLines, prompt: str) -> str:
    with without_echo():
        try:
            return await _read(lines, prompt)
        finally:
            note("")


def _keep_key(config: Config, text: str) -> None:
    """Keep the key of whichever vendor's shape it has.

    Raises:
        ConfigError: It has no known shape, or can't be kept.
    """
    key = text.strip()
    variable = "ANTHROPIC_API_KEY" if key.startswith("sk-ant-") else "OPENAI_API_KEY"
    if not key.startswith("sk-") or len(key) < _MIN_KEY_CHARACTERS:
        raise ConfigError(
            "That is no key: Anthropic's begin with sk-ant-, OpenAI's with sk-. Copy all of it."
        )
    save_key(config.config_directory, variable, key)
    note(f"Kept as {variable} in {config.config_directory}.")
