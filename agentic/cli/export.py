"""`agentic conversations export`: a conversation as JSON that loses nothing."""

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from agentic.cli.compose import open_store
from agentic.cli.conversation_document import write_document
from agentic.cli.conversation_ids import check_id
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.stored_history import StoredHistory, load_facts
from agentic.config.children import SECTIONS_OF_TALKERS
from agentic.config.models import Config

_FORMAT = "agentic-conversation/1"


def export_conversation(
    invocation: Invocation, conversation_id: str, output: Path | None, *, force: bool
) -> int:
    """Write the document to `output`, or to stdout."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        if output is not None:
            _check_output(output, force=force)
        async with open_store(config) as store:
            conversation = await load_facts(store, conversation_id)
            head = {"format": _FORMAT, "conversation": conversation.model_dump(exclude={"stats"})}
            history = StoredHistory(store, conversation_id)
            if output is None:
                await write_document(sys.stdout, head, history)
            else:
                with _private_file(output, force=force) as file:
                    await write_document(file, head, history)
            if history.damaged:
                note(f"Left out: {history.damaged} damaged records.")

    return invocation.run(work, sections=SECTIONS_OF_TALKERS)


def _check_output(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: --force overwrites it.")


@contextmanager
def _private_file(path: Path, *, force: bool) -> Generator[TextIO]:
    """A file that only its owner may read, and that appears at `path` when it is whole."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    unfinished = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_output(path, force=force)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
