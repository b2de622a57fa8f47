"""Text and entities as a message will hold them: cleaned, trimmed and measured as Telegram does.

Links and commands that Telegram finds by itself are not marked here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.fakes.telegram.html_markup import parse_html
from tests.fakes.telegram.markdown_v2 import parse_markdown_v2
from tests.fakes.telegram.refusals import bad_request, misused

MAX_TEXT_UNITS = 4_096
MAX_CAPTION_UNITS = 1_024
MAX_ENTITIES = 100
_MAX_BYTES = 32_768
_MAX_PLACE = 1_000_000

_SPLITTABLE = ("bold", "italic", "underline", "strikethrough", "spoiler")
_QUOTES = ("blockquote", "expandable_blockquote")
_CODE = ("pre", "code")
_FOUND_BY_SERVER = frozenset(
    {"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number"}
    | {"bank_card_number"}
)
_LINK_SCHEMES = ("http://", "https://", "tg://", "ton://", "tonsite://", "ftp://")
_REMOVED = frozenset({"\r", "\u0333", "\u033f", "\u030a"} | {chr(c) for c in range(0x2028, 0x202F)})
"""Characters that Telegram leaves out: turns of direction, line separators, some accents."""

Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Formatted:
    """What a message shows."""

    text: str
    entities: list[Entity]

    def to_message(self, text_key: str = "text", entities_key: str = "entities") -> dict[str, Any]:
        """As it stands in a message."""
        return {text_key: self.text, **({entities_key: self.entities} if self.entities else {})}


def utf16_units(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def format_text(parameters: Mapping[str, Any]) -> Formatted:
    """The text of a message.

    Raises:
        RefusedError: Empty or too long, or an entity that Telegram would refuse, drop or cut.
    """
    text = parameters["text"]
    if not text:
        raise bad_request("message text is empty")
    formatted = _format(text, parameters.get("parse_mode"), parameters.get("entities"))
    if not formatted.text:
        raise bad_request("text must be non-empty")
    if utf16_units(formatted.text) > MAX_TEXT_UNITS:
        raise bad_request("message is too long")
    return formatted


def format_caption(parameters: Mapping[str, Any]) -> Formatted:
    """The caption of a file, which may be empty."""
    formatted = _format(
        parameters.get("caption") or "",
        parameters.get("parse_mode"),
        parameters.get("caption_entities"),
    )
    if utf16_units(formatted.text) > MAX_CAPTION_UNITS:
        raise bad_request("message caption is too long")
    return formatted


def _format(text: str, parse_mode: str | None, entities: Sequence[Entity] | None) -> Formatted:
    try:
        if len(text.encode("utf-8")) > _MAX_BYTES:
            raise bad_request("text is too long")
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    if parse_mode is not None and entities:
        raise misused("both parse_mode and entities: the entities would be ignored")
    match (parse_mode or "").lower():
        case "" | "none":
            found = [_checked(entity) for entity in entities or []]
        case "html":
            text, found = parse_html(text)
        case "markdownv2":
            text, found = parse_markdown_v2(text)
        case "markdown":
            raise misused("the fake does not know the legacy parse_mode Markdown")
        case _:
            raise bad_request("unsupported parse_mode")
    kept = [entity for entity in found if entity["type"] not in _FOUND_BY_SERVER]
    return _clean(text, _arranged(kept))


def _checked(entity: Entity) -> Entity:
    """An entity as it came, its fields known to be of the right types."""
    kind, offset, length = entity["type"], entity["offset"], entity["length"]
    needed = {"text_link": "url", "text_mention": "user", "custom_emoji": "custom_emoji_id"}
    known = {*_SPLITTABLE, *_QUOTES, *_CODE, *_FOUND_BY_SERVER, *needed, "date_time"}
    if kind not in known:
        raise bad_request(f"can't parse MessageEntity: unsupported type {kind!r} specified")
    if not 0 <= offset <= _MAX_PLACE:
        raise bad_request(f"receive an entity with incorrect offset {offset}")
    if not 0 <= length <= _MAX_PLACE:
        raise bad_request(f"receive an entity with incorrect length {length}")
    if length == 0:
        raise misused(f"{kind} of length 0 would be dropped")
    if kind in needed and needed[kind] not in entity:
        raise bad_request(f"can't parse MessageEntity: Can't find field \"{needed[kind]}\"")
    if kind == "text_link" and not _is_link(entity["url"]):
        raise misused(f"a text_link to {entity['url']!r} would be dropped")
    if kind != "pre" and "language" in entity:
        raise misused(f"a language of {kind} would be ignored")
    return dict(entity)


def _is_link(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return f"{scheme.lower()}://" in _LINK_SCHEMES and bool(rest) and not any(map(str.isspace, url))


def _end(entity: Entity) -> int:
    return entity["offset"] + entity["length"]


def _sorted(entities: Sequence[Entity]) -> list[Entity]:
    def rank(entity: Entity) -> tuple[int, int, int]:
        kinds = (*_QUOTES, "text_link", "text_mention", *_SPLITTABLE)
        place = kinds.index(entity["type"]) if entity["type"] in kinds else len(kinds)
        return entity["offset"], -entity["length"], place

    return sorted(entities, key=rank)


def _arranged(entities: Sequence[Entity]) -> list[Entity]:
    """As the server keeps them. Bold and its like are split where they cross others.

    Raises:
        MisusedError: It would drop one.
    """
    ordered = _sorted(entities)
    if _are_nested(ordered):
        return ordered
    whole = [entity for entity in ordered if entity["type"] not in _SPLITTABLE]
    for one, other in pairwise([e for e in whole if e["type"] not in _QUOTES]):
        if other["offset"] < _end(one):
            raise misused(f"{other['type']} within {one['type']} would be dropped: they overlap")
    for quote in (entity for entity in whole if entity["type"] in _QUOTES):
        for other in whole:
            if other is not quote and _cross(quote, other):
                raise misused(f"{other['type']} would be dropped: it and a blockquote overlap")
    split = [part for kind in _SPLITTABLE for part in _split(kind, ordered, whole)]
    return _sorted([*whole, *split])


def _are_nested(ordered: Sequence[Entity]) -> bool:
    """Whether the server would take them as they are."""
    around: list[Entity] = []
    for entity in ordered:
        while around and _end(around[-1]) <= entity["offset"]:
            around.pop()
        kind, outer = entity["type"], {other["type"] for other in around}
        if around and (
            _end(entity) > _end(around[-1])
            or around[-1]["type"] in _CODE
            or (kind in _CODE and around[-1]["type"] not in _QUOTES)
            or (kind not in _SPLITTABLE and around[-1]["type"] not in (*_SPLITTABLE, *_QUOTES))
            or kind in outer
            or (kind in _QUOTES and outer & {*_QUOTES})
        ):
            return False
        around.append(entity)
    return True


def _cross(quote: Entity, other: Entity) -> bool:
    apart = _end(other) <= quote["offset"] or _end(quote) <= other["offset"]
    inside = quote["offset"] <= other["offset"] and _end(other) <= _end(quote)
    return not apart and (other["type"] in _QUOTES or not inside)


def _split(kind: str, entities: Sequence[Entity], whole: Sequence[Entity]) -> list[Entity]:
    """One of the splittable kinds, cut at the borders of the others and taken out of code."""
    places = {
        unit
        for entity in entities
        if entity["type"] == kind
        for unit in range(entity["offset"], _end(entity))
    }
    for entity in whole:
        if entity["type"] in _CODE:
            places -= {*range(entity["offset"], _end(entity))}
    borders = {entity["offset"] for entity in whole} | {_end(entity) for entity in whole}
    parts: list[Entity] = []
    for unit in sorted(places):
        if parts and _end(parts[-1]) == unit and unit not in borders:
            parts[-1]["length"] += 1
        else:
            parts.append({"type": kind, "offset": unit, "length": 1})
    return parts


def _clean(text: str, entities: Sequence[Entity]) -> Formatted:
    """Without what Telegram leaves out, and without space around; entities move along."""
    places, kept = _map_units(text)
    moved: list[Entity] = []
    for entity in entities:
        offset, end = _borders(entity, places, text)
        while offset < end and kept[offset] in " \n":
            offset += 1
        if not any(unit not in " \n" for unit in kept[offset:end]):
            raise misused(f"{entity['type']} on nothing but space would be dropped")
        moved.append({**entity, "offset": offset, "length": end - offset})
    begin, end = 0, len(kept)
    while begin < end and kept[begin] in " \n":
        begin += 1
    while end > begin and kept[end - 1] in " \n":
        end -= 1
    for entity in moved:
        entity["length"] = min(_end(entity), end) - entity["offset"]
        entity["offset"] -= begin
    if len(moved) > MAX_ENTITIES:
        raise misused(f"{len(moved)} entities: those over {MAX_ENTITIES} would be dropped")
    shown = "".join(kept[begin:end])
    visible = any(c.isprintable() and not c.isspace() and c not in "\u2800\u3164" for c in shown)
    return Formatted(shown, _sorted(moved)) if visible else Formatted("", [])


def _map_units(text: str) -> tuple[dict[int, int], list[str]]:
    """Where each character's UTF-16 place goes, and what stands at each; "" in a pair's second."""
    places = {0: 0}
    kept: list[str] = []
    unit = 0
    for character in text:
        units = 2 if ord(character) > 0xFFFF else 1
        unit += units
        if character not in _REMOVED:
            shown = " " if character < " " and character != "\n" else character
            kept += [shown, *[""] * (units - 1)]
        places[unit] = len(kept)
    return places, kept


def _borders(entity: Entity, places: Mapping[int, int], text: str) -> tuple[int, int]:
    offset, end, last = entity["offset"], _end(entity), utf16_units(text)
    if offset > last:
        raise bad_request(f"entity begins after the end of the text at UTF-16 offset {offset}")
    if end > last:
        raise bad_request(
            f"entity beginning at UTF-16 offset {offset} ends after the end of the text at UTF-16 "
            f"offset {end}"
        )
    if offset not in places:
        raise bad_request(f"entity begins in a middle of a UTF-16 symbol at UTF-16 offset {offset}")
    if end not in places:
        raise bad_request(
            f"entity beginning at UTF-16 offset {offset} ends in a middle of a UTF-16 symbol"
        )
    return places[offset], places[end]
