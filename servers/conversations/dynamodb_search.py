"""Search in DynamoDB, which has no full text: one conversation is read backwards, so far."""

from datetime import UTC, datetime

from servers.conversations.contract_results import SearchHit, SearchResult
from servers.conversations.dynamodb_log import Log
from servers.conversations.dynamodb_reads import to_conversation
from servers.conversations.dynamodb_states import State
from servers.conversations.file_records import to_message
from servers.conversations.search_matches import match, score
from servers.conversations.search_query import Search
from servers.conversations.store_errors import UnsupportedError

MAX_SCANNED_MESSAGES = 2_000
_ITEMS = 100
_SECONDS_A_DAY = 86_400


def refuse_all() -> UnsupportedError:
    """The error of a search over all conversations."""
    return UnsupportedError(
        "this store (DynamoDB) can't search all conversations at once: name a conversation_id, "
        f"whose latest {MAX_SCANNED_MESSAGES:,} messages are looked through, or list "
        "conversations by tag",
        field="conversation_id",
    )


async def search(log: Log, state: State, wanted: Search) -> SearchResult:
    """What is found in the title and in the latest messages; `truncated` if there are more."""
    assert state.header is not None
    hits: list[SearchHit] = []
    conversation = to_conversation(state, await log.read_facts(state))
    if wanted.role is None:
        found = _look(conversation.title or "", conversation.created_at, wanted)
        if found:
            hits.append(_hit(wanted, None, None, conversation.created_at, found))
    scanned = 0
    async for item in log.backward(state, items=_ITEMS):
        for body in reversed(item.messages or []):
            scanned += 1
            if wanted.role in (None, body["role"]):
                found = _look(to_message(body).text(), body["created_at"], wanted)
                if found:
                    hits.append(
                        _hit(wanted, body["message_id"], body["role"], body["created_at"], found)
                    )
        if scanned >= MAX_SCANNED_MESSAGES:
            break
    hits.sort(key=lambda hit: hit.score, reverse=True)
    return SearchResult(
        hits=hits[: wanted.limit],
        truncated=len(hits) > wanted.limit or scanned < state.header.count,
    )


def _look(text: str, created_at: str, wanted: Search) -> tuple[str, float] | None:
    """Snippet and score."""
    if wanted.since is not None and created_at < wanted.since:
        return None
    found = match(text, wanted.terms)
    if found is None:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(created_at)
    return found.snippet, score(
        found.frequencies, found.words, age.total_seconds() / _SECONDS_A_DAY
    )


def _hit(
    wanted: Search,
    message_id: str | None,
    role: str | None,
    created_at: str,
    found: tuple[str, float],
) -> SearchHit:
    return SearchHit.model_validate(
        {
            "conversation_id": wanted.conversation_id,
            "message_id": message_id,
            "role": role,
            "created_at": created_at,
            "snippet": found[0],
            "score": round(found[1], 4),
        }
    )
