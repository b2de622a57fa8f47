"""What goes on while the tools server runs: `mcp.yml` is read again, and documents are got."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import TaskGroup

from agentic.config.following import Reading
from servers.tools.catalogue import Announcer, Catalogue
from servers.tools.documents import DocumentKeeper

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """What lives as long as the server: the HTTP connections, and who gets documents over them."""

    transport: httpx2.AsyncBaseTransport
    documents: DocumentKeeper


@dataclass(slots=True)
class CurrentTools:
    """Serves the latest reading. `show` is given what is wrong, for clients; None: nothing."""

    catalogue: Catalogue
    announcer: Announcer
    tasks: TaskGroup
    show: Callable[[str | None], None]
    reading: Reading
    documents: DocumentKeeper | None = None

    def begin(self, documents: DocumentKeeper) -> None:
        """Have the documents of the first reading kept."""
        self.documents = documents
        documents.keep(self.reading.remote, self.reading.waiting)

    async def take_up(self, reading: Reading) -> None:
        """Serve what was read; calls that run go on."""
        self.reading = reading
        self.tell()
        if await anyio.to_thread.run_sync(self.catalogue.replace, reading.tools, reading.composed):
            await self.announcer.announce(self.tasks)
        if self.documents is not None:
            self.documents.keep(reading.remote, reading.waiting)

    def tell(self) -> None:
        """Show why the tools are not what the file says, if so."""
        found = [self.reading.problem] if self.reading.problem else []
        if self.documents is not None:
            found += self.documents.problems.values()
        self.show("; ".join(found) or None)


async def follow(
    look: Callable[[], Reading | None],
    poll_seconds: float,
    take_up: Callable[[Reading], Awaitable[None]],
) -> None:
    """Take up what `look` reads, again and again."""
    while True:
        await anyio.sleep(poll_seconds)
        reading = await anyio.to_thread.run_sync(look)
        if reading is None:
            continue
        if reading.problem is not None:
            _logger.warning("not all tools are what mcp.yml says: %s", reading.problem)
        await take_up(reading)
