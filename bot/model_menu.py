"""`/model`: shows the models there are, on buttons, and changes to one."""

import base64
import hashlib

from bot import wording
from bot.arrivals import ButtonPressed, Origin
from bot.chat_models import ChatModels
from bot.post import Post, Undeliverable
from bot.rendering import Button, Part

MODEL_DATA = "model:"
"""Begins the data of a button that changes the model; its digest follows."""
_SHOWN = 30


class ModelMenu:
    """Shows the models, and does what its buttons say, for the chat they are pressed in.

    Methods raise `HubError` and `ConversationCallError` when the store refuses or is away.
    """

    def __init__(self, models: ChatModels, post: Post) -> None:
        self._models = models
        self._post = post

    async def take(self, owner: str, origin: Origin, name: str) -> None:
        """Change to the model of that name; without a name show which there are."""
        if name:
            text = await self._models.choose(owner, origin.chat_id, name)
            await self._post.say(origin.chat_id, text)
            return
        current = await self._models.current(owner, origin.chat_id)
        names = self._models.names
        buttons = tuple(
            (Button(wording.render_model_label(name, is_current=name == current), _data_of(name)),)
            for name in names[:_SHOWN]
        )
        text = wording.render_models(current, names) if len(names) > 1 else ""
        part = Part(text, buttons=buttons) if text else Part(wording.render_model(current))
        await self._post.send(origin.chat_id, part)

    async def press(self, owner: str, press: ButtonPressed) -> None:
        """Change to the model of a button."""
        name = next((each for each in self._models.names if _data_of(each) == press.data), None)
        if name is None:
            await self._post.acknowledge(press.press_id, wording.BUTTON_IS_OLD)
            return
        text = await self._models.choose(owner, press.chat_id, name)
        await self._post.acknowledge(press.press_id)
        outcome = await self._post.change(press.chat_id, press.message_id, Part(text))
        if isinstance(outcome, Undeliverable):
            await self._post.send(press.chat_id, Part(text))


def _data_of(name: str) -> str:
    """A name, however long, as it fits into a button."""
    digest = hashlib.sha256(name.encode()).digest()[:15]
    return f"{MODEL_DATA}{base64.urlsafe_b64encode(digest).decode()}"
