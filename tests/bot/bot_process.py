"""A bot in a process of its own: `python -m tests.bot.bot_process DIRECTORY BASE_URL MODEL`.

MODEL is `echo`, or `silent`, which never answers.
"""

import logging
import sys
from pathlib import Path

import anyio
from pydantic import SecretStr

from agentic.config.bot import BotConfig
from agentic.config.models import Config
from bot.errors import BadTokenError
from bot.telegram_bot import run_bot
from client.coordinator.coordinator import Coordinator
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import PEOPLE, TOKEN, echo, open_bench


async def main() -> None:
    directory, base_url, model_name = sys.argv[1:]
    silent = ScriptedModel([Held(Completion(text="never"))])
    model = ScriptedModel(echo) if model_name == "echo" else silent
    config = Config(bot=BotConfig(people=PEOPLE, base_url=base_url))
    async with open_bench(Path(directory)) as bench:
        spool = bench.create_spool()
        coordinator = Coordinator(bench, model, spool=spool)
        # Notes that a message waits would stand between the replies, of which there are many.
        await run_bot(config, bench, coordinator, SecretStr(TOKEN), spool, busy_seconds=600)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    try:
        anyio.run(main)
    except BadTokenError as error:
        sys.exit(str(error))
