"""Whose the lines of a file are, where another conversation's may have been mixed in.

Few lines tell whose they are. Those after such a line are of the same conversation.
"""

from collections.abc import Collection, Iterator

from servers.conversations.file_directory import key_of
from servers.conversations.file_history import History, Place
from servers.conversations.file_records import (
    Facts,
    Record,
    may_tell_facts,
    parse_facts,
    parse_line,
)
from servers.conversations.file_sealed import SealedSegment, parse_suffix
from servers.conversations.file_segment import lines_forward


class Belonging:
    """Tells of one record after the other whether it is of the conversation with this key."""

    def __init__(self, key: str, told: Collection[str] = ()) -> None:
        """`told`: the keys that the lines will tell, so far as that is known."""
        self._key = key
        # Of lines before the first that tells there is no knowing, where there are several.
        self.is_own = all(each == key for each in told)
        """Of the record that was taken last, and of what can't be read after it."""

    def take(self, record: Record) -> bool:
        """Whether the next record is of that conversation."""
        facts = parse_facts(record)
        if facts is not None:
            self.is_own = key_of(facts.owner, facts.conversation_id) == self._key
        return self.is_own


def find_told(history: History, start: int, end: int) -> dict[str, Facts]:
    """By key what is told there of each conversation, the latest of it."""
    return dict(_read_told(history, start, end))


def find_foreign(history: History, key: str, start: int, end: int) -> Facts | None:
    """What is told there of another conversation first, if anything is."""
    return next((facts for told, facts in _read_told(history, start, end) if told != key), None)


def own_lines(history: History, key: str, start: int, end: int) -> Iterator[tuple[bytes, Record]]:
    """The whole lines there that are of the conversation with this key."""
    belonging = Belonging(key, find_told(history, start, end))
    for offset, line in lines_forward(history, start, end):
        record = parse_line(offset, line)
        if record is not None and belonging.take(record):
            yield line, record


def has_own_sealed(place: Place) -> bool:
    """Whether there is a sealed segment of the conversation that its name says."""
    suffixes = place.directory.suffixes_of(place.key)
    return any(_is_own(place, suffix) for suffix in suffixes if parse_suffix(suffix))


def _is_own(place: Place, suffix: str) -> bool:
    segment = SealedSegment.load(place.directory, place.key, suffix, 0, anywhere=True)
    if not segment.frames:
        return False
    # The table of those of programs of before does not tell whose they are; their lines do.
    belonging = Belonging(place.key)
    for line in (segment.read_block(0) or b"").split(b"\n"):
        record = parse_line(0, line) if may_tell_facts(line) else None
        if record is not None:
            return belonging.take(record)
    return True


def _read_told(history: History, start: int, end: int) -> Iterator[tuple[str, Facts]]:
    for offset, line in lines_forward(history, start, end):
        facts = parse_facts(parse_line(offset, line)) if may_tell_facts(line) else None
        if facts is not None:
            yield key_of(facts.owner, facts.conversation_id), facts
