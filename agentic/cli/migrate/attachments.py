"""Copies the attachments of one conversation, and compares what arrived, byte for byte."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.tally import Tally
from client.attachments import Part
from client.conversations import ConversationCallError
from client.hub.errors import ServerFaultError
from servers.conversations.contract_attachments import MAX_LISTED_ATTACHMENTS
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
        linked: Collection[str],
        *,
        is_new: bool,
    ) -> Attached:
        """Copy those that are missing. `linked`: ids that messages name, for a listing is short.

        `is_new`: the target had no such conversation before.

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
        arrived = {each.attachment_id for each in there.latest_attachments}
        has_more = there.attachments > len(arrived)
        hashes: dict[str, str] = {}
        problems: list[str] = []
        for attachment_id in _name_all(here, linked):
            uri = AttachmentUri(conversation_id, attachment_id)
            try:
                is_there = attachment_id in arrived or (
                    has_more and await self._is_there(owner, uri)
                )
                hashes[attachment_id] = await self._copy(owner, uri, is_there=is_there)
            except (DiffersError, ConversationCallError, ServerFaultError) as error:
                if getattr(error, "code", None) != "not_found" or attachment_id not in linked:
                    problems.append(f"attachment {attachment_id}: {error}")
        there = (await self._target.store(owner).get_conversation(conversation_id)).stats
        if not problems:
            problems = _find_missing(here, there, len(hashes))
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

    async def _is_there(self, owner: str, uri: AttachmentUri) -> bool:
        """Whether the target has one that its listing is too short to tell of."""
        try:
            async for _ in self._target.attachments(owner).read(uri):
                break
        except ConversationCallError as error:
            if error.code != "not_found":
                raise
            return False
        return True


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


def _find_missing(here: ConversationStats, there: ConversationStats, found: int) -> list[str]:
    if found < here.attachments:
        return [
            f"{here.attachments - found} of its attachments were not copied: they are neither "
            f"among the latest {MAX_LISTED_ATTACHMENTS}, which are listed, nor named by a message, "
            "or are damaged. `agentic conversations verify` there says which are damaged"
        ]
    if _figures(here) != _figures(there):
        return [
            f"{here.attachments} attachments of {here.attachment_bytes} bytes at the source, "
            f"{there.attachments} of {there.attachment_bytes} at the target"
        ]
    return []


def _name_all(stats: ConversationStats, linked: Collection[str]) -> list[str]:
    """Those of a listing, which is of the latest only, and behind them what messages name."""
    latest = [each.attachment_id for each in stats.latest_attachments]
    if len(latest) == stats.attachments:
        return latest
    return [*(each for each in linked if each not in latest), *latest]
