"""A connection that is read in small pieces: other calls go on between two of them."""

import ssl
from typing import Any

import httpcore2

_MAX_BYTES = 8_192
"""Of one read. 64 KiB of answers that say nothing but "wait" (1xx) take 27 ms to be taken apart."""


class SmallReads(httpcore2.AsyncNetworkStream):
    """As the stream below, but for the size of reads."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most 8 KiB."""
        return await self._stream.read(min(max_bytes, _MAX_BYTES), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As below."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As below."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """As below; what comes out is read in small pieces, too."""
        return SmallReads(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore2's own
        """As below."""
        return self._stream.get_extra_info(info)
