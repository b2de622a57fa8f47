"""The conversations in a file, one after the other, whoever wrote each of them."""

from collections.abc import Generator, Iterator
from typing import Any, Literal, cast

from pydantic import ValidationError

from agentic.cli.imports import chatgpt, claude, own
from agentic.cli.imports.document import Begun, Item, Unreadable, Whole, read_items
from agentic.cli.imports.failures import BrokenFileError
from agentic.cli.imports.found import Found
from agentic.cli.imports.json_values import Decoded
from agentic.cli.imports.source import Part, Source
from agentic.cli.imports.tally import Tally

Format = Literal["auto", "agentic", "chatgpt", "claude"]


def read_conversations(source: Source, wanted: Format, tally: Tally) -> Generator[Found]:
    """What can be stored; what can't is counted, and where a file breaks is reported.

    The messages of one have to be taken before the next is asked for.
    """
    try:
        for part in source.parts():
            yield from _read_part(part, wanted, tally)
    except BrokenFileError as failure:
        tally.break_off(f"{source.name}: {failure}")


def _read_part(part: Part, wanted: Format, tally: Tally) -> Iterator[Found]:
    try:
        if not part.reader.peek():
            tally.report(f"{part.name} is empty.")
        for number, item in enumerate(read_items(part.reader), start=1):
            found = _to_found(item, wanted, tally, f"number {number} in {part.name}")
            if found is not None:
                tally.conversations += 1
                yield found
    except BrokenFileError as failure:
        tally.break_off(f"{part.name}: {failure}")


def _to_found(item: Item, wanted: Format, tally: Tally, place: str) -> Found | None:
    if isinstance(item, Unreadable):
        tally.lose(f"a conversation that is {item.reason}", place)
        return None
    written = _recognise(item.fields)
    if written is None:
        tally.lose("something that is no conversation of a known format", place)
        return None
    if wanted not in ("auto", written):
        tally.skip(f"conversations of the format {written}", place)
        return None
    if isinstance(item, Whole):
        tally.cleaned += item.cleaned
    try:
        return _convert(item, written, tally, place)
    except ValidationError:
        tally.lose(f"a conversation of an unknown shape of the format {written}", place)
        return None


def _recognise(fields: dict[str, Any]) -> Literal["agentic", "chatgpt", "claude"] | None:
    if isinstance(fields.get("format"), str):
        return own.NAME
    if "mapping" in fields:
        return chatgpt.NAME
    return claude.NAME if "chat_messages" in fields else None


def _convert(item: Whole | Begun, written: str, tally: Tally, place: str) -> Found | None:
    if written != own.NAME:
        convert = chatgpt.to_found if written == chatgpt.NAME else claude.to_found
        return _with_messages(convert(item.fields, tally), tally)
    refusal = own.check_format(item.fields)
    if refusal:
        tally.lose(f"a conversation {refusal}", place)
        return None
    messages = item.messages if isinstance(item, Begun) else _held_messages(item)
    return own.to_found(item.fields, messages, tally)


def _held_messages(item: Whole) -> Iterator[Decoded]:
    messages = item.fields.get("messages")
    if isinstance(messages, list):
        yield from map(Decoded, cast("list[Any]", messages))


def _with_messages(found: Found, tally: Tally) -> Found | None:
    if found.messages:
        return found
    tally.skip("conversations without messages", found.title)
    return None
