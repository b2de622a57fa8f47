"""`agentic bot --pair`, `--people` and `--unpair`: who may talk to the bot, beside `bot.people`."""

import logging
import re
import sys

from agentic.cli.bot import require_token
from agentic.cli.compose import open_hub_for_all
from agentic.cli.failures import CommandError, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.stored_times import render_time
from agentic.cli.terminal_text import one_line
from agentic.config.models import Config
from client.people import RemotePeople
from servers.access.contract import check_owner

_TELEGRAM = "telegram:"


def pair(invocation: Invocation, owner: str | None) -> int:
    """Print a code: whoever sends it to the bot first may talk from then on."""

    async def work(config: Config) -> None:
        from bot.errors import BadTokenError, BotError
        from bot.token import ask_username

        acts_for = _check(config.owner if owner is None else owner)
        token = require_token(config)
        try:
            name = await ask_username(config.bot, token)
        except BadTokenError:
            raise
        except BotError as error:
            name = ""
            note(f"Warning: {error}")
        async with open_hub_for_all(config) as hub:
            made = await RemotePeople(hub).open_pairing(acts_for)
        sys.stdout.write(made.code + "\n")
        bot = f"@{name}" if name else "the bot"
        link = f", or open https://t.me/{name}?start={made.code} there" if name else ""
        note(
            f"Send it to {bot} within 10 minutes{link}: who does that first is "
            f"{one_line(made.owner)} from then on. It is not shown again, and takes the place of "
            "one before. `agentic bot` has to be running."
        )

    return invocation.run(work, log_level=logging.WARNING)


def show_people(invocation: Invocation) -> int:
    """Print who may talk, one a line."""

    async def work(config: Config) -> None:
        async with open_hub_for_all(config) as hub:
            paired = await RemotePeople(hub).list()
        configured = config.bot.people
        lines = [f"{user_id}\t{one_line(who)}\tbot.people" for user_id, who in configured.items()]
        lines += [
            f"{user_id}\t{one_line(each.owner)}\tpaired {render_time(each.paired_at)}"
            for each in paired
            if (user_id := each.identity.removeprefix(_TELEGRAM)) not in configured
        ]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        if not lines:
            note("Nobody may talk to the bot yet: `agentic bot --pair` makes a code for somebody.")

    return invocation.run(work, log_level=logging.WARNING)


def unpair(invocation: Invocation, user_id: str) -> int:
    """Take back that somebody may talk."""

    async def work(config: Config) -> None:
        if not re.fullmatch(r"[1-9][0-9]{0,18}", user_id):
            raise UsageError("--unpair: a Telegram id is a number such as 42; see --people.")
        async with open_hub_for_all(config) as hub:
            removed = await RemotePeople(hub).remove(f"{_TELEGRAM}{user_id}")
        if user_id in config.bot.people:
            raise CommandError(
                f"{user_id} stands in bot.people, by which they may still talk: take them out "
                "there, and start the bot again."
            )
        if not removed:
            raise CommandError(f"{user_id} was not paired: `agentic bot --people` shows who was.")
        note(
            f"{user_id} may not talk any more, within five seconds. What was said is kept. An "
            "answer that is under way is still sent."
        )

    return invocation.run(work, log_level=logging.WARNING)


def _check(owner: str) -> str:
    try:
        return check_owner(owner)
    except ValueError as error:
        raise UsageError(f"--as: {error}.") from None
