"""A request of ours as the body of Anthropic's Messages API."""

from collections.abc import Sequence
from typing import Any

from client.llm.history import (
    AssistantPiece,
    Image,
    Part,
    Piece,
    Result,
    ResultsPiece,
    UserPiece,
    to_pieces,
)
from client.llm.protocol import ModelRequest, ToolDefinition
from client.llm.tool_shapes import to_tool_schema

_CACHED = {"cache_control": {"type": "ephemeral"}}
"""Marks the end of a prefix that the vendor keeps: tools, instructions, and the history so far."""


def to_messages_body(request: ModelRequest, *, model: str, max_tokens: int) -> dict[str, Any]:
    """The body that asks for a stream.

    Raises:
        BadRequestError: The messages are no whole turns.
    """
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "stream": True,
        "messages": _to_messages(to_pieces(request.messages)),
    }
    if request.instructions.strip():
        body["system"] = [{"type": "text", "text": request.instructions, **_CACHED}]
    if request.tools:
        body["tools"] = [_to_tool(tool) for tool in request.tools]
        body["tools"][-1].update(_CACHED)
    return body


def _to_messages(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for piece in pieces:
        role = "assistant" if isinstance(piece, AssistantPiece) else "user"
        if not messages or messages[-1]["role"] != role:
            messages.append({"role": role, "content": []})
        messages[-1]["content"].extend(_to_blocks(piece))
    messages[-1]["content"][-1].update(_CACHED)
    return messages


def _to_blocks(piece: Piece) -> list[dict[str, Any]]:
    match piece:
        case UserPiece(parts):
            return [_to_block(part) for part in parts]
        case AssistantPiece(reasoning, texts, calls):
            said = [*map(dict, reasoning), *map(_to_block, texts)]
            return said + [
                {
                    "type": "tool_use",
                    "id": call.id,
                    "name": call.name,
                    "input": dict(call.arguments),
                }
                for call in calls
            ]
        case ResultsPiece(results):
            return [_to_result(result) for result in results]


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return {"type": "image", "source": source}
    return {"type": "text", "text": part}


def _to_result(result: Result) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id}
    parts = result.parts or (["(no details)"] if result.is_error else [])
    if parts:
        block["content"] = [_to_block(part) for part in parts]
    if result.is_error:
        block["is_error"] = True
    return block


def _to_tool(tool: ToolDefinition) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description.strip() else {}
    return {"name": tool.name, **described, "input_schema": to_tool_schema(tool.input_schema)}
