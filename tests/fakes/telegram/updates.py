"""What happened and the bot does not know yet: fetched by `getUpdates`, or pushed to a webhook."""

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from tests.fakes.telegram.refusals import bad_request, conflict

Update = dict[str, Any]

KINDS = frozenset(
    {"message", "edited_message", "channel_post", "edited_channel_post", "inline_query"}
    | {"chosen_inline_result", "callback_query", "shipping_query", "pre_checkout_query", "poll"}
    | {"poll_answer", "my_chat_member", "chat_member", "chat_join_request", "message_reaction"}
    | {"message_reaction_count", "chat_boost", "removed_chat_boost", "business_connection"}
    | {"business_message", "edited_business_message", "deleted_business_messages"}
    | {"purchased_paid_media", "managed_bot", "guest_message"}
)
_ONLY_IF_ASKED_FOR = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_MAX_WAITING = 100_000
_MAX_POLL_SECONDS = 50
_SECRET = re.compile(r"[A-Za-z0-9_-]*")
_TERMINATED = (
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where updates are pushed to."""

    url: str
    secret_token: str
    max_connections: int


class Updates:
    """The queue of one bot. `changed` is called whenever something a test may wait for happens."""

    def __init__(self, changed: Callable[[], anyio.Event], notify: Callable[[], None]) -> None:
        self._changed = changed
        self._notify = notify
        self.waiting: list[Update] = []
        self.confirmed = 0
        """Every update with a smaller id has been confirmed."""
        self.webhook: Webhook | None = None
        self.last_error: tuple[int, str] | None = None
        self._allowed: frozenset[str] = KINDS - _ONLY_IF_ASKED_FOR
        self._ids = itertools.count(1_000)
        self._poller: anyio.CancelScope | None = None
        self._ended_by = _TERMINATED

    @property
    def is_polled(self) -> bool:
        """Whether a poll is being held."""
        return self._poller is not None

    def add(self, update: Mapping[str, Any]) -> Update:
        """An update; a new id is made unless it has one. Kinds not asked for never wait."""
        if not update.keys() <= {"update_id", *KINDS} or len(update.keys() - {"update_id"}) != 1:
            raise ValueError(f"an update is of one known kind, not {sorted(update)}")
        whole: Update = {"update_id": next(self._ids), **update}
        if update.keys() & self._allowed:
            self.repeat(whole)
        return whole

    def repeat(self, update: Update) -> None:
        """The same update once more, same id, though it may have been confirmed."""
        if len(self.waiting) >= _MAX_WAITING:
            raise ValueError(f"more than {_MAX_WAITING} updates wait: nobody fetches them")
        self.waiting.append(update)
        self.waiting.sort(key=lambda waiting: waiting["update_id"])
        self.confirmed = min(self.confirmed, update["update_id"])
        self._notify()

    def confirm(self, update: Update) -> None:
        """One update was taken by the webhook."""
        self.waiting = [waiting for waiting in self.waiting if waiting is not update]
        if all(waiting["update_id"] > update["update_id"] for waiting in self.waiting):
            self.confirmed = max(self.confirmed, update["update_id"] + 1)
        self._notify()

    async def poll(self, parameters: Mapping[str, Any]) -> list[Update]:
        """`getUpdates`: held until there is something or the time is over.

        Raises:
            RefusedError: Another one polls by now, or there is a webhook.
        """
        if self.webhook is not None:
            raise conflict(
                "can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first"
            )
        self._allow(parameters)
        self._forget(parameters.get("offset", 0))
        limit = min(max(parameters.get("limit", 100), 1), 100)
        timeout = min(max(parameters.get("timeout", 0), 0), _MAX_POLL_SECONDS)
        if self.waiting or not timeout:
            return self.waiting[:limit]
        self.end_poll(_TERMINATED)
        with anyio.CancelScope() as mine:
            self._poller = mine
            self._notify()
            try:
                with anyio.move_on_after(timeout):
                    while not self.waiting:
                        await self._changed().wait()
                return self.waiting[:limit]
            finally:
                if self._poller is mine:
                    self._poller = None
        raise conflict(self._ended_by)

    def end_poll(self, reason: str) -> None:
        """A poll that is held ends with this conflict."""
        if self._poller is not None:
            self._ended_by = reason
            self._poller.cancel()

    def _forget(self, offset: int) -> None:
        if offset < 0:
            kept = self.waiting[offset:]
            offset = kept[0]["update_id"] if kept else 0
        self.confirmed = max(self.confirmed, offset)
        self.waiting = [update for update in self.waiting if update["update_id"] >= offset]
        self._notify()

    def _allow(self, parameters: Mapping[str, Any]) -> None:
        """Without the parameter what was asked for last goes on; an empty list is the default."""
        if "allowed_updates" in parameters:
            asked = frozenset(parameters["allowed_updates"] or ()) & KINDS
            self._allowed = asked or KINDS - _ONLY_IF_ASKED_FOR

    def set_webhook(self, parameters: Mapping[str, Any]) -> bool:
        """`setWebhook`. As a local Bot API server, it takes any address; an empty one is none."""
        if parameters.get("drop_pending_updates"):
            self.waiting = []
        url, secret = parameters["url"], parameters.get("secret_token") or ""
        if url and not re.match(r"https?://[^/\s]+", url):
            raise bad_request("invalid webhook URL specified")
        if len(secret) > 256:
            raise bad_request("secret token is too long")
        if not _SECRET.fullmatch(secret):
            raise bad_request("secret token contains unallowed characters")
        connections = min(max(parameters.get("max_connections", 40), 1), 100)
        self.webhook = Webhook(url, secret, connections) if url else None
        self.last_error = None
        if url:
            self._allow(parameters)
            self.end_poll("terminated by setWebhook request")
        self._notify()
        return True

    def delete_webhook(self, parameters: Mapping[str, Any]) -> bool:
        """`deleteWebhook`."""
        return self.set_webhook({"url": "", **parameters})

    def describe_webhook(self) -> dict[str, Any]:
        """`getWebhookInfo`."""
        facts: dict[str, Any] = {
            "url": self.webhook.url if self.webhook else "",
            "has_custom_certificate": False,
            "pending_update_count": len(self.waiting),
        }
        if self.webhook is not None:
            facts |= {"max_connections": self.webhook.max_connections, "ip_address": "127.0.0.1"}
        if self.last_error is not None:
            facts["last_error_date"], facts["last_error_message"] = self.last_error
        if self._allowed != KINDS - _ONLY_IF_ASKED_FOR:
            facts["allowed_updates"] = sorted(self._allowed)
        return facts


def chat_of(update: Update) -> int:
    """What orders updates: those of one chat come one after the other."""
    content = next(value for name, value in update.items() if name != "update_id")
    chat = content.get("chat") or content.get("message", {}).get("chat")
    return (chat or content["from"])["id"]
