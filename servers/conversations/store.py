"""The port for persistence of conversations: its verbs and what they promise."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from servers.conversations.contract import Conversation, Message, Role
from servers.conversations.contract_attachments import MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_documents import ConversationDocument, ExportFormat
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    AttachmentsResult,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ExportResult,
    ImportResult,
    ListResult,
    LoadResult,
    OwnersResult,
    PutAttachmentResult,
    SaveResult,
    SearchResult,
    StoreStats,
)
from servers.conversations.store_values import AttachmentPart, ConversationUpdate


class ConversationStore(Protocol):
    """Conversations by (owner, conversation_id), compared bytewise.

    An unknown pair and another owner's look the same. Every verb sees what this process and others
    had acknowledged before it began. What a verb answered for survives kill -9 and, unless the back
    end is configured otherwise, power loss. Verbs are safe to call from many tasks and processes.

    `version` is 0 where there is no such conversation, grows with every stored change, and is never
    used again for that pair, not even after a deletion. `expected_version=0` means "must not
    exist".

    All verbs raise `InvalidError` for ids, cursors and limits out of range and `UnavailableError`
    when the back end fails; further errors are named at the verb.
    """

    async def load_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
    ) -> LoadResult:
        """The latest `limit` messages (1 to 500) in chronological order, or all without a limit.

        With a limit the page holds at most 512 KiB of messages as JSON, so it may be shorter, but
        never empty while older messages exist: a page of one message may be larger by what its
        limit does not count (id, time, annotations: less than 20 KiB). `next_cursor` goes into
        `before` for what is older. A cursor works on after appends. Unknown: an empty page,
        version 0.

        Raises:
            StaleCursorError: `before` is from before a rewrite.
        """
        ...

    async def append_messages(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        """Add messages in the order given, all or nothing; a new conversation is created.

        A message whose id is stored with the same content is counted as repeated, not stored; this
        is looked for before `expected_version`. An id is compared with at least the latest 4,096
        messages; older ones are not looked at, so what repeats one of them is stored once more.
        Absent `message_id` and `created_at` are made. An empty list changes nothing and creates
        nothing.

        Raises:
            ConflictError: The version is not the expected one, or an id is stored with other
                content.
            TooLargeError: More than 512 KiB in a message, its id, time and annotations not
                counted, or 3 MiB in the batch, all counted (more than 1,000 messages:
                `InvalidError`).
        """
        ...

    async def save_conversation(
        self,
        owner: str,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> SaveResult:
        """Make the history exactly this list; title, tags and metadata stay; [] empties it.

        Messages with the id and content of a stored one keep their `created_at` and annotations
        unless given. A list that equals the stored history changes nothing. Ids are unique in the
        list.

        Raises:
            ConflictError: The version is not the expected one, or stored messages would be removed,
                changed or reordered without an `expected_version`.
        """
        ...

    async def annotate_message(
        self, owner: str, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """Merge annotations by key, `None` removes one. Moves neither `version` nor `last_updated`.

        Raises:
            NotFoundError: No such message.
            TooLargeError: More than 16 KiB after the merge, or 64 KiB of changes.
        """
        ...

    async def delete_conversation(self, owner: str, conversation_id: str) -> DeleteResult:
        """Remove the conversation and all that belongs to it; `deleted` is False if none was."""
        ...

    async def list_conversations(
        self,
        owner: str,
        *,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        tag: str | None = None,
    ) -> ListResult:
        """Conversations by `last_updated`, newest first, then by id; emptied ones too.

        `limit` is 1 to 1,000; `offset` and `cursor` exclude each other; `tag` matches exactly.
        """
        ...

    async def get_conversation(self, owner: str, conversation_id: str) -> ConversationWithStats:
        """The conversation's facts and figures.

        Raises:
            NotFoundError: No such conversation.
        """
        ...

    async def read_version(self, owner: str, conversation_id: str) -> int:
        """The conversation's version now, 0 if there is none. Cheap enough to ask each second."""
        ...

    async def update_conversation(
        self, owner: str, conversation_id: str, update: ConversationUpdate
    ) -> Conversation:
        """Change the conversation's facts. Moves `version` on a change, never `last_updated`.

        Raises:
            NotFoundError: No such conversation.
            TooLargeError: More than 16 KiB of metadata after the merge, or 64 KiB of changes.
        """
        ...

    async def fork_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        up_to_message_id: str | None = None,
        new_conversation_id: str | None = None,
    ) -> Conversation:
        """Make a new conversation of the messages up to one, which is included, or of all.

        The new id must be free, as those of deleted and expired conversations are; absent, one is
        made. Messages keep ids, times and turns. Title, tags and metadata are copied, and
        `metadata.forked_from` is `{conversation_id, message_id}`, without the latter if all was
        forked. Annotations are copied, but for `delivery`: nothing is delivered or answered once
        more. Attachments stay with the source, and damaged records are left out. A fork is there
        whole or not at all.

        Raises:
            NotFoundError: No such conversation, or no such message in it.
            ConflictError: The new id is not free.
            TooLargeError: With `forked_from` the metadata have more than 16 KiB.
        """
        ...

    async def merge_conversations(
        self, owner: str, source_ids: Sequence[str], into: str
    ) -> Conversation:
        """Bring the messages of 1 to 100 conversations into one, which is new or one of them.

        By `created_at`, then in the order of `source_ids`, then in that of each conversation. A
        repeat (same id, same content) is dropped. The same id with other content is kept as
        `<id>~2`, or `~3` and so on where that is taken, its end cut if it gets too long; a
        `turn_id` that names it in the same source follows. So merging again adds nothing.

        The sources stay as they are, but for `into`, which keeps its facts; a new one gets title,
        tags and metadata of the first source. Annotations are copied, but for `delivery`, which
        only the target's own messages keep. The merge is there whole or not at all.

        Raises:
            NotFoundError: No such conversation; `field` names which, such as `source_ids[1]`.
            ConflictError: `into` exists and is none of the sources.
            TooLargeError: More than 50,000 messages in all.
        """
        ...

    async def export_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        format: ExportFormat = "json",
        cursor: str | None = None,
    ) -> ExportResult:
        """A page of the conversation as a document, its oldest messages first.

        `json`: an object that `import_conversation` takes, with at most 1,000 messages and 512 KiB,
        though one message at least; facts, all but the figures, are the same in each page, and
        annotations are as they are now. `markdown`: a text of at most 512 KiB, and what the pages
        say one after another is the whole; each begins with a heading of ours or with the indent of
        what was said. Damaged records are left out; the text says where.

        `next_cursor` goes into `cursor` for what is newer, and is None at the end. What is appended
        meanwhile is exported too.

        Raises:
            NotFoundError: No such conversation.
            StaleCursorError: `cursor` is from before a rewrite.
        """
        ...

    async def import_conversation(
        self, owner: str, document: ConversationDocument, *, conversation_id: str | None = None
    ) -> ImportResult:
        """Add what a page of a document holds, whole or not at all; a new one is created.

        Into `conversation_id`, else the one the document names; the owner is never taken from a
        document. A new conversation, one without messages too, gets title, tags, metadata,
        `created_at` and, unless it is past, `expires_at` from the document; one that is there keeps
        its own. The document's `last_updated` becomes the conversation's, unless that is later or
        the document's is in the future.

        An id is compared with all that are stored, however old. The same content counts as
        repeated, other content as skipped: neither is stored. So importing a page twice adds
        nothing. Messages without an id get one made of their content, their time and all that comes
        before them in the page; without a time, it is that of the import.

        Raises:
            InvalidError: Neither `conversation_id` nor the document says where to.
        """
        ...

    async def search_conversations(
        self,
        owner: str,
        query: str,
        *,
        limit: int = 20,
        conversation_id: str | None = None,
        role: Role | None = None,
        since: str | None = None,
    ) -> SearchResult:
        """Messages and titles in which all words of the query occur; the best first, 1 to 100.

        `"…"` is a phrase, `word*` a beginning; anything else is a word, and no string is wrong
        syntax. Case and diacritics don't matter. Chinese, Japanese, Korean and Thai are found by
        any part of what stands there. What is searched is the text of content, tool results
        included, and titles; not thoughts, arguments of calls, or data.

        Of one conversation, of one role (then no titles), from `since` on by `created_at`, an RFC
        3339 time. A greater score is better: more occurrences, a shorter text, a newer one. Only
        the newest some hundred matches are weighed where there are more. `truncated` says that
        there is more, or that what was stored lately could not all be searched yet; the next call
        goes on. What was deleted is never found.

        Raises:
            InvalidError: The query holds no word, more than 1,000 characters or 64 words.
            UnsupportedError: This back end has no search.
        """
        ...

    async def list_deliveries(
        self, state: str, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveriesResult:
        """Messages whose `annotations["delivery"]` is `state` or has it as `state`; oldest first.

        Over all owners, or of one.
        """
        ...

    async def list_owners(self, *, limit: int = 1_000, cursor: str | None = None) -> OwnersResult:
        """Who has conversations, emptied ones too: each once, in an order of the back end's own.

        `limit` is 1 to 1,000. Who comes or goes while pages are read may be in them or not.
        """
        ...

    async def get_stats(self) -> StoreStats:
        """Figures of the whole store, of all owners together, as far as they cost little.

        `units` are those of this process. A count is there or None, never a guess: of owners,
        conversations and messages it tells what is there, and not what has expired.
        """
        ...

    async def put_attachment(
        self,
        owner: str,
        conversation_id: str,
        data: bytes,
        *,
        name: str,
        mime_type: str,
        attachment_id: str | None = None,
        offset: int = 0,
        total_size: int | None = None,
    ) -> PutAttachmentResult:
        """Store a chunk of an attachment: the bytes from `offset` on.

        A conversation that does not exist yet is created, without messages, for a client may have
        files before it has words. Else neither `version` nor `last_updated` moves.

        With `total_size` the attachment is complete, and can be read, when that many bytes are
        there; without it is complete after each chunk. A first chunk without an `attachment_id` is
        given one. `name`, `mime_type` (compared in lower case) and `total_size` are the same with
        each chunk. What is stored already is passed over, so a chunk may be sent again.

        Attachments belong to their conversation: a deletion or expiry removes them, a save keeps
        them. What is uploaded in part, and not gone on with for a day, may be removed.

        Raises:
            InvalidError: `offset` is beyond what is stored, or the chunk goes beyond `total_size`;
                or it is the first one and the conversation has 1,000 attachments.
            ConflictError: Other bytes are stored there, or another name, type or total size.
            TooLargeError: More than 2 MiB in the chunk, or 20 MiB in the attachment.
        """
        ...

    async def list_attachments(
        self,
        owner: str,
        conversation_id: str,
        *,
        limit: int = MAX_LISTED_ATTACHMENTS,
        cursor: str | None = None,
    ) -> AttachmentsResult:
        """The complete attachments: each once, in an order of the back end's own that stays.

        `limit` is 1 to 100. One that is completed or removed while pages are read may be in them or
        not. What can't be read of one is counted as `damaged`.

        Raises:
            NotFoundError: No such conversation.
        """
        ...

    async def read_attachment(
        self,
        owner: str,
        conversation_id: str,
        attachment_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
    ) -> AttachmentPart:
        """At most `length` bytes of an attachment from `offset` on, or all; none at its end.

        Raises:
            NotFoundError: No such attachment, or it is not complete.
            InvalidError: `offset` is beyond its end.
        """
        ...
