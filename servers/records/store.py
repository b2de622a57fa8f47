"""The port for small versioned state; its docstrings are what each back end promises."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept under a key."""

    key: str
    value: bytes = field(repr=False)
    """May be a secret."""
    version: int
    expires_at: datetime | None = None
    """In UTC, to the microsecond."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records, in the order of their keys' bytes."""

    records: tuple[Record, ...]
    after: str | None
    """What `list` wants for the next page; None: there is none."""


class RecordStore(Protocol):
    """Records of up to 256 KiB under keys, for one purpose; any number of processes may share it.

    A key is a string of 1 to 512 bytes of UTF-8 without control characters. Keys are compared and
    ordered bytewise.

    A version is a whole number above 0. It grows with each change of a key's record and is never
    used again for that key, not even after the record was deleted or has expired. 0 stands for "is
    not there".

    A record with `expires_at` is not there from that moment on, for any verb; its bytes are removed
    some time later. The moment is judged by the clock of the process that asks.

    What a verb has answered for survives kill -9 and power loss. Reads see every change that was
    answered for, by whichever process.

    Every verb raises `InvalidRecordError` for an argument that can't be one, and
    `RecordsUnavailableError`, within some ten seconds, if the store can't work. To repeat a call
    that ended so is safe: a change is made whole or not at all.
    """

    async def get(self, key: str) -> Record | None:
        """The record under a key, None if it is not there."""
        ...

    async def put(
        self,
        key: str,
        value: bytes,
        expected_version: int,
        expires_at: datetime | None = None,
    ) -> int:
        """Put a record in the place of the one that is expected there; returns its version.

        Of several that expect the same version one succeeds. `expires_at` has an offset; it takes
        the place of the former one, as does None.

        Raises:
            RecordConflictError: Another version is there.
        """
        ...

    async def delete(self, key: str, expected_version: int | None = None) -> bool:
        """Remove a record; whether there was one. None: of whatever version.

        Raises:
            RecordConflictError: Another version is there.
        """
        ...

    async def list(
        self, prefix: str = "", limit: int = 100, after: str | None = None
    ) -> RecordPage:
        """Records whose keys begin with `prefix` and come after the key `after`.

        At most `limit` (1 to 1,000). A page ends sooner at 1 MiB, and for reasons of the store's
        own: it may be empty though there are more.
        """
        ...

    def change_mark(self) -> Hashable | None:
        """What is another one after any change by anybody; None if only reading can tell.

        Takes some microseconds and waits for nothing.
        """
        ...
