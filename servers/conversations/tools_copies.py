"""The tools that make conversations of others: forks and merges."""

from typing import Any

from servers.access.contract import SCOPE_CONVERSATIONS_WRITE
from servers.conversations.arguments import ForkArguments, MergeArguments
from servers.conversations.contract import Conversation
from servers.conversations.store import ConversationStore
from servers.conversations.tool_hints import writes
from servers.typed_tools import Caller, TypedTool


def create_copy_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """The tools over `store`, in the order in which they are listed."""

    async def fork(caller: Caller, given: ForkArguments) -> Conversation:
        return await store.fork_conversation(
            caller.owner,
            given.conversation_id,
            up_to_message_id=given.up_to_message_id,
            new_conversation_id=given.new_conversation_id,
        )

    async def merge(caller: Caller, given: MergeArguments) -> Conversation:
        return await store.merge_conversations(caller.owner, given.source_ids, given.into)

    return [
        TypedTool(
            name="fork_conversation",
            title="Fork a conversation",
            description="Copies a conversation, or its beginning up to a message, into a new one: "
            "use it to try another way on from there. The conversation itself stays as it is. "
            "Gives the new one's facts, its id among them.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=False, idempotent=False),
            arguments=ForkArguments,
            result=Conversation,
            call=fork,
        ),
        TypedTool(
            name="merge_conversations",
            title="Merge conversations",
            description="Brings the messages of several conversations into one by their time, "
            "what repeats itself once. Into a new conversation, or into one of them, whose history "
            "is then rewritten. The others stay as they are.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=True, idempotent=True),
            arguments=MergeArguments,
            result=Conversation,
            call=merge,
        ),
    ]
