"""A tool's result as the content of a message."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types import (
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
)

Content = str | list[dict[str, Any]]
"""Text, or content blocks."""

BLOCKS_ROOM = 256 * 1024
"""What all blocks that are no text may cost: with more the result would not fit into a message."""


def render_result(result: CallToolResult, max_characters: int) -> Content:
    """A tool's result as the content of a message: text where it is only text, else blocks."""
    blocks: list[dict[str, Any]] = []
    room = BLOCKS_ROOM
    for block in result.content:
        if isinstance(block, TextContent | EmbeddedResource):
            blocks.append({"type": "text", "text": _text_of(block)})
        elif (cost := cost_of(block)) > room:
            blocks.append({"type": "text", "text": f"[{_describe(block)}, left out]"})
        else:
            room -= cost
            blocks.append(block.model_dump(by_alias=True, exclude_none=True))
    if not blocks:
        structured = result.structured_content
        text = "" if structured is None else json.dumps(structured, ensure_ascii=False)
        blocks = [{"type": "text", "text": text or "(The tool gave no result.)"}]
    left = max_characters
    for block in blocks:
        if block["type"] == "text":
            block["text"] = _cut(block["text"], left)
            left = max(0, left - len(block["text"]))
    if all(block["type"] == "text" for block in blocks):
        return _texts(blocks)
    return blocks


def cost_of(block: ContentBlock) -> int:
    """What a block that is no text takes of `BLOCKS_ROOM`."""
    return len(block.model_dump_json(by_alias=True, exclude_none=True))


def first_line(content: Content, max_characters: int = 200) -> str:
    """A short text for people who watch."""
    text = content if isinstance(content, str) else _texts(content)
    line = next((line for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= max_characters else line[: max_characters - 1] + "…"


def with_notes(content: Content, notes: Sequence[str]) -> Content:
    """What a server says of a question that nobody answered may sound as if somebody had."""
    told = "\n".join(f"[{note}]" for note in dict.fromkeys(notes))
    if not told:
        return content
    if isinstance(content, str):
        return f"{told}\n{content}"
    return [{"type": "text", "text": told}, *content]


def _text_of(block: TextContent | EmbeddedResource) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block.resource, TextResourceContents):
        return f"{block.resource.uri}:\n{block.resource.text}"
    return f"[{block.resource.uri}: {block.resource.mime_type or 'binary'}, left out]"


def _describe(block: ContentBlock) -> str:
    told = block.model_dump(by_alias=True)
    kind = f"{block.type} {told.get('mimeType') or ''}".strip()
    return f"{kind}, about {len(told['data']) * 3 // 4:,} bytes" if "data" in told else kind


def _cut(text: str, max_characters: int) -> str:
    if len(text) <= max_characters:
        return text
    return f"{text[:max_characters]}\n[{len(text) - max_characters:,} more characters left out]"


def _texts(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")
