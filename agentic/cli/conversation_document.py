"""A conversation as one JSON document, written while it is read: memory doesn't grow with it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TextIO

from agentic.cli.terminal_text import to_json


async def write_document(
    output: TextIO, head: Mapping[str, Any], messages: AsyncIterator[Mapping[str, Any]]
) -> None:
    """Write an object of the fields of `head` and of `messages`, a message a line."""
    for name, value in head.items():
        output.write("{" if name == next(iter(head)) else ",")
        output.write(f"{to_json(name)}: {to_json(value, indent=None)}\n")
    output.write(',"messages": [')
    separator = "\n"
    async for message in messages:
        output.write(separator + to_json(message, indent=None))
        separator = ",\n"
    output.write("\n]}\n")
