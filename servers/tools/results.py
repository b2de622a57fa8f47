"""Results of tool calls as MCP sends them: an answer, or why there is none."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp import types

from servers.tools.contract import ToolErrorCode, ToolErrorDetail, ToolErrorResult

_MAX_TEXT_CHARACTERS = 100_000
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"result": {"description": "What the endpoint answered: any JSON value."}},
    "required": ["result"],
}
"""Of `structured_content` of a declared tool's answer."""


@dataclass(frozen=True, slots=True)
class Media:
    """A picture or a sound, `image/…` or `audio/…`."""

    mime_type: str
    data: bytes

    def to_block(self) -> types.ImageContent | types.AudioContent:
        """As MCP sends it."""
        data = base64.b64encode(self.data).decode("ascii")
        if self.mime_type.startswith("image/"):
            return types.ImageContent(type="image", data=data, mime_type=self.mime_type)
        return types.AudioContent(type="audio", data=data, mime_type=self.mime_type)


def to_answer_schema(output: Mapping[str, Any] | None) -> dict[str, Any]:
    """`ANSWER_SCHEMA`, with what a declaration says of the result."""
    if output is None:
        return ANSWER_SCHEMA
    return {**ANSWER_SCHEMA, "properties": {"result": output}}


class ToolFailedError(Exception):
    """A call gave no answer; `detail` is what its caller is told.

    `may_pass`: another attempt may succeed. `was_sent`: the endpoint may have seen the request.
    """

    def __init__(
        self,
        code: ToolErrorCode,
        message: str,
        *,
        field: str | None = None,
        retry_after_seconds: float | None = None,
        may_pass: bool = False,
        was_sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        self.was_sent = was_sent
        self.detail = ToolErrorDetail(
            code=code, message=message, field=field, retry_after_seconds=retry_after_seconds
        )


def render_failure(error: ToolFailedError) -> types.CallToolResult:
    """The error as a result that a model can read and a program can act on."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=error.detail.message)],
        structured_content=ToolErrorResult(error=error.detail).model_dump(exclude_none=True),
        is_error=True,
    )


def render_answer(answer: object) -> types.CallToolResult:
    """A JSON value under `result`, and as text: a string as it is, else compact JSON."""
    if isinstance(answer, Media):
        told = {"mime_type": answer.mime_type, "bytes": len(answer.data)}
        return types.CallToolResult(
            content=[answer.to_block()], structured_content={"result": told}
        )
    text = answer if isinstance(answer, str) else to_json(answer)
    if (left := len(text) - _MAX_TEXT_CHARACTERS) > 0:
        text = (
            f"{text[:_MAX_TEXT_CHARACTERS]}\n[{left} more characters are in the structured content]"
        )
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content={"result": answer}
    )


def to_json(value: object) -> str:
    """Compact JSON.

    Raises:
        ValueError: It holds what JSON can't express.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
