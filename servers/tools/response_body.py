"""The body of an HTTP answer, bounded: what is sent and what it unpacks to."""

import zlib
from collections.abc import Callable
from contextlib import aclosing

import anyio.lowlevel
import httpx2

from servers.tools.results import ToolFailedError

ACCEPTED_ENCODING = "gzip"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_CHUNKS_AT_ONCE = 64
"""A piece from the network may hold ten thousand chunks, and other calls must not wait for them."""


async def read_body(response: httpx2.Response, max_bytes: int) -> bytes:
    """The body, at most `max_bytes + 1` of it: one byte too many says that there was more.

    httpx2 would unpack by itself, but without a limit on what is read after the packed data's end.

    Raises:
        ToolFailedError: It can't be unpacked.
    """
    unpack = _choose_unpacking(response.headers.get("content-encoding", "identity"))
    body, received, taken = bytearray(), 0, 0
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            received, taken = received + len(chunk), taken + 1
            if taken % _CHUNKS_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            try:
                body += unpack(chunk, max_bytes + 1 - len(body))
            except zlib.error:
                raise ToolFailedError("failed", "the endpoint answered with broken gzip") from None
            if len(body) > max_bytes:
                break
            if received > max_bytes:
                raise ToolFailedError("too_large", describe_limit(max_bytes))
    return bytes(body)


def describe_limit(max_bytes: int) -> str:
    """The sentence for an answer over the limit."""
    return (
        f"the endpoint's answer is larger than {max_bytes} bytes: ask for less, "
        "or raise max_response_bytes of the tool"
    )


def _choose_unpacking(encoding: str) -> Callable[[bytes, int], bytes]:
    match encoding.strip().lower():
        case "identity" | "":
            return lambda chunk, room: chunk[:room]
        case "gzip" | "x-gzip":
            return zlib.decompressobj(_GZIP_WINDOW).decompress
        case _:
            raise ToolFailedError(
                "failed", "the endpoint answered in an encoding that was not asked for (only gzip)"
            )
