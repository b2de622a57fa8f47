"""Conversations of a Claude account export as ours.

One message of theirs may hold thoughts, calls of tools and their results: ours are one message of
the assistant up to the results, one for each result, and so on.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel

from agentic.cli.imports.branch import shown_branch
from agentic.cli.imports.claude_content import Block, result_text, tool_input
from agentic.cli.imports.drafts import Draft, fenced, quote_name, to_messages
from agentic.cli.imports.found import (
    Found,
    from_text,
    to_conversation_id,
    to_message_id,
    to_title,
)
from agentic.cli.imports.json_values import Loose, Text
from agentic.cli.imports.tally import Tally
from agentic.cli.unique_ids import UniqueIds
from servers.conversations.contract import Role

NAME = "claude"
OTHER_BRANCHES = "messages on branches that are not shown"
_ROLES: dict[str | None, Role] = {"human": "user", "user": "user", "assistant": "assistant"}
_SILENT = ("flag", "token_budget")
"""Blocks that say nothing to anybody."""


class _Attachment(BaseModel):
    file_name: Text = None
    extracted_content: Text = None


class _Message(BaseModel):
    uuid: Text = None
    text: Text = None
    content: Annotated[list[Annotated[Block | None, Loose]] | None, Loose] = None
    sender: Text = None
    created_at: Text = None
    parent_message_uuid: Text = None
    attachments: Annotated[list[Annotated[_Attachment | None, Loose]] | None, Loose] = None
    files: Annotated[list[Annotated[_Attachment | None, Loose]] | None, Loose] = None


class _Conversation(BaseModel):
    uuid: Text = None
    name: Text = None
    summary: Text = None
    created_at: Text = None
    updated_at: Text = None
    current_leaf_message_uuid: Text = None
    chat_messages: list[Annotated[_Message | None, Loose]]


def to_found(fields: dict[str, Any], tally: Tally) -> Found:
    """The conversation in our shapes; what is left out is counted.

    Raises:
        ValidationError: It is none.
    """
    given = _Conversation.model_validate(fields)
    conversation_id = to_conversation_id(NAME, given.uuid, given.created_at, given.name)
    title = to_title(given.name)
    created_at = from_text(given.created_at)
    metadata = {"imported_from": NAME}
    if given.summary and given.summary.strip():
        metadata["summary"] = given.summary[:2_000]
    facts = {
        "conversation_id": conversation_id,
        "title": title,
        "tags": ["imported", NAME],
        "metadata": metadata,
        "created_at": created_at,
        "last_updated": from_text(given.updated_at) or created_at,
    }
    shown = title or conversation_id
    ids = UniqueIds()
    messages = [
        message
        for number, said in enumerate(_shown(given, tally, shown))
        for draft in _Converter(said, to_message_id(said.uuid, number), created_at).read()
        for message in to_messages(draft, ids, tally, shown)
    ]
    return Found(conversation_id, shown, facts, messages)


def _shown(given: _Conversation, tally: Tally, title: str) -> list[_Message]:
    """What stands on the shown branch, if the export tells branches."""
    known = [message for message in given.chat_messages if message and message.sender in _ROLES]
    tally.skip("messages of a kind that is not known", title, len(given.chat_messages) - len(known))
    by_id = {message.uuid: message for message in known if message.uuid}
    if len(by_id) < len(known) or not all(message.parent_message_uuid for message in known):
        return known
    leaf = given.current_leaf_message_uuid
    if leaf not in by_id:
        leaf = next(reversed(by_id), "")
    parents = {name: message.parent_message_uuid for name, message in by_id.items()}
    branch = shown_branch(parents, leaf)
    tally.skip(OTHER_BRANCHES, title, len(known) - len(branch))
    return [by_id[name] for name in branch]


class _Converter:
    """One message of theirs."""

    def __init__(self, said: _Message, message_id: str, created_at: str | None) -> None:
        self._said = said
        self._message_id = message_id
        self._created_at = from_text(said.created_at) or created_at
        self._role: Role = _ROLES[said.sender]
        self._draft = self._begin(self._role)
        self._open_calls: list[tuple[str, str | None]] = []
        """Ids and names of calls without a result."""
        self._calls = 0

    def read(self) -> Iterator[Draft]:
        blocks = [block for block in self._said.content or [] if block]
        if not any(block.says_something for block in blocks):
            self._draft.add_text(self._said.text)
        for block in blocks:
            if block.type == "tool_result":
                if self._draft.blocks:
                    yield self._draft
                    self._draft = self._begin(self._role)
                yield self._to_result(block)
            else:
                self._write(block)
        self._write_attachments()
        yield self._draft

    def _begin(self, role: Role) -> Draft:
        return Draft(self._message_id, role, self._created_at, metadata={"imported_from": NAME})

    def _write(self, block: Block) -> None:
        draft = self._draft
        match block.type:
            case "thinking" | "redacted_thinking":
                thoughts = [draft.thoughts, block.thinking or block.text]
                draft.thoughts = "\n\n".join(filter(None, thoughts)) or None
            case "tool_use":
                self._calls += 1
                call_id = block.id or f"{self._message_id[:200]}~call{self._calls}"
                self._open_calls.append((call_id, block.name))
                draft.blocks.append(
                    {
                        "type": "tool_use",
                        "id": call_id,
                        "name": block.name or "tool",
                        "input": tool_input(block),
                    }
                )
            case kind if kind in _SILENT:
                pass
            case _:
                draft.add_text(block.text)

    def _to_result(self, block: Block) -> Draft:
        result = self._begin("tool")
        result.name = block.name
        result.is_error = block.is_error or None
        result.tool_call_id = block.tool_use_id or next(
            (call for call, name in self._open_calls if name == block.name), None
        )
        self._open_calls = [call for call in self._open_calls if call[0] != result.tool_call_id]
        result.add_text(result_text(block) or "(no text)")
        return result

    def _write_attachments(self) -> None:
        named: set[str | None] = set()
        for attachment in filter(None, self._said.attachments or []):
            named.add(attachment.file_name)
            name = quote_name(attachment.file_name, "a text")
            if attachment.extracted_content and attachment.extracted_content.strip():
                self._draft.add_text(f"Attached {name}:\n{fenced(attachment.extracted_content)}")
            else:
                self._draft.add_text(f"[Attached {name}, which is not in the export]")
        for file in filter(None, self._said.files or []):
            if file.file_name not in named:
                name = quote_name(file.file_name, "a text")
                self._draft.add_text(f"[Attached {name}, which is not in the export]")
