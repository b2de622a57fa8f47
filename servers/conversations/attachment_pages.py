"""Pages of a conversation's attachments, the same for each back end."""

from collections.abc import Sequence

from servers.conversations.checks import check_id, check_owner_name, check_range
from servers.conversations.contract_attachments import MAX_LISTED_ATTACHMENTS
from servers.conversations.contract_results import AttachmentsResult, StoredAttachment
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.page_sizes import fit


def read_place(owner: str, conversation_id: str, limit: int, cursor: str | None) -> str | None:
    """The id of the attachment that a page begins behind.

    Raises:
        InvalidError: What is asked for can't be.
    """
    check_owner_name(owner)
    check_id(conversation_id)
    check_range("limit", limit, 1, MAX_LISTED_ATTACHMENTS)
    if cursor is None:
        return None
    return str(read_cursor(cursor, "cursor", _scope(owner, conversation_id), (str,))[0])


def to_page(
    owner: str, conversation_id: str, found: Sequence[StoredAttachment | None], limit: int
) -> AttachmentsResult:
    """A page of what was found behind a place: one more than `limit`, or all. None: damaged."""
    whole = [each for each in found if each is not None]
    fitting = fit(whole, limit)
    cursor = None
    if len(fitting) < len(whole):
        found = found[: found.index(fitting[-1])]
        cursor = make_cursor(_scope(owner, conversation_id), [fitting[-1].attachment_id])
    return AttachmentsResult(
        attachments=fitting, next_cursor=cursor, damaged=sum(each is None for each in found)
    )


def _scope(owner: str, conversation_id: str) -> tuple[str, ...]:
    return "attachments", owner, conversation_id
