"""`agentic conversations import`: reads the file as a stream and stores it over MCP."""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from agentic.cli.compose import open_store
from agentic.cli.failures import CommandError
from agentic.cli.figures_bar import Show, showing_figures
from agentic.cli.imports.found import Found
from agentic.cli.imports.reading import Format, read_conversations
from agentic.cli.imports.sending import Sender, paginate, take
from agentic.cli.imports.source import Source
from agentic.cli.imports.tally import Tally
from agentic.cli.imports.view import look_at, render_summary
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config

Store = Callable[[Found], Awaitable[None]]


def import_file(
    invocation: Invocation, path: Path, wanted: Format, *, dry_run: bool, as_json: bool
) -> int:
    """Import what is missing, then say what came of it; 1 if not all that should be is stored."""

    async def work(config: Config) -> None:
        source, tally = Source(path), Tally()
        source.check()
        done = False
        try:
            await _import(config, source, wanted, tally, dry_run=dry_run)
            done = True
        finally:
            if done or tally.appended or tally.repeated:
                _tell(source, tally, done=done, dry_run=dry_run, as_json=as_json)
        if tally.problems:
            more = f"\nand {tally.more_problems:,} more." if tally.more_problems else ""
            raise CommandError("\n".join(tally.problems) + more)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


async def _import(
    config: Config, source: Source, wanted: Format, tally: Tally, *, dry_run: bool
) -> None:
    with closing(read_conversations(source, wanted, tally)) as conversations:
        # Before servers are started: there may be nothing that can be read.
        found = await take(conversations)
        if found is None:
            return
        with showing_figures("Reading", lambda: look_at(source.reading, tally)) as show:
            storing = _counting(tally, show) if dry_run else _storing(config, tally, show)
            async with storing as store:
                while found is not None:
                    await store(found)
                    found = await take(conversations)


@asynccontextmanager
async def _storing(config: Config, tally: Tally, show: Show) -> AsyncGenerator[Store]:
    async with open_store(config) as store:
        yield Sender(store, tally, show).send


@asynccontextmanager
async def _counting(tally: Tally, show: Show) -> AsyncGenerator[Store]:
    async def count(found: Found) -> None:
        pages = paginate(found.messages)
        while (page := await take(pages)) is not None:
            tally.messages += len(page)
            show()

    yield count


def _tell(source: Source, tally: Tally, *, done: bool, dry_run: bool, as_json: bool) -> None:
    if as_json:
        is_whole = done and not tally.is_broken_off
        head = {"file": str(source.path), "dry_run": dry_run, "finished": is_whole}
        sys.stdout.write(to_json({**head, **tally.to_json()}) + "\n")
    else:
        sys.stdout.write(render_summary(tally, dry_run=dry_run) + "\n")
    if not done:
        note("Stopped. Run the same again, and it goes on from there.")
