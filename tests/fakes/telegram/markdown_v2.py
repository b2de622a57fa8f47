"""`parse_mode` MarkdownV2: marks become entities, or what the real server says of them."""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram.refusals import RefusedError, bad_request, misused

_RESERVED = frozenset("_*[]()~`>#+-=|{}.!\n")
_MARKS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}
_NAMES = {
    **{kind: kind.capitalize() for kind in _MARKS.values()},
    "code": "Code",
    "pre": "Pre",
    "text_link": "TextUrl",
    "custom_emoji": "CustomEmoji",
    "blockquote": "BlockQuote",
}
"""What errors call a kind of entity."""
_LANGUAGE = re.compile(r"([^\s`]*)(?=\s)")
_FIRST_LINE_END = re.compile(r"\r\n|\n\r|\n|\r")
_LINK = re.compile(r"(https?|tg|ton)://\S")
_EMOJI = re.compile(r"tg://emoji\?id=([0-9]+)")


@dataclass(slots=True)
class _Open:
    kind: str
    mark: str
    offset: int
    begins_at: int
    place: int
    language: str = ""


@dataclass(slots=True)
class _Parser:
    source: str
    position: int = 0
    units: int = 0
    text: list[str] = field(default_factory=list[str])
    entities: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    opened: list[_Open] = field(default_factory=list[_Open])

    def parse(self) -> None:
        while self.position < len(self.source):
            character = self.source[self.position]
            following = self.source[self.position + 1 : self.position + 2]
            if character == "\\" and following and "\0" < following <= "~":
                self.position += 1
                self._take(following)
            elif character not in ("`" if self._in_code() else _RESERVED):
                self._take(character)
            elif character == "\n":
                self._end_line()
            elif not self._end() and not self._begin(character):
                raise _unparsable(
                    f"Character '{character}' is reserved and must be escaped with the preceding "
                    "'\\'"
                )
        if self._in_quote() and self.opened[-1].kind == "blockquote":
            self._close({})
        if self.opened:
            last = self.opened[-1]
            raise _unparsable(
                f"Can't find end of {_NAMES[last.kind]} entity at byte offset {last.place}"
            )

    def _in_code(self) -> bool:
        return bool(self.opened) and self.opened[-1].kind in ("code", "pre")

    def _in_quote(self) -> bool:
        return any(begun.kind == "blockquote" for begun in self.opened)

    def _take(self, character: str) -> None:
        self.text.append(character)
        self.units += 2 if ord(character) > 0xFFFF else 1
        self.position += 1

    def _open(self, kind: str, mark: str, language: str = "") -> None:
        place = len(self.source[: self.position].encode("utf-8"))
        self.opened.append(_Open(kind, mark, self.units, len(self.text), place, language))
        self.position += len(mark)

    def _close(self, fields: dict[str, Any]) -> None:
        begun = self.opened.pop()
        if begun.language:
            fields = {"language": begun.language, **fields}
        if self.units > begun.offset:
            place = {"offset": begun.offset, "length": self.units - begun.offset}
            self.entities.append({"type": begun.kind, **place, **fields})

    def _end_line(self) -> None:
        quoted = self.source.startswith(">", self.position + 1)
        if self._in_quote() and not quoted:
            last = self.opened[-1]
            if last.kind != "blockquote":
                raise _unparsable(
                    f"Can't find end of {_NAMES[last.kind]} entity at byte offset {last.place}"
                )
            self._close({})
        self._take("\n")
        if quoted and self._in_quote():
            self.position += 1
        elif quoted:
            self._open("blockquote", ">")

    def _end(self) -> bool:
        """Whether the innermost entity ends here."""
        if not self.opened:
            return False
        begun = self.opened[-1]
        if begun.kind in ("text_link", "custom_emoji"):
            if not self.source.startswith("]", self.position):
                return False
            self._close_link(begun)
            return True
        if begun.kind == "blockquote" or self._mark() != begun.mark:
            return False
        self.position += len(begun.mark)
        self._close({})
        return True

    def _mark(self) -> str:
        """The longest mark that stands here."""
        for mark in ("```", "__", "||", "`", "*", "_", "~"):
            if self.source.startswith(mark, self.position):
                return mark
        return ""

    def _begin(self, character: str) -> bool:
        mark = self._mark()
        if self._in_code():
            self._take(character)  # a backtick within a block of code
        elif mark in _MARKS:
            self._open(_MARKS[mark], mark)
        elif mark == "```":
            self._begin_block()
        elif mark == "`":
            self._open("code", "`")
        elif character == "[":
            self._open("text_link", "[")
        elif self.source.startswith("![", self.position):
            self._open("custom_emoji", "![")
        elif character == ">" and self.position == 0:
            self._open("blockquote", ">")
        else:
            return False
        return True

    def _begin_block(self) -> None:
        found = _LANGUAGE.match(self.source, self.position + 3)
        self._open("pre", "```", found[1] if found else "")
        if found:
            self.position = found.end()
        if line_end := _FIRST_LINE_END.match(self.source, self.position):
            self.position = line_end.end()

    def _close_link(self, begun: _Open) -> None:
        self.position += 1
        url = "".join(self.text[begun.begins_at :])
        if self.source.startswith("(", self.position):
            url = self._read_url("custom emoji URL" if begun.kind == "custom_emoji" else "URL")
        elif begun.kind == "custom_emoji":
            raise _unparsable("Custom emoji entity must contain a tg://emoji URL")
        if begun.kind == "custom_emoji":
            found = _EMOJI.fullmatch(url)
            if found is None:
                raise _unparsable("Custom emoji URL must have an emoji identifier")
            self._close({"custom_emoji_id": found[1]})
        elif not _LINK.match(url):
            raise misused(f"a link to {url!r} would be dropped")
        else:
            self._close({"url": url})

    def _read_url(self, name: str) -> str:
        self.position += 1
        begin, url = self.position, ""
        while self.position < len(self.source) and self.source[self.position] != ")":
            if self.source[self.position] == "\\" and self.position + 1 < len(self.source):
                self.position += 1
            url += self.source[self.position]
            self.position += 1
        if self.position == len(self.source):
            place = len(self.source[:begin].encode("utf-8"))
            raise _unparsable(f"Can't find end of a {name} at byte offset {place}")
        self.position += 1
        return url


def parse_markdown_v2(source: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its marks, and what they mark.

    Raises:
        RefusedError: As the real server refuses it.
    """
    parser = _Parser(source)
    parser.parse()
    return "".join(parser.text), parser.entities


def _unparsable(description: str) -> RefusedError:
    return bad_request(f"can't parse entities: {description}")
