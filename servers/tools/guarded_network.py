"""Connections to where a declaration may reach, and to nowhere else.

A name is looked up once for each connection, each address that comes back is checked, and the
address that was checked is the one connected to: an answer that changes meanwhile has no say.
TLS still asks for the name and checks the certificate against it.
"""

import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import cast

import anyio
import anyio.to_thread
import httpcore2
import httpx2
from anyio.abc import TaskGroup

from agentic.config.reach import Address, Reach, is_disguised, parse_address
from servers.tools.addresses import Reached, find_network, may_reach
from servers.tools.name_lookup import LookUp, NameLookup, look_up_by_system
from servers.tools.small_reads import SmallReads

_MAX_ADDRESSES = 8
_HEAD_START_SECONDS = 0.25
"""How long one address is tried alone, as RFC 8305 has it."""
_MAX_CONNECTIONS = 512
_IDLE_SECONDS = 3.0
"""Shorter than servers' usual limit (5 s), so that a kept connection is rarely a closed one."""
REACH = "agentic.reach"
"""The extension of a request that says how far it may go; without it: `Reach.PUBLIC`."""


class UnreachableError(Exception):
    """The address is none that this tool may connect to; the text says what would allow it."""


def _create_connections() -> httpcore2.AsyncNetworkBackend:
    # the package declares the class a second time, for where anyio is missing
    return cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())


def _create_tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


@dataclass(frozen=True, slots=True)
class Network:
    """How names become addresses, and addresses connections. Tests have networks of their own."""

    look_up: LookUp = look_up_by_system
    connections: httpcore2.AsyncNetworkBackend = field(default_factory=_create_connections)
    create_tls: Callable[[], ssl.SSLContext] = _create_tls


class GuardedTransport(httpx2.AsyncBaseTransport):
    """The connections that all endpoints share, a pool for each reach.

    A transport and not a client: it keeps no cookies between callers, follows no redirects, logs no
    URLs and takes no proxies or certificates from the environment.
    """

    def __init__(self, pools: dict[Reach, httpx2.AsyncHTTPTransport]) -> None:
        self._pools = pools

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request as far as its extension `REACH` allows.

        Raises:
            UnreachableError: It would go further.
            httpx2.TransportError: The connection failed.
        """
        reach = request.extensions.get(REACH, Reach.PUBLIC)
        return await self._pools[reach].handle_async_request(request)


@asynccontextmanager
async def open_transport(network: Network) -> AsyncGenerator[GuardedTransport]:
    """The transport; its connections end with it."""
    # its debug lines show the headers of answers, which may repeat ours
    logging.getLogger("httpcore2").setLevel(logging.INFO)
    tls = await anyio.to_thread.run_sync(network.create_tls)  # certificates are read from files
    async with AsyncExitStack() as stack:
        names = NameLookup(network.look_up, await stack.enter_async_context(open_tasks()))
        pools: dict[Reach, httpx2.AsyncHTTPTransport] = {}
        for reach in Reach:
            pool = _Pool(_Guard(reach, names, network.connections), tls)
            pools[reach] = await stack.enter_async_context(pool)
        yield GuardedTransport(pools)


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[TaskGroup]:
    """Tasks that end with the body."""
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


class _Pool(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a network of ours, which its constructor does not take."""

    def __init__(self, network: httpcore2.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=network,
        )


class _Guard(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses of a host that one reach allows, the best of them first."""

    def __init__(
        self, reach: Reach, names: NameLookup, connections: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._reach = reach
        self._names = names
        self._connections = connections

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to one of the host's addresses.

        Raises:
            UnreachableError: None of them is allowed.
            httpcore2.ConnectError: There is none, or none takes the connection.
        """
        addresses = await self._find_allowed(host)

        async def connect(address: Address) -> httpcore2.AsyncNetworkStream:
            return await self._connections.connect_tcp(
                str(address), port, timeout, local_address, socket_options
            )

        return SmallReads(await _connect_to_first(addresses, connect))

    async def _find_allowed(self, host: str) -> Sequence[Address]:
        if is_disguised(host):
            raise UnreachableError(
                f"the address {host} is in an unusual form: write it as four decimal numbers"
            )
        literal = parse_address(host)
        if literal is None:
            try:
                found = map(parse_address, await self._names.find_addresses(host))
            except OSError as error:
                raise httpcore2.ConnectError(str(error)) from error
            addresses = [address for address in found if address is not None]
        else:
            addresses = [literal]
        networks: dict[Address, Reached] = {each: find_network(each) for each in addresses}
        allowed = [each for each in networks if may_reach(self._reach, networks[each])]
        if addresses and not allowed:
            raise UnreachableError(_explain(host, networks.values()))
        return _alternate(allowed)[:_MAX_ADDRESSES]


def _explain(host: str, networks: Collection[Reached]) -> str:
    if "private" in networks:
        return (
            f"{host} leads into the private network, where tools only go if the declaration says "
            "so: set private_network: true for this tool in mcp.yml if that is meant"
        )
    if "link_local" in networks:
        return (
            f"{host} leads to a link-local address, where clouds keep their credentials: tools "
            "only go there if the address itself stands in url"
        )
    return f"{host} leads to an address that is no machine's: correct url"


def _alternate(addresses: Sequence[Address]) -> list[Address]:
    """In the order given, but in turn from both families, of which one may be cut off."""
    first = [each for each in addresses if each.version == addresses[0].version]
    second = [each for each in addresses if each.version != addresses[0].version]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [each for each in pairs if each is not None]


async def _connect_to_first(
    addresses: Sequence[Address],
    connect: Callable[[Address], Awaitable[httpcore2.AsyncNetworkStream]],
) -> httpcore2.AsyncNetworkStream:
    """The first connection that comes about; each address has a short start before the next."""
    won: list[httpcore2.AsyncNetworkStream] = []
    errors: list[Exception] = []

    async def attempt(address: Address, failed: anyio.Event) -> None:
        try:
            stream = await connect(address)
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            errors.append(error)
            failed.set()
            return
        if won:
            await stream.aclose()
            return
        won.append(stream)
        attempts.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as attempts:
            for address in addresses:
                failed = anyio.Event()
                attempts.start_soon(attempt, address, failed)
                with anyio.move_on_after(_HEAD_START_SECONDS):
                    await failed.wait()
    except BaseException:
        with anyio.CancelScope(shield=True):
            for stream in won:
                await stream.aclose()
        raise
    if won:
        return won[0]
    raise errors[0] if errors else httpcore2.ConnectError("the name has no address")
