"""A store that goes away at a chosen call of a turn, and the spool of one machine."""

from pathlib import Path

import anyio

from client.coordinator.coordinator import Coordinator
from client.hub.errors import HubError
from client.llm.protocol import LanguageModel
from client.spool.folder import MAX_BYTES, SpoolFolder
from client.spool.spool import Spool
from tests.assistant import WatchedHub


class Outage:
    """Every call to the store fails from the `after`-th on, until `end`.

    `is_mute`: the calls take effect, but no answer comes.
    """

    def __init__(self, hub: WatchedHub, after: int, *, is_mute: bool = False) -> None:
        self._hub = hub
        self._left = after
        self.begun = anyio.Event()
        if is_mute:
            hub.after = self._fail
        else:
            hub.before = self._fail

    def end(self) -> None:
        self._hub.before = self._hub.after = lambda server, tool: None

    def _fail(self, server: str, tool: str) -> None:
        if server != "conversations":
            return
        self._left -= 1
        if self._left < 0:
            self.begun.set()
            raise HubError(server, "away, says the test", outcome_unknown=True)


class Machine:
    """What outlives a process of the client: the spool; and what it told."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = SpoolFolder(directory, max_bytes)
        self.told: list[str] = []

    def create_spool(self, hub: WatchedHub) -> Spool:
        return Spool(hub, self.folder, self.told.append, retry_seconds=0)

    def create_coordinator(self, hub: WatchedHub, model: LanguageModel) -> Coordinator:
        """As a process that starts has one."""
        return Coordinator(hub, model, spool=self.create_spool(hub))

    @property
    def waiting(self) -> int:
        return self.folder.survey().waiting
