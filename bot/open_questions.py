"""What chats are asked just now, and what people press or write in answer."""

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

ASK_DATA = "ask:"
"""Begins the data of a button that answers; the question's key and the choice follow."""
_HEARD_AHEAD = 10


@dataclass(frozen=True, slots=True)
class Heard:
    """A button was pressed (`choice`), or a text written."""

    choice: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Open:
    key: str
    choices: Collection[str]
    listens: Callable[[str], bool]
    send: MemoryObjectSendStream[Heard]


class OpenQuestions:
    """One question at a time for each chat. A chat is one person's."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    @contextmanager
    def opened(
        self, chat_id: int, key: str, choices: Collection[str], listens: Callable[[str], bool]
    ) -> Generator[MemoryObjectReceiveStream[Heard]]:
        """What a chat answers, while the context is open.

        `listens` says of a text whether it is an answer; if not, it is a message like others.
        """
        send, receive = anyio.create_memory_object_stream[Heard](_HEARD_AHEAD)
        mine = self._open[chat_id] = _Open(key, choices, listens, send)
        with send, receive:
            try:
                yield receive
            finally:
                if self._open.get(chat_id) is mine:
                    del self._open[chat_id]

    def press(self, chat_id: int, data: str) -> bool:
        """Take a pressed button as the answer; False if it is none to what is asked now."""
        key, _, choice = data.removeprefix(ASK_DATA).rpartition(":")
        asked = self._open.get(chat_id)
        if asked is None or asked.key != key or choice not in asked.choices:
            return False
        return _hear(asked, Heard(choice=choice))

    def write(self, chat_id: int, text: str) -> bool:
        """Take a text as the answer; False if nothing is asked that it answers."""
        asked = self._open.get(chat_id)
        return asked is not None and asked.listens(text) and _hear(asked, Heard(text=text))


def _hear(asked: _Open, heard: Heard) -> bool:
    try:
        asked.send.send_nowait(heard)
    except anyio.WouldBlock:
        return False
    return True
