"""A storm: people write to the bot while connections break and updates come twice or in disorder.

All of it is drawn from a seed. What was written carries labels, which the model says again; so what
the chats show and what is stored can be compared with what was written, whatever happened between.
"""

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot import wording
from servers.conversations.contract import Message
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import (
    CONFLICT,
    SERVER_ERROR,
    DropAfter,
    DropBefore,
    Fault,
    Garbage,
    Hang,
    Reversed,
    Twice,
    too_many_requests,
)
from tests.fakes.telegram.updates import Update

MARK = "(Possibly a repeat) "
LONG, SLOW = "at length", "slowly"
"""Words that ask the model for a reply of several messages, and for one that grows in its message.
"""
_PASTED = " and so on" * 250
"""Makes a text so long that more of it may come."""
_PHOTO = b"\xff\xd8\xff"
_FIRST_CHAT = 1_001
_LABEL = re.compile(r"\[\d+\.\d+/\d+\]")
_WRITTEN = re.compile(rf"\[(\d+\.\d+)\] Tell me something ?({LONG}|{SLOW})?")
_BEGIN = "What begins is not yet what it will be when it ends, and what is seen of it "
_END = "is not all."
_AHEAD = 3
"""Messages for each chat that wait for an answer, at most, before people write more."""
_UNCERTAIN_IN_A_ROW = 2
"""A third would be left to the next start of the bot, and would come out of order."""
_SENDING = ("sendMessage", "editMessageText")
_NOTICES = frozenset(value for value in vars(wording).values() if isinstance(value, str))


@dataclass(frozen=True, slots=True)
class Storm:
    """How much of it. Of 1,000 calls of the Bot API so many meet a fault."""

    seed: int
    chats: int
    messages: int
    faults: int = 120
    hangs: int = 4
    """Requests that are held until the bot gives them up."""
    pauses: tuple[int, ...] = (0, 1)
    """What Telegram asks for in seconds."""


@dataclass(slots=True)
class _Chat:
    written: list[str] = field(default_factory=list[str])
    """Labels, without a part."""
    expected: dict[str, str] = field(default_factory=dict[str, str])
    """The texts that are to be seen, by label, in order."""
    albums: int = 0
    """How many were sent: one at most, since all are told the same."""
    uncertain: int = 0
    """Faults in a row after which nobody knows if something arrived."""


class People:
    """Writes what the storm says, and knows what has to come of it."""

    def __init__(self, storm: Storm, api: FakeBotApi) -> None:
        self.storm = storm
        self._api = api
        self._chance = random.Random(storm.seed)
        self._luck = random.Random(storm.seed + 1)
        """Of connections: calls come in no certain order, and must not move what people write."""
        self._hangs = storm.hangs
        self._chats = {_FIRST_CHAT + number: _Chat() for number in range(storm.chats)}
        self._updates: list[Update] = []
        self._answered = dict.fromkeys(self._chats, 0)
        self._calls_counted = 0
        self.is_calm = False
        """Whether no more faults come."""
        self.faults: Counter[type[Fault]] = Counter()
        """Those that calls have met."""
        self._next_kinds: list[int] = []

    @property
    def people(self) -> Mapping[str, str]:
        """For `bot.people`."""
        return {str(chat_id): owner_of(chat_id) for chat_id in self._chats}

    @property
    def albums(self) -> int:
        """How many were sent."""
        return sum(chat.albums for chat in self._chats.values())

    def answered(self) -> int:
        """How many of the expected texts stand in the chats."""
        calls = self._api.calls[self._calls_counted :]
        self._calls_counted += len(calls)
        for chat_id in {call.parameters.get("chat_id", 0) for call in calls} & self._chats.keys():
            self._answered[chat_id] = len(self._seen(chat_id)) + self._has_told_of_album(chat_id)
        return sum(self._answered.values())

    async def write(self) -> None:
        """Write all, as long as answers come; then wait until all of them have."""
        order = [*self._chats] * -(-self.storm.messages // len(self._chats))
        self._chance.shuffle(order)
        left = self.storm.messages
        for chat_id in itertools.cycle(order):
            await self._api.until(lambda: self._waiting() < _AHEAD * len(self._chats) or None)
            what = self._chance.choices(("one", "some", "pasted", "album"), (86, 8, 3, 3))[0]
            if what == "album" and not self._chats[chat_id].albums:
                self._send_album(chat_id)
            elif what == "pasted":
                self._write(chat_id, _PASTED)
                left -= 1
            for _ in range(min(left, self._chance.randrange(2, 5) if what == "some" else 1)):
                self._write(chat_id)
                left -= 1
            if left <= 0:
                break
        await self._api.until(lambda: self._waiting() == 0 or None)

    def _send_album(self, chat_id: int) -> None:
        self._chats[chat_id].albums = 1
        for _ in range(3):
            self._add(self._api.person(chat_id).sends_file("photo", _PHOTO, media_group_id="album"))

    def _write(self, chat_id: int, rest: str = "") -> None:
        chat = self._chats[chat_id]
        label = f"{chat_id}.{len(chat.written)}"
        chat.written.append(label)
        kind = self._chance.choices(("", LONG, SLOW), (88, 4, 8))[0]
        text = f"[{label}] Tell me something {kind}".strip()
        chat.expected |= {part[: part.index("]") + 1]: part for part in parts_of(text)}
        self._add(self._api.user_says(chat_id, f"{text}{rest}"))

    def _add(self, update: Update) -> None:
        """It happened, and may come again."""
        self._updates.append(update)
        if self._chance.random() < 0.05:
            again = self._chance.choice(self._updates)
            if self._chance.random() < 0.5:
                self._api.repeat(again)
            else:
                self._api.happens({"message": again["message"]})  # under another id

    def _waiting(self) -> int:
        chats = self._chats.values()
        return sum(len(chat.expected) + chat.albums for chat in chats) - self.answered()

    def _seen(self, chat_id: int) -> set[str]:
        expected = self._chats[chat_id].expected
        return {
            label
            for message in self._api.messages(chat_id)
            for label in _LABEL.findall(message.get("text", ""))
            if expected.get(label, "\0") in message["text"]
        }

    def _has_told_of_album(self, chat_id: int) -> bool:
        messages = self._api.messages(chat_id)
        return any(message["text"].removeprefix(MARK) == wording.ALBUM for message in messages)

    def choose_fault(self, method: str, parameters: Mapping[str, Any]) -> Fault | None:
        """What a call meets; for `FakeBotApi.choose_fault`."""
        chat = self._chats.get(parameters.get("chat_id", 0))
        fault = None
        if not self.is_calm and self._luck.randrange(1_000) < self.storm.faults:
            fault = self._draw(method)
        if chat is not None and method in _SENDING:
            is_uncertain = isinstance(fault, DropBefore | DropAfter | Garbage | Hang)
            is_uncertain |= fault is SERVER_ERROR
            if is_uncertain and chat.uncertain == _UNCERTAIN_IN_A_ROW:
                fault, is_uncertain = None, False
            chat.uncertain = chat.uncertain + 1 if is_uncertain else 0
        if fault is not None:
            self.faults[type(fault)] += 1
        return fault

    def _draw(self, method: str) -> Fault:
        pause = too_many_requests(self._luck.choice(self.storm.pauses))
        faults: list[Fault] = [DropBefore(), DropAfter(), SERVER_ERROR, Garbage(), pause]
        if method == "getUpdates" and self._luck.random() < 0.4:
            return self._luck.choice([Twice(), Reversed(), Reversed(), CONFLICT])
        if self._hangs and method in _SENDING and self._luck.random() < 0.1:
            self._hangs -= 1
            return Hang()
        if not self._next_kinds:  # of so many each kind once, so that none is missing by luck
            self._next_kinds = self._luck.sample(range(len(faults)), len(faults))
        return faults[self._next_kinds.pop()]

    def check_chats(self) -> None:
        """Each message was answered once and in order; what came twice says so."""
        for chat_id, chat in self._chats.items():
            texts = [message["text"] for message in self._api.messages(chat_id)]
            labels = [label for text in texts for label in _LABEL.findall(text)]
            assert [*dict.fromkeys(labels)] == [*chat.expected], f"order in chat {chat_id}: {texts}"
            unmarked = Counter(
                label
                for text in texts
                if not text.startswith(MARK)
                for label in _LABEL.findall(text)
            )
            doubled = [label for label, count in unmarked.items() if count > 1]
            assert not doubled, f"doubled in chat {chat_id}: {texts}"
            assert self._seen(chat_id) == chat.expected.keys(), f"chat {chat_id}: {texts}"
            assert texts.count(wording.ALBUM) <= chat.albums == self._has_told_of_album(chat_id)
            others = [text.removeprefix(MARK) for text in texts if not _LABEL.search(text)]
            strange = [text for text in others if text not in _NOTICES]
            assert not strange, f"said in chat {chat_id}: {strange}"

    def check_stored(self, chat_id: int, messages: Iterable[Message]) -> None:
        """A conversation holds what was said in its chat, once and in order."""
        chat = self._chats[chat_id]
        said: defaultdict[str, list[str]] = defaultdict(list)
        for message in messages:
            said[message.role] += (
                [label for label, _ in _WRITTEN.findall(message.text())]
                if message.role == "user"
                else _LABEL.findall(message.text())
            )
        assert said["user"] == chat.written, f"stored of {chat_id}"
        assert said["assistant"] == [*chat.expected], f"stored of {chat_id}"


def owner_of(chat_id: int) -> str:
    """Whose chat it is."""
    return f"person-{chat_id}"


def parts_of(text: str) -> list[str]:
    """The messages that a reply to this text, which may hold several messages, is to come in."""
    parts: list[str] = []
    for label, kind in _WRITTEN.findall(text):
        if kind == LONG:
            parts += [f"[{label}/{number}] {'abc ' * 900}end" for number in range(3)]
        elif kind == SLOW:
            parts.append(f"[{label}/0] {_BEGIN}{_END}")
        else:
            parts.append(f"[{label}/0] Something.")
    return parts


def split_slowly(reply: str) -> tuple[str, str]:
    """What a model says of a reply before it pauses, and after: nothing of one that is not slow."""
    begin, _, rest = reply.partition(_END)
    return (begin, _END + rest) if _END in reply else (reply, "")
