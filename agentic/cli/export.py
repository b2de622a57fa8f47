"""`agentic conversations export`: a conversation as JSON that loses nothing."""

import sys
from pathlib import Path

from agentic.cli.compose import open_store
from agentic.cli.conversation_document import write_document
from agentic.cli.conversation_ids import check_id
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.stored_history import StoredHistory, load_facts
from agentic.config.children import SECTIONS_OF_TALKERS
from agentic.config.models import Config
from agentic.config.private_files import replaced_whole
from servers.conversations.contract_documents import DOCUMENT_FORMAT


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
            head = {
                "format": DOCUMENT_FORMAT,
                "conversation": conversation.model_dump(exclude={"stats"}),
            }
            history = StoredHistory(store, conversation_id)
            if output is None:
                await write_document(sys.stdout, head, history)
            else:
                with replaced_whole(output) as file:
                    await write_document(file, head, history)
                    _check_output(output, force=force)  # it may have come in the meantime
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
