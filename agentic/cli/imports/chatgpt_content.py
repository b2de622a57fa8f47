"""What a message of a ChatGPT export holds, by its `content_type`, as text blocks."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel

from agentic.cli.imports.drafts import Draft, fenced, quote_name
from agentic.cli.imports.json_values import Loose, Text

_PICTURES = ("image_asset_pointer",)


class _Thought(BaseModel):
    summary: Text = None
    content: Text = None


class Attachment(BaseModel):
    """A file that a message's metadata name."""

    id: Text = None
    name: Text = None


class Content(BaseModel):
    """All fields of all kinds."""

    content_type: Text = None
    parts: Annotated[list[Annotated[str | dict[str, Any] | None, Loose]] | None, Loose] = None
    text: Text = None
    language: Text = None
    thoughts: Annotated[list[Annotated[_Thought | None, Loose]] | None, Loose] = None
    content: Text = None
    result: Text = None
    summary: Text = None
    output: Text = None
    snippet: Text = None
    title: Text = None
    url: Text = None
    name: Text = None

    def plain_text(self) -> str:
        """All text that there is, one paragraph each."""
        texts = [part for part in self.parts or [] if isinstance(part, str)]
        if not any(texts):
            # Where the several kinds keep what can be read.
            places = (self.text, self.result, self.summary, self.content, self.output, self.snippet)
            texts = [next(filter(None, places), "")]
        return "\n\n".join(text for text in texts if text.strip())

    def file_ids(self) -> Iterable[str]:
        """Of files that stand among the parts: `file-a1` of `file-service://file-a1`."""
        for part in self.parts or []:
            pointer = part.get("asset_pointer") if isinstance(part, dict) else None
            if isinstance(pointer, str):
                yield pointer.rpartition("/")[2]

    def has_text(self) -> bool:
        """Whether there is something to read."""
        return bool(self.plain_text())


def to_thoughts(content: Content) -> str | None:
    """What the model thought, where the message holds nothing else; None if it is another."""
    match content.content_type:
        case "thoughts":
            lines = [
                f"{thought.summary or ''}\n{thought.content or ''}".strip()
                for thought in content.thoughts or []
                if thought
            ]
            return "\n\n".join(filter(None, lines)) or content.plain_text()
        case "reasoning_recap":
            return content.plain_text()
        case _:
            return None


def write_content(content: Content, draft: Draft) -> None:
    """Add the content's blocks."""
    match content.content_type:
        case "code":
            text = content.plain_text()
            draft.add_text(fenced(text, content.language) if text else None)
        case "text" | "multimodal_text":
            _write_parts(content, draft)
        case "system_error":
            draft.is_error = True if draft.role == "tool" else None
            draft.add_text(": ".join(filter(None, [content.name, content.plain_text()])))
        case _:  # quotes of pages, results of searches and of programs, and what comes one day
            source = " ".join(filter(None, [content.title, content.url]))
            text = content.plain_text()
            draft.add_text("\n".join(filter(None, [source, text])) if text else None)


def write_attachments(
    attachments: Iterable[Attachment | None], content: Content, draft: Draft
) -> None:
    """Add a note of each that does not stand in the content already."""
    noted = set(content.file_ids())
    for attachment in attachments:
        if attachment and attachment.id not in noted:
            name = quote_name(attachment.name, "a file")
            draft.add_text(f"[Attached {name}, which the export keeps as a file of its own]")


def _write_parts(content: Content, draft: Draft) -> None:
    for part in content.parts or [content.text]:
        if isinstance(part, str):
            draft.add_text(part)
        elif part:
            draft.add_text(_to_note(part))


def _to_note(part: dict[str, Any]) -> str | None:
    kind = part.get("content_type")
    if isinstance(part.get("text"), str):  # what was said, of a recording
        return part["text"]
    if kind in _PICTURES:
        size = [part.get(side) for side in ("width", "height")]
        shown = f" of {size[0]} by {size[1]}" if all(isinstance(side, int) for side in size) else ""
        return f"[A picture{shown}, which the export keeps as a file of its own]"
    return f"[{str(kind or 'something')[:60]}, which the export keeps as a file of its own]"
