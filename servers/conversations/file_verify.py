"""Looking for damage: every record of every conversation is read, nothing is changed."""

import os
import stat
import sys
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import pairwise

from servers.conversations.file_attachment_folder import FOLDER_SUFFIX, AttachmentFolder
from servers.conversations.file_belonging import (
    Belonging,
    find_told,
    has_own_sealed,
    own_lines,
)
from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_directory import ACTIVE, StoreDirectory, path_of
from servers.conversations.file_failures import advise, is_of_one
from servers.conversations.file_findings import Examination, Finding
from servers.conversations.file_format import DATA_NAME
from servers.conversations.file_history import History, Place
from servers.conversations.file_layout import (
    find_layout,
    find_unnamed,
    is_anothers,
    is_continued,
    read_beginning,
)
from servers.conversations.file_locks import LockStripes, name_of, stripe_of
from servers.conversations.file_records import (
    Facts,
    count_lost,
    parse_facts,
    parse_line,
    to_message,
)
from servers.conversations.file_replacing import UNFINISHED
from servers.conversations.file_sealed import SealedSegment, parse_suffix, suffix_of
from servers.conversations.file_search_rows import is_searched
from servers.conversations.file_segment import lines_forward, read_line
from servers.conversations.file_state import guess_generation

_LEFT_OVER = "is of a write that did not come to its end, or not yet"
_UNLOCKED_READINGS = 3
"""Of a conversation in whose place others are put meanwhile; then writers wait for one."""


class _ReplacedError(Exception):
    """What seems damaged was removed or replaced while it was read."""


_Hold = Callable[[], AbstractContextManager[None]]


def examine(directory: StoreDirectory, locks: LockStripes, key: str) -> Examination | None:
    """Read all of a conversation as it is now; None if it is gone meanwhile.

    Raises:
        OSError: Nothing can be read now.
        UnavailableError: Another process has kept it locked.
    """

    def hold() -> AbstractContextManager[None]:
        return locks.hold(name_of(stripe_of(key)), shared=True)

    for _ in range(_UNLOCKED_READINGS):
        with suppress(_ReplacedError):
            return _examine(directory, key, hold, None)
    with hold():
        return _examine(directory, key, nullcontext, None)


def examine_again(directory: StoreDirectory, before: Examination) -> Examination | None:
    """The same for whoever holds the lock, of attachments only those that seemed damaged before.

    Raises:
        OSError: Nothing can be read now.
    """
    return _examine(directory, before.key, nullcontext, before.damaged_attachments)


def _examine(
    directory: StoreDirectory, key: str, hold: _Hold, attachments: Collection[str] | None
) -> Examination | None:
    found = Examination(key)
    with hold():
        try:
            fd = directory.open_file(key)
            if fd is None:
                if not any(map(parse_suffix, directory.suffixes_of(key))):
                    return None
                fd = os.open(os.devnull, os.O_RDONLY)  # reads as an empty one would
        except FileNotFoundError:
            return None
        except OSError as error:
            return _refused(found, error)
        found.bytes = os.fstat(fd).st_size  # what comes later is none of this
    with os.fdopen(fd, "rb"):
        examiner = _Examiner(Place(directory, key), fd, found)
        try:
            examiner.run()
            examiner.look_at_attachments(hold, attachments)
            has_unnamed = examiner.has_unnamed()
            if has_unnamed or found.is_damaged:
                with hold():
                    if has_unnamed:
                        examiner.look_at_unnamed()
                    if found.is_damaged and not examiner.is_current():
                        raise _ReplacedError
        except OSError as error:
            return _refused(found, error)
    return found


def _refused(found: Examination, error: OSError) -> Examination:
    """What was found until the system refused a file, and that it did."""
    if not is_of_one(error):
        raise error
    file = path_of(found.key, ACTIVE)
    if isinstance(error.filename, str) and error.filename.startswith(f"{DATA_NAME}/"):
        file = error.filename
    found.findings.append(Finding(file, None, f"can't be read: {advise(error)}"))
    found.is_readable = False
    return found


class _Examiner:
    def __init__(self, place: Place, fd: int, found: Examination) -> None:
        self._place = place
        self._fd = fd
        self._size = found.bytes
        self._found = found
        self._expected: int | None = None
        self._lost = 0
        self._lost_in: int | None = None
        """The number of the finding that explains the records missing since the last one."""
        self._owed = 0
        """How many records of the last write are still to come."""
        self._named: set[str] = set()
        self._key = place.key
        """Of the conversation that is looked at, which may lie under a wrong name."""
        self._told: dict[str, Facts] = {}
        """What the active file tells of conversations, by their keys."""
        self._belonging = Belonging(place.key)
        self._passed_in: str | None = None
        """The file whose lines of another conversation are just passed over."""

    def run(self) -> None:
        history = History(self._fd)
        line = read_line(history, 0)
        beginning = read_beginning(self._fd)
        self._look_whose(history)
        if beginning is not None and not is_anothers(beginning, self._key):
            layout, generation = beginning.layout, beginning.generation
        else:
            layout = find_layout(self._place, self._find_first_seq(history))
            generation = layout.generation
            if not generation and self._found.foreign is None:
                generation = guess_generation(history, self._size)
        # What is lost of the beginning is missing like what is lost in between.
        self._expected = generation or None
        if line is None and layout.sealed:
            self._found.lacks_active = True
            self._report(ACTIVE, None, "is missing or empty, though older messages are sealed")
        if line is None and not layout.sealed:
            for suffix in filter(parse_suffix, self._place.directory.suffixes_of(self._place.key)):
                self._report(suffix, None, "lies here alone, and can't be read as what is missing")
        self._named = {suffix_of(layout.generation, start) for start in layout.sealed}
        for start, end in pairwise((*layout.sealed, layout.base)):
            self._read_sealed(suffix_of(layout.generation, start), end - start)
        self._read_active(history, layout.base)
        self._found.generation = generation
        if not self._told and self._found.facts is None and self._size:
            self._report(ACTIVE, None, "nothing in it tells whose conversation it is")

    def _look_whose(self, history: History) -> None:
        """See whether lines of another conversation are in the active file, and its own, too."""
        key, found = self._place.key, self._found
        self._told = find_told(history, 0, self._size)
        foreign = [each for each in self._told if each != key]
        if not foreign:
            return
        found.foreign = self._told[foreign[0]]
        found.has_own = key in self._told or has_own_sealed(self._place)
        if key not in self._told:
            self._report(ACTIVE, None, "it holds another conversation than its name says")
        if not found.has_own:
            self._key = foreign[0]  # it may be a whole one
            self._belonging = Belonging(self._key)

    def _find_first_seq(self, history: History) -> int:
        """The number of the first record that can be read of the active file; large if none can."""
        records = own_lines(history, self._key, 0, self._size)
        return next((record.progress.seq for _, record in records), sys.maxsize)

    def _read_sealed(self, suffix: str, size: int) -> None:
        place = self._place
        segment = SealedSegment.load(place.directory, place.key, suffix, size, self._key)
        if segment.foreign_key:
            self._lose(suffix, f"belongs to {segment.foreign_key}, so nothing of it is read")
        elif segment.other_suffix:
            self._lose(suffix, f"is the one named {segment.other_suffix}, so nothing of it is read")
        elif not segment.frames:
            self._lose(suffix, "is missing, or nothing of it can be read")
        if segment.frames and not segment.has_table:
            self._report(suffix, None, "its table is damaged; nothing is lost by that")
        number = 0
        for block_number in range(len(segment.frames)):
            block = segment.read_block(block_number)
            if block is None:
                what = f"block {block_number + 1} of {len(segment.frames)} can't be decompressed"
                self._lose(suffix, what)
                continue
            for line in block.split(b"\n")[:-1]:
                number += 1
                self._read_line(suffix, number, line)
        if segment.frames and not segment.is_whole:
            self._lose(suffix, "ends early")

    def _lose(self, suffix: str, what: str) -> None:
        """Report the loss of many records; which ones is known when the next one is read."""
        self._report(suffix, None, what)
        self._lost_in = len(self._found.findings) - 1 if self._lost_in is None else self._lost_in
        self._owed = 0

    def _read_active(self, history: History, base: int) -> None:
        end = number = 0
        self._belonging = Belonging(self._key, self._told)
        for offset, line in lines_forward(history, 0, self._size):
            number += 1
            self._read_line(ACTIVE, number, line)
            end = offset + len(line) + 1
        self._found.end = base + end
        if end < self._size or self._owed:
            what = "ends in the middle of a write that was never acknowledged"
            self._report(ACTIVE, number + 1, what, is_damage=False)

    def _read_line(self, suffix: str, number: int, line: bytes) -> None:
        record = parse_line(0, line)
        if record is None:
            self._lost += count_lost(line) if self._belonging.is_own else 0
            self._owed = 0
            self._report(suffix, number, "is damaged: its checksum does not match")
            return
        if not self._belonging.take(record):
            self._pass_over(suffix, number)
            return
        self._passed_in = None
        seq = record.progress.seq
        missing = 0 if self._expected is None else seq - self._expected
        if missing < 0:
            self._report(suffix, number, f"record {seq} comes after record {seq - missing - 1}")
        elif missing > self._lost:
            told = f"of the records {self._expected} to {seq - 1} not all are there"
            if missing == 1:
                told = f"record {self._expected} is missing"
            if self._lost_in is None:
                self._report(suffix, number, f"before it, {told}")
            else:
                found = self._found.findings[self._lost_in]
                what = f"{found.what}: {told}"
                self._found.findings[self._lost_in] = replace(found, what=what)
        self._expected, self._lost, self._owed, self._lost_in = seq + 1, 0, record.left, None
        self._found.records += 1
        self._found.is_deleted = record.kind == "tombstone"
        self._found.projection.add(record)
        if record.kind == "message":
            self._found.messages += 1
            self._found.texts += is_searched(to_message(record.body).text())
        if self._key == self._place.key:
            self._found.facts = parse_facts(record) or self._found.facts

    def _pass_over(self, suffix: str, number: int) -> None:
        """Tell of lines of another conversation, at the first of them."""
        self._owed = 0
        self._found.foreign_lines += suffix == ACTIVE
        is_told = suffix == ACTIVE and self._place.key not in self._told
        if self._passed_in != suffix and not is_told:
            self._report(suffix, number, "from this line on it holds another conversation's")
        self._passed_in = suffix

    def look_at_attachments(self, hold: _Hold, among: Collection[str] | None) -> None:
        """Read them, or those `among` them; what seems damaged may just be written or removed."""
        folder = AttachmentFolder(self._place.directory, self._place.key, sync_data)
        damaged = folder.find_damaged(among)
        if damaged:
            with hold():
                damaged = folder.find_damaged(damaged)
        self._found.damaged_attachments = list(damaged)
        for stem, title in damaged.items():
            called = f" “{title}”" if title else ""
            self._report(f"{FOLDER_SUFFIX}/{stem}", None, f"this attachment{called} is damaged")

    def is_current(self) -> bool:
        """Whether the active file still is the one that was read. For use under the lock.

        Whatever removes or replaces sealed files puts another one in its place.
        """
        read, now = os.fstat(self._fd), self._place.directory.status_of(self._place.key)
        if now is None:
            return not stat.S_ISREG(read.st_mode)
        return os.path.samestat(read, now)

    def has_unnamed(self) -> bool:
        """Whether there are files that the active one does not name; unfinished ones are told."""
        suffixes = self._place.directory.suffixes_of(self._place.key)
        for suffix in suffixes:
            if suffix.endswith(UNFINISHED):
                self._report(suffix, None, _LEFT_OVER, is_damage=False)
        return any(parse_suffix(each) and each not in self._named for each in suffixes)

    def look_at_unnamed(self) -> None:
        """Tell what is left over from what is lost. For use under the lock."""
        needless, others = find_unnamed(self._place)
        self._found.is_continued = bool(others) and is_continued(self._place)
        for suffix in needless:
            self._report(suffix, None, _LEFT_OVER, is_damage=False)
        for suffix in others:
            self._report(suffix, None, "holds messages that the conversation has lost")

    def _report(self, suffix: str, line: int | None, what: str, *, is_damage: bool = True) -> None:
        path = path_of(self._place.key, suffix)
        self._found.findings.append(Finding(path, line, what, is_damage))


def list_keys(directory: StoreDirectory) -> tuple[list[str], list[Examination]]:
    """The keys of all conversations, in a fixed order; and folders that can't be read.

    Raises:
        OSError: Nothing can be read now.
    """
    keys: list[str] = []
    refused: list[Examination] = []
    for shard in sorted(directory.shards()):
        try:
            keys += sorted(_keys_in(directory, shard))
        except OSError as error:
            refused.append(_refused(Examination(shard), error))
    return keys, refused


def _keys_in(directory: StoreDirectory, shard: str) -> set[str]:
    """Those of sealed files count, too: the active one may be lost."""
    found: set[str] = set()
    for name in directory.all_files_in(shard):
        key, dot, suffix = name.partition(".")
        if dot + suffix == ACTIVE or parse_suffix(dot + suffix):
            found.add(key)
    return found
