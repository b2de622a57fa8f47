"""Questions over many rows of the index: listings, deliveries, totals, what is gone."""

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from servers.conversations.contract import Conversation, encode_json
from servers.conversations.contract_results import Delivery
from servers.conversations.file_expiry import Horizon
from servers.conversations.file_index_seals import prove_names, unseal, unseal_facts

_AFTER_ALL_TIMES = "~"


def find_totals(connection: sqlite3.Connection, horizon: Horizon) -> tuple[int, int, int, int, int]:
    """Owners, conversations, messages, bytes of messages; deleted conversations.

    What has expired is none of them, until it is removed and so deleted.
    """
    return connection.execute(
        """SELECT count(DISTINCT CASE WHEN there THEN owner END), coalesce(sum(there), 0),
        coalesce(sum(there * count), 0), coalesce(sum(there * bytes), 0),
        count(*) - coalesce(sum(alive), 0)
        FROM (SELECT owner, count, bytes, alive, alive
            AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns AS there
            FROM conversations)""",
        asdict(horizon),
    ).fetchone()


def select_newest(
    connection: sqlite3.Connection,
    owner: str,
    *,
    tag: str | None,
    after: tuple[str, str] | None,
    offset: int,
    limit: int,
    horizon: Horizon,
) -> list[Conversation]:
    """Conversations in the order of a listing, from `offset` or `after` (last_updated, id) on."""
    rows = connection.execute(
        """SELECT key, facts, version, count, last_updated FROM conversations c
        WHERE owner = :owner AND alive
            AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns
            AND last_updated <= :at AND (last_updated < :at OR conversation_id > :id)
            AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE key = c.key AND tag = :tag))
        ORDER BY last_updated DESC, conversation_id LIMIT :limit OFFSET :offset""",
        {
            "owner": owner,
            **asdict(horizon),
            "at": after[0] if after else _AFTER_ALL_TIMES,
            "id": after[1] if after else "",
            "tag": tag,
            "limit": limit,
            "offset": offset,
        },
    )
    return [
        Conversation(
            **unseal_facts(key, facts, owner),
            version=version,
            message_count=count,
            last_updated=last_updated,
        )
        for key, facts, version, count, last_updated in rows
    ]


def select_deliveries(
    connection: sqlite3.Connection,
    state: str,
    *,
    owner: str | None,
    after: tuple[str, str, int] | None,
    limit: int,
    horizon: Horizon,
) -> list[tuple[Delivery, tuple[str, str, int]]]:
    """Deliveries, oldest first, each with its place (stored_at, key, seq), from `after` on."""
    stored_at, key, seq = after or ("", "", 0)
    rows = connection.execute(
        # CROSS JOIN keeps the order of the tables: the index by state leads.
        """SELECT c.facts, a.message_id, a.body, a.stored_at, a.key, a.seq
        FROM annotations a CROSS JOIN conversations c ON c.key = a.key
        WHERE a.state = :state AND (:owner IS NULL OR a.owner = :owner)
            AND alive AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns
            AND (a.stored_at, a.key, a.seq) > (:stored_at, :key, :seq)
        ORDER BY a.stored_at, a.key, a.seq LIMIT :limit""",
        {
            "state": state,
            "owner": owner,
            **asdict(horizon),
            "stored_at": stored_at,
            "key": key,
            "seq": seq,
            "limit": limit,
        },
    )
    return [
        (
            Delivery(
                owner=of["owner"],
                conversation_id=of["conversation_id"],
                message_id=message_id,
                state=state,
                annotations=unseal(key + message_id, body),
            ),
            (stored_at, key, seq),
        )
        for facts, message_id, body, stored_at, key, seq in rows
        for of in [unseal_facts(key, facts, owner)]
    ]


def select_owners(
    connection: sqlite3.Connection, *, after: str, limit: int, horizon: Horizon
) -> list[str]:
    """Owners of conversations that have not expired, in the order of their bytes.

    Each is looked up behind the one before: how many conversations they have does not matter.
    """
    sql = """SELECT key, owner, conversation_id FROM conversations
        WHERE owner > :after AND alive
            AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns
        ORDER BY owner LIMIT 1"""
    found: list[str] = []
    while len(found) < limit:
        row = connection.execute(sql, {"after": after, **asdict(horizon)}).fetchone()
        if row is None:
            break
        after, _ = prove_names(*row)
        found.append(after)
    return found


def select_gone(
    connection: sqlite3.Connection, prefix: str, keys: Sequence[str], horizon: Horizon
) -> list[tuple[str, str]]:
    """Owner and id of those with this prefix that have expired, or are deleted and in `keys`."""
    rows = connection.execute(
        """SELECT key, owner, conversation_id FROM conversations
        WHERE key >= :prefix AND key < :prefix || '~' AND CASE WHEN alive
            THEN expires_at <= :now OR mtime_ns < :idle_since_ns
            ELSE key IN (SELECT value FROM json_each(:keys)) END""",
        {"prefix": prefix, "keys": encode_json(keys).decode(), **asdict(horizon)},
    )
    return [prove_names(*row) for row in rows]
