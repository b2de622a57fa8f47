"""Reading what the index holds of conversations out of their files, many at once.

Most files are short, whole and have nothing sealed: of these the lines of many are parsed in one
call, in a fifth of the time. All others are read one by one.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence

from servers.conversations.file_directory import StoreDirectory, key_of
from servers.conversations.file_failures import is_of_one
from servers.conversations.file_history import Place
from servers.conversations.file_layout import has_sealed
from servers.conversations.file_projection import Entry, Mark, project, project_file
from servers.conversations.file_records import Record, parse_lines

_log = logging.getLogger(__name__)

_SHORT_BYTES = 64 * 1024
_AT_ONCE_BYTES = 1024 * 1024


def read_entries(
    directory: StoreDirectory, shard: str, files: Mapping[str, os.stat_result | None]
) -> Iterator[dict[str, Entry | None]]:
    """The entries of some conversations in a folder by key, in portions; None: there is nothing.

    `files`: the status of each active file, taken before, so that what changes while it is read
    is seen later; None where there was none.
    """
    short: dict[str, tuple[os.stat_result, bytes]] = {}
    room = _AT_ONCE_BYTES
    for key, data in _read_files(directory, shard, files):
        status = files[key]
        if status is None or data is None:
            yield {key: _read_alone(directory, key)}
            continue
        short[key] = status, data
        room -= len(data)
        if room < 0:
            yield _parse_short(directory, short)
            short, room = {}, _AT_ONCE_BYTES
    if short:
        yield _parse_short(directory, short)


def _read_files(
    directory: StoreDirectory, shard: str, files: Mapping[str, os.stat_result | None]
) -> Iterator[tuple[str, bytes | None]]:
    """What is in each file, None where it is not what its status says, or long."""
    try:
        with directory.open_shard(shard) as shard_fd:
            for key, status in files.items():
                is_short = status is not None and 0 < status.st_size <= _SHORT_BYTES
                size = status.st_size if status is not None and is_short else 0
                data = directory.read_start(shard_fd, key, size + 1) if is_short else None
                yield key, data if data is not None and len(data) == size else None
    except OSError:  # the folder can't be opened
        yield from ((key, None) for key in files)


def _parse_short(
    directory: StoreDirectory, files: Mapping[str, tuple[os.stat_result, bytes]]
) -> dict[str, Entry | None]:
    lines: list[tuple[int, bytes]] = []
    ends: list[tuple[str, int]] = []
    for key, (_, data) in files.items():
        *whole, rest = data.split(b"\n")
        lines += [(0, line) for line in whole]
        if rest:  # an unfinished write
            lines.append((0, rest))
        ends.append((key, len(lines)))
    records = parse_lines(lines)
    entries: dict[str, Entry | None] = {}
    begin = 0
    for key, end in ends:
        status, data = files[key]
        entry = _to_entry(key, status, len(data), records[begin:end])
        entries[key] = entry or _read_alone(directory, key)
        begin = end
    return entries


def _to_entry(
    key: str, status: os.stat_result, size: int, found: Sequence[Record | None]
) -> Entry | None:
    """The entry of a file that is whole, holds all there is, and this conversation."""
    records = [record for record in found if record is not None]
    first, last = records[0] if records else None, found[-1]
    if first is None or last is None or first.kind not in ("header", "tombstone") or last.left:
        return None
    generation = first.progress.seq
    if len(records) < len(found) or last.progress.seq - generation != len(records) - 1:
        return None
    projection = project(records)
    facts = projection.facts
    if facts is None or key_of(facts.owner, facts.conversation_id) != key:
        return None
    mark = Mark(generation, size, status.st_mtime_ns)
    return Entry(mark, first.kind != "tombstone", last.progress, facts, projection)


def _read_alone(directory: StoreDirectory, key: str) -> Entry | None:
    try:
        place, fd = Place(directory, key), directory.open_file(key)
        if fd is None and has_sealed(place):
            fd = os.open(os.devnull, os.O_RDONLY)  # reads as an empty one would
        if fd is None:
            return None
        with os.fdopen(fd, "rb"):
            entry = project_file(fd, place)
    except OSError as error:
        if not is_of_one(error):
            raise  # the others can't be read, either
        _log.warning("the conversation file %s cannot be read: %s", key, error)
        return None
    if entry is None:
        _log.warning("the conversation file %s is damaged: nothing tells whose it is", key)
    elif key_of(entry.facts.owner, entry.facts.conversation_id) != key:
        _log.warning("the conversation file %s holds another conversation", key)
    else:
        return entry
    return None
