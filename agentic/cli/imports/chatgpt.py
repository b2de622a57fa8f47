"""Conversations of a ChatGPT account export as ours: the branch that is shown, in order.

A conversation is a tree of nodes (`mapping`), and `current_node` the end of the branch its owner
saw last. A call of a tool is an assistant's message to a `recipient` other than `all`.
"""

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, cast

from pydantic import BaseModel

from agentic.cli.imports.branch import shown_branch
from agentic.cli.imports.chatgpt_content import (
    Attachment,
    Content,
    to_thoughts,
    write_attachments,
    write_content,
)
from agentic.cli.imports.drafts import Draft, to_messages
from agentic.cli.imports.found import (
    Found,
    from_seconds,
    to_conversation_id,
    to_message_id,
    to_title,
)
from agentic.cli.imports.json_values import Flag, Loose, Number, Text, why_no_input
from agentic.cli.imports.open_calls import OpenCalls
from agentic.cli.imports.tally import Tally
from agentic.cli.unique_ids import UniqueIds
from servers.conversations.contract import Message, Role

NAME = "chatgpt"
HIDDEN = "hidden messages (instructions, context, memory)"
OTHER_BRANCHES = "messages on branches that are not shown"
UNKNOWN_CONTENT = "messages of a kind that is not known and without text"

_HIDDEN_CONTENT = ("user_editable_context", "model_editable_context")
_EVERYBODY = "all"


class _Author(BaseModel):
    role: Text = None
    name: Text = None


class _Metadata(BaseModel):
    model_slug: Text = None
    is_visually_hidden_from_conversation: Flag = None
    attachments: Annotated[list[Annotated[Attachment | None, Loose]] | None, Loose] = None


class _Message(BaseModel):
    id: Text = None
    author: Annotated[_Author | None, Loose] = None
    create_time: Number = None
    content: Annotated[Content | None, Loose] = None
    metadata: Annotated[_Metadata | None, Loose] = None
    recipient: Text = None

    @property
    def role(self) -> str | None:
        return self.author and self.author.role

    @property
    def called(self) -> str | None:
        """The tool it calls, if it does."""
        if self.role != "assistant" or self.recipient == _EVERYBODY:
            return None
        return self.recipient or None

    @property
    def is_hidden(self) -> bool:
        hidden = self.metadata and self.metadata.is_visually_hidden_from_conversation
        return bool(hidden or (self.content and self.content.content_type in _HIDDEN_CONTENT))


class _Node(BaseModel):
    message: Annotated[_Message | None, Loose] = None
    parent: Text = None


class _Conversation(BaseModel):
    id: Text = None
    conversation_id: Text = None
    title: Text = None
    create_time: Number = None
    update_time: Number = None
    current_node: Text = None
    mapping: dict[str, Annotated[_Node | None, Loose]]


def to_found(fields: dict[str, Any], tally: Tally) -> Found:
    """The conversation in our shapes; what is left out is counted.

    Raises:
        ValidationError: It is none.
    """
    given = _Conversation.model_validate(fields)
    nodes = {name: node for name, node in given.mapping.items() if node is not None}
    conversation_id = to_conversation_id(
        NAME,
        given.conversation_id or given.id,
        given.create_time,
        given.title,
        next(iter(nodes), ""),
    )
    title = to_title(given.title)
    created_at = from_seconds(given.create_time)
    facts = {
        "conversation_id": conversation_id,
        "title": title,
        "tags": ["imported", NAME],
        "metadata": {"imported_from": NAME},
        "created_at": created_at,
        "last_updated": from_seconds(given.update_time) or created_at,
    }
    shown = title or conversation_id
    converter = _Converter(created_at, tally, shown)
    messages = [message for draft in converter.read(nodes, given.current_node) for message in draft]
    return Found(conversation_id, shown, facts, messages)


class _Converter:
    def __init__(self, created_at: str | None, tally: Tally, title: str) -> None:
        self._created_at = created_at
        self._tally = tally
        self._title = title
        self._ids = UniqueIds()
        self._thoughts: list[str] = []
        self._calls = OpenCalls()

    def read(self, nodes: dict[str, _Node], leaf: str | None) -> Iterator[Iterator[Message]]:
        branch = shown_branch(
            {name: node.parent for name, node in nodes.items()},
            leaf if leaf in nodes else _find_leaf(nodes),
        )
        on_branch = set(branch)
        others = sum(
            _is_said(node.message) for name, node in nodes.items() if name not in on_branch
        )
        self._tally.skip(OTHER_BRANCHES, self._title, others)
        for name in branch:
            message = nodes[name].message
            if message is not None:
                yield self._convert(name, message)
        self._drop_thoughts()

    def _convert(self, node: str, message: _Message) -> Iterator[Message]:
        role, content = message.role, message.content
        call_id = self._follow_calls(message)
        if content is None or role not in ("user", "assistant", "tool", "system"):
            self._tally.skip(UNKNOWN_CONTENT, self._title)
            return
        if message.is_hidden or (role == "system" and not content.has_text()):
            self._tally.skip(HIDDEN, self._title)
            if message.called:
                self._calls.open(None, message.called)
            return
        thoughts = to_thoughts(content)
        if thoughts is not None:
            self._thoughts.append(thoughts)
            return
        draft = self._begin(node, message, role)
        draft.tool_call_id = call_id
        self._fill(draft, message, content)
        yield from to_messages(draft, self._ids, self._tally, self._title)

    def _follow_calls(self, message: _Message) -> str | None:
        """The id of the call that the message answers, shown or not."""
        if message.role == "user":
            self._calls.close_all()
        if message.role != "tool":
            return None
        return self._calls.close(message.author and message.author.name)

    def _begin(self, node: str, message: _Message, role: Role) -> Draft:
        draft = Draft(
            message_id=to_message_id(message.id, node),
            role=role,
            created_at=from_seconds(message.create_time) or self._created_at,
            metadata={"imported_from": NAME},
        )
        if message.metadata and message.metadata.model_slug:
            draft.metadata["model"] = message.metadata.model_slug[:200]
        if role == "assistant":
            draft.thoughts = "\n\n".join(filter(None, self._thoughts)) or None
            self._thoughts.clear()
        elif role == "user":
            self._drop_thoughts()
        if role == "tool":
            draft.name = message.author and message.author.name
        return draft

    def _fill(self, draft: Draft, message: _Message, content: Content) -> None:
        if message.called:
            self._calls.open(draft.message_id, message.called)
            arguments = _to_arguments(content.plain_text())
            draft.blocks.append(
                {
                    "type": "tool_use",
                    "id": draft.message_id,
                    "name": message.called,
                    "input": arguments,
                }
            )
        else:
            write_content(content, draft)
            attachments = (message.metadata and message.metadata.attachments) or []
            write_attachments(attachments, content, draft)

    def _drop_thoughts(self) -> None:
        self._tally.skip("thoughts without an answer", self._title, len(self._thoughts))
        self._thoughts.clear()


def _is_said(message: _Message | None) -> bool:
    return message is not None and not message.is_hidden and message.role != "system"


def _find_leaf(nodes: dict[str, _Node]) -> str:
    """Where no end is named: that of the branch with the latest message."""
    parents = {node.parent for node in nodes.values()}
    leaves = [name for name in nodes if name not in parents] or list(nodes)

    def written(name: str) -> float:
        message = nodes[name].message
        time = message and message.create_time
        return time if time is not None and math.isfinite(time) else 0.0

    return max(leaves, key=written, default="")


def _to_arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if isinstance(arguments, dict) and not why_no_input(cast("object", arguments)):
        return cast("dict[str, Any]", arguments)
    return {"input": text}
