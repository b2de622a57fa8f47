"""Markdown that arrives in pieces, cut into blocks that are finished, and drawn."""

from collections.abc import Iterable

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

from agentic.cli.terminal_text import TextCleaner, clean

# What looks like HTML is text: models write `List<String>`, and rich leaves HTML out.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


class MarkdownStream:
    """Gives each block once, when it can't change any more; `unfinished` is what follows."""

    def __init__(self) -> None:
        self.unfinished = ""
        self._cleaner = TextCleaner()

    def feed(self, text: str) -> None:
        """Add what was written next."""
        self.unfinished += self._cleaner.feed(text)

    def take_finished(self) -> str:
        """The source of the blocks finished since the last call."""
        # The last line may still become anything, so it finishes nothing.
        whole_lines = self.unfinished[: self.unfinished.rfind("\n") + 1]
        start = _start_of_last_block(whole_lines)
        finished, self.unfinished = self.unfinished[:start], self.unfinished[start:]
        return finished

    def take_rest(self) -> str:
        """All that is left, because nothing follows."""
        rest, self.unfinished = self.unfinished + self._cleaner.finish(), ""
        return rest


class RenderedMarkdown:
    """Markdown for a rich console: no links that hide their target, nothing unsafe.

    With `last_lines` only that many lines at the end are drawn.
    """

    def __init__(self, source: str, *, last_lines: int | None = None) -> None:
        self._source = source
        self._last_lines = last_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the lines."""
        markdown = Markdown("", code_theme="ansi_dark", hyperlinks=False)
        markdown.parsed = _PARSER.parse(clean(self._source))
        segments = (part for part in console.render(markdown, options) if not part.control)
        lines = [_without_blanks(line) for line in Segment.split_lines(segments)]
        filled = [number for number, line in enumerate(lines) if line]
        lines = lines[filled[0] : filled[-1] + 1] if filled else []
        for line in lines if self._last_lines is None else lines[-self._last_lines :]:
            yield from line
            yield Segment.line()


def _start_of_last_block(source: str) -> int:
    starts = [
        token.map[0]
        for token in _PARSER.parse(source)
        if token.level == 0 and token.map is not None
    ]
    if not starts:
        return 0
    return sum(len(line) + 1 for line in source.split("\n")[: starts[-1]])


def _without_blanks(line: Iterable[Segment]) -> list[Segment]:
    # Entities such as `&#8238;` become characters only now.
    segments = [Segment(clean(part.text), part.style) for part in line]
    while segments:
        last = segments[-1]
        if last.style is not None and (last.style.bgcolor or last.style.underline):
            break
        stripped = last.text.rstrip()
        if stripped:
            segments[-1] = Segment(stripped, last.style)
            break
        segments.pop()
    return segments
