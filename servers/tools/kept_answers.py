"""Answers too large for a message, or of bytes: kept in memory for a while, for their owner."""

import mimetypes
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from servers.tools.contract import RESULT_SCHEME

KEPT_SECONDS = 3_600.0
MAX_OWNER_BYTES = 16_777_216
"""Of one owner; the largest answer there may be."""
MAX_BYTES = 67_108_864
"""Of all."""
_OVERHEAD_BYTES = 1_024
TEXT_TYPE, JSON_TYPE = "text/plain", "application/json"
"""Of what was text, which is kept in UTF-8."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that can be read until its time is over, or others need the room."""

    uri: str
    name: str
    mime_type: str
    data: bytes = field(repr=False)
    ends_at: float

    @property
    def is_text(self) -> bool:
        """Whether it is in UTF-8."""
        return self.mime_type in (TEXT_TYPE, JSON_TYPE)

    @property
    def cost(self) -> int:
        """What it takes of the room."""
        return len(self.data) + _OVERHEAD_BYTES


class KeptAnswers:
    """Of all owners. Whoever has most makes room first, with its oldest. `now` is in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._by_owner: dict[str, OrderedDict[str, KeptAnswer]] = {}
        self._costs: dict[str, int] = {}

    def keep(self, owner: str, tool: str, mime_type: str, data: bytes) -> KeptAnswer:
        """Keep an answer of at most `MAX_OWNER_BYTES`. Nobody can guess its URI."""
        self._forget_old()
        uri = f"{RESULT_SCHEME}{secrets.token_urlsafe(24)}"
        name = f"{tool}{mimetypes.guess_extension(mime_type) or '.bin'}"
        ends_at = self._now() + KEPT_SECONDS
        answer = KeptAnswer(uri, name, mime_type, data, ends_at)
        self._by_owner.setdefault(owner, OrderedDict())[uri] = answer
        self._costs[owner] = self._costs.get(owner, 0) + answer.cost
        while self._costs[owner] > MAX_OWNER_BYTES + _OVERHEAD_BYTES:  # the last one always fits
            self._forget_oldest(owner)
        while sum(self._costs.values()) > MAX_BYTES:
            self._forget_oldest(max(self._costs, key=lambda each: self._costs[each]))
        return answer

    def find(self, owner: str, uri: str) -> KeptAnswer | None:
        """The owner's answer; None: there is none, not any more, or it is another's."""
        self._forget_old()
        answers = self._by_owner.get(owner)
        return None if answers is None else answers.get(uri)

    def _forget_old(self) -> None:
        now = self._now()
        for owner in list(self._by_owner):
            while owner in self._by_owner:
                oldest = next(iter(self._by_owner[owner].values()))
                if oldest.ends_at > now:
                    break
                self._forget_oldest(owner)

    def _forget_oldest(self, owner: str) -> None:
        _, answer = self._by_owner[owner].popitem(last=False)
        self._costs[owner] -= answer.cost
        if not self._by_owner[owner]:
            del self._by_owner[owner], self._costs[owner]
