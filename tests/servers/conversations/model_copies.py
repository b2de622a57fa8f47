"""Forks and merges in the model: which messages come of it."""

from collections.abc import Iterator, Sequence
from itertools import count

from servers.conversations.contract import MAX_MESSAGE_ID_CHARACTERS, Message

_ITS_OWN = "\n"
"""In the place of a turn: no id is this."""


def without_delivery(message: Message) -> Message:
    annotations = {k: v for k, v in (message.annotations or {}).items() if k != "delivery"}
    return message.model_copy(update={"annotations": annotations or None})


def merge_messages(sources: Sequence[Sequence[Message]], target: int | None) -> list[Message]:
    """What a target has in the end that is one of the sources, or new."""
    pairs = [
        (message if source == target else without_delivery(message), source)
        for source, messages in enumerate(sources)
        for message in messages
    ]
    pairs.sort(key=lambda pair: str(pair[0].created_at))
    same: dict[str, list[tuple[Message, int]]] = {}
    """By what they are called in the end: the first one gives the content."""
    called: dict[tuple[str | None, int], str] = {}

    def content(message: Message, source: int) -> str:
        turn = called.get((message.turn_id, source), message.turn_id)
        if is_head(message):
            turn = message.turn_id and _ITS_OWN
        return message.model_copy(update={"turn_id": turn}).content_key()

    for message, source in sorted(pairs, key=lambda pair: pair[1] != target):
        same.setdefault(str(message.message_id), [(message, source)])
    for heads in (True, False):
        for message, source in pairs:
            if is_head(message) is heads:
                name = next(
                    name
                    for name in names_for(str(message.message_id))
                    if name not in same or content(*same[name][0]) == content(message, source)
                )
                same.setdefault(name, []).append((message, source))
                called[message.message_id, source] = name
    merged: list[tuple[int, Message]] = []
    for name, others in same.items():
        place = min(pairs.index(pair) for pair in others)
        message, source = pairs[place]
        annotations = next((m.annotations for m, s in others if s == target), message.annotations)
        turn = name if is_head(message) else called.get((message.turn_id, source), message.turn_id)
        changes = {
            "message_id": name,
            "turn_id": message.turn_id and turn,
            "annotations": annotations,
        }
        merged.append((place, message.model_copy(update=changes)))
    return [message for _, message in sorted(merged, key=lambda pair: pair[0])]


def names_for(message_id: str) -> Iterator[str]:
    yield message_id
    for number in count(2):
        end = f"~{number}"
        yield message_id[: MAX_MESSAGE_ID_CHARACTERS - len(end)] + end


def is_head(message: Message) -> bool:
    return message.turn_id in (None, message.message_id)
