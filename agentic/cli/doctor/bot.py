"""Whether Telegram accepts the bot's token, and whether the bot can get messages."""

import re

from agentic.cli.bot import TOKEN_VARIABLE, find_token
from agentic.cli.doctor.findings import Finding
from agentic.cli.doctor.network import Answer, Network, NoAnswerError
from agentic.config.models import Config
from client.llm.model_spec import Endpoint, parse_endpoint

_COPY = "Copy the token again from @BotFather (/mybots, API Token)."


async def check_bot(config: Config, network: Network) -> list[Finding]:
    """Ask who the bot is, and whether its messages go somewhere else.

    That another program polls can't be seen from here: Telegram tells it to the one that polled
    before, so asking would disturb a bot that runs, and learn nothing.
    """
    found = find_token(config)
    if found is None:
        fix = f"To have one: /newbot at @BotFather, then export {TOKEN_VARIABLE}=…"
        return [Finding("bot", "ok", "not set up: there is no bot token", fix)]
    token = found.get_secret_value()
    if not re.fullmatch(r"[A-Za-z0-9:_-]+", token):
        return [Finding("bot", "problem", "the token holds characters that no token has", _COPY)]
    endpoint = parse_endpoint(config.bot.base_url)
    try:
        who = await _ask(network, endpoint, token, "getMe")
        webhook = await _ask(network, endpoint, token, "getWebhookInfo")
    except NoAnswerError as error:
        summary = f"{endpoint.base_url} {error}"
        return [Finding("bot", "problem", summary, "Check the network, and bot.base_url if set.")]
    return [_judge(who, endpoint), *_judge_webhook(webhook), _judge_people(config)]


async def _ask(network: Network, endpoint: Endpoint, token: str, method: str) -> Answer:
    headers = {"authorization": endpoint.basic} if endpoint.basic else {}
    return await network.get(endpoint, f"/bot{token}/{method}", headers)


def _judge(who: Answer, endpoint: Endpoint) -> Finding:
    match who.value:
        case {"ok": True, "result": {"username": str(name)}} if who.status == 200:
            return Finding("bot", "ok", f"Telegram accepts the token: it is @{name}")
        case _ if who.status in (401, 404):
            summary = f"{endpoint.base_url} does not accept the token (HTTP {who.status})"
            return Finding("bot", "problem", summary, _COPY)
        case _:
            summary = f"{endpoint.base_url} gives no Bot API's answer (HTTP {who.status})"
            return Finding("bot", "problem", summary, "Check bot.base_url; try again later.")


def _judge_webhook(webhook: Answer) -> list[Finding]:
    match webhook.value:
        case {"ok": True, "result": {"url": str(url)}} if url:
            return [
                Finding(
                    "bot",
                    "problem",
                    "a webhook takes its messages: whoever polls gets HTTP 409 Conflict",
                    "If nothing else uses this bot: "
                    f'curl "https://api.telegram.org/bot${TOKEN_VARIABLE}/deleteWebhook"; '
                    "else make a bot of its own for this.",
                )
            ]
        case _:
            return []


def _judge_people(config: Config) -> Finding:
    if config.bot.people:
        count = len(config.bot.people)
        return Finding("bot", "ok", f"{count} {'person' if count == 1 else 'people'} may talk")
    return Finding(
        "bot",
        "ok",
        "bot.people is empty: only who was paired may talk to it",
        "`agentic bot --people` shows who was; `agentic bot --pair` makes a code for somebody.",
    )
