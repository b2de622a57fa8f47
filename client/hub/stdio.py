"""A server's process at the other end of pipes, and what it complains about."""

import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client

from client.hub.plain_text import clean
from client.hub.servers import StdioTarget

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

logger = logging.getLogger(__name__)

_LINE_CHARACTERS = 500
_KEPT_LINES = 20
_LINES_PER_READ = 50
_LAST_WORDS_SECONDS = 0.2


class Complaints:
    """What a server wrote on its standard error: logged as it comes, the last lines kept."""

    def __init__(self, server: str, scrub: Callable[[str], str]) -> None:
        self._server = server
        self._scrub = scrub
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Take what was read."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > 4 * _LINE_CHARACTERS:
            lines, self._rest = [*lines, self._rest], b""
        # A server that floods its standard error must not flood our log.
        for line in lines[-_LINES_PER_READ:]:
            text = clean(self._scrub(line.decode("utf-8", "replace")), _LINE_CHARACTERS)
            if text:
                self._lines.append(text)
                logger.info("%s: %s", self._server, text)

    def last_words(self) -> str:
        """The last lines, as far as they fit into a sentence."""
        self.add(b"\n")
        words = ""
        for line in reversed(self._lines):
            if words and len(line) + len(words) > _LINE_CHARACTERS:
                break
            words = f"{line} / {words}" if words else line
        return words


@asynccontextmanager
async def open_stdio(
    target: StdioTarget, complaints: Complaints
) -> "AsyncGenerator[TransportStreams]":
    """Start the command; leaving ends it, its whole process group if need be.

    It runs in a session of its own, so Ctrl-C at the terminal reaches us and not it.
    """
    parameters = StdioServerParameters(
        command=target.command,
        args=list(target.args),
        env=dict(target.env),
        cwd=target.cwd,
        # One byte that is no UTF-8 would make the SDK deaf for good.
        encoding_error_handler="replace",
    )
    with ExitStack() as descriptors:
        read_end, write_end = os.pipe()
        descriptors.callback(os.close, read_end)
        errors = descriptors.enter_context(os.fdopen(write_end, "w"))
        os.set_blocking(read_end, False)
        async with anyio.create_task_group() as tasks:
            silent = anyio.Event()
            tasks.start_soon(_listen, read_end, complaints, silent)
            try:
                async with stdio_client(parameters, errlog=errors) as streams:
                    # Only the process holds it now, so its end is the end of the pipe.
                    errors.close()
                    yield streams
            finally:
                errors.close()
                with anyio.move_on_after(_LAST_WORDS_SECONDS):
                    await silent.wait()
                tasks.cancel_scope.cancel()


async def _listen(descriptor: int, complaints: Complaints, silent: anyio.Event) -> None:
    while True:
        await anyio.wait_readable(descriptor)
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            silent.set()
            return
        complaints.add(chunk)
