"""Takes JSON of any size apart in its outermost layers, and holds no more than one piece of it.

A piece that is too large is passed over in flat memory, be it a single string of 10 GB. What the
pieces hold is read by `json`, which keeps numbers exact and lone surrogates visible.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from agentic.cli.imports.failures import BrokenFileError

CHUNK_BYTES = 256 * 1024

_MAX_NAME_BYTES = 64 * 1024
_MARK = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,\]}\"\[{:]*+")
_OUTSIDE = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+', re.DOTALL)
"""Up to the next bracket or the quote of a string whose end has not been read yet."""
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_QUOTE, _BACKSLASH = b'"\\'
_OPENING = b"[{"


class JsonReader:
    """Walks through JSON text from its beginning; whoever enters a layer reads each piece of it."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read` gives the next at most so many bytes, and none at the end."""
        self._read = read
        self._buffer = b""
        self._at = 0
        self._passed = 0
        """Bytes before the buffer."""
        self._failure: BrokenFileError | None = None

    @property
    def offset(self) -> int:
        """How many bytes were read and taken."""
        return self._passed + self._at

    def peek(self) -> bytes:
        """The byte that the next piece begins with; empty at the end.

        Raises:
            BrokenFileError: Like every method: the text can't be read on; asking again says it
                again.
        """
        if self._failure:
            raise self._failure
        if self._passed == 0 and self._at == 0:
            self._begin()
        while True:
            self._at = _match_end(_BLANK, self._buffer, self._at)
            if self._at < len(self._buffer) or not self._fill():
                return self._buffer[self._at : self._at + 1]

    def elements(self) -> Iterator[None]:
        """Enter an array: once for each element, which has to be read then."""
        yield from self._layer(b"[", b"]")

    def members(self) -> Iterator[str]:
        """Enter an object: the name of each member, whose value has to be read then."""
        for _ in self._layer(b"{", b"}"):
            if self.peek() != b'"':
                self.refuse("a name in quotes is missing")
            name = self.value(_MAX_NAME_BYTES)
            if self.peek() != b":":
                self.refuse("a colon is missing")
            self._at += 1
            yield str(json.loads(name.decode("utf-8", "replace"))) if name else ""

    def value(self, max_bytes: int) -> bytes | None:
        """The next piece as it stands there, or None if it is larger; then it is passed over."""
        first = self.peek()
        kept = _Kept(max_bytes)
        if first in (b'"', b"[", b"{"):
            self._nested(kept)
        else:
            self._scalar(kept)
        return kept.value()

    def _begin(self) -> None:
        while len(self._buffer) < len(_MARK) and self._fill():
            pass
        if self._buffer.startswith((b"\xff\xfe", b"\xfe\xff")):
            self.refuse("it is UTF-16, save it as UTF-8")
        if self._buffer.startswith(_MARK):
            self._at = len(_MARK)

    def _layer(self, opening: bytes, closing: bytes) -> Iterator[None]:
        if self.peek() != opening:
            self.refuse(f"a {opening.decode()} is missing")
        self._at += 1
        if self.peek() == closing:
            self._at += 1
            return
        while True:
            yield
            following = self.peek()
            if following not in (b",", closing):
                self.refuse(f"a comma or a {closing.decode()} is missing")
            self._at += 1
            if following == closing:
                return

    def _nested(self, kept: "_Kept") -> None:
        depth, inside = 0, self._buffer[self._at] == _QUOTE
        at = self._at + inside
        while True:
            end = _match_end(_INSIDE if inside else _OUTSIDE, self._buffer, at)
            if end == len(self._buffer) or (inside and self._buffer[end] == _BACKSLASH):
                # All of it belongs to the piece, or all but half an escape.
                self._keep(kept, end)
                if not self._fill():
                    self._at = len(self._buffer)
                    self.refuse("")
                at = self._at
                continue
            byte = self._buffer[end]
            at = end + 1
            if byte == _QUOTE:
                inside = not inside
            else:
                depth += 1 if byte in _OPENING else -1
            if depth <= 0 and not inside:
                self._keep(kept, at)
                return

    def _scalar(self, kept: "_Kept") -> None:
        while True:
            end = _match_end(_SCALAR, self._buffer, self._at)
            going_on = end == len(self._buffer)
            self._keep(kept, end)
            if not (going_on and self._fill()):
                break
        if kept.size == 0:
            self.refuse("a value is missing")

    def _keep(self, kept: "_Kept", end: int) -> None:
        kept.add(self._buffer[self._at : end])
        self._at = end

    def _fill(self) -> bool:
        """Read on; False at the end."""
        try:
            chunk = self._read(CHUNK_BYTES)
        except BrokenFileError as failure:
            self._failure = failure
            raise
        if not chunk:
            return False
        self._passed += self._at
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return True

    def refuse(self, reason: str) -> NoReturn:
        """Say that from here on the text is none that can be read."""
        ended = self._at == len(self._buffer)  # whoever looked for more has found none
        self._failure = BrokenFileError(
            f"it breaks off in the middle, after {self.offset:,} bytes."
            if ended
            else f"it can't be read from byte {self.offset:,} on: {reason}."
        )
        raise self._failure


class _Kept:
    """The bytes of a piece, until it is too large."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= self._max_bytes:
            self._parts.append(part)
        else:
            self._parts.clear()

    def value(self) -> bytes | None:
        return b"".join(self._parts) if self.size <= self._max_bytes else None


def _match_end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    found = pattern.match(text, start)
    assert found is not None  # each of them matches nothing, too
    return found.end()
