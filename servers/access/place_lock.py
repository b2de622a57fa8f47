"""A file's folder kept for one program at a time, without blocking the event loop."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from anyio import CancelScope, to_thread

from agentic.config.private_files import locked_place


@asynccontextmanager
async def hold_place(path: Path) -> AsyncGenerator[None]:
    """Keep the folder of `path` locked; it is made if it is not there.

    Raises:
        ConfigError: It can't be made, or others keep it locked for seconds.
    """
    held = ExitStack()
    try:
        await to_thread.run_sync(held.enter_context, locked_place(path))
        yield
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(held.close)
