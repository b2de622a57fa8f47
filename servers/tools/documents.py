"""Gets the OpenAPI documents that have an address, and keeps the last good copy of each.

Whoever reads `mcp.yml` reads the copies, so nothing waits for the network but this.
"""

import json
import logging
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import TaskGroup

from agentic.config.findings import ConfigError
from agentic.config.openapi.document import MAX_DOCUMENT_BYTES, DocumentError, parse_document
from agentic.config.private_files import write_private_text
from agentic.config.reach import find_reach
from agentic.config.sources import RemoteDocument
from servers.tools.guarded_network import REACH, UnreachableError
from servers.tools.response_body import ACCEPTED_ENCODING, read_body
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt

_logger = logging.getLogger(__name__)

REFRESH_SECONDS = 3_600.0
_TIMEOUT_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 600.0
_PATIENCE_SECONDS = 5.0
"""How long the first list of tools waits for documents of which there is no copy yet."""
_HEADERS = {
    "accept": "application/json, application/yaml;q=0.9, */*;q=0.5",
    "accept-encoding": ACCEPTED_ENCODING,
    "user-agent": "agentic-ai",
}


class DocumentKeeper:
    """A task for each document; one that can't be had delays no other.

    `notice` is called when `problems` has changed.
    """

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport,
        tasks: TaskGroup,
        notice: Callable[[], None],
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._transport = transport
        self._tasks = tasks
        self._notice = notice
        self._refresh_seconds = refresh_seconds
        self._kept: dict[str, tuple[RemoteDocument, anyio.CancelScope]] = {}
        self._awaited: set[str] = set()
        self._deadline = -math.inf
        self._changed = anyio.Event()
        self.problems: dict[str, str] = {}
        """Why documents are not what their addresses give now, by the names of their entries."""

    def keep(self, documents: Mapping[str, RemoteDocument], waiting: Collection[str]) -> None:
        """Keep these from now on, and no others. `waiting`: those of which there is no copy."""
        for name, (document, scope) in list(self._kept.items()):
            if documents.get(name) != document:
                scope.cancel()
                del self._kept[name]
                self._tell(name, None)
        for name, document in documents.items():
            if name not in self._kept:
                self._kept[name] = (document, anyio.CancelScope())
                self._tasks.start_soon(self._run, name, *self._kept[name])
        awaited = {each for each in waiting if each not in self.problems}
        if awaited - self._awaited:
            self._deadline = anyio.current_time() + _PATIENCE_SECONDS
        self._awaited = awaited
        self._wake()

    async def wait_first(self) -> None:
        """Wait until what there is no copy of was got and taken up, or was asked for in vain."""
        with anyio.CancelScope(deadline=self._deadline):
            while self._awaited:
                await self._changed.wait()

    async def _run(self, name: str, document: RemoteDocument, scope: anyio.CancelScope) -> None:
        retry = _FIRST_RETRY_SECONDS
        with scope:
            while True:
                try:
                    await self._get(document)
                except _NotHadError as error:
                    self._tell(name, f"tools.{name}.openapi: {error}; the last good copy stays")
                    wait, retry = retry, min(2 * retry, _LONGEST_RETRY_SECONDS)
                else:
                    self._tell(name, None)
                    wait, retry = self._refresh_seconds, _FIRST_RETRY_SECONDS
                await anyio.sleep(wait)

    def _tell(self, name: str, problem: str | None) -> None:
        if problem is not None:
            self._awaited.discard(name)
            self._wake()
        if self.problems.get(name) == problem:
            return
        if problem is None:
            del self.problems[name]
        else:
            self.problems[name] = problem
            _logger.warning("%s", problem)
        self._notice()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _get(self, document: RemoteDocument) -> None:
        try:
            with anyio.fail_after(_TIMEOUT_SECONDS):
                data = await self._fetch(document)
            await anyio.to_thread.run_sync(_store, document, data)
        except TimeoutError:
            raise _NotHadError(f"no document within {_TIMEOUT_SECONDS:g} seconds") from None
        except (UnreachableError, ToolFailedError, DocumentError, ConfigError) as error:
            raise _NotHadError(str(error)) from None
        except (httpx2.TransportError, httpx2.InvalidURL, UnicodeError):
            raise _NotHadError("its host can't be reached: check address and network") from None

    async def _fetch(self, document: RemoteDocument) -> bytes:
        url = httpx2.URL(document.url).copy_with(userinfo=b"", fragment=None)
        reach = find_reach(document.url, private_network=document.private_network)
        request = httpx2.Request("GET", url, headers=_HEADERS, extensions={REACH: reach})
        response = await self._transport.handle_async_request(request)
        async with aclosing(response):
            if not httpx2.codes.is_success(response.status_code):
                location = response.headers.get("location", "").partition("?")[0]
                where = f" to {excerpt(location)}; give the final address" if location else ""
                raise _NotHadError(f"the address answered HTTP {response.status_code}{where}")
            data = await read_body(response, MAX_DOCUMENT_BYTES)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise _NotHadError(f"the document is larger than {MAX_DOCUMENT_BYTES:,} bytes")
        return data


class _NotHadError(Exception):
    """A document can't be had now; the text says why."""


def _store(document: RemoteDocument, data: bytes) -> None:
    """Keep it if it is one, as JSON, which is read fastest."""
    text = json.dumps(parse_document(data).root.value)
    try:
        if document.copy.read_text("utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass  # there is none that can be read: this one takes its place
    write_private_text(document.copy, text)
