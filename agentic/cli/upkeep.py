"""`agentic conversations verify|repair|compact|reindex`: looking after the files."""

import logging
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from dataclasses import asdict
from typing import Literal

from agentic.cli.failures import FAILED
from agentic.cli.figures_bar import Figures, count, is_watched, showing_figures
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import clean, one_line, to_json
from agentic.cli.upkeep_view import counting
from agentic.config.models import Config
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_findings import Finding
from servers.conversations.file_upkeep import Step, compact, find_format_damage, repair
from servers.conversations.file_upkeep import reindex as reindex_files
from servers.conversations.file_upkeep import verify as verify_files
from servers.conversations.file_verify_derived import DerivedCheck
from servers.host import open_files, to_sealing

_SECTIONS = ("conversations",)
_TELL_HOW_FAR = tuple(
    f"servers.conversations.{name}" for name in ("file_catalogue_check", "file_search_upkeep")
)


def verify(invocation: Invocation, *, as_json: bool) -> int:
    """Each finding on a line; 1 if something stored is damaged."""

    async def work(config: Config) -> int:
        async with open_files(config) as engine:
            found: list[Finding] = []
            format_damage = find_format_damage(engine)
            if format_damage is not None:
                found.append(format_damage)
            conversations = messages = 0
            with closing(DerivedCheck(engine.directory)) as derived:
                async with counting("Reading", verify_files(engine)) as steps:
                    async for step in steps:
                        found += step.examination.findings
                        derived.compare(step.examination)
                        examined = step.examination
                        conversations += examined.is_readable and not examined.is_deleted
                        messages += examined.messages
                found += derived.findings()
        damaged = [finding for finding in found if finding.is_damage]
        counts = {"conversations": conversations, "messages": messages, "damaged": len(damaged)}
        if as_json:
            sys.stdout.write(to_json({**counts, "findings": [asdict(f) for f in found]}) + "\n")
        else:
            for finding in found:
                sys.stdout.write(_render(finding) + "\n")
            note(f"Read {_render_counts(messages, conversations)}.")
            if damaged:
                note("`agentic conversations repair` keeps what is whole, and the rest aside.")
        return FAILED if damaged else 0

    return invocation.run(work, sections=_SECTIONS)


def repair_store(invocation: Invocation) -> int:
    """What was done, by conversation; 1 if something could not be mended."""

    async def begin(engine: FileEngine, _: Config) -> AsyncGenerator[Step]:
        damage = find_format_damage(engine)
        async for step in repair(engine):
            yield step
        if damage is not None:
            sys.stdout.write("FORMAT: written anew\n")

    return _go_through(invocation, "Repairing", begin)


def compact_store(invocation: Invocation) -> int:
    """What was done, by conversation."""

    def begin(engine: FileEngine, config: Config) -> AsyncGenerator[Step]:
        return compact(engine, to_sealing(config))

    return _go_through(invocation, "Compacting", begin)


def _go_through(
    invocation: Invocation,
    doing: str,
    begin: Callable[[FileEngine, Config], AsyncGenerator[Step]],
) -> int:
    async def work(config: Config) -> int:
        left = changed = 0
        async with (
            open_files(config) as engine,
            counting(doing, begin(engine, config)) as steps,
        ):
            async for step in steps:
                if step.done:
                    left += step.is_left
                    changed += not step.is_left
                    sys.stdout.write(f"{_name(step)}: {step.done}\n")
        note(f"Conversations changed: {changed}.")
        return FAILED if left else 0

    return invocation.run(work, sections=_SECTIONS)


def reindex(invocation: Invocation) -> int:
    """Throw the indexes away and make them anew from the files."""
    come_to = Figures(0, None, "Listings")

    async def work(config: Config) -> None:
        def tell(what: Literal["listings", "search"], done: int, total: int) -> None:
            nonlocal come_to
            unit, size = ("folders", 1) if what == "listings" else ("MB", 1_000_000)
            text = f"{what.capitalize()}: {done // size:,} of {total // size:,} {unit}"
            come_to = Figures(done, total, text)
            show()

        with showing_figures(come_to.text, lambda: come_to) as show:
            async with open_files(config) as engine:
                totals = await reindex_files(engine, tell)
        note(f"Indexed {_render_counts(totals.messages, totals.conversations)}.")

    if is_watched():  # else the store's own lines say how far it is
        for name in _TELL_HOW_FAR:
            logging.getLogger(name).setLevel(logging.ERROR)
    return invocation.run(work, sections=_SECTIONS, log_level=None)


def _render_counts(messages: int, conversations: int) -> str:
    return f"{count(messages, 'message')} of {count(conversations, 'conversation')}"


def _name(step: Step) -> str:
    facts = step.examination.facts
    name = facts.conversation_id if facts else step.examination.key
    return f"{one_line(facts.owner)}: {one_line(name)}" if facts else one_line(name)


def _render(finding: Finding) -> str:
    place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    return clean(f"{place}: {finding.what}" + ("" if finding.is_damage else " (no harm)"))
