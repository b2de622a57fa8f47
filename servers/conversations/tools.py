"""The conversation server's tools: each is one verb of the store for one owner."""

from typing import Any

from servers.access.contract import (
    SCOPE_CONVERSATIONS_READ,
    SCOPE_CONVERSATIONS_WRITE,
    SCOPE_DELEGATE,
)
from servers.conversations.arguments import (
    AnnotateArguments,
    AppendArguments,
    ConversationArguments,
    DeliveriesArguments,
    ListArguments,
    LoadArguments,
    OwnersArguments,
    SaveArguments,
    StatsArguments,
    UpdateArguments,
)
from servers.conversations.contract import Conversation
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ListResult,
    LoadResult,
    OwnersResult,
    SaveResult,
    StoreStats,
)
from servers.conversations.store import ConversationStore
from servers.conversations.tool_hints import READS, writes
from servers.conversations.tools_attachment_text import create_attachment_text_tools
from servers.conversations.tools_attachments import create_attachment_tools
from servers.conversations.tools_copies import create_copy_tools
from servers.conversations.tools_exchange import create_exchange_tools
from servers.conversations.tools_search import create_search_tools
from servers.typed_tools import Caller, TypedTool


def create_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """The tools over `store`, in the order in which they are listed."""
    return [
        *_message_tools(store),
        *_conversation_tools(store),
        *_owner_tools(store),
        *create_copy_tools(store),
        *create_exchange_tools(store),
        *create_attachment_tools(store),
        *create_attachment_text_tools(store),
        *create_search_tools(store),
    ]


def _message_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    async def load(caller: Caller, given: LoadArguments) -> LoadResult:
        return await store.load_conversation(
            caller.owner, given.conversation_id, limit=given.limit, before=given.before
        )

    async def append(caller: Caller, given: AppendArguments) -> AppendResult:
        return await store.append_messages(
            caller.owner,
            given.conversation_id,
            given.messages,
            expected_version=given.expected_version,
        )

    async def save(caller: Caller, given: SaveArguments) -> SaveResult:
        return await store.save_conversation(
            caller.owner,
            given.conversation_id,
            given.messages,
            expected_version=given.expected_version,
        )

    async def annotate(caller: Caller, given: AnnotateArguments) -> AnnotateResult:
        return await store.annotate_message(
            caller.owner, given.conversation_id, given.message_id, given.annotations
        )

    return [
        TypedTool(
            name="load_conversation",
            title="Load a conversation",
            description="Reads a conversation whose id is known: its latest messages, oldest "
            "first; for its title, times and figures alone, use get_conversation. For older "
            "messages, call again with before set to next_cursor, until that is null. An unknown "
            "conversation gives no messages and version 0.",
            scope=SCOPE_CONVERSATIONS_READ,
            annotations=READS,
            arguments=LoadArguments,
            result=LoadResult,
            call=load,
            to_wire=_load_to_wire,
        ),
        TypedTool(
            name="append_messages",
            title="Append messages",
            description="Adds messages at the end of a conversation, all or none: use it to go on "
            "with one, or to begin one under a new id. Give every message a message_id of your "
            "own, so that a repeated call stores nothing twice. The same message_id with other "
            "content is a conflict.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=False, idempotent=True),
            arguments=AppendArguments,
            result=AppendResult,
            call=append,
        ),
        TypedTool(
            name="save_conversation",
            title="Save a whole conversation",
            description="Replaces a conversation's whole history by a list of at most 1,000 "
            "messages: use it to remove or correct messages, after loading all of them. What is "
            "stored is removed or changed only if expected_version is the version you loaded. To "
            "add messages, use append_messages.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=True, idempotent=True),
            arguments=SaveArguments,
            result=SaveResult,
            call=save,
        ),
        TypedTool(
            name="annotate_message",
            title="Annotate a message",
            description="Marks one stored message: notes small facts about it, such as feedback or "
            "delivery, beside its content. They are merged by key into the annotations it has; the "
            "answer holds all of them. For facts of a whole conversation, use update_conversation.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=False, idempotent=True),
            arguments=AnnotateArguments,
            result=AnnotateResult,
            call=annotate,
        ),
    ]


def _conversation_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    async def delete(caller: Caller, given: ConversationArguments) -> DeleteResult:
        return await store.delete_conversation(caller.owner, given.conversation_id)

    async def list_(caller: Caller, given: ListArguments) -> ListResult:
        return await store.list_conversations(
            caller.owner,
            limit=given.limit,
            offset=given.offset,
            cursor=given.cursor,
            tag=given.tag,
        )

    async def get(caller: Caller, given: ConversationArguments) -> ConversationWithStats:
        return await store.get_conversation(caller.owner, given.conversation_id)

    async def update(caller: Caller, given: UpdateArguments) -> Conversation:
        return await store.update_conversation(
            caller.owner, given.conversation_id, given.to_update()
        )

    return [
        TypedTool(
            name="list_conversations",
            title="List conversations",
            description="Finds conversations and their ids: title, tags, times and number of "
            "messages of each, the one with the latest message first. Use it to see which there "
            "are, or which have a tag. For more, call again with cursor set to next_cursor, until "
            "that is null.",
            scope=SCOPE_CONVERSATIONS_READ,
            annotations=READS,
            arguments=ListArguments,
            result=ListResult,
            call=list_,
        ),
        TypedTool(
            name="get_conversation",
            title="Get a conversation's facts",
            description="Gives a conversation's title, tags, metadata, times, figures and "
            "attachments: use it when the messages themselves are not needed. An unknown "
            "conversation is not_found.",
            scope=SCOPE_CONVERSATIONS_READ,
            annotations=READS,
            arguments=ConversationArguments,
            result=ConversationWithStats,
            call=get,
        ),
        TypedTool(
            name="update_conversation",
            title="Update a conversation's facts",
            description="Names, tags or describes a conversation that exists: changes its title, "
            "tags, metadata or expiry and gives the new facts. What is left out stays as it is, "
            "and so do its messages.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=True, idempotent=True),
            arguments=UpdateArguments,
            result=Conversation,
            call=update,
        ),
        TypedTool(
            name="delete_conversation",
            title="Delete a conversation",
            description="Removes a conversation with all that belongs to it, for good; to remove "
            "some of its messages only, use save_conversation. Nothing brings it back. An unknown "
            "one is no error: deleted is then false.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=True, idempotent=True),
            arguments=ConversationArguments,
            result=DeleteResult,
            call=delete,
        ),
    ]


def _owner_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """What spans owners."""

    async def deliveries(caller: Caller, given: DeliveriesArguments) -> DeliveriesResult:
        owner = caller.principal.named_owner(caller.meta)
        return await store.list_deliveries(given.state, owner=owner, cursor=given.cursor)

    async def owners(caller: Caller, given: OwnersArguments) -> OwnersResult:
        caller.check_acts_for_none()
        return await store.list_owners(cursor=given.cursor)

    async def stats(caller: Caller, given: StatsArguments) -> StoreStats:  # noqa: ARG001 - it has none
        caller.check_acts_for_none()
        return await store.get_stats()

    return [
        TypedTool(
            name="list_deliveries",
            title="List deliveries",
            description="Finds messages by the state of their delivery, such as those that still "
            "wait for it, oldest first. Covers the owner whom the call's _meta names, or all if it "
            "names none. Needs the scope delegate.",
            scope=SCOPE_DELEGATE,
            annotations=READS,
            arguments=DeliveriesArguments,
            result=DeliveriesResult,
            call=deliveries,
        ),
        TypedTool(
            name="list_owners",
            title="List owners",
            description="Finds who has conversations here: the names of owners, in no particular "
            "order, for whoever looks after all of them. For more, call again with cursor set to "
            "next_cursor, until that is null. Needs the scope delegate, and no owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=READS,
            arguments=OwnersArguments,
            result=OwnersResult,
            call=owners,
        ),
        TypedTool(
            name="get_stats",
            title="Get figures of the store",
            description="Gives how much is stored here of all owners together, and, where the back "
            "end counts them, the capacity units that this server has consumed by verb. For "
            "figures of one conversation, use get_conversation. Needs the scope delegate, and no "
            "owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=READS,
            arguments=StatsArguments,
            result=StoreStats,
            call=stats,
        ),
    ]


def _load_to_wire(result: LoadResult) -> dict[str, Any]:
    """As the model dumps, but for messages, which leave out what is absent."""
    return {**dict(result), "messages": [message.to_wire() for message in result.messages]}
