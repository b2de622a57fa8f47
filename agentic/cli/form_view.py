"""What a server asks, on a terminal: field by field, and a page's address to be opened by hand."""

from collections.abc import Awaitable, Callable, Iterator

from agentic.cli.terminal_text import clean, one_line
from client.asking.forms import AnswerError, ChoiceField, Field, ManyField, Option, Value
from client.asking.questions import Answer, FormQuestion, PageQuestion

Show = Callable[[str], None]
Read = Callable[[str], Awaitable[str | None]]
"""A line after this prompt; None when there is no more: that holds for no."""

_MESSAGE_LINES = 20
_VALUE_WIDTH = 60


async def ask_form(question: FormQuestion, show: Show, read: Read) -> Answer:
    """Ask for each field until it fits, and at last whether the server may have it all."""
    server, form = one_line(question.server, 64), question.form
    show(f"? The server {server} asks you, for {one_line(question.tool, 64)}:")
    _show_message(form.message, show)
    if form.fields:
        show(f"  What you write goes to {server}. Write no password and no key here.")
    while True:
        values: dict[str, Value] = {}
        for field in form.fields:
            line = await _ask_field(field, show, read)
            if line is None:
                return Answer("decline")
            values |= line
        for field in form.fields:
            value = values.get(field.name, field.preset)
            if value is not None:
                show(f"  {one_line(field.title)}: {_render(field, value)}")
        again = ", e to write it anew" if form.fields else ""
        match await _ask_letter(f"Send this to {server}? [y or n{again}] ", "yne", read):
            case "y":
                return Answer("accept", values)
            case "e" if form.fields:
                continue
            case _:
                return Answer("decline")


async def ask_page(question: PageQuestion, show: Show, read: Read) -> Answer:
    """Show where a page leads, and wait until the person has gone through it."""
    server, page = one_line(question.server, 64), question.page
    show(f"? The server {server} asks you, for {one_line(question.tool, 64)}, to open a page of")
    show(
        f"    {page.host}" + ("" if page.is_encrypted else "  (not encrypted: others can read it)")
    )
    _show_message(page.message, show)
    show(f"  {page.url}")
    show(f"  It has not been opened. What you do there is between you and {page.host}.")
    letter = await _ask_letter("Have you gone through it? [y when done, n for no] ", "yn", read)
    return Answer("accept" if letter == "y" else "decline")


async def _ask_field(field: Field, show: Show, read: Read) -> dict[str, Value] | None:
    """The value by the field's name; nothing if it is left out, None if the person declines."""
    for line in _render_field(field):
        show(line)
    preset = "" if field.preset is None else f"[{_render(field, field.preset)}] "
    while (line := await read(f"  {preset}> ")) is not None:
        if not line.strip():
            if field.preset is not None or not field.required:
                return {}
            show("  This is required.")
            continue
        try:
            return {field.name: field.parse(line)}
        except AnswerError as error:
            show(f"  {one_line(str(error))}.")
    return None


async def _ask_letter(prompt: str, letters: str, read: Read) -> str:
    """One of the letters, or the word that begins with it; "n" when there is no more to read."""
    while (line := await read(prompt)) is not None:
        word = line.strip().lower()
        if word in ("yes", "no"):
            return word[0]
        if len(word) == 1 and word in letters:
            return word
    return "n"


def _render_field(field: Field) -> Iterator[str]:
    optional = "" if field.required else " (may be left out)"
    yield f"  {one_line(field.title)}: {one_line(field.hint())}{optional}"
    if field.description:
        yield f"    {one_line(field.description, 500)}"
    for number, option in enumerate(_options(field), 1):
        yield f"    {number}. {one_line(option.title)}"


def _options(field: Field) -> list[Option]:
    return list(field.options) if isinstance(field, ChoiceField | ManyField) else []


def _render(field: Field, value: Value) -> str:
    titles = {option.value: option.title for option in _options(field)}
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return one_line(", ".join(titles.get(each, each) for each in value), _VALUE_WIDTH)
        case _:
            return one_line(titles.get(str(value), str(value)), _VALUE_WIDTH)


def _show_message(message: str, show: Show) -> None:
    lines = clean(message).splitlines()
    for line in lines[:_MESSAGE_LINES]:
        show(f"  │ {one_line(line, 400)}")
    if len(lines) > _MESSAGE_LINES:
        show(f"  │ … and {len(lines) - _MESSAGE_LINES} more lines")
