"""One HTTP call to a declared endpoint, bounded in time, and why it can fail on its way."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import aclosing
from typing import cast

import anyio
import httpx2

from agentic.config.reach import find_reach
from agentic.config.tools import ToolConfig
from servers.tools.answer import AnswerReader
from servers.tools.credentials import create_headers
from servers.tools.guarded_network import REACH, UnreachableError
from servers.tools.response_body import ACCEPTED_ENCODING
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt

_MAX_REQUESTS_IN_FLIGHT = 32
"""Of one endpoint. More wait, within their own time limit, so no endpoint takes all connections."""


class Endpoint:
    """Where a declared tool's calls go."""

    def __init__(self, config: ToolConfig) -> None:
        url = httpx2.URL(config.url)
        self._url = url.copy_with(userinfo=b"", fragment=None)
        self._origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        self._headers = {
            "accept": "application/json",
            "user-agent": "agentic-ai",
            **create_headers(config),
            "accept-encoding": ACCEPTED_ENCODING,
            "content-type": "application/json",
        }
        reach = find_reach(config.url, private_network=config.private_network)
        self._extensions = {REACH: reach}
        self._timeout_seconds = config.timeout_seconds
        self._read_only = config.is_read_only
        self._in_flight = anyio.CapacityLimiter(_MAX_REQUESTS_IN_FLIGHT)
        self._reader = AnswerReader(config)

    async def post(self, transport: httpx2.AsyncBaseTransport, body: bytes) -> object:
        """Send `body`; the `result` of the answer.

        Raises:
            ToolFailedError: There is none.
        """
        try:
            with anyio.fail_after(self._timeout_seconds):
                async with self._in_flight:
                    return await self._exchange(transport, body)
        except TimeoutError:
            limit = f"{self._timeout_seconds:g} seconds"
            raise ToolFailedError("timeout", f"no answer within {limit}{self._outcome()}") from None

    async def _exchange(self, transport: httpx2.AsyncBaseTransport, body: bytes) -> object:
        request = httpx2.Request(
            "POST", self._url, headers=self._headers, content=body, extensions=self._extensions
        )
        try:
            response = await transport.handle_async_request(request)
            async with aclosing(response):
                return await self._reader.read(response)
        except UnreachableError as error:
            raise ToolFailedError("unavailable", str(error)) from None
        except (httpx2.ConnectError, UnicodeError) as error:  # UnicodeError: no name for a host
            raise ToolFailedError("unavailable", self._why_unreachable(error)) from None
        except httpx2.RemoteProtocolError:
            raise ToolFailedError(
                "failed", f"{self._origin} broke off or does not speak HTTP{self._outcome()}"
            ) from None
        except httpx2.TransportError:
            raise ToolFailedError(
                "unavailable", f"the connection to {self._origin} was lost{self._outcome()}"
            ) from None

    def _why_unreachable(self, error: BaseException) -> str:
        for cause in _iterate_causes(error):
            match cause:
                case socket.gaierror() | UnicodeError():
                    return f"the host of {self._origin} is unknown: check url and the network"
                case ssl.SSLCertVerificationError():
                    why = excerpt(cause.verify_message)
                    return f"the certificate of {self._origin} is not trusted: {why}"
                case ssl.SSLError():
                    return f"{self._origin} does not speak TLS as expected: check https in url"
                case ConnectionRefusedError():
                    return f"{self._origin} refuses the connection: is the endpoint running?"
                case _:
                    pass
        return f"{self._origin} can't be reached: check url and the network"

    def _outcome(self) -> str:
        return "" if self._read_only else "; whether it took effect is unknown"


def _iterate_causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _iterate_causes(each)
    # the connection pool raises `from None`, so a cause may stand in the context only
    if (before := error.__cause__ or error.__context__) is not None:
        yield from _iterate_causes(before)
