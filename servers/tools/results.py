"""Results of tool calls as MCP sends them: an answer, or why there is none."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp import types

from servers.tools.contract import ToolErrorCode, ToolErrorDetail, ToolErrorResult
from servers.tools.kept_answers import JSON_TYPE, MAX_OWNER_BYTES, TEXT_TYPE, KeptAnswer

_MAX_TEXT_CHARACTERS = 100_000
_EXCERPT_CHARACTERS = 40_000
"""What a model may be shown of a longer text; our client takes 50,000 with what is said of it."""
_MAX_SHOWN_BYTES = _MAX_WHOLE_BYTES = 700_000
"""In one result clients take 1 MiB: so much in base64, or as JSON beside its excerpt."""
_KEPT = "all of it is behind the link"
_LINK_LASTS = "Can be read for an hour at most."
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"result": {"description": "What the endpoint answered: any JSON value."}},
    "required": ["result"],
}
"""Of `structured_content` of a declared tool's answer."""


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes that are no text."""

    mime_type: str
    data: bytes

    @property
    def is_shown(self) -> bool:
        """Whether it is a picture or a sound that clients take in a message."""
        kind = self.mime_type.partition("/")[0]
        return kind in ("image", "audio") and len(self.data) <= _MAX_SHOWN_BYTES

    def to_block(self) -> types.ImageContent | types.AudioContent:
        """As MCP sends it."""
        data = base64.b64encode(self.data).decode("ascii")
        if self.mime_type.startswith("image/"):
            return types.ImageContent(type="image", data=data, mime_type=self.mime_type)
        return types.AudioContent(type="audio", data=data, mime_type=self.mime_type)


Keep = Callable[[str, bytes], KeptAnswer]
"""Keeps bytes of a MIME type."""


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


def render_answer(
    answer: object, keep: Keep | None = None, *, is_whole: bool = False
) -> types.CallToolResult:
    """A JSON value under `result`, and as text: a string as it is, else compact JSON.

    `keep` takes what is no text or too long for a reader: a link leads there. With `is_whole` the
    value stands under `result` all the same.

    Raises:
        ToolFailedError: It is too large for that.
    """
    if isinstance(answer, Media):
        if answer.is_shown:
            told = {"mime_type": answer.mime_type, "bytes": len(answer.data)}
            return _render([answer.to_block()], told)
        about = f"The answer is no text but {answer.mime_type}, {len(answer.data):,} bytes"
        if keep is None:
            told = {"mime_type": answer.mime_type, "bytes": len(answer.data)}
            return _render([_text(f"{about}.")], told)
        kept = keep(answer.mime_type, answer.data)
        return _render([_text(f"{about}: {_KEPT}"), _link(kept)], _describe(kept))
    text = answer if isinstance(answer, str) else to_json(answer)
    if len(text) <= _MAX_TEXT_CHARACTERS:
        return _render([_text(text)], answer)
    excerpt = f"{text[:_EXCERPT_CHARACTERS]}\n[{len(text) - _EXCERPT_CHARACTERS:,} more characters"
    if keep is None:
        return _render([_text(f"{excerpt}]")], answer)
    data = text.encode("utf-8")
    if len(data) > (limit := _MAX_WHOLE_BYTES if is_whole else MAX_OWNER_BYTES):
        raise ToolFailedError(
            "too_large",
            f"the endpoint's result has {len(data):,} bytes, and {limit:,} is the most"
            f"{' of a tool with output in mcp.yml' if is_whole else ''}: ask for less",
        )
    kept = keep(TEXT_TYPE if isinstance(answer, str) else JSON_TYPE, data)
    told = answer if is_whole else _describe(kept)
    return _render([_text(f"{excerpt}; {_KEPT}]"), _link(kept)], told)


def _render(content: Sequence[types.ContentBlock], told: object) -> types.CallToolResult:
    return types.CallToolResult(content=[*content], structured_content={"result": told})


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _link(kept: KeptAnswer) -> types.ResourceLink:
    return types.ResourceLink(
        type="resource_link",
        uri=kept.uri,
        name=kept.name,
        description=_LINK_LASTS,
        mime_type=kept.mime_type,
        size=len(kept.data),
    )


def _describe(kept: KeptAnswer) -> dict[str, object]:
    return {
        "uri": kept.uri,
        "name": kept.name,
        "mime_type": kept.mime_type,
        "bytes": len(kept.data),
    }


def to_json(value: object) -> str:
    """Compact JSON.

    Raises:
        ValueError: It holds what JSON can't express.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
