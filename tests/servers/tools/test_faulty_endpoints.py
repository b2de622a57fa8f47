"""An endpoint that misbehaves costs a call a clear error, in time and in bounded memory."""

import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import anyio
import anyio.abc
import pytest
from anyio.streams.tls import TLSListener

from tests.fakes.tool_endpoint import (
    Connection,
    Handler,
    Hanging,
    Request,
    ToolEndpoint,
    answer,
    answer_json,
    render,
)
from tests.servers.tools.certificate import write_self_signed
from tests.servers.tools.conftest import OpenTools, error_of, text_of

MEBIBYTE = 1024 * 1024


def _gzipped(body: bytes) -> bytes:
    return render(body, headers={"Content-Encoding": "gzip"})


async def _endless(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        await connection.write(b" " * 65_536)


async def _endless_after_gzip(_: Request, connection: Connection) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999999\r\n\r\n"
    await connection.write(head + gzip.compress(b'{"result": 1}'))
    while True:
        await connection.write(b"\0" * 65_536)


async def _endless_error(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        await connection.write(b"sorry ")


async def _drip(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await connection.write(b" ")
        await anyio.sleep(0.01)


async def _endless_trailers(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await connection.write(b'd\r\n{"result": 1}\r\n0\r\n')
    while True:
        await connection.write(b"X-Trailer: y\r\n" * 1_000)


async def _endless_header(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
    while True:
        await connection.write(b"y" * 65_536)


async def _endless_tiny_chunks(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await connection.write(b"1\r\n \r\n" * 1_000)


async def _endless_early_hints(_: Request, connection: Connection) -> None:
    while True:
        await connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


async def _drip_headers(_: Request, connection: Connection) -> None:
    await connection.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.write(b"X: y\r\n")
        await anyio.sleep(0.01)


async def _close(_: Request, connection: Connection) -> None:
    await connection.stream.aclose()


async def _cut_short(_: Request, connection: Connection) -> None:
    await connection.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"result"')
    await connection.stream.aclose()


FAULTS: dict[str, tuple[Handler, str, str]] = {
    "error text": (answer_json({"error": "no credit"}), "failed", "reports an error: no credit"),
    "error object": (
        answer_json({"error": {"message": "m", "x": 1}}),
        "failed",
        "reports an error: m",
    ),
    "error beside a result": (
        answer_json({"error": ["a"], "result": 1}),
        "failed",
        'reports an error: ["a"]',
    ),
    "error null alone": (
        answer_json({"error": None}),
        "failed",
        'has no result; expected {"result": …}',
    ),
    "no result": (answer_json({"data": 1}), "failed", "has no result"),
    "a list": (answer_json([1]), "failed", "has no result"),
    "a string": (answer_json("result"), "failed", "has no result"),
    "400 with error": (answer_json({"error": "bad q"}, status=400), "failed", "HTTP 400: bad q"),
    "422 with detail": (
        answer_json({"detail": "nope"}, status=422),
        "failed",
        'HTTP 422: {"detail": "nope"}',
    ),
    "401": (
        answer_json({"error": "x"}, status=401),
        "failed",
        "HTTP 401: x (check the tool's cred",
    ),
    "502 with HTML": (
        answer(render(b"<h1>Oops</h1>", status=502)),
        "failed",
        "HTTP 502: an HTML page",
    ),
    "500 with controls": (
        answer(render(b"oh\x1b[31m no", status=500)),
        "failed",
        "HTTP 500: oh no",
    ),
    "500 empty": (answer(render(b"", status=500)), "failed", "HTTP 500"),
    "500 deep JSON": (answer(render(b"[" * 60_000, status=500)), "failed", "HTTP 500: [[["),
    "HTML body": (answer(render(b"<!doctype html>hi")), "failed", "not JSON but an HTML page"),
    "HTML type": (
        answer(render(b"hi", content_type="text/html")),
        "failed",
        "not JSON but an HTML page",
    ),
    "half JSON": (answer(render(b'{"result":')), "failed", 'not JSON but {"result":; expected'),
    "NaN": (answer(render(b'{"result": NaN}')), "failed", "not JSON but"),
    "infinite number": (answer(render(b'{"result": 1e999}')), "failed", "a number is too large"),
    "huge integer": (
        answer(render(b'{"result": ' + b"9" * 5_000 + b"}")),
        "failed",
        "not JSON but",
    ),
    "empty": (answer(render(b"")), "failed", "not JSON but nothing"),
    "not UTF-8": (answer(render(b"\xff\xfe\x00")), "failed", "not JSON but"),
    "unclosed depth": (answer(render(b'{"result": ' + b"[" * 100_000)), "failed", "not JSON but"),
    "depth": (
        answer(render(b'{"result": ' + b"[" * 70 + b"]" * 70 + b"}")),
        "failed",
        "nested more than 64 levels deep",
    ),
    "three megabytes": (
        answer(render(b'"' + b"x" * 3 * MEBIBYTE + b'"')),
        "too_large",
        "than 524288 bytes",
    ),
    "gzip bomb": (
        answer(_gzipped(gzip.compress(b" " * 64 * MEBIBYTE))),
        "too_large",
        "than 524288 bytes",
    ),
    "no gzip": (answer(_gzipped(b"no gzip")), "failed", "broken gzip"),
    "half gzip": (
        answer(_gzipped(gzip.compress(b'{"result": 1}')[:-12])),
        "failed",
        "not JSON but",
    ),
    "deflate": (
        answer(render(zlib.compress(b"{}"), headers={"Content-Encoding": "deflate"})),
        "failed",
        "encoding that was not asked for",
    ),
    "endless": (_endless, "too_large", "raise max_response_bytes"),
    "endless after gzip": (_endless_after_gzip, "too_large", "raise max_response_bytes"),
    "endless error": (_endless_error, "failed", "HTTP 500: sorry sorry"),
    "drip": (_drip, "timeout", "no answer within 0.5 seconds; whether it took effect is unknown"),
    "close": (
        _close,
        "failed",
        "broke off or does not speak HTTP; whether it took effect is unknown",
    ),
    "cut short": (_cut_short, "failed", "broke off or does not speak HTTP"),
    "not HTTP": (answer(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "failed", "does not speak HTTP"),
    "ten thousand headers": (
        answer(
            b"HTTP/1.1 200 OK\r\n"
            + b"".join(b"X-Header-%d: y\r\n" % n for n in range(10_000))
            + b'Content-Length: 13\r\n\r\n{"result": 1}'
        ),
        "failed",
        "does not speak HTTP",
    ),
    "endless header": (_endless_header, "failed", "does not speak HTTP"),
    "endless trailers": (_endless_trailers, "failed", "does not speak HTTP"),
    "endless tiny chunks": (_endless_tiny_chunks, "timeout", "no answer within 0.5 seconds"),
    "endless early hints": (_endless_early_hints, "timeout", "no answer within 0.5 seconds"),
    "drip of headers": (_drip_headers, "timeout", "no answer within 0.5 seconds"),
    "headers without end": (
        answer(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000 + b"\r\n"),
        "failed",
        "does not speak HTTP",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_none_is_told_as_what_it_is(
    endpoint: ToolEndpoint, open_tools: OpenTools, fault: str
) -> None:
    handler, code, expected = FAULTS[fault]
    good = endpoint.on("/good", answer_json({"result": "well"}))
    bad = endpoint.on("/bad", handler)
    timeout = 0.5 if code == "timeout" else 15
    async with open_tools(bad={"url": bad, "timeout": timeout}, good={"url": good}) as client:
        error = error_of(await client.call_tool("bad", {}))
        assert text_of(await client.call_tool("good", {})) == "well"
    assert error["code"] == code
    assert expected in error["message"]
    assert len(error["message"]) < 400


async def test_a_hanging_endpoint_ends_with_its_time_limit(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    hanging = Hanging()
    tool = {"url": endpoint.on("/", hanging), "timeout": 0.2, "read_only": True}
    async with open_tools(t=tool) as client:
        error = error_of(await client.call_tool("t", {}))
        await hanging.left.wait()
    assert error == {"code": "timeout", "message": "no answer within 0.2 seconds"}


async def test_packed_answers_are_unpacked(endpoint: ToolEndpoint, open_tools: OpenTools) -> None:
    packed = gzip.compress(b'{"result": "' + b"x" * 50_000 + b'"}')
    async with open_tools(t={"url": endpoint.on("/", answer(_gzipped(packed)))}) as client:
        assert text_of(await client.call_tool("t", {})) == "x" * 50_000
    assert endpoint.requests[0].headers["accept-encoding"] == "gzip"


async def test_an_answer_of_exactly_the_limit_is_taken(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    body = b'{"result": "' + b"x" * 986 + b'"}'
    url = endpoint.on("/", answer(render(body)))
    async with open_tools(
        fits={"url": url, "max_response_bytes": 1_000},
        over={"url": url, "max_response_bytes": 999},
    ) as client:
        assert not (await client.call_tool("fits", {})).is_error
        assert error_of(await client.call_tool("over", {}))["code"] == "too_large"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_told_and_not_followed(
    endpoint: ToolEndpoint, open_tools: OpenTools, status: int
) -> None:
    elsewhere = endpoint.on("/private", answer_json({"result": "secret"}))
    redirect = render(status=status, headers={"Location": f"{elsewhere}?key=abcd1234"})
    async with open_tools(t={"url": endpoint.on("/", answer(redirect))}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "failed"
    assert (
        f"HTTP {status}, a redirect to {elsewhere}; redirects are not followed" in error["message"]
    )
    assert "abcd1234" not in error["message"]
    assert [request.target for request in endpoint.requests] == ["/"]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("in an hour", 3_000, 3_601),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("-5", None, None),
        ("soon", None, None),
        ("9" * 400, None, None),
        ("inf", None, None),
        ("٣", None, None),
        ("Wed, 99 Foo 99999999999 07:28:00 GMT", None, None),
    ],
)
async def test_when_to_come_back_is_passed_on_where_it_is_usable(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    header: str,
    least: float | None,
    most: float | None,
) -> None:
    if header == "in an hour":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    data = render(b"{}", status=429).replace(b"\r\n\r\n", b"\r\nRetry-After: %b\r\n\r\n", 1)
    url = endpoint.on("/", answer(data % header.encode()))
    async with open_tools(t={"url": url}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "failed"
    if least is None or most is None:
        assert "retry_after_seconds" not in error
    else:
        assert least <= error["retry_after_seconds"] <= most


async def test_no_cookie_passes_from_one_call_to_another(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/", answer(render(b'{"result": 1}', headers={"Set-Cookie": "id=ada"})))
    async with open_tools(t={"url": url}) as client:
        await client.call_tool("t", {})
        await client.call_tool("t", {})
    assert "cookie" not in endpoint.requests[1].headers


async def test_an_endpoint_that_is_not_there_is_unavailable(open_tools: OpenTools) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with open_tools(t={"url": f"http://127.0.0.1:{port}/x"}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert f"http://127.0.0.1:{port} refuses the connection" in error["message"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "a..invalid"])
async def test_a_host_that_does_not_exist_is_unavailable(open_tools: OpenTools, host: str) -> None:
    async with open_tools(t={"url": f"http://{host}/x"}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert f"the host of http://{host} is unknown" in error["message"]


async def test_plain_http_where_tls_was_expected_is_unavailable(open_tools: OpenTools) -> None:
    async def greet(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(render(b"", status=400))

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, greet)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with open_tools(t={"url": f"https://127.0.0.1:{port}/"}) as client:
            error = error_of(await client.call_tool("t", {}))
            assert error["code"] == "unavailable"
            assert "does not speak TLS as expected" in error["message"]
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _serve_tls(certificate: Path) -> AsyncGenerator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = plain.extra(anyio.abc.SocketAttribute.local_port)

    async def close(stream: anyio.abc.AnyByteStream) -> None:
        await stream.aclose()

    async with TLSListener(plain, context) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, close)
        try:
            yield port
        finally:
            tasks.cancel_scope.cancel()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    open_tools: OpenTools, tmp_path: Path
) -> None:
    certificate = tmp_path / "certificate.pem"
    write_self_signed(certificate, "127.0.0.1")
    async with (
        _serve_tls(certificate) as port,
        open_tools(t={"url": f"https://127.0.0.1:{port}/", "token": "s3cret"}) as client,
    ):
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert f"certificate of https://127.0.0.1:{port} is not trusted: self" in error["message"]
