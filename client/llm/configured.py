"""The models of `mcp.yml` by name, for programs in which people choose between them."""

import math
from collections.abc import Sequence

import anyio
from anyio import to_thread

from agentic.config.findings import ConfigError
from agentic.config.keys import load_keys
from agentic.config.models import Config
from client.llm.available import NoModelError, open_configured
from client.llm.local.loading import Loading
from client.llm.local.model import LocalModel
from client.llm.protocol import ChosenModel

DEFAULT_AGENT = "default"


class ConfiguredModels:
    """Opens each model when it is first asked for. Embedded ones answer while `run` runs."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.default_name = find_default_name(config)
        """Of the model that answers where none was chosen; None: no model has a name."""
        self._opened: dict[str, ChosenModel] = {}
        self._opening = anyio.Lock()
        self._send, self._receive = anyio.create_memory_object_stream[Loading](math.inf)

    @property
    def names(self) -> Sequence[str]:
        """In the order of `mcp.yml`."""
        return [*self._config.models.by_name]

    async def open(self, name: str) -> ChosenModel:
        """The model of that name. Nothing is asked of it yet, but Ollama if it has it.

        Raises:
            NoModelError: There is none, or it lacks something.
        """
        async with self._opening:
            if name not in self._opened:
                try:
                    keys = await to_thread.run_sync(load_keys, self._config.config_directory)
                except ConfigError:
                    raise NoModelError(
                        "The saved keys can't be read (`agentic doctor` says why)."
                    ) from None
                model = (await open_configured(name, self._config, keys)).model
                if isinstance(model, LocalModel):
                    self._send.send_nowait(model.loading)
                price = self._config.models.by_name[name].price
                self._opened[name] = ChosenModel(model, price)
            return self._opened[name]

    async def run(self) -> None:
        """Keep the engines of embedded models running, until cancelled."""
        with self._send, self._receive:
            async with anyio.create_task_group() as tasks:
                async for loading in self._receive:
                    tasks.start_soon(_keep_running, loading)


def find_default_name(config: Config) -> str | None:
    """The name of the model that answers; None: `mcp.yml` names none, and one is looked for."""
    agent = config.agents.get(DEFAULT_AGENT)
    chosen = (agent and agent.model) or config.models.default
    return chosen or next(iter(config.models.by_name), None)


async def _keep_running(loading: Loading) -> None:
    async with loading.running():
        await anyio.sleep_forever()
