"""Opens the tools server; figures of its tools are in a file, or in the table of conversations."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from agentic.config.following import FollowedTools
from agentic.config.models import Config
from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.principal import Callers
from servers.hosted import HostedServer
from servers.records.store import RecordStore
from servers.tools.server import create_server
from servers.tools.usage import open_usage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_PURPOSE = "usage"
_FILE = "usage.sqlite3"


@asynccontextmanager
async def open_tools(config: Config, callers: Callers) -> AsyncGenerator[HostedServer]:
    """The tools server over what it needs."""
    async with open_usage(lambda: _open_records(config)) as usage:

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


@asynccontextmanager
async def _open_records(config: Config) -> AsyncGenerator[RecordStore]:
    """Where figures are kept. What it imports is not needed until there are some.

    Raises:
        RecordsUnavailableError: It can't be used; the text says why.
    """
    async with AsyncExitStack() as stack:
        if config.conversations.store == "dynamodb":
            from servers.host import to_region
            from servers.records.dynamodb_store import open_dynamodb_records

            section = config.conversations
            opening = open_dynamodb_records(
                section.table, to_region(config), section.endpoint_url, _PURPOSE
            )
            yield await stack.enter_async_context(opening)
        else:
            from servers.records.sqlite_store import open_sqlite_records

            file = config.data_directory / _FILE
            yield await stack.enter_async_context(open_sqlite_records(file))
