"""What hosting needs to know of a server, whichever it is."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp.server import Server

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass(frozen=True, slots=True)
class HostedServer:
    """A server that was opened, by its name.

    `scopes`: over HTTP a caller needs one of them to be let in. `check` raises when the server
    couldn't do its work now, whatever it raises then.
    """

    name: str
    server: Server[Any]
    scopes: frozenset[str]
    check: Callable[[], Awaitable[object]]
    units: Mapping[tuple[str, str], float] | None = None
    """What its store has cost so far by verb and `read` or `write`, where that is counted."""
    collect: "Callable[[], Iterable[Metric]] | None" = None
    """Further figures of it for `/metrics`."""

    @property
    def path(self) -> str:
        """Where it is served over HTTP."""
        return f"/{self.name}/mcp"
