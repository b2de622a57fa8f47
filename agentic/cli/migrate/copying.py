"""Brings one conversation to where the other end has it, too, and proves it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from agentic.cli.migrate.attachments import Attached, AttachmentCopier
from agentic.cli.migrate.comparing import Stored, find_changed_facts
from agentic.cli.migrate.content import ContentHash, Wire, hash_facts
from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.journal import Journal, Known
from agentic.cli.migrate.reading import Page, Place
from agentic.cli.migrate.tally import Outcome, Tally
from client.conversations import ConversationCallError

_ATTEMPTS = 3
"""With a conversation that is rewritten while it is read."""


class Copier:
    """Copies conversations, one at a time or several at once."""

    def __init__(self, source: Place, target: Place, journal: Journal, tally: Tally) -> None:
        self._source = source
        self._target = target
        self._journal = journal
        self._tally = tally
        self._attachments = AttachmentCopier(source, target, tally)

    async def bring(
        self, owner: str, conversation_id: str, known: Known | None
    ) -> tuple[Outcome, Known] | None:
        """Copy what is missing there, and compare; None if it is gone from the source.

        Raises:
            DiffersError: The target has something else, of which nothing was changed.
            ConversationCallError: A server refuses, or can't read it.
            HubError: One is away.
        """
        for attempts_left in range(_ATTEMPTS - 1, -1, -1):
            try:
                return await self._bring(owner, conversation_id, known)
            except ConversationCallError as error:
                if error.code not in ("stale_cursor", "not_found") or not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _bring(
        self, owner: str, conversation_id: str, known: Known | None
    ) -> tuple[Outcome, Known] | None:
        async with (
            aclosing(self._source.read(owner, conversation_id)) as pages,
            aclosing(self._target.read(owner, conversation_id)) as stored_pages,
        ):
            stored = Stored(stored_pages)
            await stored.begin()
            try:
                copy = await self._copy(owner, conversation_id, pages, stored, known)
            except DiffersError as error:
                raise await self._with_damage(error, owner, conversation_id) from None
        if copy is None:
            return None
        attached = await self._attachments.bring(
            owner, conversation_id, _attached(known), is_new=copy.outcome == "copied"
        )
        version = copy.target_version
        if copy.outcome != "equal":
            version = await self._verify(owner, conversation_id, copy)
        if copy.lost:
            raise DiffersError(
                f"{copy.lost} of its records can't be read at the source; all others were copied. "
                "Run `agentic conversations repair` there, or restore it from a back-up"
            )
        found = Known(
            facts=copy.facts,
            source_version=copy.source_version,
            target_version=version,
            messages=copy.content.count,
            sha256=copy.content.hexdigest(),
            attachments=attached.count,
            attachment_bytes=attached.bytes,
            attachments_sha256=attached.sha256,
        )
        await self._journal.note(owner, conversation_id, found)
        return copy.outcome, found

    async def _copy(
        self,
        owner: str,
        conversation_id: str,
        pages: AsyncIterator[Page],
        stored: Stored,
        known: Known | None,
    ) -> "_Copy | None":
        """Go through the source's messages, and send those that the target lacks."""
        copy: _Copy | None = None
        is_settled = False
        async for page in pages:
            copy = copy or _Copy(page, stored.facts)
            copy.read(page)
            missing = await stored.compare(page.messages)
            if not missing and (stored.facts is not None or is_settled):
                continue
            if not is_settled:
                await self._settle(owner, conversation_id, copy, stored, known)
                is_settled = True
            await self._send(owner, conversation_id, page, missing)
            copy.outcome = "copied" if stored.facts is None else "extended"
        if copy is None:
            return None
        if not is_settled:
            if await stored.take() is not None:
                raise DiffersError(
                    f"the target goes on behind its {copy.content.count} messages: it was "
                    "continued there, or rewritten at the source. Nothing of it was touched"
                )
            await self._settle(owner, conversation_id, copy, stored, known)
        return copy

    async def _with_damage(
        self, error: DiffersError, owner: str, conversation_id: str
    ) -> DiffersError:
        """The same, with what could not be read and may be the reason."""
        for place, end in ((self._source, "source"), (self._target, "target")):
            if lost := await place.count_lost(owner, conversation_id):
                return DiffersError(
                    f"{error}. But {lost} of its records can't be read at the {end}: run "
                    "`agentic conversations repair` there, or restore it from a back-up"
                )
        return error

    async def _settle(
        self,
        owner: str,
        conversation_id: str,
        copy: "_Copy",
        stored: Stored,
        known: Known | None,
    ) -> None:
        """Make what the target has of it like the source's, before anything is added.

        Raises:
            DiffersError: Somebody else changed it there.
        """
        store = self._target.store(owner)
        if stored.facts is None:
            await self._journal.note(owner, conversation_id, Known(copy.facts))
            return
        if changes := find_changed_facts(copy.wire, stored.facts, known):
            await store.update_conversation(conversation_id, **changes)
            await self._journal.note(owner, conversation_id, Known(copy.facts))
            copy.outcome = "extended"
        for message_id, annotations in stored.annotations.items():
            await store.annotate_message(conversation_id, message_id, annotations)
            self._tally.annotations_copied += 1
            copy.outcome = "extended"

    async def _send(
        self, owner: str, conversation_id: str, page: Page, messages: Sequence[Wire]
    ) -> None:
        document = {**page.document, "messages": list(messages)}
        result = await self._target.store(owner).import_conversation(
            document, conversation_id=conversation_id
        )
        self._tally.messages_copied += result.appended
        if result.skipped:
            raise DiffersError(
                f"{result.skipped} of its message ids have come to stand for something else there, "
                "while it was copied"
            )

    async def _verify(self, owner: str, conversation_id: str, copy: "_Copy") -> int:
        """Read what has arrived; its version.

        Raises:
            DiffersError: It is not what was sent.
        """
        arrived: _Copy | None = None
        async with aclosing(self._target.read(owner, conversation_id)) as pages:
            async for page in pages:
                arrived = arrived or _Copy(page, None)
                arrived.read(page)
        if arrived is None:
            raise DiffersError("it was deleted there while it was copied: run the same again")
        sent = copy.content
        if (arrived.content.count, arrived.content.hexdigest()) != (sent.count, sent.hexdigest()):
            raise DiffersError(
                f"what arrived is not what was sent: {sent.count} messages (SHA-256 "
                f"{sent.hexdigest()}) at the source and {arrived.content.count} "
                f"({arrived.content.hexdigest()}) at the target"
            )
        return arrived.source_version


class _Copy:
    """What was read of a conversation so far."""

    def __init__(self, first: Page, stored: Wire | None) -> None:
        self.outcome: Outcome = "equal"
        self.wire = first.facts
        self.facts = hash_facts(first.facts)
        self.source_version: int = first.facts["version"]
        self.target_version: int = 0 if stored is None else stored["version"]
        self.content = ContentHash(first.facts)
        self.lost = 0
        """Records that could not be read."""

    def read(self, page: Page) -> None:
        """Take in the next page."""
        self.content.add(page.messages)
        self.lost = max(0, page.facts["message_count"] - self.content.count)


def _attached(known: Known | None) -> Attached:
    if known is None:
        return Attached()
    return Attached(known.attachments, known.attachment_bytes, known.attachments_sha256)
