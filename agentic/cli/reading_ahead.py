"""Lets the embedded model read, while a person types, what its turns will begin with."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from client.conversations import ConversationCallError
from client.coordinator.coordinator import Coordinator
from client.hub.errors import HubError
from client.hub.hub import Hub
from client.llm.local.model import LocalModel
from client.llm.protocol import ModelError

_SETTLE_SECONDS = 15.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def reading_ahead(
    model: LocalModel, hub: Hub, coordinator: Coordinator, conversation_id: str | None
) -> AsyncGenerator[None]:
    """Read as soon as the model is loaded and the tools are known; stop with the context.

    `conversation_id`: where the person is expected to write, if that is known.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_read_ahead, model, hub, coordinator, conversation_id)
        yield
        group.cancel_scope.cancel()


async def _read_ahead(
    model: LocalModel, hub: Hub, coordinator: Coordinator, conversation_id: str | None
) -> None:
    try:
        await model.loading.wait()
        await hub.wait_settled(_SETTLE_SECONDS)
        await model.read_ahead(await coordinator.foresee(conversation_id))
        await model.read_on()
    except (ModelError, HubError, ConversationCallError) as error:
        # Nothing is lost but time, and whoever asks next is told.
        logger.debug("The embedded model could not read ahead: %s", error)
