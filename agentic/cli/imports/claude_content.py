"""The blocks in a message of a Claude export."""

from typing import Annotated, Any

from pydantic import BaseModel

from agentic.cli.imports.json_values import Flag, JsonObject, Loose, Text


class _Inner(BaseModel):
    """A block within a tool's result."""

    type: Text = None
    text: Text = None
    title: Text = None
    url: Text = None


class Block(BaseModel):
    """All fields of all kinds."""

    type: Text = None
    text: Text = None
    thinking: Text = None
    id: Text = None
    tool_use_id: Text = None
    name: Text = None
    input: Any = None
    content: Annotated[str | list[Annotated[_Inner | None, Loose]] | None, Loose] = None
    structured_content: JsonObject = None
    is_error: Flag = None

    @property
    def says_something(self) -> bool:
        """Whether it stands for what the message's own `text` would say."""
        return bool(self.type in ("tool_use", "tool_result") or (self.text and self.text.strip()))


def tool_input(block: Block) -> dict[str, Any]:
    """The arguments of a call, always an object."""
    if isinstance(block.input, dict):
        return block.input  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - JSON
    return {} if block.input is None else {"input": block.input}


def result_text(block: Block) -> str:
    """What a tool answered, as text."""
    if block.content is None or isinstance(block.content, str):
        return block.content or block.text or ""
    parts = [
        " ".join(filter(None, [inner.title, inner.url, inner.text]))
        or f"[{(inner.type or 'something')[:60]}, which is not text]"
        for inner in block.content
        if inner
    ]
    return "\n\n".join(parts)
