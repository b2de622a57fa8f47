"""The spool's folder: a file for each thing that could not be stored, in order, each whole or not.

<key>/<number>.entry               waits; `key` is a hash of owner and conversation
aside/<key>-<number>-<token>.<why>   could not be stored, ever; `why` is one of `Reason`; behind
                                     it `.told`, when the chat it was for has been told

An entry is linked to its name when it is on disk, and unlinked when the store has it. So writers
need no lock; who sends what waits locks the conversation's folder.
"""

import fcntl
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from servers.conversations.contract import Message

MAX_BYTES = 32 * 1024 * 1024
"""Of all files together: a turn has some kilobytes."""

Reason = Literal["taken", "gone", "refused", "damaged"]
WHY: Mapping[str, str] = {
    "taken": "another program had answered the same message meanwhile, and its answer counts",
    "gone": "the conversation, or the message it answers, was deleted meanwhile",
    "refused": "the conversation server refuses it",
    "damaged": "the file was damaged, or is of a later version",
}
"""Each `Reason` in words."""

ASIDE = "aside"
_SUFFIX = ".entry"
_NEW = ".new."
_LEFT_OVER_SECONDS = 60.0
_ATTEMPTS = 1_000


class SpoolError(Exception):
    """Nothing can wait in the spool; the text says why."""


class Entry(BaseModel):
    """What waits: messages to be appended, or annotations for `message_id`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str | None
    """None: the operator, as the server knows it."""
    conversation_id: str
    turn_id: str
    messages: list[Message] = []
    message_id: str | None = None
    annotations: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """The name of the conversation's folder."""
        return key_of(self.owner, self.conversation_id)


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in the spool."""

    waiting: int = 0
    conversations: int = 0
    since: float | None = None
    """Seconds since 1970 at which the oldest of them was written."""
    aside: tuple[Path, ...] = ()
    size_bytes: int = 0

    @property
    def since_minute(self) -> str | None:
        """The same as text, in UTC."""
        if self.since is None:
            return None
        return datetime.fromtimestamp(self.since, UTC).isoformat(timespec="minutes")


def key_of(owner: str | None, conversation_id: str) -> str:
    """The name of a conversation's folder."""
    return hashlib.sha256(f"{owner or ''}\0{conversation_id}".encode()).hexdigest()[:40]


class SpoolFolder:
    """The files. Nothing is made before something has to wait."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self.directory = directory
        self._max_bytes = max_bytes

    def add(self, entry: Entry) -> None:
        """Keep it; it is on disk when this returns.

        Raises:
            SpoolError: The spool is full, or can't be written.
        """
        text = entry.model_dump_json(exclude_defaults=True).encode()
        data = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
        if self.survey().size_bytes + len(data) > self._max_bytes:
            raise SpoolError(f"{self.directory} is full ({self._max_bytes >> 20} MiB)")
        try:
            if not self.directory.is_dir():
                self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.directory.mkdir(mode=0o700, exist_ok=True)
                _sync(self.directory.parent)
            with self._written(data) as unnamed:
                self._name(unnamed, self.directory / entry.key)
        except OSError as error:
            raise SpoolError(f"{self.directory} can't be written: {error.strerror}") from None

    def keys(self) -> list[str]:
        """The conversations for which something waits, those that wait longest first."""
        found = [path for path in _list(self.directory) if path.name != ASIDE and _entries(path)]
        return [path.name for path in sorted(found, key=_waits_since)]

    def has(self, key: str) -> bool:
        """Whether something waits for this conversation."""
        return bool(_entries(self.directory / key))

    def read(self, key: str) -> Iterator[tuple[Path, Entry | None]]:
        """What waits for a conversation, in order; None is what can't be read."""
        for path in _entries(self.directory / key):
            entry = parse_entry(path)
            yield path, entry if entry and entry.key == key else None

    def remove(self, path: Path) -> None:
        """The store has it."""
        path.unlink(missing_ok=True)
        with suppress(OSError):  # others wait there
            path.parent.rmdir()

    def set_aside(self, path: Path, why: Reason) -> Path:
        """Keep for a person what can't be stored."""
        aside = self.directory / ASIDE
        aside.mkdir(mode=0o700, exist_ok=True)
        name = f"{path.parent.name}-{path.stem}-{secrets.token_hex(4)}.{why}"
        moved = path.rename(aside / name)
        with suppress(OSError):
            path.parent.rmdir()
        return moved

    def survey(self) -> Survey:
        """Count what there is, and drop what a process that was killed did not finish writing.

        Raises:
            SpoolError: It can't be used.
        """
        is_usable = self.directory.is_dir() and os.access(
            self.directory, os.R_OK | os.W_OK | os.X_OK
        )
        if os.path.lexists(self.directory) and not is_usable:
            raise SpoolError(f"{self.directory} can't be used: it should be a folder of this user")
        waiting = [each for path in _list(self.directory) for each in _entries(path)]
        aside = tuple(sorted(_list(self.directory / ASIDE)))
        for path in _list(self.directory):
            if path.name.startswith(_NEW) and time.time() - _written_at(path) > _LEFT_OVER_SECONDS:
                path.unlink(missing_ok=True)
        return Survey(
            waiting=len(waiting),
            conversations=len({path.parent for path in waiting}),
            since=min(map(_written_at, waiting), default=None),
            aside=aside,
            size_bytes=sum(map(_size, (*waiting, *aside))),
        )

    def lock(self, key: str) -> int | Literal["taken"] | None:
        """Be the only one that sends what waits for a conversation, until the number is closed.

        None: nothing waits there any more. A process that ends lets go of its locks.
        """
        try:
            descriptor = os.open(self.directory / key, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return "taken"
        return descriptor

    @contextmanager
    def _written(self, data: bytes) -> Generator[Path]:
        descriptor, name = tempfile.mkstemp(dir=self.directory, prefix=_NEW)  # 0600
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _name(self, unnamed: Path, folder: Path) -> None:
        """Put a written file behind all that wait in the folder."""
        for _ in range(_ATTEMPTS):
            folder.mkdir(mode=0o700, exist_ok=True)
            waiting = _entries(folder)
            number = int(waiting[-1].stem) + 1 if waiting else 1
            # Another process may have taken the number, or removed the empty folder.
            with suppress(FileExistsError, FileNotFoundError):
                os.link(unnamed, folder / f"{number:08d}{_SUFFIX}")
                _sync(folder)
                _sync(self.directory)
                return
        raise SpoolError(f"{folder} is too busy")


def parse_entry(path: Path) -> Entry | None:
    """What a file holds; None if it can't be read."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    try:
        return Entry.model_validate_json(text)
    except ValidationError:  # of a later version
        return None


def _entries(folder: Path) -> list[Path]:
    return sorted(
        path for path in _list(folder) if path.suffix == _SUFFIX and path.stem.isdecimal()
    )


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it is not there, or `survey` tells what is wrong
        return []


def _waits_since(folder: Path) -> float:
    return min(map(_written_at, _entries(folder)), default=0.0)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # it was stored just now
        return time.time()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
