"""Looking up names in threads, one lookup of a name at a time.

A name whose servers don't answer holds one thread, however many calls wait for it, and so delays no
other name. Nothing is kept: who asks later gets a new answer.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

LookUp = Callable[[str], Sequence[str]]
"""A name → its addresses, best first. Blocks; raises OSError or UnicodeError if there are none."""
_MAX_THREADS = 64


def look_up_by_system(host: str) -> Sequence[str]:
    """As the system has it: its hosts file, its name servers, its order of addresses."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(slots=True)
class _Lookup:
    addresses: Sequence[str] = ()
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class NameLookup:
    """Lookups in tasks of `tasks`, so that one goes on when the call that began it is given up."""

    def __init__(self, look_up: LookUp, tasks: TaskGroup) -> None:
        self._look_up = look_up
        self._tasks = tasks
        self._threads = anyio.CapacityLimiter(_MAX_THREADS)
        self._under_way: dict[str, _Lookup] = {}

    async def find_addresses(self, host: str) -> Sequence[str]:
        """The addresses of a name.

        Raises:
            OSError | UnicodeError: It has none.
        """
        lookup = self._under_way.get(host)
        if lookup is None:
            lookup = self._under_way[host] = _Lookup()
            self._tasks.start_soon(self._run, host, lookup)
        await lookup.done.wait()
        if lookup.error is not None:
            raise lookup.error
        return lookup.addresses

    async def _run(self, host: str, lookup: _Lookup) -> None:
        try:
            lookup.addresses = await anyio.to_thread.run_sync(
                self._look_up, host, limiter=self._threads, abandon_on_cancel=True
            )
        except Exception as error:  # noqa: BLE001 - boundary: told to whoever waits for it
            lookup.error = error
        finally:
            del self._under_way[host]
            lookup.done.set()
