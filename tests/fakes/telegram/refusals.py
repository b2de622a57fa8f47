"""What the server answers instead of doing what was asked."""

from typing import Any


class RefusedError(Exception):
    """The request is answered with this error."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


class MisusedError(RefusedError):
    """The request breaks a rule that the real server keeps silent about: it would lose something.

    It is refused, and the test fails at its end whatever the bot makes of that.
    """


def bad_request(description: str) -> RefusedError:
    """An error 400."""
    return RefusedError(400, f"Bad Request: {description}")


def forbidden(description: str) -> RefusedError:
    """An error 403."""
    return RefusedError(403, f"Forbidden: {description}")


def conflict(description: str) -> RefusedError:
    """An error 409."""
    return RefusedError(409, f"Conflict: {description}")


def misused(description: str) -> MisusedError:
    """A request that would do something other than its sender believes."""
    return MisusedError(400, f"Bad Request: {description}")
