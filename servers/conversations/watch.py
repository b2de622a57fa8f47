"""Watched conversations: has one changed, whichever process did it? Versions are compared.

A store tells nobody of its changes, and other processes write to it too. So whatever is watched is
read again and again, and at once after a change of this process's own. Nothing is read while
nobody watches.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import anyio

from servers.conversations.resources import RECENT_CONVERSATIONS
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import ConversationError, InvalidError
from servers.faults import report_fault

POLL_SECONDS = 0.75
"""From the end of one look at everything to the next."""
MAX_WATCHED_BY_ONE = 100
MAX_WATCHED = 1_000
"""By all together, so that a look at everything stays a matter of a fifth of a second."""

_Key = tuple[str, str | None]
_State = int | frozenset[tuple[str, str | None]]
"""A version, or the ids and titles in a list."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A conversation of an owner by the URI under which it is watched, or the list of them."""

    owner: str
    conversation_id: str | None = None
    uri: str = ""

    @property
    def key(self) -> _Key:
        """What has to be read; None: the list, which changes with who is in it and their titles."""
        return self.owner, self.conversation_id


class Watcher:
    """What one client wants to hear of, and what it has yet to hear.

    `is_allowed` is asked again and again: who may not read any more hears nothing more.
    """

    def __init__(self, is_allowed: Callable[[], bool]) -> None:
        self.is_allowed = is_allowed
        self.is_closed = False
        self._seen: dict[Watched, _State] = {}
        self._changed: dict[Watched, None] = {}
        self._woken = anyio.Event()

    @property
    def watched(self) -> Collection[Watched]:
        """All it wants to hear of."""
        return self._seen.keys()

    async def next_change(self) -> Watched | None:
        """What changed since it was last told, however often it did; None when it is closed."""
        while not self._changed and not self.is_closed:
            self._woken = anyio.Event()
            await self._woken.wait()
        if self.is_closed:
            return None
        watched = next(iter(self._changed))
        del self._changed[watched]
        return watched

    def close(self) -> None:
        """Hear of nothing more."""
        self.is_closed = True
        self._woken.set()

    def begin(self, states: dict[Watched, _State]) -> None:
        """Want to hear of more, whose states are these now."""
        self._seen.update(states)

    def stop(self, watched: Watched) -> None:
        """Not want to hear of something any more."""
        self._seen.pop(watched, None)
        self._changed.pop(watched, None)

    def compare(self, watched: Watched, state: _State) -> None:
        """Take note of a state."""
        if watched in self._seen and self._seen[watched] != state:
            self._seen[watched] = state
            self._changed[watched] = None
            self._woken.set()


class Watch:
    """All watchers of a server while it runs; `look_…` is for tasks of whoever runs it."""

    def __init__(self, store: ConversationStore, poll_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._watchers: set[Watcher] = set()
        self._touched: set[_Key] = set()
        self._joined = anyio.Event()
        self._hinted = anyio.Event()
        # What is read is compared before anything else is read: no state can be older than the
        # one it is compared with.
        self._lock = anyio.Lock()

    async def add(self, watcher: Watcher, watched: Collection[Watched]) -> None:
        """Let `watcher` hear of changes from now on; the same again changes nothing.

        Raises:
            InvalidError: It would be more than one may watch.
            ConversationError: The store fails, or it would be more than all may watch.
        """
        async with self._lock:
            new = [each for each in watched if each not in watcher.watched]
            if len(watcher.watched) + len(new) > MAX_WATCHED_BY_ONE:
                raise InvalidError(
                    f"one client can watch {MAX_WATCHED_BY_ONE} conversations: give up others first"
                )
            if sum(len(each.watched) for each in self._watchers) + len(new) > MAX_WATCHED:
                raise ConversationError(
                    f"{MAX_WATCHED} conversations are watched, and this server can't watch more: "
                    "try again later",
                    retry_after_seconds=60.0,
                )
            watcher.begin({each: await self._read(each) for each in new})
            if watcher.watched and not watcher.is_closed:
                self._watchers.add(watcher)
                self._joined.set()

    def stop(self, watcher: Watcher, watched: Watched) -> None:
        """Let `watcher` not hear of something any more."""
        watcher.stop(watched)
        if not watcher.watched:
            self._watchers.discard(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Let `watcher` hear of nothing more."""
        watcher.close()
        self._watchers.discard(watcher)

    def touch(self, owner: str, conversation_ids: Iterable[str]) -> None:
        """Look at these at once: this process may have changed them just now."""
        if self._watchers:
            self._touched.update((owner, each) for each in conversation_ids)
            self._hinted.set()

    async def look_again_and_again(self) -> None:
        """Find what other processes change, for as long as somebody watches."""
        while True:
            if not self._watchers:
                self._joined = anyio.Event()
                await self._joined.wait()
            await anyio.sleep(self._poll_seconds)
            await self._look(None)

    async def look_where_touched(self) -> None:
        """Find what this process changes."""
        while True:
            await self._hinted.wait()
            self._hinted = anyio.Event()
            touched, self._touched = self._touched, set()
            await self._look(touched)

    async def _look(self, among: Collection[_Key] | None) -> None:
        async with self._lock:
            states: dict[_Key, _State] = {}
            for watcher in list(self._watchers):
                if not watcher.is_allowed():
                    self.remove(watcher)
                    continue
                for watched in list(watcher.watched):
                    if among is None or watched.key in among:
                        await self._compare(watcher, watched, states)

    async def _compare(
        self, watcher: Watcher, watched: Watched, states: dict[_Key, _State]
    ) -> None:
        try:
            if watched.key not in states:
                states[watched.key] = await self._read(watched)
        except ConversationError:
            pass  # who reads it is told why; it is looked at again
        except Exception as error:  # noqa: BLE001 - boundary: one that can't be read ends one watcher
            report_fault(_logger, "watching a conversation", error)
            self.remove(watcher)
        else:
            watcher.compare(watched, states[watched.key])

    async def _read(self, watched: Watched) -> _State:
        if watched.conversation_id is not None:
            return await self._store.read_version(watched.owner, watched.conversation_id)
        page = await self._store.list_conversations(watched.owner, limit=RECENT_CONVERSATIONS)
        return frozenset((each.conversation_id, each.title) for each in page.conversations)
