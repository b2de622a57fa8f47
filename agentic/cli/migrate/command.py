"""`agentic migrate`: all conversations of one server, over MCP to another."""

import hashlib
import sys
from pathlib import Path

import anyio

from agentic.cli.compose import open_connections
from agentic.cli.failures import CommandError
from agentic.cli.figures_bar import Show, is_watched, showing_figures
from agentic.cli.invocation import Invocation, note
from agentic.cli.migrate.ends import End, Given, find_ends
from agentic.cli.migrate.journal import open_journal
from agentic.cli.migrate.patience import PatientHub
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.rights import check_end
from agentic.cli.migrate.rounds import Migration
from agentic.cli.migrate.tally import Tally
from agentic.cli.migrate.view import look_at, render_summary
from agentic.cli.terminal_text import to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config

_MAX_SHOWN_PROBLEMS = 20


def migrate(
    invocation: Invocation, source: Given, target: Given, *, thorough: bool, as_json: bool
) -> int:
    """Copy what is missing, then say what is the same at both ends; 1 if not everything is."""

    async def work(config: Config) -> None:
        ends = await anyio.to_thread.run_sync(find_ends, source, target, config)
        tally, done = Tally(), False
        try:
            with showing_figures("Connecting", lambda: look_at(tally)) as show:
                is_quiet = await _migrate(config, *ends, tally, show, thorough=thorough)
            done = True
            if not is_quiet:
                note("Messages are still coming in at the source: run the same again later.")
        finally:
            if done or tally.results:
                _tell(ends, tally, done=done, as_json=as_json)
        if problems := tally.problems():
            rest = len(problems) - _MAX_SHOWN_PROBLEMS
            more = f"\nand {rest:,} more." if rest > 0 else ""
            raise CommandError("\n".join(problems[:_MAX_SHOWN_PROBLEMS]) + more)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


async def _migrate(
    config: Config, source: End, target: End, tally: Tally, show: Show, *, thorough: bool
) -> bool:
    with open_journal(_find_journal(config, source, target)) as journal:
        async with open_connections([source.server, target.server]) as hub:
            here, there = (Place(PatientHub(hub), end.name) for end in (source, target))
            await check_end(hub, source, here, writes=False)
            await check_end(hub, target, there, writes=True)
            if is_watched():
                tally.total = await _count_all(here)
            migration = Migration(here, there, journal, tally, show, thorough=thorough)
            return await migration.run()


async def _count_all(source: Place) -> int:
    count = 0
    async for owner in source.list_owners():
        async for page in source.list_conversations(owner):
            count += len(page)
    return count


def _find_journal(config: Config, source: End, target: End) -> Path:
    pair = hashlib.sha256(f"{source.identity} {target.identity}".encode()).hexdigest()
    return config.cache_directory / "migrations" / f"{pair[:32]}.sqlite3"


def _tell(ends: tuple[End, End], tally: Tally, *, done: bool, as_json: bool) -> None:
    if as_json:
        head = {"from": ends[0].name, "to": ends[1].name, "finished": done}
        sys.stdout.write(to_json({**head, **tally.to_json()}) + "\n")
    else:
        sys.stdout.write(render_summary(tally) + "\n")
    if not done:
        note("Stopped. Run the same again, and it goes on from there.")
