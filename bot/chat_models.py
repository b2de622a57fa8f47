"""Which model answers in a chat: one that was chosen there, or the one of everybody."""

import logging

from bot import wording
from bot.chat_records import ChatRecords
from bot.post import Post
from bot.store_patience import keep_trying
from client.llm.available import NoModelError
from client.llm.configured import ConfiguredModels
from client.llm.protocol import ChosenModel, ModelError

_KEY = "telegram_model"

logger = logging.getLogger(__name__)


class UnusableModelError(ModelError):
    """The model that was chosen can't be used now."""


class ChatModels:
    """The choice of each chat, kept in its record: whichever conversation it comes to."""

    def __init__(
        self, records: ChatRecords, models: ConfiguredModels, post: Post, *, usual: str
    ) -> None:
        """`usual`: the model that answers where none was chosen, as `provider/model`."""
        self._records = records
        self._models = models
        self._post = post
        self._usual = usual

    @property
    def names(self) -> list[str]:
        """Of the models that can be chosen; none where `mcp.yml` names none."""
        return [*self._models.names]

    async def current(self, owner: str, chat_id: int) -> str:
        """What answers in this chat: a name of `mcp.yml`, or `provider/model`.

        Raises:
            HubError, ConversationCallError: The store can't say.
        """
        chosen = (await self._records.load(owner, chat_id)).get(_KEY)
        if isinstance(chosen, str) and chosen in self._models.names:
            return chosen
        return self._models.default_name or self._usual

    async def choose(self, owner: str, chat_id: int, name: str) -> str:
        """Have this model answer from the next turn on; what the person is told of it.

        Raises:
            HubError, ConversationCallError: The choice can't be kept.
        """
        if (name := self._match(name)) not in self._models.names:
            return wording.render_unknown_model(name, self.names)
        is_default = name == self._models.default_name
        if not is_default:
            try:
                await self._models.open(name)
            except NoModelError as error:
                current = await self.current(owner, chat_id)
                return wording.render_unusable_model(error.reason, current)
        # The usual one is no choice: it follows what mcp.yml says later.
        await self._records.merge(owner, chat_id, {_KEY: None if is_default else name})
        return wording.render_chosen_model(name)

    def _match(self, name: str) -> str:
        """As `mcp.yml` has it: telephones begin with a capital."""
        alike = [each for each in self._models.names if each.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else name

    async def find(self, owner: str, chat_id: int) -> ChosenModel | None:
        """The model that was chosen in a chat; None: none was. Waits for the store.

        One that is no longer in `mcp.yml` is forgotten, and the chat is told.

        Raises:
            UnusableModelError: It lacks something by now.
        """
        record = await keep_trying(
            lambda: self._records.load(owner, chat_id), "find the model of a chat"
        )
        name = record.get(_KEY)
        if not isinstance(name, str):
            return None
        if name not in self._models.names:
            await keep_trying(
                lambda: self._records.merge(owner, chat_id, {_KEY: None}), "forget a model"
            )
            usual = self._models.default_name or self._usual
            await self._post.say(chat_id, wording.render_gone_model(name, usual))
            return None
        if name == self._models.default_name:
            return None
        try:
            return await self._models.open(name)
        except NoModelError as error:
            raise UnusableModelError(wording.render_model_lacks(error.reason)) from None
