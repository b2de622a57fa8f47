"""`agentic bot`: what the Telegram bot needs, put together."""

import logging

from anyio.to_thread import current_default_thread_limiter
from pydantic import SecretStr

from agentic.cli.compose import SETTLE_SECONDS, open_assistant
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation
from agentic.cli.model_choice import choose_model
from agentic.config.models import Config

_THREADS = 8
"""Each keeps some memory of its own, and what they do takes a processor: more are no faster."""
TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the name of a variable


def bot(invocation: Invocation) -> int:
    """Answer people on Telegram until told to stop."""

    async def work(config: Config) -> None:
        token = require_token(config)
        chosen = await choose_model(config, None)
        from bot.telegram_bot import run_bot

        current_default_thread_limiter().total_tokens = _THREADS
        # The bot sees to signals itself: it lets the turns that run come to an end.
        async with open_assistant(
            config, chosen, delegate=True, signals=(), can_ask=True
        ) as assistant:
            # Messages that waited would be answered without the tools of servers still starting.
            await assistant.hub.wait_settled(SETTLE_SECONDS)
            await run_bot(config, assistant.hub, assistant.coordinator, token, assistant.spool)

    return invocation.run(work, log_level=logging.WARNING)


def require_token(config: Config) -> SecretStr:
    """The token.

    Raises:
        UsageError: There is none.
    """
    token = find_token(config)
    if token is None:
        raise UsageError(
            "The bot has no token. Send /newbot to @BotFather on Telegram, and give the token "
            f"it answers with in the variable {TOKEN_VARIABLE}."
        )
    return token


def find_token(config: Config) -> SecretStr | None:
    """The token as configured, else the environment's."""
    token = config.bot.token or SecretStr(config.environment.get(TOKEN_VARIABLE, ""))
    return token if token.get_secret_value().strip() else None
