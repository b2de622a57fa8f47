"""The tools that take conversations out of the store and in, as documents."""

from typing import Any

from servers.access.contract import SCOPE_CONVERSATIONS_READ, SCOPE_CONVERSATIONS_WRITE
from servers.conversations.arguments import ExportArguments, ImportArguments
from servers.conversations.contract_results import ExportResult, ImportResult
from servers.conversations.store import ConversationStore
from servers.conversations.tool_hints import READS, writes
from servers.typed_tools import Caller, TypedTool


def create_exchange_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """The tools over `store`, in the order in which they are listed."""

    async def export(caller: Caller, given: ExportArguments) -> ExportResult:
        return await store.export_conversation(
            caller.owner, given.conversation_id, format=given.format, cursor=given.cursor
        )

    async def import_(caller: Caller, given: ImportArguments) -> ImportResult:
        return await store.import_conversation(
            caller.owner, given.document, conversation_id=given.conversation_id
        )

    return [
        TypedTool(
            name="export_conversation",
            title="Export a conversation",
            description="Gives a whole conversation as a document to keep or to hand on, a page at "
            "a time, its oldest messages first. For more, call again with cursor set to "
            "next_cursor, until that is null. To read what was said last, use load_conversation.",
            scope=SCOPE_CONVERSATIONS_READ,
            annotations=READS,
            arguments=ExportArguments,
            result=ExportResult,
            call=export,
            to_wire=dict,
        ),
        TypedTool(
            name="import_conversation",
            title="Import a conversation",
            description="Stores a conversation from a document, the form that export_conversation "
            "gives: call it once for each page, in order. What is stored already is counted, not "
            "stored again, so a repeated import adds nothing. To add messages of your own, use "
            "append_messages.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=False, idempotent=True),
            arguments=ImportArguments,
            result=ImportResult,
            call=import_,
        ),
    ]
