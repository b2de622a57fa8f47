"""The events of Bedrock's Converse API, heard into one completion."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from client.llm.protocol import (
    Completion,
    ModelUnavailableError,
    StopReason,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from client.llm.tool_shapes import HeardCall, clean_text, to_tool_calls

_STOP_REASONS: Mapping[str, StopReason] = {
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "guardrail_intervened": "refused",
    "content_filtered": "refused",
}


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _ToolStart(_Wire):
    tool_use_id: str = ""
    name: str = ""


class _Start(_Wire):
    tool_use: _ToolStart | None = None


class _ToolDelta(_Wire):
    input: str = ""


class _Reasoning(_Wire):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(_Wire):
    text: str | None = None
    tool_use: _ToolDelta | None = None
    reasoning_content: _Reasoning | None = None


class _Usage(_Wire):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class _Event(_Wire):
    type: str
    content_block_index: int = 0
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class BedrockAnswer:
    """One answer of the Converse API while it comes. `model`: the answer itself doesn't name it."""

    def __init__(self, model: str) -> None:
        self.heard = 0
        self.is_closed = False
        self._model = model
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, HeardCall] = {}
        self._reasoning: dict[int, dict[str, Any]] = {}
        self._usage = Usage()
        self._stop_reason = ""

    @property
    def is_complete(self) -> bool:
        """The model has said why it stopped."""
        return bool(self._stop_reason)

    def hear(self, event: object) -> Sequence[TextDelta | ThoughtDelta]:
        """Take one event of the stream, give what it adds to show.

        Raises:
            ModelUnavailableError: The model wrote something that Bedrock itself could not read.
            ValueError: It has another shape than the vendor documents.
        """
        parsed = _Event.model_validate(event)
        if parsed.type in ("messageStart", "contentBlockStart"):
            self.heard += 1
        if parsed.start and parsed.start.tool_use:
            call = parsed.start.tool_use
            self._calls[parsed.content_block_index] = HeardCall(call.tool_use_id, call.name)
        if parsed.stop_reason:
            self._stop(parsed.stop_reason)
        if parsed.usage:
            self._count(parsed.usage)
            self.is_closed = self.is_complete  # figures are the last that comes
        return self._go_on(parsed.content_block_index, parsed.delta) if parsed.delta else []

    def finish(self) -> Completion:
        """The whole answer."""
        calls = to_tool_calls(self._calls.values())
        reasoning = [block for block in self._reasoning.values() if _is_sealed(block)]
        return Completion(
            text="".join(self._texts),
            tool_calls=calls,
            stop_reason=_STOP_REASONS.get(self._stop_reason, "tool_use" if calls else "end"),
            usage=self._usage,
            thoughts="".join(self._thoughts),
            reasoning=reasoning if calls else (),
            model=self._model,
        )

    def _stop(self, reason: str) -> None:
        self.heard += 1
        self._stop_reason = reason
        if reason.startswith("malformed_") and not self._calls:
            raise ModelUnavailableError("The model's answer came out malformed. Try again.")

    def _count(self, usage: _Usage) -> None:
        cached = usage.cache_read_input_tokens
        told = usage.input_tokens + cached + usage.cache_write_input_tokens
        self._usage = Usage(told, usage.output_tokens, cached)

    def _go_on(self, index: int, delta: _Delta) -> Sequence[TextDelta | ThoughtDelta]:
        shown: list[TextDelta | ThoughtDelta] = []
        if delta.tool_use and delta.tool_use.input and index in self._calls:
            self.heard += 1
            self._calls[index].raw += delta.tool_use.input
        if delta.reasoning_content:
            shown += self._think(index, delta.reasoning_content)
        if delta.text:
            self._texts.append(clean_text(delta.text))
            shown.append(TextDelta(self._texts[-1]))
        self.heard += len(shown)
        return shown

    def _think(self, index: int, reasoning: _Reasoning) -> Sequence[ThoughtDelta]:
        if reasoning.redacted_content:
            sealed = {"type": "redacted_thinking", "data": reasoning.redacted_content}
            self._reasoning[index] = sealed
            return []
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        block = self._reasoning.setdefault(index, empty)
        block["signature"] += reasoning.signature or ""
        if not reasoning.text:
            return []
        block["thinking"] += reasoning.text  # as it came: it is signed
        self._thoughts.append(clean_text(reasoning.text))
        return [ThoughtDelta(self._thoughts[-1])]


def _is_sealed(block: Mapping[str, Any]) -> bool:
    """Reasoning without a signature is not taken back by the models that give it."""
    return bool(block.get("signature") or block.get("data"))
