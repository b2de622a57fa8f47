"""The HTTP calls to a declared endpoint, bounded in time, and why they can fail on their way."""

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
from servers.tools.api_limits import ApiLimits
from servers.tools.attempts import Attempts
from servers.tools.guarded_network import REACH, UnreachableError
from servers.tools.oauth_tokens import TokenSource
from servers.tools.request import PreparedRequest
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt

_UNAUTHORIZED = 401


class _UnauthorizedError(Exception):
    """The endpoint does not take the token, which may have ended early."""


class Endpoint:
    """Where a declared tool's calls go, within what its API's tools may do together."""

    def __init__(self, config: ToolConfig, limits: ApiLimits) -> None:
        url = httpx2.URL(config.url)
        self._origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        reach = find_reach(config.url, private_network=config.private_network)
        self._extensions = {REACH: reach}
        self._timeout_seconds = config.timeout_seconds
        self._read_only = config.is_read_only
        self._limits = limits
        self._attempts = Attempts(config.retries, may_repeat=config.is_idempotent)
        self._gate = limits.find_gate(config)
        self._reader = AnswerReader(config)
        self._tokens = limits.find_tokens(config)

    async def call(self, transport: httpx2.AsyncBaseTransport, request: PreparedRequest) -> object:
        """Send the request; the `result` of the answer.

        Raises:
            ToolFailedError: There is none.
        """
        try:
            with anyio.fail_after(self._timeout_seconds) as scope:

                async def attempt() -> object:
                    if self._gate is not None:
                        await self._gate.wait(scope.deadline)
                    async with self._limits.in_flight:
                        return await self._attempt(transport, request)

                return await self._attempts.run(attempt, scope.deadline)
        except TimeoutError:
            limit = f"{self._timeout_seconds:g} seconds"
            raise ToolFailedError("timeout", f"no answer within {limit}{self._outcome()}") from None

    async def _attempt(
        self, transport: httpx2.AsyncBaseTransport, request: PreparedRequest
    ) -> object:
        if self._tokens is None:
            return await self._exchange(transport, request)
        token = await self._get_token(transport, self._tokens)
        try:
            return await self._exchange(transport, request, token)
        except _UnauthorizedError:
            self._tokens.drop(token)
        token = await self._get_token(transport, self._tokens)
        return await self._exchange(transport, request, token, is_last=True)

    async def _get_token(self, transport: httpx2.AsyncBaseTransport, tokens: TokenSource) -> str:
        try:
            return await tokens.get(transport)
        except UnreachableError as error:
            raise ToolFailedError("unavailable", f"auth.oauth.token_url: {error}") from None
        except (httpx2.TransportError, UnicodeError):
            raise ToolFailedError(
                "unavailable",
                "the token endpoint can't be reached: check auth.oauth.token_url and the network",
                may_pass=True,
                was_sent=False,
            ) from None

    async def _exchange(
        self,
        transport: httpx2.AsyncBaseTransport,
        prepared: PreparedRequest,
        token: str = "",
        *,
        is_last: bool = False,
    ) -> object:
        request = httpx2.Request(
            prepared.method,
            prepared.url,
            headers=prepared.headers,
            content=prepared.content,
            extensions=self._extensions,
        )
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        try:
            response = await transport.handle_async_request(request)
            async with aclosing(response):
                if token and response.status_code == _UNAUTHORIZED and not is_last:
                    raise _UnauthorizedError
                return await self._reader.read(response, token)
        except UnreachableError as error:
            raise ToolFailedError("unavailable", str(error)) from None
        except (httpx2.ConnectError, UnicodeError) as error:  # UnicodeError: no name for a host
            raise ToolFailedError(
                "unavailable", self._why_unreachable(error), may_pass=True, was_sent=False
            ) from None
        except httpx2.RemoteProtocolError:
            raise ToolFailedError(
                "failed",
                f"{self._origin} broke off or does not speak HTTP{self._outcome()}",
                may_pass=True,
            ) from None
        except httpx2.TransportError:
            raise ToolFailedError(
                "unavailable",
                f"the connection to {self._origin} was lost{self._outcome()}",
                may_pass=True,
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
