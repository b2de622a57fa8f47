"""Sends found conversations to the server in pages, past what it has already."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from agentic.cli.failures import CommandError
from agentic.cli.imports.found import Found
from agentic.cli.imports.tally import OTHER_CONTENT, Tally
from client.conversations import ConversationCallError, RemoteConversationStore
from client.hub.errors import CallTimedOutError, InvalidArgumentsError, ServerUnavailableError
from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    Message,
    encode_json,
)
from servers.conversations.contract_documents import DOCUMENT_FORMAT
from servers.conversations.contract_results import ImportResult
from servers.typed_arguments import MAX_NAMES

_MAX_PAGE_BYTES = MAX_BATCH_BYTES - 512 * 1024
_MAX_PAGE_NAMES = MAX_NAMES - 1_000
"""Both leave room for the facts and the wrapping."""
_OF_ONE_CONVERSATION = ("invalid", "too_large", "conflict", "not_found")
"""Refusals after which the next conversation may well be taken."""
_MAX_REFUSED_IN_A_ROW = 20
_SENT_UNASKED = 50
"""Messages: of a conversation with so few, to ask what is missing costs more than to send it."""
_ATTEMPTS = 4
_FIRST_PATIENCE_SECONDS = 0.5
_MAX_PATIENCE_SECONDS = 10.0

T = TypeVar("T")


class Sender:
    """Stores one conversation after the other, and counts."""

    def __init__(
        self,
        store: RemoteConversationStore,
        tally: Tally,
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_page` is called when another page was stored and counted."""
        self._store = store
        self._tally = tally
        self._on_page = on_page
        self._refused_in_a_row = 0

    async def send(self, found: Found) -> None:
        """Store what is missing of `found`.

        Raises:
            CommandError: The server refused one after the other.
            ConversationCallError: It would refuse all others, too.
            HubError: It does not answer, even after a while.
        """
        appended_before = self._tally.appended
        try:
            await self._send_missing(found)
        except ConversationCallError as error:
            self._refuse(found, error)
        except InvalidArgumentsError as error:
            self._fail(found, f"it can't be sent: {error}")
        else:
            self._refused_in_a_row = 0
        finally:
            self._tally.changed += self._tally.appended > appended_before

    async def _send_missing(self, found: Found) -> None:
        missing = await self._find_missing(found)
        if missing is None:
            return
        pages = paginate(missing)
        while (page := await take(pages)) is not None:
            self._tally.messages += len(page)
            document = {"format": DOCUMENT_FORMAT, "conversation": found.facts, "messages": page}
            result = await self._call(document)
            self._tally.appended += result.appended
            self._tally.repeated += result.repeated
            self._tally.lose(OTHER_CONTENT, found.title, result.skipped)
            self._on_page()

    async def _find_missing(self, found: Found) -> Iterable[Message] | None:
        """What has to be sent. None if it was imported before, and nothing happened since."""
        if found.count is not None and found.count <= _SENT_UNASKED:
            return found.messages
        newest = await self._store.load_conversation(found.conversation_id, limit=1)
        if not newest.messages:
            return found.messages
        stored = await self._store.get_conversation(found.conversation_id)
        count = stored.message_count
        if isinstance(found.messages, list):
            last = found.messages[count - 1 : count]
            if not last or not _is_same(last[0], newest.messages[0]):
                return found.messages
            missing = found.messages[count:]
        elif count == found.counted and stored.last_updated == found.facts.get("last_updated"):
            missing = []
        else:
            return found.messages
        self._tally.messages += count
        self._tally.repeated += count
        return missing or None

    async def _call(self, document: dict[str, Any]) -> ImportResult:
        """Import one page; again for a while where the server is away, which adds nothing twice."""
        patience = _FIRST_PATIENCE_SECONDS
        for attempt in range(_ATTEMPTS):
            last = attempt + 1 == _ATTEMPTS
            try:
                return await self._store.import_conversation(document)
            except ConversationCallError as error:
                if error.code != "unavailable" or last:
                    raise
                wanted = error.detail.retry_after_seconds or patience
            except (ServerUnavailableError, CallTimedOutError):
                if last:
                    raise
                wanted = patience
            await anyio.sleep(min(wanted, _MAX_PATIENCE_SECONDS))
            patience *= 4
        raise AssertionError("the last attempt returns or raises")

    def _refuse(self, found: Found, error: ConversationCallError) -> None:
        self._refused_in_a_row += 1
        if error.code not in _OF_ONE_CONVERSATION:
            raise error
        if self._refused_in_a_row > _MAX_REFUSED_IN_A_ROW:
            raise CommandError(str(error))
        self._fail(found, f"the server refuses it: {error}")

    def _fail(self, found: Found, reason: str) -> None:
        self._tally.failed += 1
        self._tally.report(f"{found.title}: {reason}")


def _is_same(found: Message, stored: Message) -> bool:
    """Whether one is as the other: an answer that was not complete grows under its id."""
    same_id = found.message_id == stored.message_id
    return same_id and found.content_key() == stored.content_key()


def paginate(messages: Iterable[Message]) -> Iterator[list[dict[str, Any]]]:
    """Pages that the server takes, one at least."""
    page: list[dict[str, Any]] = []
    size = names = 0
    for message in messages:
        wire = message.to_wire()
        encoded = encode_json(wire)
        more, more_names = len(encoded) + 1, encoded.count(b'":')
        is_full = size + more > _MAX_PAGE_BYTES or names + more_names > _MAX_PAGE_NAMES
        if page and (len(page) == MAX_BATCH_MESSAGES or is_full):
            yield page
            page, size, names = [], 0, 0
        page.append(wire)
        size, names = size + more, names + more_names
    yield page


async def take(items: Iterator[T]) -> T | None:
    """The next of what is read and taken apart in a worker thread; None at the end."""
    return await to_thread.run_sync(next, items, None)
