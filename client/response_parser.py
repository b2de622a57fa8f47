"""Takes a model's thoughts, written as `<thinking>…</thinking>`, apart from what it says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

THOUGHT_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning")

_OPEN = re.compile(rf"<({'|'.join(THOUGHT_TAGS)})>", re.IGNORECASE)
_MARK = re.compile(rf"`+|\n|{_OPEN.pattern}", re.IGNORECASE)
_LONGEST_TAG = max(len(tag) for tag in THOUGHT_TAGS) + len("</>")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that is either said or thought."""

    kind: Literal["content", "thoughts"]
    text: str


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A whole answer, taken apart. `thoughts` is None where there were none."""

    content: str
    thoughts: str | None


class ResponseParser:
    """Parses one answer, whole or piece by piece as it is streamed.

    A thought begins at one of the tags and ends at the same tag closed, or at the end of the
    answer. Inside code (a fence, or backticks within a line) tags are what they are: text.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._closing = ""
        """The closing tag of the thought we are in, empty outside."""
        self._code = ""
        """The backticks that opened the code we are in, empty outside."""

    @staticmethod
    def parse_response(
        text: str, *, extract_thoughts: bool = True, show_thinking: bool = False
    ) -> ParsedResponse:
        """Take a whole answer apart; with `show_thinking` the content keeps its thoughts."""
        if not extract_thoughts:
            return ParsedResponse(text, None)
        parser = ResponseParser()
        pieces = [*parser.feed(text), *parser.finish()]
        thoughts = "".join(piece.text for piece in pieces if piece.kind == "thoughts").strip()
        if not thoughts:
            content = (
                text if show_thinking else "".join(p.text for p in pieces if p.kind == "content")
            )
            return ParsedResponse(content, None)
        if show_thinking:
            return ParsedResponse(text, thoughts)
        content = "".join(piece.text for piece in pieces if piece.kind == "content")
        return ParsedResponse(content.strip(), thoughts)

    def feed(self, delta: str) -> Iterator[Piece]:
        """Take the next piece of the answer; gives what is certain by now."""
        self._pending += delta
        yield from self._drain(at_end=False)

    def finish(self) -> Iterator[Piece]:
        """The answer is over: gives the rest, and makes ready for another."""
        yield from self._drain(at_end=True)
        self._closing = self._code = ""

    def _drain(self, *, at_end: bool) -> Iterator[Piece]:
        while self._pending:
            before = (self._pending, self._closing, self._code)
            yield from (
                self._thought(at_end=at_end) if self._closing else self._content(at_end=at_end)
            )
            if before == (self._pending, self._closing, self._code):
                return

    def _thought(self, *, at_end: bool) -> Iterator[Piece]:
        end = self._pending.lower().find(self._closing)
        if end >= 0:
            rest = self._pending[end + len(self._closing) :]
            thought, self._pending, self._closing = self._pending[:end], rest, ""
        else:
            keep = 0 if at_end else len(self._closing) - 1
            cut = max(0, len(self._pending) - keep)
            thought, self._pending = self._pending[:cut], self._pending[cut:]
        if thought:
            yield Piece("thoughts", thought)

    def _content(self, *, at_end: bool) -> Iterator[Piece]:
        said: list[str] = []
        position = 0
        for mark in _MARK.finditer(self._pending):
            whole = mark.group()
            if whole[0] == "`" and mark.end() == len(self._pending) and not at_end:
                break  # the run of backticks may go on
            if mark.group(1) and not self._code:
                said.append(self._pending[position : mark.start()])
                position = mark.end()
                self._closing = f"</{mark.group(1).lower()}>"
                break
            said.append(self._pending[position : mark.end()])
            position = mark.end()
            self._see(whole)
        else:
            cut = len(self._pending) if at_end else max(position, self._held_from())
            said.append(self._pending[position:cut])
            position = cut
        self._pending = self._pending[position:]
        if text := "".join(said):
            yield Piece("content", text)

    def _see(self, mark: str) -> None:
        """Follow into and out of code; a fence (three or more) goes over lines, other code not."""
        if mark == "\n":
            if len(self._code) < 3:
                self._code = ""
        elif mark[0] == "`":
            if not self._code:
                self._code = mark
            elif mark == self._code or (len(self._code) >= 3 and len(mark) > len(self._code)):
                self._code = ""

    def _held_from(self) -> int:
        """Where the pending text may be the beginning of a tag or of a run of backticks."""
        tail_at = max(0, len(self._pending) - _LONGEST_TAG)
        tail = self._pending[tail_at:]
        ticks = len(self._pending) - len(self._pending.rstrip("`"))
        if ticks:
            return len(self._pending) - ticks
        angle = tail.rfind("<")
        if angle >= 0 and any(f"<{tag}>".startswith(tail[angle:].lower()) for tag in THOUGHT_TAGS):
            return tail_at + angle
        return len(self._pending)
