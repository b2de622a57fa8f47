"""The bot's token: whether it is one, and whose it is."""

import re

import anyio
from pydantic import SecretStr
from telegram import Bot
from telegram.error import InvalidToken, TelegramError
from telegram.request import HTTPXRequest

from agentic.config.bot import BotConfig
from bot.connection import explaining_proxies
from bot.errors import BadTokenError, BotError
from bot.redaction import tokens_kept_out_of_logs

_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


def check_token(token: SecretStr) -> None:
    """See if it is shaped like one.

    Raises:
        BadTokenError: It is not.
    """
    if not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]+", token.get_secret_value()):
        raise BadTokenError(
            "The bot token is none: it should look like 123456789:AAE…. "
            "Copy it again from @BotFather."
        )


def token_refused(config: BotConfig) -> BadTokenError:
    """The error for a token that Telegram does not accept."""
    return BadTokenError(
        f"{config.base_url} does not accept the bot token: copy it again from @BotFather."
    )


async def ask_username(config: BotConfig, token: SecretStr) -> str:
    """The bot's name, without @. It may be running elsewhere meanwhile. Takes 10 s at most.

    Raises:
        BadTokenError: Telegram does not accept the token.
        BadProxyError: The environment names a proxy that can't be used.
        BotError: Telegram can't be asked.
    """
    check_token(token)
    with tokens_kept_out_of_logs(token):
        with explaining_proxies():
            request = HTTPXRequest()
            bot = Bot(
                token.get_secret_value(),
                base_url=f"{config.base_url.rstrip('/')}/bot",
                request=request,
                get_updates_request=request,
            )
        try:
            with anyio.fail_after(_SECONDS):
                return (await bot.get_me()).username or ""
        except InvalidToken:
            raise token_refused(config) from None
        except (TelegramError, TimeoutError) as error:
            reason = str(error) or "no answer"
            raise BotError(f"{config.base_url} can't be asked: {reason}") from None
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await request.shutdown()  # the bot's own closes only what it has initialized
