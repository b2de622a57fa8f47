"""How a call through the hub fails, named for the reader.

HubError
├── ServerUnavailableError   not connected (any more); says since when and why
├── CallTimedOutError        no answer within the limit; whether it took effect is unknown
├── UnknownToolError         no such server, or no such tool there
├── InvalidArgumentsError    cannot be sent (lone surrogate, not JSON)
└── ServerFaultError         the server answered against the protocol, or with a JSON-RPC error
"""


class HubError(Exception):
    """A call did not give a result. `server` names where it went."""

    def __init__(self, server: str, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.server = server
        self.outcome_unknown = outcome_unknown
        """The request was sent and may have taken effect."""


class ServerUnavailableError(HubError):
    """Not connected, or the connection went away during the call."""


class CallTimedOutError(HubError):
    """No answer within the limit."""


class UnknownToolError(HubError):
    """No such server, or the server has no such tool (or it is filtered out)."""


class InvalidArgumentsError(HubError):
    """The arguments can't be sent."""


class ServerFaultError(HubError):
    """The server broke the protocol or answered with a protocol error, which then has a `code`."""

    def __init__(self, server: str, message: str, *, code: int | None = None) -> None:
        super().__init__(server, message)
        self.code = code
