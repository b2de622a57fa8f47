"""The tools that take conversations out of the store and in, as documents."""

from typing import Any

from servers.access.contract import SCOPE_CONVERSATIONS_WRITE
from servers.conversations.arguments import ImportArguments
from servers.conversations.contract_results import ImportResult
from servers.conversations.store import ConversationStore
from servers.conversations.tool_hints import writes
from servers.typed_tools import Caller, TypedTool


def create_exchange_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """The tools over `store`, in the order in which they are listed."""

    async def import_(caller: Caller, given: ImportArguments) -> ImportResult:
        return await store.import_conversation(
            caller.owner, given.document, conversation_id=given.conversation_id
        )

    return [
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
