"""A request of ours as the body of a chat completion, the format all compatible servers speak."""

import json
import re
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
    to_text,
)
from client.llm.protocol import ModelRequest, ToolDefinition
from client.llm.tool_shapes import to_tool_schema

_MAX_DESCRIPTION_CHARACTERS = 1_024
"""OpenAI refuses a whole request for one longer description of a tool."""
_NO_TOOLS_WHILE_REASONING = re.compile(r"gpt-5\.([4-9]|\d\d)(?!.*-(pro|chat))")
"""Models that in chat completions take tools only with reasoning switched off by name."""


def to_chat_body(
    request: ModelRequest, *, model: str, max_tokens: int, for_vendor: bool
) -> dict[str, Any]:
    """The body that asks for a stream. `for_vendor`: for OpenAI's own API and its newest rules.

    Raises:
        BadRequestError: The messages are no whole turns.
    """
    messages: list[dict[str, Any]] = []
    if request.instructions.strip():
        messages.append({"role": "system", "content": request.instructions})
    for piece in to_pieces(request.messages):
        messages.extend(_to_messages(piece))
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens" if for_vendor else "max_tokens": max_tokens,
    }
    if request.tools:
        body["tools"] = [_to_tool(tool) for tool in request.tools]
        if for_vendor and _NO_TOOLS_WHILE_REASONING.match(model):
            body["reasoning_effort"] = "none"
    return body


def _to_messages(piece: Piece) -> list[dict[str, Any]]:
    match piece:
        case UserPiece(parts):
            return [{"role": "user", "content": _to_content(parts)}]
        case AssistantPiece():
            return [_to_assistant(piece)]
        case ResultsPiece(results):
            return [_to_result(result) for result in results]


def _to_content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """A plain string where it will do: not every compatible server takes a list."""
    if not any(isinstance(part, Image) for part in parts):
        return "\n\n".join(to_text(part) for part in parts)
    return [_to_block(part) for part in parts]


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        url = f"data:{part.media_type};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": part}


def _to_assistant(piece: AssistantPiece) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "\n\n".join(piece.texts) or None}
    if piece.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for call in piece.calls
        ]
    return message


def _to_result(result: Result) -> dict[str, Any]:
    text = "\n\n".join(to_text(part) for part in result.parts)
    if result.is_error:
        text = f"The tool failed: {text or '(no details)'}"
    return {"role": "tool", "tool_call_id": result.call_id, "content": text}


def _to_tool(tool: ToolDefinition) -> dict[str, Any]:
    description = tool.description
    if len(description) > _MAX_DESCRIPTION_CHARACTERS:
        description = description[: _MAX_DESCRIPTION_CHARACTERS - 1] + "…"
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": description,
            "parameters": to_tool_schema(tool.input_schema),
        },
    }
