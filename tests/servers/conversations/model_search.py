"""Search in the model: every text is looked at."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from servers.conversations.contract import Role
from servers.conversations.contract_results import SearchHit, SearchResult
from servers.conversations.search_matches import match, score
from servers.conversations.search_query import Search
from tests.servers.conversations.model_conversation import Held


class _Text(NamedTuple):
    conversation_id: str
    message_id: str | None
    role: Role | None
    created_at: str
    text: str


def search(wanted: Search, all_held: Iterable[Held]) -> SearchResult:
    """What is found in all that an owner has, the best first, then the newer one."""
    texts = [
        text
        for held in all_held
        if held.lives
        and held.owner == wanted.owner
        and wanted.conversation_id in (None, held.conversation_id)
        for text in _texts_of(held)
        if wanted.role in (None, text.role) and (wanted.since or "") <= text.created_at
    ]
    hits = [hit for text in texts if (hit := _to_hit(text, wanted))]
    hits.sort(key=lambda hit: (hit.score, hit.created_at))
    hits.reverse()
    return SearchResult(hits=hits[: wanted.limit], truncated=len(hits) > wanted.limit)


def _texts_of(held: Held) -> Iterator[_Text]:
    if held.facts["title"] is not None:
        yield _Text(held.conversation_id, None, None, held.created_at, held.facts["title"])
    for message in held.messages:
        at = str(message.created_at)
        yield _Text(held.conversation_id, message.message_id, message.role, at, message.text())


def _to_hit(text: _Text, wanted: Search) -> SearchHit | None:
    found = match(text.text, wanted.terms)
    if found is None:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(text.created_at)
    points = score(found.frequencies, found.words, age / timedelta(days=1))
    return SearchHit(
        conversation_id=text.conversation_id,
        message_id=text.message_id,
        role=text.role,
        created_at=text.created_at,
        snippet=found.snippet,
        score=round(points, 4),
    )
