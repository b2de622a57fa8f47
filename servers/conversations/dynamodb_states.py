"""What a process knows of conversations in DynamoDB: little, and checked by each write or read."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from servers.aws.dynamodb import Attributes
from servers.conversations.contract import REPEAT_WINDOW_MESSAGES
from servers.conversations.dynamodb_idle import is_left_alone, written_at
from servers.conversations.dynamodb_items import Header, history_key, log_key
from servers.conversations.file_records import Facts, to_message

_MOST_PAGE_ITEMS = 100


class Place(NamedTuple):
    """A message, and the item that holds it."""

    is_log: bool
    """Or of the `G#` items that the history begins with."""
    item: int
    """Its ordinal or number."""
    number: int
    """Of the message in the history."""

    def key(self, token: str) -> str:
        """Sort key of the item."""
        return log_key(self.item) if self.is_log else history_key(token, self.item)


class Known(NamedTuple):
    """A message that was stored, as far as it matters to who stores it again."""

    place: Place
    digest: bytes
    """Of its content."""


@dataclass(slots=True)
class State:
    """A conversation up to an item of its log."""

    pk: str
    ordinal: int = 0
    """Of its last item; 0: it has none."""
    header: Header | None = None
    facts: Facts | None = None
    """Loaded when they are needed."""
    recent: OrderedDict[str, Known] | None = None
    """The latest messages by id; loaded when something is to be written."""
    listed_at: float = 0.0
    """When its entry in listings was last written by this process."""
    read_at: float = 0.0
    latest: Sequence[Attributes] = ()
    """Items that were read with it, the newest first: not kept."""
    idle_days: float | None = None
    """After how many days that nothing was written it expires; None: never."""

    @property
    def life(self) -> int:
        """Which life of the conversation it is, of one that was begun."""
        assert self.header is not None
        return self.header.life

    def is_alive(self, now: str) -> bool:
        """Whether there is such a conversation for a caller at this moment."""
        header = self.header
        if header is None or header.kind == "tombstone":
            return False
        if header.expires_at is not None and header.expires_at <= now:
            return False
        written = written_at(self.ordinal, header.updated, header.written)
        return not is_left_alone(written, now, self.idle_days)

    def items_for(self, messages: int) -> int:
        """About how many items hold so many messages."""
        header = self.header
        if header is None or not header.count:
            return 1
        items = self.ordinal - header.generation + 1 + header.whole
        return min(max(-(-messages * items // header.count) + 1, 2), _MOST_PAGE_ITEMS)

    def size(self) -> int:
        """Roughly: how many messages it knows."""
        return 1 + len(self.recent or ())


@dataclass(slots=True)
class StateCache:
    """States of the conversations used last, in bounded memory."""

    most: int = 200_000
    _states: OrderedDict[str, State] = field(default_factory=OrderedDict[str, State])
    _size: int = 0

    def take(self, pk: str) -> State | None:
        """Take one out, so that a verb that fails leaves none behind."""
        state = self._states.pop(pk, None)
        self._size -= state.size() if state else 0
        return state

    def put(self, state: State) -> None:
        """Put one in as that used last."""
        self.take(state.pk)
        self._states[state.pk] = state
        self._size += state.size()
        while self._size > self.most and len(self._states) > 1:
            _, dropped = self._states.popitem(last=False)
            self._size -= dropped.size()


def digest_of(body: Mapping[str, Any]) -> bytes:
    """Equal for two stored messages exactly when the contract calls their content the same."""
    content = to_message(body).content_key()
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def remember(recent: OrderedDict[str, Known], place: Place, body: Mapping[str, Any]) -> None:
    """Note a message as the latest."""
    message_id = body["message_id"]
    recent.pop(message_id, None)
    recent[message_id] = Known(place, digest_of(body))
    if len(recent) > REPEAT_WINDOW_MESSAGES:
        recent.popitem(last=False)
