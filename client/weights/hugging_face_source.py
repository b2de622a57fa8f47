"""The official file on Hugging Face, fetched by ranges."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from client.weights.catalogue import Weights
from client.weights.errors import SourceError
from client.weights.partial import Part, PartialFile

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

DECISION_SECONDS = 5.0
"""In all, until Hugging Face is known to give this file or is not used."""
STALL_SECONDS = 30.0
"""Without a byte; after that the line counts as cut."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class HuggingFaceSource:
    """Hugging Face, asked for this file."""

    client: "AsyncClient"
    weights: Weights
    retry_delays: Sequence[float] = (0.5, 1, 2, 4, 8)

    async def check(self) -> None:
        """Ask for the first byte.

        Raises:
            SourceError: It can't be reached or doesn't give this file by ranges.
        """
        async with self._open_range(0, 0):
            pass

    async def fetch(
        self, part: Part, partial: PartialFile, on_arriving: Callable[[int], None]
    ) -> None:
        """See `Source`."""
        on_arriving(0)  # what comes is written at once
        begin = part.start + partial.count_done(part)
        async with self._open_range(begin, part.start + part.size - 1) as response:
            async for chunk in response.aiter_raw():
                if len(chunk) > part.size - partial.count_done(part):
                    raise SourceError("it sent more than was asked for")
                await partial.write(part, chunk)
        if not partial.has(part):
            raise SourceError("the line was cut")

    @asynccontextmanager
    async def _open_range(self, first: int, last: int) -> "AsyncGenerator[Response]":
        from httpx2 import InvalidURL, RequestError

        # Compressed, the bytes would not lie where the range says.
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        try:
            async with self.client.stream("GET", self.weights.url, headers=headers) as response:
                self._check_range(response, first)
                yield response
        except (RequestError, InvalidURL) as error:
            raise SourceError(str(error) or type(error).__name__) from None

    def _check_range(self, response: "Response", first: int) -> None:
        if response.status_code != _PARTIAL_CONTENT:
            raise SourceError(f"HTTP {response.status_code} {response.reason_phrase}".rstrip())
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != first:
            raise SourceError("it sent another range than was asked for")
        # With its redirect to where the bytes are, it names the hash of the whole file.
        tags = (answer.headers.get("x-linked-etag", "") for answer in (*response.history, response))
        hashes = {sha256 for tag in tags for sha256 in _SHA256.findall(tag)}
        if int(found[2]) != self.weights.size_bytes or hashes - {self.weights.sha256}:
            raise SourceError("it has another file by this name")


@asynccontextmanager
async def open_hugging_face(
    weights: Weights, *, stall_seconds: float = STALL_SECONDS
) -> AsyncGenerator[HuggingFaceSource]:
    """Hugging Face, if it has the file; known after at most five seconds.

    Raises:
        SourceError: It can't be used; says why.
    """
    with anyio.CancelScope() as deciding:
        deciding.deadline = anyio.current_time() + DECISION_SECONDS
        # Certificates are read from files.
        client = await to_thread.run_sync(_create_client, stall_seconds, abandon_on_cancel=True)
        async with client:
            source = HuggingFaceSource(client, weights)
            await source.check()
            deciding.deadline = float("inf")
            yield source
    if deciding.cancelled_caught:
        raise SourceError(f"no answer within {DECISION_SECONDS:.0f} seconds")


def _create_client(stall_seconds: float) -> "AsyncClient":
    from httpx2 import AsyncClient, Timeout

    return AsyncClient(
        timeout=Timeout(stall_seconds, pool=None),
        follow_redirects=True,
        headers={"User-Agent": "agentic-ai"},
    )
