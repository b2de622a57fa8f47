"""Opens the tools server; figures of its tools are in a file, or in the table of conversations."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from agentic.config.following import FollowedTools
from agentic.config.models import Config
from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.principal import Callers
from servers.hosted import HostedServer
from servers.record_opening import open_records
from servers.tools.server import create_server
from servers.tools.usage import open_usage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_PURPOSE = "usage"


@asynccontextmanager
async def open_tools(config: Config, callers: Callers) -> AsyncGenerator[HostedServer]:
    """The tools server over what it needs."""
    async with open_usage(lambda: open_records(config, _PURPOSE)) as usage:

        def collect() -> "Iterable[Metric]":
            from servers.tools.usage_metrics import collect_figures

            return collect_figures(usage.totals)

        followed = FollowedTools(config)
        server = create_server(
            config.tools,
            callers,
            local_zone=config.environment.get("TZ"),
            usage=usage,
            look=followed.look,
            first=followed.reading,
        )
        yield HostedServer(
            name="tools",
            server=server,
            scopes=frozenset({SCOPE_TOOLS_CALL}),
            check=checkpoint,  # figures may wait for their store: when it answers, it is ready
            collect=collect,
        )
