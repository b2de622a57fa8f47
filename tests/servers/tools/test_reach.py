"""A declared tool's connections go to the network that its declaration names, and nowhere else."""

import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.abc
import httpcore2
import pytest
from anyio.streams.tls import TLSListener
from mcp import Client

from servers.access.principal import create_operator
from servers.tools.guarded_network import Network
from servers.tools.name_lookup import LookUp
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import Hanging, ToolEndpoint, answer_json, render
from tests.servers.tools.certificate import write_self_signed
from tests.servers.tools.conftest import declare, error_of, text_of

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1::1"
FORBIDDEN = [
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "::127.0.0.1", "::93.184.216.34", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1",
    "2001:0:7f00:1::1", "2001:db8::1", "2001:10::1", "3fff::1", "100::1", "5f00::1", "4000::1",
]  # fmt: skip
ALLOWED = [
    PUBLIC, PUBLIC_6, "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1",
    "169.253.255.255", "223.255.255.255", "2001:4860:4860::8888", "::ffff:8.8.8.8",
    "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


class Elsewhere(httpcore2.AsyncNetworkBackend):
    """Connects every address to one port of this machine, and notes which it was asked for."""

    def __init__(self, url: str = "") -> None:
        self.port = int(url.rpartition(":")[2]) if url else 0
        self.addresses: list[str] = []
        self.refusing: set[str] = set()
        self.silent: set[str] = set()
        self.create_tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
        self._own = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.addresses.append(host)
        if host in self.silent:
            await anyio.sleep_forever()
        if host in self.refusing:
            raise httpcore2.ConnectError
        return await self._own.connect_tcp("127.0.0.1", self.port)


@dataclass
class Names:
    """Name servers: what they answer, and what they answer from the second time on."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    later: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    asked: list[str] = field(default_factory=list[str])

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if self.asked.count(host) > 1 and host in self.later:
            return self.later[host]
        return self.answers[host]


@asynccontextmanager
async def open_in(
    look_up: LookUp,
    elsewhere: Elsewhere,
    **tools: Mapping[str, Any],
) -> AsyncGenerator[Client]:
    network = Network(look_up, elsewhere, elsewhere.create_tls)
    server = create_server(declare(**tools), create_operator("ada"), network=network)
    with anyio.fail_after(20):
        async with Client(server) as client:
            yield client


@pytest.fixture
def elsewhere(endpoint: ToolEndpoint) -> Elsewhere:
    endpoint.on("/", answer_json({"result": "well"}))
    return Elsewhere(endpoint.url)


async def test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to(
    elsewhere: Elsewhere,
) -> None:
    names = Names({f"a{n}.example": [address] for n, address in enumerate(FORBIDDEN)})
    tools = {f"a{n}": {"url": f"http://a{n}.example/"} for n in range(len(FORBIDDEN))}
    async with open_in(names, elsewhere, **tools) as client:
        for n, address in enumerate(FORBIDDEN):
            result = await client.call_tool(f"a{n}", {})
            assert elsewhere.addresses == [], address
            error = error_of(result)
            assert error["code"] == "unavailable", address
            assert error["message"].startswith(f"a{n}.example leads "), address


async def test_public_addresses_are_connected_to_as_they_were_checked(elsewhere: Elsewhere) -> None:
    names = Names({f"a{n}.example": [address] for n, address in enumerate(ALLOWED)})
    tools = {f"a{n}": {"url": f"http://a{n}.example/"} for n in range(len(ALLOWED))}
    async with open_in(names, elsewhere, **tools) as client:
        for name in tools:
            assert text_of(await client.call_tool(name, {})) == "well"
    assert list(map(ip_address, elsewhere.addresses)) == list(map(ip_address, ALLOWED))
    assert names.asked == list(names.answers)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost/", "127.0.0.1"),
        ("http://x.localhost/", "::1"),
        ("http://search/", "10.0.0.7"),
        ("http://SEARCH./", "10.0.0.7"),
        ("http://printer.local/", "192.168.1.9"),
        ("http://search.internal/", "100.64.0.9"),
        ("http://router.lan/", "192.168.1.1"),
        ("http://box.home.arpa/", "fd12::1"),
    ],
)
async def test_a_private_host_is_reached_where_the_url_names_it(
    elsewhere: Elsewhere, url: str, address: str
) -> None:
    async with open_in(lambda _: [address], elsewhere, t={"url": url}) as client:
        assert text_of(await client.call_tool("t", {})) == "well"
    assert elsewhere.addresses == [address]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("10.1.2.3", "10.1.2.3"),
        ("169.254.169.254", "169.254.169.254"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
    ],
)
async def test_an_address_is_reached_where_it_stands_in_the_url(
    elsewhere: Elsewhere, host: str, address: str
) -> None:
    names = Names()
    async with open_in(names, elsewhere, t={"url": f"http://{host}/"}) as client:
        assert text_of(await client.call_tool("t", {})) == "well"
    assert list(map(ip_address, elsewhere.addresses)) == [ip_address(address)]
    assert names.asked == []


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "[::]", "0.0.0.0", "224.0.0.1"],
)
async def test_a_disguised_or_impossible_address_is_never_reached(
    elsewhere: Elsewhere, host: str
) -> None:
    tool = {"url": f"http://{host}/", "private_network": True}
    async with open_in(lambda _: ["127.0.0.1"], elsewhere, t=tool) as client:
        assert error_of(await client.call_tool("t", {}))["code"] == "unavailable"
    assert elsewhere.addresses == []


async def test_private_network_allows_the_private_network_but_no_metadata(
    elsewhere: Elsewhere,
) -> None:
    names = Names({"in.example": ["10.0.0.7"], "meta.example": ["169.254.169.254"]})
    declared = {"private_network": True}
    async with open_in(
        names,
        elsewhere,
        inside={**declared, "url": "http://in.example/"},
        meta={**declared, "url": "http://meta.example/"},
        refused={"url": "http://in.example/"},
    ) as client:
        assert text_of(await client.call_tool("inside", {})) == "well"
        meta = error_of(await client.call_tool("meta", {}))
        # the open connection of the other tool to the same host is not its own
        refused = error_of(await client.call_tool("refused", {}))
    assert elsewhere.addresses == ["10.0.0.7"]
    assert "the address itself stands in url" in meta["message"]
    assert "in.example leads into the private network" in refused["message"]
    assert "set private_network: true" in refused["message"]
    assert "10.0.0.7" not in refused["message"]


async def test_of_a_mixed_answer_the_private_address_is_never_used(elsewhere: Elsewhere) -> None:
    elsewhere.refusing = {PUBLIC}
    names = Names({"mixed.example": ["127.0.0.1", PUBLIC, "::1", "::ffff:10.0.0.1"]})
    async with open_in(names, elsewhere, t={"url": "http://mixed.example/"}) as client:
        assert "can't be reached" in error_of(await client.call_tool("t", {}))["message"]
        elsewhere.refusing = set()
        assert text_of(await client.call_tool("t", {})) == "well"
    assert elsewhere.addresses == [PUBLIC, PUBLIC]


async def test_an_answer_that_changes_between_calls_is_checked_again(
    endpoint: ToolEndpoint, elsewhere: Elsewhere
) -> None:
    async def answer_and_close(_: object, connection: Any) -> None:
        await connection.write(render(b'{"result": "well"}', headers={"Connection": "close"}))

    endpoint.on("/", answer_and_close)
    names = Names({"r.example": [PUBLIC]}, later={"r.example": ["127.0.0.1"]})
    async with open_in(names, elsewhere, t={"url": "http://r.example/"}) as client:
        assert text_of(await client.call_tool("t", {})) == "well"
        assert "private network" in error_of(await client.call_tool("t", {}))["message"]
    assert elsewhere.addresses == [PUBLIC]
    assert names.asked == ["r.example", "r.example"]


@pytest.mark.parametrize("fault", ["refusing", "silent"])
async def test_the_next_address_is_tried_when_one_refuses_or_is_silent(
    elsewhere: Elsewhere, fault: str
) -> None:
    setattr(elsewhere, fault, {"2606:2800:220:1::1", "2606:2800:220:1::2"})
    names = Names({"two.example": ["2606:2800:220:1::1", "2606:2800:220:1::2", PUBLIC]})
    async with open_in(names, elsewhere, t={"url": "http://two.example/"}) as client:
        assert text_of(await client.call_tool("t", {})) == "well"
    assert elsewhere.addresses == ["2606:2800:220:1::1", PUBLIC]


async def test_of_a_hundred_addresses_eight_are_tried(elsewhere: Elsewhere) -> None:
    addresses = [f"93.184.216.{n}" for n in range(100)]
    elsewhere.refusing = set(addresses)
    async with open_in(lambda _: addresses, elsewhere, t={"url": "http://m.example/"}) as client:
        assert error_of(await client.call_tool("t", {}))["code"] == "unavailable"
    assert elsewhere.addresses == addresses[:8]


async def test_a_name_server_that_is_silent_delays_no_other_name(elsewhere: Elsewhere) -> None:
    asked, release = list[str](), threading.Event()

    def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        if host == "hung.example":
            release.wait(30)
        return [PUBLIC]

    hung = {"url": "http://hung.example/", "timeout": 0.1}
    quick = {"url": "http://quick.example/"}
    try:
        async with open_in(look_up, elsewhere, hung=hung, quick=quick) as client:
            results = list[Any]()

            async def call() -> None:
                results.append(await client.call_tool("hung", {}))

            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(call)
            assert {error_of(each)["code"] for each in results} == {"timeout"}
            assert text_of(await client.call_tool("quick", {})) == "well"
    finally:
        release.set()
    assert asked == ["hung.example", "quick.example"]


async def test_tls_asks_for_the_name_and_checks_the_certificate_against_it(tmp_path: Path) -> None:
    write_self_signed(tmp_path / "good.pem", "good.example")
    asked: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "good.pem")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def serve(stream: anyio.abc.AnyByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(render(b'{"result": "well"}'))

    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    elsewhere = Elsewhere(f"x:{plain.extra(anyio.abc.SocketAttribute.local_port)}")
    elsewhere.create_tls = partial(ssl.create_default_context, cafile=str(tmp_path / "good.pem"))
    urls = {"good": {"url": "https://good.example/"}, "bad": {"url": "https://bad.example/"}}
    async with TLSListener(plain, context, False) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with open_in(lambda _: [PUBLIC], elsewhere, **urls) as client:
            assert text_of(await client.call_tool("good", {})) == "well"
            message = error_of(await client.call_tool("bad", {}))["message"]
            assert "certificate of https://bad.example is not trusted: Hostname mism" in message
        tasks.cancel_scope.cancel()
    assert asked == ["good.example", "bad.example"]
    assert elsewhere.addresses == [PUBLIC, PUBLIC]


async def test_calls_that_are_given_up_while_connecting_leave_no_connection(
    endpoint: ToolEndpoint,
) -> None:
    hanging = Hanging()
    endpoint.on("/", hanging)
    elsewhere = Elsewhere(endpoint.url)
    elsewhere.silent = {PUBLIC}
    tool = {"url": "http://x.example/", "timeout": 0.4}
    async with open_in(lambda _: [PUBLIC, PUBLIC_6], elsewhere, t=tool) as client:
        assert error_of(await client.call_tool("t", {}))["code"] == "timeout"
        await hanging.left.wait()
