"""What a verb writes to a conversation in DynamoDB, made out as items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from servers.aws.dynamodb import Attributes
from servers.conversations.dynamodb_entries import annotation_item
from servers.conversations.dynamodb_items import (
    Header,
    Kind,
    encode_payload,
    figures_of,
    first_ordinal,
    group,
    history_key,
    log_key,
    make_token,
    make_writer,
    part_key,
    split_partition,
    split_parts,
)
from servers.conversations.dynamodb_states import State
from servers.conversations.figures import Figures
from servers.conversations.file_projection import delivery_state
from servers.conversations.file_records import Draft, Facts

_WHOLE_MESSAGES = 16
_WHOLE_BYTES = 48 * 1024
"""Of the items that a history begins with: a page of the latest messages needs a few of them."""


@dataclass(slots=True)
class Plan:
    """What a verb writes."""

    kind: Kind
    drafts: Sequence[Draft] = ()
    facts: Facts | None = None
    """If they change, or the conversation begins with them."""
    at: str | None = None
    """What `last_updated` shall be, unless it is later already; now if absent."""
    seen: Mapping[str, int] | None = None
    """Of a history that takes another one's place: how often the messages there were annotated."""


@dataclass(slots=True)
class Write:
    """A plan, made out for a place in the log."""

    ordinal: int
    item: Attributes
    header: Header
    data: bytes
    bodies: Sequence[dict[str, Any]]
    facts: Facts | None
    begins: bool
    before: list[Attributes] = field(default_factory=list[Attributes])
    """What it refers to, which is written first and means nothing without it."""
    annotated: list[Attributes] = field(default_factory=list[Attributes])


def make_out(state: State, plan: Plan, now: str) -> Write:
    """The items of a plan, for the place in the log after a state."""
    known = state.header
    is_alive = state.is_alive(now)
    ordinal = first_ordinal() if known is None else state.ordinal + 1
    is_end = plan.kind == "tombstone"
    begins = is_end or plan.kind == "history" or not is_alive
    kind: Kind = "history" if begins and not is_end else plan.kind
    facts = plan.facts
    if facts is None and begins and not is_alive and not is_end:
        facts = bare_facts(state.pk, now)
    before = known if known is not None and not begins else None
    updated = now if known is None else max(now, known.updated)
    if plan.at is not None:
        updated = max(plan.at, known.updated) if known and is_alive else plan.at
    if plan.kind == "facts" and known is not None:
        updated = known.updated
    figures = figures_of(before) if before else Figures()
    for draft in plan.drafts:
        figures.add_message(draft.body, len(draft.encoded))
    token = before.token if before else make_token(ordinal)
    header = Header(
        kind=kind,
        generation=before.generation if before else ordinal,
        token=token,
        life=known.life if known and is_alive and not is_end else ordinal,
        count=(before.count if before else 0) + len(plan.drafts),
        added=len(plan.drafts),
        whole=before.whole if before else 0,
        updated=updated,
        facts_at=ordinal if facts is not None or known is None else known.facts_at,
        written=now if updated < now else None,
        expires_at=_expiry(known if is_alive else None, facts),
        writer=make_writer(),
        figures=tuple(figures.as_row()),
    )
    return _encode(state.pk, ordinal, header, plan, facts, begins=begins)


def _encode(
    pk: str,
    ordinal: int,
    header: Header,
    plan: Plan,
    facts: Facts | None,
    *,
    begins: bool,
) -> Write:
    sk, drafts = log_key(ordinal), plan.drafts
    before: list[Attributes] = []
    first = header.count - header.added
    if begins and len(drafts) > _WHOLE_MESSAGES:
        before = _to_history(pk, header, drafts)
        whole = sum(str(item["sk"]).startswith("G#") for item in before)
        header = header.model_copy(update={"whole": whole, "added": 0})
        drafts = ()
    given = facts.model_dump(exclude={"owner", "conversation_id"}) if facts else None
    data = encode_payload([draft.encoded for draft in drafts], given)
    parts = split_parts(data)
    if parts:
        header = header.model_copy(update={"parts": len(parts)})
        before += [
            {"pk": pk, "sk": part_key(sk, header.writer, number), "d": part}
            for number, part in enumerate(parts)
        ]
    item: dict[str, str | int | bytes] = {
        "pk": pk,
        "sk": sk,
        "h": header.to_json(),
        "d": b"" if parts else data,
    }
    annotated: list[Attributes] = [
        annotation_item(pk, header.token, number, draft.body, header.updated)
        for number, draft in enumerate(plan.drafts, first)
        if delivery_state(draft.body.get("annotations") or {}) is not None
    ]
    if begins:  # its name is its own: nothing can be in the way
        before, annotated = before + annotated, []
    bodies = [draft.body for draft in drafts]
    return Write(ordinal, item, header, data, bodies, facts, begins, before, annotated)


def bare_facts(pk: str, now: str) -> Facts:
    """The facts of a conversation that nobody has told anything about."""
    owner, conversation_id = split_partition(pk)
    return Facts(owner=owner, conversation_id=conversation_id, created_at=now)


def _to_history(pk: str, header: Header, drafts: Sequence[Draft]) -> list[Attributes]:
    items: list[Attributes] = []
    sizes = [len(draft.encoded) for draft in drafts]
    for number, piece in enumerate(group(sizes, _WHOLE_MESSAGES, _WHOLE_BYTES)):
        sk = history_key(header.token, number)
        data = encode_payload([draft.encoded for draft in drafts[piece]], None)
        parts = split_parts(data)
        of_piece = header.model_copy(
            update={
                "count": piece.stop,
                "added": piece.stop - piece.start,
                "parts": len(parts),
                "figures": (),
                "kind": "messages",
            }
        )
        items += [
            {"pk": pk, "sk": part_key(sk, header.writer, place), "d": part}
            for place, part in enumerate(parts)
        ]
        items.append({"pk": pk, "sk": sk, "h": of_piece.to_json(), "d": b"" if parts else data})
    return items


def _expiry(known: Header | None, facts: Facts | None) -> str | None:
    if facts is not None:
        return facts.expires_at
    return known.expires_at if known else None
