"""Goes through all owners and their conversations, again and again until nothing is new."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from agentic.cli.failures import CommandError
from agentic.cli.migrate.content import hash_facts
from agentic.cli.migrate.copying import Copier
from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.journal import Journal, Known
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.tally import Result, Tally
from client.conversations import ConversationCallError
from client.hub.errors import InvalidArgumentsError, ServerFaultError
from servers.conversations.contract import Conversation
from servers.conversations.contract_results import Delivery

AT_ONCE = 8
"""Conversations that are copied side by side."""
MAX_ROUNDS = 5
_OF_ALL = ("forbidden", "unsupported")
"""Refusals that the other conversations would meet as well."""
_MAX_REFUSED_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class _There:
    """What the target's listing says of a conversation."""

    version: int
    facts: str
    message_count: int

    @classmethod
    def of(cls, conversation: Conversation, version: int) -> "_There":
        """What it says of one that is like this, in this version."""
        return cls(version, hash_facts(conversation), conversation.message_count)


class Migration:
    """All conversations of one server, brought to another."""

    def __init__(
        self,
        source: Place,
        target: Place,
        journal: Journal,
        tally: Tally,
        on_step: Callable[[], None] = lambda: None,
        *,
        thorough: bool = False,
    ) -> None:
        """`on_step` is called when another conversation is done.

        `thorough`: what was compared by an earlier run is read again, too.
        """
        self._source = source
        self._target = target
        self._journal = journal
        self._tally = tally
        self._on_step = on_step
        self._thorough = thorough
        self._copier = Copier(source, target, journal, tally)
        self._slots = anyio.Semaphore(AT_ONCE)
        self._refused_in_a_row = 0

    async def run(self) -> bool:
        """Go on until nothing new was found; False if it was still coming in after five rounds.

        Raises:
            CommandError: A server refuses one conversation after the other.
            ConversationCallError: It would refuse all.
            HubError: A server does not answer, even after a while.
        """
        for number in range(MAX_ROUNDS):
            self._tally.rounds = number + 1
            if not await self._go_round(is_first=number == 0):
                return True
        return False

    async def _go_round(self, *, is_first: bool) -> bool:
        """Look at everything once; whether anything was copied."""
        tally = self._tally
        before = (tally.messages_copied, tally.annotations_copied, tally.attachments_copied)
        tally.only_on_target = 0
        differing = await self._find_differing_deliveries()
        async for owner in self._source.list_owners():
            await self._go_through(owner, differing.get(owner, set()), is_first=is_first)
        return before != (
            *(tally.messages_copied, tally.annotations_copied),
            tally.attachments_copied,
        )

    async def _find_differing_deliveries(self) -> Mapping[str, set[str]]:
        """By owner, conversations whose open deliveries differ, of which no version tells."""
        here = {_name(each) async for each in self._source.list_unfinished()}
        there = {_name(each) async for each in self._target.list_unfinished()}
        found: dict[str, set[str]] = {}
        for owner, conversation_id, *_ in here ^ there:
            found.setdefault(owner, set()).add(conversation_id)
        return found

    async def _go_through(self, owner: str, differing: set[str], *, is_first: bool) -> None:
        there = {
            each.conversation_id: _There.of(each, each.version)
            async for page in self._target.list_conversations(owner)
            for each in page
        }
        unseen = set(there)
        async for page in self._source.list_conversations(owner):
            known = await self._journal.find(owner, [each.conversation_id for each in page])
            async with anyio.create_task_group() as tasks:
                for each in page:
                    unseen.discard(each.conversation_id)
                    await self._slots.acquire()
                    tasks.start_soon(
                        self._look_at,
                        each,
                        there.get(each.conversation_id),
                        known.get(each.conversation_id),
                        each.conversation_id in differing,
                        is_first,
                    )
        self._tally.only_on_target += len(unseen)

    async def _look_at(
        self,
        here: Conversation,
        there: _There | None,
        known: Known | None,
        differs: bool,  # noqa: FBT001 - start_soon passes no names
        is_first: bool,  # noqa: FBT001
    ) -> None:
        try:
            if differs or not await self._is_done(here, there, known, is_first=is_first):
                await self._bring(here, there, known)
        finally:
            self._slots.release()
        self._on_step()

    async def _is_done(
        self, here: Conversation, there: _There | None, known: Known | None, *, is_first: bool
    ) -> bool:
        """Whether it is known that there is nothing to do."""
        key = (here.owner, here.conversation_id)
        versions = (here.version, there.version if there else 0)
        earlier = self._tally.results.get(key)
        if earlier and earlier.problem and earlier.versions == versions:
            return True
        if (
            (self._thorough and is_first)
            or known is None
            or there is None
            or versions != (known.source_version, known.target_version)
            or there != _There.of(here, there.version)
            or (is_first and not await self._is_unchanged(here, known))
        ):
            return False
        self._tally.put(key, Result("unchanged", known))
        return True

    async def _is_unchanged(self, listed: Conversation, known: Known) -> bool:
        """Whether it is as it was when it was compared: a listing may lag, and tells no files."""
        try:
            here = await self._source.store(listed.owner).get_conversation(listed.conversation_id)
        except ConversationCallError:
            return False  # to be told when it is read
        return (here.version, here.stats.attachments, here.stats.attachment_bytes) == (
            *(known.source_version, known.attachments, known.attachment_bytes),
        )

    async def _bring(self, here: Conversation, there: _There | None, known: Known | None) -> None:
        key = (here.owner, here.conversation_id)
        versions = (here.version, there.version if there else 0)
        try:
            brought = await self._copier.bring(*key, known)
        except DiffersError as error:
            await self._journal.doubt(*key)
            self._tally.put(key, Result("differing", None, f"{error}.", versions))
        except (ConversationCallError, ServerFaultError, InvalidArgumentsError) as error:
            if isinstance(error, ConversationCallError) and error.code in _OF_ALL:
                raise
            self._refused_in_a_row += 1
            if self._refused_in_a_row > _MAX_REFUSED_IN_A_ROW:
                raise CommandError(str(error)) from None
            self._tally.put(key, Result("differing", None, str(error), versions))
        else:
            self._refused_in_a_row = 0
            if brought is not None:
                self._tally.put(key, Result(*brought))


def _name(delivery: Delivery) -> tuple[str, str, str, str]:
    annotations = json.dumps(delivery.annotations, sort_keys=True)
    return delivery.owner, delivery.conversation_id, delivery.message_id, annotations
