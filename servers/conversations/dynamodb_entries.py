"""Entries of the index: of conversations by owner, of deliveries by state, of what expires."""

import json
import zlib
from typing import Any, NamedTuple

from pydantic import ValidationError

from servers.aws.dynamodb import Attributes
from servers.conversations.contract import Conversation, encode_json
from servers.conversations.dynamodb_idle import written_at
from servers.conversations.dynamodb_items import (
    CLEANING,
    DELIVERIES,
    ENTRY,
    EXPIRIES,
    EXPIRY,
    LEFTOVERS,
    OWNER,
    OWNERS,
    DamagedError,
    Header,
    annotation_key,
    entry_place,
    entry_time,
    partition,
    split_partition,
)
from servers.conversations.file_projection import delivery_state
from servers.conversations.file_records import Facts

_FIELDS = (
    "created_at",
    "message_count",
    "version",
    "title",
    "tags",
    "metadata",
    "expires_at",
    "written",
)


def listing_of(owner: str, shard: int) -> str:
    """The partition of the index that holds an owner's entries, or a shard of them."""
    return f"@{shard or ''}@{owner}"


def shard_of(pk: str, shards: int) -> int:
    """In which shard a conversation's entry is."""
    return zlib.crc32(pk.encode()) % shards


def entry_item(
    pk: str, ordinal: int, header: Header, facts: Facts, shards: int
) -> dict[str, str | int | bytes]:
    """The entry of a conversation. Short: fifty of them shall fit into 8 KB."""
    told: list[Any] = [facts.created_at, header.count, ordinal]
    told += [facts.title, facts.tags, facts.metadata, facts.expires_at, header.written]
    while not told[-1]:
        told.pop()
    return {
        "pk": pk,
        "sk": ENTRY,
        "o": listing_of(facts.owner, shard_of(pk, shards)),
        "s": entry_place(header.updated, facts.conversation_id),
        "e": encode_json(told).decode(),
        "v": ordinal,
    }


class Entry(NamedTuple):
    """What an entry tells."""

    conversation: Conversation
    written_at: str
    """When the conversation was written to last, as far as the entry knows."""


def to_entry(item: Attributes) -> Entry:
    """What an entry tells.

    Raises:
        DamagedError: It is not as we write it.
    """
    try:
        owner, conversation_id = split_partition(str(item["pk"]))
        told = {
            name: value
            for name, value in zip(_FIELDS, json.loads(str(item["e"])), strict=False)
            if value
        }
        written = told.pop("written", None)
        conversation = Conversation.model_validate(
            {
                "message_count": 0,
                **told,
                "owner": owner,
                "conversation_id": conversation_id,
                "last_updated": entry_time(str(item["s"])),
            }
        )
        at = written_at(conversation.version, conversation.last_updated, written)
        return Entry(conversation, at)
    except (KeyError, ValueError, TypeError, ValidationError) as error:
        raise DamagedError(str(error)) from None


def expiry_item(pk: str, expires_at: str) -> Attributes:
    """What says when a conversation is to be removed."""
    return {"pk": pk, "sk": EXPIRY, "o": EXPIRIES, "s": expires_at}


def leftovers_item(pk: str, ordinal: int, since: str) -> Attributes:
    """What says that items from before `ordinal` are still to be removed."""
    return {"pk": pk, "sk": LEFTOVERS, "o": CLEANING, "s": since, "v": ordinal}


def owner_item(pk: str) -> Attributes:
    """What says that the owner of a conversation is one; it stays when the conversation goes."""
    owner, _ = split_partition(pk)
    return {"pk": partition(owner, ""), "sk": OWNER, "o": OWNERS, "s": owner}


def annotation_item(
    pk: str, token: str, number: int, body: Attributes | dict[str, Any], stored_at: str
) -> dict[str, str | int | bytes]:
    """The annotations of a message; in the index if they tell of a delivery.

    `body`: `message_id` and `annotations`; `stored_at`: when the message was.
    """
    annotations: dict[str, Any] = body.get("annotations") or {}  # pyright: ignore[reportAssignmentType]
    item: dict[str, str | int | bytes] = {
        "pk": pk,
        "sk": annotation_key(token, number),
        "i": str(body["message_id"]),
        "e": encode_json(annotations).decode(),
        "u": stored_at,
    }
    state = delivery_state(annotations)
    if state:
        item |= {"o": f"{DELIVERIES}{state}", "s": f"{stored_at}#{number:012d}"}
    return item
