"""Tells a chat what the bot answered there and could not keep: once, whenever that is found out."""

import re
from collections.abc import Mapping

from bot import wording
from bot.chat_records import first_conversation
from bot.people import People
from bot.post import Post
from client.spool.aside import SetAside
from client.spool.folder import WHY, key_of
from client.spool.spool import Spool


async def tell_losses(spool: Spool, post: Post, people: People) -> None:
    """Tell of what the store refuses, for ever."""

    async def tell(lost: SetAside) -> None:
        chat_id = _find_chat(lost, people.owners)
        if chat_id is not None:
            await post.say(chat_id, wording.render_lost(WHY[lost.why]))

    await spool.tell_set_aside(tell)


def _find_chat(lost: SetAside, people: Mapping[str, str]) -> int | None:
    """The chat of a turn; what can't be read may belong to a chat's first conversation."""
    if lost.entry is None:
        first = {
            key_of(owner, first_conversation(int(chat))): chat for chat, owner in people.items()
        }
        chat = first.get(lost.key)
        return None if chat is None else int(chat)
    found = re.match(r"telegram:(-?\d+):", lost.entry.turn_id)  # another program's has no chat
    if found is None or people.get(found[1]) != lost.entry.owner:
        return None
    return int(found[1])
