"""Files that hold another conversation than their name says: each gets what is its own."""

import os
from contextlib import ExitStack, suppress
from itertools import product

from servers.conversations.file_belonging import find_told, has_own_sealed, own_lines
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_directory import (
    ACTIVE,
    SHARD_CHARACTERS,
    StoreDirectory,
    key_of,
)
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_findings import Examination, count_messages
from servers.conversations.file_history import History, Place
from servers.conversations.file_layout import is_continued
from servers.conversations.file_locks import name_of, stripe_of
from servers.conversations.file_records import Facts, Record, parse_facts
from servers.conversations.file_replacing import replace_file
from servers.conversations.file_rewriting import rewrite
from servers.conversations.file_segment import read_line
from servers.conversations.file_verify import examine_again

_UNREADABLE = b"\n"


async def put_right(engine: FileEngine, found: Examination, facts: Facts, folder: str) -> str:
    """Give a whole conversation its own name back if that is free; else move it away."""
    own = key_of(facts.owner, facts.conversation_id)
    counted: list[int] = []

    def move() -> bool | None:
        stripes = sorted({stripe_of(found.key), stripe_of(own)})
        with ExitStack() as stack:
            for stripe in stripes:
                stack.enter_context(engine.locks.hold(name_of(stripe)))
            now = examine_again(engine.directory, found)
            if now is None or now.foreign != facts or now.has_own:
                return None
            counted.append(now.messages)
            is_whole = now.messages > 0 and now.count_damage() == 1
            return _move_away(engine.directory, found.key, folder, own if is_whole else None)

    def renew(opened: ConversationFile) -> int:  # so that the index is told
        if opened.exists:
            rewrite(opened)
        return opened.progress.message_count

    is_back = await engine.in_thread(move)
    if is_back is None:
        return ""
    if not is_back:
        return (
            f"moved to damaged/{folder}: nothing in it is of the conversation that its name says; "
            f"it holds {counted[0]} messages of another one"
        )
    found.facts = facts
    kept = await engine.change(facts.owner, facts.conversation_id, renew)
    told = f"{count_messages(kept)} back under their own name"
    return f"{told}; the files are in damaged/{folder}, too"


def _move_away(directory: StoreDirectory, key: str, folder: str, own: str | None) -> bool:
    """Move files to `damaged/`; whether they are under the key `own`, too, where nothing was."""
    suffixes = directory.suffixes_of(key)
    directory.keep_aside(key, suffixes, folder)
    files = directory.all_files_in(own[:SHARD_CHARACTERS]) if own else {}
    is_free = own is not None and not any(name.startswith(own) for name in files)
    if own is not None and is_free:
        with (
            directory.open_shard(key) as from_fd,
            directory.open_shard(own, create=True) as to_fd,
        ):
            for suffix in sorted(suffixes, key=ACTIVE.__eq__):  # sealed ones first
                os.link(key + suffix, own + suffix, src_dir_fd=from_fd, dst_dir_fd=to_fd)
            os.fsync(to_fd)
    directory.remove_files(key, suffixes)
    return is_free


def set_foreign_aside(engine: FileEngine, found: Examination, folder: str) -> bool:
    """Leave of an active file only the lines of the conversation that its name says.

    Where there is none, they may lie under the other's name; else one that can't be read takes its
    place, so that what is sealed counts. False: nothing is its own, or it was replaced meanwhile.
    """
    key, place = found.key, Place(engine.directory, found.key)
    others = [key_of(facts.owner, facts.conversation_id) for facts in (found.foreign,) if facts]
    with ExitStack() as stack:
        for stripe in sorted({stripe_of(each) for each in (key, *others)}):
            stack.enter_context(engine.locks.hold(name_of(stripe)))
        fd = engine.directory.open_file(key)
        if fd is None:
            return False
        stack.enter_context(os.fdopen(fd, "rb"))
        size = os.fstat(fd).st_size
        told = find_told(History(fd), 0, size).keys()
        if told <= {key}:
            return False
        if key in told:
            own = list(own_lines(History(fd), key, 0, size))
        else:
            has_sealed = has_own_sealed(place)
            own = _find_elsewhere(engine.directory, key, others, folder, has_sealed=has_sealed)
            if not own and not has_sealed:
                return False
        for _, record in own:
            found.facts = parse_facts(record) or found.facts
        engine.directory.keep_aside(key, [ACTIVE], folder)
        lines = [line + b"\n" for line, _ in own]
        os.close(replace_file(place, lines or [_UNREADABLE]))
        found.lacks_active = not lines
        return True


def _find_elsewhere(
    directory: StoreDirectory, key: str, others: list[str], folder: str, *, has_sealed: bool
) -> list[tuple[bytes, Record]]:
    """The conversation's lines in the file of one whose lines are in its own: they were exchanged.

    That one may have been mended just before: then what was in its place is in `damaged/`.
    """
    for other, is_kept in product(others, (False, True)):
        fd = None
        with suppress(OSError):
            fd = directory.open_kept(other, folder) if is_kept else directory.open_file(other)
        if fd is None:
            continue
        with os.fdopen(fd, "rb"):
            own = list(own_lines(History(fd), key, 0, os.fstat(fd).st_size))
        # Those that go on with sealed ones are no conversation without them.
        if own and (has_sealed or own[0][1].kind in ("header", "tombstone")):
            return own
    return []


def put_active(engine: FileEngine, key: str, folder: str) -> None:
    """Put one that can't be read in the place of none, so that what is sealed counts.

    Or in the place of one that a segment goes on with.
    """
    place = Place(engine.directory, key)
    with engine.locks.hold(name_of(stripe_of(key))):
        fd = engine.directory.open_file(key)
        if fd is not None:
            with os.fdopen(fd, "rb"):
                if read_line(History(fd), 0) is not None and not is_continued(place):
                    return
            engine.directory.keep_aside(key, [ACTIVE], folder)
        os.close(replace_file(place, [_UNREADABLE]))
