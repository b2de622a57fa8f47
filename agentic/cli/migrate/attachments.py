"""Copies the attachments of one conversation, and compares what arrived, byte for byte."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.tally import Tally
from client.conversations import ConversationCallError
from client.hub.errors import ServerFaultError
from servers.conversations.contract_results import ConversationStats, StoredAttachment
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
        self, owner: str, conversation_id: str, known: Attached, linked: Collection[str]
    ) -> Attached:
        """Copy those that are missing. `linked`: ids that messages name, for a listing is short.

        Raises:
            DiffersError: They are not the same afterwards; says which.
            ConversationCallError: The conversation is gone, or a server refuses.
        """
        here = (await self._source.store(owner).get_conversation(conversation_id)).stats
        there = (await self._target.store(owner).get_conversation(conversation_id)).stats
        if known.sha256 and known.figures() == _figures(here) == _figures(there):
            return known
        if here.attachments == there.attachments == 0:
            return Attached()
        arrived = {each.attachment_id: each for each in there.latest_attachments}
        hashes: dict[str, str] = {}
        problems: list[str] = []
        for attachment_id in _name_all(here, linked):
            uri = AttachmentUri(conversation_id, attachment_id)
            try:
                hashes[attachment_id] = await self._copy(owner, uri, arrived)
            except (DiffersError, ConversationCallError, ServerFaultError) as error:
                if getattr(error, "code", None) != "not_found" or attachment_id not in linked:
                    problems.append(f"attachment {attachment_id}: {error}")
        there = (await self._target.store(owner).get_conversation(conversation_id)).stats
        if not problems and _figures(here) != _figures(there):
            problems = [
                f"{here.attachments} attachments of {here.attachment_bytes} bytes here, "
                f"{there.attachments} of {there.attachment_bytes} there"
            ]
        if problems:
            raise DiffersError("; ".join(problems))
        listed = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(hashes.items()))
        return Attached(*_figures(here), hashlib.sha256(listed.encode()).hexdigest())

    async def _copy(
        self, owner: str, uri: AttachmentUri, arrived: Mapping[str, StoredAttachment]
    ) -> str:
        """Copy one, if it is not there; its hash, which is that of what arrived."""
        sent, offset = hashlib.sha256(), 0
        there = arrived.get(uri.attachment_id)
        is_new = False
        async for part in self._source.attachments(owner).read(uri):
            if there is None or (there.name, there.mime_type, there.size) != (
                *(part.name, part.mime_type),
                part.size,
            ):
                is_new = True
                await self._target.store(owner).put_attachment(
                    uri.conversation_id,
                    part.data,
                    name=part.name,
                    mime_type=part.mime_type,
                    attachment_id=uri.attachment_id,
                    offset=offset,
                    total_size=part.size,
                )
            sent.update(part.data)
            offset += len(part.data)
        found = hashlib.sha256()
        async for part in self._target.attachments(owner).read(uri):
            found.update(part.data)
        if found.digest() != sent.digest():
            raise DiffersError("has other bytes there")
        self._tally.attachments_copied += is_new
        return sent.hexdigest()


def _figures(stats: ConversationStats) -> tuple[int, int]:
    return stats.attachments, stats.attachment_bytes


def _name_all(stats: ConversationStats, linked: Collection[str]) -> list[str]:
    """Those of a listing, which is of the latest only, and behind them what messages name."""
    latest = [each.attachment_id for each in stats.latest_attachments]
    if len(latest) == stats.attachments:
        return latest
    return [*(each for each in linked if each not in latest), *latest]
