"""What an earlier start of the bot left undone, found behind MCP and put into the chats' lanes."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.answering import Answerer, Question
from bot.deliveries import DeliveryFacts, DeliveryState, StoredMessage, parse_delivery
from bot.lanes import Lanes
from bot.store_patience import keep_trying
from client.conversations import RemoteConversationStore, ToolCaller
from client.spool.spool import Spool

logger = logging.getLogger(__name__)

Found = tuple[StoredMessage, DeliveryFacts]


async def take_up_unfinished(
    hub: ToolCaller, people: Mapping[str, str], *, answerer: Answerer, lanes: Lanes, spool: Spool
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
    answered = {replace(where, message_id=where.turn_id) for where, _ in replies}
    waiting = [
        (where, facts)
        for where, facts in await _find(hub, people, "unanswered")
        if where not in answered
    ]
    for where, facts in replies:
        lanes.push(facts.chat_id, partial(answerer.deliver_stored, where))
    for where, facts in waiting:
        question = Question(where, facts, quote=True)
        lanes.push(facts.chat_id, partial(answerer.answer_again, question))
    if replies or waiting:
        logger.info("Left by an earlier start: %d replies, %d messages", len(replies), len(waiting))


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
