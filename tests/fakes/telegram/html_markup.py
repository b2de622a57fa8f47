"""`parse_mode` HTML: tags become entities, or what the real server says of them."""

import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.telegram.refusals import RefusedError, bad_request, misused

_TAGS = {
    **dict.fromkeys(("b", "strong"), "bold"),
    **dict.fromkeys(("i", "em"), "italic"),
    **dict.fromkeys(("u", "ins"), "underline"),
    **dict.fromkeys(("s", "strike", "del"), "strikethrough"),
    **dict.fromkeys(("tg-spoiler", "span"), "spoiler"),
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))|(lt|gt|amp|quot));?")
_ATTRIBUTE = re.compile(
    r"""\s*([^\s=>]+)(?:\s*=\s*("[^"]*"|'[^']*'|[A-Za-z0-9.-]+(?=[\s>])))?""", re.DOTALL
)

_TAG = re.compile(r"<([^\s>]*)")
_TAG_END = re.compile(r"\s*>")
_END_TAG = re.compile(r"</([^\s>]*)\s*>")
_LINK = re.compile(r"(https?|tg|ton)://\S")


@dataclass(slots=True)
class _Open:
    tag: str
    argument: str
    offset: int
    begins_at: int


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its tags, and what they mark.

    Raises:
        RefusedError: As the real server refuses it.
    """
    text: list[str] = []
    entities: list[dict[str, Any]] = []
    opened: list[_Open] = []
    units = position = 0
    while position < len(source):
        character = source[position]
        if character == "<":
            place = len(source[:position].encode("utf-8"))
            if source.startswith("</", position):
                position = _close(source, position, place, opened, entities, text, units)
            else:
                tag, argument, position = _read_tag(source, position, place)
                opened.append(_Open(tag, argument, units, len(text)))
            continue
        if character == "&" and (found := _REFERENCE.match(source, position)):
            character = _resolve(found)
            position = found.end()
        else:
            position += 1
        text.append(character)
        units += 2 if ord(character) > 0xFFFF else 1
    if opened:
        raise _unparsable(f"Can't find end tag corresponding to start tag {opened[-1].tag}")
    for entity in entities:
        if entity["type"] == "code":
            entity.pop("language", None)
    return "".join(text), entities


def _unparsable(description: str) -> RefusedError:
    return bad_request(f"can't parse entities: {description}")


def _resolve(found: re.Match[str]) -> str:
    hexadecimal, decimal, name = found.groups()
    if name:
        return _NAMED[name]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if not 0 < code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return found[0][0]
    return chr(code)


def _read_tag(source: str, position: int, place: int) -> tuple[str, str, int]:
    """A start tag: its name, the argument that matters, and where it ends."""
    named = _TAG.match(source, position)
    if named is None or ">" not in source[position:]:
        raise _unparsable(f"Unclosed start tag at byte offset {place}")
    tag = named[1].lower()
    if tag not in _TAGS:
        raise _unparsable(f'Unsupported start tag "{tag}" at byte offset {place}')
    attributes: dict[str, str | None] = {}
    position = named.end()
    while (found := _ATTRIBUTE.match(source, position)) is not None:
        attributes[found[1]] = found[2] and re.sub(_REFERENCE, _resolve, found[2].strip("\"'"))
        position = found.end()
        if found[2] is None and found[1] != "expandable":
            raise _unparsable(
                f'Expected equal sign in declaration of an attribute of the tag "{tag}" '
                f"at byte offset {place}"
            )
    closing = _TAG_END.match(source, position)
    if closing is None:
        raise _unparsable(f"Unclosed start tag at byte offset {place}")
    return tag, _argument(tag, attributes, place), closing.end()


def _argument(tag: str, attributes: dict[str, str | None], place: int) -> str:
    match tag:
        case "span" if attributes.get("class") != "tg-spoiler":
            raise _unparsable(f'Tag "span" must have class "tg-spoiler" at byte offset {place}')
        case "a":
            return attributes.get("href") or ""
        case "code":
            named = attributes.get("class") or ""
            return named.removeprefix("language-") if named.startswith("language-") else ""
        case "tg-emoji":
            return attributes.get("emoji-id") or ""
        case "blockquote":
            return "expandable" if "expandable" in attributes else ""
        case _:
            return ""


def _close(
    source: str,
    position: int,
    place: int,
    opened: list[_Open],
    entities: list[dict[str, Any]],
    text: list[str],
    units: int,
) -> int:
    if not opened:
        raise _unparsable(f"Unexpected end tag at byte offset {place}")
    found = _END_TAG.match(source, position)
    if found is None:
        raise _unparsable(f"Unclosed end tag at byte offset {place}")
    begun = opened.pop()
    if found[1] and found[1].lower() != begun.tag:
        raise _unparsable(
            f'Unmatched end tag at byte offset {place}, expected "</{begun.tag}>", '
            f'found "</{found[1].lower()}>"'
        )
    if units > begun.offset:
        _add(begun, units - begun.offset, "".join(text[begun.begins_at :]), entities)
    return found.end()


def _add(begun: _Open, length: int, inside: str, entities: list[dict[str, Any]]) -> None:
    kind, argument = _TAGS[begun.tag], begun.argument
    entity: dict[str, Any] = {"type": kind, "offset": begun.offset, "length": length}
    match kind:
        case "text_link":
            url = argument or inside
            if not _LINK.match(url):
                raise misused(f"a link to {url!r} would be dropped")
            entity["url"] = url
        case "custom_emoji":
            if not argument.isdecimal():
                raise _unparsable("Invalid custom emoji identifier specified")
            entity["custom_emoji_id"] = argument
        case "blockquote" if argument:
            entity["type"] = "expandable_blockquote"
        case "pre" if entities and entities[-1] == {
            "type": "code",
            "offset": begun.offset,
            "length": length,
            "language": entities[-1].get("language"),
        }:
            entity["language"] = entities.pop()["language"]
        case "code" if argument:
            entity["language"] = argument
        case _:
            pass
    entities.append(entity)
