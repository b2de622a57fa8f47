"""Copies the attachments of one conversation, and compares what arrived, byte for byte."""

import hashlib
from contextlib import aclosing
from dataclasses import dataclass

from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.tally import Tally
from client.attachments import Part
from client.conversations import ConversationCallError
from client.hub.errors import ServerFaultError
from servers.conversations.contract_results import ConversationStats
from servers.conversations.contract_uris import AttachmentUri


@dataclass(frozen=True, slots=True)
class Attached:
    """What the attachments of a conversation are, all together."""

    count: int = 0
    bytes: int = 0
    sha256: str = ""

    def figures(self) -> tuple[int, int]:
        """What can be known without reading them: none is ever changed."""
        return self.count, self.bytes


class AttachmentCopier:
    """Brings attachments from one end to the other."""

    def __init__(self, source: Place, target: Place, tally: Tally) -> None:
        self._source = source
        self._target = target
        self._tally = tally

    async def bring(
        self,
        owner: str,
        conversation_id: str,
        known: Attached,
        *,
        is_new: bool,
    ) -> Attached:
        """Copy those that are missing. `is_new`: the target had no such conversation before.

        Raises:
            DiffersError: They are not the same afterwards; says which.
            ConversationCallError: The conversation is gone, or a server refuses.
        """
        here = (await self._source.store(owner).get_conversation(conversation_id)).stats
        if is_new and not here.attachments:
            return Attached()
        there = (await self._target.store(owner).get_conversation(conversation_id)).stats
        if known.sha256 and known.figures() == _figures(here) == _figures(there):
            return known
        if here.attachments == there.attachments == 0:
            return Attached()
        arrived, _ = await _list(self._target, owner, conversation_id)
        wanted, damaged = await _list(self._source, owner, conversation_id)
        hashes: dict[str, str] = {}
        problems: list[str] = []
        for attachment_id in sorted(wanted):
            uri = AttachmentUri(conversation_id, attachment_id)
            try:
                hashes[attachment_id] = await self._copy(
                    owner, uri, is_there=attachment_id in arrived
                )
            except (DiffersError, ConversationCallError, ServerFaultError) as error:
                problems.append(f"attachment {attachment_id}: {error}")
        there = (await self._target.store(owner).get_conversation(conversation_id)).stats
        if not problems:
            problems = _find_missing(here, there, len(hashes), damaged)
        if problems:
            raise DiffersError("; ".join(problems))
        listed = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(hashes.items()))
        return Attached(*_figures(here), hashlib.sha256(listed.encode()).hexdigest())

    async def _copy(self, owner: str, uri: AttachmentUri, *, is_there: bool) -> str:
        """Copy one, if it is not there; the hash of what arrived."""
        sent, offset = _Hash(), 0
        async for part in self._source.attachments(owner).read(uri):
            sent.add(part)
            if not is_there:
                await self._target.store(owner).put_attachment(
                    uri.conversation_id,
                    part.data,
                    name=part.name,
                    mime_type=part.mime_type,
                    attachment_id=uri.attachment_id,
                    offset=offset,
                    total_size=part.size,
                )
            offset += len(part.data)
        found = _Hash()
        async for part in self._target.attachments(owner).read(uri):
            found.add(part)
        if found.hexdigest() != sent.hexdigest():
            raise DiffersError("has another name, type or content there")
        self._tally.attachments_copied += not is_there
        return sent.hexdigest()


class _Hash:
    """SHA-256 over name, type and bytes of an attachment."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._has_begun = False

    def add(self, part: Part) -> None:
        """The next part."""
        if not self._has_begun:
            self._sha256.update(f"{part.name}\0{part.mime_type}\0".encode())
            self._has_begun = True
        self._sha256.update(part.data)

    def hexdigest(self) -> str:
        """The hash of all so far."""
        return self._sha256.hexdigest()


def _figures(stats: ConversationStats) -> tuple[int, int]:
    return stats.attachments, stats.attachment_bytes


async def _list(place: Place, owner: str, conversation_id: str) -> tuple[set[str], int]:
    """The ids of all attachments, and how many can't be told of because they are damaged."""
    found: set[str] = set()
    damaged = 0
    async with aclosing(place.list_attachments(owner, conversation_id)) as pages:
        async for page in pages:
            found |= {each.attachment_id for each in page.attachments}
            damaged += page.damaged
    return found, damaged


def _find_missing(
    here: ConversationStats, there: ConversationStats, found: int, damaged: int
) -> list[str]:
    if damaged or found < here.attachments:
        return [
            f"{damaged or here.attachments - found} of its attachments can't be read at the "
            "source; all others were copied. Put them there again, or restore them from a back-up "
            "(of files `agentic conversations verify` names them)"
        ]
    if _figures(here) != _figures(there):
        return [
            f"{here.attachments} attachments of {here.attachment_bytes} bytes at the source, "
            f"{there.attachments} of {there.attachment_bytes} at the target"
        ]
    return []
