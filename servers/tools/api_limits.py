"""What the calls to one API share: its rate, its access token, its connections."""

import anyio

from agentic.config.rate_limit import parse_rate_limit
from agentic.config.tool_auth import OAuthClient
from agentic.config.tools import ToolConfig
from servers.tools.oauth_tokens import TokenSource
from servers.tools.rate_gate import RateGate

_MAX_REQUESTS_IN_FLIGHT = 32
"""More wait, within their own time limit, so no API takes all connections."""


class ApiLimits:
    """Those of a tool, or of all the tools that were made of one document.

    A declaration that is read again with the same rate or the same client goes on where it was.
    """

    def __init__(self) -> None:
        self.in_flight = anyio.CapacityLimiter(_MAX_REQUESTS_IN_FLIGHT)
        self._gate: tuple[str, RateGate] | None = None
        self._tokens: tuple[tuple[OAuthClient, bool], TokenSource] | None = None

    def find_gate(self, config: ToolConfig) -> RateGate | None:
        """Holds calls to the rate, which an operation may have of its own; None: there is none."""
        rate = config.rate_limit
        if rate is None:
            return None
        if config.has_own_rate:
            return RateGate(parse_rate_limit(rate))
        if self._gate is None or self._gate[0] != rate:
            self._gate = (rate, RateGate(parse_rate_limit(rate)))
        return self._gate[1]

    def find_tokens(self, config: ToolConfig) -> TokenSource | None:
        """Where calls get their access token; None: they need none."""
        oauth = None if config.auth is None else config.auth.oauth
        if oauth is None:
            return None
        key = (oauth, config.private_network)
        if self._tokens is None or self._tokens[0] != key:
            tokens = TokenSource(oauth, private_network=config.private_network)
            self._tokens = (key, tokens)
        return self._tokens[1]
