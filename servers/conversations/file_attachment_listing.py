"""The attachments in a conversation's folder, as listings tell of them; and their files' names."""

import base64
import hashlib
from contextlib import suppress

from servers.conversations.contract_results import StoredAttachment
from servers.conversations.file_attachment_facts import AttachmentFacts, DamagedError
from servers.conversations.file_attachment_files import names_in, read_beginning, status_of

BYTES, COMPLETE, INCOMPLETE, NEW = ".bin", ".json", ".part", ".new"
MAX_FACTS_BYTES = 16 * 1024


def name_of(attachment_id: str) -> str:
    """What an attachment's files are called, without their ends."""
    digest = hashlib.sha256(attachment_id.encode()).digest()
    return base64.b32encode(digest)[:32].decode().lower()


def stem_of(name: str) -> str:
    """A file's name without its end."""
    return name.partition(".")[0]


def measure(folder_fd: int | None) -> tuple[int, int]:
    """How many attachments are complete, and how many bytes they have."""
    complete = _complete_in(folder_fd)
    found = [status_of(folder_fd, stem_of(name) + BYTES) for name in complete]
    return len(complete), sum(status.st_size for status in found if status)


def find_latest(folder_fd: int | None, limit: int) -> list[StoredAttachment]:
    """So many of the complete ones that were written to last, in the order they were begun."""
    names = _complete_in(folder_fd)
    written = {name: status_of(folder_fd, name) for name in names}
    names.sort(key=lambda name: status.st_mtime_ns if (status := written[name]) else 0)
    found: list[AttachmentFacts] = []
    for name in names[-limit:]:
        with suppress(DamagedError):  # reading it tells; `verify` names it
            found.append(_read(folder_fd, name))
    return [_to_stored(facts) for facts in sorted(found, key=lambda facts: facts.created_at)]


def find_from(folder_fd: int | None, after: str, limit: int) -> list[StoredAttachment | None]:
    """The complete ones in the order of their files' names, behind one; None: it can't be read.

    `limit`: of those that can be.
    """
    found: list[StoredAttachment | None] = []
    for name in sorted(name for name in _complete_in(folder_fd) if stem_of(name) > after):
        try:
            found.append(_to_stored(_read(folder_fd, name)))
            limit -= 1
        except DamagedError:
            found.append(None)
        if not limit:
            break
    return found


def _to_stored(facts: AttachmentFacts) -> StoredAttachment:
    """As it is told of."""
    return StoredAttachment(
        attachment_id=facts.attachment_id,
        name=facts.name,
        mime_type=facts.mime_type,
        size=facts.size,
    )


def _complete_in(folder_fd: int | None) -> list[str]:
    return [name for name in names_in(folder_fd) if name.endswith(COMPLETE)]


def _read(folder_fd: int | None, name: str) -> AttachmentFacts:
    text = None if folder_fd is None else read_beginning(folder_fd, name, MAX_FACTS_BYTES)
    facts = AttachmentFacts.parse(text or b"")
    if name_of(facts.attachment_id) != stem_of(name):
        raise DamagedError
    return facts
