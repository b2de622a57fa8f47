"""A tool's result as the content of a message."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types import CallToolResult, EmbeddedResource, TextContent, TextResourceContents

Content = str | list[dict[str, Any]]
"""Text, or content blocks."""

_MAX_BLOCK_CHARACTERS = 256 * 1024
"""A picture or a sound above this is left out: with the rest it would not fit into a message."""


def render_result(result: CallToolResult, max_characters: int) -> Content:
    """A tool's result as the content of a message: text where it is only text, else blocks."""
    blocks = [
        _to_block(block.model_dump(by_alias=True, exclude_none=True))
        if not isinstance(block, TextContent | EmbeddedResource)
        else {"type": "text", "text": _text_of(block)}
        for block in result.content
    ]
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


def _to_block(block: dict[str, Any]) -> dict[str, Any]:
    size = len(block.get("data", ""))
    if size > _MAX_BLOCK_CHARACTERS:
        kind = f"{block['type']} {block.get('mimeType', '')}"
        return {"type": "text", "text": f"[{kind}, about {size * 3 // 4:,} bytes, left out]"}
    return block


def _cut(text: str, max_characters: int) -> str:
    if len(text) <= max_characters:
        return text
    return f"{text[:max_characters]}\n[{len(text) - max_characters:,} more characters left out]"


def _texts(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")
