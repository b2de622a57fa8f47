"""Looking after a store's files, while it may be in use: verify, repair, compact, totals."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Literal

from servers.conversations.file_attachment_folder import FOLDER_SUFFIX, AttachmentFolder
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_directory import (
    ACTIVE,
    INDEX_NAME,
    SEARCH_NAME,
    StoreDirectory,
)
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_findings import Examination, Finding, count_messages
from servers.conversations.file_misplaced import put_active, put_right, set_foreign_aside
from servers.conversations.file_replacing import name_folder
from servers.conversations.file_rewriting import rewrite
from servers.conversations.file_sealed import parse_suffix
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_search import open_file_search
from servers.conversations.file_search_marks import locate
from servers.conversations.file_sweeper import remove_leftovers
from servers.conversations.file_verify import (
    examine,
    examine_again,
    list_keys,
)
from servers.conversations.store_errors import NotFoundError, UnavailableError

_WORTH_SEALING_BYTES = 64 * 1024
_WASTE_BYTES = 64 * 1024
"""Of what is outdated: below it a conversation is not rewritten."""
_STEP_SECONDS = 0.25
"""After which it is told how far the work has come."""
_RECORD_BYTES = 180
"""Of a record without its body."""


@dataclass(frozen=True, slots=True)
class Step:
    """One conversation of many that was looked after."""

    number: int
    total: int
    examination: Examination
    done: str = ""
    """What was done to it, if anything."""
    is_left: bool = False
    """Whether there was something to do that could not be done."""


def find_format_damage(engine: FileEngine) -> Finding | None:
    """What is wrong with FORMAT, without which the store does not start."""
    damage = engine.directory.find_format_damage()
    return None if damage is None else Finding("FORMAT", None, damage)


async def verify(engine: FileEngine) -> AsyncGenerator[Step]:
    """Read everything; each conversation with what is wrong with it."""
    keys, refused = await engine.in_thread(lambda: list_keys(engine.directory))
    total = len(refused) + len(keys)
    for number, found in enumerate(refused, 1):
        yield Step(number, total, found)
    for number, key in enumerate(keys, len(refused) + 1):
        found = await _examine(engine, key)
        if found is not None:
            yield Step(number, total, found)


async def repair(engine: FileEngine) -> AsyncGenerator[Step]:
    """Keep what is whole of each damaged conversation; its files go to `damaged/` as they are.

    Raises:
        UnavailableError: FORMAT is damaged, and nothing shows that this is a store.
    """
    folder = name_folder()
    if engine.directory.find_format_damage() is not None:
        await _repair_format(engine, folder)
    async for step in verify(engine):
        found = step.examination
        if not found.is_readable:
            step = replace(step, done=_tell_refused(found), is_left=True)
        elif found.is_damaged:
            done, is_left = await _repair(engine, found, folder)
            step = replace(step, done=done, is_left=is_left)
        yield step


async def compact(engine: FileEngine, sealing: Sealing | None) -> AsyncGenerator[Step]:
    """Seal what is long enough to become shorter, drop what is outdated, remove leftovers.

    Raises:
        UnavailableError: FORMAT is damaged: this may be the store of a newer program.
    """
    damage = find_format_damage(engine)
    if damage is not None:
        raise UnavailableError(
            f"the file {engine.directory.root / damage.file} {damage.what}: "
            "`agentic conversations repair` comes first"
        )
    async for step in verify(engine):
        found = step.examination
        if found.facts is not None and not found.is_damaged:
            done, is_left = await _compact(engine, found, sealing)
            step = replace(step, done=done, is_left=is_left)
        yield step


async def _examine(engine: FileEngine, key: str) -> Examination | None:
    return await engine.in_thread(lambda: examine(engine.directory, engine.locks, key))


async def _repair_format(engine: FileEngine, folder: str) -> None:
    """Only where there is nothing, or a conversation that can be read: else it may be anybody's."""
    is_empty, is_ours = True, False
    async for step in verify(engine):
        is_empty = False
        is_ours = (step.examination.facts or step.examination.foreign) is not None
        if is_ours:
            break
    if not (is_empty or is_ours):
        raise UnavailableError(
            f"FORMAT is damaged, and nothing else in {engine.directory.root} can be read as a "
            f"conversation: is it the right directory? Restore it from a back-up"
        )
    await engine.in_thread(lambda: engine.directory.repair_format(folder))


def _tell_refused(found: Examination) -> str:
    last = found.findings[-1]
    return f"left as it is: {last.file} {last.what}"


async def _repair(engine: FileEngine, found: Examination, folder: str) -> tuple[str, bool]:
    """What was done, and whether it is as damaged as before."""
    known = await engine.in_thread(lambda: engine.catalogue.recall_count(found.key))
    is_cleared = False
    if found.foreign is not None:
        is_cleared = await engine.in_thread(lambda: set_foreign_aside(engine, found, folder))
        if not is_cleared and not found.has_own:
            return await put_right(engine, found, found.foreign, folder), False
    facts = found.facts
    if facts is None:
        return "left as it is: nothing tells whose it is; its owner's next message mends that", True

    if found.foreign is None and (found.lacks_active or found.is_continued):
        await engine.in_thread(lambda: put_active(engine, found.key, folder))
    try:
        return await engine.change(
            facts.owner,
            facts.conversation_id,
            lambda opened: _mend(
                engine.directory, opened, found, folder, known=known or 0, is_cleared=is_cleared
            ),
        )
    except NotFoundError:
        return "left as it is: it was deleted or has expired", True


def _mend(
    directory: StoreDirectory,
    opened: ConversationFile,
    found: Examination,
    folder: str,
    *,
    known: int,
    is_cleared: bool,
) -> tuple[str, bool]:
    """The same, under the lock: others may have written since it was `found`.

    `known`: how many messages there were at least. `is_cleared`: another conversation's lines were
    set aside already.
    """
    if opened.state is None or opened.has_expired:
        opened.require()
    now = examine_again(directory, found)
    if now is None or not (now.is_damaged or is_cleared):
        return "", False
    if not now.is_readable:
        return _tell_refused(now), True
    known, repeats = max(known, opened.progress.message_count), 0
    if now.damaged_attachments:
        opened.attachments.move_aside(now.damaged_attachments, folder)
    if is_cleared or len(now.damaged_attachments) < now.count_damage():
        suffixes = directory.suffixes_of(opened.key)
        kept = [suffix for suffix in suffixes if suffix == ACTIVE or parse_suffix(suffix)]
        directory.keep_aside(opened.key, kept, folder)
        repeats = rewrite(opened)
    told = f"{count_messages(opened.progress.message_count)} kept"
    if lost := max(0, known - opened.progress.message_count):
        told += f", at least {lost} are lost"
    elif found.lacks_active:
        told += ", what was written after them is lost"
    if repeats:
        told += f", lines that are there twice are dropped: {repeats}"
    if found.foreign_lines:
        told += f", lines of another conversation are taken out: {found.foreign_lines}"
    return f"{told}; the damaged files are in damaged/{folder}", False


async def _compact(
    engine: FileEngine, found: Examination, sealing: Sealing | None
) -> tuple[str, bool]:
    """What was done, and whether it failed: on a full disk a shorter one may still succeed."""
    facts = found.facts
    assert facts is not None
    await remove_leftovers(engine, found.key)

    def work(opened: ConversationFile) -> str:
        if opened.state is None or not opened.exists:
            return ""
        done: list[str] = []
        written_ns = opened.written_ns
        entry = opened.project()
        held = entry.projection.figures.bytes if entry else 0
        needed = held + _RECORD_BYTES * opened.progress.message_count
        if opened.state.end - needed > max(_WASTE_BYTES, needed // 4):
            rewrite(opened)
            done.append("rewritten")
        if sealing and opened.state.end - opened.state.layout.base >= _WORTH_SEALING_BYTES:
            opened.seal(sealing)
            done.append("compressed")
        if done:
            opened.leave_alone_since(written_ns)
        return " and ".join(done)

    try:
        return await engine.change(facts.owner, facts.conversation_id, work), False
    except UnavailableError as error:
        return f"not compacted: {error}", True


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of a whole store."""

    owners: int
    conversations: int
    messages: int
    message_bytes: int
    """As JSON, uncompressed."""
    deleted: int
    """Conversations of which only the version numbers are kept."""
    active_bytes: int
    sealed_bytes: int
    sealed_files: int
    index_bytes: int
    search_bytes: int
    attachments: int
    attachment_bytes: int


async def reindex(
    engine: FileEngine, tell: Callable[[Literal["listings", "search"], int, int], None]
) -> Totals:
    """Throw away what is derived from the files, and make it anew.

    `tell` is given now and then what is being made, how much of it is done, and of how much.
    """
    await engine.in_thread(engine.catalogue.discard)
    since = time.monotonic()
    while not await engine.in_thread(lambda: engine.catalogue.go_on_checking(since, _STEP_SECONDS)):
        tell("listings", *engine.catalogue.checked_folders)
    totals = await find_totals(engine)
    async with open_file_search(engine) as search:
        await search.make_anew(lambda done, total: tell("search", done, total))
    return totals


async def find_totals(engine: FileEngine) -> Totals:
    """Sums over the index and over the files as they are on disk."""

    def work() -> Totals:
        counts = engine.catalogue.find_totals()
        active = sealed = files = attachments = attachment_bytes = 0
        horizon = engine.catalogue.horizon()
        for shard in engine.directory.shards():
            folders: list[str] = []
            for name, status in engine.directory.all_files_in(shard).items():
                if name.endswith(ACTIVE):
                    active += status.st_size
                elif name.endswith(".zst"):
                    sealed, files = sealed + status.st_size, files + 1
                elif name.endswith(FOLDER_SUFFIX):
                    folders.append(name.removesuffix(FOLDER_SUFFIX))
            # Those of conversations that have expired wait for the sweeper.
            for key in engine.catalogue.consult(
                lambda connection: locate(connection, folders, horizon)  # noqa: B023
            ):
                count, size = AttachmentFolder(engine.directory, key, sync_data).measure()
                attachments, attachment_bytes = attachments + count, attachment_bytes + size
        index, search = map(engine.directory.size_of, (INDEX_NAME, SEARCH_NAME))
        return Totals(*counts, active, sealed, files, index, search, attachments, attachment_bytes)

    return await engine.consult(work)
