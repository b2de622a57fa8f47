"""`agentic bot`: what the Telegram bot needs, put together."""

import logging

from pydantic import SecretStr

from agentic.cli.compose import SETTLE_SECONDS, open_assistant
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation
from agentic.cli.model_choice import choose_model
from agentic.config.models import Config

_TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the name of a variable


def bot(invocation: Invocation) -> int:
    """Answer people on Telegram until told to stop."""

    async def work(config: Config) -> None:
        token = _find_token(config)
        chosen = await choose_model(config, None)
        from bot.telegram_bot import run_bot

        # The bot sees to signals itself: it lets the turns that run come to an end.
        async with open_assistant(config, chosen, delegate=True, signals=()) as assistant:
            # Messages that waited would be answered without the tools of servers still starting.
            await assistant.hub.wait_settled(SETTLE_SECONDS)
            await run_bot(config, assistant.hub, assistant.coordinator, token)

    return invocation.run(work, log_level=logging.WARNING)


def _find_token(config: Config) -> SecretStr:
    token = config.bot.token or SecretStr(config.environment.get(_TOKEN_VARIABLE, ""))
    if not token.get_secret_value().strip():
        raise UsageError(
            "The bot has no token. Send /newbot to @BotFather on Telegram, and give the token it "
            f"answers with in the variable {_TOKEN_VARIABLE}."
        )
    return token
