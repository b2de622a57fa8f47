"""Foreign messages on their way to ours: texts in blocks, cut where one would be too large."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from agentic.cli.imports.found import to_title
from agentic.cli.imports.json_values import why_no_input
from agentic.cli.imports.tally import Tally
from agentic.cli.unique_ids import UniqueIds
from servers.conversations.contract import MAX_MESSAGE_BYTES, Message, Role, encode_json
from servers.typed_arguments import explain

_MAX_TEXT_BYTES = MAX_MESSAGE_BYTES - 128 * 1024
"""As JSON, of a message that had to be cut: its other fields are below the rest."""
_MAX_THOUGHTS_BYTES = 64 * 1024
"""The same, of thoughts in such a message."""

ExportFormat = Literal["chatgpt", "claude"]


@dataclass(slots=True)
class Draft:
    """A message before it is checked."""

    message_id: str
    role: Role
    created_at: str | None
    blocks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    thoughts: str | None = None
    name: str | None = None
    tool_call_id: str | None = None
    is_error: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def add_text(self, text: str | None) -> None:
        """Add a block, if there is something in it."""
        if text and text.strip():
            self.blocks.append({"type": "text", "text": text})


def to_messages(draft: Draft, ids: UniqueIds, tally: Tally, title: str) -> Iterator[Message]:
    """The message, or several where it is larger than one may be; none if it says nothing."""
    if not draft.blocks:
        if draft.role == "assistant" and draft.thoughts:
            tally.skip("thoughts without an answer", title)
        else:
            tally.skip("messages without content", title)
        return
    _drop_bad_inputs(draft, tally, title)
    first = True
    for content, thoughts in _fit(draft, tally, title):
        facts: dict[str, Any] = {
            "message_id": ids.choose(draft.message_id),
            "role": draft.role,
            "content": content,
            "thoughts": thoughts,
            "name": draft.name,
            "tool_call_id": draft.tool_call_id if first else None,
            "is_error": draft.is_error,
            "metadata": draft.metadata,
            "created_at": draft.created_at,
        }
        first = False
        try:
            yield Message.model_validate(facts)
        except ValidationError as error:
            tally.lose(f"a message that can't be stored: {explain(error.errors(), facts)}", title)


def fenced(text: str, language: str | None = None) -> str:
    """`text` quoted as a block of Markdown code, whatever is in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    word = language if language and re.fullmatch(r"[\w+#.-]{1,30}", language) else ""
    return f"{fence}{word}\n{text.rstrip()}\n{fence}"


def quote_name(name: str | None, otherwise: str) -> str:
    """What a note calls something attached; `otherwise` if it has no name."""
    shown = to_title(name)
    return f"“{shown[:200]}”" if shown else otherwise


def _drop_bad_inputs(draft: Draft, tally: Tally, title: str) -> None:
    for block in draft.blocks:
        reason = why_no_input(block["input"]) if block["type"] == "tool_use" else None
        if reason:
            block["input"] = {}
            tally.lose(f"the input of a tool's call, which {reason}", title)


def _fit(
    draft: Draft, tally: Tally, title: str
) -> Iterator[tuple[str | list[dict[str, Any]], str | None]]:
    blocks = draft.blocks
    only_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    content: str | list[dict[str, Any]] = blocks[0]["text"] if only_text else blocks
    try:
        size = len(encode_json([content, draft.thoughts, draft.metadata, draft.name]))
    except ValueError:  # nested too deeply, or a number that JSON has not: the check says no
        size = 0
    if size < MAX_MESSAGE_BYTES - 1_024:
        yield content, draft.thoughts
        return
    tally.cut += 1
    thoughts = draft.thoughts
    if thoughts and _size(thoughts) > _MAX_THOUGHTS_BYTES:
        thoughts = next(_cut(thoughts, _MAX_THOUGHTS_BYTES))
        tally.skip("ends of very long thoughts", title)
    for part in _cut("\n\n".join(map(_as_text, blocks)), _MAX_TEXT_BYTES):
        yield part, thoughts
        thoughts = None


def _as_text(block: dict[str, Any]) -> str:
    return block["text"] if block["type"] == "text" else encode_json(block).decode()


def _size(text: str) -> int:
    return len(encode_json(text))


def _cut(text: str, max_bytes: int) -> Iterator[str]:
    start = 0
    while start < len(text):
        part = text[start : start + max_bytes]
        while _size(part) > max_bytes:
            part = part[: len(part) * max_bytes // _size(part)]
        start += len(part)
        if part.strip():
            yield part
