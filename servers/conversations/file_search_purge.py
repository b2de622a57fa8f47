"""Gets rid of the words of what was deleted: the part that holds them is written anew.

Texts are not kept in the search index, so those that stay are read from the conversations' files.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from servers.conversations.file_engine import FileEngine
from servers.conversations.file_index import FileIndex, forget_traces, transaction
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import Record, to_message
from servers.conversations.file_search_marks import Located, find_known, locate
from servers.conversations.file_search_parts import (
    HeldDocument,
    Part,
    find_documents,
    find_stale_part,
    replace_part,
)
from servers.conversations.file_search_rows import (
    drop_conversation,
    find_keys,
    find_origin,
    to_indexed,
)
from servers.conversations.search_text import fold_words

_KEYS_AT_ONCE = 1_000
_RECORDS_AT_ONCE = 500


async def drop_unknown(engine: FileEngine, index: FileIndex) -> None:
    """Remove what is held of conversations whose files have vanished.

    Raises:
        UnavailableError: One of the indexes can't be used.
    """

    def drop_some(after: str) -> str | None:
        keys = index.run(lambda connection: find_keys(connection, after, _KEYS_AT_ONCE))
        if not keys:
            return None
        known = engine.catalogue.consult(lambda connection: find_known(connection, keys))
        unknown = [key for key in keys if key not in known]

        def drop(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                for key in unknown:
                    drop_conversation(connection, key)

        if unknown:
            index.run(drop)
        return keys[-1]

    after: str | None = ""
    while after is not None:
        after = await engine.in_thread(partial(drop_some, after))


async def purge_part(engine: FileEngine, index: FileIndex) -> bool:
    """Write the part anew that holds most of what was deleted; False if there is none.

    Raises:
        UnavailableError: A text that stays can't be read now; nothing has changed.
    """

    def look(connection: sqlite3.Connection) -> tuple[str, Part, list[HeldDocument]] | None:
        part = find_stale_part(connection)
        return part and (find_origin(connection), part, find_documents(connection, part))

    found = await engine.in_thread(lambda: index.run(look))
    if found is None:
        return False
    origin, part, held = found
    by_key: dict[str, list[HeldDocument]] = defaultdict(list)
    for document in held:
        by_key[document.key].append(document)
    places = await engine.in_thread(lambda: _locate(engine, list(by_key)))
    kept: list[tuple[HeldDocument, str]] = []
    for key, documents in by_key.items():
        if key in places:
            kept += await _read_words(engine, places[key], documents)
    kept.sort()

    def rebuild(connection: sqlite3.Connection) -> None:
        if find_origin(connection) != origin:
            return  # made anew meanwhile: there is no such part in it
        with transaction(connection):
            replace_part(connection, part, kept)
        forget_traces(connection)

    await engine.in_thread(lambda: index.run(rebuild))
    return True


def _locate(engine: FileEngine, keys: Sequence[str]) -> dict[str, Located]:
    horizon = engine.catalogue.horizon()
    return engine.catalogue.consult(lambda connection: locate(connection, keys, horizon))


async def _read_words(
    engine: FileEngine, place: Located, documents: Sequence[HeldDocument]
) -> list[tuple[HeldDocument, str]]:
    """A conversation's documents, each with what a part takes of it."""

    def job(opened: ConversationReader, some: Sequence[HeldDocument]) -> list[Record | None]:
        if not opened.exists:
            return [None for _ in some]
        return [
            opened.read_at(document.offset)
            if document.offset is not None and document.generation == opened.generation
            else None
            for document in some
        ]

    found: list[tuple[HeldDocument, str]] = []
    for begin in range(0, len(documents), _RECORDS_AT_ONCE):
        some = documents[begin : begin + _RECORDS_AT_ONCE]
        records = await engine.read(place.owner, place.conversation_id, partial(job, some=some))
        for document, record in zip(some, records, strict=True):
            if document.offset is None:
                found.append((document, _to_words(document, None, document.title or "")))
            elif record is not None and record.kind == "message":
                message = to_message(record.body)
                found.append((document, _to_words(document, message.role, message.text())))
    return found


def _to_words(document: HeldDocument, role: str | None, text: str) -> str:
    return to_indexed(document.owner_mark, document.conversation, role, fold_words(text))
