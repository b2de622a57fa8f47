"""The assistant's set of connections to MCP servers, each alive or dead on its own."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ReadResourceResult,
    RequestParamsMeta,
)

from client.hub.arguments import check_arguments
from client.hub.calls import call, read
from client.hub.connection import Connection
from client.hub.elicitation import Answerer, Resumption
from client.hub.errors import InvalidArgumentsError, ServerUnavailableError, UnknownToolError
from client.hub.names import create_server_prefix
from client.hub.servers import HubServer, HubTool, ServerStatus
from servers.access.contract import OWNER_META_KEY, check_owner

_CLOSE_SECONDS = 3.0


class Hub:
    """Calls tools and reads resources of the servers that are up.

    Usable from any task while `open_hub` is open.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = {connection.server.name: connection for connection in connections}

    def tools(self) -> list[HubTool]:
        """The tools of servers that are ready, offered to models or not: by server, then name."""
        return [tool for connection in self._connections.values() for tool in connection.tools]

    def status(self) -> list[ServerStatus]:
        """How each connection is, in the order of the configuration."""
        return [connection.status() for connection in self._connections.values()]

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
        answerer: Answerer | None = None,
        resumption: Resumption | None = None,
    ) -> CallToolResult:
        """Call a server's tool by its own name. A tool that failed is a result with `is_error`.

        `owner` is for whom the call acts; only servers of ours are told. The limit covers waiting
        for the connection too, but not for a person. A request that was sent is never sent again.
        What the server asks during the call goes to `answerer`, if the hub was opened with
        `can_ask`. With a `resumption` an earlier call is gone on with.

        Raises:
            ServerUnavailableError: Not connected, or not any more.
            CallTimedOutError: No answer within the limit.
            UnknownToolError: No such server or tool.
            InvalidArgumentsError: The arguments or the owner can't be sent.
            ServerFaultError: The answer is a JSON-RPC error, or none that the protocol knows.
        """
        connection = self._find(server)
        checked = check_arguments(server, arguments)
        meta = _create_meta(connection.server, owner)
        params = CallToolRequestParams(name=tool, arguments=checked, _meta=meta)
        if resumption is not None:
            params.input_responses = resumption.responses
            params.request_state = resumption.state
        return await call(connection, params, _limit(connection, timeout_seconds), answerer)

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ReadResourceResult:
        """Read a server's resource. `owner` and the limit are as in `call_tool`.

        Raises:
            HubError: As `call_tool`; what is not there is a `ServerFaultError` with its code.
        """
        connection = self._find(server)
        check_arguments(server, {"uri": uri})
        meta = _create_meta(connection.server, owner)
        return await read(connection, uri, meta, _limit(connection, timeout_seconds))

    async def wait_ready(self, *names: str, timeout_seconds: float) -> None:
        """Wait until these servers, or all, are ready.

        Raises:
            ServerUnavailableError: One is not in time (says why), or there is none of this name.
        """
        deadline = anyio.current_time() + timeout_seconds
        for name in names or tuple(self._connections):
            if name not in self._connections:
                raise ServerUnavailableError(name, f"there is no server {name!r} in mcp.yml")
            await self._connections[name].wait_live(deadline, patience_seconds=timeout_seconds)

    async def wait_settled(self, timeout_seconds: float) -> None:
        """Wait until each server is ready or has failed once, or the time is over."""
        with anyio.move_on_after(timeout_seconds):
            for connection in self._connections.values():
                await connection.settled.wait()

    def _find(self, server: str) -> Connection:
        connection = self._connections.get(server)
        if connection is None:
            raise UnknownToolError(server, f"there is no server {server!r} in mcp.yml")
        return connection


@asynccontextmanager
async def open_hub(servers: Sequence[HubServer], *, can_ask: bool = False) -> AsyncGenerator[Hub]:
    """Connect to all servers at once, in the background; close them all on the way out.

    `can_ask`: servers are told that there is somebody they may ask during calls.

    Raises:
        ValueError: Two servers have the same name.
    """
    prefixes = Counter(create_server_prefix(server.name) for server in servers)
    if twice := [prefix for prefix, count in prefixes.items() if count > 1]:
        raise ValueError(f"two servers are named {twice[0]!r}")
    connections = [Connection(server, can_ask=can_ask) for server in servers]
    failure: BaseException | None = None
    async with anyio.create_task_group() as owners:
        for connection in connections:
            owners.start_soon(connection.run, name=f"hub: {connection.server.name}")
        try:
            yield Hub(connections)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below, not wrapped in a group
            failure = error
        finally:
            for connection in connections:
                connection.close()
            owners.cancel_scope.deadline = anyio.current_time() + _CLOSE_SECONDS
    if failure:
        raise failure


def _limit(connection: Connection, timeout_seconds: float | None) -> float:
    return connection.server.timeout_seconds if timeout_seconds is None else timeout_seconds


def _create_meta(server: HubServer, owner: str | None) -> RequestParamsMeta | None:
    if owner is None or not server.ours:
        return None
    try:
        return cast("RequestParamsMeta", {OWNER_META_KEY: check_owner(owner)})
    except ValueError as error:
        raise InvalidArgumentsError(server.name, str(error)) from None
