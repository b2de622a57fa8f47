"""The events of Anthropic's Messages API, heard into one completion."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from client.llm.protocol import (
    Completion,
    StopReason,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from client.llm.tool_shapes import HeardCall, clean_text, to_tool_calls

_STOP_REASONS: Mapping[str, StopReason] = {
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "refused",
}


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Usage(_Wire):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(_Wire):
    model: str = ""
    usage: _Usage | None = None


class _Block(_Wire):
    type: str = ""
    id: str = ""
    name: str = ""
    text: str | None = None
    thinking: str | None = None
    data: str = ""
    input: dict[str, Any] = Field(default_factory=dict)


class _Delta(_Wire):
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(_Wire):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


class AnthropicAnswer:
    """One answer of the Messages API while it comes."""

    def __init__(self) -> None:
        self.heard = 0
        self.is_closed = False
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, HeardCall] = {}
        self._reasoning: dict[int, dict[str, Any]] = {}
        self._figures: dict[str, int] = {}
        self._model = ""
        self._stop_reason = ""

    @property
    def is_complete(self) -> bool:
        """The model has said why it stopped, or the stream that it stopped."""
        return self.is_closed or bool(self._stop_reason)

    def hear(self, event: object) -> Sequence[TextDelta | ThoughtDelta]:
        """Take one event of the stream, give what it adds to show.

        Raises:
            ValueError: It has another shape than the vendor documents.
        """
        parsed = _Event.model_validate(event)
        self._count(parsed.usage)
        if parsed.message:
            self.heard += 1
            self._model = parsed.message.model
            self._count(parsed.message.usage)
        if parsed.content_block:
            return self._begin_block(parsed.index, parsed.content_block)
        if parsed.delta:
            return self._go_on(parsed.index, parsed.delta)
        self.is_closed = parsed.type == "message_stop"
        return []

    def finish(self) -> Completion:
        """The whole answer."""
        calls = to_tool_calls(self._calls.values())
        stop_reason = _STOP_REASONS.get(self._stop_reason, "tool_use" if calls else "end")
        cached = self._figures.get("cache_read_input_tokens", 0)
        written = self._figures.get("cache_creation_input_tokens", 0)
        return Completion(
            text="".join(self._texts),
            tool_calls=calls,
            stop_reason=stop_reason,
            usage=Usage(
                input_tokens=self._figures.get("input_tokens", 0) + cached + written,
                output_tokens=self._figures.get("output_tokens", 0),
                cached_input_tokens=cached,
            ),
            thoughts="".join(self._thoughts),
            reasoning=list(self._reasoning.values()) if calls else (),
            model=clean_text(self._model),
        )

    def _count(self, usage: _Usage | None) -> None:
        """Figures are cumulative: the latest that is told counts."""
        if usage:
            self._figures.update(usage.model_dump(exclude_none=True))

    def _begin_block(self, index: int, block: _Block) -> Sequence[TextDelta | ThoughtDelta]:
        self.heard += 1
        if block.type == "tool_use":
            raw = json.dumps(block.input) if block.input else ""
            self._calls[index] = HeardCall(block.id, block.name, raw)
            return []
        if block.type == "thinking":
            self._reasoning[index] = {"type": "thinking", "thinking": "", "signature": ""}
        elif block.type == "redacted_thinking":
            self._reasoning[index] = {"type": "redacted_thinking", "data": block.data}
        return self._say(index, block.text, block.thinking)

    def _go_on(self, index: int, delta: _Delta) -> Sequence[TextDelta | ThoughtDelta]:
        if delta.stop_reason:
            self.heard += 1
            self._stop_reason = delta.stop_reason
        if delta.partial_json and index in self._calls:
            self.heard += 1
            self._calls[index].raw += delta.partial_json
        if delta.signature and index in self._reasoning:
            self._reasoning[index]["signature"] += delta.signature
        return self._say(index, delta.text, delta.thinking)

    def _say(
        self, index: int, text: str | None, thinking: str | None
    ) -> Sequence[TextDelta | ThoughtDelta]:
        shown: list[TextDelta | ThoughtDelta] = []
        if thinking:
            if index in self._reasoning:  # as it came: it is signed
                self._reasoning[index]["thinking"] += thinking
            self._thoughts.append(clean_text(thinking))
            shown.append(ThoughtDelta(self._thoughts[-1]))
        if text:
            self._texts.append(clean_text(text))
            shown.append(TextDelta(self._texts[-1]))
        self.heard += len(shown)
        return shown
