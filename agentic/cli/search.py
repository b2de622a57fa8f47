"""`agentic conversations search`: what was said, by words."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from agentic.cli.compose import open_store
from agentic.cli.conversation_ids import check_id, render_id
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.piped_console import PipedConsole
from agentic.cli.stored_history import load_facts
from agentic.cli.stored_times import render_time
from agentic.cli.terminal_text import one_line, to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config
from servers.conversations.contract import Role
from servers.conversations.contract_results import SearchHit

_WHO = {"user": "you", "assistant": "assistant", "tool": "tool", "system": "note", None: "title"}
_MAX_SNIPPET_WIDTH = 2_000
_MARKED = re.compile(r"\*\*(.+?)\*\*")


def search_conversations(
    invocation: Invocation,
    words: Sequence[str],
    *,
    conversation_id: str | None,
    role: Role | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Two lines for each hit, or one JSON object."""

    async def work(config: Config) -> None:
        if conversation_id is not None:
            check_id(conversation_id)
        async with open_store(config) as store:
            found = await store.search_conversations(
                " ".join(words),
                limit=limit,
                conversation_id=conversation_id,
                role=role,
                since=None if since is None else _to_moment(since),
            )
            if conversation_id is not None and not found.hits:
                await load_facts(store, conversation_id)  # is there one, or was it mistyped?
        if as_json:
            sys.stdout.write(to_json(found.model_dump()) + "\n")
            return
        _show(found.hits)
        if found.truncated and len(found.hits) < limit:
            note("Not everything could be searched: try again in a moment, or look for more words.")
        elif found.truncated:
            note("There may be more: ask for more with --limit, or look for more words.")
        elif not found.hits:
            note("Nothing was found.")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def _to_moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise UsageError(
            "--since is a day or a time, such as 2026-01-31 or 2026-01-31T09:30, not "
            f"{one_line(text)}."
        ) from None


def _show(hits: Sequence[SearchHit]) -> None:
    console = PipedConsole()
    for hit in hits:
        head = f"{render_time(hit.created_at)}  {render_id(hit.conversation_id)}  {_WHO[hit.role]}"
        console.print(Text(head, style="bold cyan"))
        snippet = one_line(hit.snippet, _MAX_SNIPPET_WIDTH)
        console.print(_render_snippet(snippet) if console.is_terminal else Text(f"    {snippet}"))


def _render_snippet(snippet: str) -> Text:
    """With what matches in bold."""
    text = Text("    ")
    for number, piece in enumerate(_MARKED.split(snippet)):
        text.append(piece, style="bold" if number % 2 else None)
    return text
