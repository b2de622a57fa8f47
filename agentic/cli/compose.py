"""Puts the parts together: configuration → hub, store, Coordinator. Nothing else does."""

import signal
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from agentic.cli.failures import UsageError
from agentic.cli.stopping import STOPPING_SIGNALS, stopped_by
from agentic.config.children import runs_our_command
from agentic.config.load import load_config
from agentic.config.locations import BY_ITSELF_VARIABLE, CONFIG_PATH_VARIABLE
from agentic.config.models import Config, ServerConfig
from agentic.config.trust import needs_trust

if TYPE_CHECKING:
    from client.asking.questions import Asker
    from client.attachments import RemoteAttachments
    from client.conversations import RemoteConversationStore
    from client.coordinator.coordinator import Coordinator
    from client.hub.hub import Hub
    from client.hub.servers import HubServer, Show
    from client.llm.local.loading import Loading
    from client.llm.protocol import ChosenModel
    from client.spool.spool import Spool

SETTLE_SECONDS = 15.0
"""How long servers that are starting are waited for; one that takes longer is missing at first."""

_PATIENCE_SECONDS = 1.0
"""For a second attempt of a server whose first one failed."""


@dataclass(frozen=True, slots=True)
class Assistant:
    """Everything a talk needs."""

    hub: "Hub"
    store: "RemoteConversationStore"
    coordinator: "Coordinator"
    model_name: str
    spool: "Spool"
    loading: "Loading | None" = None
    """What answers is still being loaded, or has to be kept running."""


def read_config(
    environ: Mapping[str, str], path: Path | None, sections: Collection[str] | None = None
) -> Config:
    """The configuration for a process with this environment; `path` wins over its search.

    Raises:
        ConfigError: It can't be used; the text says where and what would be right.
        UsageError: There is nothing at `path`.
    """
    if path is not None and not path.exists():
        raise UsageError(f"--config: there is no file {path}.")
    named = (
        {}
        if path is None
        else {
            CONFIG_PATH_VARIABLE: str(path.absolute()),
            BY_ITSELF_VARIABLE: "",
        }
    )
    return load_config({**environ, **named}, sections=sections)


def check_trust(config: Config) -> None:
    """Refuse to do what a `./mcp.yml` that nobody named says, until somebody agreed to it.

    Raises:
        UsageError: It would start commands or send secrets, and is not trusted.
    """
    risks = needs_trust(config)
    if risks:
        listed = "".join(f"\n  {risk}" for risk in risks)
        raise UsageError(
            f"{config.path} was found in this folder and is not trusted. By it,{listed}\n"
            "Allow that with `agentic trust`, or name the file to use with --config."
        )


@asynccontextmanager
async def open_servers(
    config: Config,
    *,
    delegate: bool = False,
    signals: Sequence[signal.Signals] = STOPPING_SIGNALS,
    show: "Show | None" = None,
    can_ask: bool = False,
) -> "AsyncGenerator[Hub]":
    """Connections to all configured servers, coming up in the background.

    One of `signals` cancels the body. The servers stay until it has ended, so that a turn that is
    stopped can still be stored. `show` shows a person the page of a server that wants consent.
    With `can_ask` servers are told that there is somebody they may ask during calls.

    Raises:
        StoppedError: A signal came.
    """
    from client.hub.from_config import to_hub_servers

    servers = to_hub_servers(config, delegate=delegate, show=show)
    async with open_connections(servers, signals=signals, can_ask=can_ask) as hub:
        yield hub


@asynccontextmanager
async def open_connections(
    servers: "Sequence[HubServer]",
    *,
    signals: Sequence[signal.Signals] = STOPPING_SIGNALS,
    can_ask: bool = False,
) -> "AsyncGenerator[Hub]":
    """The same to these servers, whatever else is configured."""
    from client.hub.hub import open_hub

    async with open_hub(servers, can_ask=can_ask) as hub, stopped_by(*signals):
        yield hub


async def require(hub: "Hub", server: str) -> None:
    """Wait for a server without which there is nothing to do.

    Raises:
        ServerUnavailableError: It did not start; says why.
    """
    await hub.wait_settled(SETTLE_SECONDS)
    await hub.wait_ready(server, timeout_seconds=_PATIENCE_SECONDS)


async def _check_store(config: Config) -> None:
    """Find out at once what would keep the conversation server that we start from starting.

    Without this it is told when the server has ended, and, in a talk, below a waiting prompt.

    Raises:
        HostError: Something does; says what, and what to do.
    """
    from servers.host import check_conversations

    server = config.servers.get("conversations")
    if server and server.enabled and _reads_this(server):
        await check_conversations(config)


def is_kept_here(config: Config) -> bool:
    """Whether conversations are in files of this machine, where this configuration says."""
    server = config.servers.get("conversations")
    return config.conversations.store == "file" and (server is None or _reads_this(server))


def _reads_this(server: ServerConfig) -> bool:
    # With an environment of its own it may read another configuration than this one.
    return runs_our_command(server) and not (server.env or server.cwd)


@asynccontextmanager
async def open_store(config: Config) -> "AsyncGenerator[RemoteConversationStore]":
    """The operator's conversations; no other server is started.

    Raises:
        HostError: They can't be kept where the configuration says.
    """
    from client.conversations import RemoteConversationStore

    async with _open_conversations(config) as hub:
        yield RemoteConversationStore(hub)


@asynccontextmanager
async def open_store_of_all(config: Config) -> "AsyncGenerator[RemoteConversationStore]":
    """The conversations of all owners, for whoever looks after them; else as `open_store`."""
    from client.conversations import RemoteConversationStore

    async with open_hub_for_all(config) as hub:
        yield RemoteConversationStore(hub)


@asynccontextmanager
async def open_hub_for_all(config: Config) -> "AsyncGenerator[Hub]":
    """The conversation server alone, acting for nobody yet; else as `open_store`."""
    await _check_store(config)
    async with open_servers(_only_conversations(config), delegate=True) as hub:
        await require(hub, "conversations")
        yield hub


@asynccontextmanager
async def open_attachments(config: Config) -> "AsyncGenerator[RemoteAttachments]":
    """The attachments of the operator's conversations; else as `open_store`."""
    from client.attachments import RemoteAttachments

    async with _open_conversations(config) as hub:
        yield RemoteAttachments(hub)


@asynccontextmanager
async def _open_conversations(config: Config) -> "AsyncGenerator[Hub]":
    await _check_store(config)
    async with open_servers(_only_conversations(config)) as hub:
        await require(hub, "conversations")
        if spool_directory(config).exists():
            from agentic.cli.invocation import note

            await store_what_waits(create_spool(config, hub, note))
        yield hub


def _only_conversations(config: Config) -> Config:
    servers = {name: server for name, server in config.servers.items() if name == "conversations"}
    return config.model_copy(update={"servers": servers})


def create_spool(config: Config, hub: "Hub", tell: Callable[[str], None] | None = None) -> "Spool":
    """Where what could not be stored waits, on this machine. As `open_assistant` about `tell`."""
    from client.spool.folder import SpoolFolder
    from client.spool.spool import Spool

    folder = SpoolFolder(spool_directory(config))
    return Spool(hub, folder) if tell is None else Spool(hub, folder, tell)


def spool_directory(config: Config) -> Path:
    """The spool's place."""
    return config.data_directory / "spool"


async def store_what_waits(spool: "Spool") -> None:
    """Begin with what an earlier start could not store, if the store is back, within 10 s."""
    from client.conversations import ConversationCallError
    from client.hub.errors import HubError
    from client.store_absence import STORE_SECONDS

    with anyio.move_on_after(STORE_SECONDS), suppress(HubError, ConversationCallError):
        await spool.replay_all()


@asynccontextmanager
async def open_assistant(
    config: Config,
    chosen: "ChosenModel",
    *,
    conversation_id: str | None = None,
    delegate: bool = False,
    signals: Sequence[signal.Signals] = STOPPING_SIGNALS,
    tell: Callable[[str], None] | None = None,
    asker: "Asker | None" = None,
    can_ask: bool = False,
) -> AsyncGenerator[Assistant]:
    """Hub, store and Coordinator around one model.

    `conversation_id`: where the first message is expected, if that is known. `tell` is given what
    becomes of what waited for the store; without it that is logged. `asker` is asked before
    calls that need a yes, and what servers want to know; without one such calls are not made. With
    `can_ask` servers are told that they may ask.

    Raises:
        HostError: Conversations can't be kept where the configuration says.
    """
    from agentic.cli.reading_ahead import reading_ahead
    from client.conversations import RemoteConversationStore
    from client.coordinator.coordinator import Coordinator
    from client.llm.configured import DEFAULT_AGENT
    from client.llm.local.model import LocalModel

    await _check_store(config)
    local = chosen.model if isinstance(chosen.model, LocalModel) else None
    async with (
        open_servers(config, delegate=delegate, signals=signals, can_ask=can_ask) as hub,
        local.loading.running() if local else nullcontext(),
    ):
        store = RemoteConversationStore(hub)
        agent = config.agents.get(DEFAULT_AGENT)
        spool = create_spool(config, hub, tell)
        coordinator = Coordinator(
            hub,
            chosen.model,
            config.limits,
            instructions=agent and agent.instructions,
            price=chosen.price,
            spool=spool,
            asker=asker,
        )
        async with (
            reading_ahead(local, hub, coordinator, conversation_id) if local else nullcontext(),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(spool.run)
            loading = local.loading if local else None
            yield Assistant(hub, store, coordinator, chosen.model.name, spool, loading)
            tasks.cancel_scope.cancel()
