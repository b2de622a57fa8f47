"""Pushes updates to the bot's webhook, the chats side by side and each in order."""

import time
from collections.abc import Callable

import anyio
import httpx
from anyio.abc import TaskGroup

from tests.fakes.telegram.updates import Update, Updates, Webhook, chat_of

_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


class Pusher:
    """One request for each update, repeated until it is answered with 2xx."""

    def __init__(self, updates: Updates, changed: Callable[[], anyio.Event]) -> None:
        self._updates = updates
        self._changed = changed
        self._under_way: set[int] = set()

    async def run(self) -> None:
        """Push whatever waits while a webhook is set, until cancelled."""
        await self._until_set()
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client,
            anyio.create_task_group() as tasks,
        ):
            while True:
                changed = self._changed()
                if (webhook := self._updates.webhook) is not None:
                    self._begin(tasks, client, webhook)
                await changed.wait()

    async def _until_set(self) -> None:
        while self._updates.webhook is None:
            await self._changed().wait()

    def _begin(self, tasks: TaskGroup, client: httpx.AsyncClient, webhook: Webhook) -> None:
        for update in self._updates.waiting:
            chat_id = chat_of(update)
            if len(self._under_way) >= webhook.max_connections:
                return
            if chat_id not in self._under_way:
                self._under_way.add(chat_id)
                tasks.start_soon(self._push, client, chat_id, update)

    async def _push(self, client: httpx.AsyncClient, chat_id: int, update: Update) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while (webhook := self._updates.webhook) is not None:
                error = await self._post(client, webhook, update)
                if error is None:
                    break
                self._updates.last_error = int(time.time()), error
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return  # there is no webhook any more: the update waits for the next one, or a poll
        finally:
            self._under_way.discard(chat_id)
        self._updates.confirm(update)

    async def _post(
        self, client: httpx.AsyncClient, webhook: Webhook, update: Update
    ) -> str | None:
        """Push once; what went wrong, in the words of `getWebhookInfo`."""
        headers = {_SECRET_HEADER: webhook.secret_token} if webhook.secret_token else {}
        try:
            answer = await client.post(webhook.url, json=update, headers=headers)
        except httpx.ConnectError:
            return "Connection refused"
        except httpx.TimeoutException:
            return "Read timeout expired"
        except httpx.HTTPError as error:
            return f"Connection failed: {type(error).__name__}"
        if answer.is_success:
            return None
        return f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"
