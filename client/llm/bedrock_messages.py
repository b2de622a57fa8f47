"""A request of ours as the parameters of Bedrock's Converse API."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from client.llm.history import (
    AssistantPiece,
    Call,
    Image,
    Part,
    Piece,
    Result,
    ResultsPiece,
    UserPiece,
    to_pieces,
    to_text,
)
from client.llm.protocol import ModelRequest, ToolDefinition
from client.llm.tool_shapes import to_tool_schema

_KEEPS_PREFIXES = re.compile(r"(^|[./])anthropic\.claude-(3-5-haiku|3-7|[a-z]+-\d)")
"""Models that take cache points, as AWS publishes it; the others refuse the whole request."""
_TAKES_RICH_RESULTS = re.compile(r"(^|[./])(anthropic\.claude-([3-9]|[a-z]+-\d)|amazon\.nova)")
"""Models that take a status and images in the result of a tool; the same holds for the others."""
_CACHE_POINT = {"cachePoint": {"type": "default"}}
_NO_LONGER_THERE = "Can't be called any more."


def to_converse_parameters(
    request: ModelRequest, *, model: str, max_tokens: int, temperature: float | None
) -> dict[str, Any]:
    """What asks for a stream.

    Raises:
        BadRequestError: The messages are no whole turns.
    """
    marks = [_CACHE_POINT] if _KEEPS_PREFIXES.search(model) else []
    pieces = to_pieces(request.messages)
    messages = _to_messages(pieces, is_rich=bool(_TAKES_RICH_RESULTS.search(model)))
    messages[-1]["content"].extend(marks)
    limits: dict[str, Any] = {"maxTokens": max_tokens}
    if temperature is not None:
        limits["temperature"] = temperature
    parameters: dict[str, Any] = {
        "modelId": model,
        "messages": messages,
        "inferenceConfig": limits,
    }
    if request.instructions.strip():
        parameters["system"] = [{"text": request.instructions}, *marks]
    if tools := request.tools or _recall_tools(pieces):
        parameters["toolConfig"] = {"tools": [*map(_to_tool, tools), *marks]}
    return parameters


def _recall_tools(pieces: Sequence[Piece]) -> list[ToolDefinition]:
    """Tools that were called before: a history with calls is refused where none is declared."""
    names = {
        call.name: None
        for piece in pieces
        if isinstance(piece, AssistantPiece)
        for call in piece.calls
    }
    return [ToolDefinition(name, _NO_LONGER_THERE, {}) for name in names]


def _to_messages(pieces: Sequence[Piece], *, is_rich: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for piece in pieces:
        role = "assistant" if isinstance(piece, AssistantPiece) else "user"
        if not messages or messages[-1]["role"] != role:
            messages.append({"role": role, "content": []})
        messages[-1]["content"].extend(_to_blocks(piece, is_rich=is_rich))
    return messages


def _to_blocks(piece: Piece, *, is_rich: bool) -> list[dict[str, Any]]:
    match piece:
        case UserPiece(parts):
            return [_to_block(part) for part in parts]
        case AssistantPiece(reasoning, texts, calls):
            thoughts = [block for kept in reasoning for block in _to_reasoning(kept)]
            return [*thoughts, *map(_to_block, texts), *map(_to_call, calls)]
        case ResultsPiece(results):
            return [_to_result(result, is_rich=is_rich) for result in results]


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        image_format = part.media_type.removeprefix("image/")
        source = {"bytes": base64.b64decode(part.data)}
        return {"image": {"format": image_format, "source": source}}
    return {"text": part}


def _to_reasoning(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Nothing for what another vendor made: only what is signed or sealed is taken back."""
    match block:
        case {"thinking": str(thinking), "signature": str(signature)} if signature:
            content = {"reasoningText": {"text": thinking, "signature": signature}}
        case {"type": "redacted_thinking", "data": str(data)}:
            try:
                content = {"redactedContent": base64.b64decode(data, validate=True)}
            except ValueError:
                return []
        case _:
            return []
    return [{"reasoningContent": content}]


def _to_call(call: Call) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": dict(call.arguments)}}


def _to_result(result: Result, *, is_rich: bool) -> dict[str, Any]:
    block: dict[str, Any] = {"toolUseId": result.call_id}
    parts = list(result.parts) if is_rich else [to_text(part) for part in result.parts]
    if result.is_error and is_rich:
        block["status"] = "error"
    elif result.is_error:
        parts.insert(0, "The tool failed:")
    block["content"] = [_to_block(part) for part in parts or ["(no details)"]]
    return {"toolResult": block}


def _to_tool(tool: ToolDefinition) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description.strip() else {}
    schema = {"json": to_tool_schema(tool.input_schema)}
    return {"toolSpec": {"name": tool.name, **described, "inputSchema": schema}}
