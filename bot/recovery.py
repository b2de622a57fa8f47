"""What an earlier start of the bot left undone, found behind MCP and put into the chats' lanes."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.answering import Answerer, Question
from bot.deliveries import DeliveryFacts, DeliveryState, StoredMessage, parse_delivery
from bot.lanes import Lanes
from bot.runs import Runs
from bot.store_patience import keep_trying
from client.conversations import RemoteConversationStore, ToolCaller
from client.spool.spool import Spool

logger = logging.getLogger(__name__)

_LOOKED_AT = 100
"""Of the latest messages; one that stands before them counts as begun."""

Found = tuple[StoredMessage, DeliveryFacts]


async def take_up_unfinished(
    hub: ToolCaller,
    people: Mapping[str, str],
    *,
    answerer: Answerer,
    lanes: Lanes,
    runs: Runs,
    spool: Spool,
) -> None:
    """Store what waits in the spool, send the replies that were not sent, then answer the messages.

    Waits for the store. `people`: Telegram user ids, as text, to owners.
    """
    # First, since it knows of replies that are done and deliveries that were begun.
    await keep_trying(spool.replay_all, "store what waits in the spool")
    replies = [
        *await _find(hub, people, "attempting"),
        *await _find(hub, people, "pending"),
    ]
    unanswered = await _find(hub, people, "unanswered")
    settled = {replace(where, message_id=where.turn_id) for where, _ in replies}
    # Those before the last of a run are answered with it.
    settled |= {replace(where, message_id=one) for where, facts in unanswered for one in facts.run}
    waiting = [(where, facts) for where, facts in unanswered if where not in settled]
    for where, facts in replies:
        lanes.push(facts.chat_id, partial(answerer.deliver_stored, where))
    questions = [Question(where, facts, quote=True) for where, facts in waiting]
    begun = [await _may_have_begun(hub, question) for question in questions]
    for question, has_begun in zip(questions, begun, strict=True):
        if has_begun:
            runs.push_begun(question, is_again=True)
        else:
            runs.push(question, is_again=True)
    if replies or waiting:
        logger.info("Left by an earlier start: %d replies, %d messages", len(replies), len(waiting))


async def _may_have_begun(hub: ToolCaller, question: Question) -> bool:
    """Whether anything is left of a turn of this message: then no other can stand in for it."""
    where, facts = question.where, question.facts
    if facts.run or facts.attempts or facts.drafts or facts.drafting:
        return True
    store = RemoteConversationStore(hub, where.owner)
    page = await keep_trying(
        partial(store.load_conversation, where.conversation_id, limit=_LOOKED_AT),
        "read what was begun",
    )
    mine = [message for message in page.messages if message.turn_id == where.message_id]
    return len(mine) != 1  # its own


async def _find(hub: ToolCaller, people: Mapping[str, str], state: DeliveryState) -> list[Found]:
    store = RemoteConversationStore(hub)
    found: list[Found] = []
    cursor: str | None = None
    while True:
        page = await keep_trying(
            partial(store.list_deliveries, state, cursor=cursor), "list what is not delivered"
        )
        for delivery in page.deliveries:
            facts = parse_delivery(delivery.annotations)
            if facts is None:
                continue  # another program's
            # People may annotate their own messages as they like: that must not reach others.
            if people.get(str(facts.chat_id)) != delivery.owner:
                logger.warning("Not sent: %r may not write to that chat", delivery.owner)
                continue
            where = StoredMessage(delivery.owner, delivery.conversation_id, delivery.message_id)
            found.append((where, facts))
        cursor = page.next_cursor
        if cursor is None:
            return found
