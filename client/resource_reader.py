"""The part of the hub that reads resources."""

from typing import Protocol

from mcp_types import ReadResourceResult


class ResourceReader(Protocol):
    """Reads what servers keep under URIs."""

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ReadResourceResult:
        """Read one resource of one server.

        Raises:
            HubError: No contents came.
        """
        ...
