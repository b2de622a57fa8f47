"""The chunks of a streamed chat completion, heard into one completion.

Compatible servers leave out ids, indexes and figures, send calls whole or in fragments, and name
their reasons freely; all of that is taken.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from client.llm.protocol import Completion, StopReason, TextDelta, ThoughtDelta, Usage
from client.llm.tool_shapes import HeardCall, clean_text, to_tool_calls

_STOP_REASONS: Mapping[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "refused",
    "refusal": "refused",
}


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Function(_Wire):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(_Wire):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(_Wire):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(_Wire):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _CachedTokens(_Wire):
    cached_tokens: int | None = None


class _Usage(_Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _CachedTokens | None = None


class _Chunk(_Wire):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class OpenAIAnswer:
    """One streamed chat completion while it comes."""

    is_closed = False
    """Figures may follow until the server ends the stream."""

    def __init__(self) -> None:
        self.heard = 0
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[HeardCall] = []
        self._call_at: dict[int, HeardCall] = {}
        self._usage = Usage()
        self._model = ""
        self._finish_reason: str | None = None
        self._has_refused = False

    @property
    def is_complete(self) -> bool:
        """The model has said why it stopped."""
        return self._finish_reason is not None

    def hear(self, event: object) -> Sequence[TextDelta | ThoughtDelta]:
        """Take one chunk, give what it adds to show.

        Raises:
            ValueError: It is no chunk of a chat completion.
        """
        chunk = _Chunk.model_validate(event)
        self._model = chunk.model or self._model
        if chunk.usage:
            self._count(chunk.usage)
        shown: list[TextDelta | ThoughtDelta] = []
        for choice in (chunk.choices or [])[:1]:
            if choice.delta:
                shown = self._go_on(choice.delta)
            if choice.finish_reason:
                self.heard += 1
                self._finish_reason = choice.finish_reason
        return shown

    def finish(self) -> Completion:
        """The whole answer."""
        calls = to_tool_calls(self._calls)
        stop_reason = _STOP_REASONS.get(self._finish_reason or "", "tool_use" if calls else "end")
        return Completion(
            text="".join(self._texts),
            tool_calls=calls,
            stop_reason="refused" if self._has_refused else stop_reason,
            usage=self._usage,
            thoughts="".join(self._thoughts),
            model=clean_text(self._model),
        )

    def _count(self, usage: _Usage) -> None:
        """Some servers count in every chunk: the latest counts."""
        details = usage.prompt_tokens_details
        self._usage = Usage(
            usage.prompt_tokens or 0,
            usage.completion_tokens or 0,
            (details.cached_tokens or 0) if details else 0,
        )

    def _go_on(self, delta: _Delta) -> list[TextDelta | ThoughtDelta]:
        shown: list[TextDelta | ThoughtDelta] = []
        if thought := delta.reasoning_content or delta.reasoning:
            self._thoughts.append(clean_text(thought))
            shown.append(ThoughtDelta(self._thoughts[-1]))
        if delta.refusal:
            self._has_refused = True
        if text := delta.content or delta.refusal:
            self._texts.append(clean_text(text))
            shown.append(TextDelta(self._texts[-1]))
        for fragment in delta.tool_calls or []:
            self._add_fragment(fragment)
        self.heard += len(shown) + len(delta.tool_calls or [])
        return shown

    def _add_fragment(self, fragment: _ToolCall) -> None:
        call = self._find_call(fragment)
        function = fragment.function or _Function()
        call.id = call.id or fragment.id or ""
        call.name = call.name or function.name or ""
        arguments = function.arguments
        call.raw += json.dumps(arguments) if isinstance(arguments, dict) else arguments or ""

    def _find_call(self, fragment: _ToolCall) -> HeardCall:
        """The call that a fragment goes on with, or a new one.

        By its index; but some servers give every call index 0, and some give none: then a new id,
        or a name where a call already has one and its arguments, begins a new call.
        """
        if fragment.index is None:
            known = self._calls[-1] if self._calls else None
        else:
            known = self._call_at.get(fragment.index)
        if known is None or _begins_another(fragment, known):
            known = HeardCall()
            self._calls.append(known)
        if fragment.index is not None:
            self._call_at[fragment.index] = known
        return known


def _begins_another(fragment: _ToolCall, known: HeardCall) -> bool:
    if fragment.id and known.id:
        return fragment.id != known.id
    has_name = fragment.function is not None and bool(fragment.function.name)
    return has_name and bool(known.name) and bool(known.raw)
