"""The section `bot:`, the Telegram bot."""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from agentic.config.frozen import Frozen
from agentic.config.rate_limit import RateLimit, parse_rate_limit
from agentic.config.rules import Key, Owner, TelegramId, Url

_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
_LISTEN = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65_535


def _check_secret(secret: SecretStr) -> SecretStr:
    if not _SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError(
            "should have 16 to 256 letters, digits, _ and - (such as `openssl rand -hex 16`)"
        )
    return secret


def _check_rate(text: str) -> str:
    parse_rate_limit(text, "messages")
    return text


def _check_listen(text: str) -> str:
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > _MAX_PORT:
        raise ValueError("should be HOST:PORT, such as 127.0.0.1:8081")
    return text


class WebhookConfig(Frozen):
    """Where Telegram brings updates, in place of being asked for them."""

    url: Url
    """As Telegram reaches it: https, its path served at `bot.listen`."""
    secret: Annotated[Key, AfterValidator(_check_secret)]
    """Sent by Telegram with each update; what comes without it is refused."""


class BotConfig(Frozen):
    """The Telegram bot."""

    token: Key | None = None
    """Absent: TELEGRAM_BOT_TOKEN."""
    people: dict[TelegramId, Owner] = Field(default_factory=dict)
    """Telegram user ids (digits, as text) → owners. Empty: nobody may talk."""
    rate: Annotated[str, AfterValidator(_check_rate)] | None = "30/minute"
    """How many messages of one person are taken in, at once and then by and by. null: all."""
    base_url: Url = "https://api.telegram.org"
    poll_timeout_seconds: int = Field(default=30, ge=0, le=50)
    webhook: WebhookConfig | None = None
    """Absent: updates are polled for."""
    listen: Annotated[str, AfterValidator(_check_listen)] | None = None
    """HOST:PORT of the webhook, `/healthz`, `/readyz` and `/metrics`. Absent: there are none."""
    health_file: Path | None = None
    """Written whenever Telegram has given an answer: older than two polls, the bot is deaf.

    Its text says how much waits for the store.
    """

    @model_validator(mode="after")
    def _check_webhook(self) -> Self:
        if self.webhook is not None:
            if self.listen is None:
                raise ValueError("webhook needs listen beside it, such as listen: 0.0.0.0:8081")
            if len(urlsplit(self.webhook.url).path) < 2:
                raise ValueError("webhook.url needs a path, such as https://bot.example/telegram")
        return self

    @property
    def rate_limit(self) -> RateLimit | None:
        """`rate`, read."""
        return None if self.rate is None else parse_rate_limit(self.rate, "messages")

    @property
    def address(self) -> tuple[str, int] | None:
        """The host and port of `listen`."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
