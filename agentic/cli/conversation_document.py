"""A conversation as one JSON document, written while it is read: memory doesn't grow with it."""

from collections.abc import Mapping
from typing import Any, TextIO

from agentic.cli.stored_history import StoredHistory
from agentic.cli.terminal_text import to_json


async def write_document(output: TextIO, head: Mapping[str, Any], history: StoredHistory) -> None:
    """Write an object of the fields of `head` and of `messages`, a message a line."""
    for name, value in head.items():
        output.write("{" if name == next(iter(head)) else ",")
        output.write(f"{to_json(name)}: {to_json(value, indent=None)}\n")
    output.write(',"messages": [')
    separator = "\n"
    async for message in history.read():
        output.write(separator + to_json(message.to_wire(), indent=None))
        separator = ",\n"
    output.write("\n]}\n")
