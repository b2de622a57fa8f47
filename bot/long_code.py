"""Code that is longer than a message goes as a file; where it stood its first lines are shown."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot import wording
from bot.markdown_text import Span, unit_ends, utf16_units

_PREVIEW_LINES = 12
_PREVIEW_UNITS = 800
_SHORT_NAME = re.compile(r"[a-z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class CodeFile:
    """What a person gets as a document."""

    name: str
    text: str


def put_aside_long_code(
    text: str, spans: Sequence[Span], max_units: int
) -> tuple[str, list[Span], list[CodeFile]]:
    """The reply with the beginning of each block that is longer than that, and the blocks."""
    files: list[CodeFile] = []
    shown: dict[Span, str] = {}
    notes: dict[Span, str] = {}
    for span in spans:
        code = text[span.start : span.end]
        if span.kind == "pre" and utf16_units(code) > max_units:
            file = CodeFile(_name(span.language or "", len(files) + 1), code)
            files.append(file)
            shown[span] = _preview(code)
            notes[span] = f"\n{wording.render_code_note(file.name, code.count(chr(10)) + 1)}"

    def moved(place: int) -> int:
        cut = [span for span in shown if span.end <= place]
        return place + sum(
            len(shown[span]) + len(notes[span]) - (span.end - span.start) for span in cut
        )

    kept = [replace(span, start=moved(span.start), end=moved(span.end)) for span in spans]
    for index, span in enumerate(spans):
        if span in shown:
            start = kept[index].start
            kept[index] = replace(span, start=start, end=start + len(shown[span]))
    for span in sorted(shown, key=lambda span: -span.start):
        text = text[: span.start] + shown[span] + notes[span] + text[span.end :]
    return text, kept, files


def _preview(code: str) -> str:
    lines = "\n".join(code.split("\n", _PREVIEW_LINES)[:_PREVIEW_LINES])
    return lines[: bisect_right(unit_ends(lines), _PREVIEW_UNITS)].rstrip()


def _name(language: str, number: int) -> str:
    from telegramify_markdown.code_file import default_language_to_ext

    language = language.lower()
    own = language if _SHORT_NAME.fullmatch(language) else "txt"
    return f"code-{number}.{default_language_to_ext.get(language, own)}"
