"""`agentic conversations export`: a conversation as a document, for programs or for people."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from agentic.cli.compose import open_store
from agentic.cli.conversation_document import write_document
from agentic.cli.conversation_ids import check_id
from agentic.cli.failures import CommandError
from agentic.cli.figures_bar import Figures, Show, count, showing_figures
from agentic.cli.invocation import Invocation, note
from agentic.cli.output_files import check_output, replaced_output
from agentic.cli.stored_history import load_facts
from agentic.cli.terminal_text import clean
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config
from client.conversations import ConversationCallError, RemoteConversationStore
from servers.conversations.contract_documents import ExportFormat

_Pages = AsyncIterator[dict[str, Any] | str]


def export_conversation(
    invocation: Invocation,
    conversation_id: str,
    output: Path | None,
    *,
    format: ExportFormat,
    force: bool,
) -> int:
    """Write the document to `output`, or to stdout."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        if output is not None:
            check_output(output, force=force)
        async with open_store(config) as store:
            tally = _Tally((await load_facts(store, conversation_id)).message_count)
            pages = _read(store, conversation_id, format)
            if output is None and sys.stdout.isatty():  # where a bar would stand between the lines
                await _write(sys.stdout, pages, format, clean)
                return
            with showing_figures("Reading", tally.look) as show:
                pages = _counted(pages, tally, show)
                if output is None:
                    await _write(sys.stdout, pages, format, clean)
                else:
                    with replaced_output(output, force=force) as file:
                        await _write(file, pages, format, str)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


@dataclass(slots=True)
class _Tally:
    total: int
    """Messages."""
    messages: int = 0
    characters: int = 0
    """Of Markdown, in which messages are not told apart."""

    def look(self) -> Figures:
        """How far the export has come."""
        if self.characters:
            return Figures(0, None, f"{self.characters:,} characters")
        return Figures(
            self.messages, self.total, f"{self.messages:,} of {count(self.total, 'message')}"
        )


async def _counted(pages: _Pages, tally: _Tally, show: Show) -> _Pages:
    async for page in pages:
        if isinstance(page, str):
            tally.characters += len(page)
        else:
            tally.messages += len(page["messages"])
        show()
        yield page


async def _read(
    store: RemoteConversationStore, conversation_id: str, format: ExportFormat
) -> _Pages:
    cursor: str | None = None
    while True:
        try:
            page = await store.export_conversation(conversation_id, format=format, cursor=cursor)
        except ConversationCallError as error:
            if cursor is None or error.code not in ("stale_cursor", "not_found"):
                raise
            raise CommandError(
                "The conversation was rewritten or deleted while it was exported: run it again."
            ) from None
        yield page.document
        cursor = page.next_cursor
        if cursor is None:
            return


async def _write(
    output: TextIO, pages: _Pages, format: ExportFormat, shown: Callable[[str], str]
) -> None:
    match format:
        case "json":
            await _write_json(output, cast("AsyncIterator[dict[str, Any]]", pages))
        case "markdown":
            async for page in pages:
                output.write(shown(str(page)))


async def _write_json(output: TextIO, pages: AsyncIterator[dict[str, Any]]) -> None:
    first = await anext(pages)
    head = {name: value for name, value in first.items() if name != "messages"}
    written = total = 0

    async def messages() -> AsyncIterator[Mapping[str, Any]]:
        nonlocal written, total
        page: dict[str, Any] | None = first
        while page is not None:
            total = page["conversation"]["message_count"]
            for message in page["messages"]:
                yield message
                written += 1
            page = await anext(pages, None)

    await write_document(output, head, messages())
    if written < total:
        note(f"Left out: {count(total - written, 'damaged message')}.")
