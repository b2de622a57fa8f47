"""What could not be stored waits here, and is stored in order when the server is back."""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import anyio
from anyio.to_thread import run_sync

from client.conversations import ConversationCallError, ToolCaller
from client.hub.errors import HubError
from client.spool.aside import SetAside, find_untold, mark_told
from client.spool.folder import Entry, SpoolError, SpoolFolder, Survey, key_of
from client.spool.sending import Tell, send_waiting
from client.store_absence import PATIENCE_SECONDS, STORE_SECONDS, is_passing, try_for
from servers.conversations.contract import Message, to_timestamp
from servers.conversations.contract_results import ErrorDetail

_WAITING_SECONDS = 1.0
"""For a store that was away just now, the next thing of the same conversation waits less long."""
_LOCK_PAUSE_SECONDS = 0.05
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Spool:
    """Keeps what is told for the store, and brings it there. For any number of processes.

    Everything in it may be sent again: messages have ids, and annotations are merged. `tell` is
    given a sentence when what waited was stored, or can't be. A store that fails is tried again for
    `retry_seconds`, before something has to wait here.
    """

    def __init__(
        self,
        hub: ToolCaller,
        folder: SpoolFolder,
        tell: Tell = logger.warning,
        *,
        retry_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._hub = hub
        self._retry_seconds = retry_seconds
        self._folder = folder
        self._tell = tell
        self._added = anyio.Event()
        self._sent = anyio.Event()
        self._not_ours: set[str] = set()
        """Conversations whose owner this process may not act for: a bot's, at the desk."""
        self._unusable: set[str] = set()
        self._taken: set[tuple[str, str]] = set()
        """Turns that another program has answered, by conversation."""

    async def store(self, entry: Entry, operation: Callable[[], Awaitable[object]]) -> bool:
        """Have `operation` store what `entry` holds, after all that waits before it.

        While the store is away it is tried again, for a moment; then the entry waits, and the
        answer is False.

        Raises:
            HubError, ConversationCallError: It was refused, or could not even wait.
        """

        async def attempt() -> None:
            await self._replay(entry.key)
            is_of_reply = entry.message_id != entry.turn_id
            if is_of_reply and (entry.key, entry.turn_id) in self._taken:
                raise ConversationCallError(
                    ErrorDetail(code="conflict", message="another program answered this message")
                )
            await operation()

        try:
            is_waiting = await run_sync(self._folder.has, entry.key)
            limit = _WAITING_SECONDS if is_waiting else PATIENCE_SECONDS
            await try_for(limit, attempt, retry_seconds=self._retry_seconds)
        except (HubError, ConversationCallError) as away:
            if not is_passing(away):
                raise
            await self._keep(entry, away)
            return False
        return True

    async def replay(self, owner: str | None, conversation_id: str) -> None:
        """Store what waits for a conversation.

        Raises:
            HubError, ConversationCallError: The store is still away.
        """
        await self._replay(key_of(owner, conversation_id))

    async def replay_all(self) -> None:
        """Store all that waits.

        Raises:
            HubError, ConversationCallError: The store is still away.
        """
        failure: ConversationCallError | None = None
        for key in await run_sync(self._folder.keys):
            if key in self._not_ours:
                continue
            try:
                await self._replay(key)
            except ConversationCallError as error:
                if error.code == "forbidden":
                    self._not_ours.add(key)
                    logger.info("Left in the spool for another program: %s", error)
                else:
                    failure = error
        if failure is not None:
            raise failure

    async def run(self) -> None:
        """Store what waits as soon as that is possible, from earlier starts too; for ever."""
        delay = _FIRST_DELAY_SECONDS
        while True:
            added = self._added
            try:
                await self.replay_all()
            except (HubError, ConversationCallError) as error:
                logger.info("What waits in the spool can't be stored yet: %s", error)
                await anyio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
            else:
                delay = _FIRST_DELAY_SECONDS
                await added.wait()

    async def tell_set_aside(self, tell: Callable[[SetAside], Awaitable[None]]) -> None:
        """Have each turn told once that can't be stored, those of earlier starts too; for ever.

        It counts as told when `tell` has returned: a process that ends in it tells that again.
        """
        told: set[tuple[Path, ...]] = set()  # those that can't be marked would be found for ever
        while True:
            sent = self._sent
            for each in await run_sync(find_untold, self._folder.directory):
                if each.paths in told:
                    continue
                if not each.is_told:
                    await tell(each)
                try:
                    with anyio.CancelScope(shield=True):
                        await run_sync(mark_told, each)
                except OSError as error:
                    told.add(each.paths)
                    logger.warning("That it was told can't be kept with %s: %s", each.paths, error)
            await sent.wait()

    async def survey(self) -> Survey:
        """What there is.

        Raises:
            SpoolError: It can't be used.
        """
        return await run_sync(self._folder.survey)

    async def _keep(self, entry: Entry, away: Exception) -> None:
        dated = entry.model_copy(update={"messages": _dated(entry.messages)})
        try:
            await run_sync(self._folder.add, dated)
        except SpoolError as error:
            message = f"{away}; and it can't wait for the store either: {error}"
            raise ConversationCallError(ErrorDetail(code="unavailable", message=message)) from away
        self._added.set()
        self._added = anyio.Event()

    async def _replay(self, key: str) -> None:
        if not await run_sync(self._folder.has, key):
            return
        descriptor = await self._lock(key)
        if descriptor is None:
            return
        try:
            taken = await send_waiting(self._hub, self._folder, key, self._tell)
            self._taken.update((key, turn_id) for turn_id in taken)
        except OSError as error:
            # What waits there stays, and must not keep anybody from going on.
            if key not in self._unusable:
                self._unusable.add(key)
                self._tell(f"The spool can't be used: {error}")
        finally:
            os.close(descriptor)
            self._sent.set()
            self._sent = anyio.Event()

    async def _lock(self, key: str) -> int | None:
        """One process at a time sends. None: another one has sent it all just now."""
        with anyio.move_on_after(STORE_SECONDS):
            while True:
                lock = await self._try_lock(key)
                if lock != "taken":
                    return lock
                await anyio.sleep(_LOCK_PAUSE_SECONDS)
        message = "another program is just storing what waited for this conversation"
        raise ConversationCallError(ErrorDetail(code="unavailable", message=message))

    async def _try_lock(self, key: str) -> int | Literal["taken"] | None:
        with anyio.CancelScope(shield=True):  # or a lock that was got could not be let go of
            return await run_sync(self._folder.lock, key)


def _dated(messages: Sequence[Message]) -> list[Message]:
    """With the time at which they were made, which the store would take for that of its return."""
    now = to_timestamp(datetime.now(UTC))
    return [
        message if message.created_at else message.model_copy(update={"created_at": now})
        for message in messages
    ]
